use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use async_trait::async_trait;
use futures::StreamExt;

use crate::scan::project;
use crate::{
    AppendError, BatchStream, BatchWindows, Capabilities, Comparison, CreateTableError, DedupLimits, DropError,
    Durability, IngestBatch, Predicate, Pushdown, ScanError, ScanRequest, Seen, Storage, TableDefinition, TableName,
    TimeRange, Timestamp, conform, filter, widen,
};

/// Tables in memory: the reference that every backend is compared with, and a store for tests.
///
/// Every predicate is exact. Nothing survives the process. A full memory refuses appends with a retryable error until
/// [`Storage::drop_before`] makes room.
#[derive(Debug)]
pub struct Memory {
    limits: MemoryLimits,
    tables: RwLock<BTreeMap<TableName, Table>>,
}

/// Bounds of [`Memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of all rows together, as Arrow counts them.
    pub bytes: usize,
    /// Bytes of one batch.
    pub batch_bytes: usize,
    /// Rows of one batch.
    pub batch_rows: usize,
    /// How batches are remembered.
    pub dedup: DedupLimits,
}

/// What [`Memory`] holds and refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Rows in all tables.
    pub rows: usize,
    /// Their bytes, as Arrow counts them.
    pub bytes: usize,
    /// Batches refused because memory was full.
    pub refused: u64,
    /// Windows of senders that were forgotten, see [`DedupLimits::senders`].
    pub windows_forgotten: u64,
}

#[derive(Debug)]
struct Table {
    definition: TableDefinition,
    /// Each in the shape that the table had when it came.
    batches: Vec<RecordBatch>,
    windows: BatchWindows,
    refused: u64,
}

impl Default for MemoryLimits {
    /// 1 GiB, batches of 64 MiB and a million rows.
    fn default() -> Self {
        Self { bytes: 1 << 30, batch_bytes: 64 << 20, batch_rows: 1 << 20, dedup: DedupLimits::default() }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(MemoryLimits::default())
    }
}

impl Memory {
    /// An empty store.
    pub fn new(limits: MemoryLimits) -> Self {
        Self { limits, tables: RwLock::default() }
    }

    /// What it holds and refused so far.
    pub fn stats(&self) -> MemoryStats {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let mut stats = MemoryStats { bytes: bytes(&tables), ..MemoryStats::default() };
        for table in tables.values() {
            stats.rows += table.batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            stats.refused += table.refused;
            stats.windows_forgotten += table.windows.forgotten();
        }
        stats
    }
}

fn bytes(tables: &BTreeMap<TableName, Table>) -> usize {
    tables.values().flat_map(|table| &table.batches).map(RecordBatch::get_array_memory_size).sum()
}

impl TimeRange {
    /// The range as a condition on a time column.
    pub fn predicate(self, column: &str) -> Predicate {
        let from = self.from.map(|from| Predicate::compare(column, Comparison::GtEq, from));
        let until = self.until.map(|until| Predicate::compare(column, Comparison::Lt, until));
        Predicate::And(from.into_iter().chain(until).collect())
    }
}

