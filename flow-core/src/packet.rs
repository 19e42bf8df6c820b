//! What goes in: frames as they were captured.

use protocol_parsers::Timestamp;

/// One captured frame. Borrowed: the bytes stay where the capture has them.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was captured.
    pub time: Timestamp,
    /// How `captured` begins.
    pub link: LinkType,
    /// Which interface saw it: a number of the caller's choice. The same conversation seen at two interfaces is two flows, unless
    /// [`Options::interface_in_key`](crate::Options::interface_in_key) says otherwise.
    pub interface: u32,
    /// The bytes that were kept, from the link layer on.
    pub captured: &'a [u8],
    /// Bytes the frame had on the wire.
    pub original_len: u32,
    /// Identifier (12 bits) of an outermost VLAN tag that was taken out of the frame, as Linux does on receipt.
    pub vlan: Option<u16>,
}

/// What a frame begins with: a number of the tcpdump group's LINKTYPE registry. Frames of other types than these constants are
/// counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// Four bytes with the address family in the byte order of the capturing machine (BSD loopback).
    pub const NULL: Self = Self(0);
    /// IEEE 802.3 Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP, with or without its HDLC framing (RFC 1662).
    pub const PPP: Self = Self(9);
    /// PPP in HDLC-like framing, or Cisco HDLC (RFC 1547).
    pub const PPP_HDLC: Self = Self(50);
    /// An IPv4 or IPv6 packet; its version nibble says which.
    pub const RAW_IP: Self = Self(101);
    /// As [`Self::RAW_IP`], as most systems number it on the device.
    pub const RAW_BSD: Self = Self(12);
    /// As [`Self::RAW_IP`], as OpenBSD numbers it on the device.
    pub const RAW_OPENBSD: Self = Self(14);
    /// Cisco HDLC, or PPP in HDLC-like framing.
    pub const CISCO_HDLC: Self = Self(104);
    /// As [`Self::NULL`] with the family in network byte order (OpenBSD loopback).
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture, version 1.
    pub const LINUX_COOKED: Self = Self(113);
    /// An IPv4 packet.
    pub const IPV4: Self = Self(228);
    /// An IPv6 packet.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_COOKED_2: Self = Self(276);
}
