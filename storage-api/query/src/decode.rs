use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt16Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, DictionaryArray, FixedSizeBinaryArray, Int64Array, MapArray, RecordBatch,
    RecordBatchOptions, StringArray, UInt16Array, UInt32Array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, SchemaRef};
use tag_encoder::{NameId, OVERFLOW_NAME, WritersSnapshot};

use crate::view::{OVERFLOWED_ATTRIBUTE, Source, TRANSPORT, TableView, UNIX, UnixColumns};

/// Turns stored batches into what users see. Each distinct value of a batch is looked up and written once.
#[derive(Debug)]
pub(crate) struct Decoder {
    view: Arc<TableView>,
    /// Seen columns, in the order of the answer.
    seen: Vec<usize>,
    /// Stored columns, in the order in which the batches bring them.
    stored: Vec<usize>,
    schema: SchemaRef,
}

impl Decoder {
    pub(crate) fn new(view: Arc<TableView>, seen: Vec<usize>) -> Result<Self, ArrowError> {
        let stored = view.stored_columns(&seen);
        let schema = Arc::new(view.schema.project(&seen)?);
        Ok(Self { view, seen, stored, schema })
    }

    /// The columns that the batches must have, in their order.
    pub(crate) fn stored(&self) -> &[usize] {
        &self.stored
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn decode(&self, batch: &RecordBatch, names: &WritersSnapshot) -> Result<RecordBatch, ArrowError> {
        let columns = self.seen.iter().map(|index| self.column(batch, *index, names));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.collect::<Result<_, _>>()?, &options)
    }

    fn column(&self, batch: &RecordBatch, seen: usize, names: &WritersSnapshot) -> Result<ArrayRef, ArrowError> {
        let missing = || ArrowError::SchemaError("a scan left out a column".to_owned());
        let stored = |index: usize| {
            let place = self.stored.binary_search(&index).ok();
            place.and_then(|place| batch.columns().get(place)).ok_or_else(missing)
        };
        let rows = |column: &str| -> Result<Rows<'_>, ArrowError> {
            let writers =
                self.view.writer.map(stored).transpose()?.and_then(|array| array.as_primitive_opt::<UInt16Type>());
            let overflow = self.view.overflow.map(stored).transpose()?.and_then(|array| array.as_map_opt());
            Ok(Rows { writers, overflow, column: column.to_owned() })
        };
        Ok(match self.view.sources.get(seen).ok_or_else(missing)? {
            Source::Stored(index) => Arc::clone(stored(*index)?),
            Source::Names { ids, dictionary } => {
                let array = stored(*ids)?.as_primitive_opt::<UInt32Type>().ok_or_else(missing)?;
                Arc::new(name_column(array, &rows(self.view.stored(*ids).name())?, dictionary, names))
            }
            Source::NamedKeys { map, dictionary } => {
                let array = stored(*map)?.as_map_opt().ok_or_else(missing)?;
                named_keys(array, &rows(self.view.stored(*map).name())?, dictionary, names)?
            }
            Source::Identifier(index) => {
                let array = stored(*index)?.as_binary_opt::<i32>().ok_or_else(missing)?;
                Arc::new(identifiers(array))
            }
            Source::Address { address, port, unix } => {
                let addresses = stored(*address)?.as_fixed_size_binary_opt().ok_or_else(missing)?;
                let ports = port.map(stored).transpose()?.and_then(|array| array.as_primitive_opt::<UInt16Type>());
                let paths = match unix {
                    None => None,
                    Some(UnixColumns { transport, path }) => {
                        let transports = stored(*transport)?.as_primitive_opt::<UInt32Type>().ok_or_else(missing)?;
                        let paths = stored(*path)?.as_string_opt().ok_or_else(missing)?;
                        Some((unix_rows(transports, &rows(TRANSPORT)?, names), paths))
                    }
                };
                Arc::new(address_column(
                    addresses,
                    ports,
                    paths.as_ref().map(|(rows, paths)| (rows.as_slice(), *paths)),
                ))
            }
            Source::Nanoseconds(index) => {
                let times = stored(*index)?.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(missing)?;
                Arc::new(Int64Array::new(times.values().clone(), times.nulls().cloned()))
            }
        })
    }
}

/// What is beside the ids of a row.
struct Rows<'a> {
    writers: Option<&'a UInt16Array>,
    overflow: Option<&'a MapArray>,
    column: String,
}

