//! The store on a disk that loses power, space or its health at any moment. What was acknowledged is there once; what was
//! not may be there once; the store takes new rows afterwards.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use bytes::Bytes;
use futures::future::{join, join_all};
use metaflow_storage_embedded::{Disk, Embedded, Limits, Options, contents};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use storage_api::{AppendError, IngestBatch, Storage, TableDefinition, Timestamp};

use crate::sim_disk::{Dice, Event, Fault, Safe, SimDisk};
use crate::support::{SECOND, START, id, name, plain, quiet, rows_at, run, values};

const ROOT: &str = "/store";
const HOUR: i64 = 3600 * SECOND;

/// What the test knows of the store at a moment.
#[derive(Clone, Debug)]
enum Note {
    /// A batch of these values is on its way.
    Sent(u64),
    /// It was acknowledged.
    Stored(u64),
    /// Rows of the first hours are being dropped.
    Dropping(u64),
    /// They were.
    Dropped(u64),
}

type Sim = SimDisk<Note>;

fn options(disk: &Sim) -> Options {
    Options { disk: Arc::new(disk.clone()), limits: Limits { group_bytes: 4096, ..Limits::default() }, ..quiet() }
}

/// Batch `n` holds the one value `n`, in hour `n / 10`.
async fn send(store: &Embedded, disk: &Sim, number: u64) -> Result<(), AppendError> {
    disk.note(Note::Sent(number));
    let rows = rows_at(START + (number / 10) as i64 * HOUR, [number]);
    let result = store.append(&name("plain"), IngestBatch::new(id(number), rows)).await;
    if result.is_ok() {
        disk.note(Note::Stored(number));
    }
    result
}

async fn drop_hours(store: &Embedded, disk: &Sim, hours: u64) {
    disk.note(Note::Dropping(hours));
    let limit = Timestamp::from_nanos(START + hours as i64 * HOUR);
    if store.drop_before(&name("plain"), limit).await.is_ok() {
        disk.note(Note::Dropped(hours));
    }
}

/// Everything that a store does, with whatever errors the disk has in store for it.
async fn work(disk: &Sim) {
    let Ok(store) = Embedded::open(ROOT, options(disk)).await else { return };
    let _ = store.create_table(&plain()).await;
    let mut next = 0;
    for round in 0..6 {
        let together = |first: u64| join_all((first..first + 3).map(|number| send(&store, disk, number)));
        together(next).await;
        // While rows are being written to files, others come.
        let (_, stored) = join(store.flush(), together(next + 3)).await;
        drop(stored);
        next += 6;
        // Sent again, as after a lost acknowledgement.
        let _ = send(&store, disk, next - 1).await;
        let _ = store.flush().await;
        if round == 2 {
            let grown = TableDefinition::builder("plain").time("time", "").text("new", "").build().unwrap();
            let _ = store.create_table(&grown).await;
        }
        if round == 4 {
            drop_hours(&store, disk, 1).await;
        }
    }
    for more in 0..4 {
        let _ = send(&store, disk, next + more).await;
    }
    store.close().await;
}

/// What must be there, and what may be.
#[derive(Debug, Default)]
struct Expected {
    must: BTreeSet<u64>,
    may: BTreeSet<u64>,
}

fn expected(events: &[Event<Note>]) -> Expected {
    let mut expected = Expected::default();
    let (mut dropping, mut dropped) = (0, 0);
    for event in events {
        match event {
            Event::Note(Note::Sent(number)) => drop(expected.may.insert(*number)),
            Event::Note(Note::Stored(number)) => drop(expected.must.insert(*number)),
            Event::Note(Note::Dropping(hours)) => dropping = *hours,
            Event::Note(Note::Dropped(hours)) => dropped = *hours,
            _ => {}
        }
    }
    expected.must.retain(|number| number / 10 >= dropping);
    expected.may.retain(|number| number / 10 >= dropped);
    expected
}

