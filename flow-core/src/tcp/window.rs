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

/// What fits into a frame of Ethernet with its headers and timestamps. Who may send less than that waits for more room.
const FULL_SEGMENT: u32 = 1448;

impl Tcp {
    /// Whether the other end's window, less what is under way, leaves no room for a full segment; or for half the window, if that is less and
    /// it is one that is never shifted, so that it may always be small (RFC 9293 §3.8.6.2.1). Asked of connections whose handshake was seen.
    #[inline(always)]
    pub(crate) fn is_limited(&self, sender: End) -> bool {
        let receiver = sender.other();
        let shift = self.steps.shift(receiver);
        let window = u32::from(self.windows[receiver]) << shift;
        let wanted = if shift > 0 { FULL_SEGMENT } else { FULL_SEGMENT.min(window / 2).max(1) };
        let under_way = distance(self.acks[receiver], self.edges[sender]).max(0).cast_unsigned();
        window < wanted.saturating_add(under_way)
    }
}
