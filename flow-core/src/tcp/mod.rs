//! TCP (RFC 9293) as a bystander sees it.

mod health;
mod sequence;
mod stream;

pub(crate) use health::{EndCounters, Handshake, Health};
pub(crate) use stream::{Piece, Shared, Stream};

use protocol_parsers::Timestamp;
use sequence::{NEAR, distance};

use crate::Close;
use crate::decode::TcpHeader;
use crate::key::End;

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

/// State of one connection.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    pub(crate) handshake: Handshake,
    pub(crate) health: Health,
    pub(crate) streams: [Stream; 2],
    /// Initial sequence numbers; of a connection joined later the one before the first seen.
    initial: [Option<u32>; 2],
    /// Sequence number of each end's FIN.
    fins: [Option<u32>; 2],
    /// Whether the other end has acknowledged it.
    are_fins_heard: [bool; 2],
    /// Who reset it first, unless both had closed.
    reset: Option<End>,
    /// Behind what each end had sent until then.
    sent_before_reset: [Option<u32>; 2],
    /// A segment that is no part of a handshake was seen.
    beyond_handshake: bool,
}

impl Tcp {
    /// Whether this SYN opens another connection than this one.
    pub(crate) fn is_reopened_by(&self, from: End, header: &TcpHeader) -> bool {
        let flags = header.flags;
        if !flags.syn() || flags.ack() || flags.rst() {
            return false;
        }
        // Of a connection that this end was not seen in, nothing is left to open once the other end was past its own SYN.
        self.initial[from].map_or(self.beyond_handshake || self.is_over(), |initial| initial != header.seq)
    }

    /// Takes in the flags and sequence numbers of a segment.
    pub(crate) fn see(
        &mut self,
        from: End,
        time: Timestamp,
        header: &TcpHeader,
        payload: u32,
        counters: &mut [EndCounters; 2],
    ) {
        let flags = header.flags;
        let mine = &mut counters[from];
        mine.syn += u64::from(flags.syn() && !flags.ack());
        mine.syn_ack += u64::from(flags.syn() && flags.ack());
        mine.fin += u64::from(flags.fin());
        mine.rst += u64::from(flags.rst());
        if self.reset == Some(from) && self.goes_on(from, header, payload) {
            self.reset = None;
        }
        self.handshake.see(from, time, header);
        self.health.see(from, time, header, payload, counters);
        if flags.rst() {
            if self.reset.is_none() && !self.both_closed() {
                self.reset = Some(from);
                self.sent_before_reset = self.health.sent();
                // What it sent before may still come.
                if let Some(sent) = &mut self.sent_before_reset[from]
                    && (0..NEAR).contains(&distance(*sent, header.seq))
                {
                    *sent = header.seq;
                }
            }
            return;
        }
        let first = if flags.syn() { header.seq.wrapping_add(1) } else { header.seq };
        if flags.syn() {
            self.streams[from].begin(first);
        } else {
            self.beyond_handshake |= !self.handshake.is_complete() || payload > 0;
        }
        self.initial[from].get_or_insert(first.wrapping_sub(1));
        // More than a keep-alive's byte behind its FIN: somebody else sent that.
        if payload > 1 && self.fins[from].is_some_and(|fin| distance(fin, first.wrapping_add(payload)) > 0) {
            self.fins[from] = None;
            self.are_fins_heard[from] = false;
        }
        if flags.fin() {
            self.fins[from].get_or_insert(first.wrapping_add(payload));
        }
        let other = from.other();
        if flags.ack() && self.fins[other].is_some_and(|fin| distance(fin, header.ack) > 0) {
            self.are_fins_heard[other] = true;
        }
    }

    /// Whether the end that seemed to reset the connection goes on with it: somebody else sent that reset, or it was not accepted.
    fn goes_on(&self, from: End, header: &TcpHeader, payload: u32) -> bool {
        let flags = header.flags;
        let end = header.seq.wrapping_add(payload + u32::from(flags.fin()));
        let before = &self.sent_before_reset;
        let says_more = before[from].is_some_and(|sent| distance(sent, end) > 0);
        let hears_more = flags.ack() && before[from.other()].is_some_and(|sent| distance(sent, header.ack) > 0);
        !flags.rst() && (flags.syn() || says_more || hears_more)
    }

    /// The acknowledgement as far as it covers bytes: a FIN takes a number of its own.
    pub(crate) fn acknowledged_bytes(&self, of: End, ack: u32) -> u32 {
        match self.fins[of] {
            Some(fin) if ack == fin.wrapping_add(1) => fin,
            _ => ack,
        }
    }

    /// Whether the connection is open on both sides, as far as one can tell.
    pub(crate) fn is_established(&self) -> bool {
        self.handshake.is_complete() || self.beyond_handshake
    }

    /// Whether nothing more is to come: the last acknowledgement of two closings may take as long as any other.
    pub(crate) fn is_over(&self) -> bool {
        self.reset.is_some() || self.are_fins_heard == [true; 2]
    }

    fn both_closed(&self) -> bool {
        self.fins.iter().all(Option::is_some)
    }

    /// Whether both ends closed, and everything before was handed on.
    pub(crate) fn is_read_to_the_end(&self) -> bool {
        End::BOTH.iter().all(|&end| self.fins[end].is_some_and(|fin| self.streams[end].reached(fin)))
    }

    /// How it ended, `client` being who opened it.
    pub(crate) fn close(&self, client: End, counters: &[EndCounters; 2], ended: Ended) -> Close {
        let server = client.other();
        let is_opening = counters[client].syn > 0 && counters[server].syn_ack == 0;
        match (self.reset, self.fins[client], self.fins[server]) {
            (None, Some(_), Some(_)) => Close::Finished,
            (Some(end), ..) if end == server && is_opening && !self.beyond_handshake => Close::Refused,
            (Some(end), ..) if end == server => Close::ServerReset,
            (Some(_), ..) => Close::ClientReset,
            (None, Some(_), _) => Close::ServerHalfClose,
            (None, None, Some(_)) => Close::ClientHalfClose,
            (None, None, None) if is_opening && counters[server].packets == 0 && !self.beyond_handshake => {
                Close::SynUnanswered
            }
            (None, None, None) if !self.is_established() && counters[server].syn_ack > 0 => Close::SynAckUnanswered,
            (None, None, None) => ended.close(),
        }
    }
}
