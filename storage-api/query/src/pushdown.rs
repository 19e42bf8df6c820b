//! Conditions of storage-api in the engine's own form, for backends that hand out tables in that form.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::Column;
use storage_api::{Comparison, Predicate, Scalar, TimeRange, Timestamp};

pub(crate) fn to_expr(predicate: &Predicate) -> Expr {
    match predicate {
        Predicate::And(parts) => parts.iter().map(to_expr).reduce(Expr::and).unwrap_or_else(|| lit(true)),
        Predicate::Or(parts) => parts.iter().map(to_expr).reduce(Expr::or).unwrap_or_else(|| lit(false)),
        Predicate::Not(inner) => !to_expr(inner),
        Predicate::Compare { column, op, value } => {
            let (column, value) = (column_of(column), literal(value));
            match op {
                Comparison::Eq => column.eq(value),
                Comparison::NotEq => column.not_eq(value),
                Comparison::Lt => column.lt(value),
                Comparison::LtEq => column.lt_eq(value),
                Comparison::Gt => column.gt(value),
                Comparison::GtEq => column.gt_eq(value),
            }
        }
        Predicate::In { column, values } => match values.as_slice() {
            [] => lit(false),
            [value] => column_of(column).eq(literal(value)),
            values => column_of(column).in_list(values.iter().map(literal).collect(), false),
        },
        Predicate::IsNull { column } => column_of(column).is_null(),
        // Never made here; a condition that lets everything through is allowed.
        Predicate::StartsWith { .. } => lit(true),
    }
}

/// The rows of a span of time.
pub(crate) fn within(column: &str, range: TimeRange) -> Vec<Expr> {
    let time = |at: Timestamp| literal(&Scalar::Timestamp(at));
    let from = range.from.map(|from| column_of(column).gt_eq(time(from)));
    let until = range.until.map(|until| column_of(column).lt(time(until)));
    from.into_iter().chain(until).collect()
}

fn column_of(name: &str) -> Expr {
    col(Column::from_name(name))
}

fn literal(value: &Scalar) -> Expr {
    let value = match value {
        Scalar::Boolean(value) => ScalarValue::Boolean(Some(*value)),
        Scalar::Int(value) => ScalarValue::Int64(Some(*value)),
        Scalar::UInt(value) => ScalarValue::UInt64(Some(*value)),
        Scalar::Float(value) => ScalarValue::Float64(Some(*value)),
        Scalar::Text(value) => ScalarValue::Utf8(Some(value.clone())),
        Scalar::Binary(value) => ScalarValue::Binary(Some(value.clone())),
        Scalar::Timestamp(value) => ScalarValue::TimestampNanosecond(Some(value.as_nanos()), Some("+00:00".into())),
    };
    lit(value)
}
