//! What becomes of packets: conversations that begin, go on and end, and the records of them.

use std::collections::VecDeque;
use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::clock::Clock;
use crate::decode::{Header, View};
use crate::flow::{Addresses, Between, Flow, Who};
use crate::key::End;
use crate::opening::Opening;
use crate::reader::{Reader, Speakers};
use crate::rollup::{Rollup, Rows};
use crate::segments::{Passage, segment};
use crate::servers::Servers;
use crate::table::{Found, Lookup, Reason, Slot, Table};
use crate::tag::Tag;
use crate::tcp::{Ended, Piece, Segment, Shared};
use crate::touched::Touched;
use crate::{CallRecord, FlowRecord, Layer, Options, Output, Packet, Stats};

/// All conversations and what waits to be handed out.
pub(crate) struct Conversations {
    options: Options,
    table: Table,
    reader: Option<Reader>,
    rollup: Option<Rollup>,
    servers: Servers,
    touched: Touched,
    flows: VecDeque<FlowRecord>,
    metrics: VecDeque<Rows>,
    clock: Clock,
    /// Rows of metrics that nobody polled.
    metrics_lost: u64,
    /// Numbers given out.
    last_flow: u64,
    last_call: u64,
    /// Of the calls that wait, the first that metrics have already.
    counted_calls: usize,
    /// Bytes that wait for earlier ones, of all connections.
    held: usize,
    is_finished: bool,
}

/// Those that metrics have to look at may have ended since: more than these, and more than twice those that have not, are looked at
/// before the window is over.
const MOST_TOUCHED: usize = 1024;

impl Conversations {
    pub(crate) fn new(options: Options) -> Self {
        let none = u64::from(options.shard) << Tag::SHARD;
        Self {
            table: Table::new(&options),
            reader: options.parsers.clone().map(Reader::new),
            rollup: options.metrics.then(|| Rollup::new(&options.limits)),
            servers: Servers::new(),
            touched: Touched::default(),
            flows: VecDeque::new(),
            metrics: VecDeque::new(),
            metrics_lost: 0,
            clock: Clock::new(options.patience()),
            last_flow: none,
            last_call: none,
            counted_calls: 0,
            held: 0,
            is_finished: false,
            options,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What streams are read with, if payload is read: the parsers, the clock, and the last number that was given to a conversation.
    pub(crate) fn reading(&mut self) -> Option<(&mut Reader, &Clock, &mut u64)> {
        Some((self.reader.as_mut()?, &self.clock, &mut self.last_flow))
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        stats.records_dropped += self.metrics_lost;
        if let Some(rollup) = &self.rollup {
            (stats.metrics_folded, stats.metrics_dropped) = (rollup.folded, rollup.dropped);
        }
    }

    pub(crate) fn parser_stats(&self) -> protocol_parsers::Stats {
        self.reader.as_ref().map(|reader| *reader.stats()).unwrap_or_default()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let window = self.rollup.as_ref().and_then(|rollup| rollup.deadline(!self.touched.is_empty()));
        // A conversation goes on up to its deadline, that moment included.
        let behind = |deadline| self.clock.told_at(deadline + Duration::from_nanos(1));
        let conversation = self.table.next_deadline().map(behind);
        conversation.into_iter().chain(window).min()
    }

    pub(crate) fn poll(&mut self) -> Option<Output<'_>> {
        if self.reader.as_ref().is_some_and(Reader::has_calls) {
            return self.poll_call().map(Output::Call);
        }
        if let Some(flow) = self.flows.pop_front() {
            return Some(Output::Flow(flow));
        }
        if std::mem::take(&mut self.is_finished) {
            // The calls of the last windows were counted as they were handed out above.
            self.flush_metrics(Rollup::finish);
        }
        while let Some(rows) = self.metrics.front_mut() {
            if let Some(metric) = rows.next() {
                return Some(Output::Metric(metric));
            }
            self.metrics.pop_front();
        }
        None
    }

    fn poll_call(&mut self) -> Option<CallRecord<'_>> {
        self.last_call += 1;
        let record = self.reader.as_mut()?.poll(self.last_call)?;
        match self.counted_calls.checked_sub(1) {
            Some(others) => self.counted_calls = others,
            None => self.rollup.iter_mut().for_each(|rollup| rollup.add_call(&record)),
        }
        Some(record)
    }

    /// Counts in the metrics the calls that wait: their window may be over when they are handed out.
    fn count_waiting_calls(&mut self) {
        let (Some(reader), Some(rollup)) = (&self.reader, &mut self.rollup) else { return };
        if reader.waiting_calls() == self.counted_calls {
            return;
        }
        for record in reader.waiting().skip(self.counted_calls) {
            rollup.add_call(&record);
            self.counted_calls += 1;
        }
    }

