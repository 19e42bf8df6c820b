use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use storage_api::{DedupLimits, Durability, TableName};

use crate::{Disk, OsDisk};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What an acknowledged batch survives. Batches that arrive while others are being made safe share the next
    /// synchronisation, so that the wait of each is one synchronisation of the disk or two.
    pub durability: Durability,
    /// Rows are written from memory to files at least this often.
    pub flush_after: Duration,
    /// What the store may use.
    pub limits: Limits,
    /// Where the files lie; tests put other disks here.
    pub disk: Arc<dyn Disk>,
    /// Keep 4 MiB of the disk in hand, by which retention still works when it is full.
    pub reserve: bool,
    /// Tables of which [`Limits::sealed_bytes`] drops nothing: those without which others cannot be read.
    pub lasting: BTreeSet<TableName>,
}

/// Bounds of a store. Each that is reached is counted in [`crate::Stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of rows in memory that are not yet in files, and so of the log. Appends wait when it is reached, and are
    /// refused when waiting cannot help.
    pub memory: usize,
    /// Bytes of rows in memory at which they are written to files; below a third of `memory`, so that appends go on.
    pub flush: usize,
    /// Bytes of rows, in memory, that a file made by merging others may have.
    pub merge: usize,
    /// Rows of one batch.
    pub batch_rows: usize,
    /// Bytes of one batch in the log.
    pub batch_bytes: usize,
    /// Bytes that are written to the log at once.
    pub group_bytes: usize,
    /// Files per table that one flush writes. When rows spread over more hours, a file holds several hours.
    pub files_per_flush: usize,
    /// Files whose footers are kept in memory for reading.
    pub footers: usize,
    /// Bytes of sealed files; beyond them the oldest files go, whichever table they are of. None: as many as the disk holds.
    pub sealed_bytes: Option<u64>,
    /// How batches are remembered.
    pub dedup: DedupLimits,
}

impl Default for Options {
    /// Safe on disk before an append returns, written to files every minute.
    fn default() -> Self {
        Self {
            durability: Durability::Disk,
            flush_after: Duration::from_secs(60),
            limits: Limits::default(),
            disk: Arc::new(OsDisk),
            reserve: true,
            lasting: BTreeSet::new(),
        }
    }
}

impl Limits {
    /// What contradicts itself, if anything.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        // All text of a flush becomes one Arrow array, whose offsets are 32 bits.
        if self.memory > 1 << 30 {
            return Err("memory must be 1 GiB at most");
        }
        if self.batch_bytes > self.memory / 2 || self.flush > self.memory / 3 {
            return Err("memory must hold two of the largest batches and three flushes");
        }
        Ok(())
    }
}

impl Default for Limits {
    /// 256 MiB of rows in memory, files from 64 MiB, batches of 32 MiB and a million rows.
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            flush: 64 << 20,
            merge: 128 << 20,
            batch_rows: 1 << 20,
            batch_bytes: 32 << 20,
            group_bytes: 8 << 20,
            files_per_flush: 64,
            footers: 1024,
            sealed_bytes: None,
            dedup: DedupLimits::default(),
        }
    }
}
