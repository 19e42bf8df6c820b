//! Batches as they travel: to ClickHouse with its own columns, and back in the table's types.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampNanosecondType, UInt8Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray,
    StructArray, TimestampNanosecondArray, UInt8Array, make_array,
};
use arrow_buffer::BooleanBuffer;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use storage_api::{BatchId, TableDefinition, Timestamp};

use crate::sql::{Name, day};
use crate::types::{NULL_SUFFIX, OWN_COLUMNS, is_nested};
use crate::{Features, types};

/// The id as it is stored: 32 bytes that sort by source, epoch and sequence.
pub(crate) fn id_bytes(id: BatchId) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&id.source.to_be_bytes());
    bytes[16..24].copy_from_slice(&id.epoch.to_be_bytes());
    bytes[24..].copy_from_slice(&id.sequence.to_be_bytes());
    bytes
}

/// An `INSERT` with its rows, in the table's shape, behind it. No rows become the one row that remembers the id.
pub(crate) fn insert(
    target: &str,
    rows: &RecordBatch,
    table: &TableDefinition,
    id: BatchId,
    features: Features,
) -> Result<Vec<u8>, ArrowError> {
    let (fields, columns) = match rows.num_rows() {
        0 => own_columns(id, &Int64Array::from(Vec::<i64>::new())),
        _ => with_own_columns(rows, table, id, features)?,
    };
    let names: Vec<String> = fields.iter().map(|field| Name(field.name()).to_string()).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut bytes = format!("INSERT INTO {target} ({}) FORMAT ArrowStream\n", names.join(", ")).into_bytes();
    let mut writer = StreamWriter::try_new(&mut bytes, batch.schema_ref())?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

fn with_own_columns(
    rows: &RecordBatch,
    table: &TableDefinition,
    id: BatchId,
    features: Features,
) -> Result<(Vec<Field>, Vec<ArrayRef>), ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        let wire = wire_type(field.data_type(), features);
        columns.push(recast(array, &wire)?);
        fields.push(Field::new(field.name(), wire, field.is_nullable()));
        if field.is_nullable() && is_nested(field.data_type()) {
            let nulls = array.nulls().map_or_else(|| BooleanBuffer::new_unset(array.len()), |nulls| !nulls.inner());
            let nulls: ArrayRef = Arc::new(BooleanArray::new(nulls, None));
            let wire = wire_type(&DataType::Boolean, features);
            columns.push(recast(&nulls, &wire)?);
            fields.push(Field::new(format!("{}{NULL_SUFFIX}", field.name()), wire, false));
        }
    }
    let time = rows.column(table.time_index()).as_primitive::<TimestampNanosecondType>();
    let (own_fields, own) = own_columns(id, &Int64Array::new(time.values().clone(), None));
    fields.extend(own_fields);
    columns.extend(own);
    Ok((fields, columns))
}

/// First and last day in every row, and the id in the one that is last in time: as long as any row of the batch is kept,
/// so is that one.
fn own_columns(id: BatchId, times: &Int64Array) -> (Vec<Field>, Vec<ArrayRef>) {
    let times = times.values();
    let rows = times.len().max(1);
    let place = (0..times.len()).max_by_key(|&row| times[row]).unwrap_or(0);
    let day_of = |time: Option<&i64>| time.map_or(0, |&time| day(Timestamp::from_nanos(time)));
    let (mut batch, id) = (BinaryBuilder::with_capacity(rows, 32), id_bytes(id));
    (0..rows).for_each(|row| batch.append_value(if row == place { &id[..] } else { &[] }));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![day_of(times.iter().min()); rows])),
        Arc::new(Int32Array::from(vec![day_of(times.iter().max()); rows])),
        Arc::new(batch.finish()),
    ];
    let fields =
        OWN_COLUMNS.iter().zip(&columns).map(|(name, array)| Field::new(*name, array.data_type().clone(), false));
    (fields.collect(), columns)
}

/// The type in which a column travels to the server.
fn wire_type(data_type: &DataType, features: Features) -> DataType {
    let again = |field: &Field| Field::new(field.name(), wire_type(field.data_type(), features), field.is_nullable());
    match data_type {
        DataType::Boolean if !features.has(Features::BOOL) => DataType::UInt8,
        DataType::Timestamp(..) if !features.has(Features::DATE_TIME_64) => DataType::Int64,
        DataType::List(element) => DataType::List(Arc::new(again(element))),
        DataType::Map(entries, sorted) => match types::entry(entries) {
            Some([key, value]) => {
                let fields = DataType::Struct(vec![again(key), again(value)].into());
                DataType::Map(Arc::new(Field::new(entries.name(), fields, false)), *sorted)
            }
            None => data_type.clone(),
        },
        other => other.clone(),
    }
}

