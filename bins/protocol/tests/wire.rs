//! Batches of every standard table, as bytes and back.
#![allow(clippy::unwrap_used, reason = "tests end by it")]

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{
    FixedSizeBinaryBuilder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder, StringDictionaryBuilder,
};
use arrow_array::types::{Int16Type, UInt16Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt16Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use metaflow_protocol::tables::{CALLS, LOSSES, TABLES};
use metaflow_protocol::{
    AppendRequest, Column, DecodeError, Sender, Table, Values, WireLimits, decode_batch, encode_batch,
};
use proptest::prelude::*;
use prost::Message;

const ROWS: usize = 5;

/// Five rows whose values differ by column and row; every second value of a nullable column is missing.
fn sample(table: &Table) -> RecordBatch {
    let arrays = table.columns.iter().enumerate().map(|(place, column)| values(place, column)).collect();
    RecordBatch::try_new(table.wire_schema(), arrays).unwrap()
}

fn values(place: usize, column: &Column) -> ArrayRef {
    let present = |row: usize| !column.nullable || (row + place).is_multiple_of(2);
    let number = |row: usize| (place * 1000 + row) as u64;
    let text = |row: usize| format!("{}-{}", column.name, row % 3);
    let rows = 0..ROWS;
    macro_rules! each {
        ($array:ty, $value:expr) => {
            Arc::new(rows.map(|row| present(row).then(|| $value(row))).collect::<$array>()) as ArrayRef
        };
    }
    match column.values {
        Values::Time => {
            let times = rows.map(|row| 1_790_000_000_000_000_000 + number(row) as i64);
            Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("+00:00"))
        }
        Values::Nanos | Values::Instant => each!(Int64Array, |row| number(row) as i64),
        Values::U64 => each!(UInt64Array, number),
        Values::U32 => each!(UInt32Array, |row| number(row) as u32),
        Values::U16 | Values::Writer => each!(UInt16Array, |row| number(row) as u16),
        Values::F64 => each!(Float64Array, |row| number(row) as f64 / 8.0),
        Values::Flag => each!(BooleanArray, |row| row % 2 == 0),
        Values::Text => each!(StringArray, text),
        Values::Bytes => each!(BinaryArray, |row| vec![row as u8; 16]),
        Values::Address => {
            let mut builder = FixedSizeBinaryBuilder::new(16);
            for row in rows {
                if present(row) {
                    builder.append_value([row as u8; 16]).unwrap();
                } else {
                    builder.append_null();
                }
            }
            Arc::new(builder.finish())
        }
        Values::Name(_) => {
            let mut builder = StringDictionaryBuilder::<UInt32Type>::new();
            for row in rows {
                builder.append_option(present(row).then(|| text(row)));
            }
            Arc::new(builder.finish())
        }
        Values::TextList => {
            let mut builder =
                ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, false));
            for row in rows {
                builder.append_option(present(row).then(|| (0..row).map(|n| Some(text(n)))));
            }
            Arc::new(builder.finish())
        }
        Values::U16List => lists(
            ListArray::from_iter_primitive::<UInt16Type, _, _>(
                rows.map(|row| present(row).then(|| (0..row as u16).map(Some))),
            ),
            column,
        ),
        Values::Buckets => lists(
            ListArray::from_iter_primitive::<Int16Type, _, _>(
                rows.map(|row| present(row).then(|| (0..row as i16).map(Some))),
            ),
            column,
        ),
        Values::Counts => lists(
            ListArray::from_iter_primitive::<UInt32Type, _, _>(
                rows.map(|row| present(row).then(|| (0..row as u32).map(Some))),
            ),
            column,
        ),
        Values::Attributes(_) => {
            let names =
                MapFieldNames { entry: "entries".to_owned(), key: "keys".to_owned(), value: "values".to_owned() };
            let keys = StringDictionaryBuilder::<UInt32Type>::new();
            let mut builder = MapBuilder::new(Some(names), keys, StringBuilder::new());
            for row in rows {
                for n in 0..row {
                    builder.keys().append_value(format!("key-{}", n % 2));
                    builder.values().append_value(format!("value-{n}"));
                }
                builder.append(present(row)).unwrap();
            }
            Arc::new(builder.finish())
        }
        Values::Overflow => unreachable!("no agent sends it"),
    }
}

