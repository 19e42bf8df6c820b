//! The parsers, and whose the calls are that they found.

use std::collections::VecDeque;

use protocol_parsers::{Call, Connection, Dissector, Opening, Protocol, Side, StreamChunk, Timestamp};

use crate::flow::{Addresses, Flow, Who};
use crate::key::End;
use crate::marks::Marks;
use crate::tcp::{Piece, Stream};
use crate::{CallRecord, Conversation, Sides, Transport};

/// What is kept of a conversation's payload.
pub(crate) struct Reading {
    pub(crate) streams: [Stream; 2],
    /// What the conversation says.
    pub(crate) connection: Connection,
}

const _: () = assert!(size_of::<Reading>() <= 104, "with what a heap takes for itself, 112 bytes");

impl Reading {
    fn new(flow: &Flow) -> Self {
        let is_client_sure = flow.marks.has(Marks::CLIENT_SURE);
        let opening = match flow.marks.transport() {
            Transport::Tcp if is_client_sure => Opening::TCP,
            Transport::Tcp => Opening::TCP_JOINED,
            _ => Opening::UDP,
        };
        let server_port = Some(flow.who.between.ports[flow.marks.client().other()]);
        let connection = Connection::new(Opening { server_port, ..opening });
        let mut streams: [Stream; 2] = Default::default();
        for end in End::BOTH {
            if let Some(first) = flow.first_byte(end) {
                streams[end].begin(first);
            }
        }
        Self { streams, connection }
    }

    /// The application protocol found so far.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        self.connection.protocol()
    }

    /// Whether who is taken for the server asks, by what the protocol says.
    pub(crate) fn is_turned(&self) -> bool {
        self.connection.protocol().is_some() && self.connection.client() == Side::Server
    }

    /// Sequence numbers of the streams' first bytes.
    pub(crate) fn base(&self) -> [Option<u32>; 2] {
        self.streams.each_ref().map(Stream::base)
    }
}

/// The parsers and what they have read.
pub(crate) struct Reader {
    dissector: Dissector,
    /// Whose the calls are that wait in `dissector`, in their order.
    ready: VecDeque<Ready>,
    /// Calls in all of `ready`.
    waiting: usize,
}

/// Whose payload it is.
#[derive(Clone, Copy)]
pub(crate) struct Speakers<'a> {
    pub(crate) who: Who,
    pub(crate) marks: Marks,
    pub(crate) addresses: &'a Addresses,
    /// Sequence numbers of their streams' first bytes.
    pub(crate) base: [Option<u32>; 2],
}

/// Whose calls they are.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) conversation: Conversation,
    /// TCP sequence numbers of the sides' first bytes.
    pub(crate) base: Sides<Option<u32>>,
    /// The stream, if it came as one.
    pub(crate) stream: Option<u64>,
}

impl Speakers<'_> {
    fn owner(&self) -> Owner {
        let Self { who, marks, addresses, base } = *self;
        let client = marks.client();
        let base = Sides { client: base[client], server: base[client.other()] };
        Owner { conversation: who.conversation(marks, client, addresses), base, stream: None }
    }
}

#[derive(Clone, Copy)]
struct Ready {
    calls: usize,
    owner: Owner,
}

impl Reader {
    pub(crate) fn new(options: protocol_parsers::Options) -> Self {
        Self { dissector: Dissector::new(options), ready: VecDeque::new(), waiting: 0 }
    }

    pub(crate) fn stats(&self) -> &protocol_parsers::Stats {
        self.dissector.stats()
    }

