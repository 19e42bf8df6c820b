use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;
use arrow_select::filter::filter_record_batch;

use crate::{Comparison, Predicate, PredicateError, Scalar, ScanError};

/// What a predicate says of each row: true, false, or neither, which is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Rows for which it is true.
    pub matches: BooleanBuffer,
    /// Rows for which it is false.
    pub rejects: BooleanBuffer,
}

/// Evaluates a predicate over the rows of a batch. This is the reference by which backends are judged.
///
/// # Errors
/// [`PredicateError`] when it does not fit the batch's schema.
pub fn evaluate(batch: &RecordBatch, predicate: &Predicate) -> Result<Truth, PredicateError> {
    predicate.check(batch.schema_ref())?;
    Ok(truth(batch, predicate))
}

/// The rows for which the predicate is true.
///
/// # Errors
/// [`ScanError::Predicate`] when it does not fit the batch's schema.
pub fn filter(batch: &RecordBatch, predicate: &Predicate) -> Result<RecordBatch, ScanError> {
    let matches = evaluate(batch, predicate)?.matches;
    if matches.count_set_bits() == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(filter_record_batch(batch, &BooleanArray::new(matches, None))?)
}

impl Truth {
    fn always(rows: usize) -> Self {
        Self { matches: BooleanBuffer::new_set(rows), rejects: BooleanBuffer::new_unset(rows) }
    }

    /// Known where there is a value, unknown where there is none.
    fn known(hits: BooleanBuffer, nulls: Option<&NullBuffer>) -> Self {
        match nulls {
            None => Self { rejects: !&hits, matches: hits },
            Some(nulls) => Self { matches: &hits & nulls.inner(), rejects: &!&hits & nulls.inner() },
        }
    }

    fn not(self) -> Self {
        Self { matches: self.rejects, rejects: self.matches }
    }

    fn and(&self, other: &Self) -> Self {
        Self { matches: &self.matches & &other.matches, rejects: &self.rejects | &other.rejects }
    }

    fn or(&self, other: &Self) -> Self {
        Self { matches: &self.matches | &other.matches, rejects: &self.rejects & &other.rejects }
    }
}

/// The predicate has been checked, which bounds the recursion.
fn truth(batch: &RecordBatch, predicate: &Predicate) -> Truth {
    let rows = batch.num_rows();
    let leaf = |column: &str, test| match batch.column_by_name(column) {
        Some(array) => test_array(array.as_ref(), test),
        None => Truth { matches: BooleanBuffer::new_unset(rows), rejects: BooleanBuffer::new_unset(rows) },
    };
    match predicate {
        Predicate::And(parts) => parts.iter().fold(Truth::always(rows), |all, part| all.and(&truth(batch, part))),
        Predicate::Or(parts) => parts.iter().fold(Truth::always(rows).not(), |any, part| any.or(&truth(batch, part))),
        Predicate::Not(inner) => truth(batch, inner).not(),
        Predicate::Compare { column, op, value } => leaf(column, Test::Compare(*op, value)),
        Predicate::In { values, .. } if values.is_empty() => Truth::always(rows).not(),
        Predicate::In { column, values } => leaf(column, Test::In(values)),
        Predicate::StartsWith { column, prefix } => leaf(column, Test::StartsWith(prefix)),
        Predicate::IsNull { column } => {
            let nulls = batch.column_by_name(column).and_then(Array::logical_nulls);
            nulls.map_or_else(
                || Truth::always(rows).not(),
                |nulls| Truth { matches: !nulls.inner(), rejects: nulls.inner().clone() },
            )
        }
    }
}

