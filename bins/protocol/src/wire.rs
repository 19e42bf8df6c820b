//! A batch as bytes: an Arrow IPC stream of one schema message, its dictionaries and one record batch.
//!
//! The stream carries its schema so that any Arrow tool can read it, but the receiver never builds its schema from the sender's
//! bytes: it compares them with the table's own. Arrow's reader trusts offsets and lengths; they are checked here before it sees them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{RecordBatch, new_null_array};
use arrow_buffer::Buffer;
use arrow_ipc::writer::StreamWriter;
use arrow_ipc::{
    Message, MessageHeader, MetadataVersion, RecordBatch as IpcBatch, Schema as WireSchema, reader, root_as_message,
};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use bytes::Bytes;

use crate::column::Table;
use crate::schema_match::same_schema;

/// Bounds of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireLimits {
    /// Longest batch in bytes.
    pub batch_bytes: usize,
    /// Most rows of a batch.
    pub batch_rows: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self { batch_bytes: 16 << 20, batch_rows: 1 << 17 }
    }
}

impl WireLimits {
    /// The same limits with another longest batch.
    #[must_use]
    pub fn with_batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// The same limits with another number of rows.
    #[must_use]
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows;
        self
    }
}

/// Why bytes are no batch of their table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than [`WireLimits::batch_bytes`].
    #[error("a batch has at most {limit} bytes, not {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More than [`WireLimits::batch_rows`].
    #[error("a batch has at most {limit} rows, not {rows}")]
    TooManyRows {
        /// Its rows, as it says.
        rows: i64,
        /// The limit.
        limit: usize,
    },
    /// The schema version is not known here.
    #[error("table {table} is known here up to schema version {known}, not {version}")]
    Version {
        /// The table.
        table: &'static str,
        /// The newest version known.
        known: u32,
        /// The version of the batch.
        version: u32,
    },
    /// The stream's schema is not the table's.
    #[error("the batch does not have the columns of table {table}")]
    Schema {
        /// The table.
        table: &'static str,
    },
    /// The stream ends within a message, or goes on behind its record batch.
    #[error("the batch is cut short or overlong at byte {offset}")]
    Framing {
        /// Where.
        offset: usize,
    },
    /// A message is not what the format allows.
    #[error("the message at byte {offset} is damaged: {reason}")]
    Message {
        /// Where.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The values do not fit their columns.
    #[error("the values do not fit their columns: {0}")]
    Values(#[source] ArrowError),
}

/// The bytes of a batch; `batch` has the table's [wire schema](Table::wire_schema).
///
/// # Errors
/// When the batch has another schema.
pub fn encode_batch(table: &Table, batch: &RecordBatch) -> Result<Bytes, DecodeError> {
    if batch.schema_ref().fields() != table.wire_schema().fields() {
        return Err(DecodeError::Schema { table: table.name });
    }
    write(batch.schema_ref(), Some(batch)).map(Bytes::from).map_err(DecodeError::Values)
}

/// The rows of a batch, in the table's newest schema: columns that its version does not have are null. Checks everything: the bytes come from a network. Takes time and memory linear in the length of `bytes`,
/// and keeps `bytes` alive for as long as the batch lives.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_batch(
    table: &Table,
    version: u32,
    bytes: Bytes,
    limits: &WireLimits,
) -> Result<RecordBatch, DecodeError> {
    if version == 0 || version > table.version {
        return Err(DecodeError::Version { table: table.name, known: table.version, version });
    }
    if bytes.len() > limits.batch_bytes {
        return Err(DecodeError::TooLong { bytes: bytes.len(), limit: limits.batch_bytes });
    }
    let mut stream = Messages { rest: Buffer::from(bytes), offset: 0, end: 0 };
    let schema = expected(table, version, &mut stream)?;
    let mut dictionaries = HashMap::new();
    loop {
        let frame = stream.next()?;
        let message = frame.message()?;
        match message.header_type() {
            MessageHeader::DictionaryBatch => {
                let dictionary = message.header_as_dictionary_batch().ok_or(frame.damaged("no dictionary"))?;
                let batch = dictionary.data().ok_or(frame.damaged("no dictionary"))?;
                frame.check(&batch, &[&DataType::Utf8], limits)?;
                if dictionary.isDelta() || dictionaries.contains_key(&dictionary.id()) {
                    return Err(frame.damaged("a dictionary comes twice"));
                }
                reader::read_dictionary(&frame.body, dictionary, &schema, &mut dictionaries, &message.version())
                    .map_err(DecodeError::Values)?;
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or(frame.damaged("no record batch"))?;
                let types: Vec<_> = schema.fields().iter().map(|field| field.data_type()).collect();
                frame.check(&batch, &types, limits)?;
                let version = message.version();
                let rows = reader::read_record_batch(&frame.body, batch, schema, &dictionaries, None, &version)
                    .map_err(DecodeError::Values)?;
                stream.finish()?;
                return newest(table, &rows).map_err(DecodeError::Values);
            }
            _ => return Err(frame.damaged("neither dictionary nor record batch")),
        }
    }
}

