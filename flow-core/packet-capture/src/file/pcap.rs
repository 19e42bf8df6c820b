//! The pcap format: `draft-ietf-opsawg-pcap`. A 24-byte header, then records of a 16-byte header and the packet.

use super::Damage;
use super::decode::{Decoded, Records, Stop, u16_at, u32_at};
use crate::limits::Limits;
use crate::link::LinkType;
use crate::packet::Record;

pub(super) const HEADER: usize = 24;

/// Reads records of one pcap file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pcap {
    big_endian: bool,
    /// Bytes before each packet: 16, or 24 in Kuznetsov's variant, which also has the interface and the packet type.
    record_header: usize,
    /// Nanoseconds that one unit of the fraction means.
    fraction: u64,
    /// Before version 2.4 some writers had the two lengths the other way round.
    may_swap_lengths: bool,
    link: LinkType,
    limit: u32,
}

impl Pcap {
    /// Whether a file that begins like this is a pcap file, and how it is written: the magic number is 0xA1B2C3D4 with
    /// microseconds, 0xA1B23C4D with nanoseconds, 0xA1B2CD34 in Kuznetsov's variant.
    pub(super) fn recognise(magic: [u8; 4]) -> Option<Self> {
        let kind = |magic: u32| match magic {
            0xa1b2_c3d4 => Some((16, 1_000)),
            0xa1b2_3c4d => Some((16, 1)),
            0xa1b2_cd34 => Some((24, 1_000)),
            _ => None,
        };
        let (big_endian, (record_header, fraction)) = kind(u32::from_le_bytes(magic))
            .map(|kind| (false, kind))
            .or_else(|| kind(u32::from_be_bytes(magic)).map(|kind| (true, kind)))?;
        let link = LinkType::Other(u16::MAX);
        Some(Self { big_endian, record_header, fraction, may_swap_lengths: false, link, limit: 0 })
    }

    /// Reads the rest of the file header: version, two unused words, snap length, link type. The snap length is not
    /// trusted: writers are known to exceed it. The upper half of the last word says how long the frame check
    /// sequence is, which decoding by the lengths within the packet makes needless.
    pub(super) fn begin(&mut self, header: &[u8; HEADER], limits: &Limits) -> Result<(), Damage> {
        let (major, minor) = (u16_at(header, 4, self.big_endian), u16_at(header, 6, self.big_endian));
        if major != 2 {
            return Err(Damage::Version { format: "pcap", major, minor });
        }
        self.may_swap_lengths = minor < 4;
        self.link = LinkType::from_number(u32_at(header, 20, self.big_endian) as u16);
        self.limit = limits.packet;
        Ok(())
    }

    /// Notes the complete records at the start of `input`.
    pub(super) fn decode(&self, input: &[u8], records: &mut Records) -> Decoded {
        // One loop per byte order: the branch per field would cost more than the copy.
        if self.big_endian { self.walk::<true>(input, records) } else { self.walk::<false>(input, records) }
    }

    fn walk<const BIG_ENDIAN: bool>(&self, input: &[u8], records: &mut Records) -> Decoded {
        let mut used = 0;
        loop {
            if records.is_full(used) {
                return Decoded { used, stop: Stop::Full };
            }
            let rest = &input[used..];
            let Some(header) = rest.first_chunk::<16>() else {
                return Decoded { used, stop: Stop::Need(self.record_header) };
            };
            let mut captured = u32_at(header, 8, BIG_ENDIAN);
            let mut original = u32_at(header, 12, BIG_ENDIAN);
            if self.may_swap_lengths && captured > original {
                (captured, original) = (original, captured);
            }
            if captured > self.limit {
                let damage = Damage::PacketTooLong { length: captured, limit: self.limit };
                return Decoded { used, stop: Stop::Damaged(damage) };
            }
            let length = self.record_header + captured as usize;
            if rest.len() < length {
                return Decoded { used, stop: Stop::Need(length) };
            }
            let seconds = u64::from(u32_at(header, 0, BIG_ENDIAN));
            let fraction = u64::from(u32_at(header, 4, BIG_ENDIAN));
            records.push(Record {
                time_ns: seconds * 1_000_000_000 + fraction * self.fraction,
                offset: (used + self.record_header) as u32,
                captured,
                original,
                interface: 0,
                link: self.link,
                vlan: Record::UNTAGGED,
            });
            records.stepped(input, used, used + length);
            used += length;
        }
    }
}
