//! Which batches are stored: what this process remembers, and what the table says.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use storage_api::{BatchId, BatchWindows, DedupLimits, Seen, TableName};
use tokio::sync::MutexGuard;

use crate::server::Server;
use crate::sql::{Name, Text};
use crate::wire::id_bytes;
use crate::{Features, RequestError};

/// Batches of one id wait for each other; others seldom do.
const STRIPES: usize = 256;

/// The windows of all senders into all tables.
#[derive(Debug)]
pub(crate) struct Senders {
    limits: DedupLimits,
    tables: Mutex<HashMap<TableName, BatchWindows>>,
    stripes: Vec<tokio::sync::Mutex<()>>,
    hash: RandomState,
}

/// While a batch travels. If nobody hears what became of it, its sender's window is given up, and the table is asked the
/// next time.
#[derive(Debug)]
pub(crate) struct Doubt<'a> {
    senders: &'a Senders,
    table: &'a TableName,
    id: BatchId,
    open: bool,
}

impl Doubt<'_> {
    /// It is known whether the batch is stored.
    pub(crate) fn settle(mut self, stored: bool) {
        self.open = false;
        if stored {
            self.senders.with(self.table, |windows| windows.record(self.id));
        }
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.open {
            self.senders.with(self.table, |windows| windows.forget(self.id.source, self.id.epoch));
        }
    }
}

impl Senders {
    pub(crate) fn new(limits: DedupLimits) -> Self {
        let stripes = (0..STRIPES).map(|_| tokio::sync::Mutex::default()).collect();
        Self { limits, tables: Mutex::default(), stripes, hash: RandomState::new() }
    }

    /// Waits until nobody else is about to store this batch.
    pub(crate) async fn turn(&self, table: &TableName, id: BatchId) -> MutexGuard<'_, ()> {
        let place = self.hash.hash_one((table, id)) as usize % STRIPES;
        self.stripes[place].lock().await
    }

    /// What is known of a batch. A sender of whom nothing is known is looked up in the table.
    pub(crate) async fn seen(&self, server: &Server, table: &TableName, id: BatchId) -> Result<Seen, RequestError> {
        let known =
            |windows: &mut BatchWindows| windows.window(id.source, id.epoch).map(|window| window.seen(id.sequence));
        // Without tokens the server itself stops no second copy that came by way of another process.
        if server.features.has(Features::TOKENS)
            && let Some(seen) = self.with(table, known)
        {
            return Ok(seen);
        }
        let stored = self.stored(server, table, id).await?;
        Ok(self.with(table, |windows| {
            // Another batch of the sender may have been stored meanwhile, so nothing is taken back.
            for &sequence in stored.iter().rev() {
                windows.record(BatchId { sequence, ..id });
            }
            windows.seen(id)
        }))
    }

    /// From here on it is not sure whether the batch is stored, until [`Doubt::settle`] is called.
    pub(crate) fn doubt<'a>(&'a self, table: &'a TableName, id: BatchId) -> Doubt<'a> {
        Doubt { senders: self, table, id, open: true }
    }

    /// How many windows were forgotten for lack of room.
    pub(crate) fn forgotten(&self) -> u64 {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.values().map(BatchWindows::forgotten).sum()
    }

    fn with<T>(&self, table: &TableName, use_it: impl FnOnce(&mut BatchWindows) -> T) -> T {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        use_it(tables.entry(table.clone()).or_insert_with(|| BatchWindows::new(self.limits)))
    }

    /// The highest numbers stored of this sender, the highest first.
    async fn stored(&self, server: &Server, table: &TableName, id: BatchId) -> Result<Vec<u64>, RequestError> {
        let sender = &id_bytes(id)[..24];
        let window = self.limits.window.div_ceil(64).max(1) * 64;
        let lines = server.lines(format!(
            "SELECT DISTINCT hex(substring(BATCH, 25, 8)) AS NUMBER FROM {} WHERE substring(BATCH, 1, 24) = {} \
             ORDER BY NUMBER DESC LIMIT {window}",
            Name(table.as_str()),
            Text(sender),
        ));
        let wrong = || RequestError::Nonsense { host: server.place(), reason: "no number of a batch".to_owned() };
        lines.await?.iter().map(|line| u64::from_str_radix(line, 16).map_err(|_| wrong())).collect()
    }
}
