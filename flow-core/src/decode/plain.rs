//! The form that nearly all frames have, read in one go.

use super::tunnel::may_be_tunnel;
use super::{Header, Region, View, transport};
use crate::key::{Route, Tuple};
use crate::{LinkType, Packet};

/// A frame of Ethernet, IPv4 without options or IPv6 without extension headers, and TCP or UDP that is no tunnel. `None` for every other:
/// those are read header by header, with the same result for these.
pub(super) fn plain<'a>(packet: &Packet<'a>) -> Option<View<'a>> {
    if packet.link != LinkType::ETHERNET {
        return None;
    }
    let (ethernet, ip) = packet.captured.split_first_chunk::<14>()?;
    let (route, protocol, payload) = match [ethernet[12], ethernet[13]] {
        [0x08, 0x00] => {
            let header: &[u8; 20] = ip.first_chunk()?;
            let [_, _, _, _, _, _, flags, offset, _, protocol, _, _, a, b, c, d, e, f, g, h] = *header;
            let total = u32::from(u16::from_be_bytes([header[2], header[3]]));
            let is_whole = flags & 0x3f | offset == 0;
            if header[0] != 0x45 || !is_whole || total < 20 {
                return None;
            }
            let (from, to) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
            (Route::V4 { from, to }, protocol, Region::new(ip, total).skip(20)?)
        }
        [0x86, 0xdd] => {
            let header: &[u8; 40] = ip.first_chunk()?;
            let length = u32::from(u16::from_be_bytes([header[4], header[5]]));
            if header[0] >> 4 != 6 || length == 0 {
                return None;
            }
            let word = |at: usize| Some(u64::from_be_bytes(header.get(at..at + 8)?.try_into().ok()?));
            let (from, to) = ([word(8)?, word(16)?], [word(24)?, word(32)?]);
            (Route::V6 { from, to }, header[6], Region::new(ip, length + 40).skip(40)?)
        }
        _ => return None,
    };
    if !matches!(protocol, Tuple::TCP | Tuple::UDP) {
        return None;
    }
    let mut view = transport(route, protocol, payload).ok()?;
    if view.header == Header::Udp && may_be_tunnel(&view) {
        return None;
    }
    (view.frames, view.frame_bytes) = (1, u64::from(packet.original_len));
    Some(view)
}
