//! The engine: chunks of any number of connections in, calls out.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::buffer::Buffer;
use crate::call::{Finished, Record};
use crate::connection::State;
use crate::detection::{self, Detection, Search};
use crate::reading::Piece;
use crate::{
    Call, Connection, Next, Options, ProtocolSpec, Side, Stats, StreamChunk, Tap, Timestamp, Verdict, protocol,
};

/// Records and buffers kept for reuse.
const POOL: usize = 1024;
/// Bytes of text that a record may keep room for while it waits to be used again.
const KEPT: usize = 1024;

/// What is pooled moves in and out without being copied.
type Pool<T> = Vec<Box<T>>;

/// Reads connections. One per thread; any number of [`Connection`]s take turns in it and share its working memory.
///
/// Hand in chunks with [`push`](Self::push), and after each take what is ready with [`poll`](Self::poll).
pub struct Dissector {
    pub(crate) options: Options,
    pub(crate) specs: Vec<Arc<dyn ProtocolSpec>>,
    pub(crate) stats: Stats,
    /// The message being read.
    pub(crate) draft: Box<Record>,
    pub(crate) scratch: String,
    pub(crate) gathered: Vec<u8>,
    /// What is kept of a connection's side with the chunk behind it, while that is looked at.
    joined: Vec<u8>,
    pub(crate) records: Pool<Record>,
    pub(crate) buffers: Pool<Buffer>,
    pub(crate) ready: VecDeque<Finished>,
    /// The first of them has been handed out.
    handed_out: bool,
    pub(crate) topic_names: crate::kafka::Names,
    pub(crate) tap: Option<Box<dyn Tap>>,
}

