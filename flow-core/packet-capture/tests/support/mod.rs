//! Captures written in every way a capture can be written, and readers that give them in odd pieces.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{self, Read, Write};

use metaflow_packet_capture::{CaptureFile, LinkType, Packet};

/// A packet that outlives its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) time_ns: u64,
    pub(crate) link: LinkType,
    pub(crate) interface: u32,
    pub(crate) captured: Vec<u8>,
    pub(crate) original_len: u32,
}

impl From<Packet<'_>> for Owned {
    fn from(packet: Packet<'_>) -> Self {
        let Packet { time_ns, link, interface, captured, original_len, vlan } = packet;
        assert_eq!(vlan, None, "no file has a stripped tag");
        Self { time_ns, link, interface, captured: captured.to_vec(), original_len }
    }
}

/// Every packet, and how the file ended: empty when it ended as it should.
pub(crate) fn read_all(mut file: CaptureFile) -> (Vec<Owned>, String) {
    let mut packets = Vec::new();
    let end = loop {
        match file.next_batch() {
            Ok(Some(batch)) => {
                assert!(!batch.is_empty());
                packets.extend(batch.iter().map(Owned::from));
            }
            Ok(None) => break file.truncation().map(ToString::to_string).unwrap_or_default(),
            Err(error) => {
                assert!(file.next_batch().unwrap().is_none(), "nothing comes after an error");
                break error.to_string();
            }
        }
    };
    (packets, end)
}

/// How a capture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) kind: Kind,
    pub(crate) big_endian: bool,
    pub(crate) packing: Packing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Microseconds,
    Nanoseconds,
    Kuznetsov,
    /// pcapng with a decimal resolution of so many digits, blocks of unknown types in between.
    Decimal(u8),
    /// pcapng with two to the minus 30 seconds.
    Binary,
    Obsolete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    GzipMembers,
    Zstd,
    ZstdFrames,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Microseconds,
        Self::Nanoseconds,
        Self::Kuznetsov,
        Self::Decimal(6),
        Self::Decimal(9),
        Self::Binary,
        Self::Obsolete,
    ];

    /// What the variant can say of a time.
    pub(crate) fn representable(self, time_ns: u64) -> u64 {
        match self {
            Self::Microseconds | Self::Kuznetsov | Self::Decimal(6) | Self::Obsolete => time_ns / 1_000 * 1_000,
            Self::Binary => ((u128::from(binary(time_ns)) * 1_000_000_000) >> 30) as u64,
            _ => time_ns,
        }
    }
}

impl Packing {
    pub(crate) const ALL: [Self; 5] = [Self::Plain, Self::Gzip, Self::GzipMembers, Self::Zstd, Self::ZstdFrames];

    pub(crate) fn pack(self, bytes: &[u8]) -> Vec<u8> {
        let middle = bytes.len() / 2;
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => gzip(bytes),
            Self::GzipMembers => [gzip(&bytes[..middle]), gzip(&bytes[middle..])].concat(),
            Self::Zstd => zstd::encode_all(bytes, 1).unwrap(),
            Self::ZstdFrames => {
                let frame = |bytes| zstd::encode_all(bytes, 1).unwrap();
                [frame(&bytes[..middle]), frame(&bytes[middle..])].concat()
            }
        }
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes in a byte order.
struct Output {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Output {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.u32(kind).u32(0);
        body(self);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let length = (self.bytes.len() - start + 4) as u32;
        self.u32(length);
        let field = if self.big_endian { length.to_be_bytes() } else { length.to_le_bytes() };
        self.bytes[start + 4..start + 8].copy_from_slice(&field);
    }
}

/// The file of these packets, which all have the link type of the first.
pub(crate) fn write(variant: Variant, packets: &[Owned]) -> Vec<u8> {
    let mut output = Output { bytes: Vec::new(), big_endian: variant.big_endian };
    let link = packets.first().map_or(LinkType::Ethernet, |packet| packet.link).number();
    match variant.kind {
        Kind::Microseconds | Kind::Nanoseconds | Kind::Kuznetsov => {
            write_pcap(&mut output, variant.kind, link, packets);
        }
        Kind::Decimal(_) | Kind::Binary | Kind::Obsolete => write_pcapng(&mut output, variant.kind, link, packets),
    }
    variant.packing.pack(&output.bytes)
}

fn write_pcap(output: &mut Output, kind: Kind, link: u16, packets: &[Owned]) {
    let (magic, unit) = match kind {
        Kind::Nanoseconds => (0xa1b2_3c4d, 1),
        Kind::Kuznetsov => (0xa1b2_cd34, 1_000),
        _ => (0xa1b2_c3d4, 1_000),
    };
    output.u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(link.into());
    for packet in packets {
        let (seconds, fraction) = (packet.time_ns / 1_000_000_000, packet.time_ns % 1_000_000_000 / unit);
        output.u32(seconds as u32).u32(fraction as u32).u32(packet.captured.len() as u32).u32(packet.original_len);
        if kind == Kind::Kuznetsov {
            output.u32(7).u16(0x0800).raw(&[4, 0]);
        }
        output.raw(&packet.captured);
    }
}

fn write_pcapng(output: &mut Output, kind: Kind, link: u16, packets: &[Owned]) {
    let (resolution, block) = match kind {
        Kind::Decimal(digits) => (digits, 6),
        Kind::Binary => (0x80 | 30, 6),
        _ => (6, 2),
    };
    output.block(0x0a0d_0d0a, |output| {
        output.u32(0x1a2b_3c4d).u16(1).u16(0).raw(&[0xff; 8]);
    });
    output.block(1, |output| {
        output
            .u16(link)
            .u16(0)
            .u32(0)
            .u16(2)
            .u16(5)
            .raw(b"veth0\0\0\0")
            .u16(9)
            .u16(1)
            .raw(&[resolution, 0, 0, 0])
            .u32(0);
    });
    for packet in packets {
        let units = match kind {
            Kind::Decimal(digits) => packet.time_ns / 10_u64.pow(9 - u32::from(digits)),
            Kind::Binary => binary(packet.time_ns),
            _ => packet.time_ns / 1_000,
        };
        output.block(block, |output| {
            // The obsolete block has the interface in two bytes and a count of drops in the next two.
            output.u32(0).u32((units >> 32) as u32).u32(units as u32);
            output.u32(packet.captured.len() as u32).u32(packet.original_len).raw(&packet.captured);
        });
        if packet.captured.len().is_multiple_of(3) {
            output.block(0x1234_5678, |output| {
                output.raw(&packet.captured);
            });
        }
    }
}

fn binary(time_ns: u64) -> u64 {
    ((u128::from(time_ns) << 30) / 1_000_000_000) as u64
}

/// Gives its bytes in pieces of the given sizes, over and over.
pub(crate) struct Pieces {
    bytes: io::Cursor<Vec<u8>>,
    sizes: Vec<usize>,
    next: usize,
}

impl Pieces {
    pub(crate) fn new(bytes: Vec<u8>, sizes: &[usize]) -> Self {
        Self { bytes: io::Cursor::new(bytes), sizes: sizes.to_vec(), next: 0 }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.next % self.sizes.len()].min(buffer.len());
        self.next += 1;
        if self.next.is_multiple_of(7) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.bytes.read(&mut buffer[..size])
    }
}
