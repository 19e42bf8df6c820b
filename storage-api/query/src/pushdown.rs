//! Conditions of storage-api in the engine's own form, for backends that hand out tables in that form.

use arrow_schema::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::Column;
use storage_api::{Comparison, Predicate, Scalar, TimeRange, Timestamp};

/// None if a value cannot be said in the type of its column: comparing them is then left to the engine.
pub(crate) fn to_expr(predicate: &Predicate, schema: &Schema) -> Option<Expr> {
    let each = |parts: &[Predicate]| parts.iter().map(|part| to_expr(part, schema)).collect::<Option<Vec<_>>>();
    Some(match predicate {
        Predicate::And(parts) => each(parts)?.into_iter().reduce(Expr::and).unwrap_or_else(|| lit(true)),
        Predicate::Or(parts) => each(parts)?.into_iter().reduce(Expr::or).unwrap_or_else(|| lit(false)),
        Predicate::Not(inner) => !to_expr(inner, schema)?,
        Predicate::Compare { column, op, value } => {
            let (column, value) = (column_of(column), literal(value, column, schema)?);
            match op {
                Comparison::Eq => column.eq(value),
                Comparison::NotEq => column.not_eq(value),
                Comparison::Lt => column.lt(value),
                Comparison::LtEq => column.lt_eq(value),
                Comparison::Gt => column.gt(value),
                Comparison::GtEq => column.gt_eq(value),
            }
        }
        Predicate::In { column, values } => {
            let mut values = values.iter().map(|value| literal(value, column, schema)).collect::<Option<Vec<_>>>()?;
            match values.len() {
                0 => lit(false),
                1 => column_of(column).eq(values.remove(0)),
                _ => column_of(column).in_list(values, false),
            }
        }
        Predicate::IsNull { column } => column_of(column).is_null(),
        Predicate::StartsWith { .. } => return None,
    })
}

/// The rows of a span of time.
pub(crate) fn within(column: &str, range: TimeRange) -> Vec<Expr> {
    let time = |at: Timestamp| lit(ScalarValue::TimestampNanosecond(Some(at.as_nanos()), Some("+00:00".into())));
    let from = range.from.map(|from| column_of(column).gt_eq(time(from)));
    let until = range.until.map(|until| column_of(column).lt(time(until)));
    from.into_iter().chain(until).collect()
}

fn column_of(name: &str) -> Expr {
    col(Column::from_name(name))
}

/// The value in exactly the type of its column, which is how a physical comparison wants it.
fn literal(value: &Scalar, column: &str, schema: &Schema) -> Option<Expr> {
    let data_type = schema.field_with_name(column).ok()?.data_type();
    let value = match (value, data_type) {
        (Scalar::Boolean(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (Scalar::Int(value), data_type) => ScalarValue::Int64(Some(*value)).cast_to(data_type).ok()?,
        (Scalar::UInt(value), data_type) => ScalarValue::UInt64(Some(*value)).cast_to(data_type).ok()?,
        (Scalar::Text(value), DataType::Utf8) => ScalarValue::Utf8(Some(value.clone())),
        (Scalar::Binary(value), DataType::Binary) => ScalarValue::Binary(Some(value.clone())),
        (Scalar::Binary(value), DataType::FixedSizeBinary(width)) if usize::try_from(*width) == Ok(value.len()) => {
            ScalarValue::FixedSizeBinary(*width, Some(value.clone()))
        }
        (Scalar::Timestamp(value), DataType::Timestamp(..)) => {
            ScalarValue::TimestampNanosecond(Some(value.as_nanos()), Some("+00:00".into()))
        }
        _ => return None,
    };
    (!value.is_null()).then(|| lit(value))
}
