//! What a captured frame begins with.

use std::fmt;

/// The link type of a packet: the numbers of the tcpdump group's LINKTYPE registry, which pcap and pcapng files carry
/// (`draft-ietf-opsawg-pcaplinktype`). Those this project decodes have a name, all others keep their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// 0: four bytes with the address family in the byte order of the capturing machine, then the packet (BSD loopback).
    Null,
    /// 1: Ethernet with its 14-byte header. Linux's loopback interface has it too.
    Ethernet,
    /// 101, in files also 12 and 14: IPv4 or IPv6 without any header before it; the version nibble says which.
    RawIp,
    /// 108: as [`Null`](Self::Null), with the family in network byte order (OpenBSD loopback).
    Loop,
    /// 113: Linux cooked capture, version 1, a 16-byte header.
    LinuxCooked,
    /// 228: IPv4 without any header before it.
    Ipv4,
    /// 229: IPv6 without any header before it.
    Ipv6,
    /// 276: Linux cooked capture, version 2, a 20-byte header.
    LinuxCooked2,
    /// Any other, by its number.
    Other(u16),
}

impl LinkType {
    /// The link type a capture file means by a number.
    pub fn from_number(number: u16) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxCooked,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            276 => Self::LinuxCooked2,
            other => Self::Other(other),
        }
    }

    /// The number to write into a capture file.
    pub fn number(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::RawIp => 101,
            Self::Loop => 108,
            Self::LinuxCooked => 113,
            Self::Ipv4 => 228,
            Self::Ipv6 => 229,
            Self::LinuxCooked2 => 276,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("BSD loopback"),
            Self::Ethernet => formatter.write_str("Ethernet"),
            Self::RawIp => formatter.write_str("raw IP"),
            Self::Loop => formatter.write_str("OpenBSD loopback"),
            Self::LinuxCooked => formatter.write_str("Linux cooked"),
            Self::Ipv4 => formatter.write_str("raw IPv4"),
            Self::Ipv6 => formatter.write_str("raw IPv6"),
            Self::LinuxCooked2 => formatter.write_str("Linux cooked v2"),
            Self::Other(number) => write!(formatter, "link type {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LinkType;

    #[test]
    fn every_number_is_kept_but_the_platform_names_of_raw_ip() {
        for number in 0..=u16::MAX {
            let expected = if matches!(number, 12 | 14) { 101 } else { number };
            assert_eq!(LinkType::from_number(number).number(), expected);
        }
    }
}
