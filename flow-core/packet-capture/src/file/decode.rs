//! What the two formats have in common.

use super::pcap::{self, Pcap};
use super::pcapng::Pcapng;
use super::prefetch::prefetch_ahead;
use super::{Damage, Format};
use crate::limits::Limits;
use crate::packet::Record;

/// Reads the records of a capture from a stream of bytes of which it is shown the next part at a time.
#[derive(Debug)]
pub(super) enum Decoder {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// How far a decoder came in what it was shown: `used` bytes of complete records.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) used: usize,
    pub(super) stop: Stop,
}

/// Why a decoder came no further than `used`.
#[derive(Debug)]
pub(super) enum Stop {
    /// The batch is full.
    Full,
    /// It must be shown at least so many bytes from there on; the number is below [`Limits::block`] or a packet's.
    Need(usize),
    /// What begins there is wrong. Decoding from there again says the same.
    Damaged(Damage),
}

/// How a stream begins.
pub(super) enum Begin {
    /// With a header of so many bytes, which is read.
    Header { decoder: Decoder, used: usize },
    /// With what may become a header when it is shown so many bytes.
    Need(usize),
    /// With a header that is wrong.
    Damaged(Damage),
    /// With something else.
    Unknown,
}

impl Decoder {
    /// Bytes by which a format is recognised.
    pub(super) const MAGIC: usize = 4;

    /// Recognises the format of a stream and reads its header.
    pub(super) fn begin(input: &[u8], limits: &Limits) -> Begin {
        let Some(magic) = input.first_chunk() else { return Begin::Need(Self::MAGIC) };
        if let Some(mut pcap) = Pcap::recognise(*magic) {
            let Some(header) = input.first_chunk() else { return Begin::Need(pcap::HEADER) };
            return match pcap.begin(header, limits) {
                Ok(()) => Begin::Header { decoder: Self::Pcap(pcap), used: pcap::HEADER },
                Err(damage) => Begin::Damaged(damage),
            };
        }
        if Pcapng::recognise(*magic) {
            let mut pcapng = Pcapng::new(limits);
            return match pcapng.begin(input) {
                Decoded { used, stop: Stop::Full } => Begin::Header { decoder: Self::Pcapng(pcapng), used },
                Decoded { stop: Stop::Need(need), .. } => Begin::Need(need),
                Decoded { stop: Stop::Damaged(damage), .. } => Begin::Damaged(damage),
            };
        }
        Begin::Unknown
    }

    /// Notes the complete records at the start of `input`, with offsets from there.
    pub(super) fn decode(&mut self, input: &[u8], records: &mut Records) -> Decoded {
        records.list.clear();
        match self {
            Self::Pcap(pcap) => pcap.decode(input, records),
            Self::Pcapng(pcapng) => pcapng.decode(input, records),
        }
    }

    pub(super) fn format(&self) -> Format {
        match self {
            Self::Pcap(_) => Format::Pcap,
            Self::Pcapng(_) => Format::Pcapng,
        }
    }
}

/// The records of one batch.
#[derive(Debug)]
pub(super) struct Records {
    list: Vec<Record>,
    /// Whether the bytes have not been touched yet, so that the walk waits for the memory.
    pub(super) far: bool,
}

impl Records {
    /// Packets of one batch: enough that its cost does not show, few enough that its index stays in the first cache.
    const PACKETS: usize = 512;
    /// Bytes that a batch may span before it ends: what has been asked of the memory for the walk is still in the
    /// second cache when the consumer comes to it.
    const BYTES: usize = 256 << 10;

    pub(super) fn new() -> Self {
        Self { list: Vec::with_capacity(Self::PACKETS), far: false }
    }

    pub(super) fn list(&self) -> &[Record] {
        &self.list
    }

    #[inline]
    pub(super) fn is_full(&self, used: usize) -> bool {
        self.list.len() >= Self::PACKETS || used >= Self::BYTES
    }

    #[inline]
    pub(super) fn push(&mut self, record: Record) {
        self.list.push(record);
    }

    /// To be told when the walk has stepped over `from..to` of `input`.
    #[inline]
    pub(super) fn stepped(&self, input: &[u8], from: usize, to: usize) {
        if self.far {
            prefetch_ahead(input, from, to);
        }
    }
}

/// The two bytes at a place, which the caller has checked to be there.
#[inline(always)]
pub(super) fn u16_at(bytes: &[u8], at: usize, big_endian: bool) -> u16 {
    let value = [bytes[at], bytes[at + 1]];
    if big_endian { u16::from_be_bytes(value) } else { u16::from_le_bytes(value) }
}

/// The four bytes at a place, which the caller has checked to be there.
#[inline(always)]
pub(super) fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let value = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if big_endian { u32::from_be_bytes(value) } else { u32::from_le_bytes(value) }
}
