//! TCP segments on their way to the parsers, each behind the bytes that it acknowledges.
//!
//! A capture may show the two directions of a connection out of step: they come by several receive queues or interfaces, or from files
//! put together. A segment with data that acknowledges bytes which were not seen is therefore kept, and what its end sends after it,
//! until these bytes come. They are given up when the other end shows that it is past them, or after [`PACKETS`] or [`TIME`].

use std::collections::VecDeque;
use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::decode::{Region, TcpHeader, View};
use crate::flow::{Addresses, Flow};
use crate::key::End;
use crate::reader::{Reader, Reading, Speakers};
use crate::tcp::{self, Piece, Shared};

/// So many packets of a connection may overtake bytes that they acknowledge.
const PACKETS: u8 = 32;
/// And for so long.
const TIME: Duration = Duration::from_secs(1);

/// Segments of one end that wait for bytes which they acknowledge.
pub(crate) struct Early {
    from: End,
    segments: VecDeque<Kept>,
    /// Packets that may come before the bytes are given up.
    patience: u8,
    /// Memory of the segments.
    held: usize,
}

/// What the parsers need of a segment.
#[derive(Clone, Copy)]
struct Segment<'a> {
    from: End,
    time: Timestamp,
    header: TcpHeader,
    payload: Region<'a>,
}

struct Kept {
    time: Timestamp,
    header: TcpHeader,
    /// With bytes that were not captured.
    len: u32,
    bytes: Box<[u8]>,
}

/// All that it takes to read what a connection carries.
pub(crate) struct Passage<'a, 's> {
    pub(crate) flow: &'a mut Flow,
    pub(crate) addresses: &'a Addresses,
    pub(crate) reader: &'a mut Reader,
    pub(crate) shared: &'a mut Shared<'s>,
}

/// A TCP segment: state, health, and the payload in order.
#[inline]
pub(crate) fn segment(
    flow: &mut Flow,
    addresses: &Addresses,
    header: &TcpHeader,
    view: &View<'_>,
    time: Timestamp,
    reader: Option<&mut Reader>,
    shared: &mut Shared<'_>,
) {
    let (options, payload) = (view.options(), view.payload_len());
    flow.segment(&tcp::Segment { from: view.from, time, header, options, payload });
    let flags = header.flags;
    // Every receiver drops segments that acknowledge nothing, but for the first (RFC 9293 §3.10.7.4).
    let Some(reader) = reader.filter(|_| !flags.rst() && (flags.ack() || flags.syn())) else { return };
    // Without payload so far, and none before this FIN, there is nothing to read.
    let is_behind_payload = flags.fin() && flow.first_byte(view.from) != Some(header.seq);
    if view.payload_len() > 0 || flow.reading.is_some() || is_behind_payload {
        Passage { flow, addresses, reader, shared }.take(header, view, time);
    }
}

impl Passage<'_, '_> {
    /// Takes a segment with payload, or of a connection that had some.
    pub(crate) fn take(&mut self, header: &TcpHeader, view: &View<'_>, time: Timestamp) {
        let segment = Segment { from: view.from, time, header: *header, payload: view.payload() };
        if self.is_waiting_in_vain(&segment) {
            self.give_up();
        }
        if self.reader.open(self.flow).is_none() {
            return;
        }
        match self.flow.side.as_deref().and_then(|side| side.early.as_deref()).map(|early| early.from) {
            Some(from) if from == segment.from => self.keep(&segment),
            Some(_) => {
                self.hand_on(&segment, false);
                self.release();
            }
            None if self.is_early(&segment) => self.keep(&segment),
            None => self.hand_on(&segment, true),
        }
    }

    /// Nothing that is waited for will come: hands on what waits.
    pub(crate) fn give_up(&mut self) {
        while let Some(kept) = self.next_kept(|_| true) {
            self.hand_on(&kept.1.segment(kept.0), true);
        }
    }

