//! Tunnels over IP and over UDP.

use super::{Layer, Layers, Next, Region, View};
use crate::DropReason;

type Inner<'a> = Option<(Next, Region<'a>)>;

/// The content of a tunnel whose header lies directly behind IP; `None` where there is none.
pub(super) fn over_ip<'a>(protocol: u8, region: Region<'a>, layers: &mut Layers) -> Result<Inner<'a>, DropReason> {
    let (layer, next, length) = match protocol {
        4 | 41 => (Layer::Ipip, Next::Ip, 0),
        47 => return gre(region, layers).map(Some),
        // EtherIP (RFC 3378 §2): version 3 and 12 bits of nothing.
        97 => (Layer::EtherIp, Next::Ethernet, 2),
        // MPLS directly over IP (RFC 4023 §3): its labels are layers of their own.
        137 => return Ok(Some((Next::EtherType(0x8847), region))),
        _ => return Ok(None),
    };
    let inner = region.skip(length).ok_or(DropReason::CutShort)?;
    if !layers.push(layer) {
        return Err(DropReason::TooDeep);
    }
    Ok(Some((next, inner)))
}

/// GRE (RFC 2784, with RFC 2890's key and RFC 1701's fields) and its form for PPTP (RFC 2637 §4.1).
fn gre<'a>(region: Region<'a>, layers: &mut Layers) -> Result<(Next, Region<'a>), DropReason> {
    let head = region.u32(0).ok_or(DropReason::CutShort)?;
    let (flags, protocol) = ((head >> 16) as u16, head as u16);
    let has = |bit: u16| flags & bit != 0;
    let mut length = 4;
    if has(0x8000) || has(0x4000) {
        length += 4;
    }
    let key = has(0x2000).then(|| region.u32(length)).flatten();
    length += 4 * usize::from(has(0x2000));
    let sequence = has(0x1000);
    length += 4 * usize::from(sequence);
    let layer = match (flags & 7, protocol) {
        (1, 0x880b) => {
            length += 4 * usize::from(has(0x0080));
            Layer::Pptp(key.unwrap_or_default() as u16)
        }
        (0, 0x88be) => {
            // Type I has neither sequence number nor header; type II has eight bytes with the session in ten bits.
            let session = region.u16(length + 2).unwrap_or_default() & 0x3ff;
            if sequence {
                length += 8;
                Layer::Erspan(2, session)
            } else {
                Layer::Erspan(1, 0)
            }
        }
        (0, 0x22eb) => {
            let session = region.u16(length + 2).unwrap_or_default() & 0x3ff;
            // Twelve bytes, and eight more where the last bit says so.
            let more = region.u8(length + 11).ok_or(DropReason::CutShort)? & 1 == 1;
            length += if more { 20 } else { 12 };
            Layer::Erspan(3, session)
        }
        (0, _) => Layer::Gre(key),
        _ => return Err(DropReason::Malformed),
    };
    // Source routes (RFC 1701) are used by nobody.
    if has(0x4000) {
        return Err(DropReason::Malformed);
    }
    let next = match layer {
        Layer::Pptp(_) => Next::Ppp,
        Layer::Erspan(..) => Next::Ethernet,
        _ => Next::EtherType(protocol),
    };
    let inner = region.skip(length).ok_or(DropReason::CutShort)?;
    if !layers.push(layer) {
        return Err(DropReason::TooDeep);
    }
    Ok((next, inner))
}

/// Whether the ports of a UDP datagram are those of a tunnel.
pub(super) fn may_be_tunnel(view: &View<'_>) -> bool {
    let (to, from) = (view.tuple.ports[view.from.other()], view.tuple.ports[view.from]);
    matches!(to, 1701 | 2152 | 3544 | 4789 | 4790 | 6081 | 6784 | 8472) || from == 3544
}

