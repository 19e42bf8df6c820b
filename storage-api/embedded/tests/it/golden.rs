//! Stores that earlier versions wrote are opened for ever. `testdata/README.md` says what they hold.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use metaflow_storage_embedded::{Embedded, OpenError};
use storage_api::{IngestBatch, ScanRequest, Storage, TableDefinition};
use tempfile::TempDir;

use crate::sim_disk::Dice;
use crate::support::{append, id, name, open, plain, quiet, rows, run, scan, values};

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(version)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Writes the store of the current format, once: committed bytes are never written again.
#[test]
fn a_store_of_format_1_opens_with_all_its_rows() {
    if std::env::var_os("METAFLOW_BLESS").is_some() && !golden("v1").exists() {
        run(write_v1(&golden("v1")));
    }
    let folder = TempDir::new().unwrap();
    copy(&golden("v1"), folder.path());
    run(async {
        let store = open(folder.path()).await;
        assert!(store.recovery().is_complete(), "{}", store.recovery());
        assert_eq!((store.recovery().segments, store.recovery().batches), (1, 2));
        let table = store.create_table(&plain()).await.unwrap();
        let names: Vec<_> = table.columns().map(|column| column.name).collect();
        assert_eq!(names, ["time", "value", "note", "later"]);
        assert_eq!(values(&store).await, [2, 3, 5, 6, 7, 8]);
        let noted = scan(&store, ScanRequest::new(name("plain")).columns(["later"])).await;
        let mut noted: Vec<_> = noted
            .iter()
            .flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned))
            .collect();
        noted.sort();
        assert_eq!(noted, ["grown"]);
        // Ids are remembered, in files and in the log.
        for sequence in [1, 2, 7, 8] {
            append(&store, sequence, [99]).await;
        }
        assert_eq!(values(&store).await, [2, 3, 5, 6, 7, 8]);
        assert!(store.check().await.unwrap().is_empty());
        store.close().await;
    });
}

/// One file, dropped rows, a grown table, and two batches in the log.
async fn write_v1(folder: &Path) {
    let store = open(folder).await;
    store.create_table(&plain()).await.unwrap();
    append(&store, 1, [1, 2, 3]).await;
    append(&store, 2, [4, 5, 6]).await;
    store.flush().await.unwrap();
    let dropped = crate::support::START + crate::support::SECOND;
    append(&store, 7, [0, 7]).await;
    store.drop_before(&name("plain"), storage_api::Timestamp::from_nanos(dropped)).await.unwrap();
    let grown = TableDefinition::builder("plain").time("time", "when").text("later", "came later").build().unwrap();
    store.create_table(&grown).await.unwrap();
    let rows = rows([0, 8]);
    let mut columns: Vec<(&str, arrow_array::ArrayRef)> =
        vec![("time", rows.column(0).clone()), ("value", rows.column(1).clone())];
    columns.push(("later", std::sync::Arc::new(arrow_array::StringArray::from(vec!["dropped", "grown"]))));
    let rows = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
    store.append(&name("plain"), IngestBatch::new(id(8), rows)).await.unwrap();
    store.close().await;
    fs::remove_file(folder.join("LOCK")).unwrap();
}

/// Changes one number of a file that has no use for it in its checksum, or replaces it with its checksum right.
fn open_changed(change: impl Fn(&Path)) -> OpenError {
    let folder = TempDir::new().unwrap();
    copy(&golden("v1"), folder.path());
    change(folder.path());
    let before = listing(folder.path());
    let error = run(Embedded::open(folder.path(), quiet())).expect_err("it must not open");
    assert_eq!(listing(folder.path()), before, "{error}: the store was changed");
    error
}

