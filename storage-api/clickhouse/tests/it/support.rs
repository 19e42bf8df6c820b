//! What several tests need.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow_schema::DataType;
use futures::TryStreamExt;
use metaflow_storage_clickhouse::{Address, ClickHouse, Options};
use storage_api::{AppendError, BatchId, IngestBatch, ScanRequest, Storage, TableDefinition, TableName};
use tokio::runtime::Runtime;
use xtask::servers;

/// One server for all tests that need no more; it ends with this process.
static SERVER: LazyLock<Option<servers::ClickHouse>> = LazyLock::new(|| match servers::ClickHouse::start() {
    Ok(server) => Some(server),
    Err(error) => {
        println!("skipped: no ClickHouse for the tests: {error:#}");
        None
    }
});

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// The port of the server that all tests share.
pub(crate) fn port() -> Option<u16> {
    SERVER.as_ref().map(|server| server.http)
}

/// Runs a future to its end if there is a ClickHouse; connections outlive it, so all share one runtime.
pub(crate) fn run<F: Future<Output = ()>>(future: F) {
    match port() {
        Some(_) => RUNTIME.block_on(future),
        None => println!("skipped: there is no ClickHouse"),
    }
}

/// Runs a future that needs none.
pub(crate) fn run_alone<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// A database that no other test has.
pub(crate) fn fresh_address() -> Address {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("clickhouse://127.0.0.1:{}/test_{number}", port().unwrap()).parse().unwrap()
}

pub(crate) async fn open(address: &Address, options: Options) -> ClickHouse {
    ClickHouse::open(address.clone(), options).await.unwrap()
}

/// 2025-06-01T00:00:00Z.
pub(crate) const START: i64 = 1_748_736_000_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const DAY: i64 = 86_400 * SECOND;

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

pub(crate) fn id(source: u128, sequence: u64) -> BatchId {
    BatchId { source, epoch: 1, sequence }
}

/// Rows of [`plain`], so far apart.
pub(crate) fn rows(step: i64, values: impl IntoIterator<Item = u64>) -> RecordBatch {
    let values: Vec<u64> = values.into_iter().collect();
    let times = (0..values.len() as i64).map(|row| START + row * step);
    let times = TimestampNanosecondArray::from_iter_values(times).with_timezone("+00:00");
    RecordBatch::try_from_iter([
        ("time", Arc::new(times) as ArrayRef),
        ("value", Arc::new(UInt64Array::from(values)) as ArrayRef),
    ])
    .unwrap()
}

pub(crate) async fn append(store: &ClickHouse, id: BatchId, rows: RecordBatch) -> Result<(), AppendError> {
    store.append(&name("plain"), IngestBatch::new(id, rows)).await
}

pub(crate) async fn scan(store: &dyn Storage, request: ScanRequest) -> Vec<RecordBatch> {
    store.scan(request).await.unwrap().try_collect().await.unwrap()
}

/// All values of [`plain`], sorted.
pub(crate) async fn values(store: &dyn Storage) -> Vec<u64> {
    numbers(&scan(store, ScanRequest::new(name("plain")).columns(["value"])).await)
}

/// The numbers of the first column, sorted.
pub(crate) fn numbers(batches: &[RecordBatch]) -> Vec<u64> {
    let mut values: Vec<u64> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec()).collect();
    values.sort_unstable();
    values
}

/// What the database itself answers to a question whose answer is one column of numbers.
pub(crate) async fn ask(store: &ClickHouse, sql: &str) -> Vec<u64> {
    numbers(&store.query(sql).await.unwrap().try_collect::<Vec<_>>().await.unwrap())
}

/// Runs a statement that changes something, as its owner may at any time, past the store.
pub(crate) fn command(sql: &str) {
    SERVER.as_ref().unwrap().command(sql).unwrap();
}
