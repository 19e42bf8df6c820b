use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::reading::Footer;

/// Footers of files that were read lately, so that a query does not read them again. The oldest goes first.
#[derive(Debug)]
pub(crate) struct Footers {
    most: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_file: HashMap<u64, Arc<Footer>>,
    /// Ids in the order they came; an id stands here exactly if it is a key above.
    order: VecDeque<u64>,
    forgotten: u64,
}

impl Footers {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, inner: Mutex::default() }
    }

    pub(crate) fn get(&self, file: u64) -> Option<Arc<Footer>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).by_file.get(&file).cloned()
    }

    pub(crate) fn put(&self, file: u64, footer: Arc<Footer>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.by_file.insert(file, footer).is_none() {
            inner.order.push_back(file);
        }
        while inner.order.len() > self.most {
            if let Some(oldest) = inner.order.pop_front() {
                inner.by_file.remove(&oldest);
                inner.forgotten += 1;
            }
        }
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).forgotten
    }
}