impl Rows<'_> {
    fn writer(&self, row: usize) -> u16 {
        self.writers.map_or(0, |writers| writers.value(row))
    }

    /// The texts that found no integer in a row: (column, text).
    fn overflow(&self, row: usize) -> Vec<(String, String)> {
        let Some(map) = self.overflow.filter(|map| map.is_valid(row)) else { return Vec::new() };
        let entries = map.value(row);
        let (Some(keys), Some(values)) =
            (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>())
        else {
            return Vec::new();
        };
        keys.iter().zip(values).filter_map(|(key, value)| Some((key?.to_owned(), value?.to_owned()))).collect()
    }
}

/// What an id without a name reads as: its record was lost, or its writer is not known here.
fn name_of(names: &WritersSnapshot, writer: u16, dictionary: &str, id: u32) -> String {
    let snapshot = names.writer(writer).and_then(|snapshot| snapshot.domain(dictionary));
    snapshot.and_then(|domain| domain.name(NameId(id))).map_or_else(|| format!("<unknown {id}>"), str::to_owned)
}

fn name_column(
    ids: &UInt32Array,
    rows: &Rows<'_>,
    dictionary: &str,
    names: &WritersSnapshot,
) -> DictionaryArray<UInt32Type> {
    let mut texts = Texts::new(ids.len());
    for row in 0..ids.len() {
        if ids.is_null(row) {
            texts.push_null();
            continue;
        }
        let id = ids.value(row);
        if id == NameId::OVERFLOW.0 {
            let text = rows.overflow(row).into_iter().find(|(column, _)| *column == rows.column);
            texts.push_text(text.map_or_else(|| OVERFLOW_NAME.to_owned(), |(_, text)| text));
        } else {
            let writer = rows.writer(row);
            texts.push((writer, id), || name_of(names, writer, dictionary, id));
        }
    }
    texts.finish()
}

