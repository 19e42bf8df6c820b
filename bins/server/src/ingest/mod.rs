//! What comes in, on its way into the store: decode → encode → append. Each source of data brings its own first step; the other two
//! are shared.

mod encode;
mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use metaflow_protocol::tables::TABLES;
use metaflow_protocol::{Refusal, Table};
use storage_api::{AppendError, BatchId, IngestBatch, Storage, TableDefinition, Timestamp};
use tracing::warn;

use crate::names::Names;
use crate::retention::Retention;

pub(crate) use service::IngestService;

/// Encodes and appends: the part of the way that all sources share.
#[derive(Debug)]
pub(crate) struct Ingest {
    storage: Arc<dyn Storage>,
    names: Arc<Names>,
    counters: Counters,
    retention: Retention,
}

/// What came in since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) batches: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Rows that were older than is kept, and which the store therefore drops.
    pub(crate) too_old: AtomicU64,
}

/// From whom a batch is.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) id: BatchId,
    pub(crate) agent: String,
}

impl Ingest {
    /// Makes the tables be there; answers them as they stand.
    pub(crate) async fn new(
        storage: Arc<dyn Storage>,
        names: Arc<Names>,
        retention: Retention,
    ) -> anyhow::Result<(Self, Vec<TableDefinition>)> {
        let mut tables = Vec::new();
        for table in TABLES {
            tables.push(storage.create_table(&table.definition()?).await?);
        }
        tables.push(names.table().clone());
        Ok((Self { storage, names, counters: Counters::default(), retention }, tables))
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the dictionaries hold, and what their bounds kept out.
    pub(crate) fn names(&self) -> tag_encoder::DictionaryStats {
        self.names.stats()
    }

    /// Stores a batch that has the table's wire schema. Durable when it returns, once however often it is sent.
    pub(crate) async fn store(&self, table: &Table, origin: &Origin, batch: &RecordBatch) -> Result<(), Refusal> {
        let name = storage_api::TableName::new(table.name).map_err(|error| Refusal::Rejected(error.to_string()))?;
        let now = now();
        self.count_old(table, batch, now);
        let encoded = encode::encode(table, origin, batch, &self.names, now).await.map_err(|error| refusal(&error))?;
        self.storage.append(&name, IngestBatch::new(origin.id, encoded)).await.map_err(|error| refusal(&error))?;
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        self.counters.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Ingest {
    /// Counts the rows that the next sweep drops, and says so each time that they have doubled.
    fn count_old(&self, table: &Table, batch: &RecordBatch, now: Timestamp) {
        let Some(limit) = self.retention.limit(table.name, now) else { return };
        let times = batch.column_by_name("time").and_then(|time| time.as_primitive_opt::<TimestampNanosecondType>());
        let old =
            times.map_or(0, |times| times.values().iter().filter(|time| **time < limit.as_nanos()).count() as u64);
        if old > 0 {
            let before = self.counters.too_old.fetch_add(old, Ordering::Relaxed);
            if before == 0 || before.ilog2() < (before + old).ilog2() {
                warn!(table = table.name, rows = before + old, "rows came that are older than --retention keeps");
            }
        }
    }
}

/// The time of the server's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// What a failure of the store means to the sender.
fn refusal(error: &AppendError) -> Refusal {
    let text = error.to_string();
    match error {
        AppendError::Busy { .. } => Refusal::Busy(text),
        AppendError::TooLarge { .. } => Refusal::TooLarge(text),
        error if error.is_retryable() => Refusal::Unavailable(text),
        _ => Refusal::Rejected(text),
    }
}
