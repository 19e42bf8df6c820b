//! How long the other end's receive window is what keeps a sender from sending.
//!
//! ```text
//!  client      tap      server
//!    │◀─────────●── ACK 1, window 3000 ─│
//!    │── 1000 bytes ───●───────────────▶│
//!    │── 1000 bytes ───●───────────────▶│
//!    │── 1000 bytes ───●───────────────▶│  ┐ the client is limited by the server's window
//!    │◀─────────●── ACK 3000, window 3000 ─│  ┘
//! ```

use super::Tcp;
use super::sequence::distance;
use crate::key::End;
use crate::marks::Marks;

/// What fits into a frame of Ethernet with its headers and timestamps. Who may send less than that waits for more room.
const FULL_SEGMENT: u32 = 1448;

impl Tcp {
    /// Whether the other end's window, less what is under way, leaves no room for a full segment; or for half the window, if that is less and
    /// it is one that is never shifted, so that it may always be small (RFC 9293 §3.8.6.2.1). Unknown are the windows of a connection whose
    /// SYNs were not both seen: they may be shifted.
    #[inline(always)]
    pub(crate) fn is_limited(&self, sender: End, marks: Marks) -> bool {
        let receiver = sender.other();
        let under_way = distance(self.acks[receiver], self.edges[sender]).max(0).cast_unsigned();
        (under_way > 0 || u32::from(self.windows[receiver]) < FULL_SEGMENT)
            && self.has_no_room(receiver, under_way, marks)
    }

    #[inline]
    fn has_no_room(&self, receiver: End, under_way: u32, marks: Marks) -> bool {
        // Windows are shifted only if both want that (RFC 7323 §2.2).
        let scales = [self.steps.scale(End::Low), self.steps.scale(End::High)];
        let shift = if let [Some(_), Some(_)] = scales { scales[receiver].unwrap_or_default() } else { 0 };
        let window = u32::from(self.windows[receiver]) << shift;
        let wanted = if shift > 0 { FULL_SEGMENT } else { FULL_SEGMENT.min(window / 2).max(1) };
        let is_known = marks.both(Marks::BEGUN) && self.acks[receiver] != 0 && !marks.has(Marks::RESET * 3);
        is_known && window.saturating_sub(under_way) < wanted
    }
}
