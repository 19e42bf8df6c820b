//! One packet, and a batch of them as every source lends it.

use crate::link::LinkType;

/// One frame as the capture has it. Borrowed: the bytes lie in the mapped file, in the ring or in the reader's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When the frame was captured: nanoseconds since the Unix epoch. A packet whose file gives no time (pcapng's
    /// Simple Packet Block) has that of the packet before it, 0 at the start of a file.
    pub time_ns: u64,
    /// How `captured` begins.
    pub link: LinkType,
    /// Which interface saw it. Live: the kernel's interface index. File: 0 in pcap; in pcapng the position of the
    /// interface's description in the whole file, all sections counted.
    pub interface: u32,
    /// The bytes that were kept, from the link layer on; at most [`Limits::packet`](crate::Limits) of them.
    pub captured: &'a [u8],
    /// Bytes the frame had on the wire, never fewer than `captured` has.
    pub original_len: u32,
    /// The outermost VLAN tag where the kernel took it out of the frame. A tag that is still in `captured` is not
    /// repeated here.
    pub vlan: Option<VlanTag>,
}

/// A VLAN tag (IEEE 802.1Q clause 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanTag {
    /// Tag protocol identifier: 0x8100 customer tag, 0x88A8 service tag.
    pub tpid: u16,
    /// Tag control information: priority (3 bits), drop eligible (1), VLAN identifier (12).
    pub tci: u16,
}

impl VlanTag {
    /// The VLAN identifier, 0 to 4095; 0 means that the tag carries a priority only.
    pub fn id(self) -> u16 {
        self.tci & 0x0fff
    }
}

/// Packets that lie ready, in the order of the capture. Any of them can be had by its place, so that a consumer can
/// ask the memory for a later packet while it works on an earlier one.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Every record's bytes lie in here: `offset + captured <= bytes.len()`.
    bytes: &'a [u8],
    records: &'a [Record],
}

impl<'a> Batch<'a> {
    pub(crate) fn new(bytes: &'a [u8], records: &'a [Record]) -> Self {
        debug_assert!(records.iter().all(|record| record.end() <= bytes.len()));
        Self { bytes, records }
    }

    /// How many packets there are; the batches that readers lend have at least one.
    #[inline]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no packet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The packet at a place, `None` behind the last.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Packet<'a>> {
        self.records.get(index).map(|record| record.packet(self.bytes))
    }

    /// The packets in order.
    #[inline]
    pub fn iter(&self) -> Packets<'a> {
        Packets { bytes: self.bytes, records: self.records.iter() }
    }
}

impl<'a> IntoIterator for Batch<'a> {
    type Item = Packet<'a>;
    type IntoIter = Packets<'a>;

    fn into_iter(self) -> Packets<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Batch<'a> {
    type Item = Packet<'a>;
    type IntoIter = Packets<'a>;

    fn into_iter(self) -> Packets<'a> {
        self.iter()
    }
}

/// The packets of a [`Batch`] in order.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    bytes: &'a [u8],
    records: std::slice::Iter<'a, Record>,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    #[inline]
    fn next(&mut self) -> Option<Packet<'a>> {
        self.records.next().map(|record| record.packet(self.bytes))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl ExactSizeIterator for Packets<'_> {}

/// Where a packet lies in the bytes of its batch. Half a cache line, so a batch's index costs little beside its packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) time_ns: u64,
    pub(crate) offset: u32,
    pub(crate) captured: u32,
    pub(crate) original: u32,
    pub(crate) interface: u32,
    pub(crate) link: LinkType,
    /// No tag where `tpid` is 0, which is no protocol.
    pub(crate) vlan: VlanTag,
}

const _: () = assert!(size_of::<Record>() == 32);

impl Record {
    pub(crate) const UNTAGGED: VlanTag = VlanTag { tpid: 0, tci: 0 };

    fn end(&self) -> usize {
        self.offset as usize + self.captured as usize
    }

    #[inline]
    fn packet<'a>(&self, bytes: &'a [u8]) -> Packet<'a> {
        Packet {
            time_ns: self.time_ns,
            link: self.link,
            interface: self.interface,
            captured: &bytes[self.offset as usize..self.end()],
            original_len: self.original.max(self.captured),
            vlan: (self.vlan.tpid != 0).then_some(self.vlan),
        }
    }
}
