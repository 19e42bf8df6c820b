use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, DurationFormat, FormatOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use bytes::{BufMut, BytesMut};
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::messages::data::DataRow;

use super::types::element_of;

/// 2000-01-01, from which PostgreSQL counts, in microseconds and days since the Unix epoch.
const POSTGRES_MICROSECONDS: i64 = 946_684_800_000_000;
const POSTGRES_DAYS: i32 = 10_957;
/// Times as PostgreSQL writes them: to the microsecond, which is what its clients can read.
const TEXT: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6f+00"))
    .with_duration_format(DurationFormat::Pretty);

/// The rows of a batch in PostgreSQL's form.
pub(super) fn encode(batch: &RecordBatch, fields: &[FieldInfo]) -> Result<Vec<DataRow>, ArrowError> {
    let columns = batch.columns().iter().zip(fields).map(|(array, field)| Column::new(array, field));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let count = i16::try_from(columns.len()).map_err(|_| ArrowError::ComputeError("too many columns".to_owned()))?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let mut data = BytesMut::new();
        for column in &columns {
            column.put(row, &mut data)?;
        }
        rows.push(DataRow::new(data, count));
    }
    Ok(rows)
}

/// One column, cast to the Arrow type that its PostgreSQL type is made from.
struct Column {
    array: ArrayRef,
    kind: Type,
    binary: bool,
}

