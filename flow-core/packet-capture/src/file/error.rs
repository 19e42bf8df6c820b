//! What can be wrong with a capture file.

use std::fmt;
use std::io;

use super::Compression;

/// A file that could not be opened as a capture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot open {file}: {source}")]
    Open {
        /// The file's name.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("{file} is empty{}", if .compression.is_some() { " when it is uncompressed" } else { "" })]
    Empty {
        /// The file's name.
        file: String,
        /// How it is compressed.
        compression: Option<Compression>,
    },
    /// It is something else.
    #[error("{file} is no capture file: it begins with {found}")]
    NotACapture {
        /// The file's name.
        file: String,
        /// What it begins with.
        found: Found,
    },
    /// It is a capture, but its header could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A capture that could not be read further. Every packet before the place has been handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system failed to read.
    #[error("cannot read {file} further than byte {offset}: {source}")]
    Io {
        /// The file's name.
        file: String,
        /// Where reading stopped; in the uncompressed stream.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not what the format demands.
    #[error("{file} is damaged at byte {offset}{}: {damage}", of_stream(*.compression))]
    Damaged {
        /// The file's name.
        file: String,
        /// Where the record, block or header begins that is wrong; in the uncompressed stream.
        offset: u64,
        /// How the file is compressed.
        compression: Option<Compression>,
        /// What is wrong with it.
        damage: Damage,
    },
}

impl ReadError {
    /// A decompressor reports what is wrong with the data as errors of its own, which no system call has made.
    pub(super) fn new(file: String, offset: u64, compression: Option<Compression>, source: io::Error) -> Self {
        match compression {
            Some(kind) if source.raw_os_error().is_none() => {
                let mut reason = source.to_string();
                if reason.contains("too much memory") {
                    reason += "; uncompress it first, `zstd -dc --long=31 FILE | … -`";
                }
                let damage = Damage::Compressed { compression: kind, reason };
                Self::Damaged { file, offset, compression, damage }
            }
            _ => Self::Io { file, offset, source },
        }
    }
}

/// What is wrong with the bytes of a capture file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends within its first header, so nothing in it can be read.
    #[error("the file ends within its header")]
    HeaderCutShort,
    /// A version of the format that does not exist.
    #[error("{format} version {major}.{minor} does not exist")]
    Version {
        /// Name of the format.
        format: &'static str,
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// A packet longer than [`Limits::packet`](crate::Limits).
    #[error("a packet of {length} bytes, more than the {limit} that are allowed")]
    PacketTooLong {
        /// Captured length as the file says.
        length: u32,
        /// The bound.
        limit: u32,
    },
    /// A pcapng block longer than [`Limits::block`](crate::Limits).
    #[error("a block of {length} bytes, more than the {limit} that are allowed")]
    BlockTooLong {
        /// Block length as the file says.
        length: u32,
        /// The bound.
        limit: u32,
    },
    /// A pcapng block whose length is no multiple of four or too small for what the block must hold.
    #[error("a block of type {kind:#x} cannot be {length} bytes long")]
    BlockLength {
        /// Block type.
        kind: u32,
        /// Block length as the file says.
        length: u32,
    },
    /// The length of a pcapng block stands at its head and at its end, and the two differ.
    #[error("a block of {head} bytes by its first length and {tail} by its last")]
    BlockLengthsDiffer {
        /// The length at the head.
        head: u32,
        /// The length at the end.
        tail: u32,
    },
    /// The packet is longer than the block that holds it.
    #[error("a packet of {length} bytes in a block of {block} bytes")]
    PacketOutsideBlock {
        /// Captured length as the file says.
        length: u32,
        /// Block length.
        block: u32,
    },
    /// A section header with neither byte order.
    #[error("a section header with the byte-order magic {magic:#010x}")]
    ByteOrder {
        /// What stands there.
        magic: u32,
    },
    /// A packet of an interface that the section does not describe.
    #[error("a packet of interface {interface}, of which the section has no description")]
    UnknownInterface {
        /// Its number in the section.
        interface: u32,
    },
    /// An option of an interface description that is longer than its block, or not as long as its kind must be.
    #[error("an interface option {code} cannot be {length} bytes long")]
    OptionLength {
        /// Option code.
        code: u16,
        /// Its length as the file says.
        length: u16,
    },
    /// More interface descriptions in a section than [`Limits::interfaces`](crate::Limits).
    #[error("more than {limit} interfaces in one section")]
    TooManyInterfaces {
        /// The bound.
        limit: usize,
    },
    /// The compressed data are wrong.
    #[error("cannot be uncompressed further ({compression}: {reason})")]
    Compressed {
        /// How the file is compressed.
        compression: Compression,
        /// What the decompressor said.
        reason: String,
    },
}

/// The file ends within a record: a warning, since captures that were stopped hard end like this. Every complete
/// packet has been handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truncation {
    /// The file's name.
    pub file: String,
    /// Where the record begins that is cut short; in the uncompressed stream.
    pub offset: u64,
    /// How the file is compressed.
    pub compression: Option<Compression>,
    /// Bytes of that record that are there; 0 where compressed data end early or a file became shorter between records.
    pub remaining: u64,
}

impl fmt::Display for Truncation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, compression, remaining } = self;
        let stream = of_stream(*compression);
        match remaining {
            0 => write!(formatter, "{file} is cut short after byte {offset}{stream}"),
            _ => write!(
                formatter,
                "{file} is cut short: of the record at byte {offset}{stream} there are {remaining} bytes"
            ),
        }
    }
}

fn of_stream(compression: Option<Compression>) -> &'static str {
    if compression.is_some() { " of the uncompressed stream" } else { "" }
}

/// How a file begins that is no capture: its first bytes and, where these are well known, what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    bytes: Vec<u8>,
}

impl Found {
    const SHOWN: usize = 8;
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "gzip data within gzip or zstd data"),
        (b"\x28\xb5\x2f\xfd", "zstd data within gzip or zstd data"),
        (b"\xfd7zXZ\x00", "xz data: uncompress it first, `xz -dc FILE | … -`"),
        (b"BZh", "bzip2 data: uncompress it first, `bzip2 -dc FILE | … -`"),
        (b"\x04\x22\x4d\x18", "lz4 data: uncompress it first, `lz4 -dc FILE | … -`"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x7fELF", "an ELF program"),
        (b"snoop\x00\x00\x00", "a snoop capture: convert it first, `editcap -F pcapng FILE …`"),
        (b"LOGG", "a BLF log: convert it first, `editcap -F pcapng FILE …`"),
    ];

    pub(super) fn new(input: &[u8]) -> Self {
        Self { bytes: input[..input.len().min(Self::SHOWN)].to_vec() }
    }

    /// The first bytes of the (uncompressed) file, at most eight.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What these bytes are the beginning of, where that is well known.
    pub fn kind(&self) -> Option<&'static str> {
        let known = Self::KNOWN.iter().find(|(magic, _)| self.bytes.starts_with(magic)).map(|(_, kind)| *kind);
        let text = || self.bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        known.or_else(|| text().then_some("text"))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.bytes.iter().enumerate() {
            write!(formatter, "{}{byte:02x}", if place == 0 { "" } else { " " })?;
        }
        self.kind().map_or(Ok(()), |kind| write!(formatter, " ({kind})"))
    }
}
