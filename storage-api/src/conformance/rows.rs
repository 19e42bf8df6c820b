//! Tables, rows and the comparison of rows for the suite.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, FixedSizeBinaryBuilder, Int16Builder, ListBuilder, MapBuilder, StringBuilder, UInt32Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    RecordBatch, TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Fields};
use futures::TryStreamExt;

use crate::{
    BatchId, ColumnDefinition, ColumnKind, IngestBatch, Memory, Pushdown, ScanRequest, Storage, StorageExt,
    TableBuilder, TableDefinition, TableName, Timestamp, filter,
};

/// A small generator of numbers, so that a failure can be repeated by its seed (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(super) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const HOUR: i64 = 3600 * SECOND;
/// 2025-06-01T00:00:00Z.
pub(super) const START: i64 = 1_748_736_000 * SECOND;

/// Times that lie on both sides of hours.
pub(super) const TIMES: [i64; 6] =
    [START, START + 1, START + HOUR - 1, START + HOUR, START + 2 * HOUR, START + 30 * HOUR];
pub(super) const FLOATS: [f64; 8] = [0.0, -0.0, 1.5, -1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300];
pub(super) const TEXTS: [&str; 6] = ["", "a", "ab", "it's", "é\0\n", "zz"];
pub(super) const SMALL: [i64; 5] = [0, 1, -1, i8::MIN as i64, i8::MAX as i64];

pub(super) fn id(sequence: u64) -> BatchId {
    BatchId { source: 0xfeed, epoch: 1, sequence }
}

pub(super) fn name(table: &str) -> TableName {
    TableName::new(table).expect("a proper name")
}

/// A table with every type that a column can have.
pub(super) fn every_type() -> TableDefinition {
    let number = |builder: TableBuilder, (name, data_type): (&str, DataType)| builder.number(name, data_type, "");
    let numbers = [
        ("i8", DataType::Int8),
        ("i16", DataType::Int16),
        ("i32", DataType::Int32),
        ("i64", DataType::Int64),
        ("u8", DataType::UInt8),
        ("u16", DataType::UInt16),
        ("u32", DataType::UInt32),
        ("u64", DataType::UInt64),
        ("f32", DataType::Float32),
        ("f64", DataType::Float64),
    ];
    let entries =
        Fields::from(vec![Field::new("keys", DataType::UInt32, false), Field::new("values", DataType::Utf8, true)]);
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false);
    numbers
        .into_iter()
        .fold(TableDefinition::builder("every_type").time("time", "when").flag("flag", "yes or no"), number)
        .text("text", "words")
        .binary("bytes", "bytes")
        .column(ColumnDefinition::new("fixed", ColumnKind::Binary, DataType::FixedSizeBinary(4)))
        .address("address", "who")
        .column(ColumnDefinition::new("list", ColumnKind::List, DataType::new_list(DataType::Int16, true)))
        .column(ColumnDefinition::new("map", ColumnKind::id("key"), map))
        .sort_by(["u32", "time"])
        .build()
        .expect("a proper table")
}

/// Rows of [`every_type`]: values from small sets, so that they repeat, with every eighth missing.
pub(super) fn random_rows(dice: &mut Dice, rows: usize) -> RecordBatch {
    let table = every_type();
    let columns = table.columns().map(|column| random_column(dice, &column, rows)).collect();
    RecordBatch::try_new(table.schema().clone(), columns).expect("rows of the table")
}

