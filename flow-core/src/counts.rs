//! Counters of a conversation, small while they are.
//!
//! Nearly all conversations are short. What does not fit is carried over to [`EndCounters`], which are large, and the small ones begin
//! anew: the sum of both is always exact.

use std::time::Duration;

use crate::key::End;
use crate::record::nanos;
use crate::{Counters, Durations, Sides};

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

/// The counters of both ends.
pub(crate) type Large = [EndCounters; 2];

/// What is counted of single packets, in the order of their bits in [`Counts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Event {
    Syn,
    SynAck,
    Fin,
    Rst,
    OutOfOrder,
    ZeroWindow,
    Retransmission,
}

/// Counters of both ends, in few bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    packets: [u32; 2],
    bytes: [u32; 2],
    payload_bytes: [u32; 2],
    /// Of each end four bits for each [`Event`], eight for retransmissions.
    events: [u32; 2],
    /// Of the end that is taken for the server.
    srt: Brief,
    art: Brief,
}

/// [`Durations`] of up to four seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Brief {
    count: u32,
    max_ns: u32,
    /// Lower half first: eight bytes aligned as four.
    sum_ns: [u32; 2],
}

impl Counts {
    /// Counts packets. Says whether there was room.
    #[inline]
    #[must_use]
    pub(crate) fn packets(&mut self, from: End, packets: u32, bytes: u64, payload: u32) -> bool {
        let sums = (
            self.packets[from].checked_add(packets),
            u32::try_from(bytes).ok().and_then(|bytes| self.bytes[from].checked_add(bytes)),
            self.payload_bytes[from].checked_add(payload),
        );
        let (Some(packets), Some(bytes), Some(payload)) = sums else { return false };
        (self.packets[from], self.bytes[from], self.payload_bytes[from]) = (packets, bytes, payload);
        true
    }

    /// Counts a packet of a kind. Says whether there was room.
    #[inline]
    #[must_use]
    pub(crate) fn event(&mut self, from: End, event: Event) -> bool {
        let mask = if event == Event::Retransmission { 0xff } else { 0xf };
        let shift = event as u32 * 4;
        let has_room = self.events[from] >> shift & mask < mask;
        self.events[from] += u32::from(has_room) << shift;
        has_room
    }

    /// Adds to the server's system responses. Says whether there was room.
    #[must_use]
    pub(crate) fn srt(&mut self, duration: Duration) -> bool {
        self.srt.add(duration)
    }

    /// Adds to the server's application responses. Says whether there was room.
    #[must_use]
    pub(crate) fn art(&mut self, duration: Duration) -> bool {
        self.art.add(duration)
    }

    /// Whether packets of this end were counted.
    pub(crate) fn has_packets(&self, end: End) -> bool {
        self.packets[end] > 0
    }

    /// Adds itself to `large`.
    pub(crate) fn add_to(&self, large: &mut Large, server: End) {
        for end in End::BOTH {
            let event = |event: Event| {
                let mask = if event == Event::Retransmission { 0xff } else { 0xf };
                u64::from(self.events[end] >> (event as u32 * 4) & mask)
            };
            let sums = &mut large[end];
            sums.packets += u64::from(self.packets[end]);
            sums.bytes += u64::from(self.bytes[end]);
            sums.payload_bytes += u64::from(self.payload_bytes[end]);
            sums.syn += event(Event::Syn);
            sums.syn_ack += event(Event::SynAck);
            sums.fin += event(Event::Fin);
            sums.rst += event(Event::Rst);
            sums.retransmissions += event(Event::Retransmission);
            sums.out_of_order += event(Event::OutOfOrder);
            sums.zero_windows += event(Event::ZeroWindow);
        }
        large[server].srt.merge(&self.srt.durations());
        large[server].art.merge(&self.art.durations());
    }
}

impl Brief {
    fn sum(&self) -> u64 {
        let [lower, upper] = self.sum_ns.map(u64::from);
        upper << 32 | lower
    }

    fn add(&mut self, duration: Duration) -> bool {
        let (Ok(nanos), Some(count)) = (u32::try_from(nanos(duration)), self.count.checked_add(1)) else {
            return false;
        };
        let Some(sum) = self.sum().checked_add(u64::from(nanos)) else { return false };
        *self = Self { count, max_ns: self.max_ns.max(nanos), sum_ns: [sum as u32, (sum >> 32) as u32] };
        true
    }

    fn durations(&self) -> Durations {
        Durations { count: u64::from(self.count), sum_ns: self.sum(), max_ns: u64::from(self.max_ns) }
    }
}

/// What was counted since, by role.
pub(crate) fn by_role(client: End, now: &Large, since: &Large) -> Counters {
    let sides = |field: fn(&EndCounters) -> u64| {
        let of = |end: End| field(&now[end]).saturating_sub(field(&since[end]));
        Sides { client: of(client), server: of(client.other()) }
    };
    let server = client.other();
    let durations = |field: fn(&EndCounters) -> Durations| {
        let (now, since) = (field(&now[server]), field(&since[server]));
        Durations {
            count: now.count.saturating_sub(since.count),
            sum_ns: now.sum_ns.saturating_sub(since.sum_ns),
            // The longest of all so far, if there was one since.
            max_ns: if now.count > since.count { now.max_ns } else { 0 },
        }
    };
    let fin = sides(|end| end.fin);
    Counters {
        packets: sides(|end| end.packets),
        bytes: sides(|end| end.bytes),
        payload_bytes: sides(|end| end.payload_bytes),
        syn: sides(|end| end.syn),
        syn_ack: sides(|end| end.syn_ack),
        fin: fin.client + fin.server,
        rst: sides(|end| end.rst),
        retransmissions: sides(|end| end.retransmissions),
        out_of_order: sides(|end| end.out_of_order),
        zero_windows: sides(|end| end.zero_windows),
        srt: durations(|end| end.srt),
        art: durations(|end| end.art),
    }
}
