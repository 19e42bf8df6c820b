//! One batch as the payload of a log frame, format 1:
//!
//! ```text
//! payload = kind:u8(=1) name-length:u8 columns:u16 message-length:u32 source:u128 epoch:u64 sequence:u64 name message body
//! ```
//!
//! `message` and `body` are an Arrow IPC record batch (metadata version 5) of the table's first `columns` columns. The
//! schema is not repeated: it stands in the manifest, was safe there before the batch came, and only ever grows at its end.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::read_record_batch;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use storage_api::{BatchId, TableName};

const BATCH: u8 = 1;
const HEAD: usize = 40;

/// A batch ready to be logged and kept in memory.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) table: TableName,
    pub(crate) id: BatchId,
    /// The rows; their buffers are `body`.
    pub(crate) rows: Arc<RecordBatch>,
    /// Everything before the body.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Buffer,
}

/// What a payload says before its rows are looked at.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    pub(crate) table: TableName,
    id: BatchId,
    columns: usize,
    /// Everything before the body, of which the message is the end.
    head: &'a [u8],
    message: &'a [u8],
    body: &'a [u8],
}

impl Record {
    /// Encodes rows that have the table's shape. The rows that are kept in memory are read back from the encoded bytes:
    /// what is acknowledged can be decoded, and no buffer of the sender is held.
    pub(crate) fn encode(table: &TableName, id: BatchId, rows: &RecordBatch) -> Result<Self, ArrowError> {
        let (_, encoded) = IpcDataGenerator::default().encode(
            rows,
            &mut DictionaryTracker::new(true),
            &IpcWriteOptions::default(),
            &mut Default::default(),
        )?;
        let name = table.as_str().as_bytes();
        let mut head = Vec::with_capacity(HEAD + name.len() + encoded.ipc_message.len());
        head.extend_from_slice(&[BATCH, name.len() as u8]);
        head.extend_from_slice(&(rows.num_columns() as u16).to_le_bytes());
        head.extend_from_slice(&(encoded.ipc_message.len() as u32).to_le_bytes());
        head.extend_from_slice(&id.source.to_le_bytes());
        head.extend_from_slice(&id.epoch.to_le_bytes());
        head.extend_from_slice(&id.sequence.to_le_bytes());
        head.extend_from_slice(name);
        head.extend_from_slice(&encoded.ipc_message);
        let body = Buffer::from_vec(encoded.arrow_data);
        let rows = Arc::new(decode(&encoded.ipc_message, &body, rows.schema())?);
        Ok(Self { table: table.clone(), id, rows, head, body })
    }

    /// Bytes in the log, and about as many in memory.
    pub(crate) fn size(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

impl<'a> Parsed<'a> {
    /// Takes a payload apart; `None` for one that this version did not write.
    pub(crate) fn parse(payload: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = payload.split_at_checked(HEAD)?;
        if fixed[0] != BATCH {
            return None;
        }
        let (name, rest) = rest.split_at_checked(fixed[1].into())?;
        let message = u32::from_le_bytes(fixed[4..8].try_into().ok()?);
        let (message, body) = rest.split_at_checked(message as usize)?;
        let id = BatchId {
            source: u128::from_le_bytes(fixed[8..24].try_into().ok()?),
            epoch: u64::from_le_bytes(fixed[24..32].try_into().ok()?),
            sequence: u64::from_le_bytes(fixed[32..40].try_into().ok()?),
        };
        let table = TableName::new(std::str::from_utf8(name).ok()?).ok()?;
        let head = &payload[..payload.len() - body.len()];
        Some(Self { table, id, columns: u16::from_le_bytes([fixed[2], fixed[3]]).into(), head, message, body })
    }

    /// The batch, whose rows are of the first columns of `schema`.
    pub(crate) fn record(self, schema: &SchemaRef) -> Result<Record, ArrowError> {
        let fields = schema.fields().get(..self.columns).ok_or_else(|| {
            ArrowError::SchemaError(format!("{} columns, but the table has {}", self.columns, schema.fields().len()))
        })?;
        let schema = Schema::new_with_metadata(fields.to_vec(), schema.metadata().clone());
        let body = Buffer::from(self.body);
        let rows = Arc::new(decode(self.message, &body, Arc::new(schema))?);
        Ok(Record { table: self.table, id: self.id, rows, head: self.head.to_vec(), body })
    }
}

fn decode(message: &[u8], body: &Buffer, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
    let damaged = |what: &str| ArrowError::IpcError(what.to_owned());
    let message = arrow_ipc::root_as_message(message).map_err(|error| damaged(&error.to_string()))?;
    let batch = message.header_as_record_batch().ok_or_else(|| damaged("not a record batch"))?;
    read_record_batch(body, batch, schema, &HashMap::new(), None, &message.version())
}
