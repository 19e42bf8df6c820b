//! What the headers of a connection tell of its health.
//!
//! How long who takes, seen from where the packets are captured:
//!
//! ```text
//!  client      tap      server
//!    │── data ──●─────────▶│  ┐ srt: its kernel has all of it
//!    │◀─────────●─── ACK ──│  ┘                               ┐
//!    │── data ──●─────────▶│  ┐ art: its application answers  │ (not the
//!    │◀─────────●── data ──│  ┘                               │  kernel's)
//!    │◀─────────●── data ──│  ┐                               ┘
//!    │─── ACK ──●─────────▶│  │ idle: the client has what it asked for
//!    │── data ──●─────────▶│  ┘
//! ```
//!
//! What was sent again, and what for:
//!
//! ```text
//!    │── 1 ─────●─────────▶│
//!    │── 2 ─────●────✕     │
//!    │── 3 ─────●─────────▶│
//!    │◀─────────●── ACK 1 ─│
//!    │── 4 ─────●─────────▶│
//!    │◀─────────●── ACK 1 ─│  a duplicate ACK: something behind the hole has come
//!    │── 2 ─────●─────────▶│  a retransmission
//!    │◀─────────●── ACK 4 ─│
//!    │── 3 ─────●─────────▶│  a spurious one: it was acknowledged
//! ```
//!
//! A retransmission is one of data, of a SYN, of a SYN-ACK or of a FIN alone. Had the tap not seen the first 2, the second would have been
//! out of order: it fills a hole.
//!
//! How long a reader does not read:
//!
//! ```text
//!    │◀─────────●─ win 0 ──│  ┐ zero window of the server
//!    │─ probe ──●─────────▶│  │
//!    │◀─────────●─ win 0 ──│  │ another
//!    │◀─────────●─ win 9 ──│  ┘
//! ```

use protocol_parsers::Timestamp;

use super::Segment;
use super::sequence::distance;
use crate::counts::Event;
use crate::decode::TcpHeader;
use crate::flow::Flow;
use crate::key::End;
use crate::marks::Marks;

impl Flow {
    /// Takes in the sequence numbers of a segment that `from` sent with so many bytes of payload.
    #[inline]
    pub(super) fn measure(&mut self, segment: &Segment<'_>) {
        let Segment { from, time, header, payload, .. } = *segment;
        let flags = header.flags;
        if !flags.syn() {
            let is_closed = header.window == 0;
            self.marks.set_of(from, Marks::WINDOW_CLOSED, is_closed);
            if is_closed {
                self.event(from, Event::ZeroWindow);
            }
        }
        let span = segment.span();
        if flags.ack() {
            self.acknowledge(segment);
        }
        if span == 0 {
            return;
        }
        let (edge, end) = (self.tcp.edges[from], segment.end());
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
            self.repeat(segment);
        }
    }

    /// Behind what waits for its acknowledgement.
    #[inline(always)]
    pub(super) fn end_of_data(&self, of: End) -> u32 {
        self.tcp.edges[of].wrapping_sub(u32::from(self.marks.of(of, Marks::FIN_BEHIND)))
    }

    /// New data: an answer to what the other end said last, and something to be acknowledged.
    #[inline]
    pub(super) fn say(&mut self, from: End, time: Timestamp) {
        if self.marks.has(Marks::RESET * 3) {
            return;
        }
        self.speak(from, time);
        self.marks.set_of(from, Marks::UNACKNOWLEDGED, true);
        self.marks.set_of(from, Marks::FIN_BEHIND, false);
    }

    /// Something is said, whatever the transport: perhaps it is the other one's turn no more.
    #[inline]
    pub(crate) fn speak(&mut self, from: End, time: Timestamp) {
        let other = from.other();
        if self.marks.of(other, Marks::SPOKE_LAST) {
            self.add_turn(from, self.tcp.talk.since_said(other, time));
        }
        self.marks.set_of(other, Marks::SPOKE_LAST, false);
        self.marks.set_of(from, Marks::SPOKE_LAST, true);
        self.tcp.talk.set_said(from, time);
    }

    /// What was all seen comes again.
    #[cold]
    fn repeat(&mut self, segment: &Segment<'_>) {
        let Segment { from, header, payload, .. } = *segment;
        let flags = header.flags;
        self.event(
            from,
            match (flags.syn(), flags.ack()) {
                (true, false) => Event::SynAgain,
                (true, true) => Event::SynAckAgain,
                _ if payload > 0 => Event::DataAgain,
                _ => Event::FinAgain,
            },
        );
        let acked = self.tcp.acks[from.other()];
        // None is 0.
        if acked != 0 && distance(segment.end(), acked) >= 0 {
            self.event(from, Event::Spurious);
        } else {
            self.note_again(segment);
        }
        // Which of the two is acknowledged cannot be told by numbers (Karn's rule, RFC 6298 §3).
        self.marks.set_of(from, Marks::UNACKNOWLEDGED, false);
    }

    /// Only a bare ACK is the kernel's alone: one with data waited for the application.
    #[inline]
    fn acknowledge(&mut self, segment: &Segment<'_>) {
        let Segment { from, time, header, .. } = *segment;
        let (other, ack, is_bare) = (from.other(), header.ack, segment.span() == 0);
        if self.side.is_some() {
            self.acknowledge_repeated(segment);
        }
        if is_bare && ack == self.tcp.acks[from] {
            self.acknowledge_again(from, header);
        }
        (self.tcp.acks[from], self.tcp.windows[from]) = (ack, header.window);
        if !self.marks.of(other, Marks::UNACKNOWLEDGED) {
            return;
        }
        if distance(self.end_of_data(other), ack) >= 0 {
            self.marks.set_of(other, Marks::UNACKNOWLEDGED, false);
            if is_bare {
                self.add_srt(from, self.tcp.talk.since_said(other, time));
            }
        }
    }

    /// A bare ACK says what the segment before said: perhaps because something came that leaves a hole. It may also be told because the
    /// window is another, or because somebody asked whether this end is alive: then nothing waits for more.
    fn acknowledge_again(&mut self, from: End, header: &TcpHeader) {
        let other = from.other();
        let waits = self.marks.of(other, Marks::SEEN) && distance(header.ack, self.tcp.edges[other]) > 0;
        if waits && header.window != 0 && header.window == self.tcp.windows[from] {
            self.event(from, Event::DuplicateAck);
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
