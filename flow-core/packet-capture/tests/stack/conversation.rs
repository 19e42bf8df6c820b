//! Conversations that no honest client has, drawn from a number.

use fastrand::Rng;

use crate::wire::{ACK, FIN, RST, SYN, URG};

/// What a conversation tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Segments that overlap with other bytes, come twice, late, or from far outside the window; data on SYN and FIN; urgent data that stays
    /// in line; keep-alives.
    Overlaps,
    /// Data on a SYN that the server does not take, sent again with other bytes.
    SynDataRefused,
    /// Urgent data that the application has taken out of line.
    UrgentOutOfLine,
    /// Data from behind the FIN.
    BehindFin,
    /// A receiver with a small window, and segments across its edge.
    WindowEdge,
    /// Segments with old timestamps (RFC 7323 §5).
    OldTimestamps,
    /// Segments without ACK.
    WithoutAck,
    /// Segments that acknowledge what was not sent.
    AckOfNothing,
    /// Segments with a wrong checksum.
    WrongChecksum,
    /// Resets that are not exactly where the next byte is expected (RFC 5961 §3).
    ResetsAside,
    /// A reset that is, and data behind it.
    Reset,
    /// SYNs within the open connection (RFC 5961 §4).
    SynWithin,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Overlaps,
        Self::SynDataRefused,
        Self::UrgentOutOfLine,
        Self::BehindFin,
        Self::WindowEdge,
        Self::OldTimestamps,
        Self::WithoutAck,
        Self::AckOfNothing,
        Self::WrongChecksum,
        Self::ResetsAside,
        Self::Reset,
        Self::SynWithin,
    ];
}

/// One segment behind the handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Where its first byte stands in the stream; the SYN is at -1.
    pub(crate) start: i64,
    pub(crate) len: usize,
    pub(crate) flags: u8,
    /// Behind which of its bytes the urgent data ends.
    pub(crate) urgent: u16,
    /// Added to the acknowledgement.
    pub(crate) ack: u32,
    /// Added to the checksum.
    pub(crate) error: u16,
    /// Its timestamp, where the connection has them.
    pub(crate) timestamp: u32,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) kind: Kind,
    /// Initial sequence number.
    pub(crate) isn: u32,
    /// Bytes on the SYN.
    pub(crate) syn_data: usize,
    /// Whether the server takes bytes on the SYN (RFC 7413).
    pub(crate) fast_open: bool,
    pub(crate) has_timestamps: bool,
    /// Whether the application reads all the while, or only at the end.
    pub(crate) is_read_early: bool,
    pub(crate) segments: Vec<Segment>,
}

const NOW: u32 = 1_000_000;

impl Conversation {
    pub(crate) fn draw(kind: Kind, rng: &mut Rng) -> Self {
        // Near the wrap in half of the cases.
        let isn = if rng.bool() { rng.u32(..) } else { u32::MAX - rng.u32(..3000) };
        let mut drawn = Self {
            kind,
            isn,
            syn_data: 0,
            fast_open: false,
            has_timestamps: kind == Kind::OldTimestamps,
            is_read_early: rng.bool(),
            segments: Vec::new(),
        };
        let (total, longest, count) = match rng.u8(..4) {
            0 => (rng.usize(8..40), 14, rng.usize(4..16)),
            1 => (rng.usize(40..400), 80, rng.usize(5..30)),
            2 if kind != Kind::WindowEdge => (rng.usize(2000..8000), 1400, rng.usize(5..25)),
            _ => (rng.usize(20..120), 40, rng.usize(3..8)),
        };
        if rng.u8(..5) == 0 && kind == Kind::Overlaps {
            (drawn.fast_open, drawn.syn_data) = (true, rng.usize(1..=total.min(500)));
        }
        drawn.overlap(total, longest, count, rng);
        drawn.fill(total, longest, rng);
        drawn.finish(total, rng);
        drawn.disturb(total, rng);
        drawn
    }

    /// Segments that begin where others begin or end more often than chance would have it.
    fn overlap(&mut self, total: usize, longest: usize, count: usize, rng: &mut Rng) {
        for _ in 0..count {
            let other =
                |rng: &mut Rng| rng.choice(&self.segments).map(|other| (other.start, other.start + other.len as i64));
            let start = match rng.u8(..20) {
                0..8 => rng.i64(0..total as i64),
                8..12 => other(rng).map_or(0, |(_, end)| end),
                12..15 => other(rng).map_or(0, |(start, _)| start),
                15..17 => self.next() as i64,
                17..19 => (self.next() + rng.usize(1..longest)) as i64,
                _ => self.next() as i64 - 1,
            };
            let start = start.min(total as i64 - 1);
            let room = (total as i64 - start) as usize;
            let segment = match rng.u8(..40) {
                // A keep-alive, with or without its byte.
                0 => Segment::new(self.next() as i64 - 1, rng.usize(..2)),
                // Far outside of any window.
                1 => Segment::new(rng.i64(100_000..1 << 31) * if rng.bool() { 1 } else { -1 }, rng.usize(1..=longest)),
                2 => Segment::new(start, rng.usize(1..=longest).min(room)).with(URG, rng.u16(..=longest as u16)),
                _ => Segment::new(start, rng.usize(1..=longest).min(room)),
            };
            self.segments.push(segment);
        }
    }

