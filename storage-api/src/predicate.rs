use std::collections::BTreeSet;
use std::fmt;

use arrow_schema::{DataType, Schema};

use crate::{Scalar, Timestamp, kind};

/// Deepest nesting of a predicate that is accepted, so that hostile input cannot exhaust the stack.
pub const MAX_PREDICATE_DEPTH: usize = 128;

/// A condition on the columns of a row, with SQL's three-valued logic: true, false or unknown (a comparison with NULL).
/// A row matches when it is true.
///
/// How values compare:
/// - integers as numbers, whatever their width and sign; an integer column is never compared with a float;
/// - floats as in PostgreSQL (documentation §8.1.3): every NaN equals every NaN and is greater than every number, −0 equals 0;
/// - text and binary byte by byte; a shorter value comes before a longer one that starts with it; false before true.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// All are true; none is true of every row.
    And(Vec<Predicate>),
    /// Any is true; none is true of no row.
    Or(Vec<Predicate>),
    /// False where the inner one is true, true where it is false, unknown where it is unknown.
    Not(Box<Predicate>),
    /// `column op value`; unknown where the column is NULL.
    Compare {
        /// Name of the column.
        column: String,
        /// How to compare.
        op: Comparison,
        /// The right side.
        value: Scalar,
    },
    /// `column IN (values)`; unknown where the column is NULL, except that nothing is in an empty list.
    In {
        /// Name of the column.
        column: String,
        /// The candidates, in any order.
        values: Vec<Scalar>,
    },
    /// Whether the column is NULL: true or false, never unknown. Works on columns of every type.
    IsNull {
        /// Name of the column.
        column: String,
    },
    /// Whether a text or binary column starts with these bytes; unknown where the column is NULL.
    StartsWith {
        /// Name of the column.
        column: String,
        /// [`Scalar::Text`] or [`Scalar::Binary`], as the column.
        prefix: Scalar,
    },
}

/// An operator of [`Predicate::Compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

/// Why a predicate does not fit a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PredicateError {
    /// It names a column that the table has not.
    #[error("the table has no column `{column}`")]
    UnknownColumn {
        /// The name.
        column: String,
    },
    /// The column's type cannot be compared with this value.
    #[error("column `{column}` of type {data_type} cannot be compared with {value}")]
    TypeMismatch {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// The value.
        value: String,
    },
    /// It is nested deeper than [`MAX_PREDICATE_DEPTH`].
    #[error("the condition is nested deeper than {MAX_PREDICATE_DEPTH}")]
    TooDeep,
}

impl Predicate {
    /// True of every row.
    pub fn always() -> Self {
        Self::And(Vec::new())
    }

    /// `column op value`.
    pub fn compare(column: &str, op: Comparison, value: impl Into<Scalar>) -> Self {
        Self::Compare { column: column.to_owned(), op, value: value.into() }
    }

    /// `column = value`.
    pub fn eq(column: &str, value: impl Into<Scalar>) -> Self {
        Self::compare(column, Comparison::Eq, value)
    }

    /// `column IN (values)`.
    pub fn any_of<S: Into<Scalar>>(column: &str, values: impl IntoIterator<Item = S>) -> Self {
        Self::In { column: column.to_owned(), values: values.into_iter().map(Into::into).collect() }
    }

    /// `column IS NULL`.
    pub fn is_null(column: &str) -> Self {
        Self::IsNull { column: column.to_owned() }
    }

    /// `column` starts with `prefix`.
    pub fn starts_with(column: &str, prefix: impl Into<Scalar>) -> Self {
        Self::StartsWith { column: column.to_owned(), prefix: prefix.into() }
    }

    /// Both are true.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::And(mut parts) => {
                parts.push(other);
                Self::And(parts)
            }
            first => Self::And(vec![first, other]),
        }
    }

    /// Either is true.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Or(mut parts) => {
                parts.push(other);
                Self::Or(parts)
            }
            first => Self::Or(vec![first, other]),
        }
    }

    /// The parts that must all be true.
    pub fn conjuncts(&self) -> &[Self] {
        match self {
            Self::And(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// The columns it looks at, each once, sorted.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![self];
        while let Some(predicate) = open.pop() {
            match predicate {
                Self::And(parts) | Self::Or(parts) => open.extend(parts),
                Self::Not(inner) => open.push(inner),
                Self::Compare { column, .. }
                | Self::In { column, .. }
                | Self::IsNull { column }
                | Self::StartsWith { column, .. } => {
                    found.insert(column.as_str());
                }
            }
        }
        found
    }

    /// Checks that every column exists in `schema` and can be compared with its values.
    ///
    /// # Errors
    /// The first misfit found, see [`PredicateError`].
    pub fn check(&self, schema: &Schema) -> Result<(), PredicateError> {
        self.check_below(schema, MAX_PREDICATE_DEPTH)
    }

    fn check_below(&self, schema: &Schema, levels: usize) -> Result<(), PredicateError> {
        let levels = levels.checked_sub(1).ok_or(PredicateError::TooDeep)?;
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().try_for_each(|part| part.check_below(schema, levels)),
            Self::Not(inner) => inner.check_below(schema, levels),
            Self::Compare { column, value, .. } => check_type(schema, column, value),
            Self::In { column, values } => {
                find(schema, column)?;
                values.iter().try_for_each(|value| check_type(schema, column, value))
            }
            Self::IsNull { column } => find(schema, column).map(|_| ()),
            Self::StartsWith { column, prefix } => match prefix {
                Scalar::Text(_) | Scalar::Binary(_) => check_type(schema, column, prefix),
                other => Err(mismatch(column, find(schema, column)?, other)),
            },
        }
    }
}

