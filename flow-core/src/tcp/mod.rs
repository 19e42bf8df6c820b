//! TCP (RFC 9293) as a bystander sees it.

mod again;
mod handshake;
mod health;
mod plain;
mod sequence;
mod stream;
mod window;

pub(crate) use again::Again;
pub(crate) use handshake::Handshake;
pub(crate) use sequence::Holes;
pub(crate) use stream::{Piece, Shared, Stream};

use std::time::Duration;

use protocol_parsers::Timestamp;
use sequence::{NEAR, distance};

use crate::Close;
use crate::counts::{Event, Large};
use crate::decode::{TcpHeader, TcpOptions};
use crate::flow::Flow;
use crate::key::End;
use crate::marks::Marks;

/// Why a conversation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing came any more.
    Idle,
    /// The capture ended.
    Capture,
    /// Its client opened a new one.
    Reuse,
    /// It made room.
    Evicted,
}

impl Ended {
    /// How a conversation ended that nobody closed.
    pub(crate) fn close(self) -> Close {
        match self {
            Self::Idle => Close::IdleTimeout,
            Self::Capture => Close::StillOpen,
            Self::Reuse => Close::PortReused,
            Self::Evicted => Close::Evicted,
        }
    }
}

/// Numbers and times of one connection. What they mean depends on the conversation's [`Marks`].
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    /// Initial sequence numbers; of an end joined later the one before the first seen.
    initial: [u32; 2],
    /// Behind the highest sequence numbers seen. That of a FIN is the last before.
    edges: [u32; 2],
    /// What each end acknowledged last, and the window it then offered.
    acks: [u32; 2],
    windows: [u16; 2],
    /// From the first packet to the SYN-ACK, and to the ACK that ends the handshake, in nanoseconds.
    syn_ack_after: u32,
    ack_after: u32,
    talk: Talk,
}

/// While nobody has reset the connection: when each end said something new. After that: the edges of then.
#[derive(Debug, Default)]
struct Talk {
    /// The lower 32 bits of the times, or the edges.
    words: [u32; 2],
    /// Of the times the 16 bits above.
    upper: u32,
}

/// The last 48 bits of nanoseconds are told apart: three days.
const TIME_BITS: u32 = 48;

impl Talk {
    #[inline(always)]
    fn set_said(&mut self, end: End, time: Timestamp) {
        let nanos = time.as_nanos();
        self.words[end] = nanos as u32;
        let shift = 16 * end as u32;
        self.upper = self.upper & !(0xffff << shift) | ((nanos >> 32) as u32 & 0xffff) << shift;
    }

    /// How long ago that end said something.
    #[inline(always)]
    fn since_said(&self, end: End, now: Timestamp) -> Duration {
        let upper = self.upper >> (16 * end as u32) & 0xffff;
        let said = u64::from(upper) << 32 | u64::from(self.words[end]);
        let passed = (now.as_nanos().wrapping_sub(said) << (64 - TIME_BITS)).cast_signed() >> (64 - TIME_BITS);
        // A clock that runs backwards gives no negative times.
        Duration::from_nanos(passed.max(0).cast_unsigned())
    }
}

/// Echoes of ICMP have times and numbers too.
impl Tcp {
    /// An end asks for an echo with this sequence number.
    pub(crate) fn ask(&mut self, from: End, sequence: u16, time: Timestamp) {
        self.edges[from] = u32::from(sequence);
        self.talk.set_said(from, time);
    }

    /// The sequence number that it asked with last.
    pub(crate) fn asked(&self, from: End) -> u16 {
        self.edges[from] as u16
    }

    /// How long ago that end said something.
    pub(crate) fn since_said(&self, end: End, now: Timestamp) -> Duration {
        self.talk.since_said(end, now)
    }
}

/// A segment as it was captured.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) from: End,
    pub(crate) time: Timestamp,
    pub(crate) header: &'a TcpHeader,
    pub(crate) options: TcpOptions<'a>,
    /// Bytes of payload.
    pub(crate) payload: u32,
}

