//! What is ready to be handed on.

use std::collections::{HashMap, VecDeque};

use flow_core::{StreamEvent, StreamInput, StreamOpening};
use protocol_parsers::{Side, StreamChunk, Timestamp};

use crate::clock::Clock;
use crate::hash::keyed;
use crate::limits::Limits;
use crate::marks::{Mark, Marks};
use crate::opaque::OpaqueTls;
use crate::stats::Stats;

/// Collects what is handed on, and what streams share otherwise.
#[derive(Debug)]
pub(crate) struct Sink {
    outputs: VecDeque<Output>,
    /// The one that was handed out last.
    current: Option<Output>,
    bytes: usize,
    streams: u64,
    /// Streams that are open: how much of each message is handed on.
    heads: HashMap<u64, u32, ahash::RandomState>,
    /// TLS connections that wait to be told of.
    opaque: VecDeque<OpaqueTls>,
    /// Payload of all streams that waits for missing bytes.
    pub(crate) gap_bytes: usize,
    pub(crate) marks: Marks,
    pub(crate) stats: Stats,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
}

#[derive(Debug)]
struct Output {
    stream: u64,
    event: OutputEvent,
}

#[derive(Debug)]
enum OutputEvent {
    Open(StreamOpening),
    Data(Data),
    Close { time: Timestamp },
}

/// Bytes that one side sent.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) side: Side,
    pub(crate) time: Timestamp,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    /// So many of `bytes` are left out at the beginning.
    pub(crate) skip: usize,
    pub(crate) missing: u64,
    pub(crate) tcp_seq: Option<u32>,
    /// How many records of the ring it was.
    pub(crate) records: u64,
}

impl Sink {
    pub(crate) fn new(limits: Limits, clock: Clock) -> Self {
        Self {
            outputs: VecDeque::new(),
            current: None,
            bytes: 0,
            streams: 0,
            heads: HashMap::with_hasher(keyed()),
            opaque: VecDeque::new(),
            gap_bytes: 0,
            marks: Marks::new(),
            stats: Stats::default(),
            limits,
            clock,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    fn is_full(&self) -> bool {
        self.outputs.len() >= self.limits.waiting || self.bytes >= self.limits.waiting_bytes
    }

    /// Opens a stream, unless too much waits already.
    pub(crate) fn open(&mut self, opening: StreamOpening) -> Option<u64> {
        if self.is_full() {
            return None;
        }
        self.streams += 1;
        self.stats.streams_opened += 1;
        self.heads.insert(self.streams, u32::MAX);
        self.outputs.push_back(Output { stream: self.streams, event: OutputEvent::Open(opening) });
        Some(self.streams)
    }

    /// From now on no more than this is handed on of each message of a stream, if it is open.
    pub(crate) fn limit_head(&mut self, stream: u64, bytes: u32) {
        if let Some(head) = self.heads.get_mut(&stream) {
            *head = bytes;
        }
    }

    /// How much is handed on of each message of a stream.
    pub(crate) fn head(&self, stream: u64) -> u32 {
        self.heads.get(&stream).copied().unwrap_or(u32::MAX)
    }

    /// A TLS connection of which no plaintext was seen.
    pub(crate) fn opaque(&mut self, connection: OpaqueTls) {
        if self.opaque.len() >= self.limits.opaque {
            self.stats.opaque_dropped += 1;
            return;
        }
        self.stats.opaque += 1;
        self.opaque.push_back(connection);
    }

    pub(crate) fn poll_opaque(&mut self) -> Option<OpaqueTls> {
        self.opaque.pop_front()
    }

    pub(crate) fn data(&mut self, stream: u64, data: Data, mark: Option<Mark>) {
        if self.is_full() {
            self.stats.dropped += data.records;
            return;
        }
        let bytes = data.bytes.len() - data.skip;
        self.stats.delivered += data.records;
        self.stats.bytes_delivered += bytes as u64;
        self.stats.bytes_missing += data.missing;
        self.bytes += data.bytes.len();
        if let Some(mark) = mark {
            let forgotten = &mut self.stats.marks_forgotten;
            self.marks.push(stream, data.side, data.offset, mark, self.limits.marks, forgotten);
        }
        self.outputs.push_back(Output { stream, event: OutputEvent::Data(data) });
    }

    pub(crate) fn close(&mut self, stream: u64, time: Timestamp) {
        self.stats.streams_closed += 1;
        self.heads.remove(&stream);
        self.outputs.push_back(Output { stream, event: OutputEvent::Close { time } });
    }

    pub(crate) fn poll(&mut self) -> Option<StreamInput<'_>> {
        self.current = self.outputs.pop_front();
        let Output { stream, event } = self.current.as_ref()?;
        let event = match event {
            OutputEvent::Open(opening) => StreamEvent::Open(*opening),
            OutputEvent::Data(data) => {
                self.bytes -= data.bytes.len();
                let bytes = data.bytes.get(data.skip..).unwrap_or_default();
                let Data { side, time, offset, missing, tcp_seq, .. } = *data;
                StreamEvent::Data { chunk: StreamChunk { side, time, offset, bytes, missing }, tcp_seq }
            }
            OutputEvent::Close { time } => StreamEvent::Close { time: *time },
        };
        Some(StreamInput { stream: *stream, event })
    }
}
