use arrow_schema::DataType;
use bytes::{Buf, Bytes};
use metaflow_query::ScalarValue;
use pgwire::api::Type;

use super::types::arrow_of;

/// 2000-01-01 in microseconds and days since the Unix epoch.
const POSTGRES_MICROSECONDS: i64 = 946_684_800_000_000;
const POSTGRES_DAYS: i32 = 10_957;

/// The value of a parameter, in the type that the statement wants if it says one, else in the type that the client declares.
/// An error is a text for the client.
pub(super) fn value(
    bytes: Option<&Bytes>,
    binary: bool,
    declared: Option<&Type>,
    wanted: Option<&DataType>,
) -> Result<ScalarValue, String> {
    let declared_type = declared.and_then(arrow_of);
    let Some(bytes) = bytes else {
        let data_type = wanted.or(declared_type.as_ref()).unwrap_or(&DataType::Utf8);
        return ScalarValue::try_from(data_type).map_err(|error| error.to_string());
    };
    let value = if binary {
        binary_value(bytes, declared, wanted)?
    } else {
        text_value(bytes, declared_type.as_ref(), wanted)?
    };
    match wanted {
        Some(wanted) if value.data_type() != *wanted => {
            value.cast_to(wanted).map_err(|_| format!("the parameter does not fit type {wanted}"))
        }
        _ => Ok(value),
    }
}

fn text_value(bytes: &[u8], declared: Option<&DataType>, wanted: Option<&DataType>) -> Result<ScalarValue, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a parameter is not UTF-8".to_owned())?;
    // The client's type first: `1.5` declared as a float is none of the column's integers.
    let data_type = declared.or(wanted).unwrap_or(&DataType::Utf8);
    let parsed = match data_type {
        DataType::Utf8 => return Ok(ScalarValue::Utf8(Some(text.to_owned()))),
        DataType::Boolean => match text {
            "t" | "true" | "on" | "1" => return Ok(ScalarValue::Boolean(Some(true))),
            "f" | "false" | "off" | "0" => return Ok(ScalarValue::Boolean(Some(false))),
            _ => None,
        },
        data_type => ScalarValue::Utf8(Some(text.to_owned())).cast_to(data_type).ok().filter(|value| !value.is_null()),
    };
    parsed.ok_or_else(|| format!("`{}` is no value of type {data_type}", text.chars().take(64).collect::<String>()))
}

fn binary_value(bytes: &Bytes, declared: Option<&Type>, wanted: Option<&DataType>) -> Result<ScalarValue, String> {
    let inferred = wanted.map(super::types::type_of);
    let kind = declared.filter(|kind| **kind != Type::UNKNOWN).or(inferred.as_ref()).unwrap_or(&Type::TEXT);
    let mut rest = bytes.clone();
    let exactly = |length: usize| {
        (bytes.len() == length)
            .then_some(())
            .ok_or_else(|| format!("a binary {kind} has {length} bytes, not {}", bytes.len()))
    };
    Ok(match *kind {
        Type::BOOL => exactly(1).map(|()| ScalarValue::Boolean(Some(rest.get_u8() != 0)))?,
        Type::INT2 => exactly(2).map(|()| ScalarValue::Int16(Some(rest.get_i16())))?,
        Type::INT4 => exactly(4).map(|()| ScalarValue::Int32(Some(rest.get_i32())))?,
        Type::OID => exactly(4).map(|()| ScalarValue::Int64(Some(i64::from(rest.get_u32()))))?,
        Type::INT8 => exactly(8).map(|()| ScalarValue::Int64(Some(rest.get_i64())))?,
        Type::FLOAT4 => exactly(4).map(|()| ScalarValue::Float32(Some(rest.get_f32())))?,
        Type::FLOAT8 => exactly(8).map(|()| ScalarValue::Float64(Some(rest.get_f64())))?,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            exactly(8)?;
            let zone = (*kind == Type::TIMESTAMPTZ).then(|| "+00:00".into());
            ScalarValue::TimestampMicrosecond(Some(rest.get_i64().saturating_add(POSTGRES_MICROSECONDS)), zone)
        }
        Type::DATE => exactly(4).map(|()| ScalarValue::Date32(Some(rest.get_i32().saturating_add(POSTGRES_DAYS))))?,
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::NUMERIC => ScalarValue::Float64(Some(numeric(rest)?)),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::UNKNOWN => {
            let text = std::str::from_utf8(bytes).map_err(|_| "a parameter is not UTF-8".to_owned())?;
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        _ => return Err(format!("binary parameters of type {kind} are not known here: send it as text")),
    })
}

/// A NUMERIC as the nearest float: digits of base 10,000 behind a header of count, weight, sign and scale.
fn numeric(mut bytes: Bytes) -> Result<f64, String> {
    let cut = || "a binary numeric is cut short".to_owned();
    if bytes.len() < 8 {
        return Err(cut());
    }
    let (count, weight, sign) = (usize::from(bytes.get_u16()), bytes.get_i16(), bytes.get_u16());
    let _scale = bytes.get_u16();
    if bytes.len() != count * 2 {
        return Err(cut());
    }
    let mut value = 0.0f64;
    for place in 0..count {
        let exponent = i32::from(weight) - i32::try_from(place).unwrap_or(i32::MAX);
        value += f64::from(bytes.get_u16()) * 10_000f64.powi(exponent);
    }
    match sign {
        0x0000 => Ok(value),
        0x4000 => Ok(-value),
        _ => Ok(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_statements_type_wins_where_it_says_one() {
        let five = Bytes::from_static(b"5");
        let value = |declared, wanted| value(Some(&five), false, declared, wanted).unwrap();
        assert_eq!(value(None, Some(&DataType::UInt64)), ScalarValue::UInt64(Some(5)));
        assert_eq!(value(Some(&Type::INT2), Some(&DataType::UInt64)), ScalarValue::UInt64(Some(5)));
        assert_eq!(value(Some(&Type::INT4), None), ScalarValue::Int32(Some(5)));
        assert_eq!(value(None, None), ScalarValue::Utf8(Some("5".to_owned())));
    }

    #[test]
    fn a_numeric_is_read() {
        // 12345.678 as PostgreSQL sends it.
        let bytes = Bytes::from_static(&[0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c]);
        assert!((numeric(bytes).unwrap() - 12345.678).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..24), oid in 0u32..2000, binary in any::<bool>()) {
            let bytes = Bytes::from(bytes);
            let declared = Type::from_oid(oid);
            for wanted in [None, Some(DataType::UInt64), Some(DataType::Utf8), Some(DataType::Boolean)] {
                let _ = value(Some(&bytes), binary, declared.as_ref(), wanted.as_ref());
            }
        }
    }
}
