//! Streams that are no packets: what is kept of each, and how it is read.

use hashbrown::HashMap;
use protocol_parsers::{Connection, Opening, Side, StreamChunk, Timestamp};

use crate::clock::Clock;
use crate::reader::{Owner, Reader};
use crate::slab::Slab;
use crate::stream::{StreamEvent, StreamInput, StreamOpening};
use crate::table::Slot;
use crate::wheel::Wheel;
use crate::{Conversation, Sides, Stats, Transport};

/// All streams that are open.
pub(crate) struct Streams {
    all: Slab<Option<Open>>,
    slots: HashMap<u64, Slot, ahash::RandomState>,
    /// By when a request will have waited too long.
    requests: Wheel,
    most: usize,
}

/// A stream that is open.
struct Open {
    stream: u64,
    conversation: Conversation,
    connection: Connection,
    /// TCP sequence numbers of the sides' first bytes.
    base: Sides<Option<u32>>,
}

impl Open {
    fn owner(&self) -> Owner {
        Owner { conversation: self.conversation, base: self.base, stream: Some(self.stream) }
    }
}

impl Streams {
    /// Room for so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { all: Slab::new(), slots: HashMap::with_hasher(crate::hash::keyed()), requests: Wheel::new(), most }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// When [`handle_timeout`](Self::handle_timeout) may have something to do, on the steady clock.
    #[inline(always)]
    pub(crate) fn soonest(&self) -> Timestamp {
        self.requests.soonest()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.requests.next_time()
    }

    /// Takes in what happened on a stream. One that begins gets the number behind `last_flow`.
    pub(crate) fn handle(
        &mut self,
        input: &StreamInput<'_>,
        reader: &mut Reader,
        clock: &Clock,
        last_flow: &mut u64,
        stats: &mut Stats,
    ) {
        match input.event {
            StreamEvent::Open(opening) => self.open(input.stream, &opening, reader, last_flow, stats),
            StreamEvent::Data { chunk, tcp_seq } => self.read(input.stream, chunk, tcp_seq, reader, clock, stats),
            StreamEvent::Close { .. } => self.close(input.stream, reader, stats),
        }
    }

    fn open(
        &mut self,
        stream: u64,
        opening: &StreamOpening,
        reader: &mut Reader,
        last_flow: &mut u64,
        stats: &mut Stats,
    ) {
        if self.slots.contains_key(&stream) {
            self.close(stream, reader, stats);
        }
        if self.len() >= self.most {
            stats.streams_refused += 1;
            return;
        }
        stats.streams_opened += 1;
        *last_flow += 1;
        let StreamOpening { transport, client, server, interface, from_start, sides_known, .. } = *opening;
        let conversation = Conversation { flow_id: *last_flow, transport, client, server, interface };
        let transport = match transport {
            Transport::Tcp | Transport::Unix => protocol_parsers::Transport::Tcp,
            Transport::Udp | Transport::Icmp | Transport::UnixDatagram => protocol_parsers::Transport::Udp,
        };
        let server_port = Some(server.port()).filter(|port| *port != 0);
        let connection = Connection::new(Opening { transport, from_start, sides_known, server_port });
        let slot = self.all.insert(Some(Open { stream, conversation, connection, base: Sides::default() }));
        self.slots.insert(stream, slot);
    }

    fn read(
        &mut self,
        stream: u64,
        chunk: StreamChunk<'_>,
        tcp_seq: Option<u32>,
        reader: &mut Reader,
        clock: &Clock,
        stats: &mut Stats,
    ) {
        let slot = self.slots.get(&stream).copied();
        let Some((slot, open)) = slot.and_then(|slot| Some((slot, self.all.get_mut(slot)?.as_mut()?))) else {
            stats.stream_events_unknown += 1;
            return;
        };
        let base = match chunk.side {
            Side::Client => &mut open.base.client,
            Side::Server => &mut open.base.server,
        };
        *base = base.or(tcp_seq.map(|seq| seq.wrapping_sub(chunk.offset as u32)));
        stats.bytes_delivered += chunk.bytes.len() as u64;
        stats.bytes_missing += chunk.missing;
        let owner = open.owner();
        reader.push(owner, &mut open.connection, chunk);
        if let Some(deadline) = reader.deadline(&open.connection)
            && !self.requests.is_filed(slot)
        {
            self.requests.file(slot, 0, clock.steady_at(deadline));
        }
    }

    fn close(&mut self, stream: u64, reader: &mut Reader, stats: &mut Stats) {
        let Some(slot) = self.slots.remove(&stream) else {
            stats.stream_events_unknown += 1;
            return;
        };
        self.requests.take_out(slot);
        if let Some(mut open) = self.all.remove(slot).flatten() {
            stats.streams_closed += 1;
            reader.end(open.owner(), &mut open.connection);
        }
        self.requests.shrink(self.all.end());
    }

    /// Ends requests that have waited too long.
    #[cold]
    pub(crate) fn handle_timeout(&mut self, reader: &mut Reader, clock: &Clock) {
        let (now, all) = (clock.steady(), &mut self.all);
        loop {
            let due = self.requests.due(now, |slot| {
                let open = all.get(slot).and_then(Option::as_ref);
                let deadline = open.and_then(|open| reader.deadline(&open.connection));
                deadline.map_or(now, |deadline| clock.steady_at(deadline))
            });
            let Some(slot) = due else { return };
            let Some(open) = all.get_mut(slot).and_then(Option::as_mut) else { continue };
            let owner = open.owner();
            reader.time_out(owner, &mut open.connection, clock.told());
            if let Some(deadline) = reader.deadline(&open.connection) {
                self.requests.file(slot, 0, clock.steady_at(deadline).max(now));
            }
        }
    }

    /// Ends all of them, in the order in which they were opened.
    pub(crate) fn finish(&mut self, reader: &mut Reader, stats: &mut Stats) {
        let open = self.all.iter().filter_map(|(_, open)| open.as_ref());
        let mut streams: Vec<_> = open.map(|open| (open.conversation.flow_id, open.stream)).collect();
        streams.sort_unstable();
        for (_, stream) in streams {
            self.close(stream, reader, stats);
        }
    }
}