fn random_column(dice: &mut Dice, column: &ColumnDefinition, rows: usize) -> ArrayRef {
    let nullable = column.nullable;
    let mut cells: Vec<Option<u64>> = Vec::new();
    cells.resize_with(rows, || {
        let roll = dice.next();
        (!nullable || !roll.is_multiple_of(8)).then_some(roll >> 8)
    });
    let small = |cell: u64| SMALL[(cell % 5) as usize];
    let float = |cell: u64| FLOATS[(cell % 8) as usize];
    let text = |cell: u64| TEXTS[(cell % 6) as usize];
    macro_rules! numbers {
        ($array:ty, $number:ty, $value:expr) => {
            Arc::new(cells.iter().map(|cell| cell.map(|cell| $value(cell) as $number)).collect::<$array>())
        };
    }
    match &column.data_type {
        DataType::Timestamp(..) => {
            let times = cells.iter().map(|cell| cell.map(|cell| TIMES[(cell % 6) as usize]));
            Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone("+00:00"))
        }
        DataType::Boolean => {
            Arc::new(cells.iter().map(|cell| cell.map(|cell| cell % 2 == 0)).collect::<BooleanArray>())
        }
        DataType::Int8 => numbers!(Int8Array, i8, small),
        DataType::Int16 => numbers!(Int16Array, i16, small),
        DataType::Int32 => numbers!(Int32Array, i32, small),
        DataType::Int64 => numbers!(Int64Array, i64, small),
        DataType::UInt8 => numbers!(UInt8Array, u8, small),
        DataType::UInt16 => numbers!(UInt16Array, u16, small),
        DataType::UInt32 => numbers!(UInt32Array, u32, small),
        DataType::UInt64 => numbers!(UInt64Array, u64, small),
        DataType::Float32 => numbers!(Float32Array, f32, float),
        DataType::Float64 => numbers!(Float64Array, f64, float),
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            cells.iter().for_each(|cell| builder.append_option(cell.map(text)));
            Arc::new(builder.finish())
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            cells.iter().for_each(|cell| builder.append_option(cell.map(text)));
            Arc::new(builder.finish())
        }
        DataType::FixedSizeBinary(width) => {
            let mut builder = FixedSizeBinaryBuilder::new(*width);
            for cell in &cells {
                match cell {
                    Some(cell) => builder.append_value(vec![(cell % 3) as u8 * 0x7f; *width as usize]),
                    None => {
                        builder.append_null();
                        Ok(())
                    }
                }
                .expect("the column's width");
            }
            Arc::new(builder.finish())
        }
        DataType::List(_) => {
            let mut builder = ListBuilder::new(Int16Builder::new());
            for cell in &cells {
                builder.append_option(cell.map(|cell| (0..cell % 3).map(|bucket| Some(bucket as i16))));
            }
            Arc::new(builder.finish())
        }
        _ => {
            let mut builder = MapBuilder::new(None, UInt32Builder::new(), StringBuilder::new());
            for cell in &cells {
                for key in 0..cell.unwrap_or(0) % 3 {
                    builder.keys().append_value(key as u32);
                    builder.values().append_value(text(key));
                }
                builder.append(cell.is_some()).expect("as many keys as values");
            }
            Arc::new(builder.finish())
        }
    }
}

/// A narrow table for tests in which only identity counts.
pub(super) fn plain() -> TableDefinition {
    plain_named("plain")
}

pub(super) fn plain_named(table: &str) -> TableDefinition {
    TableDefinition::builder(table)
        .time("time", "when")
        .number("value", DataType::UInt64, "which")
        .build()
        .expect("a proper table")
}

/// Rows of [`plain`], one second apart.
pub(super) fn plain_rows(values: impl IntoIterator<Item = u64>) -> RecordBatch {
    let values: Vec<u64> = values.into_iter().collect();
    let times: Vec<i64> = (0..values.len() as i64).map(|second| START + second * SECOND).collect();
    let times = TimestampNanosecondArray::from(times).with_timezone("+00:00");
    RecordBatch::try_new(plain().schema().clone(), vec![Arc::new(times), Arc::new(UInt64Array::from(values))])
        .expect("rows of the table")
}

pub(super) async fn append(storage: &dyn Storage, table: &TableDefinition, sequence: u64, rows: RecordBatch) {
    storage.append(table.name(), IngestBatch::new(id(sequence), rows)).await.expect("the batch is stored");
}

pub(super) async fn create(storage: &dyn Storage, table: &TableDefinition) -> TableDefinition {
    storage.create_table(table).await.expect("the table is created")
}

pub(super) async fn read(storage: &dyn Storage, request: ScanRequest) -> Vec<RecordBatch> {
    let stream = storage.scan(request).await.expect("the scan begins");
    stream.try_collect().await.expect("the scan ends well")
}

