use arrow_array::RecordBatch;

use super::rows::{
    Dice, FLOATS, HOUR, SMALL, START, TEXTS, TIMES, agree, append, create, every_type, name, plain, plain_rows,
    random_rows, read, sorted, times,
};
use super::{Fixture, Run};
use crate::{ColumnDefinition, Comparison, Memory, Predicate, Scalar, ScanRequest, Storage, TimeRange, Timestamp};

/// The first instant is inside, the last is not, on the borders of hours too.
pub async fn the_time_range_is_exact(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), every_type());
    create(&*storage, &table).await;
    append(&*storage, &table, 1, random_rows(&mut Dice(6), 200)).await;
    let all = times(&read(&*storage, ScanRequest::new(table.name().clone())).await);
    let edges: Vec<Option<Timestamp>> =
        TIMES.iter().map(|&time| Some(Timestamp::from_nanos(time))).chain([None]).collect();
    for &from in &edges {
        for &until in &edges {
            let range = TimeRange { from, until };
            let found = read(&*storage, ScanRequest::new(table.name().clone()).within(range).columns(["time"])).await;
            let expected: Vec<Timestamp> = all.iter().copied().filter(|&time| range.contains(time)).collect();
            assert_eq!(times(&found), expected, "{range:?}");
        }
    }
}

/// Also when filtered by a column that was not asked for.
pub async fn a_projection_gives_these_columns_in_this_order(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table, reference) = (fixture.storage(), every_type(), Memory::default());
    let rows = random_rows(&mut Dice(7), 100);
    for store in [&*storage, &reference as &dyn Storage] {
        create(store, &table).await;
        append(store, &table, 1, rows.clone()).await;
    }
    let request = ScanRequest::new(table.name().clone()).columns(["text", "time", "i8"]);
    for batch in read(&*storage, request.clone()).await {
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["text", "time", "i8"]);
    }
    agree(&*storage, &reference, &table, request.clone()).await;
    agree(&*storage, &reference, &table, request.filter(Predicate::eq("u8", 1))).await;
}

/// As a count needs it.
pub async fn a_projection_of_nothing_counts_rows(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    append(&*storage, &table, 1, plain_rows(0..321)).await;
    let none: [&str; 0] = [];
    let range = TimeRange { from: Some(Timestamp::from_nanos(START + 21_000_000_000)), until: None };
    for (range, expected) in [(TimeRange::ALL, 321), (range, 300)] {
        let found = read(&*storage, ScanRequest::new(name("plain")).columns(none).within(range)).await;
        assert!(found.iter().all(|batch| batch.num_columns() == 0), "no column was asked for");
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), expected);
    }
}

/// Without a predicate, exactly so many rows (or all there are); any of them will do.
pub async fn a_limit_is_kept(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), plain());
    create(&*storage, &table).await;
    for sequence in 0..5 {
        append(&*storage, &table, sequence, plain_rows(sequence * 10..sequence * 10 + 10)).await;
    }
    for limit in [0, 1, 9, 10, 11, 50, 51, usize::MAX] {
        let found = read(&*storage, ScanRequest::new(name("plain")).limit(limit)).await;
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), limit.min(50), "limit {limit}");
    }
    let few = ScanRequest::new(name("plain")).filter(Predicate::compare("value", Comparison::GtEq, 45)).limit(3);
    let stream = crate::StorageExt::scan_exact(&*storage, &table, few).await.expect("the scan begins");
    let found: Vec<RecordBatch> = futures::TryStreamExt::try_collect(stream).await.expect("the scan ends well");
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

/// Not even an empty one.
pub async fn an_empty_table_gives_no_batches(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table) = (fixture.storage(), every_type());
    create(&*storage, &table).await;
    assert!(read(&*storage, ScanRequest::new(table.name().clone())).await.is_empty());
    append(&*storage, &table, 1, random_rows(&mut Dice(8), 10)).await;
    let later = TimeRange { from: Some(Timestamp::from_nanos(START + 1000 * HOUR)), until: None };
    assert!(read(&*storage, ScanRequest::new(table.name().clone()).within(later)).await.is_empty());
}

/// Every operator on every column with values that are there, that are not, and that the column cannot hold.
pub async fn every_kind_of_predicate_on_every_type(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table, reference) = (fixture.storage(), every_type(), Memory::default());
    for store in [&*storage, &reference as &dyn Storage] {
        create(store, &table).await;
        append(store, &table, 1, random_rows(&mut Dice(9), 150)).await;
    }
    for column in table.columns() {
        for predicate in predicates_on(&column) {
            let negated = Predicate::Not(Box::new(predicate.clone()));
            for predicate in [predicate, negated] {
                let request = ScanRequest::new(table.name().clone()).columns(["time", "u16"]).filter(predicate);
                agree(&*storage, &reference, &table, request).await;
            }
        }
    }
    let all = ScanRequest::new(table.name().clone());
    assert_eq!(
        sorted(&read(&*storage, all.clone().filter(Predicate::always())).await),
        sorted(&read(&reference, all).await)
    );
}

/// Every form that fits the column.
fn predicates_on(column: &ColumnDefinition) -> Vec<Predicate> {
    let name = column.name.as_str();
    let mut found = vec![Predicate::is_null(name)];
    let values = candidates(column);
    for value in &values {
        for op in OPERATORS {
            found.push(Predicate::compare(name, op, value.clone()));
        }
        if let Scalar::Text(_) | Scalar::Binary(_) = value {
            found.push(Predicate::starts_with(name, value.clone()));
        }
    }
    let none: [Scalar; 0] = [];
    found.push(Predicate::any_of(name, none));
    if !values.is_empty() {
        found.push(Predicate::any_of(name, values.iter().take(3).cloned()));
        found.push(Predicate::any_of(name, values));
    }
    found
}

pub(super) const OPERATORS: [Comparison; 6] =
    [Comparison::Eq, Comparison::NotEq, Comparison::Lt, Comparison::LtEq, Comparison::Gt, Comparison::GtEq];

/// Values to compare a column with.
pub(super) fn candidates(column: &ColumnDefinition) -> Vec<Scalar> {
    use arrow_schema::DataType;
    match &column.data_type {
        DataType::Timestamp(..) => TIMES[1..4]
            .iter()
            .chain(&[i64::MIN, i64::MAX])
            .map(|&time| Scalar::Timestamp(Timestamp::from_nanos(time)))
            .collect(),
        DataType::Boolean => vec![Scalar::Boolean(false), Scalar::Boolean(true)],
        DataType::Float32 | DataType::Float64 => {
            FLOATS[1..7].iter().map(|&value| Scalar::Float(value)).chain([Scalar::Int(1)]).collect()
        }
        DataType::Utf8 => TEXTS.into_iter().chain(["b", "zzz"]).map(Scalar::from).collect(),
        DataType::Binary => TEXTS.into_iter().map(|text| Scalar::from(text.as_bytes())).collect(),
        DataType::FixedSizeBinary(width) => {
            let width = *width as usize;
            [vec![0; width], vec![0x7f; width], vec![0xfe; width], vec![0x7f], vec![0x7f; width + 1], vec![]]
                .into_iter()
                .map(Scalar::Binary)
                .collect()
        }
        // Of one sign and the other, at the end of a narrow type, and beyond all but the widest.
        number if number.is_integer() => SMALL[1..3]
            .iter()
            .map(|&value| Scalar::Int(value))
            .chain([Scalar::UInt(255), Scalar::UInt(u64::MAX), Scalar::Int(i64::MIN)])
            .collect(),
        _ => Vec::new(),
    }
}