impl Segment<'_> {
    /// How many sequence numbers it takes.
    #[inline(always)]
    fn span(&self) -> u32 {
        self.payload + u32::from(self.header.flags.syn()) + u32::from(self.header.flags.fin())
    }

    /// Behind the last of them.
    #[inline(always)]
    fn end(&self) -> u32 {
        self.header.seq.wrapping_add(self.span())
    }
}

/// What the segments of a connection tell.
impl Flow {
    /// Whether this SYN opens another connection than this one.
    pub(crate) fn is_reopened_by(&self, from: End, header: &TcpHeader) -> bool {
        let flags = header.flags;
        if !flags.syn() || flags.ack() || flags.rst() {
            return false;
        }
        if self.marks.of(from, Marks::SEEN) {
            return self.tcp.initial[from] != header.seq;
        }
        // Of a connection that this end was not seen in, nothing is left to open once the other end was past its own SYN; but for
        // one that it refused, if the capture shows that first.
        !self.refuses(from, header) && (self.marks.has(Marks::BEYOND_HANDSHAKE) || self.is_over())
    }

    /// Whether all that was seen is a reset that answers this SYN.
    fn refuses(&self, from: End, header: &TcpHeader) -> bool {
        self.marks.of(from.other(), Marks::RESET)
            && !self.marks.has(Marks::BEYOND_HANDSHAKE | (Marks::SEEN * 3))
            && self.tcp.talk.words[from] == header.seq.wrapping_add(1)
    }

    /// Takes in the flags and sequence numbers of a segment.
    #[inline]
    pub(crate) fn segment(&mut self, segment: &Segment<'_>) {
        let Segment { from, header, payload, .. } = *segment;
        let flags = header.flags;
        if flags.is_special() || !self.marks.is_under_way(from) {
            self.begin_or_end(segment);
        }
        if flags.rst() {
            return;
        }
        self.measure(segment);
        if !flags.syn() && (payload > 0 || !self.marks.has(Marks::ACK)) {
            self.marks.set(Marks::BEYOND_HANDSHAKE, true);
        }
        if flags.fin() && segment.end() == self.tcp.edges[from] {
            self.marks.set_of(from, Marks::FIN, true);
        }
        let other = from.other();
        if flags.ack() && self.marks.of(other, Marks::FIN) && distance(self.tcp.edges[other], header.ack) >= 0 {
            self.marks.set_of(other, Marks::FIN_HEARD, true);
        }
    }

    /// What is only to be done while a connection is not simply under way.
    #[inline(never)]
    fn begin_or_end(&mut self, segment: &Segment<'_>) {
        let Segment { from, header, .. } = *segment;
        let flags = header.flags;
        self.count_flags(from, header);
        if self.marks.of(from, Marks::RESET) && self.goes_on(segment) {
            self.marks.clear_both(Marks::RESET);
        }
        if flags.rst() {
            self.reset(from, header);
            return;
        }
        if !self.marks.has(Marks::ACK) {
            self.shake_hands(from, segment.time, header);
        }
        if !self.marks.of(from, Marks::SEEN) || flags.syn() {
            self.begin(segment);
        }
    }

    fn count_flags(&mut self, from: End, header: &TcpHeader) {
        let flags = header.flags;
        let syn = flags.syn().then_some(if flags.ack() { Event::SynAck } else { Event::Syn });
        let fin = flags.fin().then_some(Event::Fin);
        let rst = flags.rst().then_some(Event::Rst);
        for event in [syn, fin, rst].into_iter().flatten() {
            self.event(from, event);
        }
    }

    /// Notes where the sequence numbers of this end begin.
    fn begin(&mut self, segment: &Segment<'_>) {
        let Segment { from, header, options, .. } = *segment;
        if !self.marks.of(from, Marks::SEEN) {
            self.tcp.edges[from] = header.seq;
            self.tcp.initial[from] = header.seq.wrapping_sub(1);
        }
        if header.flags.syn() && !self.marks.of(from, Marks::BEGUN) {
            self.tcp.initial[from] = header.seq;
            self.marks.set_of(from, Marks::BEGUN, true);
            self.who.tag.set_scale(from, options.window_scale());
        }
        self.marks.set_of(from, Marks::SEEN, true);
    }

