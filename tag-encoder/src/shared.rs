use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::{PoisonError, RwLock};

use crate::additions::{Additions, ApplyError, Block};
use crate::dictionary::Dictionary;
use crate::limits::{DictionaryStats, Limits};
use crate::names::NameId;
use crate::snapshot::Snapshot;

/// A [`Dictionary`] that threads share. Locks are taken once per batch of names, never per row, and never held across I/O.
#[derive(Debug, Default)]
pub struct SharedDictionary {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    dictionary: Dictionary,
    /// Made when somebody asks, dropped when a name is added.
    snapshot: Option<Arc<Snapshot>>,
}

impl SharedDictionary {
    /// An empty dictionary.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { inner: RwLock::new(Inner { dictionary: Dictionary::new(limits), snapshot: None }) }
    }

    /// See [`Dictionary::find`].
    #[must_use]
    pub fn find(&self, domain: &str, name: &str) -> Option<NameId> {
        self.read(|dictionary| dictionary.find(domain, name))
    }

    /// See [`Dictionary::find_all`].
    pub fn find_all<'a>(&self, domain: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<Option<NameId>> {
        self.read(|dictionary| dictionary.find_all(domain, names))
    }

    /// See [`Dictionary::plan`]. Between plan and [`apply`](Self::apply) nobody else may plan: the caller holds a lock of its own,
    /// or is alone.
    #[must_use]
    pub fn plan<'a>(&self, wanted: impl IntoIterator<Item = (&'a str, &'a str)>) -> Additions {
        self.read(|dictionary| dictionary.plan(wanted))
    }

    /// See [`Dictionary::apply`].
    ///
    /// # Errors
    /// When the additions do not continue what is here.
    pub fn apply(&self, additions: &Additions) -> Result<(), ApplyError> {
        self.write(|dictionary| dictionary.apply(additions))
    }

    /// See [`Dictionary::apply_block`].
    ///
    /// # Errors
    /// When the block does not continue what is here.
    pub fn apply_block(&self, block: &Block) -> Result<(), ApplyError> {
        self.write(|dictionary| dictionary.apply_block(block))
    }

    /// Counts names that found no place.
    pub fn count_overflow(&self, names: u64) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.dictionary.count_overflow(names);
    }

    /// See [`Dictionary::stats`].
    #[must_use]
    pub fn stats(&self) -> DictionaryStats {
        self.read(Dictionary::stats)
    }

    /// What is here now. Two calls with no new name between them share one snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        if let Some(snapshot) = &self.inner.read().unwrap_or_else(PoisonError::into_inner).snapshot {
            return Arc::clone(snapshot);
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Inner { dictionary, snapshot } = &mut *inner;
        Arc::clone(snapshot.get_or_insert_with(|| Arc::new(dictionary.snapshot())))
    }

    fn read<T>(&self, ask: impl FnOnce(&Dictionary) -> T) -> T {
        ask(&self.inner.read().unwrap_or_else(PoisonError::into_inner).dictionary)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Dictionary) -> T) -> T {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.snapshot = None;
        change(&mut inner.dictionary)
    }
}

/// The dictionaries of all servers that write into one store, by the number each of them has there: the key of a stored name is
/// (writer, id).
#[derive(Debug, Default, Clone)]
pub struct Writers {
    writers: BTreeMap<u16, Arc<SharedDictionary>>,
}

impl Writers {
    /// The dictionaries by their writer's number.
    #[must_use]
    pub fn new(writers: impl IntoIterator<Item = (u16, Arc<SharedDictionary>)>) -> Self {
        Self { writers: writers.into_iter().collect() }
    }

    /// Every key under which a name is stored.
    #[must_use]
    pub fn find(&self, domain: &str, name: &str) -> Vec<(u16, NameId)> {
        let found = self.writers.iter().map(|(writer, dictionary)| (*writer, dictionary.find(domain, name)));
        found.filter_map(|(writer, id)| Some((writer, id?))).collect()
    }

    /// What all of them hold now.
    #[must_use]
    pub fn snapshot(&self) -> WritersSnapshot {
        let writers = self.writers.iter().map(|(writer, dictionary)| (*writer, dictionary.snapshot()));
        WritersSnapshot { writers: writers.collect() }
    }
}

/// The names of all writers at one moment.
#[derive(Debug, Default, Clone)]
pub struct WritersSnapshot {
    writers: BTreeMap<u16, Arc<Snapshot>>,
}

impl WritersSnapshot {
    /// The names that one writer has given out.
    #[must_use]
    pub fn writer(&self, writer: u16) -> Option<&Snapshot> {
        self.writers.get(&writer).map(|snapshot| &**snapshot)
    }

    /// All writers' names.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Snapshot)> {
        self.writers.iter().map(|(writer, snapshot)| (*writer, &**snapshot))
    }
}
