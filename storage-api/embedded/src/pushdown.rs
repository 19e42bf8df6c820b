//! Predicates as DataFusion expressions, by which files, row groups and rows are left out. The exact filter comes after, so
//! an expression may let more through than the predicate, but never less.

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Expr, Operator, binary_expr, lit};

use arrow_schema::DataType;
use storage_api::{Comparison, Predicate, Scalar, TableDefinition, TimeRange};

/// Longest list that is handed on; longer ones cost more than they leave out.
const LONGEST_LIST: usize = 256;

/// What must be true of every row that is asked for, or more.
pub(crate) fn filters(table: &TableDefinition, time: TimeRange, predicate: Option<&Predicate>) -> Vec<Expr> {
    let time = time.predicate(table.time_column());
    let conjuncts = time.conjuncts().iter().chain(predicate.map(Predicate::conjuncts).unwrap_or_default());
    conjuncts.filter_map(|part| weaker(table, part)).collect()
}

/// An expression that is true wherever the predicate is.
fn weaker(table: &TableDefinition, predicate: &Predicate) -> Option<Expr> {
    match predicate {
        Predicate::And(parts) => conjunction(parts.iter().filter_map(|part| weaker(table, part))),
        Predicate::Or(parts) => {
            let parts = parts.iter().map(|part| weaker(table, part)).collect::<Option<Vec<_>>>()?;
            disjunction(parts)
        }
        Predicate::StartsWith { column, prefix } => {
            // Whatever starts with a prefix is not before it.
            compare(table, column, Comparison::GtEq, prefix)
        }
        other => same(table, other),
    }
}

/// An expression that is true, false and unknown exactly where the predicate is.
fn same(table: &TableDefinition, predicate: &Predicate) -> Option<Expr> {
    match predicate {
        Predicate::And(parts) => conjunction(parts.iter().map(|part| same(table, part)).collect::<Option<Vec<_>>>()?),
        Predicate::Or(parts) => disjunction(parts.iter().map(|part| same(table, part)).collect::<Option<Vec<_>>>()?),
        Predicate::Not(inner) => Some(Expr::Not(Box::new(same(table, inner)?))),
        Predicate::Compare { column, op, value } => compare(table, column, *op, value),
        Predicate::In { column, values } => {
            let data_type = comparable(table, column)?;
            if values.is_empty() || values.len() > LONGEST_LIST {
                return None;
            }
            let list = values.iter().map(|value| Some(lit(literal(&data_type, value)?))).collect::<Option<Vec<_>>>()?;
            Some(Expr::InList(InList::new(Box::new(name(column)), list, false)))
        }
        Predicate::IsNull { column } => comparable(table, column).map(|_| name(column).is_null()),
        Predicate::StartsWith { .. } => None,
    }
}

fn compare(table: &TableDefinition, column: &str, op: Comparison, value: &Scalar) -> Option<Expr> {
    let op = match op {
        Comparison::Eq => Operator::Eq,
        Comparison::NotEq => Operator::NotEq,
        Comparison::Lt => Operator::Lt,
        Comparison::LtEq => Operator::LtEq,
        Comparison::Gt => Operator::Gt,
        Comparison::GtEq => Operator::GtEq,
    };
    let value = literal(&comparable(table, column)?, value)?;
    Some(binary_expr(name(column), op, lit(value)))
}

fn name(column: &str) -> Expr {
    Expr::Column(Column::from_name(column))
}

/// The column's type, if DataFusion compares it as predicates do. Floats it orders otherwise (−0 before 0, NaN by sign).
fn comparable(table: &TableDefinition, column: &str) -> Option<DataType> {
    let data_type = table.schema().field_with_name(column).ok()?.data_type();
    (!data_type.is_nested() && !data_type.is_floating()).then(|| data_type.clone())
}

/// The value in the column's own type; `None` when that cannot hold it.
fn literal(data_type: &DataType, value: &Scalar) -> Option<ScalarValue> {
    let number = match value {
        Scalar::Int(value) => Some(i128::from(*value)),
        Scalar::UInt(value) => Some(i128::from(*value)),
        _ => None,
    };
    Some(match (data_type, value) {
        (DataType::Boolean, Scalar::Boolean(value)) => ScalarValue::Boolean(Some(*value)),
        (DataType::Utf8, Scalar::Text(value)) => ScalarValue::Utf8(Some(value.clone())),
        (DataType::Binary, Scalar::Binary(value)) => ScalarValue::Binary(Some(value.clone())),
        (DataType::FixedSizeBinary(width), Scalar::Binary(value)) if value.len() == *width as usize => {
            ScalarValue::FixedSizeBinary(*width, Some(value.clone()))
        }
        (DataType::Timestamp(_, zone), Scalar::Timestamp(value)) => {
            ScalarValue::TimestampNanosecond(Some(value.as_nanos()), zone.clone())
        }
        (DataType::Int8, _) => ScalarValue::Int8(Some(number?.try_into().ok()?)),
        (DataType::Int16, _) => ScalarValue::Int16(Some(number?.try_into().ok()?)),
        (DataType::Int32, _) => ScalarValue::Int32(Some(number?.try_into().ok()?)),
        (DataType::Int64, _) => ScalarValue::Int64(Some(number?.try_into().ok()?)),
        (DataType::UInt8, _) => ScalarValue::UInt8(Some(number?.try_into().ok()?)),
        (DataType::UInt16, _) => ScalarValue::UInt16(Some(number?.try_into().ok()?)),
        (DataType::UInt32, _) => ScalarValue::UInt32(Some(number?.try_into().ok()?)),
        (DataType::UInt64, _) => ScalarValue::UInt64(Some(number?.try_into().ok()?)),
        _ => return None,
    })
}