    /// Gives up if it has taken too long.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        if self.flow.early_deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up();
        }
    }

    /// Whether this segment shows that what others wait for will not come.
    fn is_waiting_in_vain(&mut self, segment: &Segment<'_>) -> bool {
        let deadline = self.flow.early_deadline();
        let Some(early) = self.flow.side.as_deref_mut().and_then(|side| side.early.as_deref_mut()) else {
            return false;
        };
        let Some(reading) = self.flow.reading.as_deref() else { return false };
        early.patience = early.patience.saturating_sub(1);
        let seq = segment.header.seq;
        let stream = &reading.streams[segment.from];
        let is_past = early.from != segment.from && stream.is_near(seq) && !stream.reached(seq);
        is_past || early.patience == 0 || deadline.is_some_and(|deadline| deadline <= segment.time)
    }

    /// Whether it acknowledges bytes that were not seen, and nothing behind them was.
    fn is_early(&self, segment: &Segment<'_>) -> bool {
        let Segment { from, header, payload, .. } = *segment;
        let Some(reading) = self.flow.reading.as_deref() else { return false };
        let ack = self.flow.acknowledged_bytes(from.other(), header.ack);
        payload.len > 0
            && header.flags.ack()
            && !header.flags.syn()
            && reading.streams[from].is_near(header.seq)
            && reading.streams[from.other()].misses(ack)
    }

    fn keep(&mut self, segment: &Segment<'_>) {
        let Segment { from, time, header, payload } = *segment;
        if payload.len == 0 && !header.flags.fin() {
            return;
        }
        let kept = Kept { time, header, len: payload.len, bytes: payload.bytes.into() };
        let early = self.flow.side_mut().early.get_or_insert_with(|| Box::new(Early::new(from)));
        early.held += kept.memory();
        *self.shared.held += kept.memory();
        early.segments.push_back(kept);
        let limits = self.shared.limits;
        if early.held > limits.reassembly_bytes_per_side || *self.shared.held > limits.reassembly_bytes {
            self.shared.stats.reassembly_overflows += 1;
            self.give_up();
        }
    }

    /// Hands on what need not wait any more.
    fn release(&mut self) {
        while let Some(kept) = self.next_kept(|is_reached| is_reached) {
            self.hand_on(&kept.1.segment(kept.0), true);
        }
    }

    /// The first that waits, if it is wanted, by whether what it acknowledges was seen.
    fn next_kept(&mut self, is_wanted: impl Fn(bool) -> bool) -> Option<(End, Kept)> {
        let fins = End::BOTH.map(|end| self.flow.fin(end));
        let reading = self.flow.reading.as_deref()?;
        let waits = &mut self.flow.side.as_deref_mut()?.early;
        let early = waits.as_mut()?;
        let from = early.from;
        let ack = early.segments.front()?.header.ack;
        let fin = fins[from.other()].is_some_and(|fin| ack == fin.wrapping_add(1));
        let is_reached = reading.streams[from.other()].reached(ack.wrapping_sub(u32::from(fin)));
        if !is_wanted(is_reached) {
            return None;
        }
        let kept = early.segments.pop_front()?;
        early.held -= kept.memory();
        *self.shared.held -= kept.memory();
        if early.segments.is_empty() {
            *waits = None;
        }
        Some((from, kept))
    }

    /// Hands a segment to its stream, if `is_heard` with what it acknowledges.
    fn hand_on(&mut self, segment: &Segment<'_>, is_heard: bool) {
        let Self { flow, addresses, reader, shared } = self;
        let Segment { from, time, header, payload } = *segment;
        let other = from.other();
        let flags = header.flags;
        let (who, marks) = (flow.who, flow.marks);
        let ack = flow.acknowledged_bytes(other, header.ack);
        let fins = End::BOTH.map(|end| flow.fin(end));
        let Some(reading) = reader.open(flow) else { return };
        let seq = header.seq.wrapping_add(u32::from(flags.syn()));
        let brings_bytes = payload.len > 0 || flags.fin();
        let is_heard = is_heard && flags.ack() && reading.streams[from].is_near(header.seq);
        if flags.syn() || brings_bytes {
            reading.streams[from].begin(seq);
        }
        let speakers = Speakers { who, marks, addresses, base: reading.base() };
        let Reading { streams, connection, .. } = reading;
        // Bytes that the other side acknowledges before they were seen will not come: told before what answers them.
        if is_heard && (payload.len > 0 || streams[other].is_waiting()) {
            let mut hand_on = |piece: Piece<'_>| reader.read(speakers, connection, other, piece);
            streams[other].acknowledged(time, ack, shared, &mut hand_on);
        }
        if brings_bytes {
            let mut hand_on = |piece: Piece<'_>| reader.read(speakers, connection, from, piece);
            streams[from].push(time, seq, payload, flags.fin(), shared, &mut hand_on);
        }
        let is_read = |end: End| fins[end].is_some_and(|fin| streams[end].reached(fin));
        if is_read(End::Low) && is_read(End::High) {
            reader.close(speakers, connection);
        }
    }
}

impl Early {
    fn new(from: End) -> Self {
        Self { from, segments: VecDeque::new(), patience: PACKETS, held: 0 }
    }

    /// When what it waits for is given up.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.segments.front().map(|first| first.time + TIME)
    }
}

impl Kept {
    fn segment(&self, from: End) -> Segment<'_> {
        let payload = Region { bytes: &self.bytes, len: self.len };
        Segment { from, time: self.time, header: self.header, payload }
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}