/// Brings an array into another type that says the same: what a server answers into the table's type.
///
/// # Errors
/// When the types do not say the same, or bytes that should be text are none.
pub(crate) fn recast(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    use DataType::{Binary, Boolean, Int64, List, Map, UInt8, Utf8};
    let nanos = |data_type: &DataType| matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _));
    Ok(match (array.data_type(), wanted) {
        (same, wanted) if same == wanted => array.clone(),
        (Binary, Utf8) => Arc::new(StringArray::try_from_binary(array.as_binary::<i32>().clone())?),
        (Utf8, Binary) => Arc::new(BinaryArray::from(array.as_string::<i32>().clone())),
        (UInt8, Boolean) => {
            let numbers = array.as_primitive::<UInt8Type>();
            let values = BooleanBuffer::collect_bool(numbers.len(), |row| numbers.value(row) != 0);
            Arc::new(BooleanArray::new(values, numbers.nulls().cloned()))
        }
        (Boolean, UInt8) => {
            let flags = array.as_boolean();
            let values: Vec<u8> = flags.values().iter().map(u8::from).collect();
            Arc::new(UInt8Array::new(values.into(), flags.nulls().cloned()))
        }
        (given, Int64) if nanos(given) => {
            let times = array.as_primitive::<TimestampNanosecondType>();
            Arc::new(Int64Array::new(times.values().clone(), times.nulls().cloned()))
        }
        (given, DataType::Timestamp(TimeUnit::Nanosecond, zone)) if nanos(given) => {
            let times = array.as_primitive::<TimestampNanosecondType>().clone();
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        (Int64, DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
            let numbers = array.as_primitive::<Int64Type>();
            let times = TimestampNanosecondArray::new(numbers.values().clone(), numbers.nulls().cloned());
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        (List(_), List(element)) => {
            let list = array.as_list::<i32>();
            let values = recast(list.values(), element.data_type())?;
            Arc::new(ListArray::try_new(element.clone(), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        (Map(..), Map(entries, sorted)) => {
            let (map, DataType::Struct(fields)) = (array.as_map(), entries.data_type()) else {
                return Err(misfit(array, wanted));
            };
            let [key, value] = types::entry(entries).ok_or_else(|| misfit(array, wanted))?;
            let columns = vec![recast(map.keys(), key.data_type())?, recast(map.values(), value.data_type())?];
            let pairs = StructArray::try_new(fields.clone(), columns, None)?;
            let offsets = map.offsets().clone();
            Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, map.nulls().cloned(), *sorted)?)
        }
        _ => return Err(misfit(array, wanted)),
    })
}

/// NULL where the flag says so.
pub(crate) fn nullify(array: &ArrayRef, flags: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let flags = recast(flags, &DataType::Boolean)?;
    let flags = flags.as_boolean();
    if flags.null_count() > 0 || flags.len() != array.len() {
        return Err(ArrowError::SchemaError("a flag that is neither yes nor no".to_owned()));
    }
    let valid = !flags.values();
    let data = array.to_data().into_builder().nulls(Some(valid.into())).build()?;
    Ok(make_array(data))
}

fn misfit(array: &ArrayRef, wanted: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("a column is {} where {wanted} was asked for", array.data_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_numbers_do() {
        let id = |source, epoch, sequence| id_bytes(BatchId { source, epoch, sequence });
        assert!(
            id(1, 2, 255) < id(1, 2, 256) && id(1, 2, u64::MAX) < id(1, 3, 0) && id(1, u64::MAX, 0) < id(256, 0, 0)
        );
        assert_eq!(id(1, 2, 3)[..], *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03");
    }

    #[test]
    fn bytes_that_are_no_text_and_types_that_say_something_else_are_refused() {
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..])]));
        assert!(recast(&bytes, &DataType::Utf8).is_err());
        assert!(recast(&bytes, &DataType::UInt64).is_err());
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None]));
        assert!(nullify(&bytes, &flags).is_err());
    }
}
