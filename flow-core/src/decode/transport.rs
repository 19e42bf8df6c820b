//! TCP, UDP and ICMP headers.

use super::{Region, View};
use crate::DropReason;
use crate::key::{Route, Tuple};

/// The header of a conversation's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Tcp(TcpHeader),
    Udp,
    /// With what it is of an echo, if it is.
    Icmp(Option<Echo>),
}

/// What is needed of the header of an echo (RFC 792, RFC 4443 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) is_reply: bool,
    pub(crate) sequence: u16,
}

/// What is needed of a TCP header (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpHeader {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
}

impl TcpHeader {
    /// Of a segment that opens a connection.
    pub(crate) fn syn(seq: u32) -> Self {
        Self { seq, ack: 0, flags: Flags(Flags::SYN), window: 0 }
    }
}

/// The flags of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;

    /// SYN without ACK, FIN and RST.
    pub(crate) fn is_syn_alone(self) -> bool {
        self.0 & (Self::FIN | Self::SYN | Self::RST | Self::ACK) == Self::SYN
    }

    /// With any of them but ACK.
    pub(crate) fn is_special(self) -> bool {
        self.0 & (Self::FIN | Self::SYN | Self::RST) != 0
    }

    /// With ACK, and without what begins or ends a connection.
    #[inline(always)]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & (Self::FIN | Self::SYN | Self::RST | Self::ACK) == Self::ACK
    }

    pub(crate) fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }

    /// With or without ACK.
    pub(crate) fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }

    pub(crate) fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }

    pub(crate) fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }
}

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;

/// A segment or datagram.
pub(super) struct Segment<'a> {
    pub(super) from_port: u16,
    pub(super) to_port: u16,
    pub(super) header: Header,
    pub(super) behind: Region<'a>,
    pub(super) options_len: u8,
}

/// Reads the transport header.
pub(crate) fn transport(route: Route, protocol: u8, region: Region<'_>) -> Result<View<'_>, DropReason> {
    let (protocol, Segment { from_port, to_port, header, behind, options_len }) = match protocol {
        Tuple::TCP => (Tuple::TCP, tcp(region)?),
        Tuple::UDP => (Tuple::UDP, udp(region)?),
        ICMP | ICMP_V6 => (Tuple::ICMP, icmp(protocol, region)?),
        _ => return Err(DropReason::Transport),
    };
    let (tuple, from) = Tuple::of(route, protocol, from_port, to_port);
    Ok(View { tuple, from, header, behind, options_len, frames: 0, frame_bytes: 0 })
}

#[inline(always)]
pub(super) fn tcp(region: Region<'_>) -> Result<Segment<'_>, DropReason> {
    let fixed: &[u8; TCP_HEADER] = region.bytes.first_chunk().ok_or_else(|| short(region))?;
    let [a, b, c, d, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, w0, w1, ..] = *fixed;
    let length = u32::from(offset >> 4) * 4;
    if length < TCP_HEADER as u32 || length > region.len {
        return Err(DropReason::Malformed);
    }
    let header = TcpHeader {
        seq: u32::from_be_bytes([s0, s1, s2, s3]),
        ack: u32::from_be_bytes([a0, a1, a2, a3]),
        flags: Flags(flags),
        window: u16::from_be_bytes([w0, w1]),
    };
    let [from_port, to_port] = [[a, b], [c, d]].map(u16::from_be_bytes);
    let (behind, options_len) = (region.behind(TCP_HEADER as u32), (length - TCP_HEADER as u32) as u8);
    Ok(Segment { from_port, to_port, header: Header::Tcp(header), behind, options_len })
}

#[inline(always)]
pub(super) fn udp(region: Region<'_>) -> Result<Segment<'_>, DropReason> {
    let fixed: &[u8; UDP_HEADER] = region.bytes.first_chunk().ok_or_else(|| short(region))?;
    let [a, b, c, d, l0, l1, ..] = *fixed;
    let length = match u32::from(u16::from_be_bytes([l0, l1])) {
        // A jumbogram (RFC 2675 §4).
        0 => region.len,
        length if length < UDP_HEADER as u32 => return Err(DropReason::Malformed),
        length => length.min(region.len),
    };
    let behind = Region::new(region.bytes, length).behind(UDP_HEADER as u32);
    let [from_port, to_port] = [[a, b], [c, d]].map(u16::from_be_bytes);
    Ok(Segment { from_port, to_port, header: Header::Udp, behind, options_len: 0 })
}

fn icmp(protocol: u8, region: Region<'_>) -> Result<Segment<'_>, DropReason> {
    let kind = region.u8(0).ok_or_else(|| short(region))?;
    let is_reply = match (protocol, kind) {
        (ICMP, 8) | (ICMP_V6, 128) => Some(false),
        (ICMP, 0) | (ICMP_V6, 129) => Some(true),
        _ => None,
    };
    let mut id = 0;
    let mut echo = None;
    if let Some(is_reply) = is_reply {
        let word = |at| region.u16(at).ok_or_else(|| short(region));
        id = word(4)?;
        echo = Some(Echo { is_reply, sequence: word(6)? });
    }
    let header = Header::Icmp(echo);
    Ok(Segment { from_port: id, to_port: id, header, behind: region.behind(8), options_len: 0 })
}

/// Why a header is not there.
#[cold]
fn short(region: Region<'_>) -> DropReason {
    if region.missing() > 0 { DropReason::CutShort } else { DropReason::Malformed }
}