/// The rows of a version of the table, with the columns that came later.
fn newest(table: &Table, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = table.wire_schema();
    let later = schema.fields().iter().skip(rows.num_columns());
    let later = later.map(|field| new_null_array(field.data_type(), rows.num_rows()));
    let columns = rows.columns().iter().cloned().chain(later).collect();
    RecordBatch::try_new(schema, columns)
}

/// Takes the sender's schema message off the stream and answers our own, whose fields know the numbers of their dictionaries.
fn expected(table: &Table, version: u32, stream: &mut Messages) -> Result<SchemaRef, DecodeError> {
    let ours = write(&table.wire_schema_of(version), None).map_err(DecodeError::Values)?;
    let ours = Messages { rest: Buffer::from_vec(ours), offset: 0, end: 0 }.next()?;
    let theirs = stream.next()?;
    let wrong = || DecodeError::Schema { table: table.name };
    let (our_schema, their_schema) = (schema_of(&ours)?.ok_or_else(wrong)?, schema_of(&theirs)?.ok_or_else(wrong)?);
    if !same_schema(&our_schema, &their_schema) {
        return Err(wrong());
    }
    Ok(Arc::new(arrow_ipc::convert::fb_to_schema(our_schema)))
}

fn schema_of(frame: &Frame) -> Result<Option<WireSchema<'_>>, DecodeError> {
    Ok(frame.message()?.header_as_schema())
}

fn write(schema: &Schema, batch: Option<&RecordBatch>) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    if let Some(batch) = batch {
        writer.write(batch)?;
    }
    writer.finish()?;
    writer.into_inner()
}

/// Splits a stream into messages: `0xFFFFFFFF`, length of the metadata, metadata, body.
struct Messages {
    rest: Buffer,
    offset: usize,
    end: usize,
}

impl Messages {
    fn next(&mut self) -> Result<Frame, DecodeError> {
        let offset = self.offset;
        let cut = DecodeError::Framing { offset };
        let Some(([0xff, 0xff, 0xff, 0xff], length)) = self.rest.get(..8).and_then(|head| head.split_at_checked(4))
        else {
            return Err(cut);
        };
        let length = length.try_into().map_or(0, u32::from_le_bytes) as usize;
        let metadata = slice(&self.rest, 8, length).filter(|_| length > 0).ok_or(cut)?;
        let mut frame = Frame { offset, metadata, body: Buffer::default() };
        let body = frame.message()?.bodyLength();
        let cut = DecodeError::Framing { offset };
        let body_length = usize::try_from(body).map_err(|_| frame.damaged("negative length"))?;
        frame.body = slice(&self.rest, 8 + length, body_length).ok_or(cut)?;
        self.end = 8 + length + body_length;
        self.rest.advance(self.end);
        self.offset += self.end;
        Ok(frame)
    }

    /// Nothing but the end-of-stream mark may follow.
    fn finish(&self) -> Result<(), DecodeError> {
        let rest = self.rest.as_slice();
        if rest.is_empty() || rest == [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0] {
            return Ok(());
        }
        Err(DecodeError::Framing { offset: self.offset })
    }
}

fn slice(buffer: &Buffer, offset: usize, length: usize) -> Option<Buffer> {
    let end = offset.checked_add(length)?;
    (end <= buffer.len()).then(|| buffer.slice_with_length(offset, length))
}

struct Frame {
    offset: usize,
    metadata: Buffer,
    body: Buffer,
}

