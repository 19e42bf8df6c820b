//! Counters of a conversation, small while they are.
//!
//! Nearly all conversations are short. What does not fit is counted in [`EndCounters`], which are large: the sum of both is always exact.

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
    /// By [`Event`].
    events: [u64; Event::COUNT],
    /// How long this end's receive window was closed.
    pub(crate) zero_window_ns: u64,
    /// How long the other end's window kept this one from sending.
    pub(crate) window_limited_ns: u64,
    /// How fast this end's kernel acknowledged.
    pub(crate) srt: Durations,
    /// How long this end's application waited before it spoke after the other: a server to answer, a client with its next request.
    pub(crate) turn: Durations,
}

/// The counters of both ends.
pub(crate) type Large = [EndCounters; 2];

/// What is counted of single packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Event {
    Syn,
    SynAck,
    Fin,
    Rst,
    SynAgain,
    DataAgain,
    // The ones below are rare, or come along with what takes more memory than they do: they have no place in [`Counts`].
    SynAckAgain,
    FinAgain,
    /// One of those sent again whose numbers the other end had acknowledged.
    Spurious,
    OutOfOrder,
    DuplicateAck,
    ZeroWindow,
}

impl Event {
    const COUNT: usize = Self::ZeroWindow as usize + 1;
    /// Those that have a place in [`Counts`].
    const SMALL: [Self; 6] = [Self::Syn, Self::SynAck, Self::Fin, Self::Rst, Self::SynAgain, Self::DataAgain];

    /// Its place in [`Counts`]: the lowest bit, and as many ones as there are bits.
    const fn place(self) -> (u32, u16) {
        match self {
            Self::Syn => (0, 7),
            Self::SynAck => (3, 7),
            Self::SynAgain => (6, 7),
            Self::DataAgain => (9, 7),
            Self::Fin => (12, 3),
            Self::Rst => (14, 3),
            _ => (0, 0),
        }
    }
}

/// Counters of both ends, in few bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    bytes: [u32; 2],
    payload_bytes: [u32; 2],
    packets: [u16; 2],
    events: [u16; 2],
    times: Brief,
}

/// What [`Counts`] keeps [`Durations`] of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Time {
    /// How fast the end that is taken for the server acknowledged.
    ServerSrt,
    ServerTurn,
    ClientTurn,
}

/// [`Durations`] of each [`Time`]: up to 31 of up to four seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Brief {
    max_ns: [u32; 3],
    /// The lower halves of the sums.
    sum_ns: [u32; 3],
    /// Of each ten bits: five of the count, five of the sum above its lower half.
    more: u32,
}

impl EndCounters {
    pub(crate) fn count(&mut self, event: Event) {
        self.events[event as usize] += 1;
    }

    pub(crate) fn of(&self, event: Event) -> u64 {
        self.events[event as usize]
    }

    /// Everything that was sent again.
    fn again(&self) -> u64 {
        let kinds = [Event::SynAgain, Event::SynAckAgain, Event::DataAgain, Event::FinAgain];
        kinds.into_iter().map(|event| self.of(event)).sum()
    }

    fn since(&self, before: &Self) -> Self {
        let durations = |now: &Durations, before: &Durations| Durations {
            count: now.count.saturating_sub(before.count),
            sum_ns: now.sum_ns.saturating_sub(before.sum_ns),
            // The longest of all so far, if there was one since.
            max_ns: if now.count > before.count { now.max_ns } else { 0 },
        };
        Self {
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
            payload_bytes: self.payload_bytes.saturating_sub(before.payload_bytes),
            events: std::array::from_fn(|event| self.events[event].saturating_sub(before.events[event])),
            zero_window_ns: self.zero_window_ns.saturating_sub(before.zero_window_ns),
            window_limited_ns: self.window_limited_ns.saturating_sub(before.window_limited_ns),
            srt: durations(&self.srt, &before.srt),
            turn: durations(&self.turn, &before.turn),
        }
    }
}

impl Counts {
    /// Counts packets. Says whether there was room.
    #[inline]
    #[must_use]
    pub(crate) fn packets(&mut self, from: End, packets: u32, bytes: u64, payload: u32) -> bool {
        let sums = (
            u16::try_from(packets).ok().and_then(|packets| self.packets[from].checked_add(packets)),
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
        let (shift, mask) = event.place();
        let has_room = self.events[from] >> shift & mask < mask;
        self.events[from] += u16::from(has_room) << shift;
        has_room
    }

    /// Adds to the server's system responses. Says whether there was room.
    #[must_use]
    pub(crate) fn srt(&mut self, duration: Duration) -> bool {
        self.times.add(Time::ServerSrt, duration)
    }

    /// Adds to how long an end waited before it spoke. Says whether there was room.
    #[must_use]
    pub(crate) fn turn(&mut self, is_server: bool, duration: Duration) -> bool {
        self.times.add(if is_server { Time::ServerTurn } else { Time::ClientTurn }, duration)
    }

    /// Whether packets of this end were counted.
    pub(crate) fn has_packets(&self, end: End) -> bool {
        self.packets[end] > 0
    }

    /// Adds itself to `large`.
    pub(crate) fn add_to(&self, large: &mut Large, server: End) {
        for end in End::BOTH {
            let sums = &mut large[end];
            sums.packets += u64::from(self.packets[end]);
            sums.bytes += u64::from(self.bytes[end]);
            sums.payload_bytes += u64::from(self.payload_bytes[end]);
            for event in Event::SMALL {
                let (shift, mask) = event.place();
                sums.events[event as usize] += u64::from(self.events[end] >> shift & mask);
            }
        }
        large[server].srt.merge(&self.times.of(Time::ServerSrt));
        large[server].turn.merge(&self.times.of(Time::ServerTurn));
        large[server.other()].turn.merge(&self.times.of(Time::ClientTurn));
    }
}

impl Brief {
    const BITS: u32 = 5;
    const MOST: u32 = (1 << Self::BITS) - 1;

