//! Ends of connections that are Unix sockets.

use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{RecordBatch, StringArray, TimestampNanosecondArray, UInt16Array, UInt32Array};
use arrow_schema::DataType;
use futures::TryStreamExt;
use metaflow_query::{QueryEngine, QueryLimits};
use storage_api::{BatchId, IngestBatch, Memory, Storage, TableDefinition};
use tag_encoder::{SharedDictionary, Writers};

use crate::fixture::{V4, lines_of};

fn calls() -> TableDefinition {
    TableDefinition::builder("calls")
        .time("time", "when it began")
        .id("transport", "transport", "over what")
        .address("server_address", "who answers")
        .number("server_port", DataType::UInt16, "its port")
        .text("server_path", "of its Unix socket")
        .writer("writer", "who gave out the ids")
        .required()
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_reads_as_its_path_or_its_inode() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::default());
    let table = storage.create_table(&calls()).await.unwrap();
    let names = SharedDictionary::default();
    names.apply(&names.plan([("transport", "tcp"), ("transport", "unix")])).unwrap();
    let id = |name| names.find("transport", name).unwrap().0;
    let inode = 4711_u128.to_be_bytes();
    let mut addresses = FixedSizeBinaryBuilder::new(16);
    for address in [V4, inode, inode, inode] {
        addresses.append_value(address).unwrap();
    }
    let rows = RecordBatch::try_new(
        table.schema().clone(),
        vec![
            Arc::new(TimestampNanosecondArray::from_iter_values(0..4).with_timezone("+00:00")),
            Arc::new(UInt32Array::from(vec![id("tcp"), id("unix"), id("unix"), id("tcp")])),
            Arc::new(addresses.finish()),
            Arc::new(UInt16Array::from(vec![80, 0, 0, 0])),
            Arc::new(StringArray::from(vec![None, Some("/run/redis.sock"), None, None])),
            Arc::new(UInt16Array::from(vec![1; 4])),
        ],
    );
    let batch = IngestBatch::new(BatchId { source: 1, epoch: 1, sequence: 0 }, rows.unwrap());
    storage.append(table.name(), batch).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    let writers = Writers::new([(1, Arc::new(names))]);
    let engine = QueryEngine::new(&storage, [table], &writers, QueryLimits::default(), runtime).unwrap();
    for (sql, expected) in [
        (
            "SELECT server FROM calls ORDER BY time",
            ["10.0.0.1:80", "unix:/run/redis.sock", "unix:[4711]", "[::1267]:0"].as_slice(),
        ),
        ("SELECT server_path FROM calls WHERE server = 'unix:/run/redis.sock'", &["/run/redis.sock"]),
        ("SELECT count(*) FROM calls WHERE server = '[::1267]:0'", &["1"]),
        ("SELECT count(*) FROM calls WHERE server <> '[::1267]:0'", &["3"]),
        ("SELECT count(*) FROM calls WHERE server = '10.0.0.1:80'", &["1"]),
    ] {
        let answer: Vec<_> = engine.query(sql).await.unwrap().try_collect().await.unwrap();
        assert_eq!(lines_of(&answer), expected, "{sql}");
    }
}