    /// Where conversations are found.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// What lies beside this conversation will be looked at soon.
    #[inline(always)]
    pub(crate) fn ask_for_rest(&self, found: Found) {
        if let (Found::Flow(slot), Some(_)) = (found, &self.rollup) {
            self.touched.ask_for(slot);
        }
        self.table.ask_for_rest(found);
    }

    /// Counts a packet in its conversation, which is looked for as `lookup` says, and reads what it carries.
    #[inline]
    pub(crate) fn follow(
        &mut self,
        packet: &Packet<'_>,
        view: &View<'_>,
        layers: &[Layer],
        lookup: Lookup,
        stats: &mut Stats,
    ) {
        let mut guess = match lookup.found {
            Some(Found::Flow(slot)) => {
                self.table.get_at(slot, &view.tuple, packet.interface, layers).map(|flow| (slot, flow))
            }
            _ => None,
        };
        if let (Some((slot, flow)), Header::Tcp(header)) = (&mut guess, &view.header) {
            let (payload, reader) = (view.payload_len(), &self.reader);
            let is_noted = self.rollup.is_none() || self.touched.is_noted(*slot);
            let is_read = reader.is_some() && (payload > 0 || flow.reading.is_some());
            let segment = Segment { from: view.from, time: packet.time, header, options: view.options(), payload };
            if is_noted & !is_read && flow.take_plain(&segment, view.frame_bytes, self.clock.steady()) {
                return;
            }
        }
        let guess = guess.map(|(slot, _)| slot);
        let (slot, is_new) = match guess.filter(|slot| !self.is_reused(*slot, view)) {
            Some(slot) => (slot, false),
            None => match self.enter(packet, view, layers, lookup.hash, stats) {
                Some(entered) => entered,
                None => return,
            },
        };
        let Some((flow, addresses)) = self.table.get_with_addresses(slot) else { return };
        if self.rollup.is_some() {
            self.touched.note(slot, flow);
        }
        let before = flow.marks;
        flow.count(view, packet.time, self.clock.steady());
        let mut shared = Shared { limits: &self.options.limits, stats, held: &mut self.held };
        let mut reader = self.reader.as_mut();
        match &view.header {
            Header::Tcp(header) => {
                segment(flow, addresses, header, view, packet.time, reader.as_deref_mut(), &mut shared);
            }
            Header::Udp => {
                flow.speak(view.from, packet.time);
                datagram(flow, addresses, view, packet.time, reader.as_deref_mut(), shared.stats);
            }
            Header::Icmp(echo) => echo.iter().for_each(|echo| flow.echo(view.from, packet.time, *echo)),
        }
        if flow.marks.was_opened_since(before) {
            self.servers.remember(&view.tuple, flow.marks.accepter());
        }
        // A later end need not be noted: it is found when the noted one has come.
        let ends_otherwise = is_new || flow.marks.ends_otherwise(before);
        if let Some(deadline) = reader.filter(|_| view.payload_len() > 0).and_then(|reader| reader.poll_timeout(flow)) {
            self.table.file_request(slot, self.clock.steady_at(deadline));
        }
        if ends_otherwise {
            self.table.file(slot, &self.options.limits);
        }
        if is_new {
            self.file_piece(slot, self.clock.steady());
        }
        if self.touched.len() > MOST_TOUCHED && self.touched.len() > 2 * self.table.len() {
            self.roll_touched();
        }
    }

    /// The conversation of a packet, and whether it begins; `None` if the packet is all there is of it, and was counted.
    #[inline(never)]
    fn enter(
        &mut self,
        packet: &Packet<'_>,
        view: &View<'_>,
        layers: &[Layer],
        hash: u64,
        stats: &mut Stats,
    ) -> Option<(Slot, bool)> {
        let found = self.table.find(hash, &view.tuple, packet.interface, layers).and_then(|found| match found {
            Found::Flow(slot) => Some(slot),
            Found::Opening(slot) => self.promote(slot),
        });
        if let Some(slot) = found {
            if !self.is_reused(slot, view) {
                return Some((slot, false));
            }
            self.end(slot, Ended::Reuse, stats);
        }
        self.make_room(stats);
        stats.flows_opened += 1;
        if Opening::is_one(view) && layers.is_empty() {
            self.open(packet, view, hash);
            return None;
        }
        let id = self.next_id();
        let server = self.servers.recall(&view.tuple);
        let slot = self.table.insert(hash, |addresses| {
            let between = Between::new(&view.tuple, packet.interface, addresses);
            let mut flow = Flow::new(Who { tag: Tag::new(id), between }, packet.time, view, layers);
            server.into_iter().for_each(|server| flow.learn_server(server));
            flow
        });
        Some((slot, true))
    }

