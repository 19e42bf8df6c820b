//! What was sent twice, and which of the two was acknowledged: the clock that an acknowledgement echoes tells (RFC 7323 §4, RFC 3522 §3).
//!
//! ```text
//!  client       tap       server
//!    │── data, clock 7 ─●────▶│
//!    │── data, clock 9 ─●────▶│  ┐
//!    │◀─────────────────●─ ACK, echoes 9 ─│  ┘ srt
//!    │◀─────────────────●─ ACK, echoes 7 ─│  or: the second was spurious, and srt goes back to the first
//! ```

use protocol_parsers::Timestamp;

use super::Segment;
use super::sequence::distance;
use crate::counts::Event;
use crate::flow::Flow;
use crate::marks::Marks;

/// A segment that was sent again and not acknowledged yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    /// Behind its last sequence number.
    end: u32,
    /// Its sender's clock when it was sent for the second time.
    second_clock: u32,
    /// And for the last.
    clock: u32,
    time: Timestamp,
    /// The first was the last to be said, and its acknowledgement was waited for.
    is_timed: bool,
}

impl Flow {
    /// Notes a segment that is sent again, if it tells its sender's clock.
    pub(super) fn note_again(&mut self, segment: &Segment<'_>) {
        let Some(timestamps) = segment.options.timestamps() else { return };
        let (from, time, end) = (segment.from, segment.time, segment.end());
        let is_timed = self.marks.of(from, Marks::UNACKNOWLEDGED) && end == self.tcp.edges[from];
        let clock = timestamps.value;
        let again = Again { end, second_clock: clock, clock, time, is_timed };
        let noted = &mut self.side_mut().again.get_or_insert_default()[from];
        match noted {
            Some(noted) if noted.end == end => (noted.clock, noted.time) = (clock, time),
            // Of several the first tells first whether all that was needed.
            Some(_) => {}
            None => *noted = Some(again),
        }
    }

    /// Takes in an acknowledgement of a connection that may have sent something again.
    pub(super) fn acknowledge_repeated(&mut self, segment: &Segment<'_>) {
        let Segment { from, time, header, options, .. } = *segment;
        let (other, ack) = (from.other(), header.ack);
        let Some(noted) = self.side.as_deref_mut().and_then(|side| side.again.as_deref_mut()) else { return };
        let Some(again) = noted[other].take_if(|again| distance(again.end, ack) >= 0) else { return };
        let Some(timestamps) = options.timestamps() else { return };
        let is_of_first = distance(again.second_clock, timestamps.echo) < 0;
        if is_of_first {
            self.event(other, Event::Spurious);
        }
        // What is sent behind it may have been waited for.
        if segment.span() == 0 && ack == self.tcp.edges[other] {
            if timestamps.echo == again.clock {
                self.add_srt(from, time.since(again.time));
            } else if is_of_first && again.is_timed {
                self.add_srt(from, self.tcp.talk.since_said(other, time));
            }
        }
    }
}
