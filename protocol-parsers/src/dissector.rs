//! The engine: chunks of any number of connections in, calls out.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::buffer::Buffer;
use crate::call::{Finished, Record};
use crate::connection::{Active, AtRest, Facts, Form, Lane, State};
use crate::detection::{self, Detection, Search};
use crate::reading::Piece;
use crate::{
    Call, Connection, Next, Options, Parser, ProtocolSpec, Side, Stats, StreamChunk, Tap, Timestamp, Verdict, protocol,
};

/// Records and buffers kept for reuse, and of what connections need while something is under way as many for each protocol.
pub(crate) const POOL: usize = 1024;
/// Bytes of text that a record may keep room for while it waits to be used again.
const KEPT: usize = 1024;

/// What is pooled moves in and out without being copied.
pub(crate) type Pool<T> = Vec<Box<T>>;

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
    /// What connections at rest do not need: by spec those with a parser that knows nothing, and behind them those without one.
    idle: Vec<Pool<Active>>,
    pub(crate) ready: VecDeque<Finished>,
    /// The first of them has been handed out.
    handed_out: bool,
    pub(crate) kafka: crate::kafka::Shared,
    pub(crate) tap: Option<Box<dyn Tap>>,
}

impl Dissector {
    /// With the protocols of the options, and all built-in ones.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let specs = options.protocols.iter().cloned().chain(protocol::built_in()).collect();
        Self::with_protocols(options, specs)
    }

    /// With these protocols alone, asked in this order: at most 65,535 of them.
    #[must_use]
    pub fn with_protocols(options: Options, mut specs: Vec<Arc<dyn ProtocolSpec>>) -> Self {
        specs.truncate(usize::from(u16::MAX));
        Self {
            options,
            idle: (0..=specs.len()).map(|_| Vec::new()).collect(),
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
            kafka: crate::kafka::Shared::default(),
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
        self.work(connection, |dissector, active| dissector.take_in(active, &mut chunk));
    }

    /// Works on a connection, which may be at rest before, and after.
    #[inline(always)]
    fn work(&mut self, connection: &mut Connection, work: impl FnOnce(&mut Self, &mut Active)) {
        if let Form::AtRest(at_rest) = &mut connection.form {
            connection.form = Form::Active(self.activate(at_rest));
        }
        let Form::Active(active) = &mut connection.form else { return };
        work(self, active);
        if active.is_at_rest() {
            let at_rest = Form::AtRest(active.rest());
            if let Form::Active(active) = core::mem::replace(&mut connection.form, at_rest) {
                self.retire(active);
            }
        } else {
            // Calls and what is kept for the next chunk have grown since they were let in.
            self.make_room(active, 0);
        }
    }

    /// Something begins in a connection that is at rest.
    #[inline(always)]
    fn activate(&mut self, at_rest: &mut AtRest) -> Box<Active> {
        let AtRest { facts, parser } = at_rest;
        let needed = match facts.state {
            State::Reading { spec } if parser.is_none() => usize::from(spec),
            _ => self.specs.len(),
        };
        let Some(mut active) = self.idle.get_mut(needed).and_then(Vec::pop) else {
            let parser = parser.take().or_else(|| self.specs.get(needed).map(|spec| spec.parser(&self.options)));
            return Active::new(*facts, parser);
        };
        active.facts = *facts;
        if parser.is_some() {
            active.parser = parser.take();
        }
        active
    }

    /// Keeps what a connection at rest does not need for the next one.
    #[inline(always)]
    fn retire(&mut self, active: Box<Active>) {
        let spec = match active.facts.state {
            State::Reading { spec } if active.parser.is_some() => usize::from(spec),
            _ => self.specs.len(),
        };
        if let Some(pool) = self.idle.get_mut(spec).filter(|pool| pool.len() < POOL) {
            pool.push(active);
        }
    }

    #[inline(always)]
    fn take_in(&mut self, connection: &mut Active, chunk: &mut StreamChunk<'_>) {
        let side = connection.turn(chunk.side);
        let next = &mut connection.facts.next[side.index()];
        let expected = if *next == Facts::UNSEEN { chunk.offset } else { *next };
        let known = expected.saturating_sub(chunk.offset).min(chunk.bytes.len() as u64);
        let bytes = chunk.bytes.get(known as usize..).unwrap_or_default();
        let offset = chunk.offset + known;
        let gap = offset.saturating_sub(expected);
        *next = expected.max(offset + bytes.len() as u64);
        (chunk.offset, chunk.bytes) = (offset, bytes);
        if connection.facts.opening.transport.is_datagram() {
            self.datagram(connection, chunk);
            return;
        }
        if gap > 0 {
            self.gap(connection, side, gap, chunk.time);
        }
        if !bytes.is_empty() {
            self.feed(connection, chunk);
        }
        if chunk.missing > 0 {
            let side = connection.turn(chunk.side);
            let next = &mut connection.facts.next[side.index()];
            *next = next.saturating_add(chunk.missing);
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
        if let Form::Active(_) = connection.form {
            self.work(connection, |dissector, active| dissector.end_waiting(active, now));
        }
    }

    fn end_waiting(&mut self, connection: &mut Active, now: Timestamp) {
        let transport = connection.facts.opening.transport;
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
        match &mut connection.form {
            Form::AtRest(at_rest) => {
                at_rest.parser = None;
                at_rest.facts.state = State::Closed;
            }
            Form::Active(_) => self.work(connection, Self::end_all),
        }
    }

    fn end_all(&mut self, connection: &mut Active) {
        let Facts { protocol, turned, .. } = connection.facts;
        self.settle(connection);
        for side in [Side::Client, Side::Server] {
            self.flush(connection, side);
        }
        while self.finish_first(connection) {}
        // What never told its protocol was not read.
        self.forget(connection);
        connection.parser = None;
        for lane in &mut connection.lanes {
            *lane = Lane::default();
        }
        (connection.errors, connection.earlier) = (0, None);
        // What the last bytes seemed to be does not outweigh the verdict that stood.
        let Facts { protocol: found, .. } = connection.facts;
        connection.facts = Facts { protocol: protocol.or(found), turned, state: State::Closed, ..connection.facts };
    }

    /// Hands bytes to whoever the connection's state says, until none are left.
    // The chunk stays where it is: to copy what was just written costs more than to write it.
    #[inline(always)]
    pub(crate) fn feed(&mut self, connection: &mut Active, chunk: &mut StreamChunk<'_>) {
        while !chunk.bytes.is_empty() {
            let used = match connection.facts.state {
                State::Detecting(_) => self.detect(connection, chunk),
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
    #[inline(never)]
    fn detect(&mut self, connection: &mut Active, chunk: &StreamChunk<'_>) -> usize {
        let Active { facts: Facts { opening, state: State::Detecting(search), .. }, kept, .. } = connection else {
            return 0;
        };
        if kept.is_none() && !search.looks_at(chunk.side) {
            self.stats.unread_bytes += chunk.bytes.len() as u64;
            return chunk.bytes.len();
        }
        let verdict = if kept.as_mut().is_none_or(|kept| kept.is_worth_a_look(chunk)) {
            let probe = detection::probe(opening, search, kept.as_deref(), chunk, &mut self.joined);
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
    fn begin_with_kept(&mut self, connection: &mut Active, spec: usize, client: Side) {
        let kept = connection.kept.take();
        self.begin_with(connection, spec, client, kept.as_deref());
    }

    fn begin_with(&mut self, connection: &mut Active, spec: usize, client: Side, kept: Option<&Detection>) {
        self.begin_reading(connection, spec, client);
        for mut earlier in kept.iter().flat_map(|kept| kept.chunks()) {
            self.feed(connection, &mut earlier);
        }
    }

    /// Nothing follows what was kept: looks at what of it was not worth a look before.
    pub(crate) fn settle(&mut self, connection: &mut Active) {
        let (State::Detecting(search), Some(kept)) = (&connection.facts.state, &connection.kept) else { return };
        let Some(end) = kept.end() else { return };
        let probe = detection::probe(&connection.facts.opening, search, Some(kept), &end, &mut self.joined);
        if let (spec, Verdict::Yes { client }) = detection::decide(&self.specs, &probe) {
            self.begin_with_kept(connection, spec, client);
        }
    }

    /// What was kept led nowhere: looks at what of it may be a beginning of its own.
    fn retry(&mut self, connection: &mut Active) {
        let Active { facts: Facts { opening, state: State::Detecting(search), .. }, kept, .. } = connection else {
            return;
        };
        let Some(mut tried) = kept.take_if(|kept| search.retries(kept)) else { return self.forget(connection) };
        let (found, dropped) = tried.retry(&self.specs, opening, search);
        self.stats.unread_bytes += dropped as u64;
        if let Some((spec, client)) = found {
            self.begin_with(connection, spec, client, Some(&tried));
        } else if tried.length() > 0 {
            *kept = Some(tried);
        }
    }

    /// Drops what was kept for detection.
    pub(crate) fn forget(&mut self, connection: &mut Active) {
        if let State::Detecting(search) = &mut connection.facts.state {
            search.failures = search.failures.saturating_add(1);
            self.stats.unread_bytes += connection.kept.take().map_or(0, |kept| kept.length() as u64);
        }
    }

    fn begin_reading(&mut self, connection: &mut Active, spec: usize, client: Side) {
        let parser = self.idle_parser(spec);
        let Some(found) = self.specs.get(spec) else { return };
        connection.errors = 0;
        if connection.facts.turned != (client == Side::Server) {
            connection.turn_round();
        }
        connection.begin_protocol(found.protocol());
        connection.facts.ends = found.duration_ends();
        connection.facts.state = State::Reading { spec: spec as u16 };
        connection.parser = parser.or_else(|| Some(found.parser(&self.options)));
    }

    /// A parser of this spec that nobody needs.
    fn idle_parser(&mut self, spec: usize) -> Option<Box<dyn Parser>> {
        let mut idle = self.idle.get_mut(spec)?.pop()?;
        let parser = idle.parser.take();
        self.retire(idle);
        parser
    }

    /// The connection goes on in another protocol.
    pub(crate) fn switch(&mut self, connection: &mut Active, to: Next) {
        let client = if connection.facts.turned { Side::Server } else { Side::Client };
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
    fn end_reading(&mut self, connection: &mut Active) {
        self.detect_again(connection);
        connection.facts.state = State::Closed;
    }

    /// Forgets the protocol and looks for another.
    pub(crate) fn detect_again(&mut self, connection: &mut Active) {
        while self.finish_first(connection) {}
        connection.facts.confirmed = false;
        if connection.facts.turned {
            connection.turn_round();
        }
        for lane in &mut connection.lanes {
            lane.lost = false;
            lane.skip = crate::connection::Skip::default();
            if let Some(buffer) = lane.buffer.take() {
                self.stats.unread_bytes += buffer.bytes.len() as u64;
                release(&mut self.buffers, buffer);
            }
        }
        connection.end_protocol();
        connection.kept = None;
        connection.facts.state = State::Detecting(Search::again());
    }

    /// One datagram: it is a whole message (or several), whatever came before.
    fn datagram(&mut self, connection: &mut Active, chunk: &StreamChunk<'_>) {
        if chunk.bytes.is_empty() {
            return;
        }
        if let Facts { opening, state: State::Detecting(search), .. } = &mut connection.facts {
            let mut joined = Vec::new();
            let probe = detection::probe(opening, search, None, chunk, &mut joined);
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