    /// A connection begins with this SYN.
    fn open(&mut self, packet: &Packet<'_>, view: &View<'_>, hash: u64) {
        let now = self.clock.steady();
        let deadline = now + self.options.limits.tcp_idle;
        let slot = self.table.open(hash, deadline, |addresses| Opening::new(packet, view, now, addresses));
        if self.rollup.is_some() {
            self.touched.note_opening(slot);
        }
    }

    /// What comes next in a connection that was opening makes it a conversation like all others.
    fn promote(&mut self, slot: Slot) -> Option<Slot> {
        let id = self.next_id();
        let (hash, opening) = self.table.take_opening(slot)?;
        let slot = self.table.insert(hash, |addresses| opening.flow(id, addresses));
        self.table.file(slot, &self.options.limits);
        self.file_piece(slot, opening.since());
        if self.rollup.is_some() && !opening.is_counted() {
            self.touched.note_new(slot);
        }
        Some(slot)
    }

    fn next_id(&mut self) -> u64 {
        self.last_flow += 1;
        self.last_flow
    }

    /// A piece of the conversation begins.
    fn file_piece(&mut self, slot: Slot, since: Timestamp) {
        if let Some(length) = self.options.pieces {
            self.table.file_piece(slot, since + length);
        }
    }

    /// Brings everything to the present.
    #[inline]
    pub(crate) fn advance(&mut self, time: Timestamp, stats: &mut Stats) {
        // As if those of the packet before had been handed out by now: rows come in the order in which they are first counted.
        if self.reader.is_some() {
            self.count_waiting_calls();
        }
        self.clock.see(time);
        self.is_finished = false;
        while let Some((slot, reason)) = self.due() {
            self.look_at(slot, reason, stats);
        }
        let now = self.clock.told();
        if self.rollup.as_ref().is_some_and(|rollup| rollup.is_over(now)) {
            self.count_waiting_calls();
            self.roll_touched();
            self.flush_metrics(|rollup, hand_out| rollup.advance(now, hand_out));
        }
    }

    /// Ends everything.
    pub(crate) fn finish(&mut self, stats: &mut Stats) {
        for found in self.table.all() {
            self.end_found(found, Ended::Capture, stats);
        }
        self.is_finished = true;
    }

    /// Whether the packet opens another connection between the same ports.
    #[inline]
    fn is_reused(&self, slot: Slot, view: &View<'_>) -> bool {
        let Header::Tcp(header) = &view.header else { return false };
        header.flags.syn() && self.table.look(slot).is_some_and(|flow| flow.is_reopened_by(view.from, header))
    }

    fn make_room(&mut self, stats: &mut Stats) {
        while self.table.len() >= self.options.limits.flows.max(1) {
            let Some(victim) = self.table.victim(&self.options.limits) else { return };
            stats.flows_evicted += 1;
            self.end_found(victim, Ended::Evicted, stats);
        }
    }

    #[inline]
    fn due(&mut self) -> Option<(Slot, Reason)> {
        let Self { table, reader, clock, options, .. } = self;
        let now = clock.steady();
        table.due(now, &options.limits, |flow| {
            let deadline = reader.as_ref().and_then(|reader| reader.poll_timeout(flow));
            deadline.map_or(now, |deadline| clock.steady_at(deadline))
        })
    }

    /// A conversation whose time has come.
    fn look_at(&mut self, slot: Slot, reason: Reason, stats: &mut Stats) {
        let now = self.clock.steady();
        match reason {
            Reason::Opening => self.end_found(Found::Opening(slot), Ended::Idle, stats),
            Reason::End if self.table.look(slot).is_some_and(|flow| flow.idle_deadline(&self.options.limits) < now) => {
                self.end(slot, Ended::Idle, stats);
            }
            Reason::End => self.table.file(slot, &self.options.limits),
            Reason::Request => self.end_requests(slot, stats),
            Reason::Piece => {
                let piece = self.table.get_with_addresses(slot).and_then(|(flow, addresses)| flow.cut_piece(addresses));
                self.file_piece(slot, now);
                if let Some(piece) = piece {
                    self.emit(piece, stats);
                }
            }
        }
    }

    /// Ends the requests of a conversation that have waited too long.
    fn end_requests(&mut self, slot: Slot, stats: &mut Stats) {
        let (Some((flow, addresses)), Some(reader)) = (self.table.get_with_addresses(slot), &mut self.reader) else {
            return;
        };
        let mut shared = Shared { limits: &self.options.limits, stats, held: &mut self.held };
        Passage { flow, addresses, reader, shared: &mut shared }.handle_timeout(self.clock.told());
        let Some(reading) = flow.reading.as_deref_mut() else { return };
        let speakers = Speakers { who: flow.who, marks: flow.marks, addresses, base: reading.base() };
        reader.handle_timeout(speakers, &mut reading.connection, self.clock.told());
        if let Some(deadline) = reader.poll_timeout(flow) {
            // What is due is done: the next time is never before now.
            self.table.file_request(slot, self.clock.steady_at(deadline).max(self.clock.steady()));
        }
    }