fn named_keys(
    map: &MapArray,
    rows: &Rows<'_>,
    dictionary: &str,
    names: &WritersSnapshot,
) -> Result<ArrayRef, ArrowError> {
    let (Some(keys), Some(values)) = (map.keys().as_primitive_opt::<UInt32Type>(), map.values().as_string_opt::<i32>())
    else {
        return Err(ArrowError::SchemaError("a map of names has another type".to_owned()));
    };
    let fields = MapFieldNames { entry: "entries".to_owned(), key: "keys".to_owned(), value: "values".to_owned() };
    let mut builder = MapBuilder::new(Some(fields), StringBuilder::new(), StringBuilder::new());
    let mut known: HashMap<(u16, u32), String> = HashMap::new();
    for row in 0..map.len() {
        let writer = rows.writer(row);
        let overflowed = rows.overflow(row);
        let from = usize::try_from(map.value_offsets()[row]).unwrap_or(0);
        let until = usize::try_from(map.value_offsets()[row + 1]).unwrap_or(0);
        for entry in from..until {
            let id = keys.value(entry);
            let name = known.entry((writer, id)).or_insert_with(|| name_of(names, writer, dictionary, id));
            builder.keys().append_value(name);
            builder.values().append_option(values.is_valid(entry).then(|| values.value(entry)));
        }
        let mut extra = false;
        for (column, text) in &overflowed {
            if let Some(key) = column.strip_prefix(OVERFLOWED_ATTRIBUTE) {
                builder.keys().append_value(key);
                builder.values().append_value(text);
                extra = true;
            }
        }
        builder.append(map.is_valid(row) || extra)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// Bytes of an identifier as text: 8 and 16 bytes are lower-case hexadecimal digits, everything else is text already (a text of
/// exactly 8 or 16 bytes is stored with a NUL behind it).
pub(crate) fn identifier_text(bytes: &[u8]) -> String {
    if let 8 | 16 = bytes.len() {
        return bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    let text = match bytes {
        [text @ .., 0] if matches!(text.len(), 8 | 16) => text,
        _ => bytes,
    };
    String::from_utf8_lossy(text).into_owned()
}

/// The bytes that [`identifier_text`] reads as this text.
pub(crate) fn identifier_bytes(text: &str) -> Vec<u8> {
    let digits = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if let 16 | 32 = text.len()
        && text.bytes().all(|byte| digits(&byte))
    {
        let value = |digit: u8| if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
        return text.as_bytes().chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect();
    }
    let mut bytes = text.as_bytes().to_vec();
    if let 8 | 16 = bytes.len() {
        bytes.push(0);
    }
    bytes
}

fn identifiers(array: &BinaryArray) -> StringArray {
    array.iter().map(|bytes| bytes.map(identifier_text)).collect()
}

/// An address as stored, as people write it.
pub(crate) fn ip_of(bytes: [u8; 16]) -> IpAddr {
    let address = Ipv6Addr::from(bytes);
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

/// Of which rows the addresses are those of Unix sockets.
fn unix_rows(transports: &UInt32Array, rows: &Rows<'_>, names: &WritersSnapshot) -> Vec<bool> {
    let mut known: HashMap<(u16, u32), bool> = HashMap::new();
    let each = transports.iter().enumerate().map(|(row, id)| {
        let key = (rows.writer(row), id?);
        Some(*known.entry(key).or_insert_with(|| name_of(names, key.0, TRANSPORT, key.1) == UNIX))
    });
    each.map(Option::unwrap_or_default).collect()
}

/// Addresses as text; those of Unix sockets by their paths, or by their inodes, which stand in the lower half.
fn address_column(
    addresses: &FixedSizeBinaryArray,
    ports: Option<&UInt16Array>,
    unix: Option<(&[bool], &StringArray)>,
) -> DictionaryArray<UInt32Type> {
    let mut texts = Texts::new(addresses.len());
    for row in 0..addresses.len() {
        let bytes = addresses.is_valid(row).then(|| <[u8; 16]>::try_from(addresses.value(row)).ok()).flatten();
        let Some(bytes) = bytes else {
            texts.push_null();
            continue;
        };
        if let Some((_, paths)) = unix.filter(|(rows, _)| rows.get(row).copied().unwrap_or_default()) {
            texts.push_text(match paths.is_valid(row) {
                true => format!("unix:{}", paths.value(row)),
                false => format!("unix:[{}]", u128::from_be_bytes(bytes) as u64),
            });
            continue;
        }
        let port = ports.filter(|ports| ports.is_valid(row)).map(|ports| ports.value(row));
        texts.push((bytes, port), || match (ip_of(bytes), port) {
            (address, None) => address.to_string(),
            (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
            (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
        });
    }
    texts.finish()
}

/// Builds a column of texts that repeat, by a key that is cheaper than the text.
struct Texts<K> {
    keys: Vec<u32>,
    valid: Vec<bool>,
    by_key: HashMap<K, u32>,
    by_text: HashMap<String, u32>,
    values: Vec<String>,
    last: Option<(K, u32)>,
}

impl<K: Hash + Eq + Copy> Texts<K> {
    fn new(rows: usize) -> Self {
        Self {
            keys: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
            by_key: HashMap::new(),
            by_text: HashMap::new(),
            values: Vec::new(),
            last: None,
        }
    }

    fn push_null(&mut self) {
        self.keys.push(0);
        self.valid.push(false);
    }

    fn push(&mut self, key: K, text: impl FnOnce() -> String) {
        let place = match self.last {
            Some((last, place)) if last == key => place,
            _ => match self.by_key.get(&key) {
                Some(place) => *place,
                None => {
                    let place = self.place(text());
                    self.by_key.insert(key, place);
                    place
                }
            },
        };
        self.last = Some((key, place));
        self.keys.push(place);
        self.valid.push(true);
    }

    fn push_text(&mut self, text: String) {
        let place = self.place(text);
        self.keys.push(place);
        self.valid.push(true);
    }

    /// Two keys may read the same, such as one name given out by two writers.
    fn place(&mut self, text: String) -> u32 {
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        *self.by_text.entry(text).or_insert_with_key(|text| {
            self.values.push(text.clone());
            next
        })
    }

    fn finish(self) -> DictionaryArray<UInt32Type> {
        let keys = UInt32Array::new(self.keys.into(), Some(NullBuffer::from(self.valid)));
        // Places are those of `values`; a null row's place is not looked at.
        DictionaryArray::new(keys, Arc::new(StringArray::from(self.values)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identifiers_read_as_hexadecimal_or_as_the_text_they_were() {
        assert_eq!(identifier_text(&[0xab; 16]), "ab".repeat(16));
        assert_eq!(identifier_text(b"1-abc"), "1-abc");
        assert_eq!(identifier_bytes("0123456789abcdef"), [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert_eq!(identifier_bytes("0123456789ABCDEF"), b"0123456789ABCDEF\0");
    }

    proptest! {
        #[test]
        fn an_identifier_comes_back(text in prop_oneof!["[a-f0-9]{16}", "[a-f0-9]{32}", "[ -~]{1,40}"]) {
            prop_assert_eq!(identifier_text(&identifier_bytes(&text)), text);
        }
    }

    #[test]
    fn a_text_stands_once_however_many_keys_it_has() {
        let mut texts = Texts::new(4);
        texts.push(1, || "a".to_owned());
        texts.push(2, || "a".to_owned());
        texts.push_null();
        texts.push(1, || unreachable!());
        let array = texts.finish();
        assert_eq!(array.values().len(), 1);
        assert_eq!(array.null_count(), 1);
    }
}
