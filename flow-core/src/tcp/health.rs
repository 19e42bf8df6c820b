//! What the headers of a connection tell of its health.
//!
//! ```text
//!  client      tap      server
//!    │── data ──●─────────▶│  ┐ srt  ┐
//!    │◀─────────●─── ACK ──│  ┘      │ art
//!    │◀─────────●── data ──│         ┘
//! ```

use protocol_parsers::Timestamp;

use super::sequence::distance;
use crate::counts::Event;
use crate::decode::TcpHeader;
use crate::flow::Flow;
use crate::key::End;
use crate::marks::Marks;

impl Flow {
    /// Takes in the sequence numbers of a segment that `from` sent with so many bytes of payload.
    #[inline]
    pub(super) fn measure(&mut self, from: End, time: Timestamp, header: &TcpHeader, payload: u32) {
        let flags = header.flags;
        if !flags.syn() {
            let is_closed = header.window == 0;
            self.marks.set_of(from, Marks::WINDOW_CLOSED, is_closed);
            if is_closed {
                self.event(from, Event::ZeroWindow);
            }
        }
        let span = payload + u32::from(flags.syn()) + u32::from(flags.fin());
        if flags.ack() {
            self.acknowledge(from, time, header.ack, span == 0);
        }
        if span == 0 {
            return;
        }
        let (edge, end) = (self.tcp.edges[from], header.seq.wrapping_add(span));
        let is_single_byte = span == 1 && payload == 1;
        let is_probe = header.seq == edge && self.marks.of(from.other(), Marks::WINDOW_CLOSED);
        if is_single_byte && (header.seq == edge.wrapping_sub(1) || is_probe) {
            // A keep-alive (RFC 9293 §3.8.4), or a probe of the closed window (§3.8.6.1).
            return;
        }
        if distance(edge, end) > 0 {
            let ahead = distance(edge, header.seq);
            if ahead != 0 {
                self.leap(from, edge, header.seq, end);
            }
            self.tcp.edges[from] = end;
            if payload > 0 {
                if self.marks.of(from, Marks::FIN) {
                    // Behind its FIN: somebody else sent that.
                    self.marks.set_of(from, Marks::FIN, false);
                    self.marks.set_of(from, Marks::FIN_HEARD, false);
                }
                self.say(from, time);
            } else {
                // What waits for its acknowledgement ends before this FIN, if that follows it at once.
                let follows = ahead == 0 && !self.marks.of(from, Marks::FIN_BEHIND);
                self.marks.set_of(from, Marks::FIN_BEHIND, follows);
                self.marks.set_of(from, Marks::UNACKNOWLEDGED, follows && self.marks.of(from, Marks::UNACKNOWLEDGED));
            }
        } else if self.fill(from, header.seq, end) {
            self.event(from, Event::OutOfOrder);
        } else {
            self.event(from, Event::Retransmission);
            // Which of the two is acknowledged cannot be told (Karn's rule).
            self.marks.set_of(from, Marks::UNACKNOWLEDGED, false);
        }
    }

    /// New data: an answer to what the other end said last, and something to be acknowledged.
    #[inline]
    fn say(&mut self, from: End, time: Timestamp) {
        if self.marks.has(Marks::RESET * 3) {
            return;
        }
        let other = from.other();
        if self.marks.of(other, Marks::SPOKE_LAST) {
            self.add_art(from, self.tcp.talk.since_said(other, time));
        }
        self.marks.set_of(other, Marks::SPOKE_LAST, false);
        self.marks.set_of(from, Marks::SPOKE_LAST, true);
        self.tcp.talk.set_said(from, time);
        self.marks.set_of(from, Marks::UNACKNOWLEDGED, true);
        self.marks.set_of(from, Marks::FIN_BEHIND, false);
    }

    /// Only a bare ACK is the kernel's alone: one with data waited for the application.
    #[inline]
    fn acknowledge(&mut self, from: End, time: Timestamp, ack: u32, is_bare: bool) {
        let other = from.other();
        if !self.marks.of(other, Marks::UNACKNOWLEDGED) {
            return;
        }
        let end = self.tcp.edges[other].wrapping_sub(u32::from(self.marks.of(other, Marks::FIN_BEHIND)));
        if distance(end, ack) >= 0 {
            self.marks.set_of(other, Marks::UNACKNOWLEDGED, false);
            if is_bare {
                self.add_srt(from, self.tcp.talk.since_said(other, time));
            }
        }
    }

    /// The segment does not begin where the last one ended: it leaves a hole, or repeats something before what is new.
    #[cold]
    fn leap(&mut self, from: End, edge: u32, start: u32, end: u32) {
        if distance(edge, start) > 0 {
            self.side_mut().holes.get_or_insert_default()[from].open(edge, start);
        } else {
            self.fill(from, start, end);
        }
    }

    /// Whether any of it was missing.
    fn fill(&mut self, from: End, start: u32, end: u32) -> bool {
        let holes = self.side.as_deref_mut().and_then(|side| side.holes.as_deref_mut());
        holes.is_some_and(|holes| holes[from].fill(start, end))
    }
}
