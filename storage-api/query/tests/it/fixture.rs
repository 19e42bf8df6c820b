//! A small store with two writers' rows, and questions to it.

use std::sync::Arc;

use arrow_array::builder::{
    FixedSizeBinaryBuilder, Int16Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder, UInt32Builder,
};
use arrow_array::{
    ArrayRef, BinaryArray, RecordBatch, TimestampNanosecondArray, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use metaflow_query::{QueryEngine, QueryError, QueryLimits};
use metaflow_storage_embedded::{Embedded, Options};
use storage_api::{BatchId, ColumnDefinition, ColumnKind, IngestBatch, Memory, Storage, TableDefinition};
use tag_encoder::{Dictionary, NameId, SharedDictionary, Writers};

pub(crate) struct Fixture {
    pub(crate) engine: QueryEngine,
    pub(crate) storage: Arc<dyn Storage>,
}

/// One row: (time, writer, endpoint, client address, client port, trace id, attribute).
pub(crate) struct Row<'a> {
    pub(crate) time: i64,
    pub(crate) writer: u16,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) client: ([u8; 16], u16),
    pub(crate) trace: Option<&'a [u8]>,
    pub(crate) attribute: Option<(&'a str, &'a str)>,
    pub(crate) bytes: u64,
}

pub(crate) const V4: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
pub(crate) const V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// No dictionary takes it: it is over the bound.
pub(crate) const OVERFLOWED: &str = "/overflowed";

pub(crate) fn rows() -> Vec<Row<'static>> {
    let row = |time, writer, endpoint, client, trace, attribute, bytes| Row {
        time,
        writer,
        endpoint,
        client,
        trace,
        attribute,
        bytes,
    };
    vec![
        row(10, 1, Some("/cart"), (V4, 5000), Some(&[0xab; 16]), Some(("user_agent", "curl")), 100),
        row(20, 1, Some("/pay"), (V6, 5001), Some(b"sw8-text\0"), None, 200),
        row(30, 2, Some("/cart"), (V4, 5002), None, Some(("user_agent", "wrk")), 300),
        row(40, 2, None, (V4, 5000), None, None, 400),
        row(50, 1, Some(OVERFLOWED), (V4, 5003), None, Some(("overflowed_key", "kept")), 500),
    ]
}

pub(crate) fn definition() -> TableDefinition {
    let map = |key: DataType| {
        let entry = vec![Field::new("keys", key, false), Field::new("values", DataType::Utf8, true)];
        DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry.into()), false)), false)
    };
    TableDefinition::builder("calls")
        .time("time", "when it began")
        .id("endpoint", "endpoint", "what was asked")
        .address("client_address", "who asked")
        .number("client_port", DataType::UInt16, "its port")
        .binary("trace_id", "trace")
        .number("bytes", DataType::UInt64, "size")
        .column(ColumnDefinition::new("attributes", ColumnKind::id("attribute"), map(DataType::UInt32)))
        .writer("writer", "who gave out the ids")
        .required()
        .column(ColumnDefinition::new("overflow", ColumnKind::Map, map(DataType::Utf8)))
        .build()
        .unwrap()
}

pub(crate) fn metrics() -> TableDefinition {
    let list = |element| DataType::List(Arc::new(Field::new("item", element, false)));
    TableDefinition::builder("metrics_1s")
        .time("time", "start of the window")
        .text("service", "whose")
        .column(ColumnDefinition::new("latency_bucket", ColumnKind::List, list(DataType::Int16)))
        .column(ColumnDefinition::new("latency_count", ColumnKind::List, list(DataType::UInt32)))
        .build()
        .unwrap()
}

