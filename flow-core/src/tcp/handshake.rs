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

/// When the steps behind the first packet were seen, and by how many bits each end shifts its windows: said in the SYNs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Steps([u32; 2]);

impl Steps {
    /// Of each word those below are nanoseconds: the steps of a quarter of a second and less. The four above are an end's shift and one
    /// more, 0 if it told none.
    const TIME_BITS: u32 = 28;
    const TIME: u32 = (1 << Self::TIME_BITS) - 1;

    /// From the first packet to the SYN-ACK, and to the ACK that ends the handshake.
    fn after(self) -> [Duration; 2] {
        self.0.map(|word| Duration::from_nanos(u64::from(word & Self::TIME)))
    }

    /// Keeps these times, if they are short enough.
    fn set_after(&mut self, after: [Duration; 2]) -> bool {
        let [syn_ack, ack] =
            after.map(|after| u32::try_from(after.as_nanos()).ok().filter(|nanos| *nanos <= Self::TIME));
        let (Some(syn_ack), Some(ack)) = (syn_ack, ack) else { return false };
        for (word, nanos) in self.0.iter_mut().zip([syn_ack, ack]) {
            *word = (*word & !Self::TIME) | nanos;
        }
        true
    }

    /// By how many bits this end shifts its windows.
    #[inline(always)]
    pub(super) fn shift(self, end: End) -> u32 {
        (self.0[end] >> Self::TIME_BITS).saturating_sub(1)
    }

    pub(crate) fn set_scale(&mut self, end: End, scale: Option<u8>) {
        let told = scale.map_or(0, |scale| u32::from(scale) + 1);
        self.0[end] = (self.0[end] & Self::TIME) | (told << Self::TIME_BITS);
    }

    /// Both have told: windows are shifted only if both want that (RFC 7323 §2.2).
    pub(super) fn settle_scales(&mut self) {
        if self.0.iter().any(|word| word >> Self::TIME_BITS == 0) {
            self.0 = self.0.map(|word| word & Self::TIME);
        }
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
                self.tcp.steps.settle_scales();
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
        let after = |mark: u32, after: Duration| self.marks.has(mark).then(|| self.first + after);
        let [syn_ack, ack] = self.tcp.steps.after();
        Handshake {
            syn: after(Marks::SYN, Duration::ZERO),
            syn_ack: after(Marks::SYN_ACK, syn_ack),
            ack: after(Marks::ACK, ack),
        }
    }

    /// Keeps it as distances from the first packet, if that is the SYN and all followed soon.
    pub(crate) fn set_handshake(&mut self, handshake: Handshake) {
        let Handshake { syn, syn_ack, ack } = handshake;
        let first = self.first;
        let [syn, syn_ack, ack] = [syn, syn_ack, ack].map(|time| time.unwrap_or(first));
        let is_in_order = syn == first && syn_ack >= first && ack >= first;
        let after = [syn_ack, ack].map(|time| time.since(first));
        if self.has_kept_handshake() || !is_in_order || !self.tcp.steps.set_after(after) {
            self.side_mut().handshake = Some(Box::new(handshake));
        }
    }

    fn has_kept_handshake(&self) -> bool {
        self.side.as_deref().is_some_and(|side| side.handshake.is_some())
    }
}