/// The builder makes its elements nullable; ours never are.
fn lists(array: ListArray, column: &Column) -> ArrayRef {
    let DataType::List(element) = column.wire_type() else { unreachable!() };
    let (_, offsets, values, nulls) = array.into_parts();
    Arc::new(ListArray::new(element, offsets, values, nulls))
}

fn golden(version: u32, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/v{version}")).join(name)
}

/// The sample as a version without the newer columns tells it.
fn sample_of(table: &Table, version: u32) -> RecordBatch {
    let sample = sample(table);
    let columns = sample.columns().iter().zip(table.columns).map(|(array, column)| match column.since <= version {
        true => array.clone(),
        false => new_null_array(array.data_type(), ROWS),
    });
    RecordBatch::try_new(table.wire_schema(), columns.collect()).unwrap()
}

fn blessing() -> bool {
    std::env::var_os("METAFLOW_BLESS").is_some()
}

/// Why: an agent of an old version may outlive many servers.
#[test]
fn batches_of_every_version_are_read_for_ever() {
    for table in TABLES {
        for version in 1..=table.version {
            let path = golden(version, &format!("{}.arrows", table.name));
            if blessing() && version == table.version && !path.exists() {
                std::fs::write(&path, encode_batch(table, &sample(table)).unwrap()).unwrap();
            }
            let bytes = Bytes::from(std::fs::read(&path).unwrap());
            let read = decode_batch(table, version, bytes.clone(), &WireLimits::default()).unwrap();
            assert_eq!(read, sample_of(table, version), "{} {version}", table.name);
            for other in (1..=table.version).filter(|other| *other != version) {
                let error = decode_batch(table, other, bytes.clone(), &WireLimits::default()).unwrap_err();
                assert!(matches!(error, DecodeError::Schema { .. }), "{error}");
            }
        }
    }
}

#[test]
fn a_newer_version_only_adds_columns_that_may_be_null_at_the_end() {
    for table in TABLES {
        assert!(table.columns.is_sorted_by_key(|column| column.since), "{}", table.name);
        assert!(table.columns.iter().all(|column| column.since <= table.version));
        assert!(table.columns.iter().all(|column| column.since == 1 || column.nullable));
    }
}

/// Why: as above, for what stands around a batch.
#[test]
fn requests_of_version_1_are_read_and_written_as_ever() {
    let request = AppendRequest {
        sender: Some(Sender::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, "node-7", 0xfeed)),
        sequence: 300,
        table: "calls".to_owned(),
        schema_version: 1,
        batch: Bytes::from_static(b"bytes of the batch"),
    };
    let path = golden(1, "append-request.bin");
    if blessing() && !path.exists() {
        std::fs::write(&path, request.encode_to_vec()).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(AppendRequest::decode(&*bytes).unwrap(), request);
    assert_eq!(request.encode_to_vec(), bytes);
    let id = request.sender.unwrap().batch_id(300).unwrap();
    assert_eq!(id.to_string(), "123456789abcdef0123456789abcdef/feed/300");
}

#[test]
fn a_sender_that_is_not_well_formed_has_no_batch_id() {
    assert!(Sender { agent: Bytes::from_static(b"short"), name: String::new(), epoch: 0 }.batch_id(0).is_err());
    assert!(Sender::new(1, &"x".repeat(256), 0).batch_id(0).is_err());
    assert!(Sender::new(1, &"x".repeat(255), 0).batch_id(0).is_ok());
}

