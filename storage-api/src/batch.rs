use std::fmt;

use arrow_array::RecordBatch;

/// Names one batch for ever, so that sending it twice stores it once.
///
/// The sender numbers its batches from any start upwards; numbers may be skipped (a sender may use one row of numbers for
/// several tables). See [`crate::BatchWindow`] for how long a number is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// Who sends.
    pub source: u128,
    /// Which life of the sender: drawn at random at each start, so that a restarted sender may count from zero.
    pub epoch: u64,
    /// Which batch of this life.
    pub sequence: u64,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}/{:x}/{}", self.source, self.epoch, self.sequence)
    }
}

/// Rows to append, as one unit: all of them are stored, or none.
#[derive(Clone, Debug)]
pub struct IngestBatch {
    /// Under which name it is remembered.
    pub id: BatchId,
    /// The rows. Columns are found by name, in any order; nullable columns may be missing; a column of type T may come as
    /// `Dictionary(integer, T)`.
    pub batch: RecordBatch,
}

impl IngestBatch {
    /// Joins an id and its rows.
    pub fn new(id: BatchId, batch: RecordBatch) -> Self {
        Self { id, batch }
    }
}
