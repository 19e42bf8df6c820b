//! The pcapng format: `draft-ietf-opsawg-pcapng`. Blocks that say their length at both ends; a section header sets the
//! byte order and forgets the interfaces, interface descriptions are numbered in order, packets name theirs.

use super::Damage;
use super::decode::{Decoded, Records, Stop, u16_at, u32_at};
use crate::limits::Limits;
use crate::link::LinkType;
use crate::packet::Record;

/// The same in both byte orders, so that a section can be found before its byte order is known.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
/// The obsolete Packet Block.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

/// Reads blocks of one pcapng file.
#[derive(Debug)]
pub(super) struct Pcapng {
    limits: Limits,
    big_endian: bool,
    /// Those of this section, by number; at most [`Limits::interfaces`].
    interfaces: Vec<Interface>,
    /// How many the sections before had.
    interfaces_before: u32,
    /// For packets without a time.
    last_time_ns: u64,
}

#[derive(Debug)]
struct Interface {
    link: LinkType,
    /// Bytes kept of a packet, 0 where there is no bound.
    snap_len: u32,
    unit: Unit,
    /// Added to every time.
    offset_ns: i64,
}

/// What one unit of an interface's timestamps means.
#[derive(Debug)]
enum Unit {
    /// So many nanoseconds.
    Nanoseconds(u64),
    /// One of so many parts of a nanosecond.
    PartOfNanosecond(u128),
    /// Two to the minus so many seconds, at most 127.
    BinarySeconds(u8),
}

/// A whole block, its lengths checked.
struct Block<'a> {
    kind: u32,
    /// From the type to the second length.
    bytes: &'a [u8],
}

