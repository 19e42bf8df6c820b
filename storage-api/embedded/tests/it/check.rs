//! Damage of every kind is found by a check that changes nothing, and mended by a repair that says what is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use metaflow_storage_embedded::{CheckReport, OpenError, Options, Progress, RepairReport};
use storage_api::{IngestBatch, ScanRequest, Storage, TableDefinition, Timestamp};
use tempfile::TempDir;

use crate::sim_disk::SimDisk;
use crate::support::{SECOND, START, append, id, name, open, plain, quiet, rows_at, run, values};

const HOUR: i64 = 3600 * SECOND;

fn check(folder: &Path) -> CheckReport {
    metaflow_storage_embedded::check(folder, quiet(), &mut |_| {}).unwrap()
}

fn repair(folder: &Path) -> RepairReport {
    metaflow_storage_embedded::repair(folder, quiet(), &[plain()], &mut |_| {}).unwrap()
}

/// Three files of one hour each with 100 rows, values 0 to 300, and 50 rows in the log, values 1000 to 1050.
fn store() -> TempDir {
    let folder = TempDir::new().unwrap();
    run(async {
        let store = open(folder.path()).await;
        store.create_table(&plain()).await.unwrap();
        for hour in 0..3 {
            let batch = rows_at(START + hour as i64 * HOUR, hour * 100..hour * 100 + 100);
            store.append(&name("plain"), IngestBatch::new(id(hour), batch)).await.unwrap();
        }
        store.flush().await.unwrap();
        append(&store, 10, 1000..1050).await;
        store.close().await;
    });
    folder
}

fn sealed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("tables/plain")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

fn log(folder: &Path) -> PathBuf {
    fs::read_dir(folder.join("log")).unwrap().next().unwrap().unwrap().path()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn found(folder: &Path) -> Vec<u64> {
    run(async {
        let store = open(folder).await;
        let found = values(&store).await;
        store.close().await;
        found
    })
}

/// Every file below a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            contents.insert(path.clone(), Vec::new());
            contents.extend(self::contents(&path));
        } else {
            contents.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    contents
}

#[test]
fn a_whole_store_is_whole_and_counted() {
    let folder = store();
    let mut heard = Vec::new();
    let report = metaflow_storage_embedded::check(folder.path(), quiet(), &mut |now| heard.push(now)).unwrap();
    assert!(report.is_whole(), "{report:?}");
    let table = &report.tables[0];
    assert_eq!((table.name.as_str(), table.files, table.rows, table.log_rows), ("plain", 3, 300, 50));
    let Progress { files, of_files, bytes, of_bytes } = *heard.last().unwrap();
    assert_eq!((heard.len(), files, of_files, bytes), (4, 3, 3, of_bytes));
    assert!(repair(folder.path()).mended.is_empty());
    assert_eq!(found(folder.path()).len(), 350);
}

#[test]
fn a_check_changes_nothing_whatever_it_finds() {
    let damages: [fn(&Path); 6] = [
        |_| {},
        |folder| flip(&sealed(folder)[0], 100),
        |folder| fs::remove_file(&sealed(folder)[1]).unwrap(),
        |folder| flip(&log(folder), 60),
        |folder| flip(&folder.join("MANIFEST"), 90),
        |folder| fs::write(folder.join("tables/plain/1-99.parquet.new"), "unfinished").unwrap(),
    ];
    for damage in damages {
        let folder = store();
        damage(folder.path());
        let before = contents(folder.path());
        check(folder.path());
        assert_eq!(contents(folder.path()), before);
    }
}

