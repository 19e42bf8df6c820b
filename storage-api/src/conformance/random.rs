use super::read::{OPERATORS, candidates};
use super::rows::{Dice, TIMES, agree, append, create, every_type, random_rows};
use super::{Fixture, Run};
use crate::{Memory, Predicate, ScanRequest, Storage, TableDefinition, TimeRange, Timestamp};

/// Random rows in random batches, random conditions of random depth: the same rows as the reference.
pub async fn random_predicates_agree_with_the_reference(fixture: &mut dyn Fixture, _: Run) {
    let (storage, table, reference) = (fixture.storage(), every_type(), Memory::default());
    create(&*storage, &table).await;
    create(&reference, &table).await;
    let mut dice = Dice(10);
    for round in 0..60 {
        if round % 10 == 0 {
            let size = dice.below(120);
            let rows = random_rows(&mut dice, size);
            for store in [&*storage, &reference as &dyn Storage] {
                append(store, &table, round, rows.clone()).await;
            }
        }
        let mut request = ScanRequest::new(table.name().clone()).filter(random_predicate(&mut dice, &table, 4));
        if dice.below(2) == 0 {
            let mut edge = || (dice.below(3) > 0).then(|| Timestamp::from_nanos(dice.of(&TIMES)));
            request = request.within(TimeRange { from: edge(), until: edge() });
        }
        agree(&*storage, &reference, &table, request).await;
    }
}

fn random_predicate(dice: &mut Dice, table: &TableDefinition, depth: usize) -> Predicate {
    let parts = |dice: &mut Dice| -> Vec<Predicate> {
        (0..dice.below(4)).map(|_| random_predicate(dice, table, depth - 1)).collect()
    };
    match dice.below(if depth == 0 { 4 } else { 8 }) {
        4 | 5 => Predicate::And(parts(dice)),
        6 => Predicate::Or(parts(dice)),
        7 => Predicate::Not(Box::new(random_predicate(dice, table, depth - 1))),
        leaf => {
            let columns: Vec<_> = table.columns().collect();
            let column = dice.of(&columns);
            let values = candidates(&column);
            let name = column.name.as_str();
            if values.is_empty() || leaf == 0 {
                return Predicate::is_null(name);
            }
            let value = dice.of(&values);
            match (leaf, &column.data_type) {
                (1, _) => Predicate::any_of(name, (0..dice.below(4)).map(|_| dice.of(&values)).collect::<Vec<_>>()),
                (2, arrow_schema::DataType::Utf8 | arrow_schema::DataType::Binary) => {
                    Predicate::starts_with(name, value)
                }
                _ => Predicate::compare(name, dice.of(&OPERATORS), value),
            }
        }
    }
}
