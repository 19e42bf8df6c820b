//! What is particular to this store.

use std::process::Command;
use std::sync::Arc;

use datafusion::catalog::SchemaProvider;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use metaflow_storage_embedded::{Embedded, Limits, OpenError, Options};
use storage_api::{
    AppendError, DedupLimits, IngestBatch, Predicate, ScanRequest, Storage, TableDefinition, TimeRange, Timestamp,
};
use tempfile::TempDir;

use crate::sim_disk::{Fault, SimDisk};
use crate::support::{SECOND, START, append, id, name, open, plain, quiet, rows, rows_at, run, scan, values};

const HOUR: i64 = 3600 * SECOND;

async fn fresh(options: Options) -> (TempDir, Embedded) {
    let folder = TempDir::new().unwrap();
    let store = Embedded::open(folder.path(), options).await.unwrap();
    store.create_table(&plain()).await.unwrap();
    (folder, store)
}

fn limited(limits: Limits) -> Options {
    Options { limits, ..quiet() }
}

/// A session of DataFusion with the store's tables.
async fn session(store: &Embedded) -> SessionContext {
    let tables = store.extension().unwrap().downcast::<Arc<dyn SchemaProvider>>().unwrap();
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    for name in tables.table_names() {
        session.register_table(&name, tables.table(&name).await.unwrap().unwrap()).unwrap();
    }
    session
}

async fn sql(session: &SessionContext, sql: &str) -> String {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
}

#[test]
fn a_second_opening_is_told_that_the_store_is_open() {
    run(async {
        let (folder, store) = fresh(quiet()).await;
        let error = Embedded::open(folder.path(), quiet()).await.unwrap_err();
        assert!(matches!(&error, OpenError::Locked { path } if path == folder.path()), "{error}");
        store.close().await;
        open(folder.path()).await.close().await;
    });
}

#[test]
fn sql_sees_memory_and_files_of_one_moment_and_skips_hours() {
    run(async {
        let (_folder, store) = fresh(quiet()).await;
        for hour in 0..5 {
            let batch = IngestBatch::new(id(hour), rows_at(START + hour as i64 * HOUR, hour * 100..hour * 100 + 50));
            store.append(&name("plain"), batch).await.unwrap();
            if hour == 2 {
                store.flush().await.unwrap();
            }
        }
        assert_eq!(store.stats().files, 3);
        let session = session(&store).await;
        let answer = sql(&session, "SELECT count(*), min(value), max(value), sum(value) FROM plain").await;
        assert!(answer.contains("| 250      | 0                | 449              | 56125            |"), "{answer}");
        let since = "SELECT count(*) FROM plain WHERE time >= TIMESTAMP '2025-06-01T02:00:10Z' AND value < 440";
        assert!(sql(&session, since).await.contains("| 130      |"), "{}", sql(&session, since).await);
        let plan = sql(&session, &format!("EXPLAIN {since}")).await;
        assert_eq!(plan.matches(".parquet").count(), 1, "{plan}");
        assert!(sql(&session, "SELECT value FROM plain LIMIT 7").await.lines().count() == 7 + 4);
        let none = sql(&session, "SELECT count(*) FROM plain WHERE time < TIMESTAMP '2020-01-01T00:00:00Z'").await;
        assert!(none.contains("| 0        |"), "{none}");
        // A table that was looked up before sees what came after.
        append(&store, 9, [1_000]).await;
        assert!(sql(&session, "SELECT max(value) FROM plain").await.contains("1000"));
        store.drop_before(&name("plain"), Timestamp::from_nanos(START + HOUR + 10 * SECOND)).await.unwrap();
        let kept = sql(&session, "SELECT count(*), min(value) FROM plain").await;
        assert!(kept.contains("| 190      | 110              |"), "{kept}");
        store.close().await;
    });
}

#[test]
fn a_scan_goes_on_while_its_files_are_merged_away_and_they_are_removed_behind_it() {
    run(async {
        let (folder, store) = fresh(quiet()).await;
        for round in 0..3 {
            append(&store, round, round * 1000..round * 1000 + 1000).await;
            store.flush().await.unwrap();
        }
        let files = || std::fs::read_dir(folder.path().join("tables/plain")).unwrap().count();
        assert_eq!((store.stats().files, files()), (3, 3));
        let mut before = store.scan(ScanRequest::new(name("plain"))).await.unwrap();
        append(&store, 3, 3000..4000).await;
        store.flush().await.unwrap();
        store.merge().await.unwrap();
        assert_eq!((store.stats().files, store.stats().merges), (1, 1));
        assert_eq!(values(&store).await, (0..4000).collect::<Vec<_>>());
        let mut rows = 0;
        while let Some(batch) = before.next().await {
            rows += batch.unwrap().num_rows();
        }
        assert_eq!(rows, 3000);
        drop(before);
        store.drop_before(&name("plain"), Timestamp::MAX).await.unwrap();
        store.close().await;
        open(folder.path()).await.close().await;
        assert_eq!(files(), 0);
    });
}

