//! Conditions of storage-api as SQL that is true for exactly the same rows.
//!
//! NOT is pushed down to the leaves first. What is left has only AND and OR above the leaves, and there "unknown" may be
//! anything but true: ClickHouse's own treatment of NULL (`NULL IN (…)` is false in some versions) makes no difference.

use std::fmt::Write;

use arrow_schema::{DataType, Field};
use storage_api::{ColumnKind, Comparison, Predicate, Scalar, TableDefinition};

use crate::sql::{Address, Float, Name, Text};
use crate::types::{NULL_SUFFIX, is_nested};
use crate::{Features, sql};

/// Writes conditions on one table until a bound of bytes is reached.
pub(crate) struct Conditions<'a> {
    table: &'a TableDefinition,
    features: Features,
    limit: usize,
    sql: String,
}

/// A condition would be longer than the bound.
#[derive(Debug)]
pub(crate) struct TooLong;

/// The condition as SQL. It has been checked against the table.
pub(crate) fn condition(
    predicate: &Predicate,
    table: &TableDefinition,
    features: Features,
    limit: usize,
) -> Result<String, TooLong> {
    let mut conditions = Conditions { table, features, limit, sql: String::new() };
    conditions.write(predicate, true)?;
    Ok(conditions.sql)
}

/// What a value of fixed width is compared with, in place of a value that may be shorter or longer.
enum Edge {
    /// Compare so with exactly these bytes.
    At(Comparison, Vec<u8>),
    /// True or false of all.
    Always(bool),
}

