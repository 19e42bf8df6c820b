//! What the headers of a connection tell of its health.
//!
//! ```text
//!  client      tap      server
//!    │── SYN ───●─────────▶│  ┐ rtt_server ┐
//!    │◀─────────●─ SYN-ACK─│  ┘ ┐          │ rtt
//!    │── ACK ───●─────────▶│    ┘rtt_client┘
//!    │── data ──●─────────▶│  ┐ srt  ┐
//!    │◀─────────●─── ACK ──│  ┘      │ art
//!    │◀─────────●── data ──│         ┘
//! ```

use std::time::Duration;

use protocol_parsers::Timestamp;

use super::sequence::{Holes, distance};
use crate::Durations;
use crate::decode::TcpHeader;
use crate::key::End;

/// What is counted of one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndCounters {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) syn: u64,
    pub(crate) syn_ack: u64,
    pub(crate) fin: u64,
    pub(crate) rst: u64,
    pub(crate) retransmissions: u64,
    pub(crate) out_of_order: u64,
    pub(crate) zero_windows: u64,
    /// How fast this end's kernel acknowledged.
    pub(crate) srt: Durations,
    /// How fast this end's application answered.
    pub(crate) art: Durations,
}

/// Times of the handshake.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handshake {
    syn: Option<(End, Timestamp)>,
    /// Who sent it, when, and its acknowledgement.
    syn_ack: Option<(End, Timestamp, u32)>,
    ack: Option<Timestamp>,
}

impl Handshake {
    pub(crate) fn see(&mut self, from: End, time: Timestamp, header: &TcpHeader) {
        let flags = header.flags;
        if flags.rst() {
            return;
        }
        match (flags.syn(), flags.ack()) {
            (true, false) if self.syn.is_none() && self.syn_ack.is_none() => self.syn = Some((from, time)),
            (true, true) if self.syn_ack.is_none() => self.syn_ack = Some((from, time, header.seq.wrapping_add(1))),
            (false, true)
                if self.ack.is_none()
                    && self.syn_ack.is_some_and(|(server, _, ack)| server != from && ack == header.ack) =>
            {
                self.ack = Some(time);
            }
            _ => {}
        }
    }

    /// Whether the three steps were seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.ack.is_some()
    }

    /// First SYN → ACK of the SYN-ACK.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        Some(self.ack?.since(self.syn?.1))
    }

    /// First SYN-ACK → ACK of it.
    pub(crate) fn rtt_client(&self) -> Option<Duration> {
        Some(self.ack?.since(self.syn_ack?.1))
    }

    /// First SYN → first SYN-ACK.
    pub(crate) fn rtt_server(&self) -> Option<Duration> {
        Some(self.syn_ack?.1.since(self.syn?.1))
    }
}

/// Sequence numbers and response times of a connection.
#[derive(Debug, Default)]
pub(crate) struct Health {
    ends: [Sent; 2],
    /// Who sent data last, and when.
    talk: Option<(End, Timestamp)>,
}

/// What one end has sent.
#[derive(Debug, Default)]
struct Sent {
    /// Behind the highest sequence number seen.
    edge: Option<u32>,
    holes: Holes,
    /// Data that waits for the other end's ACK: behind its last byte, and when it was sent.
    unacknowledged: Option<(u32, Timestamp)>,
    window_closed: bool,
}

impl Health {
    /// Behind the highest sequence number that each end has sent.
    pub(crate) fn sent(&self) -> [Option<u32>; 2] {
        End::BOTH.map(|end| self.ends[end].edge)
    }

    /// Takes in a segment that `from` sent with so many bytes of payload.
    pub(crate) fn see(
        &mut self,
        from: End,
        time: Timestamp,
        header: &TcpHeader,
        payload: u32,
        counters: &mut [EndCounters; 2],
    ) {
        let flags = header.flags;
        if flags.rst() {
            return;
        }
        let mine = &mut counters[from];
        let other_closed = self.ends[from.other()].window_closed;
        if !flags.syn() {
            let closed = header.window == 0;
            mine.zero_windows += u64::from(closed);
            self.ends[from].window_closed = closed;
        }
        if flags.ack() {
            self.acknowledge(from, time, header, payload == 0 && !flags.syn() && !flags.fin(), mine);
        }
        let span = payload + u32::from(flags.syn()) + u32::from(flags.fin());
        if span == 0 {
            return;
        }
        let sent = &mut self.ends[from];
        let end = header.seq.wrapping_add(span);
        let Some(edge) = sent.edge else {
            sent.edge = Some(end);
            self.data(from, time, end, payload, mine);
            return;
        };
        let is_single_byte = span == 1 && payload == 1;
        if is_single_byte && (header.seq == edge.wrapping_sub(1) || (header.seq == edge && other_closed)) {
            // A keep-alive (RFC 9293 §3.8.4), or a probe of the closed window (§3.8.6.1).
            return;
        }
        if distance(edge, end) > 0 {
            match distance(edge, header.seq) {
                1.. => sent.holes.open(edge, header.seq),
                0 => {}
                // It repeats something before what is new.
                _ => drop(sent.holes.fill(header.seq, end)),
            }
            sent.edge = Some(end);
            self.data(from, time, end, payload, mine);
        } else if sent.holes.fill(header.seq, end) {
            mine.out_of_order += 1;
        } else {
            mine.retransmissions += 1;
            // Which of the two is acknowledged cannot be told (Karn's rule).
            sent.unacknowledged = None;
        }
    }

    /// New data: an answer to what the other end said last, and something to be acknowledged.
    fn data(&mut self, from: End, time: Timestamp, end: u32, payload: u32, mine: &mut EndCounters) {
        if payload == 0 {
            return;
        }
        if let Some((speaker, said)) = self.talk
            && speaker != from
        {
            mine.art.add(time.since(said));
        }
        self.talk = Some((from, time));
        self.ends[from].unacknowledged = Some((end, time));
    }

    /// Only a bare ACK is the kernel's alone: one with data waited for the application.
    fn acknowledge(&mut self, from: End, time: Timestamp, header: &TcpHeader, is_bare: bool, mine: &mut EndCounters) {
        let waiting = &mut self.ends[from.other()].unacknowledged;
        if let Some((end, sent)) = *waiting
            && distance(end, header.ack) >= 0
        {
            *waiting = None;
            if is_bare {
                mine.srt.add(time.since(sent));
            }
        }
    }
}