/// The values of [`plain`] rows, sorted.
pub(super) async fn values(storage: &dyn Storage, table: &str) -> Vec<u64> {
    let batches = read(storage, ScanRequest::new(name(table)).columns(["value"])).await;
    let mut values: Vec<u64> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec()).collect();
    values.sort_unstable();
    values
}

/// A value in a form that has an order, to compare rows that come in any order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Number(i128),
    /// By its bits, all NaNs being one.
    Float(u64),
    Bytes(Vec<u8>),
    Many(Vec<Cell>),
}

/// All rows, sorted.
pub(super) fn sorted(batches: &[RecordBatch]) -> Vec<Vec<Cell>> {
    let mut rows: Vec<Vec<Cell>> = batches
        .iter()
        .flat_map(|batch| {
            let columns: Vec<Vec<Cell>> = batch.columns().iter().map(|column| cells(column.as_ref())).collect();
            (0..batch.num_rows()).map(move |row| columns.iter().map(|column| column[row].clone()).collect::<Vec<_>>())
        })
        .collect();
    rows.sort();
    rows
}

fn cells(array: &dyn Array) -> Vec<Cell> {
    let float = |value: f64| Cell::Float(if value.is_nan() { u64::MAX } else { value.to_bits() });
    let bytes = |value: &[u8]| Cell::Bytes(value.to_vec());
    macro_rules! numbers {
        ($($array:ty),*) => {$(
            if let Some(array) = array.as_any().downcast_ref::<$array>() {
                return array.iter().map(|value| value.map_or(Cell::Null, |value| Cell::Number(value.into()))).collect();
            }
        )*};
    }
    numbers!(
        BooleanArray,
        Int8Array,
        Int16Array,
        Int32Array,
        Int64Array,
        UInt8Array,
        UInt16Array,
        UInt32Array,
        UInt64Array,
        TimestampNanosecondArray
    );
    let cell = |row: usize| match array.data_type() {
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => bytes(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row)),
        DataType::List(_) => Cell::Many(cells(array.as_list::<i32>().value(row).as_ref())),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            Cell::Many(entries.columns().iter().map(|column| Cell::Many(cells(column.as_ref()))).collect())
        }
        other => panic_for(other),
    };
    (0..array.len()).map(|row| if array.is_null(row) { Cell::Null } else { cell(row) }).collect()
}

fn panic_for(data_type: &DataType) -> Cell {
    assert!(data_type.is_null(), "the suite has no column of type {data_type}");
    Cell::Null
}

/// Checks one request against the reference that holds the same rows.
pub(super) async fn agree(storage: &dyn Storage, reference: &Memory, table: &TableDefinition, request: ScanRequest) {
    let expected = sorted(&read(reference, request.clone()).await);
    let exact = storage.scan_exact(table, request.clone()).await.expect("the scan begins");
    let exact: Vec<RecordBatch> = exact.try_collect().await.expect("the scan ends well");
    assert_eq!(sorted(&exact), expected, "exact rows of {request:?}");
    let Some(predicate) = request.predicate.clone() else { return };
    if storage.pushdown(table.name(), &predicate) == Pushdown::Exact {
        // Then the rows above came from the scan itself.
        return;
    }
    let raw = read(storage, ScanRequest { projection: None, ..request }).await;
    let matching: usize =
        raw.iter().map(|batch| filter(batch, &predicate).expect("the predicate fits").num_rows()).sum();
    assert_eq!(matching, expected.len(), "rows were lost by {predicate}");
}

/// The times of rows, sorted.
pub(super) fn times(batches: &[RecordBatch]) -> Vec<Timestamp> {
    let mut times: Vec<Timestamp> = batches
        .iter()
        .filter_map(|batch| batch.column_by_name("time"))
        .flat_map(|column| column.as_primitive::<TimestampNanosecondType>().values().to_vec())
        .map(Timestamp::from_nanos)
        .collect();
    times.sort_unstable();
    times
}

/// `Int64` values of a column, in the order of the batches.
pub(super) fn integers(batches: &[RecordBatch], column: &str) -> Vec<Option<i64>> {
    batches
        .iter()
        .filter_map(|batch| batch.column_by_name(column))
        .flat_map(|column| column.as_primitive::<Int64Type>().iter().collect::<Vec<_>>())
        .collect()
}
