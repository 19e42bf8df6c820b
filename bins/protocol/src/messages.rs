//! The messages of `metaflow.proto`, field by field.

use storage_api::BatchId;

/// Once per connection: who speaks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HelloRequest {
    /// The agent.
    #[prost(message, optional, tag = "1")]
    pub sender: Option<Sender>,
    /// Name and version of the agent, for the server's log.
    #[prost(string, tag = "2")]
    pub software: String,
}

/// What the server takes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HelloResponse {
    /// Name and version of the server, for the agent's log.
    #[prost(string, tag = "1")]
    pub software: String,
    /// Newest schema version of each table; all older ones are taken as well.
    #[prost(message, repeated, tag = "2")]
    pub tables: Vec<TableVersion>,
    /// Longest [`AppendRequest::batch`] in bytes.
    #[prost(uint64, tag = "3")]
    pub batch_bytes: u64,
    /// Most rows of a batch.
    #[prost(uint64, tag = "4")]
    pub batch_rows: u64,
}

/// A table and its newest schema version.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TableVersion {
    /// Name of the table.
    #[prost(string, tag = "1")]
    pub table: String,
    /// From 1.
    #[prost(uint32, tag = "2")]
    pub version: u32,
}

/// An agent in one of its lives.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sender {
    /// 16 bytes that name the agent for ever.
    #[prost(bytes = "bytes", tag = "1")]
    pub agent: bytes::Bytes,
    /// What people call it, usually the host's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Drawn at random at each start of the agent, so that it may count its batches from zero.
    #[prost(fixed64, tag = "3")]
    pub epoch: u64,
}

/// One batch of one table.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendRequest {
    /// The agent.
    #[prost(message, optional, tag = "1")]
    pub sender: Option<Sender>,
    /// Counts the batches of this epoch, upwards; numbers may be left out. The same number again is stored once.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// Name of the table.
    #[prost(string, tag = "3")]
    pub table: String,
    /// Version of the table's schema, from 1.
    #[prost(uint32, tag = "4")]
    pub schema_version: u32,
    /// What [`crate::encode_batch`] made.
    #[prost(bytes = "bytes", tag = "5")]
    pub batch: bytes::Bytes,
}

/// The rows are stored.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AppendResponse {
    /// How many rows the batch had.
    #[prost(uint64, tag = "1")]
    pub rows: u64,
}

/// Longest name of an agent, in bytes.
pub const LONGEST_AGENT_NAME: usize = 255;

/// Why a request does not say who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SenderError {
    /// The field is missing.
    #[error("the request names no sender")]
    Missing,
    /// The agent's id has another length.
    #[error("an agent's id has 16 bytes, not {0}")]
    Agent(usize),
    /// The agent's name is too long.
    #[error("an agent's name has at most {LONGEST_AGENT_NAME} bytes")]
    Name,
}

impl Sender {
    /// An agent by its id, name and life.
    #[must_use]
    pub fn new(agent: u128, name: &str, epoch: u64) -> Self {
        Self { agent: bytes::Bytes::copy_from_slice(&agent.to_be_bytes()), name: name.to_owned(), epoch }
    }

    /// Under which id the store remembers a batch of this agent.
    ///
    /// # Errors
    /// When the sender is not well formed.
    pub fn batch_id(&self, sequence: u64) -> Result<BatchId, SenderError> {
        let agent = <[u8; 16]>::try_from(&*self.agent).map_err(|_| SenderError::Agent(self.agent.len()))?;
        if self.name.len() > LONGEST_AGENT_NAME {
            return Err(SenderError::Name);
        }
        Ok(BatchId { source: u128::from_be_bytes(agent), epoch: self.epoch, sequence })
    }
}