#[test]
fn every_table_survives_the_way_and_defines_a_stored_table() {
    for table in TABLES {
        let batch = sample(table);
        let bytes = encode_batch(table, &batch).unwrap();
        assert_eq!(decode_batch(table, table.version, bytes, &WireLimits::default()).unwrap(), batch);
        let empty = batch.slice(0, 0);
        let bytes = encode_batch(table, &empty).unwrap();
        assert_eq!(decode_batch(table, table.version, bytes, &WireLimits::default()).unwrap().num_rows(), 0);
        let definition = table.definition().unwrap();
        assert_eq!(definition.columns().count(), table.columns.len() + 4);
        assert!(definition.column("writer").is_some_and(|column| !column.nullable));
    }
    assert!(metaflow_protocol::tables::DICTIONARY.definition().is_ok());
}

#[test]
fn another_tables_batch_is_refused() {
    for table in TABLES {
        let bytes = encode_batch(table, &sample(table)).unwrap();
        for other in TABLES.iter().filter(|other| other.columns != table.columns) {
            let error = decode_batch(other, other.version, bytes.clone(), &WireLimits::default()).unwrap_err();
            assert!(matches!(error, DecodeError::Schema { .. }), "{error}");
            assert!(encode_batch(other, &sample(table)).is_err());
        }
    }
}

#[test]
fn an_unknown_version_is_refused() {
    let bytes = encode_batch(&CALLS, &sample(&CALLS)).unwrap();
    for version in [0, CALLS.version + 1, u32::MAX] {
        let error = decode_batch(&CALLS, version, bytes.clone(), &WireLimits::default()).unwrap_err();
        assert!(matches!(error, DecodeError::Version { .. }));
    }
}

#[test]
fn limits_are_kept() {
    let bytes = encode_batch(&CALLS, &sample(&CALLS)).unwrap();
    let bytes_limit = WireLimits::default().with_batch_bytes(bytes.len() - 1);
    assert!(matches!(
        decode_batch(&CALLS, CALLS.version, bytes.clone(), &bytes_limit),
        Err(DecodeError::TooLong { .. })
    ));
    let rows_limit = WireLimits::default().with_batch_rows(ROWS - 1);
    assert!(matches!(
        decode_batch(&CALLS, CALLS.version, bytes.clone(), &rows_limit),
        Err(DecodeError::TooManyRows { rows: 5, .. })
    ));
    assert!(decode_batch(&CALLS, CALLS.version, bytes, &WireLimits::default().with_batch_rows(ROWS)).is_ok());
}

#[test]
fn a_batch_cut_anywhere_is_refused() {
    let bytes = encode_batch(&CALLS, &sample(&CALLS)).unwrap();
    // The end-of-stream mark may be missing.
    for cut in (0..bytes.len() - 8).chain(bytes.len() - 7..bytes.len()) {
        assert!(
            decode_batch(&CALLS, CALLS.version, bytes.slice(..cut), &WireLimits::default()).is_err(),
            "cut at {cut}"
        );
    }
    assert!(decode_batch(&CALLS, CALLS.version, bytes.slice(..bytes.len() - 8), &WireLimits::default()).is_ok());
}

#[test]
fn changed_bytes_are_survived() {
    // Every byte of a small batch; of a large one every fifth, which meets all of its messages.
    for (table, step) in [(&LOSSES, 1), (&CALLS, 5)] {
        let bytes = encode_batch(table, &sample(table)).unwrap();
        for at in (0..bytes.len()).step_by(step) {
            for mask in [0x01, 0x80] {
                let mut changed = bytes.to_vec();
                changed[at] ^= mask;
                read_all(decode_batch(table, table.version, changed.into(), &WireLimits::default()));
            }
        }
    }
}

/// Touches every value: what was let in must be sound.
fn read_all(decoded: Result<RecordBatch, DecodeError>) {
    if let Ok(batch) = decoded {
        for column in batch.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
}

proptest! {
    #[test]
    fn damage_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), table in 0..TABLES.len()) {
        let table = TABLES[table];
        let mut bytes = encode_batch(table, &sample(table)).unwrap().to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_all(decode_batch(table, table.version, bytes.into(), &WireLimits::default()));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(decode_batch(&CALLS, CALLS.version, bytes.into(), &WireLimits::default()).is_err());
    }
}
