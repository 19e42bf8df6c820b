use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_schema::DataType;

use super::rows::{
    Dice, HOUR, SECOND, START, append, create, every_type, id, name, plain, plain_rows, random_rows, read, sorted,
    times, values,
};
use super::{Fixture, Run};
use crate::{AppendError, IngestBatch, ScanRequest, TableDefinition, Timestamp};

/// The row at the limit stays. Dropping again, or more than there is, is no error.
pub async fn old_rows_are_dropped(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    append(&*storage, &table, 1, plain_rows(0..7300)).await;
    let half = Timestamp::from_nanos(START + 3650 * SECOND);
    for _ in 0..2 {
        storage.drop_before(table.name(), half).await.expect("old rows are dropped");
        assert_eq!(values(&*storage, "plain").await, (3650..7300).collect::<Vec<_>>());
    }
    append(&*storage, &table, 2, plain_rows([0; 4000])).await;
    let later = times(&read(&*storage, ScanRequest::new(name("plain"))).await);
    assert!(later.iter().filter(|&&time| time >= half).count() == 3650 + 350, "rows that were not old are gone");
    storage.drop_before(table.name(), Timestamp::MAX).await.expect("everything is dropped");
    assert_eq!(values(&*storage, "plain").await, [0u64; 0]);
}

/// Every acknowledged batch, once.
pub async fn what_was_acknowledged_is_there_after_a_restart(fixture: &mut dyn Fixture, _: Run) {
    let table = every_type();
    let mut all = Vec::new();
    for round in 0..4 {
        let storage = fixture.storage();
        assert_eq!(create(&*storage, &table).await, table);
        for part in 0..3 {
            let rows = random_rows(&mut Dice(100 + round * 10 + part), 40);
            append(&*storage, &table, round * 10 + part, rows.clone()).await;
            all.push(rows);
        }
        drop(storage);
        if !fixture.reopen().await {
            return;
        }
        let found = read(&*fixture.storage(), ScanRequest::new(table.name().clone())).await;
        assert_eq!(sorted(&found), sorted(&all), "after restart {round}");
    }
}

/// A sender that never saw the acknowledgement sends again.
pub async fn a_batch_sent_again_after_a_restart_is_stored_once(fixture: &mut dyn Fixture, _: Run) {
    let table = plain();
    create(&*fixture.storage(), &table).await;
    for round in 0..3 {
        for sequence in 0..5 {
            append(&*fixture.storage(), &table, sequence, plain_rows([sequence])).await;
        }
        append(&*fixture.storage(), &table, 10 + round, plain_rows([])).await;
        assert_eq!(values(&*fixture.storage(), "plain").await, [0, 1, 2, 3, 4]);
        if !fixture.reopen().await {
            return;
        }
        append(&*fixture.storage(), &table, 10 + round, plain_rows([99])).await;
        assert_eq!(values(&*fixture.storage(), "plain").await, [0, 1, 2, 3, 4]);
    }
}

/// What was dropped does not come back, and what was added does not go.
pub async fn growth_and_retention_survive_a_restart(fixture: &mut dyn Fixture, _: Run) {
    let grown = TableDefinition::builder("plain")
        .time("time", "when")
        .number("value", DataType::UInt64, "which")
        .text("note", "what else")
        .build()
        .expect("a proper table");
    let storage = fixture.storage();
    create(&*storage, &plain()).await;
    append(&*storage, &plain(), 1, plain_rows(0..7300)).await;
    create(&*storage, &grown).await;
    let limit = Timestamp::from_nanos(START + HOUR + SECOND);
    storage.drop_before(&name("plain"), limit).await.expect("old rows are dropped");
    drop(storage);
    if !fixture.reopen().await {
        return;
    }
    let storage = fixture.storage();
    assert_eq!(values(&*storage, "plain").await, (3601..7300).collect::<Vec<_>>());
    let found = read(&*storage, ScanRequest::new(name("plain")).columns(["note"])).await;
    assert!(found.iter().all(|batch| batch.column(0).null_count() == batch.num_rows()), "no row has a note");
    assert_eq!(create(&*storage, &plain()).await.schema().fields(), grown.schema().fields());
}

/// Rows of one batch are seen together or not at all, and never disappear again.
pub async fn writers_and_readers_at_once(fixture: &mut dyn Fixture, run: Run) {
    const WRITERS: u64 = 4;
    const BATCHES: u64 = 12;
    const ROWS: u64 = 50;
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (storage, done) = (storage.clone(), done.clone());
            thread::spawn(move || {
                run(Box::pin(async move {
                    let mut before = 0;
                    while !done.load(Ordering::Acquire) {
                        let batches = read(&*storage, ScanRequest::new(name("plain")).columns(["value"])).await;
                        let seen = whole_batches(&batches, ROWS);
                        assert!(seen >= before, "{before} batches were seen, then {seen}");
                        before = seen;
                    }
                }));
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (storage, table) = (storage.clone(), table.clone());
            thread::spawn(move || {
                run(Box::pin(async move {
                    for batch in 0..BATCHES {
                        let number = writer * BATCHES + batch;
                        append(&*storage, &table, number, plain_rows([number; ROWS as usize])).await;
                    }
                }));
            })
        })
        .collect();
    let wrote = writers.into_iter().map(thread::JoinHandle::join).collect::<Result<Vec<_>, _>>();
    done.store(true, Ordering::Release);
    let readers = readers.into_iter().map(thread::JoinHandle::join).collect::<Result<Vec<_>, _>>();
    assert!(wrote.is_ok() && readers.is_ok(), "a writer or a reader failed");
    let found = read(&*storage, ScanRequest::new(name("plain")).columns(["value"])).await;
    assert_eq!(whole_batches(&found, ROWS), (WRITERS * BATCHES) as usize);
}

/// How many batches are there; each must have all of its rows.
fn whole_batches(found: &[RecordBatch], rows: u64) -> usize {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for batch in found {
        batch.column(0).as_primitive::<UInt64Type>().values().iter().for_each(|&value| {
            *counts.entry(value).or_default() += 1;
        });
    }
    assert!(counts.values().all(|&count| count == rows), "a part of a batch was seen: {counts:?}");
    counts.len()
}

/// All of them are told that it is stored (or to try again), and it is there once.
pub async fn one_batch_sent_by_many_at_once_is_stored_once(fixture: &mut dyn Fixture, run: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let storage = storage.clone();
            thread::spawn(move || {
                run(Box::pin(async move {
                    for sequence in 0..10 {
                        let batch = IngestBatch::new(id(sequence), plain_rows([sequence]));
                        let stored = storage.append(&name("plain"), batch).await;
                        assert!(stored.as_ref().err().is_none_or(AppendError::is_retryable), "{stored:?}");
                    }
                }));
            })
        })
        .collect();
    let sent = senders.into_iter().map(thread::JoinHandle::join).collect::<Result<Vec<_>, _>>();
    assert!(sent.is_ok(), "a sender failed");
    assert_eq!(values(&*storage, "plain").await, (0..10).collect::<Vec<_>>());
}
