//! How much memory rows may take before they are in files: appends wait for room, and are refused when there will be none.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::{Either, select};
use tokio::sync::{Semaphore, watch};

use crate::error::Failure;

/// Bytes of one unit. Every batch takes at least one, so that the number of tiny batches is bounded too.
const UNIT: usize = 1024;

#[derive(Debug)]
pub(crate) struct Budget {
    room: Semaphore,
    /// Why rows cannot be written to files at present, so that waiting for room is in vain.
    stuck: watch::Sender<Option<Failure>>,
    waits: AtomicU64,
    refusals: AtomicU64,
}

/// Room that was granted, given back when dropped unless it is kept.
#[derive(Debug)]
pub(crate) struct Grant<'a> {
    budget: &'a Budget,
    units: u32,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            room: Semaphore::new(units),
            stuck: watch::Sender::new(None),
            waits: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// What so many bytes take.
    pub(crate) fn units(bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX)
    }

    /// Takes room, waiting for it as long as it may come. `full` is called when it is not there at once.
    pub(crate) async fn take(&self, units: u32, full: impl Fn()) -> Result<Grant<'_>, Failure> {
        if let Ok(permit) = self.room.try_acquire_many(units) {
            permit.forget();
            return Ok(Grant { budget: self, units });
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
        full();
        let mut stuck = self.stuck.subscribe();
        let failed = std::pin::pin!(stuck.wait_for(Option::is_some));
        let room = std::pin::pin!(self.room.acquire_many(units));
        match select(room, failed).await {
            Either::Left((Ok(permit), _)) => {
                permit.forget();
                Ok(Grant { budget: self, units })
            }
            Either::Right((Ok(failure), _)) => {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                Err(failure.clone().unwrap_or_else(closed))
            }
            _ => Err(closed()),
        }
    }

    /// Takes room for rows that are there already, as far as there is any.
    pub(crate) fn occupy(&self, units: u32) {
        self.room.forget_permits(units as usize);
    }

    pub(crate) fn give_back(&self, units: u32) {
        self.room.add_permits(units as usize);
    }

    pub(crate) fn set_stuck(&self, failure: Option<Failure>) {
        self.stuck.send_replace(failure);
    }

    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

impl Grant<'_> {
    /// The room stays taken until [`Budget::give_back`].
    pub(crate) fn keep(self) -> u32 {
        let units = self.units;
        std::mem::forget(self);
        units
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.units);
    }
}

fn closed() -> Failure {
    Failure { what: "no room", reason: "the store is closed".to_owned(), full: false }
}