    fn end_found(&mut self, found: Found, ended: Ended, stats: &mut Stats) {
        match found {
            Found::Flow(slot) => self.end(slot, ended, stats),
            Found::Opening(slot) => self.end_opening(slot, ended, stats),
        }
    }

    /// A connection is over that never was more than opening.
    fn end_opening(&mut self, slot: Slot, ended: Ended, stats: &mut Stats) {
        let id = self.next_id();
        let Some((_, opening)) = self.table.take_opening(slot) else { return };
        stats.flows_closed += 1;
        let addresses = &mut self.table.addresses;
        let flow = opening.flow(id, addresses);
        let close = flow.close(ended);
        if let Some(rollup) = &mut self.rollup {
            Touched::end_opening(&flow, opening.is_counted(), addresses, close, rollup);
        }
        let record = flow.record(Some(close), addresses);
        opening.between.forget(opening.is_v6(), addresses);
        self.emit(record, stats);
    }

    /// A conversation is over.
    fn end(&mut self, slot: Slot, ended: Ended, stats: &mut Stats) {
        let Some(mut flow) = self.table.remove(slot) else { return };
        stats.flows_closed += 1;
        let addresses = &self.table.addresses;
        let mut shared = Shared { limits: &self.options.limits, stats, held: &mut self.held };
        if let Some(reader) = &mut self.reader {
            Passage { flow: &mut flow, addresses, reader, shared: &mut shared }.give_up();
        }
        if let (Some(reader), Some(reading)) = (&mut self.reader, flow.reading.as_deref_mut()) {
            let speakers = Speakers { who: flow.who, marks: flow.marks, addresses, base: reading.base() };
            for end in End::BOTH {
                let mut hand_on = |piece: Piece<'_>| reader.read(speakers, &mut reading.connection, end, piece);
                reading.streams[end].finish(&mut shared, &mut hand_on);
            }
            reader.close(speakers, &mut reading.connection);
        }
        if let Some((tuple, server)) = flow.server_by_protocol(addresses) {
            self.servers.remember(&tuple, server);
        }
        let close = flow.close(ended);
        if let Some(rollup) = &mut self.rollup {
            self.touched.end(slot, &flow, addresses, close, rollup);
        }
        let record = flow.record(Some(close), addresses);
        flow.who.between.forget(flow.marks.is_v6(), &mut self.table.addresses);
        self.emit(record, stats);
    }

    fn emit(&mut self, record: FlowRecord, stats: &mut Stats) {
        if !self.options.flows {
            return;
        }
        if self.flows.len() >= self.options.limits.waiting_records {
            stats.records_dropped += 1;
            return;
        }
        self.flows.push_back(record);
    }

    /// Puts the rows of windows that are over to what waits.
    fn flush_metrics(&mut self, flush: impl FnOnce(&mut Rollup, &mut dyn FnMut(Rows))) {
        let Self { rollup: Some(rollup), metrics, metrics_lost, options, .. } = self else { return };
        flush(rollup, &mut |mut rows| {
            let waiting: usize = metrics.iter().map(Rows::len).sum();
            let (room, came) = (options.limits.waiting_records.saturating_sub(waiting), rows.len());
            rows.truncate(room);
            *metrics_lost += (came - rows.len()) as u64;
            metrics.push_back(rows);
        });
    }

    /// Counts in the metrics what is new of all conversations.
    fn roll_touched(&mut self) {
        if let Some(rollup) = &mut self.rollup {
            self.touched.roll(&mut self.table, rollup);
        }
    }
}

/// A UDP datagram.
fn datagram(
    flow: &mut Flow,
    addresses: &Addresses,
    view: &View<'_>,
    time: Timestamp,
    reader: Option<&mut Reader>,
    stats: &mut Stats,
) {
    let Some(reader) = reader else { return };
    let speakers = Speakers { who: flow.who, marks: flow.marks, addresses, base: [None; 2] };
    let Some(reading) = reader.open(flow) else { return };
    let payload = view.payload();
    let offset = reading.streams[view.from].pass(payload.len);
    let piece = Piece { time, offset, bytes: payload.bytes, missing: payload.missing() };
    stats.bytes_delivered += payload.bytes.len() as u64;
    stats.bytes_missing += u64::from(payload.missing());
    reader.read(speakers, &mut reading.connection, view.from, piece);
}
