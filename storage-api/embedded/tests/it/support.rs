//! What several tests need.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow_schema::DataType;
use futures::TryStreamExt;
use metaflow_storage_embedded::{Embedded, Options};
use storage_api::{BatchId, IngestBatch, ScanRequest, Storage, TableDefinition, TableName};

/// 2025-06-01T00:00:00Z.
pub(crate) const START: i64 = 1_748_736_000_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

/// Runs a future in a runtime of its own.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(future)
}

/// Nothing happens unless the test asks for it.
pub(crate) fn quiet() -> Options {
    Options { flush_after: Duration::from_secs(3600), ..Options::default() }
}

pub(crate) async fn open(path: &Path) -> Embedded {
    Embedded::open(path, quiet()).await.unwrap()
}

pub(crate) fn plain() -> TableDefinition {
    TableDefinition::builder("plain")
        .time("time", "when")
        .number("value", DataType::UInt64, "which")
        .text("note", "what else")
        .build()
        .unwrap()
}

pub(crate) fn name(table: &str) -> TableName {
    TableName::new(table).unwrap()
}

pub(crate) fn id(sequence: u64) -> BatchId {
    BatchId { source: 1, epoch: 1, sequence }
}

/// Rows of [`plain`] without notes, one second apart.
pub(crate) fn rows(values: impl IntoIterator<Item = u64>) -> RecordBatch {
    rows_at(START, values)
}

pub(crate) fn rows_at(start: i64, values: impl IntoIterator<Item = u64>) -> RecordBatch {
    let values: Vec<u64> = values.into_iter().collect();
    let times = (0..values.len() as i64).map(|second| start + second * SECOND);
    let times = TimestampNanosecondArray::from_iter_values(times).with_timezone("+00:00");
    RecordBatch::try_from_iter([
        ("time", Arc::new(times) as Arc<dyn arrow_array::Array>),
        ("value", Arc::new(UInt64Array::from(values))),
    ])
    .unwrap()
}

pub(crate) async fn append(store: &Embedded, sequence: u64, values: impl IntoIterator<Item = u64>) {
    store.append(&name("plain"), IngestBatch::new(id(sequence), rows(values))).await.unwrap();
}

pub(crate) async fn scan(store: &dyn Storage, request: ScanRequest) -> Vec<RecordBatch> {
    store.scan(request).await.unwrap().try_collect().await.unwrap()
}

/// All values of [`plain`], sorted.
pub(crate) async fn values(store: &dyn Storage) -> Vec<u64> {
    let batches = scan(store, ScanRequest::new(name("plain")).columns(["value"])).await;
    let mut values: Vec<u64> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec()).collect();
    values.sort_unstable();
    values
}