    /// In most cases, what fills the holes, with other bytes where there are none.
    fn fill(&mut self, total: usize, longest: usize, rng: &mut Rng) {
        if rng.u8(..4) == 0 {
            return;
        }
        let mut start = if rng.bool() { self.next() } else { 0 };
        while start < total {
            let len = rng.usize(1..=longest.max(total / 12)).min(total - start);
            self.segments.push(Segment::new(start as i64, len));
            start += len;
        }
    }

    /// In half of the cases a FIN: on a segment that ends where the stream does, or alone; anywhere among the others.
    fn finish(&mut self, total: usize, rng: &mut Rng) {
        if rng.bool() {
            return;
        }
        let at_end = |segment: &Segment| segment.start + segment.len as i64 == total as i64;
        let last: Vec<_> = (0..self.segments.len()).filter(|&place| at_end(&self.segments[place])).collect();
        match rng.choice(&last) {
            Some(&place) if rng.bool() => self.segments[place].flags |= FIN,
            _ => {
                let fin = Segment::new(total as i64, 0).with(FIN, 0);
                self.segments.insert(rng.usize(..=self.segments.len()), fin);
            }
        }
    }

    /// What the kind is about.
    fn disturb(&mut self, total: usize, rng: &mut Rng) {
        let some = |segments: &mut Vec<Segment>, rng: &mut Rng, change: &mut dyn FnMut(&mut Segment, &mut Rng)| {
            for segment in segments.iter_mut().filter(|segment| segment.flags == ACK) {
                if rng.u8(..4) == 0 {
                    change(segment, rng);
                }
            }
        };
        let anywhere = rng.usize(..=self.segments.len());
        match self.kind {
            Kind::Overlaps => {}
            Kind::SynDataRefused => self.syn_data = rng.usize(1..=total.min(500)),
            Kind::UrgentOutOfLine => some(&mut self.segments, rng, &mut |segment, rng| {
                *segment = segment.with(URG, 1 + rng.u16(..segment.len.max(1) as u16));
            }),
            Kind::BehindFin => {
                self.segments.insert(anywhere, Segment::new(total as i64, 0).with(FIN, 0));
                for _ in 0..3 {
                    let start = (total + rng.usize(..4)) as i64 - rng.i64(0..3);
                    self.segments.insert(rng.usize(..=self.segments.len()), Segment::new(start, rng.usize(1..20)));
                }
            }
            // Of four kilobytes at most, so that the window's edge is among them.
            Kind::WindowEdge => {
                for _ in 0..20 {
                    let segment = Segment::new(rng.i64(0..4000), rng.usize(1..600));
                    self.segments.insert(rng.usize(..=self.segments.len()), segment);
                }
                self.fill(4000, 600, rng);
            }
            Kind::OldTimestamps => some(&mut self.segments, rng, &mut |segment, rng| {
                segment.timestamp = NOW - rng.u32(1..NOW);
            }),
            Kind::WithoutAck => some(&mut self.segments, rng, &mut |segment, _| segment.flags = 0),
            Kind::AckOfNothing => some(&mut self.segments, rng, &mut |segment, rng| {
                segment.ack = rng.u32(1..1 << 31);
            }),
            Kind::WrongChecksum => {
                some(&mut self.segments, rng, &mut |segment, rng| segment.error = rng.u16(1..0xfffe));
            }
            Kind::ResetsAside => {
                for _ in 0..3 {
                    let start = total as i64 + rng.i64(1..200_000);
                    let reset = Segment::new(start, 0).with(RST, 0);
                    self.segments.insert(rng.usize(..=self.segments.len()), reset);
                }
            }
            Kind::Reset => {
                let before = Self { segments: self.segments[..anywhere].to_vec(), ..self.clone() };
                self.segments.insert(anywhere, Segment::new(before.next() as i64, 0).with(RST, 0));
            }
            Kind::SynWithin => {
                let start = rng.i64(0..200_000);
                self.segments.insert(anywhere, Segment { flags: SYN, ..Segment::new(start, rng.usize(..2) * 10) });
            }
        }
    }

    /// The byte that is expected next, after what was drawn so far.
    fn next(&self) -> usize {
        let mut next = if self.fast_open { self.syn_data as i64 } else { 0 };
        let near = self.segments.iter().filter(|segment| segment.start < 100_000);
        let mut ends: Vec<_> = near.map(|segment| (segment.start, segment.start + segment.len as i64)).collect();
        ends.sort_unstable();
        for (start, end) in ends {
            if start <= next {
                next = next.max(end);
            }
        }
        next as usize
    }
}

impl Segment {
    fn new(start: i64, len: usize) -> Self {
        Self { start, len, flags: ACK, urgent: 0, ack: 0, error: 0, timestamp: NOW }
    }

    fn with(self, flag: u8, urgent: u16) -> Self {
        Self { flags: self.flags | flag, urgent, ..self }
    }
}
