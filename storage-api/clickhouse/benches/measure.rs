//! What a ClickHouse does with a call-like table: rows appended per second, bytes per row, columns by their size, questions.
//! `cargo bench -p metaflow-storage-clickhouse [-- ROWS]` starts a server of its own; figures as `figure NAME VALUE UNIT`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement reads the clock, prints, and ends when something is wrong"
)]

use std::sync::Arc;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::DataType;
use futures::TryStreamExt;
use metaflow_storage_clickhouse::{ClickHouse, Options};
use storage_api::{
    BatchId, ColumnDefinition, ColumnKind, IngestBatch, Predicate, ScanRequest, Storage, TableDefinition, TimeRange,
    Timestamp,
};
use xtask::servers;

const START: i64 = 1_748_736_000_000_000_000;
const BATCH: usize = 8192;
/// Calls per second of the day that is written.
const RATE: i64 = 20_000;

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Small numbers are frequent, as services and endpoints are.
    fn skewed(&mut self, limit: u64) -> u64 {
        let part = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (part * part * part * limit as f64) as u64
    }
}

/// The columns of a stored call, ids in place of names.
fn calls() -> TableDefinition {
    let number = DataType::UInt64;
    let trace = |name: &str, width| ColumnDefinition::new(name, ColumnKind::Binary, DataType::FixedSizeBinary(width));
    TableDefinition::builder("calls")
        .time("time", "first byte of the request")
        .duration("duration", "to the end of the answer")
        .writer("writer", "who gave out the ids")
        .id("protocol", "protocol", "")
        .id("request_type", "request_type", "")
        .id("domain", "domain", "")
        .id("endpoint", "endpoint", "")
        .id("status_code", "status_code", "")
        .column(ColumnDefinition::new("status", ColumnKind::Number, DataType::UInt8))
        .id("client_tags", "tag_set", "")
        .id("server_tags", "tag_set", "")
        .address("client_address", "")
        .number("client_port", DataType::UInt16, "")
        .address("server_address", "")
        .number("server_port", DataType::UInt16, "")
        .number("request_bytes", number.clone(), "")
        .number("response_bytes", number.clone(), "")
        .number("flow_id", number.clone(), "")
        .number("id", number, "")
        .flag("captured_complete", "")
        .column(trace("trace_id", 16))
        .column(trace("span_id", 8))
        .text("resource", "path with query")
        .text("exception", "")
        .sort_by(["server_tags", "endpoint", "time"])
        .build()
        .unwrap()
}

/// `traced`: one call in so many has a trace; `text`: whether the resource is there.
fn batch(table: &TableDefinition, dice: &mut Dice, number: usize, traced: u64, text: bool) -> RecordBatch {
    let rows: Vec<u64> = (0..BATCH as u64).map(|row| number as u64 * BATCH as u64 + row).collect();
    let services: Vec<u64> = rows.iter().map(|_| dice.skewed(300)).collect();
    let endpoints: Vec<u64> = services.iter().map(|service| service * 20 + dice.skewed(20)).collect();
    let pods = |service: &u64, dice: &mut Dice| service * 16 + dice.next() % 16;
    let clients: Vec<u64> = rows.iter().map(|_| dice.skewed(5000)).collect();
    let servers: Vec<u64> = services.iter().map(|service| pods(service, dice)).collect();
    let u32s =
        |values: Vec<u64>| Arc::new(UInt32Array::from_iter_values(values.into_iter().map(|v| v as u32))) as ArrayRef;
    let u64s = |values: Vec<u64>| Arc::new(UInt64Array::from(values)) as ArrayRef;
    let address = |pod: &u64| [&[0; 10][..], &[0xff, 0xff, 10, 1, (pod >> 8) as u8, *pod as u8]].concat();
    let addresses =
        |pods: &[u64]| Arc::new(FixedSizeBinaryArray::try_from_iter(pods.iter().map(address)).unwrap()) as ArrayRef;
    let binary = |width: i32, dice: &mut Dice| {
        let values = rows.iter().map(|_| {
            let bytes = [dice.next().to_be_bytes(), dice.next().to_be_bytes()].concat();
            (traced > 0 && dice.next().is_multiple_of(traced)).then(|| bytes[..width as usize].to_vec())
        });
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.collect::<Vec<_>>().into_iter(), width)
                .unwrap(),
        ) as ArrayRef
    };
    let step = 1_000_000_000 / RATE;
    let times = rows.iter().map(|&row| START + row as i64 * step + (dice.next() % step as u64) as i64);
    let times = TimestampNanosecondArray::from_iter_values(times.collect::<Vec<_>>()).with_timezone("+00:00");
    let failed: Vec<bool> = rows.iter().map(|_| dice.next().is_multiple_of(100)).collect();
    let path = |endpoint: &u64, dice: &mut Dice| format!("/api/v1/things/{endpoint}?page={}", dice.next() % 1000);
    let resource: StringArray = endpoints.iter().map(|endpoint| text.then(|| path(endpoint, dice))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        Arc::new(Int64Array::from_iter_values(
            endpoints.iter().map(|e| (200_000 + e * 1000 + dice.skewed(5_000_000)) as i64 / 1000 * 1000),
        )),
        Arc::new(UInt16Array::from(vec![1; BATCH])),
        u32s(services.iter().map(|service| service % 5).collect()),
        u32s(endpoints.iter().map(|endpoint| endpoint % 7).collect()),
        u32s(services.clone()),
        u32s(endpoints.clone()),
        u32s(failed.iter().map(|failed| if *failed { 500 } else { 200 }).collect()),
        Arc::new(UInt8Array::from_iter_values(failed.iter().map(|failed| u8::from(*failed)))),
        u32s(clients.clone()),
        u32s(servers.clone()),
        addresses(&clients),
        Arc::new(UInt16Array::from_iter_values(rows.iter().map(|_| 32768 + dice.next() as u16 % 28000))),
        addresses(&servers),
        Arc::new(UInt16Array::from_iter_values(services.iter().map(|service| 8000 + *service as u16 % 50))),
        u64s(endpoints.iter().map(|endpoint| 100 + endpoint % 300 + dice.skewed(200)).collect()),
        u64s(endpoints.iter().map(|endpoint| 200 + endpoint % 3000 + dice.skewed(2000)).collect()),
        u64s(rows.iter().map(|row| row / 8).collect()),
        u64s(rows.clone()),
        Arc::new(BooleanArray::from(vec![true; BATCH])),
        binary(16, dice),
        binary(8, dice),
        Arc::new(resource),
        Arc::new(failed.iter().map(|failed| failed.then_some("connection refused")).collect::<StringArray>()),
    ];
    RecordBatch::try_new(table.schema().clone(), columns).unwrap()
}