impl Pcapng {
    pub(super) fn recognise(magic: [u8; 4]) -> bool {
        u32::from_le_bytes(magic) == SECTION_HEADER
    }

    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: *limits, big_endian: false, interfaces: Vec::new(), interfaces_before: 0, last_time_ns: 0 }
    }

    /// Reads the first section header; `Stop::Full` when it is there.
    pub(super) fn begin(&mut self, input: &[u8]) -> Decoded {
        let begun = self.block(input).and_then(|block| {
            self.begin_section(&block).map_err(Stop::Damaged)?;
            Ok(block.bytes.len())
        });
        match begun {
            Ok(used) => Decoded { used, stop: Stop::Full },
            Err(stop) => Decoded { used: 0, stop },
        }
    }

    /// Notes the packets of the complete blocks at the start of `input`.
    pub(super) fn decode(&mut self, input: &[u8], records: &mut Records) -> Decoded {
        let mut used = 0;
        while !records.is_full(used) {
            let block = match self.block(&input[used..]) {
                Ok(block) => block,
                Err(stop) => return Decoded { used, stop },
            };
            if let Err(damage) = self.take(&block, used, records) {
                return Decoded { used, stop: Stop::Damaged(damage) };
            }
            let end = used + block.bytes.len();
            records.stepped(input, used, end);
            used = end;
        }
        Decoded { used, stop: Stop::Full }
    }

    /// The block at the start of `rest`.
    #[inline]
    fn block<'a>(&self, rest: &'a [u8]) -> Result<Block<'a>, Stop> {
        let Some(head) = rest.first_chunk::<12>() else { return Err(Stop::Need(12)) };
        let kind = u32_at(head, 0, self.big_endian);
        let big_endian =
            if kind == SECTION_HEADER { byte_order(head).map_err(Stop::Damaged)? } else { self.big_endian };
        let length = u32_at(head, 4, big_endian);
        let least = match kind {
            SECTION_HEADER => 28,
            INTERFACE_DESCRIPTION => 20,
            PACKET | ENHANCED_PACKET => 32,
            SIMPLE_PACKET => 16,
            _ => 12,
        };
        if length < least || !length.is_multiple_of(4) {
            return Err(Stop::Damaged(Damage::BlockLength { kind, length }));
        }
        if length > self.limits.block {
            return Err(Stop::Damaged(Damage::BlockTooLong { length, limit: self.limits.block }));
        }
        let Some(bytes) = rest.get(..length as usize) else { return Err(Stop::Need(length as usize)) };
        let tail = u32_at(bytes, bytes.len() - 4, big_endian);
        if tail != length {
            return Err(Stop::Damaged(Damage::BlockLengthsDiffer { head: length, tail }));
        }
        Ok(Block { kind, bytes })
    }

    /// Takes in one block that begins at `offset` of the batch.
    #[inline]
    fn take(&mut self, block: &Block<'_>, offset: usize, records: &mut Records) -> Result<(), Damage> {
        match block.kind {
            ENHANCED_PACKET => {
                let interface = u32_at(block.bytes, 8, self.big_endian);
                self.packet(block, interface, offset, records)
            }
            PACKET => {
                let interface = u16_at(block.bytes, 8, self.big_endian).into();
                self.packet(block, interface, offset, records)
            }
            SIMPLE_PACKET => self.simple_packet(block, offset, records),
            INTERFACE_DESCRIPTION => self.describe_interface(block),
            SECTION_HEADER => self.begin_section(block),
            // Name resolution, statistics, secrets, comments of vendors: nothing of a packet's.
            _ => Ok(()),
        }
    }

    fn begin_section(&mut self, block: &Block<'_>) -> Result<(), Damage> {
        let big_endian = byte_order(block.bytes)?;
        let (major, minor) = (u16_at(block.bytes, 12, big_endian), u16_at(block.bytes, 14, big_endian));
        if major != 1 {
            return Err(Damage::Version { format: "pcapng", major, minor });
        }
        self.big_endian = big_endian;
        self.interfaces_before = self.interfaces_before.saturating_add(self.interfaces.len() as u32);
        self.interfaces.clear();
        Ok(())
    }

    fn describe_interface(&mut self, block: &Block<'_>) -> Result<(), Damage> {
        if self.interfaces.len() >= self.limits.interfaces {
            return Err(Damage::TooManyInterfaces { limit: self.limits.interfaces });
        }
        let mut interface = Interface {
            link: LinkType::from_number(u16_at(block.bytes, 8, self.big_endian)),
            snap_len: u32_at(block.bytes, 12, self.big_endian),
            unit: Unit::Nanoseconds(1_000),
            offset_ns: 0,
        };
        let mut options = &block.bytes[16..block.bytes.len() - 4];
        while options.len() >= 4 {
            let (code, length) = (u16_at(options, 0, self.big_endian), u16_at(options, 2, self.big_endian));
            if code == 0 {
                break;
            }
            let wrong = Damage::OptionLength { code, length };
            let value = options.get(4..4 + usize::from(length)).ok_or(wrong.clone())?;
            match code {
                OPTION_TIME_RESOLUTION => {
                    let [resolution] = value else { return Err(wrong) };
                    interface.unit = Unit::from_option(*resolution);
                }
                OPTION_TIME_OFFSET => {
                    let value: [u8; 8] = value.try_into().map_err(|_| wrong)?;
                    let seconds = if self.big_endian { i64::from_be_bytes(value) } else { i64::from_le_bytes(value) };
                    interface.offset_ns = seconds.saturating_mul(1_000_000_000);
                }
                _ => {}
            }
            options = options.get(4 + usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// Enhanced Packet Block, and the obsolete one, which differs only in how it names the interface.
    #[inline]
    fn packet(&mut self, block: &Block<'_>, number: u32, offset: usize, records: &mut Records) -> Result<(), Damage> {
        let word = |at| u32_at(block.bytes, at, self.big_endian);
        let interface = self.interfaces.get(number as usize).ok_or(Damage::UnknownInterface { interface: number })?;
        let captured = word(20);
        self.check_length(captured, block.bytes.len() - 32, block)?;
        let units = u64::from(word(12)) << 32 | u64::from(word(16));
        let time_ns = interface.time_ns(units);
        records.push(Record {
            time_ns,
            offset: (offset + 28) as u32,
            captured,
            original: word(24),
            interface: self.interfaces_before.saturating_add(number),
            link: interface.link,
            vlan: Record::UNTAGGED,
        });
        self.last_time_ns = time_ns;
        Ok(())
    }

    /// A Simple Packet Block is of the first interface, has no time, and its captured length follows from the snap
    /// length.
    fn simple_packet(&mut self, block: &Block<'_>, offset: usize, records: &mut Records) -> Result<(), Damage> {
        let interface = self.interfaces.first().ok_or(Damage::UnknownInterface { interface: 0 })?;
        let original = u32_at(block.bytes, 8, self.big_endian);
        let captured = if interface.snap_len == 0 { original } else { original.min(interface.snap_len) };
        self.check_length(captured, block.bytes.len() - 16, block)?;
        records.push(Record {
            time_ns: self.last_time_ns,
            offset: (offset + 12) as u32,
            captured,
            original,
            interface: self.interfaces_before,
            link: interface.link,
            vlan: Record::UNTAGGED,
        });
        Ok(())
    }

    #[inline]
    fn check_length(&self, length: u32, room: usize, block: &Block<'_>) -> Result<(), Damage> {
        if length > self.limits.packet {
            return Err(Damage::PacketTooLong { length, limit: self.limits.packet });
        }
        if length as usize > room {
            return Err(Damage::PacketOutsideBlock { length, block: block.bytes.len() as u32 });
        }
        Ok(())
    }
}

/// Whether the section whose header starts like this is big-endian.
fn byte_order(header: &[u8]) -> Result<bool, Damage> {
    match u32_at(header, 8, false) {
        BYTE_ORDER_MAGIC => Ok(false),
        magic if magic.swap_bytes() == BYTE_ORDER_MAGIC => Ok(true),
        magic => Err(Damage::ByteOrder { magic }),
    }
}

impl Interface {
    /// Unix time in nanoseconds; what lies outside of the range of the type becomes its nearest value.
    #[inline]
    fn time_ns(&self, units: u64) -> u64 {
        let ns = match self.unit {
            Unit::Nanoseconds(ns) => units.saturating_mul(ns),
            Unit::PartOfNanosecond(parts) => (u128::from(units) / parts) as u64,
            Unit::BinarySeconds(power) => {
                let ns = (u128::from(units) * 1_000_000_000) >> power;
                u64::try_from(ns).unwrap_or(u64::MAX)
            }
        };
        ns.saturating_add_signed(self.offset_ns)
    }
}

impl Unit {
    /// `if_tsresol`: the highest bit says whether the rest is the negative power of two or of ten.
    fn from_option(value: u8) -> Self {
        let power = u32::from(value & 0x7f);
        if value & 0x80 != 0 {
            Self::BinarySeconds(power as u8)
        } else if power <= 9 {
            Self::Nanoseconds(10_u64.pow(9 - power))
        } else {
            // From 10^-29 seconds on 64 bits of them are less than a nanosecond.
            Self::PartOfNanosecond(10_u128.checked_pow(power - 9).unwrap_or(u128::MAX))
        }
    }
}
