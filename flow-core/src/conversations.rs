//! What becomes of packets: conversations that begin, go on and end, and the records of them.

use std::collections::VecDeque;
use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::clock::Clock;
use crate::decode::{Header, Layers, TcpHeader, View};
use crate::flow::Flow;
use crate::key::End;
use crate::reader::Reader;
use crate::rollup::Rollup;
use crate::table::{Deadlines, Slot, Table};
use crate::tcp::{Ended, Piece, Shared};
use crate::{CallRecord, FlowRecord, Metric, Options, Output, Packet, Stats};

/// All conversations and what waits to be handed out.
pub(crate) struct Conversations {
    options: Options,
    table: Table,
    reader: Option<Reader>,
    rollup: Option<Rollup>,
    /// Those that metrics have to look at.
    touched: Vec<Slot>,
    flows: VecDeque<FlowRecord>,
    metrics: VecDeque<Metric>,
    clock: Clock,
    /// Rows of metrics that nobody polled.
    metrics_lost: u64,
    /// Numbers given out.
    last_flow: u64,
    last_call: u64,
    /// Bytes that wait for earlier ones, of all connections.
    held: usize,
    is_finished: bool,
}

/// Those that metrics have to look at may have ended since: more than these, and more than twice those that have not, are looked at
/// before the window is over.
const MOST_TOUCHED: usize = 1024;
/// Bits of a number behind the shard's.
const NUMBER_BITS: u32 = 56;

impl Conversations {
    pub(crate) fn new(options: Options) -> Self {
        let none = u64::from(options.shard) << NUMBER_BITS;
        Self {
            table: Table::new(&options),
            reader: options.parsers.clone().map(Reader::new),
            rollup: options.metrics.then(|| Rollup::new(&options.limits)),
            touched: Vec::new(),
            flows: VecDeque::new(),
            metrics: VecDeque::new(),
            metrics_lost: 0,
            clock: Clock::new(options.patience()),
            last_flow: none,
            last_call: none,
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
        self.metrics.pop_front().map(Output::Metric)
    }

    fn poll_call(&mut self) -> Option<CallRecord<'_>> {
        self.last_call += 1;
        let record = self.reader.as_mut()?.poll(self.last_call)?;
        if let Some(rollup) = &mut self.rollup {
            rollup.add_call(&record);
        }
        Some(record)
    }

    /// Counts a packet in its conversation and reads what it carries.
    pub(crate) fn follow(&mut self, packet: &Packet<'_>, view: &View<'_>, layers: &Layers, stats: &mut Stats) {
        let time = packet.time;
        let found = self.table.find(&view.tuple, packet.interface, layers);
        let (slot, is_new) = match found {
            Some(slot) if !self.is_reused(slot, view) => (slot, false),
            reused => {
                if let Some(slot) = reused {
                    self.end(slot, Ended::Reuse, stats);
                }
                self.make_room(stats);
                self.last_flow += 1;
                stats.flows_opened += 1;
                let flow = Flow::new(self.last_flow, packet, view, layers, self.clock.steady());
                (self.table.insert(flow, &self.options.limits), true)
            }
        };
        let Some(flow) = self.table.get(slot) else { return };
        let before = flow.standing();
        flow.count(view, time, self.clock.steady());
        if !flow.is_touched && self.rollup.is_some() {
            flow.is_touched = true;
            self.touched.push(slot);
        }
        let mut shared = Shared { limits: &self.options.limits, stats, held: &mut self.held };
        match view.header {
            Header::Tcp(header) => segment(flow, &header, view, time, self.reader.as_mut(), &mut shared),
            Header::Udp => datagram(flow, view, time, self.reader.as_mut(), shared.stats),
            Header::Icmp => {}
        }
        // Later ends need not be noted: they are found when the noted one has come.
        let may_be_due_earlier = is_new || view.payload.len > 0 && self.reader.is_some() || flow.standing() != before;
        if may_be_due_earlier && let Some(deadlines) = self.deadlines(slot) {
            self.table.arm(slot, deadlines);
        }
        if self.touched.len() > MOST_TOUCHED.max(2 * self.table.len()) {
            self.roll_touched();
        }
    }

    /// Brings everything to the present.
    pub(crate) fn advance(&mut self, time: Timestamp, stats: &mut Stats) {
        self.clock.see(time);
        self.is_finished = false;
        while let Some(slot) = self.table.due(self.clock.steady()) {
            self.look_at(slot, stats);
        }
        let now = self.clock.told();
        if self.rollup.as_ref().is_some_and(|rollup| rollup.is_over(now)) {
            self.roll_touched();
            self.flush_metrics(|rollup, hand_out| rollup.advance(now, hand_out));
        }
    }

    /// Ends everything.
    pub(crate) fn finish(&mut self, stats: &mut Stats) {
        while let Some(slot) = self.table.first() {
            self.end(slot, Ended::Capture, stats);
        }
        self.is_finished = true;
    }

    /// Whether the packet opens another connection between the same ports.
    fn is_reused(&mut self, slot: Slot, view: &View<'_>) -> bool {
        let Header::Tcp(header) = view.header else { return false };
        let tcp = self.table.get(slot).and_then(|flow| flow.tcp.as_deref());
        tcp.is_some_and(|tcp| tcp.is_reopened_by(view.from, &header))
    }

    fn make_room(&mut self, stats: &mut Stats) {
        while self.table.len() >= self.options.limits.flows.max(1) {
            let Some(victim) = self.table.victim(&self.options.limits) else { return };
            stats.flows_evicted += 1;
            self.end(victim, Ended::Evicted, stats);
        }
    }