async fn append(store: &Arc<ClickHouse>, table: &TableDefinition, batches: &[RecordBatch]) {
    let each = batches.len().div_ceil(4).max(1);
    let senders = batches.chunks(each).enumerate().map(|(sender, batches)| {
        let (store, name, batches) = (store.clone(), table.name().clone(), batches.to_vec());
        tokio::spawn(async move {
            for (sequence, batch) in batches.into_iter().enumerate() {
                let id = BatchId { source: sender as u128, epoch: 1, sequence: sequence as u64 };
                store.append(&name, IngestBatch::new(id, batch)).await.unwrap();
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
}

async fn ask(store: &ClickHouse, sql: &str) -> Vec<RecordBatch> {
    store.query(sql).await.unwrap().try_collect().await.unwrap()
}

async fn measure(server: &servers::ClickHouse, rows: usize, what: &str, traced: u64, text: bool, durability: &str) {
    let url = format!("clickhouse://127.0.0.1:{}/{what}?durability={durability}", server.http);
    let store = Arc::new(ClickHouse::open(url.parse().unwrap(), Options::default()).await.unwrap());
    let table = store.create_table(&calls()).await.unwrap();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let batches: Vec<_> =
        (0..rows.div_ceil(BATCH)).map(|number| batch(&table, &mut dice, number, traced, text)).collect();
    let rows = batches.len() * BATCH;

    let clock = Instant::now();
    append(&store, &table, &batches).await;
    println!("figure clickhouse.append.{what}.rows_per_s {:.0} rows/s", rows as f64 / clock.elapsed().as_secs_f64());
    drop(batches);

    server.command(&format!("OPTIMIZE TABLE {what}.calls FINAL")).unwrap();
    let sizes = "SELECT name, data_compressed_bytes, type, compression_codec FROM system.columns \
                 WHERE database = currentDatabase() AND table = 'calls' ORDER BY data_compressed_bytes DESC";
    let mut all = 0;
    for columns in ask(&store, sizes).await {
        let bytes = columns.column(1).as_primitive::<UInt64Type>();
        for row in 0..columns.num_rows() {
            let (name, data_type) = (columns.column(0).as_string::<i32>(), columns.column(2).as_string::<i32>());
            let per_row = bytes.value(row) as f64 / rows as f64;
            println!("  {:<18} {per_row:6.3} bytes  {}", name.value(row), data_type.value(row));
            all += bytes.value(row);
        }
    }
    println!("figure clickhouse.bytes_per_call.{what} {:.2} bytes", all as f64 / rows as f64);

    let scan = async |name: &str, request: ScanRequest| {
        let clock = Instant::now();
        let batches: Vec<RecordBatch> = store.scan(request).await.unwrap().try_collect().await.unwrap();
        let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
        println!("figure clickhouse.scan.{what}.{name} {:.1} ms ({found} rows)", clock.elapsed().as_secs_f64() * 1e3);
    };
    let all = || ScanRequest::new(table.name().clone());
    scan("three_columns", all().columns(["endpoint", "duration", "status"])).await;
    scan("all_columns", all()).await;
    let span = TimeRange::between(Timestamp::from_nanos(START), Timestamp::from_nanos(START + 10_000_000_000));
    scan("ten_seconds", all().within(span).columns(["endpoint", "duration"])).await;
    scan("one_endpoint", all().columns(["time", "duration"]).filter(Predicate::eq("endpoint", 5000u32))).await;
    scan("no_such_trace", all().filter(Predicate::eq("trace_id", vec![1u8; 16]))).await;
    let clock = Instant::now();
    let sql = "SELECT endpoint, count(), avg(duration), countIf(status > 0) FROM calls GROUP BY endpoint";
    let groups: usize = ask(&store, sql).await.iter().map(RecordBatch::num_rows).sum();
    println!("figure clickhouse.sql.{what}.group {:.1} ms ({groups} rows)", clock.elapsed().as_secs_f64() * 1e3);
}

fn main() {
    let rows = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(2_000_000);
    let server = match servers::ClickHouse::start() {
        Ok(server) => server,
        Err(error) => return println!("skipped: {error:#}"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        measure(&server, rows, "no_text", 0, false, "disk").await;
        measure(&server, rows, "traced_tenth", 10, false, "disk").await;
        measure(&server, rows, "text_and_traces", 1, true, "disk").await;
        measure(&server, rows, "no_text_os", 0, false, "os").await;
    });
}