impl Column {
    fn new(array: &ArrayRef, field: &FieldInfo) -> Result<Self, ArrowError> {
        let (kind, binary) = (field.datatype().clone(), field.format() == FieldFormat::Binary);
        let utc = || Some(Arc::from("+00:00"));
        let target = match kind {
            Type::BOOL => DataType::Boolean,
            Type::INT2 | Type::INT4 | Type::INT8 => DataType::Int64,
            Type::FLOAT4 => DataType::Float32,
            Type::FLOAT8 => DataType::Float64,
            Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
            Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, utc()),
            Type::DATE => DataType::Date32,
            Type::BYTEA => DataType::Binary,
            Type::TEXT if is_text(array.data_type()) => DataType::Utf8,
            // Lists, maps and rare types: from the values as they are.
            _ => return Ok(Self { array: Arc::clone(array), kind, binary }),
        };
        // Not `NULL` for a value that does not fit: an error.
        let options = CastOptions { safe: false, format_options: TEXT };
        Ok(Self { array: cast_with_options(array, &target, &options)?, kind, binary })
    }

    /// One value with its length, or -1 for NULL.
    fn put(&self, row: usize, data: &mut BytesMut) -> Result<(), ArrowError> {
        if self.array.is_null(row) || *self.array.data_type() == DataType::Null {
            data.put_i32(-1);
            return Ok(());
        }
        let start = data.len();
        data.put_i32(0);
        if self.binary {
            self.put_binary(row, data)?;
        } else {
            self.put_text(row, data)?;
        }
        let length = i32::try_from(data.len() - start - 4)
            .map_err(|_| ArrowError::ComputeError("a value is too long".to_owned()))?;
        data[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn put_text(&self, row: usize, data: &mut BytesMut) -> Result<(), ArrowError> {
        let array = &self.array;
        match self.kind {
            Type::BOOL => data.put_u8(if array.as_boolean().value(row) { b't' } else { b'f' }),
            Type::BYTEA => {
                data.put_slice(b"\\x");
                for byte in array.as_binary::<i32>().value(row) {
                    data.put_slice(format!("{byte:02x}").as_bytes());
                }
            }
            Type::TEXT if *array.data_type() == DataType::Utf8 => {
                data.put_slice(array.as_string::<i32>().value(row).as_bytes());
            }
            Type::JSON => data.put_slice(json(array, row)?.as_bytes()),
            ref kind if element_of(kind).is_some() => data.put_slice(array_text(array, row)?.as_bytes()),
            _ => data.put_slice(ArrayFormatter::try_new(array, &TEXT)?.value(row).to_string().as_bytes()),
        }
        Ok(())
    }

    fn put_binary(&self, row: usize, data: &mut BytesMut) -> Result<(), ArrowError> {
        let array = &self.array;
        match self.kind {
            Type::BOOL => data.put_u8(u8::from(array.as_boolean().value(row))),
            Type::INT2 => data.put_i16(narrow(array.as_primitive::<Int64Type>().value(row))?),
            Type::INT4 => data.put_i32(narrow(array.as_primitive::<Int64Type>().value(row))?),
            Type::INT8 => data.put_i64(array.as_primitive::<Int64Type>().value(row)),
            Type::FLOAT4 => data.put_f32(array.as_primitive::<Float32Type>().value(row)),
            Type::FLOAT8 => data.put_f64(array.as_primitive::<Float64Type>().value(row)),
            Type::TIMESTAMP | Type::TIMESTAMPTZ => {
                let microseconds = array.as_primitive::<TimestampMicrosecondType>().value(row);
                data.put_i64(microseconds.saturating_sub(POSTGRES_MICROSECONDS));
            }
            Type::DATE => data.put_i32(array.as_primitive::<Date32Type>().value(row).saturating_sub(POSTGRES_DAYS)),
            Type::BYTEA => data.put_slice(array.as_binary::<i32>().value(row)),
            ref kind if element_of(kind).is_some() => put_array(kind, array, row, data)?,
            // The binary form of text and JSON is the text.
            _ => self.put_text(row, data)?,
        }
        Ok(())
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T, ArrowError> {
    T::try_from(value).map_err(|_| ArrowError::CastError(format!("{value} is out of range")))
}

/// The elements of a list, with their PostgreSQL type.
fn elements(array: &ArrayRef, row: usize) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::List(_) => Ok(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Ok(array.as_list::<i64>().value(row)),
        other => Err(ArrowError::CastError(format!("{other} is no list"))),
    }
}

/// `{1,2,NULL,"a \"quoted\" text"}` (PostgreSQL documentation, 8.15.6).
fn array_text(array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let elements = elements(array, row)?;
    let quoted = is_text(elements.data_type());
    let formatter = ArrayFormatter::try_new(&elements, &TEXT)?;
    let texts = (0..elements.len()).map(|place| {
        if elements.is_null(place) {
            return "NULL".to_owned();
        }
        let text = formatter.value(place).to_string();
        if quoted { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) } else { text }
    });
    Ok(format!("{{{}}}", texts.collect::<Vec<_>>().join(",")))
}

/// One dimension: has nulls, element type, length, lower bound 1, then each element with its length.
fn put_array(kind: &Type, array: &ArrayRef, row: usize, data: &mut BytesMut) -> Result<(), ArrowError> {
    let Some(element) = element_of(kind) else {
        return Err(ArrowError::CastError(format!("{kind} is no array")));
    };
    let elements = elements(array, row)?;
    data.put_i32(i32::from(!elements.is_empty()));
    data.put_i32(i32::from(elements.null_count() > 0));
    data.put_u32(element.oid());
    if elements.is_empty() {
        return Ok(());
    }
    data.put_i32(narrow(elements.len() as i64)?);
    data.put_i32(1);
    let field = FieldInfo::new(String::new(), None, None, element, FieldFormat::Binary);
    let column = Column::new(&elements, &field)?;
    (0..elements.len()).try_for_each(|place| column.put(place, data))
}

fn json(array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let slice = RecordBatch::try_from_iter_with_nullable([("v", array.slice(row, 1), true)])?;
    let mut writer = arrow_json::writer::LineDelimitedWriter::new(Vec::new());
    writer.write(&slice)?;
    writer.finish()?;
    let line = writer.into_inner();
    // `{"v":…}` and a newline.
    let text = String::from_utf8_lossy(&line);
    let value = text.trim_end().strip_prefix("{\"v\":").and_then(|rest| rest.strip_suffix('}'));
    Ok(value.unwrap_or("null").to_owned())
}
