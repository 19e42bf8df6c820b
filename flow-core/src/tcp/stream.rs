//! One direction of a connection: segments as they come → bytes in order, each once.
//!
//! Where segments overlap, the byte is taken that Linux would hand to its application: of segments that arrived in order the first;
//! of those that wait for earlier bytes, the one that begins first, a longer one replacing those it covers from its first byte on.

use protocol_parsers::Timestamp;

use super::sequence::{WINDOW, distance};
use crate::decode::Region;
use crate::{Limits, Stats};

/// In-order delivery of one direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Sequence number of the next byte to hand on; `None` before the first.
    next: Option<u32>,
    /// Its position in the stream.
    offset: u64,
    /// What came early, by sequence number.
    waiting: Vec<Segment>,
    /// Memory of `waiting`.
    held: usize,
}

#[derive(Debug)]
struct Segment {
    seq: u32,
    /// With bytes that were not captured.
    len: u32,
    time: Timestamp,
    bytes: Box<[u8]>,
}

/// Bytes in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) time: Timestamp,
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
    /// Behind them, not captured.
    pub(crate) missing: u32,
}

/// What all streams share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) stats: &'a mut Stats,
    /// Memory that all streams hold.
    pub(crate) held: &'a mut usize,
}

impl Stream {
    /// The first byte has this sequence number, unless an earlier one was seen.
    pub(crate) fn begin(&mut self, seq: u32) {
        self.next.get_or_insert(seq);
    }

    /// Sequence number of the stream's first byte.
    pub(crate) fn base(&self) -> Option<u32> {
        self.next.map(|next| next.wrapping_sub(self.offset as u32))
    }

    /// Whether everything before `seq` was handed on.
    pub(crate) fn reached(&self, seq: u32) -> bool {
        self.next.is_some_and(|next| distance(next, seq) <= 0)
    }