#[test]
fn an_open_store_or_none_at_all_is_not_checked() {
    let folder = store();
    run(async {
        let store = open(folder.path()).await;
        let error = metaflow_storage_embedded::check(folder.path(), quiet(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, OpenError::Locked { .. }), "{error}");
        store.close().await;
    });
    let empty = TempDir::new().unwrap();
    for nothing in [empty.path().to_owned(), empty.path().join("nowhere")] {
        let error = metaflow_storage_embedded::check(&nothing, quiet(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    }
    assert!(!empty.path().join("nowhere").exists());
}

#[test]
fn a_repair_saves_the_row_groups_that_can_be_read() {
    let folder = TempDir::new().unwrap();
    run(async {
        let store = open(folder.path()).await;
        store.create_table(&plain()).await.unwrap();
        // All in one second, so that they share a file; numbers that do not compress, so that it has many blocks.
        let mut dice = crate::sim_disk::Dice(1);
        let numbers = arrow_array::UInt64Array::from_iter_values((0..600_000).map(|_| dice.next()));
        let times = arrow_array::TimestampNanosecondArray::from_value(START, numbers.len()).with_timezone("+00:00");
        let columns: [(&str, arrow_array::ArrayRef); 2] =
            [("time", std::sync::Arc::new(times)), ("value", std::sync::Arc::new(numbers))];
        let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
        store.append(&name("plain"), IngestBatch::new(id(1), batch)).await.unwrap();
        store.flush().await.unwrap();
        store.close().await;
    });
    let path = &sealed(folder.path())[0];
    let all: BTreeSet<u64> = found(folder.path()).into_iter().collect();
    assert_eq!(all.len(), 600_000);
    // Three row groups; this is in the second one.
    flip(path, fs::metadata(path).unwrap().len() as usize / 2);
    let report = check(folder.path());
    assert!(!report.is_whole());
    let damaged = report.damaged[0].clone();
    assert_eq!((report.damaged.len(), &damaged.path, damaged.rows), (1, path, 600_000));
    assert_eq!(damaged.readable, 600_000 - 262_144, "one row group of three");
    let mended = repair(folder.path());
    let file = &mended.mended[0];
    assert_eq!((file.rows, file.saved), (damaged.rows, damaged.readable));
    assert!(fs::metadata(&file.kept_as).unwrap().len() > 0);
    let report = check(folder.path());
    assert!(report.is_whole(), "{report:?}");
    let left = found(folder.path());
    assert_eq!((left.len() as u64, mended.rows_lost()), (damaged.readable, 262_144));
    assert!(left.iter().all(|value| all.contains(value)));
    assert!(!path.exists());
}

#[test]
fn a_repair_forgets_files_that_are_gone_and_says_how_many_rows_they_held() {
    let folder = store();
    let gone = sealed(folder.path())[1].clone();
    fs::remove_file(&gone).unwrap();
    let report = check(folder.path());
    assert_eq!((&report.missing[0].path, report.missing[0].rows), (&gone, 100));
    assert!(!report.is_whole());
    let report = repair(folder.path());
    assert_eq!((report.missing.len(), report.rows_lost()), (1, 100));
    assert!(check(folder.path()).is_whole());
    assert_eq!(found(folder.path()).len(), 250);
}

#[test]
fn a_repair_keeps_damaged_parts_of_the_log_and_writes_the_rest_anew() {
    let folder = TempDir::new().unwrap();
    run(async {
        let store = open(folder.path()).await;
        store.create_table(&plain()).await.unwrap();
        for number in 0..3 {
            append(&store, number, [number]).await;
        }
        store.close().await;
    });
    // In the first of three batches.
    flip(&log(folder.path()), 100);
    let report = check(folder.path());
    assert_eq!((report.recovery.quarantined.len(), report.is_whole()), (1, false));
    assert_eq!(report.recovery.quarantined[0].copy, None);
    let report = repair(folder.path());
    assert!(report.recovery.quarantined[0].copy.as_ref().unwrap().exists());
    assert!(check(folder.path()).is_whole());
    assert_eq!(found(folder.path()), [1, 2]);
}

#[test]
fn a_lost_manifest_is_made_anew_from_the_files() {
    let whole = found(store().path());
    for damage in [0, 1] {
        let folder = store();
        let manifest = folder.path().join("MANIFEST");
        match damage {
            0 => fs::remove_file(&manifest).unwrap(),
            _ => flip(&manifest, 90),
        }
        let report = check(folder.path());
        assert_eq!((report.manifest.is_some(), report.unnamed), (true, 3));
        let report = repair(folder.path());
        let rebuilt = report.manifest.unwrap();
        assert_eq!((rebuilt.files, rebuilt.replaced, rebuilt.unreadable.len()), (3, 0, 0));
        assert_eq!(rebuilt.kept_as.is_some(), damage == 1);
        assert!(check(folder.path()).is_whole());
        assert_eq!(found(folder.path()), whole);
        run(async {
            let store = open(folder.path()).await;
            assert_eq!(store.create_table(&plain()).await.unwrap(), plain(), "the table is what it was");
            append(&store, 50, [5000]).await;
            store.flush().await.unwrap();
            assert_eq!(values(&store).await.len(), whole.len() + 1);
            store.close().await;
        });
    }
}

#[test]
fn a_new_manifest_knows_columns_that_came_later_and_files_that_replaced_others() {
    let folder = TempDir::new().unwrap();
    let grown = TableDefinition::builder("plain").time("time", "").text("new", "later").build().unwrap();
    let merged_away = run(async {
        let store = open(folder.path()).await;
        store.create_table(&plain()).await.unwrap();
        let mut before = BTreeMap::new();
        for round in 0..4 {
            // Four files of an hour are merged.
            before = contents(&folder.path().join("tables/plain"));
            append(&store, round, round * 10..round * 10 + 10).await;
            store.flush().await.unwrap();
            if round == 2 {
                store.create_table(&grown).await.unwrap();
            }
        }
        store.merge().await.unwrap();
        store.close().await;
        before
    });
    assert_eq!((merged_away.len(), sealed(folder.path()).len()), (3, 1));
    // As a process leaves them that dies between naming the merged file and removing what it replaced.
    for (path, bytes) in merged_away {
        fs::write(path, bytes).unwrap();
    }
    fs::remove_file(folder.path().join("MANIFEST")).unwrap();
    let rebuilt = repair(folder.path()).manifest.unwrap();
    assert_eq!((rebuilt.files, rebuilt.replaced), (1, 3));
    run(async {
        let store = open(folder.path()).await;
        let stands = store.create_table(&plain()).await.unwrap();
        assert_eq!(stands.columns().map(|column| column.name).collect::<Vec<_>>(), ["time", "value", "note", "new"]);
        assert_eq!(values(&store).await, (0..40).collect::<Vec<_>>());
        store.close().await;
    });
}

#[test]
fn without_manifest_and_footer_a_file_is_kept_in_quarantine() {
    let folder = store();
    let path = sealed(folder.path())[0].clone();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    fs::remove_file(folder.path().join("MANIFEST")).unwrap();
    let rebuilt = repair(folder.path()).manifest.unwrap();
    assert_eq!((rebuilt.files, rebuilt.unreadable.len()), (2, 1));
    assert_eq!(fs::metadata(&rebuilt.unreadable[0]).unwrap().len(), bytes.len() as u64 - 10);
    assert!(check(folder.path()).is_whole());
    assert_eq!(found(folder.path()).len(), 250);
}

/// Bits of a sealed file flip below a running store: a scan answers the rows that were written or an error that names the
/// file and says what to do, and rows go on coming in.
#[test]
fn a_query_never_answers_rows_that_the_disk_has_changed() {
    run(async {
        let disk: SimDisk<()> = SimDisk::new();
        let options = || Options { disk: std::sync::Arc::new(disk.clone()), ..quiet() };
        let store = metaflow_storage_embedded::Embedded::open("/store", options()).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        append(&store, 0, 0..200).await;
        store.flush().await.unwrap();
        store.close().await;
        let (path, bytes) =
            disk.files().into_iter().find(|(path, _)| path.extension().is_some_and(|e| e == "parquet")).unwrap();
        let (mut errors, mut unread) = (0, 0);
        for bit in (0..bytes.len() * 8).step_by(37) {
            disk.flip(&path, bit);
            // Opened anew, so that no footer is remembered.
            let store = metaflow_storage_embedded::Embedded::open("/store", options()).await.unwrap();
            let answer: Result<Vec<_>, _> =
                store.scan(ScanRequest::new(name("plain"))).await.unwrap().try_collect().await;
            match answer {
                Ok(batches) => {
                    assert_eq!(batches.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 200, "bit {bit}");
                    unread += 1;
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(path.to_str().unwrap()) && text.contains("check and repair"), "{text}");
                    assert!(!error.is_retryable());
                    assert!(store.stats().read_failures > 0);
                    errors += 1;
                }
            }
            append(&store, bit as u64 + 1, []).await;
            store.close().await;
            disk.flip(&path, bit);
        }
        assert!(unread <= errors / 50, "{unread} flips were not noticed, {errors} were");
    });
}

#[test]
fn a_repair_may_be_interrupted_anywhere() {
    run(async {
        let disk: SimDisk<()> = SimDisk::new();
        let options = |disk: &SimDisk<()>| Options { disk: std::sync::Arc::new(disk.clone()), ..quiet() };
        let store = metaflow_storage_embedded::Embedded::open("/store", options(&disk)).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        for hour in 0..3 {
            let batch = rows_at(START + hour as i64 * HOUR, hour * 100..hour * 100 + 100);
            store.append(&name("plain"), IngestBatch::new(id(hour), batch)).await.unwrap();
        }
        store.flush().await.unwrap();
        append(&store, 10, [1000]).await;
        store.close().await;
        let files: Vec<_> =
            disk.files().into_keys().filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect();
        disk.flip(&files[0], 100);
        disk.flip(Path::new("/store/MANIFEST"), 1000);
        let base = disk.copy();
        let mend =
            |disk: &SimDisk<()>| metaflow_storage_embedded::repair("/store", options(disk), &[plain()], &mut |_| {});
        let done = base.copy();
        mend(&done).unwrap();
        let events = done.events();
        let mut dice = crate::sim_disk::Dice(3);
        let mut points = 0;
        for end in 0..=events.len() {
            for _ in 0..20 {
                let left = SimDisk::crash(&base, &events[..end], &mut dice);
                mend(&left).unwrap();
                let report = metaflow_storage_embedded::check("/store", options(&left), &mut |_| {}).unwrap();
                assert!(report.is_whole(), "interrupted at {end} of {}: {report:?}", events.len());
                let store = metaflow_storage_embedded::Embedded::open("/store", options(&left)).await.unwrap();
                let expected: Vec<u64> = (100..300).chain([1000]).collect();
                assert_eq!(values(&store).await, expected, "interrupted at {end} of {}", events.len());
                store.close().await;
                points += 1;
            }
        }
        assert!(points > 100, "{points}");
    });
}

#[test]
fn the_oldest_files_go_when_all_are_too_many_bytes() {
    run(async {
        let folder = TempDir::new().unwrap();
        let limits = metaflow_storage_embedded::Limits { sealed_bytes: Some(20_000), ..Default::default() };
        let lasting = [name("names")].into();
        let options = Options { limits, lasting, ..quiet() };
        let store = metaflow_storage_embedded::Embedded::open(folder.path(), options).await.unwrap();
        let names =
            TableDefinition::builder("names").time("time", "").number("value", arrow_schema::DataType::UInt64, "");
        store.create_table(&names.build().unwrap()).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        store.append(&name("names"), IngestBatch::new(id(0), rows_at(START - HOUR, 0..10))).await.unwrap();
        let mut hours = 0;
        while store.stats().files_expired == 0 {
            let batch = rows_at(START + hours as i64 * HOUR, hours * 100..hours * 100 + 100);
            store.append(&name("plain"), IngestBatch::new(id(hours), batch)).await.unwrap();
            store.flush().await.unwrap();
            store.merge().await.unwrap();
            hours += 1;
            assert!(hours < 100, "{:?}", store.stats());
        }
        let stats = store.stats();
        assert!(stats.file_bytes <= 20_000 && stats.rows_expired == stats.files_expired * 100, "{stats:?}");
        let left = values(&store).await;
        assert_eq!(left, (stats.rows_expired..hours * 100).collect::<Vec<_>>(), "the oldest hours are gone");
        let kept = store.scan(ScanRequest::new(name("names"))).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(kept[0].num_rows(), 10);
        store.drop_before(&name("plain"), Timestamp::MAX).await.unwrap();
        store.close().await;
    });
}