impl Dissector {
    /// With the protocols of the options, and all built-in ones.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let specs = options.protocols.iter().cloned().chain(protocol::built_in()).collect();
        Self::with_protocols(options, specs)
    }

    /// With these protocols alone, asked in this order.
    #[must_use]
    pub fn with_protocols(options: Options, specs: Vec<Arc<dyn ProtocolSpec>>) -> Self {
        Self {
            options,
            specs,
            stats: Stats::default(),
            draft: Box::default(),
            scratch: String::new(),
            gathered: Vec::new(),
            joined: Vec::new(),
            records: Vec::new(),
            buffers: Vec::new(),
            ready: VecDeque::new(),
            handed_out: false,
            topic_names: crate::kafka::Names::default(),
            tap: None,
        }
    }

    /// The choices it was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Hands in what one side of a connection sent.
    pub fn push(&mut self, connection: &mut Connection, mut chunk: StreamChunk<'_>) {
        self.stats.chunks += 1;
        self.stats.bytes += chunk.bytes.len() as u64;
        let from_start = connection.opening.from_start;
        let side = connection.turn(chunk.side);
        let lane = connection.lane(side);
        let expected = lane.next.unwrap_or(if from_start { 0 } else { chunk.offset });
        let known = expected.saturating_sub(chunk.offset).min(chunk.bytes.len() as u64);
        let bytes = chunk.bytes.get(known as usize..).unwrap_or_default();
        let offset = chunk.offset + known;
        let gap = offset.saturating_sub(expected);
        lane.next = Some(expected.max(offset + bytes.len() as u64));
        (chunk.offset, chunk.bytes) = (offset, bytes);
        if connection.opening.transport.is_datagram() {
            self.datagram(connection, &chunk);
            return;
        }
        if gap > 0 {
            self.gap(connection, side, gap, chunk.time);
        }
        if !bytes.is_empty() {
            self.feed(connection, &mut chunk);
        }
        if chunk.missing > 0 {
            let side = connection.turn(chunk.side);
            let lane = connection.lane(side);
            lane.next = lane.next.map(|next| next.saturating_add(chunk.missing));
            self.gap(connection, side, chunk.missing, chunk.time);
        }
    }

    /// Takes the next finished call.
    pub fn poll(&mut self) -> Option<Call<'_>> {
        if self.handed_out
            && let Some(finished) = self.ready.pop_front()
        {
            self.recycle(finished.record);
        }
        let first = self.ready.front();
        self.handed_out = first.is_some();
        first.map(Call)
    }

    /// Whether [`poll`](Self::poll) has a call.
    #[must_use]
    pub fn has_calls(&self) -> bool {
        self.ready_calls() > 0
    }

    /// The calls that wait for [`poll`](Self::poll), in the order in which it will hand them out.
    pub fn waiting_calls(&self) -> impl Iterator<Item = Call<'_>> {
        self.ready.iter().skip(usize::from(self.handed_out)).map(Call)
    }

    /// How many calls wait for [`poll`](Self::poll).
    #[must_use]
    pub fn ready_calls(&self) -> usize {
        self.ready.len() - usize::from(self.handed_out)
    }

    /// Reports calls whose deadline has passed: requests without an answer, those that were taken back, and answers whose end may be
    /// among lost bytes and of which nothing was seen for as long as a request may wait.
    pub fn handle_timeout(&mut self, connection: &mut Connection, now: Timestamp) {
        let transport = connection.opening.transport;
        loop {
            let limits = &self.options.limits;
            let due = connection.open.first_due(connection.early, |record| record.deadline(limits, transport));
            match due {
                Some((time, position)) if time <= now => self.report_timeout(connection, position),
                due => {
                    connection.early &= due.is_some();
                    break;
                }
            }
        }
    }

    /// The connection has ended: reports what is open.
    pub fn close(&mut self, connection: &mut Connection) {
        self.settle(connection);
        for side in [Side::Client, Side::Server] {
            self.flush(connection, side);
        }
        while self.finish_first(connection) {}
        // What never told its protocol was not read.
        self.forget(connection);
        connection.state = State::Closed;
    }

    /// Hands bytes to whoever the connection's state says, until none are left.
    // The chunk stays where it is: to copy what was just written costs more than to write it.
    pub(crate) fn feed(&mut self, connection: &mut Connection, chunk: &mut StreamChunk<'_>) {
        while !chunk.bytes.is_empty() {
            let used = match connection.state {
                State::Detecting { .. } => self.detect(connection, chunk),
                State::Reading { .. } => self.read_stream(connection, chunk),
                State::Closed => {
                    self.stats.unread_bytes += chunk.bytes.len() as u64;
                    chunk.bytes.len()
                }
            };
            chunk.bytes = chunk.bytes.get(used..).unwrap_or_default();
            chunk.offset += used as u64;
        }
    }

    /// Looks for the protocol. Returns how many bytes of the chunk were dealt with.
    fn detect(&mut self, connection: &mut Connection, chunk: &StreamChunk<'_>) -> usize {
        let State::Detecting { search, kept } = &mut connection.state else { return 0 };
        if kept.is_none() && !search.looks_at(chunk.side) {
            self.stats.unread_bytes += chunk.bytes.len() as u64;
            return chunk.bytes.len();
        }
        let verdict = if kept.as_mut().is_none_or(|kept| kept.is_worth_a_look(chunk)) {
            let probe = detection::probe(&connection.opening, search, kept.as_deref(), chunk, &mut self.joined);
            detection::decide(&self.specs, &probe)
        } else {
            (0, Verdict::Unsure)
        };
        match verdict {
            (spec, Verdict::Yes { client }) => {
                self.begin_with_kept(connection, spec, client);
                0
            }
            (_, Verdict::Unsure) => {
                let kept = kept.get_or_insert_default();
                if kept.has_room(chunk, self.options.limits.detection_bytes) {
                    kept.append(chunk);
                } else {
                    self.stats.long_detections += 1;
                    self.forget(connection);
                }
                chunk.bytes.len()
            }
            (_, Verdict::No) if kept.is_some() => {
                self.retry(connection);
                0
            }
            (_, Verdict::No) => {
                search.failures = search.failures.saturating_add(1);
                self.stats.unread_bytes += chunk.bytes.len() as u64;
                chunk.bytes.len()
            }
        }
    }

    /// The protocol was recognised: what was kept is read.
    fn begin_with_kept(&mut self, connection: &mut Connection, spec: usize, client: Side) {
        let State::Detecting { kept, .. } = &mut connection.state else { return };
        let kept = kept.take();
        self.begin_with(connection, spec, client, kept.as_deref());
    }

    fn begin_with(&mut self, connection: &mut Connection, spec: usize, client: Side, kept: Option<&Detection>) {
        self.begin_reading(connection, spec, client);
        for mut earlier in kept.iter().flat_map(|kept| kept.chunks()) {
            self.feed(connection, &mut earlier);
        }
    }

    /// Nothing follows what was kept: looks at what of it was not worth a look before.
    pub(crate) fn settle(&mut self, connection: &mut Connection) {
        let State::Detecting { search, kept: Some(kept) } = &connection.state else { return };
        let Some(end) = kept.end() else { return };
        let probe = detection::probe(&connection.opening, search, Some(kept), &end, &mut self.joined);
        if let (spec, Verdict::Yes { client }) = detection::decide(&self.specs, &probe) {
            self.begin_with_kept(connection, spec, client);
        }
    }

    /// What was kept led nowhere: looks at what of it may be a beginning of its own.
    fn retry(&mut self, connection: &mut Connection) {
        let State::Detecting { search, kept } = &mut connection.state else { return };
        let Some(mut tried) = kept.take_if(|kept| search.retries(kept)) else { return self.forget(connection) };
        let (found, dropped) = tried.retry(&self.specs, &connection.opening, search);
        self.stats.unread_bytes += dropped as u64;
        if let Some((spec, client)) = found {
            self.begin_with(connection, spec, client, Some(&tried));
        } else if tried.length() > 0 {
            *kept = Some(tried);
        }
    }

    /// Drops what was kept for detection.
    pub(crate) fn forget(&mut self, connection: &mut Connection) {
        if let State::Detecting { search, kept } = &mut connection.state {
            search.failures = search.failures.saturating_add(1);
            self.stats.unread_bytes += kept.take().map_or(0, |kept| kept.length() as u64);
        }
    }

    fn begin_reading(&mut self, connection: &mut Connection, spec: usize, client: Side) {
        let Some(found) = self.specs.get(spec) else { return };
        connection.errors = 0;
        if connection.turned != (client == Side::Server) {
            connection.turned = !connection.turned;
            connection.lanes.swap(0, 1);
        }
        connection.state = State::Reading {
            protocol: found.protocol(),
            ends: found.duration_ends(),
            parser: found.parser(&self.options),
        };
    }

    /// The connection goes on in another protocol.
    pub(crate) fn switch(&mut self, connection: &mut Connection, to: Next) {
        let client = if connection.turned { Side::Server } else { Side::Client };
        let spec = |protocol| self.specs.iter().position(|spec| spec.protocol() == protocol);
        match to {
            Next::Protocol(protocol) => match spec(protocol) {
                Some(spec) => self.begin_reading(connection, spec, client),
                None => self.end_reading(connection),
            },
            Next::Detect => self.detect_again(connection),
            Next::Opaque => self.end_reading(connection),
        }
    }

    /// Nothing more is read of this connection.
    fn end_reading(&mut self, connection: &mut Connection) {
        self.detect_again(connection);
        connection.state = State::Closed;
    }

    /// Forgets the protocol and looks for another.
    pub(crate) fn detect_again(&mut self, connection: &mut Connection) {
        while self.finish_first(connection) {}
        connection.confirmed = false;
        if connection.turned {
            connection.turned = false;
            connection.lanes.swap(0, 1);
        }
        for lane in &mut connection.lanes {
            lane.lost = false;
            lane.skip = crate::connection::Skip::default();
            if let Some(buffer) = lane.buffer.take() {
                self.stats.unread_bytes += buffer.bytes.len() as u64;
                release(&mut self.buffers, buffer);
            }
        }
        connection.state = State::Detecting { search: Search::again(), kept: None };
    }

    /// One datagram: it is a whole message (or several), whatever came before.
    fn datagram(&mut self, connection: &mut Connection, chunk: &StreamChunk<'_>) {
        if chunk.bytes.is_empty() {
            return;
        }
        if let State::Detecting { search, .. } = &mut connection.state {
            let mut joined = Vec::new();
            let probe = detection::probe(&connection.opening, search, None, chunk, &mut joined);
            match detection::decide(&self.specs, &probe) {
                (spec, Verdict::Yes { client }) => self.begin_reading(connection, spec, client),
                _ => {
                    search.failures = search.failures.saturating_add(1);
                    self.stats.unread_bytes += chunk.bytes.len() as u64;
                    return;
                }
            }
        }
        let side = connection.turn(chunk.side);
        let lane = connection.lane(side);
        lane.lost = false;
        let piece = Piece::datagram(side, chunk);
        let progress = self.read(connection, &piece);
        self.stats.unread_bytes += (chunk.bytes.len() - progress.used) as u64;
        // A message that says it is longer than its datagram ends with it all the same.
        let skip = core::mem::take(&mut connection.lane(side).skip);
        if let (Some(part), true, 1..) = (skip.of, skip.last, skip.left) {
            self.cover(connection, side, part, skip.left, chunk.time);
            self.end(connection, side, part);
        }
    }

    pub(crate) fn buffer(&mut self) -> Box<Buffer> {
        self.buffers.pop().unwrap_or_default()
    }

    pub(crate) fn recycle(&mut self, mut record: Box<Record>) {
        if self.records.len() < POOL {
            record.clear();
            record.fields.shrink(KEPT);
            self.records.push(record);
        }
    }
}

/// Gives a buffer back.
pub(crate) fn release(buffers: &mut Pool<Buffer>, mut buffer: Box<Buffer>) {
    if buffers.len() < POOL && buffer.is_small() {
        buffer.clear();
        buffers.push(buffer);
    }
}

const _: fn() = || {
    fn sendable<T: Send>() {}
    sendable::<Dissector>();
    sendable::<Connection>();
    sendable::<Detection>();
};
