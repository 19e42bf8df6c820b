//! Streams that come in their order from elsewhere than packets: what a process sends and receives on a socket.

use protocol_parsers::{StreamChunk, Timestamp};

use crate::{Endpoint, Transport};

/// Something that happened on a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamInput<'a> {
    /// Number of the stream, of the caller's choice; no other has it before this one is closed.
    pub stream: u64,
    /// What happened.
    pub event: StreamEvent<'a>,
}

impl StreamInput<'_> {
    /// When it happened.
    pub(crate) fn time(&self) -> Timestamp {
        match self.event {
            StreamEvent::Open(StreamOpening { time, .. }) | StreamEvent::Close { time } => time,
            StreamEvent::Data { chunk, .. } => chunk.time,
        }
    }
}

/// What happens on a stream.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StreamEvent<'a> {
    /// It is there. Events of a stream that was not opened are left out and counted.
    Open(StreamOpening),
    /// One side sent bytes, or a datagram.
    Data {
        /// The bytes. [`StreamChunk::side`] is that of the opening.
        chunk: StreamChunk<'a>,
        /// TCP sequence number of the first of them, where it is known.
        tcp_seq: Option<u32>,
    },
    /// Nothing more comes of it.
    Close {
        /// When it ended.
        time: Timestamp,
    },
}

/// What is known of a stream before its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOpening {
    /// When it was first seen.
    pub time: Timestamp,
    /// How the bytes travel.
    pub transport: Transport,
    /// Who opened it, or is taken for that.
    pub client: Endpoint,
    /// The other side.
    pub server: Endpoint,
    /// Where it is seen, as the caller numbers such places.
    pub interface: u32,
    /// Whether the data begins with the stream's first bytes. False when it was joined later.
    pub from_start: bool,
    /// Whether it is sure which side is the client. If not, the protocol decides.
    pub sides_known: bool,
}
