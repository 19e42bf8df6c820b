//! The form that nearly all frames have, read in one go.

use super::transport::{Flags, Segment, tcp, udp};
use super::tunnel::may_be_tunnel;
use super::{Header, Layer, Region, TcpHeader, View};
use crate::key::{Route, Tuple};
use crate::{LinkType, Packet};

/// IEEE 802.1Q and 802.1ad.
const VLAN: [u8; 2] = [0x81, 0x00];
const SERVICE_VLAN: [u8; 2] = [0x88, 0xa8];

/// The frame that nearly all are: Ethernet without a tag, IPv4 without options, TCP. `None` for every other, and where something is wrong.
#[inline(always)]
pub(crate) fn plainest<'a>(packet: &Packet<'a>) -> Option<View<'a>> {
    let (head, behind) = packet.captured.split_first_chunk::<54>()?;
    let [
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        t0,
        t1,
        version,
        _,
        l0,
        l1,
        _,
        _,
        fragment,
        offset,
        _,
        protocol,
        _,
        _,
        ip @ ..,
    ] = *head;
    let [a, b, c, d, e, f, g, h, p0, p1, p2, p3, s0, s1, s2, s3, a0, a1, a2, a3, length, flags, w0, w1, ..] = ip;
    let is_tcp_over_ipv4 = packet.link == LinkType::ETHERNET
        && packet.vlan.is_none()
        && [t0, t1, version, protocol] == [0x08, 0x00, 0x45, Tuple::TCP]
        && fragment & 0x3f | offset == 0;
    let behind = Region::new(behind, u32::from(u16::from_be_bytes([l0, l1])).checked_sub(40)?);
    let options_len = (length >> 4).checked_sub(5)? * 4;
    if !is_tcp_over_ipv4 || u32::from(options_len) > behind.len {
        return None;
    }
    let route = Route::V4 { from: u32::from_be_bytes([a, b, c, d]), to: u32::from_be_bytes([e, f, g, h]) };
    let [from_port, to_port] = [[p0, p1], [p2, p3]].map(u16::from_be_bytes);
    let (tuple, from) = Tuple::of(route, Tuple::TCP, from_port, to_port);
    let header = TcpHeader {
        seq: u32::from_be_bytes([s0, s1, s2, s3]),
        ack: u32::from_be_bytes([a0, a1, a2, a3]),
        flags: Flags(flags),
        window: u16::from_be_bytes([w0, w1]),
    };
    let (frames, frame_bytes) = (1, u64::from(packet.original_len));
    Some(View { tuple, from, header: Header::Tcp(header), behind, options_len, frames, frame_bytes })
}

/// A plain frame, read.
pub(crate) struct Plain<'a> {
    pub(crate) view: View<'a>,
    /// Of its VLAN.
    pub(crate) tag: Option<Layer>,
}

/// A frame of Ethernet, with a VLAN tag or without, IPv4 without options or IPv6 without extension headers, and TCP or UDP that is no
/// tunnel. `None` for every other: those are read header by header, with the same result for these.
#[inline(always)]
pub(crate) fn plain<'a>(packet: &Packet<'a>) -> Option<Plain<'a>> {
    if packet.link != LinkType::ETHERNET {
        return None;
    }
    let (ethernet, behind) = packet.captured.split_first_chunk::<14>()?;
    let (tag, ether_type, ip) = match ([ethernet[12], ethernet[13]], packet.vlan) {
        (VLAN | SERVICE_VLAN, Some(_)) => return None,
        (VLAN | SERVICE_VLAN, None) => {
            let ([upper, lower, a, b], ip) = behind.split_first_chunk()?;
            (Some(u16::from_be_bytes([*upper, *lower])), [*a, *b], ip)
        }
        (ether_type, vlan) => (vlan, ether_type, behind),
    };
    let (route, protocol, payload) = match ether_type {
        [0x08, 0x00] => {
            let (header, behind) = ip.split_first_chunk::<20>()?;
            let [_, _, _, _, _, _, flags, offset, _, protocol, _, _, a, b, c, d, e, f, g, h] = *header;
            let total = u32::from(u16::from_be_bytes([header[2], header[3]]));
            let is_whole = flags & 0x3f | offset == 0;
            if header[0] != 0x45 || !is_whole {
                return None;
            }
            let (from, to) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
            (Route::V4 { from, to }, protocol, Region::new(behind, total.checked_sub(20)?))
        }
        [0x86, 0xdd] => {
            let (header, behind) = ip.split_first_chunk::<40>()?;
            let length = u32::from(u16::from_be_bytes([header[4], header[5]]));
            if header[0] >> 4 != 6 || length == 0 {
                return None;
            }
            let word = |at: usize| Some(u64::from_be_bytes(header.get(at..at + 8)?.try_into().ok()?));
            let (from, to) = ([word(8)?, word(16)?], [word(24)?, word(32)?]);
            (Route::V6 { from, to }, header[6], Region::new(behind, length))
        }
        _ => return None,
    };
    let segment = match protocol {
        Tuple::TCP => tcp(payload).ok()?,
        Tuple::UDP => udp(payload).ok()?,
        _ => return None,
    };
    let (tuple, from) = Tuple::of(route, protocol, segment.from_port, segment.to_port);
    let (frames, frame_bytes) = (1, u64::from(packet.original_len));
    let Segment { header, behind, options_len, .. } = segment;
    let view = View { tuple, from, header, behind, options_len, frames, frame_bytes };
    if protocol == Tuple::UDP && may_be_tunnel(&view) {
        return None;
    }
    Some(Plain { view, tag: tag.map(|tag| Layer::Vlan(tag & 0xfff)) })
}