#[derive(Clone, Copy)]
enum Test<'a> {
    Compare(Comparison, &'a Scalar),
    In(&'a [Scalar]),
    StartsWith(&'a Scalar),
}

fn test_array<'a>(array: &'a dyn Array, test: Test<'a>) -> Truth {
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().values();
            test_keys(
                array,
                test,
                |row| values.value(row),
                |scalar| match scalar {
                    Scalar::Boolean(value) => Place::At(*value),
                    _ => Place::Nowhere,
                },
            )
        }
        DataType::Int8 => test_integers::<Int8Type>(array, test),
        DataType::Int16 => test_integers::<Int16Type>(array, test),
        DataType::Int32 => test_integers::<Int32Type>(array, test),
        DataType::Int64 => test_integers::<Int64Type>(array, test),
        DataType::UInt8 => test_integers::<UInt8Type>(array, test),
        DataType::UInt16 => test_integers::<UInt16Type>(array, test),
        DataType::UInt32 => test_integers::<UInt32Type>(array, test),
        DataType::UInt64 => test_integers::<UInt64Type>(array, test),
        DataType::Timestamp(..) => test_integers::<TimestampNanosecondType>(array, test),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            test_keys(array, test, |row| float_key(values[row].into()), place_float)
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            test_keys(array, test, |row| float_key(values[row]), place_float)
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            test_bytes(array, test, |row| values.value(row).as_bytes())
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            test_bytes(array, test, |row| values.value(row))
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            test_bytes(array, test, |row| values.value(row))
        }
        DataType::Dictionary(..) => test_dictionary(array, test),
        // The check let no comparison of other types through.
        _ => Truth { matches: BooleanBuffer::new_unset(array.len()), rejects: BooleanBuffer::new_unset(array.len()) },
    }
}

/// The test is made once per distinct value.
fn test_dictionary(array: &dyn Array, test: Test<'_>) -> Truth {
    let dictionary = array.as_any_dictionary();
    if dictionary.values().is_empty() {
        let unknown = BooleanBuffer::new_unset(array.len());
        return Truth { matches: unknown.clone(), rejects: unknown };
    }
    let of_values = test_array(dictionary.values().as_ref(), test);
    let keys = dictionary.normalized_keys();
    let valid = |row| !dictionary.keys().is_null(row);
    let spread = |values: &BooleanBuffer| {
        BooleanBuffer::collect_bool(keys.len(), |row| valid(row) && keys.get(row).is_some_and(|&key| values.value(key)))
    };
    Truth { matches: spread(&of_values.matches), rejects: spread(&of_values.rejects) }
}

/// Where a scalar stands among the values of a type.
enum Place<K> {
    Below,
    At(K),
    Above,
    /// Of another type, which the check refused before.
    Nowhere,
}