impl Conditions<'_> {
    /// True where the predicate is `wanted`.
    fn write(&mut self, predicate: &Predicate, wanted: bool) -> Result<(), TooLong> {
        if self.sql.len() > self.limit {
            return Err(TooLong);
        }
        match predicate {
            Predicate::Not(inner) => return self.write(inner, !wanted),
            Predicate::And(parts) => return self.join(parts, wanted, wanted),
            Predicate::Or(parts) => return self.join(parts, !wanted, wanted),
            Predicate::In { values, .. } if values.is_empty() => self.constant(!wanted),
            Predicate::In { column, values } => return self.any_of(column, values, wanted),
            Predicate::IsNull { column } => self.is_null(column, wanted),
            Predicate::Compare { column, op, value } => {
                self.compare(column, if wanted { *op } else { negated(*op) }, value);
            }
            Predicate::StartsWith { column, prefix } => self.starts_with(column, prefix, wanted),
        }
        Ok(())
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.sql.write_fmt(text);
    }

    fn constant(&mut self, value: bool) {
        self.sql.push(if value { '1' } else { '0' });
    }

    fn field(&self, column: &str) -> Option<&Field> {
        self.table.schema().field_with_name(column).ok()
    }

    /// All of them (or any), each as it is wanted.
    fn join(&mut self, parts: &[Predicate], all: bool, wanted: bool) -> Result<(), TooLong> {
        if parts.is_empty() {
            self.constant(all);
            return Ok(());
        }
        self.sql.push('(');
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.sql.push_str(if all { " AND " } else { " OR " });
            }
            self.write(part, wanted)?;
        }
        self.sql.push(')');
        Ok(())
    }

    fn is_null(&mut self, column: &str, wanted: bool) {
        let not = if wanted { "" } else { "NOT " };
        match self.field(column).map(|field| (field.is_nullable(), is_nested(field.data_type()))) {
            Some((true, true)) => self.put(format_args!("{not}`{column}{NULL_SUFFIX}`")),
            Some((true, false)) => self.put(format_args!("{} IS {not}NULL", Name(column))),
            Some((false, _)) => self.constant(!wanted),
            None => self.constant(false),
        }
    }

    /// True (or false) wherever there is a value.
    fn known(&mut self, column: &str, value: bool) {
        match value && self.field(column).is_some_and(Field::is_nullable) {
            true => self.put(format_args!("{} IS NOT NULL", Name(column))),
            false => self.constant(value),
        }
    }

    fn compare(&mut self, column: &str, op: Comparison, value: &Scalar) {
        let Some(data_type) = self.field(column).map(|field| field.data_type().clone()) else {
            self.constant(false);
            return;
        };
        let name = Name(column);
        match value {
            Scalar::Boolean(value) => self.put(format_args!("{name} {op} {}", u8::from(*value))),
            Scalar::Text(value) => self.put(format_args!("{name} {op} {}", Text(value.as_bytes()))),
            Scalar::Binary(value) => match data_type {
                DataType::FixedSizeBinary(width) => match edge(op, value, width as usize) {
                    Edge::Always(value) => self.known(column, value),
                    Edge::At(op, bytes) => {
                        let literal = self.fixed(column, &bytes);
                        self.put(format_args!("{name} {op} {literal}"));
                    }
                },
                _ => self.put(format_args!("{name} {op} {}", Text(value))),
            },
            Scalar::Timestamp(time) => {
                let comparison = time_comparison(column, op, time.as_nanos(), self.features);
                self.sql.push_str(&comparison);
            }
            Scalar::Float(value) => self.float(column, op, *value),
            Scalar::Int(value) if data_type.is_floating() => self.float(column, op, *value as f64),
            Scalar::UInt(value) if data_type.is_floating() => self.float(column, op, *value as f64),
            Scalar::Int(value) => self.integer(column, op, i128::from(*value), &data_type),
            Scalar::UInt(value) => self.integer(column, op, i128::from(*value), &data_type),
        }
    }

    fn integer(&mut self, column: &str, op: Comparison, value: i128, data_type: &DataType) {
        let (least, most) = bounds(data_type);
        match op {
            _ if (least..=most).contains(&value) => self.put(format_args!("{} {op} {value}", Name(column))),
            Comparison::Eq => self.known(column, false),
            Comparison::NotEq => self.known(column, true),
            Comparison::Lt | Comparison::LtEq => self.known(column, value > most),
            Comparison::Gt | Comparison::GtEq => self.known(column, value < least),
        }
    }

    /// Every NaN equals every NaN and is greater than every number. Chains of `=` are made into sets by the server, which
    /// know the bits of a value in the column's width: so 0 is not compared with −0, nor a value that is too fine.
    fn float(&mut self, column: &str, op: Comparison, value: f64) {
        let name = Name(column);
        let is_narrow = self.field(column).is_some_and(|field| *field.data_type() == DataType::Float32);
        match op {
            Comparison::Eq | Comparison::NotEq if value == 0.0 => {
                self.put(format_args!("abs({name}) {op} {}", Float(0.0)));
            }
            Comparison::Eq | Comparison::NotEq if is_narrow && f64::from(value as f32) != value && !value.is_nan() => {
                self.known(column, op == Comparison::NotEq);
            }
            Comparison::Eq | Comparison::GtEq if value.is_nan() => self.put(format_args!("isNaN({name})")),
            Comparison::NotEq | Comparison::Lt if value.is_nan() => self.put(format_args!("NOT isNaN({name})")),
            Comparison::LtEq if value.is_nan() => self.known(column, true),
            Comparison::Gt if value.is_nan() => self.known(column, false),
            Comparison::Gt | Comparison::GtEq => {
                self.put(format_args!("({name} {op} {} OR isNaN({name}))", Float(value)));
            }
            _ => self.put(format_args!("{name} {op} {}", Float(value))),
        }
    }

    fn any_of(&mut self, column: &str, values: &[Scalar], wanted: bool) -> Result<(), TooLong> {
        let Some(data_type) = self.field(column).map(|field| field.data_type().clone()) else {
            self.constant(false);
            return Ok(());
        };
        if data_type.is_floating() {
            self.sql.push('(');
            for (index, value) in values.iter().enumerate() {
                if self.sql.len() > self.limit {
                    return Err(TooLong);
                }
                self.sql.push_str(match (index, wanted) {
                    (0, _) => "",
                    (_, true) => " OR ",
                    (_, false) => " AND ",
                });
                self.compare(column, if wanted { Comparison::Eq } else { Comparison::NotEq }, value);
            }
            self.sql.push(')');
            return Ok(());
        }
        let (least, most) = bounds(&data_type);
        let is_early =
            values.iter().any(|value| matches!(value, Scalar::Timestamp(time) if self.is_early(time.as_nanos())));
        let literal = |conditions: &Self, value: &Scalar| match value {
            Scalar::Boolean(value) => Some(u8::from(*value).to_string()),
            Scalar::Text(value) => Some(Text(value.as_bytes()).to_string()),
            Scalar::Binary(value) => match data_type {
                DataType::FixedSizeBinary(width) if value.len() != width as usize => None,
                DataType::FixedSizeBinary(_) => Some(conditions.fixed(column, value)),
                _ => Some(Text(value).to_string()),
            },
            Scalar::Timestamp(time) if is_early => Some(time.as_nanos().to_string()),
            Scalar::Timestamp(time) => Some(time_literal(time.as_nanos(), conditions.features)),
            Scalar::Int(value) => (least..=most).contains(&(*value).into()).then(|| value.to_string()),
            Scalar::UInt(value) => (least..=most).contains(&(*value).into()).then(|| value.to_string()),
            Scalar::Float(_) => None,
        };
        let mut found = false;
        let nullable = self.field(column).is_some_and(Field::is_nullable);
        let before = self.sql.len();
        if nullable {
            self.put(format_args!("({} IS NOT NULL AND ", Name(column)));
        }
        let left = if is_early { nanos_of(column) } else { Name(column).to_string() };
        self.put(format_args!("{left} {}IN (", if wanted { "" } else { "NOT " }));
        for value in values {
            if let Some(literal) = literal(self, value) {
                self.sql.push_str(if found { ", " } else { "" });
                self.sql.push_str(&literal);
                found = true;
            }
            if self.sql.len() > self.limit {
                return Err(TooLong);
            }
        }
        if !found {
            self.sql.truncate(before);
            self.known(column, !wanted);
            return Ok(());
        }
        self.sql.push_str(if nullable { "))" } else { ")" });
        Ok(())
    }

    fn starts_with(&mut self, column: &str, prefix: &Scalar, wanted: bool) {
        let prefix = match prefix {
            Scalar::Text(text) => text.as_bytes(),
            Scalar::Binary(bytes) => bytes,
            _ => &[],
        };
        let not = if wanted { "" } else { "NOT " };
        match self.field(column).map(Field::data_type) {
            Some(&DataType::FixedSizeBinary(width)) if prefix.len() > width as usize => self.known(column, !wanted),
            Some(&DataType::FixedSizeBinary(width)) => {
                let [first, last] = [0, 0xff].map(|filler| {
                    let mut bytes = prefix.to_vec();
                    bytes.resize(width as usize, filler);
                    self.fixed(column, &bytes)
                });
                let name = Name(column);
                self.put(format_args!("{not}({name} >= {first} AND {name} <= {last})"));
            }
            _ => self.put(format_args!("{not}startsWith({}, {})", Name(column), Text(prefix))),
        }
    }

    /// Bytes of exactly the column's width.
    fn fixed(&self, column: &str, bytes: &[u8]) -> String {
        let is_address = self.table.column(column).is_some_and(|column| column.kind == ColumnKind::Address);
        match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) if is_address && self.features.has(Features::IPV6) => Address(bytes).to_string(),
            _ => format!("toFixedString({}, {})", Text(bytes), bytes.len()),
        }
    }

    fn is_early(&self, nanos: i64) -> bool {
        self.features.has(Features::DATE_TIME_64) && nanos < EARLY
    }
}