/// Every file with its bytes.
fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if !entry.ends_with("LOCK") {
                found.push((entry.clone(), fs::read(entry).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn segment(folder: &Path) -> PathBuf {
    fs::read_dir(folder.join("log")).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_newer_manifest_or_log_is_refused_and_left_alone() {
    let manifest = open_changed(|folder| {
        let bytes = fs::read(folder.join("MANIFEST")).unwrap();
        let line = bytes.iter().position(|&byte| byte == b'\n').unwrap();
        let mut changed = b"metaflow-manifest 2 whatever comes then".to_vec();
        changed.extend_from_slice(&bytes[line..]);
        fs::write(folder.join("MANIFEST"), changed).unwrap();
    });
    assert!(matches!(manifest, OpenError::NewerFormat { found: 2, known: 1, .. }), "{manifest}");
    let log = open_changed(|folder| {
        let mut bytes = fs::read(segment(folder)).unwrap();
        bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        fs::write(segment(folder), bytes).unwrap();
    });
    assert!(matches!(log, OpenError::NewerFormat { found: 7, known: 1, .. }), "{log}");
    assert!(log.to_string().contains("newer program"), "{log}");
}

#[test]
fn a_damaged_or_missing_manifest_is_refused_with_its_name() {
    for cut in [0, 10, 60, 200] {
        let error = open_changed(|folder| {
            let bytes = fs::read(folder.join("MANIFEST")).unwrap();
            fs::write(folder.join("MANIFEST"), &bytes[..cut]).unwrap();
        });
        assert!(matches!(&error, OpenError::Damaged { path, .. } if path.ends_with("MANIFEST")), "{error}");
    }
    let error = open_changed(|folder| {
        let mut bytes = fs::read(folder.join("MANIFEST")).unwrap();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        fs::write(folder.join("MANIFEST"), bytes).unwrap();
    });
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let error = open_changed(|folder| fs::remove_file(folder.join("MANIFEST")).unwrap());
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
}

/// Bytes changed, cut, doubled and moved anywhere but in the sealed file: an error or fewer rows, never other rows.
#[test]
fn a_mangled_store_is_refused_or_serves_what_is_left() {
    let mut dice = Dice(11);
    let (mut refused, mut served) = (0, 0);
    for round in 0..150 {
        let folder = TempDir::new().unwrap();
        copy(&golden("v1"), folder.path());
        let path = if round % 3 == 0 { folder.path().join("MANIFEST") } else { segment(folder.path()) };
        let mut bytes = fs::read(&path).unwrap();
        for _ in 0..=dice.below(3) {
            let (from, to) = (dice.below(bytes.len()), dice.below(bytes.len()));
            match dice.below(4) {
                0 => bytes[from] = dice.next() as u8,
                1 => bytes.truncate(from.max(1)),
                2 => drop(bytes.drain(from.min(to)..from.max(to))),
                _ => {
                    let part = bytes[from.min(to)..from.max(to)].to_vec();
                    let at = dice.below(bytes.len());
                    bytes.splice(at..at, part);
                }
            }
            bytes.push(0);
        }
        fs::write(path, bytes).unwrap();
        run(async {
            match Embedded::open(folder.path(), quiet()).await {
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
                Ok(store) => {
                    let found = values(&store).await;
                    assert!(found.starts_with(&[2, 3, 5, 6]), "{found:?}");
                    assert!(found[4..].iter().all(|value| [7, 8].contains(value)) && found.len() <= 6, "{found:?}");
                    append(&store, 100, [2]).await;
                    store.close().await;
                    served += 1;
                }
            }
        });
    }
    assert!(refused > 20 && served > 20, "{refused} refused, {served} served");
}

#[test]
fn a_missing_file_is_reported_and_the_rest_is_served() {
    let folder = TempDir::new().unwrap();
    copy(&golden("v1"), folder.path());
    let files = folder.path().join("tables/plain");
    let file = fs::read_dir(&files).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    // And what a crash left.
    fs::write(files.join("485760-99.parquet.new"), "unfinished").unwrap();
    run(async {
        let store = open(folder.path()).await;
        assert_eq!(store.recovery().missing, std::slice::from_ref(&file));
        assert_eq!(store.recovery().leftovers, 1);
        assert!(!store.recovery().is_complete());
        assert_eq!(values(&store).await, [7, 8]);
        store.close().await;
        // Brought back, it counts again.
        fs::write(&file, bytes).unwrap();
        let store = open(folder.path()).await;
        assert!(store.recovery().is_complete());
        assert_eq!(values(&store).await, [2, 3, 5, 6, 7, 8]);
        store.close().await;
    });
}
