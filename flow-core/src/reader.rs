//! The parsers, and whose the calls are that they found.

use std::collections::VecDeque;

use protocol_parsers::{Call, Connection, Dissector, Opening, Protocol, Side, StreamChunk, Timestamp};

use crate::key::{End, Tuple};
use crate::tcp::Piece;
use crate::{CallRecord, Conversation, Sides, Transport};

/// What a conversation says, between whom.
pub(crate) struct Dialog {
    pub(crate) id: u64,
    pub(crate) tuple: Tuple,
    pub(crate) interface: u32,
    pub(crate) transport: Transport,
    /// Who opened it, and whether that is sure.
    pub(crate) client: End,
    pub(crate) is_client_sure: bool,
    /// Sequence numbers of the streams' first bytes.
    pub(crate) base: [Option<u32>; 2],
    pub(crate) reading: Reading,
}

/// How far its payload is read.
pub(crate) enum Reading {
    /// No payload yet.
    Not,
    Now(Box<Connection>),
    /// It was read to the end; the protocol found, and which side handed in is its client.
    Ended(Option<Protocol>, Side),
}

impl Dialog {
    /// The protocol found so far, and who is its client of the sides handed in.
    fn verdict(&self) -> (Option<Protocol>, Side) {
        match &self.reading {
            Reading::Now(connection) => (connection.protocol(), connection.client()),
            Reading::Ended(protocol, client) => (*protocol, *client),
            Reading::Not => (None, Side::Client),
        }
    }

    /// The application protocol found so far.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        self.verdict().0
    }

    /// Who asks: the one that opened it, else what the protocol says.
    pub(crate) fn client_end(&self) -> End {
        match self.verdict() {
            (Some(_), Side::Server) if !self.is_client_sure => self.client.other(),
            _ => self.client,
        }
    }

    pub(crate) fn conversation(&self, client: End) -> Conversation {
        Conversation {
            flow_id: self.id,
            transport: self.transport,
            client: self.tuple.address(client),
            server: self.tuple.address(client.other()),
            interface: self.interface,
        }
    }

    /// The parser's view of this conversation, unless it was read to its end.
    fn connection(&mut self) -> Option<&mut Connection> {
        if matches!(self.reading, Reading::Not) {
            let opening = match self.transport {
                Transport::Tcp if self.is_client_sure => Opening::TCP,
                Transport::Tcp => Opening::TCP_JOINED,
                Transport::Udp | Transport::Icmp => Opening::UDP,
            };
            let server_port = Some(self.tuple.ports[self.client.other()]);
            self.reading = Reading::Now(Box::new(Connection::new(Opening { server_port, ..opening })));
        }
        match &mut self.reading {
            Reading::Now(connection) => Some(connection),
            _ => None,
        }
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

#[derive(Clone, Copy)]
struct Ready {
    calls: usize,
    conversation: Conversation,
    base: Sides<Option<u32>>,
}

impl Reader {
    pub(crate) fn new(options: protocol_parsers::Options) -> Self {
        Self { dissector: Dissector::new(options), ready: VecDeque::new(), waiting: 0 }
    }

    pub(crate) fn stats(&self) -> &protocol_parsers::Stats {
        self.dissector.stats()
    }

    /// Takes bytes that one end sent, in their order.
    pub(crate) fn read(&mut self, dialog: &mut Dialog, from: End, piece: Piece<'_>) {
        let side = if from == dialog.client { Side::Client } else { Side::Server };
        let Some(connection) = dialog.connection() else { return };
        let Piece { time, offset, bytes, missing } = piece;
        self.dissector.push(connection, StreamChunk { side, time, offset, bytes, missing: u64::from(missing) });
        self.collect(dialog);
    }

    /// Ends requests whose deadline has passed.
    pub(crate) fn handle_timeout(&mut self, dialog: &mut Dialog, now: Timestamp) {
        if let Reading::Now(connection) = &mut dialog.reading {
            self.dissector.handle_timeout(connection, now);
            self.collect(dialog);
        }
    }

    /// When a request's deadline passes.
    pub(crate) fn poll_timeout(&self, dialog: &Dialog) -> Option<Timestamp> {
        match &dialog.reading {
            Reading::Now(connection) => connection.poll_timeout(&self.dissector.options().limits),
            _ => None,
        }
    }

    pub(crate) fn has_calls(&self) -> bool {
        self.dissector.has_calls()
    }

    /// Nothing more will come of this conversation.
    pub(crate) fn close(&mut self, dialog: &mut Dialog) {
        let Reading::Now(connection) = &mut dialog.reading else { return };
        let (protocol, client) = (connection.protocol(), connection.client());
        self.dissector.close(connection);
        let protocol = protocol.or(connection.protocol());
        self.collect(dialog);
        dialog.reading = Reading::Ended(protocol, client);
    }

    /// Notes whose the calls are that have come since.
    fn collect(&mut self, dialog: &Dialog) {
        let calls = self.dissector.ready_calls().saturating_sub(self.waiting);
        if calls > 0 {
            self.waiting += calls;
            let base = Sides { client: dialog.base[dialog.client], server: dialog.base[dialog.client.other()] };
            self.ready.push_back(Ready { calls, conversation: dialog.conversation(dialog.client), base });
        }
    }

    /// The next call, with this number.
    pub(crate) fn poll(&mut self, id: u64) -> Option<CallRecord<'_>> {
        let ready = self.ready.front_mut()?;
        let Ready { conversation, base, .. } = *ready;
        ready.calls -= 1;
        if ready.calls == 0 {
            self.ready.pop_front();
        }
        self.waiting -= 1;
        let call: Call<'_> = self.dissector.poll()?;
        let turned = Conversation { client: conversation.server, server: conversation.client, ..conversation };
        let conversation = if call.client() == Side::Client { conversation } else { turned };
        let seq = |side: Side, offset: Option<u64>| Some(base.of(side)?.wrapping_add(offset? as u32));
        Some(CallRecord {
            id,
            conversation,
            tcp_seq_request: seq(call.requester(), call.request_offset()),
            tcp_seq_response: seq(call.answerer(), call.response_offset()),
            call,
        })
    }
}
