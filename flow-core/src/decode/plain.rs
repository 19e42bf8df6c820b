//! The form that nearly all frames have, read in one go.

use super::transport::{tcp, udp};
use super::tunnel::may_be_tunnel;
use super::{Region, View};
use crate::key::{Route, Tuple};
use crate::{LinkType, Packet};

/// A plain frame, read.
pub(crate) struct Plain<'a> {
    pub(crate) view: View<'a>,
    /// For whoever looks for its conversation.
    pub(crate) hash: u64,
}

/// A frame of Ethernet, IPv4 without options or IPv6 without extension headers, and TCP or UDP that is no tunnel. `None` for every other:
/// those are read header by header, with the same result for these.
#[inline(always)]
pub(crate) fn plain<'a>(packet: &Packet<'a>) -> Option<Plain<'a>> {
    if packet.link != LinkType::ETHERNET || packet.vlan.is_some() {
        return None;
    }
    let (ethernet, ip) = packet.captured.split_first_chunk::<14>()?;
    let (route, protocol, payload) = match [ethernet[12], ethernet[13]] {
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
    let view = View { tuple, from, header: segment.header, payload: segment.payload, frames, frame_bytes };
    if protocol == Tuple::UDP && may_be_tunnel(&view) {
        return None;
    }
    Some(Plain { view, hash: 0 })
}
