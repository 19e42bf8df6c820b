//! Hostile values and random conditions, beside the reference.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{
    ArrayRef, BinaryArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt32Array,
};
use arrow_schema::DataType;
use futures::TryStreamExt;
use metaflow_storage_clickhouse::{Address, Features, Options};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use storage_api::{
    BatchId, ColumnDefinition, ColumnKind, Comparison, IngestBatch, Memory, Predicate, Pushdown, Scalar, ScanRequest,
    Storage, TableDefinition, TimeRange, Timestamp,
};

use crate::support::{DAY, START, fresh_address, open, port, run_alone};

/// What ends literals, comments and statements, or is no text.
const HOSTILE: [&str; 12] = [
    "'",
    "\\'",
    "'; DROP TABLE odd; --",
    "\\",
    "`",
    "\"",
    "{p:String}",
    "%_",
    "\0",
    "\u{1f4a9}é",
    "/*",
    "\\x27 OR 1=1",
];
const TIMES: [i64; 7] = [i64::MIN, -1, START, START + 1, START + DAY - 1, START + DAY, i64::MAX];

fn odd() -> TableDefinition {
    TableDefinition::builder("odd")
        .describe("it's `odd`\n\\ \u{1f4a9}")
        .time("time", "'; DROP TABLE odd; --")
        .number("row", DataType::UInt32, "")
        .required()
        .text("text", "\\'")
        .binary("bytes", "")
        .column(ColumnDefinition::new("fixed", ColumnKind::Binary, DataType::FixedSizeBinary(3)))
        .address("address", "")
        .number("i64", DataType::Int64, "")
        .number("f32", DataType::Float32, "")
        .number("f64", DataType::Float64, "")
        .sort_by(["text", "f64", "time"])
        .build()
        .unwrap()
}

fn floats() -> Vec<f64> {
    vec![
        0.0,
        -0.0,
        f64::NAN,
        // Prometheus' mark of a series that ended: the bits of a NaN count.
        f64::from_bits(0x7ff0_0000_0000_0002),
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1,
        f64::from(0.1_f32),
        f64::MIN_POSITIVE,
        1e308,
    ]
}

fn binaries() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = HOSTILE.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.extend([
        vec![],
        vec![0],
        vec![0, 0, 0],
        vec![0xff; 3],
        vec![0xff, 0, 0x27],
        vec![0xff; 4],
        vec![0; 16],
        vec![0xff; 16],
    ]);
    all.push([&[0; 10][..], &[0xff, 0xff, 10, 0, 0, 1][..]].concat());
    all
}

/// One row of every value of every column, by different strides, with NULLs between.
fn rows() -> RecordBatch {
    const ROWS: usize = 600;
    fn pick<T: Clone>(values: &[T], stride: usize) -> impl Iterator<Item = Option<T>> {
        let values: Vec<T> = values.to_vec();
        (0..ROWS).map(move |row| (row % 7 != stride % 7).then(|| values[row * stride % values.len()].clone()))
    }
    let of_width = |width: usize| -> Vec<Vec<u8>> {
        binaries()
            .into_iter()
            .map(|mut bytes| {
                bytes.resize(width, 0x27);
                bytes
            })
            .collect()
    };
    let fixed = |width: usize, stride| {
        FixedSizeBinaryArray::try_from_sparse_iter_with_size(pick(&of_width(width), stride), width as i32).unwrap()
    };
    let bytes: Vec<Option<Vec<u8>>> = pick(&binaries(), 5).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            TimestampNanosecondArray::from_iter_values((0..ROWS).map(|row| TIMES[row % 7])).with_timezone("+00:00"),
        ),
        Arc::new(UInt32Array::from_iter_values(0..ROWS as u32)),
        Arc::new(pick(&HOSTILE, 1).collect::<StringArray>()),
        Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>()),
        Arc::new(fixed(3, 2)),
        Arc::new(fixed(16, 3)),
        Arc::new(pick(&[i64::MIN, -1, 0, 1, i64::MAX], 4).collect::<Int64Array>()),
        Arc::new(pick(&floats(), 3).map(|value| value.map(|value| value as f32)).collect::<Float32Array>()),
        Arc::new(pick(&floats(), 6).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(odd().schema().clone(), columns).unwrap()
}