/// Opens what a crash left, compares, and shows that the store is alive.
async fn check(disk: &Sim, expected: &Expected, what: &str) {
    let store = Embedded::open(ROOT, options(disk)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    store.create_table(&plain()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = values(&store).await;
    let once: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(once.len(), found.len(), "{what}: rows are there twice: {found:?}");
    let lost: Vec<_> = expected.must.difference(&once).collect();
    assert!(lost.is_empty(), "{what}: {lost:?} were acknowledged and are lost\n{}", store.recovery());
    let invented: Vec<_> = once.difference(&expected.may).collect();
    assert!(invented.is_empty(), "{what}: {invented:?} should not be there");
    // The same batches again, as a sender does that never heard of the first time; and a new one.
    for &number in expected.may.iter().rev().take(3) {
        let rows = rows_at(START + (number / 10) as i64 * HOUR, [number]);
        store.append(&name("plain"), IngestBatch::new(id(number), rows)).await.unwrap();
    }
    store.append(&name("plain"), IngestBatch::new(id(1000), rows_at(START + 100 * HOUR, [1000]))).await.unwrap();
    let mut all = once;
    all.extend(expected.may.iter().rev().take(3));
    all.insert(1000);
    assert_eq!(values(&store).await, all.into_iter().collect::<Vec<_>>(), "{what}: after new batches");
    store.close().await;
}

/// The disk of the tests itself: a new file is written aside and put in place where a crash had left an older one aside.
#[test]
fn what_is_put_in_place_is_what_was_written_whatever_had_its_name_before() {
    let (aside, place) = (Path::new(ROOT).join("new"), Path::new(ROOT).join("file"));
    let base = Sim::new();
    base.create_dir(Path::new(ROOT)).unwrap();
    let write = |disk: &Sim, bytes: &[u8]| {
        let mut file = disk.create(&aside).unwrap();
        file.write_all(bytes).unwrap();
        file.sync().unwrap();
    };
    write(&base, b"older");
    let base = base.copy();
    let disk = base.copy();
    write(&disk, b"newer");
    disk.rename(&aside, &place).unwrap();
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let left = Sim::crash(&base, &disk.events(), &mut Dice(seed));
        found.extend(left.read(&place).ok());
    }
    assert_eq!(found, BTreeSet::from([b"newer".to_vec()]));
}

#[test]
fn power_is_lost_after_every_operation() {
    run(async {
        let disk = Sim::new();
        work(&disk).await;
        let events = disk.events();
        let empty = Sim::new();
        let mut points = 0;
        for end in 0..=events.len() {
            let expected = expected(&events[..end]);
            for seed in 0..2 {
                let mut dice = Dice((end * 100 + seed) as u64);
                let left = Sim::crash(&empty, &events[..end], &mut dice);
                let before = left.copy();
                check(&left, &expected, &format!("crash at {end} of {}, seed {seed}", events.len())).await;
                points += 1;
                // Power is lost again while the store recovers from that.
                if seed == 0 {
                    let again = left.events();
                    let until = dice.below(again.len().min(30));
                    let left = Sim::crash(&before, &again[..until], &mut dice);
                    let mut expected = Expected { must: expected.must.clone(), may: expected.may.clone() };
                    expected.may.insert(1000);
                    check(&left, &expected, &format!("crash at {end}, then at {until}, seed {seed}")).await;
                    points += 1;
                }
            }
        }
        println!("{points} crashes of {} operations", events.len());
        assert!(points >= 800, "{points} crashes are too few to say anything");
    });
}

/// As many crashes as a run of the tests can afford: of each is seen what opening finds, without the rest of opening. Several
/// crashes may leave the same disk; it is read once, and compared with what each of them must have kept.
#[test]
fn power_is_lost_a_hundred_thousand_times() {
    const POINTS: usize = 40_000;
    // What comes together while others write differs from run to run.
    let runs = if std::env::var("METAFLOW_FULL").is_ok_and(|full| full == "1") { 30 } else { 3 };
    let (mut points, mut disks) = (0, 0);
    for number in 0..runs {
        let disk = Sim::new();
        run(work(&disk));
        let (more, others) = crashes(&disk.events(), POINTS, number * POINTS);
        (points, disks) = (points + more, disks + others);
    }
    println!("{points} crashes of {runs} runs left {disks} different disks");
    assert!(points >= runs * POINTS && disks >= points / 20, "{points} crashes, {disks} disks");
}

/// Crashes after each operation in turn, on all processors; answers how many, and how many different disks they left.
fn crashes(events: &[Event<Note>], points: usize, seed: usize) -> (usize, usize) {
    let seeds = points.div_ceil(events.len() + 1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = |thread: usize| {
        let mut safe = Safe::of(&Sim::new());
        let (mut points, mut disks) = (0, 0);
        let mut seen: HashMap<(u64, u64), BTreeSet<u64>> = HashMap::new();
        let mut files: HashMap<(PathBuf, u32), Vec<u64>> = HashMap::new();
        for end in 0..=events.len() {
            if end > 0 {
                safe.apply(&events[end - 1]);
            }
            if end % threads != thread {
                continue;
            }
            let expected = expected(&events[..end]);
            seen.retain(|(version, _), _| *version == safe.version());
            for number in 0..seeds {
                let (left, key) = safe.crash(&mut Dice((seed + end * seeds + number) as u64));
                let what = || format!("crash at {end} of {}, dice {}", events.len(), seed + end * seeds + number);
                let found = seen.entry(key).or_insert_with(|| {
                    disks += 1;
                    contents_of(&left, &mut files, &what())
                });
                let lost: Vec<_> = expected.must.difference(found).collect();
                assert!(lost.is_empty(), "{}: {lost:?} were acknowledged and are lost", what());
                let invented: Vec<_> = found.difference(&expected.may).collect();
                assert!(invented.is_empty(), "{}: {invented:?} should not be there", what());
                points += 1;
            }
        }
        (points, disks)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.fold((0, 0), |(points, disks), (more, others)| (points + more, disks + others))
    })
}

/// The values that opening would find, each once.
fn contents_of(disk: &Sim, files: &mut HashMap<(PathBuf, u32), Vec<u64>>, what: &str) -> BTreeSet<u64> {
    let found =
        contents(Path::new(ROOT), options(disk), &name("plain")).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut values: Vec<u64> = found.rows.iter().flat_map(|batch| numbers(batch)).collect();
    for path in found.files {
        let bytes = disk.read(&path).unwrap();
        let key = (path, crc32c::crc32c(&bytes));
        let numbers = files.entry(key).or_insert_with(|| {
            let rows = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap();
            rows.flat_map(|batch| numbers(&batch.unwrap())).collect()
        });
        values.extend(&*numbers);
    }
    let kept = found.kept_from.map_or(0, |from| (from.as_nanos() - START) / HOUR) as u64;
    values.retain(|number| number / 10 >= kept);
    let once: BTreeSet<u64> = values.iter().copied().collect();
    assert_eq!(once.len(), values.len(), "{what}: rows are there twice: {values:?}");
    once
}

fn numbers(batch: &RecordBatch) -> Vec<u64> {
    let column = batch.column_by_name("value").unwrap();
    column.as_primitive::<UInt64Type>().values().to_vec()
}

/// The disk fails once, or is full for a while, at each operation in turn. Errors are answered, nothing is acknowledged
/// that is not safe, and once the disk is well again the store is too, without being opened anew.
#[test]
fn the_disk_fails_or_is_full_at_every_operation() {
    run(async {
        let count = {
            let disk = Sim::new();
            work(&disk).await;
            disk.changes()
        };
        let mut runs = 0;
        for fault in [Fault::Broken, Fault::Full] {
            for change in 1..=count {
                let disk = Sim::new();
                disk.fail_at(change, fault);
                work(&disk).await;
                disk.heal();
                let what = format!("{fault:?} at {change} of {count}");
                let events = disk.events();
                let mut dice = Dice(change as u64);
                for _ in 0..2 {
                    let left = Sim::crash(&Sim::new(), &events, &mut dice);
                    check(&left, &expected(&events), &what).await;
                }
                runs += 1;
            }
        }
        println!("{runs} faults");
    });
}

#[test]
fn a_full_disk_refuses_for_a_while_reads_go_on_and_it_heals_without_a_restart() {
    run(async {
        let disk = Sim::new();
        let store = Embedded::open(ROOT, options(&disk)).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        for number in 0..3 {
            send(&store, &disk, number).await.unwrap();
        }
        store.flush().await.unwrap();
        send(&store, &disk, 3).await.unwrap();

        disk.fail_at(disk.changes() + 1, Fault::Full);
        for _ in 0..3 {
            let error = send(&store, &disk, 4).await.unwrap_err();
            assert!(error.is_retryable() && matches!(error, AppendError::Full { .. }), "{error}");
        }
        assert!(store.flush().await.unwrap_err().is_retryable());
        assert_eq!(values(&store).await, [0, 1, 2, 3]);
        assert!(store.stats().log_failures >= 3 && store.stats().flush_failures >= 1, "{:?}", store.stats());

        disk.heal();
        send(&store, &disk, 4).await.unwrap();
        store.flush().await.unwrap();
        assert_eq!(values(&store).await, [0, 1, 2, 3, 4]);
        assert_eq!(store.stats().rows_in_memory, 0);
        store.close().await;
    });
}

#[test]
fn every_flipped_bit_of_the_log_is_noticed_and_costs_one_batch_at_most() {
    run(async {
        let disk = Sim::new();
        let store = Embedded::open(ROOT, options(&disk)).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        for number in 0..20 {
            send(&store, &disk, number).await.unwrap();
        }
        store.close().await;
        let (path, bytes) =
            disk.files().into_iter().find(|(path, _)| path.extension().is_some_and(|e| e == "log")).unwrap();
        let mut dice = Dice(7);
        let (mut quiet, mut lost) = (0, BTreeMap::new());
        for _ in 0..300 {
            // Not within the header, whose loss costs the segment.
            let bit = (40 + dice.below(bytes.len() - 40)) * 8 + dice.below(8);
            let changed = disk.copy();
            changed.flip(&path, bit);
            let store = Embedded::open(ROOT, options(&changed)).await.unwrap();
            let found = values(&store).await;
            let missing = 20 - found.len();
            assert!(missing <= 1, "bit {bit} cost {missing} batches");
            let report = store.recovery();
            let noticed = report.quarantined.len() + report.truncated.len();
            assert_eq!(missing, noticed, "bit {bit}: {report}");
            assert!(found.iter().all(|value| *value < 20), "bit {bit} changed a value: {found:?}");
            // A flip in the zeros between two frames changes nothing.
            if missing == 0 {
                quiet += 1;
            } else {
                *lost.entry(noticed).or_insert(0) += 1;
            }
            store.close().await;
        }
        assert!(quiet < 30, "{quiet} flips went unnoticed, {lost:?} were noticed");
    });
}

#[test]
fn every_flipped_bit_of_a_sealed_file_is_found_by_a_check() {
    run(async {
        let disk = Sim::new();
        let store = Embedded::open(ROOT, options(&disk)).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        send(&store, &disk, 0).await.unwrap();
        store.flush().await.unwrap();
        assert!(store.check().await.unwrap().is_empty());
        let (path, bytes) =
            disk.files().into_iter().find(|(path, _)| path.extension().is_some_and(|e| e == "parquet")).unwrap();
        for bit in 0..bytes.len() * 8 {
            disk.flip(&path, bit);
            assert_eq!(store.check().await.unwrap(), [path.as_path()], "bit {bit}");
            disk.flip(&path, bit);
        }
        assert!(path.starts_with(Path::new(ROOT)));
        store.close().await;
    });
}