    fn reset(&mut self, from: End, header: &TcpHeader) {
        if self.marks.who(Marks::RESET).is_some() || self.marks.both(Marks::FIN) {
            return;
        }
        let mut sent = self.tcp.edges;
        // What it sent before may still come.
        if (0..NEAR).contains(&distance(sent[from], header.seq)) {
            sent[from] = header.seq;
        }
        let other = from.other();
        if header.flags.ack() && !self.marks.of(other, Marks::SEEN) {
            sent[other] = header.ack;
        }
        self.marks.set_of(from, Marks::RESET, true);
        for end in End::BOTH {
            self.marks.set_of(end, Marks::SENT_KNOWN, self.marks.of(end, Marks::SEEN));
        }
        self.marks.clear_both(Marks::UNACKNOWLEDGED);
        self.marks.clear_both(Marks::SPOKE_LAST);
        self.marks.clear_both(Marks::WINDOW_CLOSED);
        self.tcp.talk.words = sent;
    }

    /// Whether the end that seemed to reset the connection goes on with it: somebody else sent that reset, or it was not accepted.
    fn goes_on(&self, segment: &Segment<'_>) -> bool {
        let Segment { from, header, .. } = *segment;
        let flags = header.flags;
        let is_beyond = |of: End, number: u32| {
            self.marks.of(of, Marks::SENT_KNOWN) && distance(self.tcp.talk.words[of], number) > 0
        };
        !flags.rst()
            && (flags.syn() || is_beyond(from, segment.end()) || flags.ack() && is_beyond(from.other(), header.ack))
    }

    /// Sequence number of this end's first byte, where its SYN was seen.
    pub(crate) fn first_byte(&self, end: End) -> Option<u32> {
        self.marks.of(end, Marks::BEGUN).then(|| self.tcp.initial[end].wrapping_add(1))
    }

    /// Sequence number of this end's FIN.
    pub(crate) fn fin(&self, end: End) -> Option<u32> {
        self.marks.of(end, Marks::FIN).then(|| self.tcp.edges[end].wrapping_sub(1))
    }

    /// The acknowledgement as far as it covers bytes: a FIN takes a number of its own.
    pub(crate) fn acknowledged_bytes(&self, of: End, ack: u32) -> u32 {
        self.fin(of).filter(|fin| ack == fin.wrapping_add(1)).unwrap_or(ack)
    }

    /// Whether the connection is open on both sides, as far as one can tell.
    pub(crate) fn is_established(&self) -> bool {
        self.marks.has(Marks::ACK | Marks::BEYOND_HANDSHAKE)
    }

    /// Whether nothing more is to come: the last acknowledgement of two closings may take as long as any other.
    pub(crate) fn is_over(&self) -> bool {
        self.marks.has(Marks::RESET * 3) || self.marks.both(Marks::FIN_HEARD)
    }

    /// How it ended, `client` being who opened it.
    pub(crate) fn close_of_tcp(&self, client: End, counters: &Large, ended: Ended) -> Close {
        let server = client.other();
        let is_opening = counters[client].of(Event::Syn) > 0 && counters[server].of(Event::SynAck) == 0;
        let is_beyond = self.marks.has(Marks::BEYOND_HANDSHAKE);
        let [client_fin, server_fin] = [client, server].map(|end| self.marks.of(end, Marks::FIN));
        match (self.marks.who(Marks::RESET), client_fin, server_fin) {
            (None, true, true) => Close::Finished,
            (Some(end), ..) if end == server && is_opening && !is_beyond => Close::Refused,
            (Some(end), ..) if end == server => Close::ServerReset,
            (Some(_), ..) => Close::ClientReset,
            (None, true, false) => Close::ServerHalfClose,
            (None, false, true) => Close::ClientHalfClose,
            (None, false, false) if is_opening && counters[server].packets == 0 && !is_beyond => Close::SynUnanswered,
            (None, false, false) if !self.is_established() && counters[server].of(Event::SynAck) > 0 => {
                Close::SynAckUnanswered
            }
            (None, false, false) => ended.close(),
        }
    }
}
