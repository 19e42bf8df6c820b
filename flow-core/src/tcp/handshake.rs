//! The three steps that open a connection, and how long they take.
//!
//! ```text
//!  client      tap      server
//!    │── SYN ───●─────────▶│  ┐ rtt_server ┐
//!    │◀─────────●─ SYN-ACK─│  ┘ ┐          │ rtt
//!    │── ACK ───●─────────▶│    ┘rtt_client┘
//! ```

use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::decode::TcpHeader;
use crate::flow::Flow;
use crate::key::End;
use crate::marks::Marks;

/// When its steps were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handshake {
    syn: Option<Timestamp>,
    syn_ack: Option<Timestamp>,
    ack: Option<Timestamp>,
}

impl Handshake {
    /// First SYN → ACK of the SYN-ACK.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        Some(self.ack?.since(self.syn?))
    }

    /// First SYN-ACK → ACK of it.
    pub(crate) fn rtt_client(&self) -> Option<Duration> {
        Some(self.ack?.since(self.syn_ack?))
    }

    /// First SYN → first SYN-ACK.
    pub(crate) fn rtt_server(&self) -> Option<Duration> {
        Some(self.syn_ack?.since(self.syn?))
    }
}

impl Flow {
    /// Takes in a segment as long as the handshake is not complete.
    pub(super) fn shake_hands(&mut self, from: End, time: Timestamp, header: &TcpHeader) {
        let (flags, marks) = (header.flags, self.marks);
        let mut handshake = self.handshake();
        match (flags.syn(), flags.ack()) {
            (true, false) if !marks.has(Marks::SYN | Marks::SYN_ACK) => {
                self.marks.set(Marks::SYN, true);
                handshake.syn = Some(time);
            }
            (true, true) if !marks.has(Marks::SYN_ACK) => {
                self.marks.set_accepter(from);
                handshake.syn_ack = Some(time);
            }
            (false, true)
                if marks.has(Marks::SYN_ACK)
                    && marks.accepter() != from
                    && header.ack == self.tcp.initial[marks.accepter()].wrapping_add(1) =>
            {
                self.marks.set(Marks::ACK, true);
                self.who.tag.settle_scales();
                handshake.ack = Some(time);
            }
            _ => return,
        }
        self.set_handshake(handshake);
    }

    pub(crate) fn handshake(&self) -> Handshake {
        if let Some(kept) = self.side.as_deref().and_then(|side| side.handshake.as_deref()) {
            return *kept;
        }
        let after =
            |mark: u32, nanos: u32| self.marks.has(mark).then(|| self.first + Duration::from_nanos(u64::from(nanos)));
        Handshake {
            syn: after(Marks::SYN, 0),
            syn_ack: after(Marks::SYN_ACK, self.tcp.syn_ack_after),
            ack: after(Marks::ACK, self.tcp.ack_after),
        }
    }

    /// Keeps it as distances from the first packet, if that is the SYN and all followed within four seconds.
    pub(crate) fn set_handshake(&mut self, handshake: Handshake) {
        let after = |time: Option<Timestamp>| {
            let time = time.unwrap_or(self.first);
            u32::try_from(time.since(self.first).as_nanos()).ok().filter(|_| time >= self.first)
        };
        match (after(handshake.syn), after(handshake.syn_ack), after(handshake.ack)) {
            (Some(0), Some(syn_ack), Some(ack)) if !self.has_kept_handshake() => {
                (self.tcp.syn_ack_after, self.tcp.ack_after) = (syn_ack, ack);
            }
            _ => self.side_mut().handshake = Some(Box::new(handshake)),
        }
    }

    fn has_kept_handshake(&self) -> bool {
        self.side.as_deref().is_some_and(|side| side.handshake.is_some())
    }
}
