//! Link layers and what lies between them and IP.

use super::{Layer, Layers, Next, Region};
use crate::{DropReason, LinkType};

type Step<'a> = Result<(Next, Region<'a>), DropReason>;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// EtherTypes below are lengths (IEEE 802.3 §3.2.6).
const SMALLEST_ETHER_TYPE: u16 = 0x0600;

pub(super) fn link(link: LinkType, frame: Region<'_>) -> Step<'_> {
    let at = |next, offset: usize| Ok((next, frame.skip(offset).ok_or(DropReason::CutShort)?));
    let ether_type = |offset: usize| frame.u16(offset).ok_or(DropReason::CutShort);
    match link {
        LinkType::ETHERNET => Ok((Next::Ethernet, frame)),
        LinkType::RAW_IP | LinkType::IPV4 | LinkType::IPV6 | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => {
            Ok((Next::Ip, frame))
        }
        // The address family differs between systems; the version nibble of IP says enough.
        LinkType::NULL | LinkType::LOOP => at(Next::Ip, 4),
        LinkType::LINUX_COOKED => at(Next::EtherType(ether_type(14)?), 16),
        LinkType::LINUX_COOKED_2 => at(Next::EtherType(ether_type(0)?), 20),
        LinkType::PPP | LinkType::PPP_HDLC | LinkType::CISCO_HDLC => match frame.u16(0).ok_or(DropReason::CutShort)? {
            // Cisco HDLC: unicast or broadcast, then an EtherType.
            0x0f00 | 0x8f00 => at(Next::EtherType(ether_type(2)?), 4),
            _ => Ok((Next::Ppp, frame)),
        },
        _ => Err(DropReason::LinkType),
    }
}

pub(super) fn ethernet(frame: Region<'_>) -> Step<'_> {
    let ether_type = frame.u16(12).ok_or(DropReason::CutShort)?;
    Ok((Next::EtherType(ether_type), frame.skip(14).ok_or(DropReason::CutShort)?))
}

pub(super) fn ether_type<'a>(ether_type: u16, region: Region<'a>, layers: &mut Layers) -> Step<'a> {
    let mut push = |layer| if layers.push(layer) { Ok(()) } else { Err(DropReason::TooDeep) };
    let at = |next, offset: usize| Ok((next, region.skip(offset).ok_or(DropReason::CutShort)?));
    match ether_type {
        IPV4 | IPV6 => Ok((Next::Ip, region)),
        // IEEE 802.1Q, 802.1ad, and what was used before 802.1ad.
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
            let tag = region.u32(0).ok_or(DropReason::CutShort)?;
            push(Layer::Vlan((tag >> 16) as u16 & 0xfff))?;
            at(Next::EtherType(tag as u16), 4)
        }
        // MPLS, unicast and multicast: labels up to the one that is marked as the last (RFC 3032 §2.1).
        0x8847 | 0x8848 => {
            let entry = region.u32(0).ok_or(DropReason::CutShort)?;
            push(Layer::Mpls(entry >> 12))?;
            if entry & 0x100 == 0 {
                return at(Next::EtherType(ether_type), 4);
            }
            match region.u8(4).ok_or(DropReason::CutShort)? >> 4 {
                4 | 6 => at(Next::Ip, 4),
                // A pseudowire with its control word (RFC 4448 §4.6), or without.
                0 => at(Next::Ethernet, 8),
                _ => at(Next::Ethernet, 4),
            }
        }
        // PPP over Ethernet, session stage (RFC 2516 §4).
        0x8864 => {
            push(Layer::Pppoe(region.u16(2).ok_or(DropReason::CutShort)?))?;
            at(Next::Ppp, 6)
        }
        // Transparent Ethernet bridging.
        0x6558 => Ok((Next::Ethernet, region)),
        // Network service header (RFC 8300 §2.2): its length in words, what follows, the path.
        0x894f => {
            let [head, path] = [region.u32(0), region.u32(4)].map(|word| word.ok_or(DropReason::CutShort));
            let (head, path) = (head?, path?);
            let length = (head >> 16 & 0x3f) as usize * 4;
            if length < 8 {
                return Err(DropReason::Malformed);
            }
            push(Layer::Nsh(path >> 8))?;
            match head as u8 {
                1 | 2 => at(Next::Ip, length),
                3 => at(Next::Ethernet, length),
                5 => at(Next::EtherType(0x8847), length),
                _ => Err(DropReason::NotIp),
            }
        }
        // A length: IP over 802.2 with a SNAP header (RFC 1042) has its EtherType there.
        length if length < SMALLEST_ETHER_TYPE => match region.array(0) {
            Some([0xaa, 0xaa, 3, 0, 0, 0, high, low]) => at(Next::EtherType(u16::from_be_bytes([high, low])), 8),
            _ => Err(DropReason::NotIp),
        },
        _ => Err(DropReason::NotIp),
    }
}

/// PPP (RFC 1661 §2), its address and control fields (RFC 1662) and the first byte of its protocol field being optional.
pub(super) fn ppp(mut region: Region<'_>) -> Step<'_> {
    if region.u16(0) == Some(0xff03) {
        region = region.skip(2).ok_or(DropReason::CutShort)?;
    }
    let (protocol, length) = match region.u8(0).ok_or(DropReason::CutShort)? {
        short if short & 1 == 1 => (u16::from(short), 1),
        _ => (region.u16(0).ok_or(DropReason::CutShort)?, 2),
    };
    match protocol {
        0x0021 | 0x0057 => Ok((Next::Ip, region.skip(length).ok_or(DropReason::CutShort)?)),
        0x0281 => Ok((Next::EtherType(0x8847), region.skip(length).ok_or(DropReason::CutShort)?)),
        _ => Err(DropReason::NotIp),
    }
}