#[test]
fn rows_of_very_many_hours_share_a_bounded_number_of_files() {
    run(async {
        let (_folder, store) = fresh(limited(Limits { files_per_flush: 8, ..Limits::default() })).await;
        for hour in 0..100 {
            let batch = IngestBatch::new(id(hour), rows_at(START + hour as i64 * HOUR, [hour]));
            store.append(&name("plain"), batch).await.unwrap();
        }
        store.flush().await.unwrap();
        assert_eq!(store.stats().files, 8);
        assert_eq!(values(&store).await, (0..100).collect::<Vec<_>>());
        let range =
            TimeRange::between(Timestamp::from_nanos(START + 40 * HOUR), Timestamp::from_nanos(START + 43 * HOUR));
        let found = scan(&store, ScanRequest::new(name("plain")).within(range)).await;
        assert_eq!(found.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 3);
        store.close().await;
    });
}

#[test]
fn appends_wait_for_memory_while_it_is_being_emptied() {
    run(async {
        let limits = Limits { memory: 96 << 10, flush: 32 << 10, batch_bytes: 32 << 10, ..Limits::default() };
        let (_folder, store) = fresh(limited(limits)).await;
        let store = Arc::new(store);
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for round in 0..20 {
                        let number = round * 8 + writer;
                        let batch = IngestBatch::new(id(number), rows(number * 500..number * 500 + 500));
                        store.append(&name("plain"), batch).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let stats = store.stats();
        assert!(stats.waits > 0 && stats.flushes > 1 && stats.refusals == 0, "{stats:?}");
        assert_eq!(values(&*store).await, (0..80_000).collect::<Vec<_>>());
    });
}

#[test]
fn appends_are_refused_for_a_while_when_memory_cannot_be_emptied() {
    run(async {
        let disk: SimDisk<()> = SimDisk::new();
        let limits = Limits { memory: 48 << 10, flush: 16 << 10, batch_bytes: 16 << 10, ..Limits::default() };
        // At this level appends need no disk, so that nothing but memory is short.
        let options =
            Options { disk: Arc::new(disk.clone()), durability: storage_api::Durability::Memory, ..limited(limits) };
        let store = Embedded::open("/store", options).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        disk.fail_at(disk.changes() + 1, Fault::Full);
        let mut stored = 0;
        let error = loop {
            let batch = IngestBatch::new(id(stored), rows(stored * 100..stored * 100 + 100));
            match store.append(&name("plain"), batch).await {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
            assert!(stored < 1000, "memory has no bound");
        };
        assert!(error.is_retryable() && matches!(error, AppendError::Full { .. }), "{error}");
        assert!(store.stats().refusals > 0 && store.stats().flush_failures > 0, "{:?}", store.stats());
        assert_eq!(values(&store).await.len() as u64, stored * 100);
        disk.heal();
        store.flush().await.unwrap();
        append(&store, stored, [1]).await;
        store.close().await;
    });
}

#[test]
fn batches_and_senders_beyond_the_limits_are_refused_or_forgotten_and_counted() {
    run(async {
        let dedup = DedupLimits { window: 64, senders: 1 };
        let (_folder, store) =
            fresh(limited(Limits { batch_bytes: 4096, batch_rows: 100_000, footers: 1, dedup, ..Limits::default() }))
                .await;
        let large = store.append(&name("plain"), IngestBatch::new(id(1), rows(0..1000))).await.unwrap_err();
        assert!(matches!(large, AppendError::TooLarge { unit: "bytes", .. }) && !large.is_retryable(), "{large}");
        append(&store, 100, [1]).await;
        let old = store.append(&name("plain"), IngestBatch::new(id(1), rows([2]))).await.unwrap_err();
        assert!(matches!(old, AppendError::TooOld { oldest: 37, .. }), "{old}");
        append(&store, 100, [3]).await;
        let other = storage_api::BatchId { source: 2, ..id(1) };
        store.append(&name("plain"), IngestBatch::new(other, rows_at(START + HOUR, [4]))).await.unwrap();
        store.flush().await.unwrap();
        assert_eq!(values(&store).await, [1, 4]);
        let stats = store.stats();
        assert_eq!((stats.too_large, stats.too_old, stats.duplicates, stats.windows_forgotten), (1, 1, 1, 1));
        assert_eq!((stats.files, stats.footers_forgotten), (2, 1));
        store.close().await;
    });
}

#[test]
fn limits_that_cannot_work_are_refused() {
    let folder = TempDir::new().unwrap();
    for limits in [
        Limits { memory: 2 << 30, ..Limits::default() },
        Limits { memory: 1 << 20, ..Limits::default() },
        Limits { flush: 100 << 20, ..Limits::default() },
    ] {
        let error = run(Embedded::open(folder.path(), limited(limits))).unwrap_err();
        assert!(matches!(error, OpenError::Limits(_)), "{error}");
    }
}

#[test]
fn writers_that_come_together_share_a_synchronisation() {
    run(async {
        let (_folder, store) = fresh(quiet()).await;
        let store = Arc::new(store);
        let writers: Vec<_> = (0..200)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { append(&store, number, [number]).await })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let stats = store.stats();
        assert!(stats.batches == 200 && stats.groups < 200, "{stats:?}");
    });
}

#[test]
fn a_store_may_be_dropped_while_appends_are_given_up() {
    run(async {
        let (folder, store) = fresh(quiet()).await;
        let store = Arc::new(store);
        let given_up: Vec<_> = (0..20)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { append(&store, number, [number]).await })
            })
            .collect();
        append(&store, 100, [100]).await;
        given_up.iter().for_each(tokio::task::JoinHandle::abort);
        for task in given_up {
            let _ = task.await;
        }
        Arc::into_inner(store).unwrap().close().await;
        let store = open(folder.path()).await;
        let found = values(&store).await;
        assert!(found.contains(&100) && found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
        store.close().await;
    });
}

