use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array};
use arrow_schema::{Field, Schema};

use super::rows::{START, append, create, every_type, id, name, plain, plain_rows, values};
use super::{Fixture, Run};
use crate::{
    AppendError, DropError, IngestBatch, MAX_PREDICATE_DEPTH, Predicate, PredicateError, Scalar, ScanError,
    ScanRequest, SchemaError, Timestamp,
};

/// Tables and columns that are not there, in every operation.
pub async fn what_is_unknown_is_refused(fixture: &mut dyn Fixture, _: Run) {
    let storage = fixture.storage();
    create(&*storage, &plain()).await;
    let nowhere = name("nowhere");
    let append = storage.append(&nowhere, IngestBatch::new(id(1), plain_rows([1]))).await;
    assert!(matches!(append, Err(AppendError::UnknownTable { .. })), "{append:?}");
    let scan = storage.scan(ScanRequest::new(nowhere.clone())).await.err();
    assert!(matches!(scan, Some(ScanError::UnknownTable { .. })), "{scan:?}");
    let drop = storage.drop_before(&nowhere, Timestamp::MAX).await;
    assert!(matches!(drop, Err(DropError::UnknownTable { .. })), "{drop:?}");
    let column = storage.scan(ScanRequest::new(name("plain")).columns(["value", "nothing"])).await.err();
    assert!(matches!(column, Some(ScanError::UnknownColumn { .. })), "{column:?}");
}

/// Missing, wrong, unknown, repeated and NULL where it must not be: the error names the column, nothing is stored, and
/// the id is free for the right rows.
pub async fn rows_that_do_not_fit_are_refused_whole(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    let time: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![START, START]).with_timezone("+00:00"));
    let null: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(START), None]).with_timezone("+00:00"));
    let local: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![START, START]));
    let value: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2]));
    let signed: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    for (columns, expected) in [
        (vec![("value", &value)], "time"),
        (vec![("time", &null), ("value", &value)], "time"),
        (vec![("time", &local), ("value", &value)], "time"),
        (vec![("time", &time), ("value", &signed)], "value"),
        (vec![("time", &time), ("value", &text)], "value"),
        (vec![("time", &time), ("Value", &value)], "Value"),
        (vec![("time", &time), ("value", &value), ("value", &value)], "value"),
    ] {
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch of its own");
        let error = storage.append(table.name(), IngestBatch::new(id(1), batch)).await.expect_err(expected);
        assert!(!error.is_retryable(), "{error}");
        let AppendError::Schema { source, .. } = error else {
            assert!(error.to_string().is_empty(), "not a matter of the schema: {error}");
            return;
        };
        let column = match &source {
            SchemaError::Missing { column }
            | SchemaError::Null { column, .. }
            | SchemaError::Unknown { column }
            | SchemaError::Twice { column }
            | SchemaError::Type { column, .. }
            | SchemaError::Dictionary { column, .. } => column,
        };
        assert_eq!(column, expected, "{source}");
    }
    assert_eq!(values(&*storage, "plain").await, [0u64; 0]);
    append(&*storage, &table, 1, plain_rows([5])).await;
    assert_eq!(values(&*storage, "plain").await, [5]);
}

/// At once, not in the middle of the rows.
pub async fn predicates_that_do_not_fit_are_refused(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), every_type());
    create(&*storage, &table).await;
    let refuse = async |predicate: Predicate| {
        let text: String = predicate.to_string().chars().take(80).collect();
        let error = storage.scan(ScanRequest::new(name("every_type")).filter(predicate)).await.err();
        match error {
            Some(ScanError::Predicate(error)) => error,
            other => {
                assert!(other.is_none() && text.is_empty(), "{text}: {other:?}");
                PredicateError::TooDeep
            }
        }
    };
    let unknown = refuse(Predicate::eq("nothing", 1)).await;
    assert_eq!(unknown, PredicateError::UnknownColumn { column: "nothing".to_owned() });
    for (column, value) in [
        ("i8", Scalar::from("1")),
        ("u64", Scalar::from(1.5)),
        ("text", Scalar::from(1)),
        ("text", Scalar::from(b"a".as_slice())),
        ("bytes", Scalar::from("a")),
        ("time", Scalar::from(START)),
        ("flag", Scalar::from(1)),
        ("list", Scalar::from(1)),
        ("map", Scalar::from(1)),
    ] {
        let error = refuse(Predicate::eq(column, value.clone())).await;
        assert!(matches!(error, PredicateError::TypeMismatch { .. }), "{column} {value}: {error}");
        refuse(Predicate::any_of(column, [value])).await;
    }
    let mut deep = Predicate::is_null("i8");
    for _ in 0..MAX_PREDICATE_DEPTH {
        deep = Predicate::Not(Box::new(deep));
    }
    assert_eq!(refuse(deep).await, PredicateError::TooDeep);
}
