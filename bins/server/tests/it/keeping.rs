//! Where rows are kept, for how long, and whether they still are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, TimestampNanosecondArray};
use futures::TryStreamExt;
use metaflow_server::{EmbeddedAt, Retention, StoreAt, Sweeper};
use metaflow_storage_embedded::{Embedded, Options};
use storage_api::{
    BatchId, Durability, IngestBatch, Memory, ScanRequest, Storage, TableDefinition, TableName, Timestamp,
};

use crate::lab::{Agent, PROGRAM, Process, START, ask, calls};

const HOUR: i64 = 3_600_000_000_000;

fn hours(text: &str, table: &str) -> Option<u64> {
    let keep = text.parse::<Retention>().unwrap().of(table)?;
    Some(keep.as_secs() / 3600)
}

#[test]
fn retention_is_said_for_all_tables_for_some_or_for_both() {
    assert_eq!(Retention::default().of("calls"), None);
    assert_eq!(hours("forever", "calls"), None);
    assert_eq!([hours("12h", "calls"), hours("12h", "metrics_1m")], [Some(12), Some(12)]);
    assert_eq!([hours("calls=2h", "calls"), hours("calls=2h", "metrics_1s")], [Some(2), None]);
    let both = "7d, metrics_1m=forever";
    assert_eq!([hours(both, "calls"), hours(both, "metrics_1m")], [Some(168), None]);
    for (wrong, said) in [
        ("soon", "`soon` is no length of time"),
        ("calls=5s", "for a minute at least"),
        ("7d,8d", "more than one length"),
        ("calls=7d,calls=8d", "`calls` is named twice"),
        ("dictionary=7d", "no rows of a table `dictionary` can be dropped: there are calls, "),
        ("cals=7d", "`cals`"),
        ("", "is no length of time"),
    ] {
        let error = wrong.parse::<Retention>().unwrap_err();
        assert!(error.contains(said), "{wrong}: {error}");
    }
}

#[test]
fn the_limit_moves_by_the_hour_or_by_the_minute() {
    let retention: Retention = "calls=90m,flows=24h,logs=forever".parse().unwrap();
    let now = Timestamp::from_nanos(START + 1);
    let back = |table| retention.limit(table, now).map(|limit| START - limit.as_nanos());
    // 14:13:20
    assert_eq!(back("calls"), Some(90 * 60_000_000_000 + 20_000_000_000));
    assert_eq!(back("flows"), Some(24 * HOUR + 13 * 60_000_000_000 + 20_000_000_000));
    assert_eq!(back("logs"), None);
}

