use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;

use super::rows::{append, create, integers, name, plain, plain_named, plain_rows, read, values};
use super::{Fixture, Run};
use crate::{Predicate, ScanRequest, StorageExt, TableDefinition};

/// [`plain`] with one column more.
fn grown() -> TableDefinition {
    TableDefinition::builder("plain")
        .time("time", "when")
        .number("value", DataType::UInt64, "which")
        .duration("took", "how long")
        .build()
        .expect("a proper table")
}

fn grown_rows(rows: &RecordBatch, took: i64) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(Int64Array::from(vec![took; rows.num_rows()])) as ArrayRef);
    RecordBatch::try_new(grown().schema().clone(), columns).expect("rows of the grown table")
}

/// Rows stay, and the answer is the table as it stands.
pub async fn creating_a_table_again_changes_nothing(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    assert_eq!(create(&*storage, &table).await, table);
    append(&*storage, &table, 1, plain_rows([1])).await;
    assert_eq!(create(&*storage, &table).await, table);
    assert_eq!(values(&*storage, "plain").await, [1]);
}

/// Growth is visible to filters too: a missing value is NULL.
pub async fn new_columns_read_as_null_in_older_rows(fixture: &mut dyn Fixture, _: Run) {
    let storage = fixture.storage();
    create(&*storage, &plain()).await;
    append(&*storage, &plain(), 1, plain_rows([1, 2])).await;
    let table = create(&*storage, &grown()).await;
    assert_eq!(table, grown());
    append(&*storage, &table, 2, grown_rows(&plain_rows([3]), 30)).await;

    let mut took = integers(&read(&*storage, ScanRequest::new(name("plain"))).await, "took");
    took.sort_unstable();
    assert_eq!(took, [None, None, Some(30)]);
    for (predicate, expected) in [
        (Predicate::is_null("took"), 2),
        (Predicate::eq("took", 30), 1),
        (Predicate::Not(Box::new(Predicate::eq("took", 31))), 1),
    ] {
        let request = ScanRequest::new(name("plain")).filter(predicate.clone());
        let stream = storage.scan_exact(&table, request).await.expect("the scan begins");
        let found: Vec<RecordBatch> = futures::TryStreamExt::try_collect(stream).await.expect("the scan ends well");
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), expected, "{predicate}");
    }
}

/// A definition or a batch that does not know the newer columns is still right.
pub async fn old_senders_go_on_after_a_table_has_grown(fixture: &mut dyn Fixture, _: Run) {
    let storage = fixture.storage();
    create(&*storage, &grown()).await;
    let answered = create(&*storage, &plain()).await;
    assert_eq!(answered.schema().fields(), grown().schema().fields());
    append(&*storage, &plain(), 1, plain_rows([1])).await;
    append(&*storage, &grown(), 2, grown_rows(&plain_rows([2]), 5)).await;
    assert_eq!(values(&*storage, "plain").await, [1, 2]);
}

/// A refused change leaves the table as it was.
pub async fn changes_of_what_is_stored_are_refused(fixture: &mut dyn Fixture, _: Run) {
    let storage = fixture.storage();
    create(&*storage, &plain()).await;
    append(&*storage, &plain(), 1, plain_rows([1])).await;
    let start = || TableDefinition::builder("plain").time("time", "when");
    for wrong in [
        start().number("value", DataType::Int64, ""),
        start().text("value", ""),
        start().number("value", DataType::UInt64, "").text("new", "").required(),
        start().number("value", DataType::UInt64, "").text("fine", "").sort_by(["value"]),
        TableDefinition::builder("plain").time("other", "").number("value", DataType::UInt64, ""),
    ] {
        let wrong = wrong.build().expect("a proper table");
        let error = storage.create_table(&wrong).await.expect_err("a change of what is stored");
        assert!(!error.is_retryable(), "{error}");
    }
    assert_eq!(create(&*storage, &plain()).await, plain());
    assert_eq!(values(&*storage, "plain").await, [1]);
}

/// Two tables may have the same columns.
pub async fn tables_do_not_see_each_other(fixture: &mut dyn Fixture, _: Run) {
    let storage = fixture.storage();
    for (table, value) in [("plain", 1), ("other", 2), ("plain_2", 3)] {
        create(&*storage, &plain_named(table)).await;
        append(&*storage, &plain_named(table), 1, plain_rows([value])).await;
    }
    for (table, value) in [("plain", 1), ("other", 2), ("plain_2", 3)] {
        assert_eq!(values(&*storage, table).await, [value]);
    }
}