/// Before this, a time that is passed on to a shard as text (1677-09-21 00:12:43.145…) is refused there: its whole seconds
/// lie beyond what nanoseconds in 64 bits can say.
const EARLY: i64 = i64::MIN / 1_000_000_000 * 1_000_000_000;

/// `column op time`.
fn time_comparison(column: &str, op: Comparison, nanos: i64, features: Features) -> String {
    match features.has(Features::DATE_TIME_64) && nanos < EARLY {
        true => format!("{} {op} {nanos}", nanos_of(column)),
        false => format!("{} {op} {}", Name(column), time_literal(nanos, features)),
    }
}

fn nanos_of(column: &str) -> String {
    format!("toUnixTimestamp64Nano({})", Name(column))
}

fn time_literal(nanos: i64, features: Features) -> String {
    match features.has(Features::DATE_TIME_64) {
        true => format!("fromUnixTimestamp64Nano(toInt64({nanos}), 'UTC')"),
        false => nanos.to_string(),
    }
}

/// The rows of a span of time, by the days of their batches (which leaves out whole partitions) and by their own time.
pub(crate) fn within(range: storage_api::TimeRange, table: &TableDefinition, features: Features) -> Vec<String> {
    let compare =
        |op, time: storage_api::Timestamp| time_comparison(table.time_column(), op, time.as_nanos(), features);
    let mut parts = Vec::new();
    if let Some(from) = range.from {
        parts.extend([format!("LAST_DAY >= {}", sql::day(from)), compare(Comparison::GtEq, from)]);
    }
    if let Some(until) = range.until {
        parts.extend([format!("FIRST_DAY <= {}", sql::day(until)), compare(Comparison::Lt, until)]);
    }
    parts
}

fn negated(op: Comparison) -> Comparison {
    match op {
        Comparison::Eq => Comparison::NotEq,
        Comparison::NotEq => Comparison::Eq,
        Comparison::Lt => Comparison::GtEq,
        Comparison::LtEq => Comparison::Gt,
        Comparison::Gt => Comparison::LtEq,
        Comparison::GtEq => Comparison::Lt,
    }
}

/// ClickHouse fills shorter values of fixed width with zeros, storage-api does not: a shorter value comes before all that
/// start with it, a longer one after all that it starts with.
fn edge(op: Comparison, value: &[u8], width: usize) -> Edge {
    use Comparison::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let mut bytes = value.to_vec();
    bytes.resize(width, 0);
    match (op, value.len().cmp(&width)) {
        (op, std::cmp::Ordering::Equal) => Edge::At(op, bytes),
        (Eq, _) => Edge::Always(false),
        (NotEq, _) => Edge::Always(true),
        (Lt | LtEq, std::cmp::Ordering::Less) => Edge::At(Lt, bytes),
        (Gt | GtEq, std::cmp::Ordering::Less) => Edge::At(GtEq, bytes),
        (Lt | LtEq, std::cmp::Ordering::Greater) => Edge::At(LtEq, bytes),
        (Gt | GtEq, std::cmp::Ordering::Greater) => Edge::At(Gt, bytes),
    }
}

/// The smallest and largest value of an integer type; nothing lies within those of other types.
fn bounds(data_type: &DataType) -> (i128, i128) {
    match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => (1, 0),
    }
}