async fn times(storage: &dyn Storage, table: &TableName) -> usize {
    let batches: Vec<RecordBatch> =
        storage.scan(ScanRequest::new(table.clone())).await.unwrap().try_collect().await.unwrap();
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Ten rows, an hour apart, in a table of this name.
async fn ten_hours(storage: &dyn Storage, table: &str) -> TableName {
    let table = TableDefinition::builder(table).time("time", "").build().unwrap();
    storage.create_table(&table).await.unwrap();
    let times = TimestampNanosecondArray::from_iter_values((0..10).map(|hour| START + hour * HOUR));
    let columns: Vec<arrow_array::ArrayRef> = vec![Arc::new(times.with_timezone("+00:00"))];
    let rows = RecordBatch::try_new(table.schema().clone(), columns).unwrap();
    let id = BatchId { source: 1, epoch: 1, sequence: 0 };
    storage.append(table.name(), IngestBatch::new(id, rows)).await.unwrap();
    table.name().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_go_with_time_and_names_stay() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(folder.path(), Options::default()).await.unwrap();
    for storage in [Arc::new(Memory::default()) as Arc<dyn Storage>, Arc::new(embedded)] {
        let (calls, events) = (ten_hours(&*storage, "calls").await, ten_hours(&*storage, "events").await);
        let names = ten_hours(&*storage, "dictionary").await;
        let mut sweeper = Sweeper::new(Arc::clone(&storage), "calls=5h,events=forever".parse().unwrap());
        let mut left = Vec::new();
        for hour in [0, 5, 7, 7, 100] {
            sweeper.sweep(Timestamp::from_nanos(START + hour * HOUR)).await;
            left.push(times(&*storage, &calls).await);
        }
        assert_eq!(left, [10, 10, 8, 8, 0]);
        assert_eq!([times(&*storage, &events).await, times(&*storage, &names).await], [10, 10]);
    }
}

#[test]
fn a_store_is_named_by_a_url() {
    let parse = |url: &str| url.parse::<StoreAt>();
    assert_eq!(parse("memory://"), Ok(StoreAt::Memory));
    assert_eq!(parse("embedded:///var/lib/metaflow"), Ok(StoreAt::directory("/var/lib/metaflow")));
    let mut at = EmbeddedAt::new("/data");
    at.durability = Durability::Os;
    at.memory = 512 << 20;
    at.flush_after = Duration::from_secs(5);
    at.sealed = Some("s3://rows/one".to_owned());
    let url = "embedded:///data?durability=os&memory=512MiB&flush_after=5s&sealed=s3://rows/one";
    assert_eq!(parse(url), Ok(StoreAt::Embedded(at)));
    for (wrong, said) in [
        ("redis://x", "expected embedded:///DIR, clickhouse://HOST:8123/DATABASE or memory://"),
        ("embedded://data", "expected embedded:///DIR with a whole path"),
        ("embedded:///", "names no directory"),
        ("embedded:///x?durability=tape", "expected memory, os or disk"),
        ("embedded:///x?memory=much", "expected 512MiB"),
        ("embedded:///x?speed=9", "there are durability, memory, flush_after and sealed"),
        ("embedded:///x?sealed=ftp://y", "expected s3://BUCKET/PREFIX"),
    ] {
        let error = parse(wrong).unwrap_err();
        assert!(error.contains(said), "{wrong}: {error}");
    }
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn sealed(folder: &Path) -> PathBuf {
    fs::read_dir(folder.join("tables/calls")).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_checked_repaired_and_served_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    {
        let mut process = Process::start(folder.path());
        Agent::connect(process.address).await.send(0, &calls(0, &["/a", "/b"])).await.unwrap();
        let (code, _, error) = run(&["check", "--data", data]);
        assert_eq!(code, 69);
        assert!(error.contains("in use by a running server"), "{error}");
        process.signal(15);
        process.child.wait().unwrap();
    }
    let store = Embedded::open(folder.path(), Options::default()).await.unwrap();
    store.flush().await.unwrap();
    store.close().await;
    let (code, text, error) = run(&["check", "--data", data]);
    assert_eq!((code, error.as_str()), (0, ""), "{text}");
    assert!(text.contains("calls") && text.contains("2 rows in 1 files") && text.contains("\nwhole: "), "{text}");

    let path = sealed(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[50] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (code, text, error) = run(&["check", "--data", data]);
    assert_eq!(code, 1);
    assert!(
        text.contains(&format!("damaged: {}: its checksum does not fit; 0 of its 2 rows", path.display())),
        "{text}"
    );
    assert!(error.contains("check --repair") && error.lines().count() == 1, "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was changed");
    {
        // A question that needs the file says so; batches go on coming in, and questions about other rows are answered.
        let process = Process::start(folder.path());
        let (status, _, body) =
            crate::lab::post(process.address, "/sql?format=csv", "", "SELECT max(duration_ns) FROM calls").await;
        assert!(status >= 500 && body.contains("is damaged from byte") && body.contains("repair"), "{status} {body}");
        Agent::connect(process.address).await.send(1, &calls(9, &["/c"])).await.unwrap();
        assert_eq!(ask(process.address, "SELECT count(*) FROM dictionary WHERE dictionary = 'endpoint'").await, ["3"]);
        let mut process = process;
        process.signal(15);
        process.child.wait().unwrap();
    }
    let (_, json, _) = run(&["check", "--data", data, "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["damaged"][0]["rows"], 2);
    let (code, text, error) = run(&["check", "--storage", &format!("embedded://{data}"), "--repair"]);
    assert_eq!((code, error.as_str()), (0, ""), "{text}");
    assert!(text.contains("repaired: 2 rows of sealed files are lost") && text.contains("quarantine/calls-"), "{text}");
    assert_eq!(run(&["check", "--data", data]).0, 0);

    fs::remove_file(folder.path().join("MANIFEST")).unwrap();
    let (code, _, error) = run(&["run", "--data", data, "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 65);
    assert!(error.contains("MANIFEST is missing: metaflow-server check --repair"), "{error}");
    let (code, text, _) = run(&["check", "--data", data, "--repair"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the manifest (it is missing) was made anew"), "{text}");
    let process = Process::start(folder.path());
    assert_eq!(ask(process.address, "SELECT endpoint, count(*) FROM calls GROUP BY 1").await, ["/c,1"]);
}

#[test]
fn what_cannot_be_checked_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, error) = run(&["check", "--data", folder.path().join("nowhere").to_str().unwrap()]);
    assert_eq!(code, 2, "{error}");
    let (code, _, error) = run(&["check", "--data", folder.path().to_str().unwrap()]);
    assert!(code == 2 && error.contains("there is no store in"), "{error}");
    assert_eq!(run(&["check"]).0, 2);
    assert_eq!(run(&["check", "--storage", "memory://"]).0, 2);
    assert_eq!(run(&["run", "--data", "/x", "--retention", "calls=1s"]).0, 2);
    assert_eq!(run(&["run", "--data", "/x", "--retention-bytes", "much"]).0, 2);
}
