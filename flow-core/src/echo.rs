//! How fast echoes come back (ICMP: RFC 792, ICMPv6: RFC 4443 §4).
//!
//! ```text
//!  client      tap      server
//!    │─ request ●─────────▶│  ┐ srt: who answers is the kernel
//!    │◀─────────●── reply ─│  ┘
//! ```
//!
//! A reply belongs to the last request with its sequence number, and is counted once.

use protocol_parsers::Timestamp;

use crate::decode::Echo;
use crate::flow::Flow;
use crate::key::End;
use crate::marks::Marks;

/// Requests that were followed by others before their reply came, oldest first.
#[derive(Default)]
pub(crate) struct Echoes(Vec<(End, u16, Timestamp)>);

/// So many may be on their way; the oldest is forgotten.
const MOST_ECHOES: usize = 32;

impl Echoes {
    fn keep(&mut self, from: End, sequence: u16, time: Timestamp) {
        if self.0.len() == MOST_ECHOES {
            self.0.remove(0);
        }
        self.0.push((from, sequence, time));
    }

    fn take(&mut self, from: End, sequence: u16) -> Option<Timestamp> {
        let place = self.0.iter().rposition(|(end, number, _)| (*end, *number) == (from, sequence))?;
        Some(self.0.remove(place).2)
    }
}

/// Of an end whose last request waits for its reply, what else is that of sequence numbers is the request's.
impl Flow {
    /// Takes in a request or reply.
    pub(crate) fn echo(&mut self, from: End, time: Timestamp, echo: Echo) {
        let asker = if echo.is_reply { from.other() } else { from };
        let waits = self.marks.of(asker, Marks::UNACKNOWLEDGED);
        let (last, passed) = (self.tcp.asked(asker), self.tcp.since_said(asker, time));
        if !echo.is_reply {
            if waits && last != echo.sequence {
                let asked = Timestamp::from_nanos(time.as_nanos().saturating_sub(crate::record::nanos(passed)));
                self.side_mut().echoes.get_or_insert_default().keep(from, last, asked);
            }
            self.marks.set_of(from, Marks::UNACKNOWLEDGED, true);
            self.tcp.ask(from, echo.sequence, time);
        } else if waits && last == echo.sequence {
            self.marks.set_of(asker, Marks::UNACKNOWLEDGED, false);
            self.add_srt(from, passed);
        } else if let Some(echoes) = self.side.as_deref_mut().and_then(|side| side.echoes.as_deref_mut())
            && let Some(asked) = echoes.take(asker, echo.sequence)
        {
            self.add_srt(from, time.since(asked));
        }
    }
}