/// The type of a column, that of the values for a dictionary.
fn find<'a>(schema: &'a Schema, column: &str) -> Result<&'a DataType, PredicateError> {
    match schema.column_with_name(column) {
        Some((_, field)) => Ok(match field.data_type() {
            DataType::Dictionary(_, values) => values,
            other => other,
        }),
        None => Err(PredicateError::UnknownColumn { column: column.chars().take(64).collect() }),
    }
}

fn check_type(schema: &Schema, column: &str, value: &Scalar) -> Result<(), PredicateError> {
    let data_type = find(schema, column)?;
    let fits = kind::is_plain(data_type)
        && match value {
            Scalar::Boolean(_) => *data_type == DataType::Boolean,
            Scalar::Int(_) | Scalar::UInt(_) => data_type.is_integer() || data_type.is_floating(),
            Scalar::Float(_) => data_type.is_floating(),
            Scalar::Text(_) => *data_type == DataType::Utf8,
            Scalar::Binary(_) => matches!(data_type, DataType::Binary | DataType::FixedSizeBinary(_)),
            Scalar::Timestamp(_) => *data_type == Timestamp::data_type(),
        };
    if fits { Ok(()) } else { Err(mismatch(column, data_type, value)) }
}

fn mismatch(column: &str, data_type: &DataType, value: &Scalar) -> PredicateError {
    PredicateError::TypeMismatch {
        column: column.to_owned(),
        data_type: data_type.clone(),
        value: value.to_string().chars().take(64).collect(),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
        })
    }
}

/// For people and plans; not SQL for any engine (a backend binds parameters).
impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) if parts.is_empty() => f.write_str("true"),
            Self::Or(parts) if parts.is_empty() => f.write_str("false"),
            Self::And(parts) => joined(f, parts, " AND "),
            Self::Or(parts) => joined(f, parts, " OR "),
            Self::Not(inner) => write!(f, "NOT ({inner})"),
            Self::Compare { column, op, value } => write!(f, "{column} {op} {value}"),
            Self::In { column, values } => {
                write!(f, "{column} IN (")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::IsNull { column } => write!(f, "{column} IS NULL"),
            Self::StartsWith { column, prefix } => write!(f, "starts_with({column}, {prefix})"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Predicate], word: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        write!(f, "{}({part})", if index == 0 { "" } else { word })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow_schema::Field;

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("n", DataType::UInt16, true),
            Field::new("f", DataType::Float32, true),
            Field::new("t", DataType::Utf8, true),
            Field::new("d", DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8)), true),
            Field::new("l", DataType::new_list(DataType::Int16, true), true),
        ])
    }

    #[test]
    fn types_that_cannot_meet_are_refused_by_name() {
        let fits = [Predicate::eq("n", -1), Predicate::eq("f", 3u8), Predicate::eq("d", "x"), Predicate::is_null("l")];
        for predicate in fits {
            assert_eq!(predicate.check(&schema()), Ok(()), "{predicate}");
        }
        for predicate in [
            Predicate::eq("n", 1.5),
            Predicate::eq("n", "1"),
            Predicate::eq("t", 1),
            Predicate::eq("l", 1),
            Predicate::starts_with("n", 1),
            Predicate::any_of("t", [Scalar::from("a"), Scalar::from(true)]),
        ] {
            assert!(matches!(predicate.check(&schema()), Err(PredicateError::TypeMismatch { .. })), "{predicate}");
        }
        let none: [Scalar; 0] = [];
        assert!(matches!(
            Predicate::any_of("nowhere", none).check(&schema()),
            Err(PredicateError::UnknownColumn { .. })
        ));
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let mut deep = Predicate::is_null("n");
        for _ in 0..10_000 {
            deep = Predicate::Not(Box::new(deep));
        }
        assert_eq!(deep.check(&schema()), Err(PredicateError::TooDeep));
        assert_eq!(deep.columns().len(), 1);
    }

    #[test]
    fn a_condition_reads_like_sql() {
        let predicate = Predicate::eq("t", "it's").and(Predicate::Not(Box::new(Predicate::any_of("n", [1u8, 2]))));
        assert_eq!(predicate.to_string(), "(t = 'it''s') AND (NOT (n IN (1, 2)))");
    }
}
