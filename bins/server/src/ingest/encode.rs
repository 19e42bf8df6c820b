use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder, UInt32Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, MapArray, RecordBatch, StringArray, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, Field, Schema};
use metaflow_protocol::tables::{OVERFLOW_COLUMN, OVERFLOWED_ATTRIBUTE};
use metaflow_protocol::{Table, Values};
use storage_api::{AppendError, BackendError, Timestamp};
use tag_encoder::NameId;

use super::Origin;
use crate::names::{Names, WRITER};

type Texts = DictionaryArray<UInt32Type>;

/// Names become integers, once per distinct value of the batch. What finds no integer keeps its text in the column `overflow`.
pub(super) async fn encode(
    table: &Table,
    origin: &Origin,
    batch: &RecordBatch,
    names: &Names,
    now: Timestamp,
) -> Result<RecordBatch, AppendError> {
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::from([("agent", vec![origin.agent.as_str()])]);
    for (column, array) in table.columns.iter().zip(batch.columns()) {
        let (dictionary, texts) = match column.values {
            Values::Name(dictionary) => (dictionary, texts_of(array)?),
            Values::Attributes(dictionary) => (dictionary, texts_of(map_of(array)?.keys())?),
            _ => continue,
        };
        wanted.entry(dictionary).or_default().extend(used(texts)?.into_iter().flatten());
    }
    let wanted: Vec<_> = wanted.into_iter().collect();
    names.ensure(&wanted, now).await?;

    let rows = batch.num_rows();
    let mut overflow = Overflow::default();
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (column, array) in table.columns.iter().zip(batch.columns()) {
        let stored: ArrayRef = match column.values {
            Values::Name(dictionary) => Arc::new(ids(column.name, texts_of(array)?, dictionary, names, &mut overflow)?),
            Values::Attributes(dictionary) => Arc::new(attributes(map_of(array)?, dictionary, names, &mut overflow)?),
            _ => Arc::clone(array),
        };
        columns.push((Field::new(column.name, column.stored_type(), column.nullable), stored));
    }
    let agent = names.ids("agent", [origin.agent.as_str()]).first().map_or(0, |id| id.0);
    if agent == NameId::OVERFLOW.0 {
        (0..rows).for_each(|row| overflow.keep(row, "agent".to_owned(), origin.agent.clone()));
    }
    let added: [(&str, ArrayRef); 3] = [
        ("writer", Arc::new(UInt16Array::from_value(WRITER, rows))),
        ("agent", Arc::new(UInt32Array::from_value(agent, rows))),
        ("agent_epoch", Arc::new(UInt64Array::from_value(origin.id.epoch, rows))),
    ];
    columns.extend(added.map(|(name, array)| (Field::new(name, array.data_type().clone(), false), array)));
    if let Some(map) = overflow.finish(rows).map_err(BackendError::from)? {
        columns.push((Field::new(OVERFLOW_COLUMN, map.data_type().clone(), true), Arc::new(map)));
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(BackendError::from)?)
}

fn texts_of(array: &ArrayRef) -> Result<&Texts, AppendError> {
    array.as_dictionary_opt::<UInt32Type>().ok_or_else(other_type)
}

fn map_of(array: &ArrayRef) -> Result<&MapArray, AppendError> {
    array.as_map_opt().ok_or_else(other_type)
}

fn other_type() -> AppendError {
    BackendError::from(ArrowError::SchemaError("a batch does not have its table's wire schema".to_owned())).into()
}

fn values_of(texts: &Texts) -> Result<&StringArray, AppendError> {
    texts.values().as_string_opt::<i32>().ok_or_else(other_type)
}

/// The values of a dictionary that rows use; the others, which a sender could add at will, are none.
fn used(texts: &Texts) -> Result<Vec<Option<&str>>, AppendError> {
    let values = values_of(texts)?;
    let mut used = vec![None; values.len()];
    for key in texts.keys().iter().flatten() {
        let place = key as usize;
        if let Some(slot) = used.get_mut(place) {
            *slot = values.is_valid(place).then(|| values.value(place));
        }
    }
    Ok(used)
}

/// The id of each value of a dictionary, none where the value is none.
fn ids_of(texts: &Texts, dictionary: &str, names: &Names) -> Result<Vec<Option<NameId>>, AppendError> {
    let used = used(texts)?;
    let mut found = names.ids(dictionary, used.iter().flatten().copied()).into_iter();
    Ok(used.iter().map(|name| name.and_then(|_| found.next())).collect())
}

fn ids(
    column: &str,
    texts: &Texts,
    dictionary: &str,
    names: &Names,
    overflow: &mut Overflow,
) -> Result<UInt32Array, AppendError> {
    let ids = ids_of(texts, dictionary, names)?;
    let values = values_of(texts)?;
    let stored = texts.keys().iter().enumerate().map(|(row, key)| {
        let place = key? as usize;
        let id = ids.get(place).copied().flatten()?;
        if id == NameId::OVERFLOW {
            overflow.keep(row, column.to_owned(), values.value(place).to_owned());
        }
        Some(id.0)
    });
    Ok(stored.collect())
}

fn attributes(
    map: &MapArray,
    dictionary: &str,
    names: &Names,
    overflow: &mut Overflow,
) -> Result<MapArray, AppendError> {
    let keys = texts_of(map.keys())?;
    let ids = ids_of(keys, dictionary, names)?;
    let (key_texts, values) = (values_of(keys)?, map.values().as_string_opt::<i32>().ok_or_else(other_type)?);
    let mut builder = MapBuilder::new(Some(field_names()), UInt32Builder::new(), StringBuilder::new());
    for row in 0..map.len() {
        let (from, until) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
        for entry in from..until {
            let value = values.is_valid(entry).then(|| values.value(entry));
            let Some(place) = keys.key(entry) else { continue };
            match ids.get(place).copied().flatten() {
                Some(NameId::OVERFLOW) => {
                    let key = format!("{OVERFLOWED_ATTRIBUTE}{}", key_texts.value(place));
                    overflow.keep(row, key, value.unwrap_or_default().to_owned());
                }
                Some(id) => {
                    builder.keys().append_value(id.0);
                    builder.values().append_option(value);
                }
                None => {}
            }
        }
        builder.append(map.is_valid(row)).map_err(BackendError::from)?;
    }
    Ok(builder.finish())
}

/// Texts that found no integer, by row.
#[derive(Debug, Default)]
struct Overflow(BTreeMap<usize, Vec<(String, String)>>);

impl Overflow {
    fn keep(&mut self, row: usize, column: String, text: String) {
        self.0.entry(row).or_default().push((column, text));
    }

    /// None if every text found its integer, which is nearly always.
    fn finish(self, rows: usize) -> Result<Option<MapArray>, ArrowError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut builder = MapBuilder::new(Some(field_names()), StringBuilder::new(), StringBuilder::new());
        for row in 0..rows {
            let kept = self.0.get(&row);
            for (column, text) in kept.into_iter().flatten() {
                builder.keys().append_value(column);
                builder.values().append_value(text);
            }
            builder.append(kept.is_some())?;
        }
        Ok(Some(builder.finish()))
    }
}

fn field_names() -> MapFieldNames {
    MapFieldNames { entry: "entries".to_owned(), key: "keys".to_owned(), value: "values".to_owned() }
}