    /// Whether bytes wait for earlier ones.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a segment's payload; hands on what is in order now.
    pub(crate) fn push(
        &mut self,
        time: Timestamp,
        seq: u32,
        payload: Region<'_>,
        shared: &mut Shared<'_>,
        hand_on: &mut impl FnMut(Piece<'_>),
    ) {
        let next = *self.next.get_or_insert(seq);
        let ahead = distance(next, seq);
        if !(-WINDOW..=WINDOW).contains(&ahead) {
            shared.stats.segments_out_of_window += 1;
        } else if ahead > 0 {
            self.keep(time, seq, payload, shared);
            self.shrink(shared, hand_on);
        } else {
            self.deliver(time, seq, payload.bytes, payload.len, shared.stats, hand_on);
            self.drain(shared, hand_on);
        }
    }

    /// The other side has everything before `ack`: what of it was not captured never will be.
    pub(crate) fn acknowledged(
        &mut self,
        time: Timestamp,
        ack: u32,
        shared: &mut Shared<'_>,
        hand_on: &mut impl FnMut(Piece<'_>),
    ) {
        while let Some(next) = self.next {
            let ahead = distance(next, ack);
            if ahead <= 0 || ahead > WINDOW {
                return;
            }
            match self.waiting.first() {
                Some(first) if distance(first.seq, ack) > 0 => self.give_up_hole(shared, hand_on),
                _ => {
                    self.skip(ahead as u32, shared.stats);
                    hand_on(Piece { time, offset: self.offset, bytes: &[], missing: 0 });
                    self.drain(shared, hand_on);
                }
            }
        }
    }

    /// Nothing more will come: hands on what waits.
    pub(crate) fn finish(&mut self, shared: &mut Shared<'_>, hand_on: &mut impl FnMut(Piece<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up_hole(shared, hand_on);
        }
    }

    /// Hands on what of a segment is new. Its first byte is not behind the next one expected.
    fn deliver(
        &mut self,
        time: Timestamp,
        seq: u32,
        bytes: &[u8],
        len: u32,
        stats: &mut Stats,
        hand_on: &mut impl FnMut(Piece<'_>),
    ) {
        let Some(next) = self.next else { return };
        let seen = next.wrapping_sub(seq).min(len);
        stats.bytes_repeated += u64::from(seen);
        let (bytes, len) = (bytes.get(seen as usize..).unwrap_or_default(), len - seen);
        if len == 0 {
            return;
        }
        let missing = len.saturating_sub(bytes.len() as u32);
        hand_on(Piece { time, offset: self.offset, bytes, missing });
        self.next = Some(next.wrapping_add(len));
        self.offset += u64::from(len);
        stats.bytes_delivered += bytes.len() as u64;
        stats.bytes_missing += u64::from(missing);
    }

    /// Puts a segment to the others that wait, as Linux's out-of-order queue does.
    fn keep(&mut self, time: Timestamp, seq: u32, payload: Region<'_>, shared: &mut Shared<'_>) {
        let end = seq.wrapping_add(payload.len);
        let place = self.waiting.partition_point(|segment| distance(segment.seq, seq) > 0);
        let covers = |segment: &Segment| distance(end, segment.end()) >= 0 && distance(segment.seq, seq) >= 0;
        let before = place.checked_sub(1).and_then(|place| self.waiting.get(place));
        if before.is_some_and(covers) || self.waiting.get(place).is_some_and(covers) {
            shared.stats.bytes_repeated += u64::from(payload.len);
            return;
        }
        let covered = self.waiting.iter().skip(place).take_while(|segment| distance(segment.end(), end) >= 0).count();
        for segment in self.waiting.drain(place..place + covered) {
            shared.stats.bytes_repeated += u64::from(segment.len);
            self.held -= segment.memory();
            *shared.held -= segment.memory();
        }
        let segment = Segment { seq, len: payload.len, time, bytes: payload.bytes.into() };
        self.held += segment.memory();
        *shared.held += segment.memory();
        self.waiting.insert(place, segment);
    }

    /// Keeps to the limits by giving up holes.
    fn shrink(&mut self, shared: &mut Shared<'_>, hand_on: &mut impl FnMut(Piece<'_>)) {
        while self.held > shared.limits.reassembly_bytes_per_side
            || self.waiting.len() > shared.limits.reassembly_segments
            || (*shared.held > shared.limits.reassembly_bytes && !self.waiting.is_empty())
        {
            shared.stats.reassembly_overflows += 1;
            self.give_up_hole(shared, hand_on);
        }
    }

    /// Goes on at the first segment that waits.
    fn give_up_hole(&mut self, shared: &mut Shared<'_>, hand_on: &mut impl FnMut(Piece<'_>)) {
        if let (Some(next), Some(first)) = (self.next, self.waiting.first()) {
            let ahead = distance(next, first.seq);
            self.skip(ahead.max(0) as u32, shared.stats);
        }
        self.drain(shared, hand_on);
    }

    fn skip(&mut self, bytes: u32, stats: &mut Stats) {
        self.next = self.next.map(|next| next.wrapping_add(bytes));
        self.offset += u64::from(bytes);
        stats.bytes_missing += u64::from(bytes);
    }

    /// Hands on what is in order now.
    fn drain(&mut self, shared: &mut Shared<'_>, hand_on: &mut impl FnMut(Piece<'_>)) {
        let mut done = 0;
        while let (Some(next), Some(segment)) = (self.next, self.waiting.get_mut(done)) {
            if distance(next, segment.seq) > 0 {
                break;
            }
            self.held -= segment.memory();
            *shared.held -= segment.memory();
            let (time, seq, len, bytes) = (segment.time, segment.seq, segment.len, std::mem::take(&mut segment.bytes));
            done += 1;
            self.deliver(time, seq, &bytes, len, shared.stats, hand_on);
        }
        self.waiting.drain(..done);
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
    }
}

impl Segment {
    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len)
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}