/// Rows as a server would store them; the two writers number their names differently.
fn batch(rows: &[Row<'_>], dictionaries: &mut [Dictionary; 2]) -> RecordBatch {
    let fields = || Some(MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() });
    let mut endpoints = UInt32Builder::new();
    let mut addresses = FixedSizeBinaryBuilder::new(16);
    let mut attributes = MapBuilder::new(fields(), UInt32Builder::new(), StringBuilder::new());
    let mut overflow = MapBuilder::new(fields(), StringBuilder::new(), StringBuilder::new());
    for row in rows {
        let dictionary = &mut dictionaries[usize::from(row.writer) - 1];
        let mut overflowed = false;
        endpoints.append_option(row.endpoint.map(|name| {
            if name == OVERFLOWED {
                overflow.keys().append_value("endpoint");
                overflow.values().append_value(name);
                overflowed = true;
                return NameId::OVERFLOW.0;
            }
            dictionary.intern("endpoint", name).0
        }));
        addresses.append_value(row.client.0).unwrap();
        match row.attribute {
            Some(("overflowed_key", value)) => {
                overflow.keys().append_value("attributes.overflowed_key");
                overflow.values().append_value(value);
                overflowed = true;
                attributes.append(false).unwrap();
            }
            Some((key, value)) => {
                attributes.keys().append_value(dictionary.intern("attribute", key).0);
                attributes.values().append_value(value);
                attributes.append(true).unwrap();
            }
            None => attributes.append(false).unwrap(),
        }
        overflow.append(overflowed).unwrap();
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.time)).with_timezone("+00:00")),
        Arc::new(endpoints.finish()),
        Arc::new(addresses.finish()),
        Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.client.1))),
        Arc::new(rows.iter().map(|row| row.trace).collect::<BinaryArray>()),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.bytes))),
        Arc::new(attributes.finish()),
        Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.writer))),
        Arc::new(overflow.finish()),
    ];
    RecordBatch::try_new(Arc::clone(definition().schema()), columns).unwrap()
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with_limits(QueryLimits::default()).await
    }

    pub(crate) async fn with_limits(limits: QueryLimits) -> Self {
        Self::over(Arc::new(Memory::default()), limits).await
    }

    /// The same rows in files.
    pub(crate) async fn in_files(folder: &std::path::Path) -> Self {
        let store = Arc::new(Embedded::open(folder, Options::default()).await.unwrap());
        let fixture = Self::over(store.clone(), QueryLimits::default()).await;
        store.flush().await.unwrap();
        fixture
    }

    async fn over(storage: Arc<dyn Storage>, limits: QueryLimits) -> Self {
        let mut dictionaries = [Dictionary::default(), Dictionary::default()];
        dictionaries[1].intern("endpoint", "/only-here");
        storage.create_table(&definition()).await.unwrap();
        storage.create_table(&metrics()).await.unwrap();
        let batch = batch(&rows(), &mut dictionaries);
        let id = BatchId { source: 1, epoch: 1, sequence: 0 };
        storage.append(definition().name(), IngestBatch::new(id, batch)).await.unwrap();
        let shared = dictionaries.map(|dictionary| {
            let shared = SharedDictionary::default();
            for (domain, names) in dictionary.snapshot().domains() {
                let pairs: Vec<_> = names.iter().map(|(_, name)| (domain, name)).collect();
                shared.apply(&shared.plan(pairs)).unwrap();
            }
            Arc::new(shared)
        });
        let writers = Writers::new((1..).zip(shared));
        let runtime = tokio::runtime::Handle::current();
        let engine = QueryEngine::new(&storage, [definition(), metrics()], &writers, limits, runtime).unwrap();
        Self { engine, storage }
    }

    /// Adds one row of a histogram.
    pub(crate) async fn add_histogram(&self, sequence: u64, service: &str, buckets: &[i16], counts: &[u32]) {
        let element = |data_type| Field::new("item", data_type, false);
        let mut bucket = ListBuilder::new(Int16Builder::new()).with_field(element(DataType::Int16));
        let mut count = ListBuilder::new(UInt32Builder::new()).with_field(element(DataType::UInt32));
        bucket.append_value(buckets.iter().copied().map(Some));
        count.append_value(counts.iter().copied().map(Some));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampNanosecondArray::from(vec![sequence as i64]).with_timezone("+00:00")),
            Arc::new(arrow_array::StringArray::from(vec![service])),
            Arc::new(bucket.finish()),
            Arc::new(count.finish()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(metrics().schema()), columns).unwrap();
        let id = BatchId { source: 1, epoch: 1, sequence };
        self.storage.append(metrics().name(), IngestBatch::new(id, batch)).await.unwrap();
    }

    pub(crate) async fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        self.engine.query(sql).await?.try_collect().await
    }

    /// The answer as lines of values joined by `|`, NULL as `-`.
    pub(crate) async fn lines(&self, sql: &str) -> Vec<String> {
        let batches = self.batches(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        lines_of(&batches)
    }

    pub(crate) async fn error(&self, sql: &str) -> QueryError {
        self.batches(sql).await.expect_err(sql)
    }
}

/// A line for each row.
pub(crate) fn lines_of(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

/// As in every dictionary.
#[test]
fn the_fixture_counts_ids_apart() {
    let mut dictionaries = [Dictionary::default(), Dictionary::default()];
    dictionaries[1].intern("endpoint", "/only-here");
    let batch = batch(&rows(), &mut dictionaries);
    let ids: &UInt32Array = batch.column(1).as_any().downcast_ref().unwrap();
    assert_ne!(ids.value(0), ids.value(2), "one name, two writers, two ids");
}