/// The content of a tunnel over UDP, told by its port and by a header that fits.
pub(super) fn over_udp<'a>(view: &View<'a>, layers: &mut Layers) -> Inner<'a> {
    if !may_be_tunnel(view) {
        return None;
    }
    let payload = view.payload();
    let to = view.tuple.ports[view.from.other()];
    let from = view.tuple.ports[view.from];
    let head = payload.u32(0)?;
    let (layer, next, length) = match to {
        4789 | 4790 | 8472 | 6784 => vxlan(payload, head)?,
        // Geneve (RFC 8926 §3.4): version 0, options in words of 4 bytes.
        6081 if head >> 30 == 0 => {
            let options = (head >> 24 & 0x3f) as usize * 4;
            (Layer::Geneve(payload.u32(4)? >> 8), Next::EtherType(head as u16), 8 + options)
        }
        // GTP-U (3GPP TS 29.281 §5.1): version 1, protocol GTP, message type G-PDU.
        2152 if head >> 28 == 3 && head >> 16 & 0xff == 0xff => {
            (Layer::Gtp(payload.u32(4)?), Next::Ip, gtp_header(payload, head)?)
        }
        // L2TP version 2 (RFC 2661 §3.1): a data message.
        1701 if head >> 16 & 0x800f == 2 => {
            let (layer, length) = l2tp(payload, (head >> 16) as u16)?;
            (layer, Next::Ppp, length)
        }
        _ if to == 3544 || from == 3544 => (Layer::Teredo, Next::Ip, teredo(payload)?),
        _ => return None,
    };
    let inner = payload.skip(length)?;
    layers.push(layer).then_some((next, inner))
}

/// VXLAN (RFC 7348 §5): the I flag says that a network follows. With Cisco's group policy a G flag stands before it; with the
/// generic protocol extension (draft-ietf-nvo3-vxlan-gpe §3) a P flag says that the last byte names what is carried.
fn vxlan(payload: Region<'_>, head: u32) -> Option<(Layer, Next, usize)> {
    let network = payload.u32(4)? >> 8;
    let next = match (head >> 24 & 0x7f, head & 0xffff) {
        (0x08, _) if head >> 31 == 1 || head & 0x00ff_ffff == 0 => Next::Ethernet,
        (0x0c, 1 | 2) => Next::Ip,
        (0x0c, 3) => Next::Ethernet,
        (0x0c, 4) => Next::EtherType(0x894f),
        (0x0c, 5) => Next::EtherType(0x8847),
        _ => return None,
    };
    Some((Layer::Vxlan(network), next, 8))
}

/// Length of a GTP-U header with its optional fields and extension headers.
fn gtp_header(payload: Region<'_>, head: u32) -> Option<usize> {
    if head >> 24 & 7 == 0 {
        return Some(8);
    }
    let mut length = 12;
    let mut extension = if head >> 24 & 4 != 0 { payload.u8(11)? } else { 0 };
    // Each says its length in words of 4 bytes, and in its last byte what follows.
    while extension != 0 {
        let words = usize::from(payload.u8(length)?);
        if words == 0 {
            return None;
        }
        length += words * 4;
        extension = payload.u8(length - 1)?;
    }
    Some(length)
}

/// Tunnel and session of an L2TP data message, and the length of its header.
fn l2tp(payload: Region<'_>, flags: u16) -> Option<(Layer, usize)> {
    let has = |bit: u16| flags & bit != 0;
    let mut at = if has(0x4000) { 4 } else { 2 };
    let layer = Layer::L2tp(payload.u16(at)?, payload.u16(at + 2)?);
    at += 4;
    at += 4 * usize::from(has(0x0800));
    if has(0x0200) {
        at += 2 + usize::from(payload.u16(at)?);
    }
    Some((layer, at))
}

/// Length of Teredo's own headers: authentication and origin, both optional (RFC 4380 §5.1.1).
fn teredo(payload: Region<'_>) -> Option<usize> {
    let mut at = 0;
    if payload.u16(at)? == 1 {
        at += 13 + usize::from(payload.u8(at + 2)?) + usize::from(payload.u8(at + 3)?);
    }
    if payload.u16(at)? == 0 {
        at += 8;
    }
    (payload.u8(at)? >> 4 == 6).then_some(at)
}
