use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, TimestampNanosecondArray, UInt64Array};

use super::rows::{
    Dice, HOUR, START, append, create, every_type, id, name, plain, plain_named, plain_rows, random_rows, read, sorted,
    times, values,
};
use super::{Fixture, Run};
use crate::{AppendError, BatchId, IngestBatch, ScanRequest, TableDefinition, Timestamp};

/// All types, NULLs among them, come back as they went in, and with the table's types.
pub async fn appended_rows_of_every_type_are_read_back(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), every_type());
    create(&*storage, &table).await;
    let rows = [random_rows(&mut Dice(1), 1000), random_rows(&mut Dice(2), 1), random_rows(&mut Dice(3), 77)];
    for (sequence, rows) in rows.iter().enumerate() {
        append(&*storage, &table, sequence as u64, rows.clone()).await;
    }
    let found = read(&*storage, ScanRequest::new(table.name().clone())).await;
    assert_eq!(sorted(&found), sorted(&rows));
    for batch in found {
        assert!(batch.num_rows() > 0, "an empty batch was handed out");
        assert_eq!(batch.schema().fields(), table.schema().fields());
    }
}

/// Only the first batch of an id counts, whatever comes with the second.
pub async fn the_same_batch_twice_is_stored_once(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    for _ in 0..3 {
        append(&*storage, &table, 1, plain_rows([1, 2])).await;
        append(&*storage, &table, 2, plain_rows([3])).await;
    }
    append(&*storage, &table, 2, plain_rows([9, 9, 9])).await;
    assert_eq!(values(&*storage, "plain").await, [1, 2, 3]);
}

/// Ids are told apart by table, sender, epoch and sequence.
pub async fn the_same_number_in_another_table_or_from_another_sender_is_another_batch(
    fixture: &mut dyn Fixture,
    _: Run,
) {
    let (storage, table, other) = (fixture.storage(), plain(), plain_named("other"));
    create(&*storage, &table).await;
    create(&*storage, &other).await;
    append(&*storage, &table, 1, plain_rows([1])).await;
    append(&*storage, &other, 1, plain_rows([2])).await;
    let first = id(1);
    for (id, value) in [(BatchId { source: 2, ..first }, 3), (BatchId { epoch: 2, ..first }, 4)] {
        storage.append(table.name(), IngestBatch::new(id, plain_rows([value]))).await.expect("another batch");
    }
    assert_eq!(values(&*storage, "plain").await, [1, 3, 4]);
    assert_eq!(values(&*storage, "other").await, [2]);
}

/// A later number does not make an earlier one a duplicate.
pub async fn numbers_may_come_in_any_order_within_the_window(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    let window = storage.capabilities().dedup_window;
    assert!(window > 0, "a window of {window} remembers nothing");
    let last = window.min(64) - 1;
    for sequence in [last, 0, last / 2, last, 0] {
        append(&*storage, &table, sequence, plain_rows([sequence])).await;
    }
    let mut expected = vec![0, last / 2, last];
    expected.dedup();
    assert_eq!(values(&*storage, "plain").await, expected);
}

/// What is too old to be known is refused for good rather than stored again.
pub async fn a_batch_below_the_window_is_not_stored_twice(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    append(&*storage, &table, 0, plain_rows([1])).await;
    append(&*storage, &table, storage.capabilities().dedup_window + 1, plain_rows([2])).await;
    match storage.append(table.name(), IngestBatch::new(id(0), plain_rows([1]))).await {
        Ok(()) => {}
        Err(error) => assert!(matches!(error, AppendError::TooOld { .. }) && !error.is_retryable(), "{error}"),
    }
    assert_eq!(values(&*storage, "plain").await, [1, 2]);
}

/// No rows are stored, but the id is taken.
pub async fn an_empty_batch_is_remembered(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    append(&*storage, &table, 1, plain_rows([])).await;
    append(&*storage, &table, 1, plain_rows([7])).await;
    assert_eq!(values(&*storage, "plain").await, [0u64; 0]);
}

/// A hundred thousand rows (or as many as are taken) go in as one.
pub async fn a_large_batch_is_one_batch(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    let rows = storage.capabilities().batch_rows.unwrap_or(usize::MAX).min(100_000) as u64;
    append(&*storage, &table, 1, plain_rows(0..rows)).await;
    assert_eq!(values(&*storage, "plain").await, (0..rows).collect::<Vec<_>>());
}