fn leaf() -> impl Strategy<Value = Predicate> {
    use Comparison::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let op = prop::sample::select(vec![Eq, NotEq, Lt, LtEq, Gt, GtEq]);
    let number = prop_oneof![
        prop::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]).prop_map(Scalar::Int),
        prop::sample::select(vec![0, 1, u64::MAX]).prop_map(Scalar::UInt),
    ];
    let float = prop_oneof![prop::sample::select(floats()).prop_map(Scalar::Float), number.clone()];
    let binary = prop::sample::select(binaries()).prop_map(Scalar::Binary);
    let text = prop_oneof![
        prop::sample::select(HOSTILE.to_vec()).prop_map(Scalar::from),
        any::<String>().prop_map(Scalar::Text)
    ];
    let time = prop::sample::select(TIMES.to_vec()).prop_map(|time| Scalar::Timestamp(Timestamp::from_nanos(time)));
    let value = move |column: &'static str| -> BoxedStrategy<(&'static str, Scalar)> {
        let values = match column {
            "time" => time.clone().boxed(),
            "text" => text.clone().boxed(),
            "i64" | "row" => number.clone().boxed(),
            "f32" | "f64" => float.clone().boxed(),
            _ => binary.clone().boxed(),
        };
        values.prop_map(move |value| (column, value)).boxed()
    };
    let columns = ["time", "row", "text", "bytes", "fixed", "address", "i64", "f32", "f64"];
    let any_value = prop::sample::select(columns.to_vec()).prop_flat_map(value.clone());
    let several = prop::sample::select(columns.to_vec()).prop_flat_map(move |column| {
        prop::collection::vec(value(column), 0..5).prop_map(move |values| (column, values))
    });
    prop_oneof![
        4 => (any_value.clone(), op).prop_map(|((column, value), op)| Predicate::compare(column, op, value)),
        2 => several.prop_map(|(column, values)| Predicate::any_of(column, values.into_iter().map(|(_, value)| value))),
        1 => prop::sample::select(columns.to_vec()).prop_map(Predicate::is_null),
        2 => any_value.prop_filter_map("only text and bytes begin with something", |(column, value)| match value {
            Scalar::Text(_) | Scalar::Binary(_) => Some(Predicate::starts_with(column, value)),
            _ => None,
        }),
    ]
}

fn condition() -> impl Strategy<Value = Predicate> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Predicate::Or),
            inner.prop_map(|inner| Predicate::Not(Box::new(inner))),
        ]
    })
}

async fn found(store: &dyn Storage, request: ScanRequest) -> Vec<u32> {
    let batches: Vec<RecordBatch> = store.scan(request).await.unwrap().try_collect().await.unwrap();
    let mut rows: Vec<u32> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt32Type>().values().to_vec()).collect();
    rows.sort_unstable();
    rows
}

fn agrees(address: Option<Address>, features: Features, cases: u32) {
    let Some(address) = address else { return println!("skipped: there is no ClickHouse") };
    let (store, memory) = run_alone(async {
        let store = open(&address, Options { features, ..Options::default() }).await;
        let memory = Memory::default();
        for target in [&store as &dyn Storage, &memory] {
            assert_eq!(target.create_table(&odd()).await.unwrap(), odd());
            let batch = IngestBatch::new(BatchId { source: 1, epoch: 1, sequence: 1 }, rows());
            target.append(odd().name(), batch).await.unwrap();
        }
        (store, memory)
    });
    let edges = prop::option::of(prop::sample::select(TIMES.to_vec()));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let tested = runner.run(&(condition(), edges.clone(), edges), |(predicate, from, until)| {
        let range = TimeRange { from: from.map(Timestamp::from_nanos), until: until.map(Timestamp::from_nanos) };
        let request = ScanRequest::new(odd().name().clone()).columns(["row"]).within(range).filter(predicate.clone());
        run_alone(async {
            prop_assert_eq!(store.pushdown(odd().name(), &predicate), Pushdown::Exact);
            prop_assert_eq!(found(&store, request.clone()).await, found(&memory, request).await, "{}", predicate);
            Ok(())
        })
    });
    if let Err(error) = tested {
        panic!("{error}");
    }
}

#[test]
fn conditions_on_hostile_values_agree_with_the_reference() {
    agrees(port().map(|_| fresh_address()), Features::ALL, 1500);
}

#[test]
fn they_agree_on_a_server_that_can_do_little() {
    agrees(port().map(|_| fresh_address()), Features::NONE, 500);
}

#[test]
fn they_agree_on_a_cluster() {
    agrees(crate::cluster::address_if_any(), Features::ALL, 300);
}

#[test]
fn hostile_values_come_back_as_they_went() {
    if port().is_none() {
        println!("skipped: there is no ClickHouse");
        return;
    }
    run_alone(async {
        let store = open(&fresh_address(), Options::default()).await;
        store.create_table(&odd()).await.unwrap();
        let batch = IngestBatch::new(BatchId { source: 1, epoch: 1, sequence: 1 }, rows());
        store.append(odd().name(), batch).await.unwrap();
        let batches: Vec<RecordBatch> =
            store.scan(ScanRequest::new(odd().name().clone())).await.unwrap().try_collect().await.unwrap();
        let mut compared = 0;
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let original = batch.column(1).as_primitive::<UInt32Type>().value(row) as usize;
                for (found, sent) in batch.columns().iter().zip(rows().columns()) {
                    assert_eq!(&found.slice(row, 1).to_data(), &sent.slice(original, 1).to_data());
                }
                compared += 1;
            }
        }
        assert_eq!(compared, rows().num_rows());
    });
}