    /// What is kept of a conversation's payload, from now on if nothing was before.
    pub(crate) fn open<'f>(&self, flow: &'f mut Flow) -> Option<&'f mut Reading> {
        if flow.reading.is_none() {
            flow.reading = Some(Box::new(Reading::new(flow)));
        }
        flow.reading.as_deref_mut()
    }

    /// Takes bytes that one end sent, in their order.
    pub(crate) fn read(&mut self, speakers: Speakers<'_>, connection: &mut Connection, from: End, piece: Piece<'_>) {
        let side = if from == speakers.marks.client() { Side::Client } else { Side::Server };
        let Piece { time, offset, bytes, missing } = piece;
        let chunk = StreamChunk { side, time, offset, bytes, missing: u64::from(missing) };
        self.dissector.push(connection, chunk);
        self.collect(|| speakers.owner());
    }

    /// Takes bytes of a stream, in their order.
    pub(crate) fn push(&mut self, owner: Owner, connection: &mut Connection, chunk: StreamChunk<'_>) {
        self.dissector.push(connection, chunk);
        self.collect(|| owner);
    }

    /// Ends requests whose deadline has passed.
    pub(crate) fn handle_timeout(&mut self, speakers: Speakers<'_>, connection: &mut Connection, now: Timestamp) {
        self.dissector.handle_timeout(connection, now);
        self.collect(|| speakers.owner());
    }

    /// The same of a stream.
    pub(crate) fn time_out(&mut self, owner: Owner, connection: &mut Connection, now: Timestamp) {
        self.dissector.handle_timeout(connection, now);
        self.collect(|| owner);
    }

    /// When a request's deadline passes, or that of bytes which others wait for.
    pub(crate) fn poll_timeout(&self, flow: &Flow) -> Option<Timestamp> {
        let request = self.deadline(&flow.reading.as_deref()?.connection);
        request.into_iter().chain(flow.early_deadline()).min()
    }

    /// When a request's deadline passes.
    pub(crate) fn deadline(&self, connection: &Connection) -> Option<Timestamp> {
        connection.poll_timeout(&self.dissector.options().limits)
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.dissector.has_calls()
    }

    /// Nothing more will come of this conversation.
    pub(crate) fn close(&mut self, speakers: Speakers<'_>, connection: &mut Connection) {
        self.dissector.close(connection);
        self.collect(|| speakers.owner());
    }

    /// The same of a stream.
    pub(crate) fn end(&mut self, owner: Owner, connection: &mut Connection) {
        self.dissector.close(connection);
        self.collect(|| owner);
    }

    /// Notes whose the calls are that have come since.
    fn collect(&mut self, owner: impl FnOnce() -> Owner) {
        let calls = self.dissector.ready_calls().saturating_sub(self.waiting);
        if calls > 0 {
            self.waiting += calls;
            self.ready.push_back(Ready { calls, owner: owner() });
        }
    }

    /// How many calls wait.
    pub(crate) fn waiting_calls(&self) -> usize {
        self.waiting
    }

    /// The calls that wait, in their order. Numbers are given to them later.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = CallRecord<'_>> {
        let owners = self.ready.iter().flat_map(|ready| std::iter::repeat_n(ready, ready.calls));
        self.dissector.waiting_calls().zip(owners).map(|(call, ready)| ready.record(0, call))
    }

    /// The next call, with this number.
    pub(crate) fn poll(&mut self, id: u64) -> Option<CallRecord<'_>> {
        let first = self.ready.front_mut()?;
        first.calls -= 1;
        let ready = *first;
        if ready.calls == 0 {
            self.ready.pop_front();
        }
        self.waiting -= 1;
        Some(ready.record(id, self.dissector.poll()?))
    }
}

impl Ready {
    fn record<'a>(&self, id: u64, call: Call<'a>) -> CallRecord<'a> {
        let Owner { conversation, base, stream } = self.owner;
        let turned = Conversation { client: conversation.server, server: conversation.client, ..conversation };
        let conversation = if call.client() == Side::Client { conversation } else { turned };
        let seq = |side: Side, offset: Option<u64>| Some(base.of(side)?.wrapping_add(offset? as u32));
        CallRecord {
            id,
            conversation,
            stream,
            tcp_seq_request: seq(call.requester(), call.request_offset()),
            tcp_seq_response: seq(call.answerer(), call.response_offset()),
            call,
        }
    }
}
