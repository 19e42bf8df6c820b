use std::time::Duration;

use storage_api::DedupLimits;

use crate::Features;

/// How a ClickHouse is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for a connection, per host.
    pub connect: Duration,
    /// How long a server may say nothing: until its answer begins, and between two pieces of it.
    pub silence: Duration,
    /// How long a connection is kept for the next request; not at all if zero. To be less than the server's own
    /// `keep_alive_timeout`, which was 3 s in older versions.
    pub keep_alive: Duration,
    /// What may be used of what the server can do.
    pub features: Features,
    /// What the store may use.
    pub limits: Limits,
}

/// Bounds of a store. Each that is reached is counted in [`crate::Stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of one batch.
    pub batch_rows: usize,
    /// Bytes of one batch as it travels.
    pub batch_bytes: usize,
    /// Batches that travel at once; others wait.
    pub appends: usize,
    /// Bytes of a condition as SQL. A longer one is left to the caller.
    pub condition_bytes: usize,
    /// Bytes of one piece of an answer, which must be held as a whole.
    pub piece_bytes: usize,
    /// Inserts into a table that the server itself remembers, so that two that send the same batch at once store it once.
    pub insert_window: u32,
    /// How batches are remembered.
    pub dedup: DedupLimits,
}

impl Default for Options {
    /// 5 s for a connection, 60 s of silence, everything that the server can do.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(60),
            keep_alive: Duration::from_secs(2),
            features: Features::ALL,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    /// Batches of 64 MiB and a million rows, 16 at once; conditions of 4 MiB; answers in pieces of 256 MiB at most.
    fn default() -> Self {
        Self {
            batch_rows: 1 << 20,
            batch_bytes: 64 << 20,
            appends: 16,
            condition_bytes: 4 << 20,
            piece_bytes: 256 << 20,
            insert_window: 10_000,
            dedup: DedupLimits::default(),
        }
    }
}