    /// When the conversation wants to be looked at next.
    fn deadlines(&mut self, slot: Slot) -> Option<Deadlines> {
        let flow = self.table.get(slot)?;
        let request = self.reader.as_ref().and_then(|reader| reader.poll_timeout(&flow.dialog));
        let request = request.map(|deadline| self.clock.steady_at(deadline));
        let piece = self.options.pieces.map(|length| flow.piece_deadline(length));
        let alarm = [request, piece].into_iter().flatten().min().unwrap_or(Timestamp::MAX);
        Some(Deadlines { end: flow.idle_deadline(&self.options.limits), alarm })
    }

    /// A conversation whose deadline has passed: it is over, a request of it is, or its running piece.
    fn look_at(&mut self, slot: Slot, stats: &mut Stats) {
        let (told, now) = (self.clock.told(), self.clock.steady());
        let Some(flow) = self.table.get(slot) else { return };
        if flow.idle_deadline(&self.options.limits) < now {
            self.end(slot, Ended::Idle, stats);
            return;
        }
        if let Some(reader) = &mut self.reader {
            reader.handle_timeout(&mut flow.dialog, told);
        }
        if self.options.pieces.is_some_and(|length| flow.piece_deadline(length) <= now)
            && let Some(piece) = flow.cut_piece(now)
        {
            self.emit(piece, stats);
        }
        if let Some(Deadlines { end, alarm }) = self.deadlines(slot) {
            // What is due is done: the next time is never before now.
            self.table.rearm(slot, Deadlines { end, alarm: alarm.max(now) });
        }
    }

    /// A conversation is over.
    fn end(&mut self, slot: Slot, ended: Ended, stats: &mut Stats) {
        let Some(mut flow) = self.table.remove(slot) else { return };
        stats.flows_closed += 1;
        if let Some(reader) = &mut self.reader {
            if let Some(tcp) = &mut flow.tcp {
                let mut shared = Shared { limits: &self.options.limits, stats, held: &mut self.held };
                for end in End::BOTH {
                    let mut hand_on = |piece: Piece<'_>| reader.read(&mut flow.dialog, end, piece);
                    tcp.streams[end].finish(&mut shared, &mut hand_on);
                }
            }
            reader.close(&mut flow.dialog);
        }
        let close = flow.close(ended);
        if let Some(rollup) = &mut self.rollup {
            flow.roll(Some(close), rollup);
        }
        let record = flow.record(Some(close));
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
    fn flush_metrics(&mut self, flush: impl FnOnce(&mut Rollup, &mut dyn FnMut(Metric))) {
        let Self { rollup: Some(rollup), metrics, metrics_lost, options, .. } = self else { return };
        flush(rollup, &mut |metric| {
            if metrics.len() < options.limits.waiting_records {
                metrics.push_back(metric);
            } else {
                *metrics_lost += 1;
            }
        });
    }

    /// Counts in the metrics what is new of all conversations.
    fn roll_touched(&mut self) {
        let Some(rollup) = &mut self.rollup else { return };
        for slot in self.touched.drain(..) {
            // One that has ended was counted then; another may have its place.
            if let Some(flow) = self.table.get(slot)
                && std::mem::take(&mut flow.is_touched)
            {
                flow.roll(None, rollup);
            }
        }
    }
}

/// A TCP segment: state, health, and the payload in order.
fn segment(
    flow: &mut Flow,
    header: &TcpHeader,
    view: &View<'_>,
    time: Timestamp,
    reader: Option<&mut Reader>,
    shared: &mut Shared<'_>,
) {
    let (from, other) = (view.from, view.from.other());
    let Flow { tcp: Some(tcp), dialog, counters, .. } = flow else { return };
    tcp.see(from, time, header, view.payload.len, counters);
    let flags = header.flags;
    // Every receiver drops segments that acknowledge nothing, but for the first (RFC 9293 §3.10.7.4).
    let Some(reader) = reader.filter(|_| !flags.rst() && (flags.ack() || flags.syn())) else { return };
    // Bytes that the other side acknowledges before they were seen will not come: told before what answers them.
    let is_heard = flags.ack() && tcp.streams[from].is_near(header.seq);
    if is_heard && (view.payload.len > 0 || tcp.streams[other].is_waiting()) {
        let ack = tcp.acknowledged_bytes(other, header.ack);
        tcp.streams[other].acknowledged(time, ack, shared, &mut |piece| reader.read(dialog, other, piece));
    }
    if view.payload.len > 0 || flags.fin() {
        let seq = header.seq.wrapping_add(u32::from(flags.syn()));
        tcp.streams[from].begin(seq);
        dialog.base[from] = tcp.streams[from].base();
        tcp.streams[from].push(time, seq, view.payload, flags.fin(), shared, &mut |piece| {
            reader.read(dialog, from, piece);
        });
    }
    if tcp.is_read_to_the_end() {
        reader.close(dialog);
    }
}

/// A UDP datagram.
fn datagram(flow: &mut Flow, view: &View<'_>, time: Timestamp, reader: Option<&mut Reader>, stats: &mut Stats) {
    let Some(reader) = reader else { return };
    let payload = view.payload;
    let sent = &mut flow.datagram_bytes[view.from];
    let piece = Piece { time, offset: *sent, bytes: payload.bytes, missing: payload.missing() };
    *sent += u64::from(payload.len);
    stats.bytes_delivered += payload.bytes.len() as u64;
    stats.bytes_missing += u64::from(payload.missing());
    reader.read(&mut flow.dialog, view.from, piece);
}
