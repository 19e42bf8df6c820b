//! A connection of which one SYN was seen and nothing else. Floods consist of these, so they are kept in as little as can be.

use protocol_parsers::Timestamp;

use crate::Packet;
use crate::decode::{Header, Region, TcpHeader, View};
use crate::flow::{Addresses, Between, Flow, Who};
use crate::key::{End, Hosts, Tuple};
use crate::tag::Tag;
use crate::tcp::Segment;

/// One SYN. Whatever comes next makes it a [`Flow`].
#[derive(Default)]
pub(crate) struct Opening {
    pub(crate) between: Between,
    /// When it was captured, and that on the steady clock: eight bytes each, aligned as four.
    time: [u32; 2],
    since: [u32; 2],
    seq: u32,
    frame_bytes: u16,
    bits: u8,
}

/// The bits.
const FROM_HIGH: u8 = 1;
const V6: u8 = 2;
/// Metrics have it.
const COUNTED: u8 = 4;
/// Above them by how many bits windows are shifted and one more, 0 if that was not said.
const SCALE: u32 = 3;

const _: () = assert!(size_of::<Opening>() <= 40, "a flood pays for every byte");

impl Opening {
    /// Whether a packet is a SYN with nothing special about it.
    pub(crate) fn is_one(view: &View<'_>) -> bool {
        let Header::Tcp(TcpHeader { flags, .. }) = view.header else { return false };
        flags.is_syn_alone() && view.payload_len() == 0 && view.frames == 1 && view.frame_bytes <= u64::from(u16::MAX)
    }

    /// The connection that this SYN opens.
    pub(crate) fn new(packet: &Packet<'_>, view: &View<'_>, now: Timestamp, addresses: &mut Addresses) -> Self {
        let seq = if let Header::Tcp(header) = view.header { header.seq } else { 0 };
        Self {
            between: Between::new(&view.tuple, packet.interface, addresses),
            time: halves(packet.time),
            since: halves(now),
            seq,
            frame_bytes: view.frame_bytes as u16,
            bits: if view.from == End::High { FROM_HIGH } else { 0 }
                | if matches!(view.tuple.hosts, Hosts::V6(_)) { V6 } else { 0 }
                | view.options().window_scale().map_or(0, |scale| (scale + 1) << SCALE),
        }
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.bits & V6 != 0
    }

    /// Whether metrics have it.
    pub(crate) fn is_counted(&self) -> bool {
        self.bits & COUNTED != 0
    }

    /// Metrics have it from now on.
    pub(crate) fn set_counted(&mut self) {
        self.bits |= COUNTED;
    }

    /// When the SYN was seen, on the steady clock.
    pub(crate) fn since(&self) -> Timestamp {
        whole(self.since)
    }

    /// What the general way makes of its SYN.
    pub(crate) fn flow(&self, id: u64, addresses: &Addresses) -> Flow {
        let time = whole(self.time);
        let header = TcpHeader::syn(self.seq);
        let view = View {
            tuple: self.between.tuple(Tuple::TCP, self.is_v6(), addresses),
            from: End::from_bit(self.bits & FROM_HIGH != 0),
            header: Header::Tcp(header),
            behind: Region::new(&[], 0),
            options_len: 0,
            frames: 1,
            frame_bytes: u64::from(self.frame_bytes),
        };
        let mut flow = Flow::new(Who { tag: Tag::new(id), between: self.between }, time, &view, &[]);
        flow.count(&view, time, self.since());
        flow.segment(&Segment { from: view.from, time, header: &header, options: view.options(), payload: 0 });
        flow.who.tag.set_scale(view.from, (self.bits >> SCALE).checked_sub(1));
        flow
    }
}

fn halves(time: Timestamp) -> [u32; 2] {
    [time.as_nanos() as u32, (time.as_nanos() >> 32) as u32]
}

fn whole([lower, upper]: [u32; 2]) -> Timestamp {
    Timestamp::from_nanos(u64::from(upper) << 32 | u64::from(lower))
}