#[async_trait]
impl Storage for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durability: Durability::Memory,
            batch_rows: Some(self.limits.batch_rows),
            batch_bytes: Some(self.limits.batch_bytes),
            dedup_window: self.limits.dedup.window.div_ceil(64) * 64,
            ..Capabilities::default()
        }
    }

    async fn create_table(&self, table: &TableDefinition) -> Result<TableDefinition, CreateTableError> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let stored = match tables.get_mut(table.name()) {
            Some(stored) => {
                stored.definition = stored.definition.grown_by(table)?;
                stored
            }
            None => tables.entry(table.name().clone()).or_insert(Table {
                definition: table.clone(),
                batches: Vec::new(),
                windows: BatchWindows::new(self.limits.dedup),
                refused: 0,
            }),
        };
        Ok(stored.definition.clone())
    }

    async fn append(&self, name: &TableName, batch: IngestBatch) -> Result<(), AppendError> {
        let IngestBatch { id, batch } = batch;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let used = bytes(&tables);
        let table = tables.get_mut(name).ok_or_else(|| AppendError::UnknownTable { table: name.clone() })?;
        if batch.num_rows() > self.limits.batch_rows {
            return Err(AppendError::TooLarge { size: batch.num_rows(), limit: self.limits.batch_rows, unit: "rows" });
        }
        let rows =
            conform(&batch, &table.definition).map_err(|source| AppendError::Schema { table: name.clone(), source })?;
        let size = rows.get_array_memory_size();
        if size > self.limits.batch_bytes {
            return Err(AppendError::TooLarge { size, limit: self.limits.batch_bytes, unit: "bytes" });
        }
        match table.windows.seen(id) {
            Seen::Before => return Ok(()),
            Seen::Unknown { oldest } => return Err(AppendError::TooOld { id, oldest }),
            Seen::New => {}
        }
        if rows.num_rows() > 0 {
            if used + size > self.limits.bytes {
                table.refused += 1;
                let reason = format!("memory is full: {used} of {} bytes", self.limits.bytes);
                return Err(AppendError::Full { reason });
            }
            table.batches.push(rows);
        }
        table.windows.record(id);
        Ok(())
    }

    async fn scan(&self, request: ScanRequest) -> Result<BatchStream, ScanError> {
        let (definition, batches) = {
            let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
            let table =
                tables.get(&request.table).ok_or_else(|| ScanError::UnknownTable { table: request.table.clone() })?;
            (table.definition.clone(), table.batches.clone())
        };
        let columns = request.resolve(&definition)?;
        let fields: Vec<_> = columns.iter().map(|&index| definition.schema().fields()[index].clone()).collect();
        let answer = Schema::new(fields).into();
        let time = request.time.predicate(definition.time_column());
        let predicate = request.predicate.unwrap_or_else(Predicate::always);
        let rows = move |batch: &RecordBatch| -> Result<RecordBatch, ScanError> {
            let rows = filter(&filter(&widen(batch, &definition)?, &time)?, &predicate)?;
            Ok(project(&rows, &columns, &answer)?)
        };
        let mut left = request.limit.unwrap_or(usize::MAX);
        let answers = batches.into_iter().filter_map(move |batch| {
            if left == 0 {
                return None;
            }
            let cut = rows(&batch).map(|rows| rows.slice(0, rows.num_rows().min(left)));
            left -= cut.as_ref().map_or(0, RecordBatch::num_rows);
            cut.map_or_else(|error| Some(Err(error)), |rows| (rows.num_rows() > 0).then_some(Ok(rows)))
        });
        Ok(futures::stream::iter(answers).boxed())
    }

    async fn drop_before(&self, name: &TableName, limit: Timestamp) -> Result<(), DropError> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let table = tables.get_mut(name).ok_or_else(|| DropError::UnknownTable { table: name.clone() })?;
        let kept = TimeRange { from: Some(limit), until: None }.predicate(table.definition.time_column());
        let batches = table.batches.iter().map(|batch| filter(batch, &kept)).collect::<Result<Vec<_>, _>>();
        let batches = batches.map_err(crate::BackendError::permanent)?;
        table.batches = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        Ok(())
    }

    fn pushdown(&self, table: &TableName, predicate: &Predicate) -> Pushdown {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let fits = tables.get(table).is_some_and(|table| predicate.check(table.definition.schema()).is_ok());
        if fits { Pushdown::Exact } else { Pushdown::Unsupported }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::TimestampNanosecondArray;
    use futures::executor::block_on;

    use super::*;
    use crate::BatchId;

    fn table() -> TableDefinition {
        TableDefinition::builder("t").time("time", "").build().unwrap()
    }

    fn batch(source: u128, sequence: u64, rows: i64) -> IngestBatch {
        let times = TimestampNanosecondArray::from_iter_values(0..rows).with_timezone("+00:00");
        let rows = RecordBatch::try_new(table().schema().clone(), vec![Arc::new(times)]).unwrap();
        IngestBatch::new(BatchId { source, epoch: 1, sequence }, rows)
    }

    #[test]
    fn a_full_memory_refuses_for_a_while_and_takes_again_when_old_rows_are_gone() {
        let store = Memory::new(MemoryLimits { bytes: 20_000, ..MemoryLimits::default() });
        block_on(store.create_table(&table())).unwrap();
        let name = table().name().clone();
        block_on(store.append(&name, batch(1, 1, 2000))).unwrap();
        let full = block_on(store.append(&name, batch(1, 2, 2000))).unwrap_err();
        assert!(full.is_retryable() && matches!(full, AppendError::Full { .. }), "{full}");
        assert_eq!((store.stats().rows, store.stats().refused), (2000, 1));
        block_on(store.drop_before(&name, Timestamp::MAX)).unwrap();
        block_on(store.append(&name, batch(1, 2, 2000))).unwrap();
        assert_eq!(store.stats().rows, 2000);
    }

    #[test]
    fn batches_beyond_the_byte_bound_and_senders_beyond_theirs_are_counted() {
        let dedup = DedupLimits { window: 64, senders: 1 };
        let store = Memory::new(MemoryLimits { batch_bytes: 1000, dedup, ..MemoryLimits::default() });
        block_on(store.create_table(&table())).unwrap();
        let name = table().name().clone();
        let large = block_on(store.append(&name, batch(1, 1, 2000))).unwrap_err();
        assert!(matches!(large, AppendError::TooLarge { unit: "bytes", limit: 1000, .. }), "{large}");
        block_on(store.append(&name, batch(1, 1, 1))).unwrap();
        block_on(store.append(&name, batch(2, 1, 1))).unwrap();
        assert_eq!(store.stats().windows_forgotten, 1);
    }
}