/// Ids of traces are looked up by bloom filters, and sorted columns by statistics: a look-up reads few bytes.
#[test]
fn an_id_that_is_not_there_is_found_out_without_reading_rows() {
    run(async {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path()).await;
        let table = TableDefinition::builder("spans").time("time", "").binary("trace_id", "").build().unwrap();
        store.create_table(&table).await.unwrap();
        let ids: Vec<Vec<u8>> = (0..5000_u64).map(|number| (number * 2).to_be_bytes().repeat(2)).collect();
        let columns: Vec<arrow_array::ArrayRef> =
            vec![rows(0..5000).column(0).clone(), Arc::new(arrow_array::BinaryArray::from_iter_values(&ids))];
        let batch = arrow_array::RecordBatch::try_new(table.schema().clone(), columns).unwrap();
        store.append(table.name(), IngestBatch::new(id(1), batch)).await.unwrap();
        store.flush().await.unwrap();
        let find = |number: u64| {
            let wanted = number.to_be_bytes().repeat(2);
            scan(&store, ScanRequest::new(name("spans")).filter(Predicate::eq("trace_id", wanted)))
        };
        assert_eq!(find(4000).await.len(), 1);
        assert!(find(4001).await.is_empty());

        let session = session(&store).await;
        let missing = 4001_u64.to_be_bytes().repeat(2).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let plan = sql(&session, &format!("EXPLAIN ANALYZE SELECT * FROM spans WHERE trace_id = X'{missing}'")).await;
        assert!(plan.contains("row_groups_pruned_bloom_filter=1 total → 0 matched"), "{plan}");
        store.close().await;
    });
}

/// A small file system in memory, gone when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, and the reason printed, where mounting is not allowed.
    fn mount(megabytes: usize) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                println!("skipped: a small file system cannot be mounted: {other:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn retention_makes_room_on_a_disk_that_is_really_full() {
    let Some(disk) = SmallDisk::mount(12) else { return };
    run(async {
        let options = Options { reserve: true, ..limited(Limits { flush: 1 << 20, ..Limits::default() }) };
        let store = Embedded::open(disk.0.path(), options).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        let mut dice = crate::sim_disk::Dice(1);
        let mut hour = 0;
        let mut full = None;
        while full.is_none() {
            assert!(hour < 1000, "the disk never gets full");
            // Numbers that do not compress.
            let batch = IngestBatch::new(id(hour), rows_at(START + hour as i64 * HOUR, (0..3000).map(|_| dice.next())));
            full = store.append(&name("plain"), batch).await.err();
            hour += 1;
        }
        let full = full.unwrap();
        assert!(full.is_retryable() && matches!(full, AppendError::Full { .. }), "{full}");
        let before = values(&store).await.len();
        assert_eq!(before as u64, (hour - 1) * 3000);
        store.drop_before(&name("plain"), Timestamp::from_nanos(START + (hour as i64 - 5) * HOUR)).await.unwrap();
        store.flush().await.unwrap();
        append(&store, 10_000, [1]).await;
        assert!(values(&store).await.len() < before);
        store.close().await;
    });
}