    #[inline(never)]
    fn add(&mut self, time: Time, duration: Duration) -> bool {
        let (place, shift) = (time as usize, time as u32 * 2 * Self::BITS);
        let count = self.more >> shift & Self::MOST;
        let Some(nanos) = u32::try_from(nanos(duration)).ok().filter(|_| count < Self::MOST) else { return false };
        let (sum, carries) = self.sum_ns[place].overflowing_add(nanos);
        self.sum_ns[place] = sum;
        self.max_ns[place] = self.max_ns[place].max(nanos);
        // As many durations cannot carry more often than there is room for.
        self.more += (1 + (u32::from(carries) << Self::BITS)) << shift;
        true
    }

    fn of(&self, time: Time) -> Durations {
        let (place, shift) = (time as usize, time as u32 * 2 * Self::BITS);
        let (count, carried) = (self.more >> shift & Self::MOST, self.more >> (shift + Self::BITS) & Self::MOST);
        Durations {
            count: u64::from(count),
            sum_ns: u64::from(carried) << 32 | u64::from(self.sum_ns[place]),
            max_ns: u64::from(self.max_ns[place]),
        }
    }
}

/// What was counted since.
pub(crate) fn since(now: &Large, before: &Large) -> Large {
    End::BOTH.map(|end| now[end].since(&before[end]))
}

/// What was counted, by role.
pub(crate) fn by_role(client: End, counted: &Large) -> Counters {
    let (client, server) = (&counted[client], &counted[client.other()]);
    let events = |event: Event| Sides { client: client.of(event), server: server.of(event) };
    let fin = events(Event::Fin);
    Counters {
        packets: Sides { client: client.packets, server: server.packets },
        bytes: Sides { client: client.bytes, server: server.bytes },
        payload_bytes: Sides { client: client.payload_bytes, server: server.payload_bytes },
        syn: events(Event::Syn),
        syn_ack: events(Event::SynAck),
        fin: fin.client + fin.server,
        rst: events(Event::Rst),
        retransmissions: Sides { client: client.again(), server: server.again() },
        syn_retransmissions: events(Event::SynAgain),
        syn_ack_retransmissions: events(Event::SynAckAgain),
        data_retransmissions: events(Event::DataAgain),
        spurious_retransmissions: events(Event::Spurious),
        out_of_order: events(Event::OutOfOrder),
        duplicate_acks: events(Event::DuplicateAck),
        zero_windows: events(Event::ZeroWindow),
        zero_window_ns: Sides { client: client.zero_window_ns, server: server.zero_window_ns },
        window_limited_ns: Sides { client: client.window_limited_ns, server: server.window_limited_ns },
        srt: server.srt,
        art: server.turn,
        idle: client.turn,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_fits_is_kept_exactly(times in prop::collection::vec((0..3u8, any::<u32>()), 0..120)) {
            let (mut brief, mut sums) = (Brief::default(), [Durations::default(); 3]);
            for (which, nanos) in times {
                let time = [Time::ServerSrt, Time::ServerTurn, Time::ClientTurn][usize::from(which)];
                let has_room = sums[usize::from(which)].count < 31;
                let duration = Duration::from_nanos(u64::from(nanos));
                prop_assert_eq!(brief.add(time, duration), has_room);
                if has_room {
                    sums[usize::from(which)].add(duration);
                }
                prop_assert_eq!([Time::ServerSrt, Time::ServerTurn, Time::ClientTurn].map(|time| brief.of(time)), sums);
            }
        }
    }

    #[test]
    fn events_do_not_run_into_each_other() {
        for event in Event::SMALL {
            let mut counts = Counts::default();
            let counted = (0..100).take_while(|_| counts.event(End::High, event)).count();
            assert!(counted > 0, "{event:?}");
            let mut large = Large::default();
            counts.add_to(&mut large, End::Low);
            let mut expected = [0; Event::COUNT];
            expected[event as usize] = counted as u64;
            assert_eq!((large[End::High].events, large[End::Low].events), (expected, [0; Event::COUNT]));
        }
        assert!(!Counts::default().event(End::Low, Event::ZeroWindow), "it has no place");
    }

    #[test]
    fn a_duration_too_long_finds_no_room() {
        assert!(!Brief::default().add(Time::ServerTurn, Duration::from_secs(5)));
    }
}