impl Frame {
    fn message(&self) -> Result<Message<'_>, DecodeError> {
        let message = root_as_message(&self.metadata).map_err(|_| self.damaged("not a flatbuffer"))?;
        if message.version() != MetadataVersion::V5 {
            return Err(self.damaged("not of metadata version 5"));
        }
        Ok(message)
    }

    /// What Arrow's reader takes for granted.
    fn check(&self, batch: &IpcBatch<'_>, types: &[&DataType], limits: &WireLimits) -> Result<(), DecodeError> {
        let limit = limits.batch_rows;
        if batch.compression().is_some() {
            return Err(self.damaged("compressed"));
        }
        let (Some(nodes), Some(buffers)) = (batch.nodes(), batch.buffers()) else {
            return Err(self.damaged("no nodes or buffers"));
        };
        if !usize::try_from(batch.length()).is_ok_and(|rows| rows <= limit) {
            return Err(DecodeError::TooManyRows { rows: batch.length(), limit });
        }
        let mut lengths = Vec::with_capacity(buffers.len());
        let mut used = 0usize;
        for buffer in buffers {
            let (Ok(start), Ok(length)) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length())) else {
                return Err(self.damaged("a buffer of negative size"));
            };
            if start.checked_add(length).is_none_or(|end| end > self.body.len()) {
                return Err(self.damaged("a buffer outside of the message"));
            }
            // Buffers that overlap would make a small message large once each is copied.
            used = used.saturating_add(length);
            lengths.push(length);
        }
        if used > self.body.len() {
            return Err(self.damaged("buffers overlap"));
        }
        let nodes: Option<Vec<_>> = nodes
            .iter()
            .map(|node| Some((usize::try_from(node.length()).ok()?, usize::try_from(node.null_count()).ok()?)))
            .collect();
        let nodes = nodes.ok_or(self.damaged("a column of negative length"))?;
        let mut columns = Columns { nodes: nodes.iter(), buffers: lengths.iter() };
        if types.iter().all(|data_type| columns.take(data_type).is_some()) && columns.is_empty() {
            return Ok(());
        }
        Err(self.damaged("columns and buffers do not go together"))
    }

    fn damaged(&self, reason: &'static str) -> DecodeError {
        DecodeError::Message { offset: self.offset, reason }
    }
}

/// The columns of a record batch as it lists them: (length, nulls) of each, and the lengths of all buffers, depth first.
struct Columns<'a> {
    nodes: std::slice::Iter<'a, (usize, usize)>,
    buffers: std::slice::Iter<'a, usize>,
}

impl Columns<'_> {
    /// Takes one column of this type off the lists, with its children; none if its buffers cannot hold it.
    fn take(&mut self, data_type: &DataType) -> Option<()> {
        let &(length, nulls) = self.nodes.next()?;
        let &validity = self.buffers.next()?;
        if nulls > length || (nulls > 0 && validity < length.div_ceil(8)) {
            return None;
        }
        // A buffer is read as a slice of its elements: a part of one at the end would be an assertion failure.
        let mut fits = |width: usize| {
            let holds = |bytes: usize| bytes >= length.saturating_mul(width) && bytes.is_multiple_of(width.clamp(1, 8));
            self.buffers.next().filter(|&&bytes| holds(bytes))
        };
        match data_type {
            // Arrow may leave out the only offset of no values.
            DataType::Utf8 | DataType::Binary => fits(4).and(self.buffers.next()).map(|_| ()),
            DataType::List(element) | DataType::Map(element, _) => {
                fits(4)?;
                self.take(element.data_type())
            }
            DataType::Struct(fields) => fields.iter().try_for_each(|field| self.take(field.data_type())),
            DataType::Boolean => self.buffers.next().filter(|&&bytes| bytes >= length.div_ceil(8)).map(|_| ()),
            DataType::Dictionary(keys, _) => fits(keys.primitive_width()?).map(|_| ()),
            DataType::FixedSizeBinary(width) => fits(usize::try_from(*width).ok()?).map(|_| ()),
            _ => fits(data_type.primitive_width()?).map(|_| ()),
        }
    }

    fn is_empty(&self) -> bool {
        self.nodes.len() == 0 && self.buffers.len() == 0
    }
}