/// Where a bound is declared, one row more is refused, and not for a while but for good.
pub async fn a_batch_beyond_the_bounds_is_refused(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    let Some(rows) = storage.capabilities().batch_rows else { return };
    let refused = storage.append(table.name(), IngestBatch::new(id(1), plain_rows(0..rows as u64 + 1))).await;
    let error = refused.expect_err("one row too many");
    assert!(matches!(error, AppendError::TooLarge { .. }) && !error.is_retryable(), "{error}");
    assert_eq!(values(&*storage, "plain").await, [0u64; 0]);
    append(&*storage, &table, 1, plain_rows([1])).await;
    assert_eq!(values(&*storage, "plain").await, [1]);
}

/// Order does not matter, and nullable columns may be left out.
pub async fn columns_find_their_place_by_name(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), every_type());
    create(&*storage, &table).await;
    let rows = random_rows(&mut Dice(4), 50);
    let turned: Vec<usize> = (0..rows.num_columns()).rev().collect();
    append(&*storage, &table, 1, rows.project(&turned).expect("columns that are there")).await;
    assert_eq!(
        sorted(&read(&*storage, ScanRequest::new(table.name().clone())).await),
        sorted(std::slice::from_ref(&rows))
    );

    append(&*storage, &table, 2, rows.project(&[0]).expect("the time column")).await;
    let found = read(&*storage, ScanRequest::new(table.name().clone()).columns(["text"])).await;
    let texts: usize = found.iter().map(|batch| batch.num_rows() - batch.column(0).null_count()).sum();
    let before = rows.column_by_name("text").expect("a text column");
    assert_eq!(texts, rows.num_rows() - before.null_count());
}

/// A dictionary is a matter of the batch; what is read has the table's type.
pub async fn dictionary_columns_are_unpacked(fixture: &mut dyn Fixture, _: Run) {
    let storage = fixture.storage();
    let table = TableDefinition::builder("words").time("time", "").text("word", "").build().expect("a proper table");
    create(&*storage, &table).await;
    let words = [Some("b"), None, Some("a"), Some("b")];
    let packed: DictionaryArray<UInt32Type> = words.into_iter().collect();
    let time = TimestampNanosecondArray::from(vec![START; 4]).with_timezone("+00:00");
    let batch =
        RecordBatch::try_from_iter([("time", Arc::new(time) as ArrayRef), ("word", Arc::new(packed) as ArrayRef)])
            .expect("a batch");
    append(&*storage, &table, 1, batch).await;
    let mut found = Vec::new();
    for batch in read(&*storage, ScanRequest::new(name("words")).columns(["word"])).await {
        found.extend(batch.column(0).as_string::<i32>().iter().map(|word| word.map(str::to_owned)));
    }
    found.sort();
    assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), [None, Some("a"), Some("b"), Some("b")]);
}

/// A slice shares its buffers with its neighbours; only its own rows are stored.
pub async fn slices_of_a_batch_are_batches(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), every_type());
    create(&*storage, &table).await;
    let rows = random_rows(&mut Dice(5), 100);
    for (sequence, (offset, length)) in [(0, 1), (13, 40), (99, 1)].into_iter().enumerate() {
        append(&*storage, &table, sequence as u64, rows.slice(offset, length)).await;
    }
    let expected = sorted(&[rows.slice(0, 1), rows.slice(13, 40), rows.slice(99, 1)]);
    assert_eq!(sorted(&read(&*storage, ScanRequest::new(table.name().clone())).await), expected);
}

/// Times of one batch may lie anywhere, also before the epoch.
pub async fn one_batch_may_span_years(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    let far: Vec<i64> = vec![-5 * HOUR, -1, 0, START, START + 20_000 * HOUR];
    let time = TimestampNanosecondArray::from(far.clone()).with_timezone("+00:00");
    let values = UInt64Array::from_iter_values(0..5);
    let columns: Vec<ArrayRef> = vec![Arc::new(time), Arc::new(values)];
    append(&*storage, &table, 1, RecordBatch::try_new(table.schema().clone(), columns).expect("a batch")).await;
    let found = read(&*storage, ScanRequest::new(name("plain"))).await;
    assert_eq!(times(&found), far.into_iter().map(Timestamp::from_nanos).collect::<Vec<_>>());
}
