use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a store did since it was opened, and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Batches that were acknowledged as new.
    pub batches: u64,
    /// Their rows.
    pub rows: u64,
    /// Batches that were acknowledged because they had been stored before.
    pub duplicates: u64,
    /// Batches refused because their number was too old to be known.
    pub too_old: u64,
    /// Batches refused for their size.
    pub too_large: u64,
    /// Groups of batches written to the log together.
    pub groups: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Writes or synchronisations of the log that failed; their batches were not acknowledged.
    pub log_failures: u64,
    /// Appends that had to wait because memory was full.
    pub waits: u64,
    /// Appends refused because memory was full and could not be emptied.
    pub refusals: u64,
    /// Times that rows were written from memory to files.
    pub flushes: u64,
    /// Times that this failed; the rows stayed in memory and in the log.
    pub flush_failures: u64,
    /// Times that files were merged.
    pub merges: u64,
    /// Times that this failed; the files stayed as they were.
    pub merge_failures: u64,
    /// Sealed files that were let go for the bound of [`crate::Limits::sealed_bytes`].
    pub files_expired: u64,
    /// Their rows.
    pub rows_expired: u64,
    /// Reads of sealed files that failed, or met bytes that are not those that were written; the queries that needed them failed.
    pub read_failures: u64,
    /// Windows of senders that were forgotten for lack of room.
    pub windows_forgotten: u64,
    /// Footers of files that were forgotten for lack of room, and had to be read again.
    pub footers_forgotten: u64,
    /// The last failure of any kind.
    pub last_failure: Option<String>,
    /// Rows in memory, not yet in files.
    pub rows_in_memory: u64,
    /// Sealed files.
    pub files: u64,
    /// Rows in them.
    pub file_rows: u64,
    /// Bytes of them.
    pub file_bytes: u64,
}

impl Stats {
    /// Failures of every kind.
    pub fn failures(&self) -> u64 {
        self.log_failures + self.flush_failures + self.merge_failures + self.read_failures
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) batches: Counter,
    pub(crate) rows: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) too_old: Counter,
    pub(crate) too_large: Counter,
    pub(crate) groups: Counter,
    pub(crate) log_bytes: Counter,
    pub(crate) log_failures: Counter,
    pub(crate) flushes: Counter,
    pub(crate) flush_failures: Counter,
    pub(crate) merges: Counter,
    pub(crate) merge_failures: Counter,
    pub(crate) read_failures: Counter,
    pub(crate) files_expired: Counter,
    pub(crate) rows_expired: Counter,
    last_failure: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn failed(&self, counter: &Counter, failure: &impl ToString) {
        counter.add(1);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.to_string());
    }

    pub(crate) fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