fn test_integers<T: ArrowPrimitiveType>(array: &dyn Array, test: Test<'_>) -> Truth
where
    T::Native: Ord + TryFrom<i128>,
{
    let values = array.as_primitive::<T>().values();
    let place = |value: i128| match T::Native::try_from(value) {
        Ok(value) => Place::At(value),
        Err(_) if value < 0 => Place::Below,
        Err(_) => Place::Above,
    };
    test_keys(
        array,
        test,
        |row| values[row],
        |scalar| match scalar {
            Scalar::Int(value) => place(i128::from(*value)),
            Scalar::UInt(value) => place(i128::from(*value)),
            Scalar::Timestamp(value) => place(i128::from(value.as_nanos())),
            _ => Place::Nowhere,
        },
    )
}

/// A number whose order is that of the floats: −∞ … −0 = 0 … ∞, then every NaN.
fn float_key(value: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    if value.is_nan() {
        return u64::MAX;
    }
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn place_float(scalar: &Scalar) -> Place<u64> {
    match scalar {
        Scalar::Float(value) => Place::At(float_key(*value)),
        Scalar::Int(value) => Place::At(float_key(*value as f64)),
        Scalar::UInt(value) => Place::At(float_key(*value as f64)),
        _ => Place::Nowhere,
    }
}

fn test_bytes<'a>(array: &dyn Array, test: Test<'a>, value: impl Fn(usize) -> &'a [u8]) -> Truth {
    if let Test::StartsWith(prefix) = test {
        let hits = match bytes_of(prefix) {
            Place::At(prefix) => BooleanBuffer::collect_bool(array.len(), |row| value(row).starts_with(prefix)),
            _ => constant(array.len(), false),
        };
        return Truth::known(hits, array.nulls());
    }
    test_keys(array, test, value, bytes_of)
}

fn bytes_of(scalar: &Scalar) -> Place<&[u8]> {
    match scalar {
        Scalar::Text(text) => Place::At(text.as_bytes()),
        Scalar::Binary(bytes) => Place::At(bytes),
        _ => Place::Nowhere,
    }
}

fn test_keys<'a, K: Ord>(
    array: &dyn Array,
    test: Test<'a>,
    key: impl Fn(usize) -> K,
    place: impl Fn(&'a Scalar) -> Place<K>,
) -> Truth {
    let rows = array.len();
    let hits = match test {
        Test::Compare(op, scalar) => match place(scalar) {
            Place::At(wanted) => match op {
                Comparison::Eq => BooleanBuffer::collect_bool(rows, |row| key(row) == wanted),
                Comparison::NotEq => BooleanBuffer::collect_bool(rows, |row| key(row) != wanted),
                Comparison::Lt => BooleanBuffer::collect_bool(rows, |row| key(row) < wanted),
                Comparison::LtEq => BooleanBuffer::collect_bool(rows, |row| key(row) <= wanted),
                Comparison::Gt => BooleanBuffer::collect_bool(rows, |row| key(row) > wanted),
                Comparison::GtEq => BooleanBuffer::collect_bool(rows, |row| key(row) >= wanted),
            },
            Place::Below => constant(rows, holds(op, Ordering::Greater)),
            Place::Above => constant(rows, holds(op, Ordering::Less)),
            Place::Nowhere => constant(rows, false),
        },
        Test::In(scalars) => {
            let mut wanted: Vec<K> = scalars
                .iter()
                .filter_map(|scalar| match place(scalar) {
                    Place::At(key) => Some(key),
                    _ => None,
                })
                .collect();
            wanted.sort_unstable();
            BooleanBuffer::collect_bool(rows, |row| wanted.binary_search(&key(row)).is_ok())
        }
        Test::StartsWith(_) => constant(rows, false),
    };
    Truth::known(hits, array.nulls())
}

/// Whether `value op scalar` holds when the value stands so to the scalar.
fn holds(op: Comparison, order: Ordering) -> bool {
    match op {
        Comparison::Eq => order.is_eq(),
        Comparison::NotEq => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::LtEq => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::GtEq => order.is_ge(),
    }
}

fn constant(rows: usize, value: bool) -> BooleanBuffer {
    if value { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int8Type as Key;
    use arrow_array::{ArrayRef, BinaryArray, DictionaryArray, Float64Array, StringArray, UInt8Array};

    use super::*;

    /// `t`, `f` or `?` for each row.
    fn say(column: ArrayRef, predicate: &Predicate) -> String {
        let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
        let truth = evaluate(&batch, predicate).unwrap();
        let word = |row| match (truth.matches.value(row), truth.rejects.value(row)) {
            (true, false) => 't',
            (false, true) => 'f',
            (false, false) => '?',
            both => panic!("{both:?}"),
        };
        (0..batch.num_rows()).map(word).collect()
    }

    fn not(predicate: Predicate) -> Predicate {
        Predicate::Not(Box::new(predicate))
    }

    #[test]
    fn unknown_is_neither_true_nor_false_and_spreads_as_in_sql() {
        let numbers = || Arc::new(UInt8Array::from(vec![Some(1), None, Some(3)])) as ArrayRef;
        let one = || Predicate::eq("x", 1u8);
        let nothing: [Scalar; 0] = [];
        let table = [
            (one(), "t?f"),
            (not(one()), "f?t"),
            (one().and(Predicate::always()), "t?f"),
            (one().and(Predicate::Or(vec![])), "fff"),
            (one().or(Predicate::always()), "ttt"),
            (one().or(Predicate::is_null("x")), "ttf"),
            (Predicate::is_null("x"), "ftf"),
            (not(Predicate::is_null("x")), "tft"),
            (Predicate::any_of("x", [3u8, 9]), "f?t"),
            (not(Predicate::any_of("x", [3u8, 9])), "t?f"),
            (Predicate::any_of("x", nothing), "fff"),
        ];
        for (predicate, expected) in table {
            assert_eq!(say(numbers(), &predicate), expected, "{predicate}");
        }
    }

    #[test]
    fn integers_compare_as_numbers_beyond_their_width() {
        let numbers = || Arc::new(UInt8Array::from(vec![0, 255])) as ArrayRef;
        for (op, value, expected) in [
            (Comparison::Gt, -1, "tt"),
            (Comparison::Lt, 256, "tt"),
            (Comparison::Eq, 256, "ff"),
            (Comparison::NotEq, -1, "tt"),
            (Comparison::GtEq, 255, "ft"),
        ] {
            assert_eq!(say(numbers(), &Predicate::compare("x", op, value)), expected, "{op} {value}");
        }
        assert_eq!(say(numbers(), &Predicate::any_of("x", [-1, 255, 300])), "ft");
    }

    #[test]
    fn every_nan_is_one_value_above_all_others_and_the_zeros_are_equal() {
        let floats = || Arc::new(Float64Array::from(vec![f64::NAN, -f64::NAN, -0.0, 0.0, f64::INFINITY])) as ArrayRef;
        for (op, value, expected) in [
            (Comparison::Eq, f64::NAN, "ttfff"),
            (Comparison::Gt, f64::INFINITY, "ttfff"),
            (Comparison::Eq, 0.0, "ffttf"),
            (Comparison::Lt, 0.0, "fffff"),
            (Comparison::NotEq, -0.0, "ttfft"),
            (Comparison::LtEq, f64::NAN, "ttttt"),
        ] {
            assert_eq!(say(floats(), &Predicate::compare("x", op, value)), expected, "{op} {value}");
        }
        assert_eq!(say(floats(), &Predicate::eq("x", 0)), "ffttf");
    }

    #[test]
    fn text_and_bytes_compare_byte_by_byte() {
        let text = || Arc::new(StringArray::from(vec!["", "a", "ab", "b", "é"])) as ArrayRef;
        assert_eq!(say(text(), &Predicate::compare("x", Comparison::Gt, "a")), "ffttt");
        assert_eq!(say(text(), &Predicate::starts_with("x", "a")), "fttff");
        assert_eq!(say(text(), &Predicate::starts_with("x", "")), "ttttt");
        let bytes = Arc::new(BinaryArray::from(vec![Some(&[0xff_u8, 0][..]), None, Some(&[0x7f][..])])) as ArrayRef;
        assert_eq!(say(bytes.clone(), &Predicate::compare("x", Comparison::Gt, vec![0x80])), "t?f");
        assert_eq!(say(bytes, &Predicate::starts_with("x", vec![0xff])), "t?f");
    }

    #[test]
    fn a_dictionary_is_tested_by_its_values() {
        let names: DictionaryArray<Key> = [Some("a"), None, Some("b"), Some("a")].into_iter().collect();
        assert_eq!(say(Arc::new(names.clone()), &Predicate::eq("x", "a")), "t?ft");
        assert_eq!(say(Arc::new(names), &Predicate::is_null("x")), "ftff");
        let empty: DictionaryArray<Key> = [None::<&str>, None].into_iter().collect();
        assert_eq!(say(Arc::new(empty), &Predicate::eq("x", "a")), "??");
    }

    #[test]
    fn a_predicate_of_other_columns_is_refused() {
        let batch = RecordBatch::try_from_iter([("x", Arc::new(UInt8Array::from(vec![1])) as ArrayRef)]).unwrap();
        assert!(evaluate(&batch, &Predicate::eq("y", 1)).is_err());
        assert_eq!(filter(&batch, &Predicate::eq("x", 2)).unwrap().num_rows(), 0);
    }
}
