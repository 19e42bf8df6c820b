//! Capture files: one streaming reader for every kind.

mod decode;
mod error;
mod input;
mod pcap;
mod pcapng;
mod prefetch;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

pub use self::error::{Damage, Found, OpenError, ReadError, Truncation};

use self::decode::{Begin, Decoded, Decoder, Records, Stop};
use self::input::{Input, Mapped, Stream};
use crate::limits::Limits;
use crate::packet::Batch;

/// A capture file that is being read: pcap or pcapng, plain or compressed with gzip or zstd, recognised by its content.
///
/// A regular file that is not compressed is mapped into memory and its packets are lent as they lie there; everything
/// else comes through a buffer. Packets are handed out in the order of the file.
///
/// **A file that changes.** A mapped file is read as long as it was when it was opened; packets appended later are not
/// seen. Should it become shorter, reading ends there with a [`Truncation`]: its length is looked at before each batch.
/// What cannot be helped: when it becomes shorter while a batch is in use, touching a packet behind the new end ends
/// the process with SIGBUS. For a file that others cut or rewrite, use [`from_reader`](Self::from_reader), which copies.
pub struct CaptureFile {
    name: String,
    input: Input,
    decoder: Decoder,
    records: Records,
    /// Bytes of the batch that is lent out; stepped over when the next one is asked for.
    lent: usize,
    compression: Option<Compression>,
    /// Bytes of the file as it is stored, where that is known.
    stored: Option<u64>,
    truncation: Option<Truncation>,
    /// Set when nothing more can come.
    done: bool,
}

/// The format of a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The format of libpcap.
    Pcap,
    /// Its successor.
    Pcapng,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// RFC 1952, several members in a row too.
    Gzip,
    /// RFC 8878, several frames in a row too.
    Zstd,
}

/// How far reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read of the file as it is stored, compressed if it is.
    pub read: u64,
    /// Bytes the file has, unknown for a pipe.
    pub total: Option<u64>,
}

impl CaptureFile {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be opened, is empty, is no capture or has a damaged header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        if path.as_os_str() == "-" {
            return Self::stdin();
        }
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::from_file(name, file),
            Err(source) => Err(OpenError::Open { file: name, source }),
        }
    }

    /// Reads standard input: a pipe, or a file that the shell opened.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn stdin() -> Result<Self, OpenError> {
        let name = "standard input".to_owned();
        match io::stdin().as_fd().try_clone_to_owned() {
            Ok(descriptor) => Self::from_file(name, File::from(descriptor)),
            Err(source) => Err(OpenError::Open { file: name, source }),
        }
    }

    /// Reads whatever can be read. The name stands in messages only.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_reader(
        name: impl Into<String>,
        reader: impl Read + Send + 'static,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        Self::from_stream(name.into(), Stream::new(reader), None, limits)
    }

    fn from_file(name: String, mut file: File) -> Result<Self, OpenError> {
        let limits = Limits::default();
        let metadata = match file.metadata() {
            Ok(metadata) => metadata,
            Err(source) => return Err(OpenError::Open { file: name, source }),
        };
        let stored = (metadata.is_file() && metadata.len() > 0).then_some(metadata.len());
        // Standard input may have been read from before; then it goes on where the other left off.
        if stored.is_some() && matches!(file.stream_position(), Ok(0)) {
            // Some file systems cannot map; reading works everywhere.
            if let Ok(mapped) = Mapped::new(&file)
                && Compression::recognise(mapped.rest()).is_none()
            {
                return Self::begin(name, Input::Mapped(mapped), None, stored, limits);
            }
        }
        Self::from_stream(name, Stream::new(file), stored, limits)
    }

    fn from_stream(name: String, mut stream: Stream, stored: Option<u64>, limits: Limits) -> Result<Self, OpenError> {
        let mut read = || -> io::Result<Option<Compression>> {
            while stream.rest().len() < Compression::MAGIC && stream.fill(Compression::MAGIC)? > 0 {}
            Ok(Compression::recognise(stream.rest()))
        };
        let uncompressed = read().and_then(|compression| match compression {
            Some(kind) => Ok((stream.uncompress(kind, &limits)?, compression)),
            None => Ok((stream, None)),
        });
        match uncompressed {
            Ok((stream, compression)) => Self::begin(name, Input::Stream(stream), compression, stored, limits),
            Err(source) => Err(OpenError::Open { file: name, source }),
        }
    }

    /// Recognises the format and reads the header.
    fn begin(
        file: String,
        mut input: Input,
        compression: Option<Compression>,
        stored: Option<u64>,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        loop {
            let need = match Decoder::begin(input.rest(), &limits) {
                Begin::Header { decoder, used } => {
                    input.advance(used);
                    return Ok(Self {
                        name: file,
                        input,
                        decoder,
                        records: Records::new(),
                        lent: 0,
                        compression,
                        stored,
                        truncation: None,
                        done: false,
                    });
                }
                Begin::Damaged(damage) => {
                    return Err(ReadError::Damaged { file, offset: 0, compression, damage }.into());
                }
                Begin::Unknown => return Err(OpenError::NotACapture { file, found: Found::new(input.rest()) }),
                Begin::Need(need) => need,
            };
            match input.fill(need) {
                Ok(0) => {}
                Ok(_) => continue,
                Err(source) => return Err(ReadError::new(file, 0, compression, source).into()),
            }
            return Err(match input.rest().len() {
                0 if !input.ended_early() => OpenError::Empty { file, compression },
                1..Decoder::MAGIC => OpenError::NotACapture { file, found: Found::new(input.rest()) },
                _ => ReadError::Damaged { file, offset: 0, compression, damage: Damage::HeaderCutShort }.into(),
            });
        }
    }

    /// The next packets, at least one and at most 512; `None` when there are no more. From a pipe they come
    /// as soon as they are there.
    ///
    /// # Errors
    /// [`ReadError`] at the place from which on nothing can be read; what came before has been handed out, and after
    /// it comes `None`.
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, ReadError> {
        self.input.advance(std::mem::take(&mut self.lent));
        while !self.done {
            if let Err(source) = self.input.refresh() {
                return Err(self.fail(source));
            }
            self.records.far = matches!(self.input, Input::Mapped(_));
            let Decoded { used, stop } = self.decoder.decode(self.input.rest(), &mut self.records);
            if !self.records.list().is_empty() {
                self.lent = used;
                return Ok(Some(Batch::new(self.input.rest(), self.records.list())));
            }
            self.input.advance(used);
            match stop {
                Stop::Full => {}
                Stop::Need(need) => match self.input.fill(need) {
                    Ok(0) => self.finish(),
                    Ok(_) => {}
                    Err(source) => return Err(self.fail(source)),
                },
                Stop::Damaged(damage) => {
                    self.done = true;
                    let (file, offset, compression) = (self.name.clone(), self.input.position(), self.compression);
                    return Err(ReadError::Damaged { file, offset, compression, damage });
                }
            }
        }
        Ok(None)
    }

    /// Whether the file ended within a record, known once [`next_batch`](Self::next_batch) has given `None`.
    pub fn truncation(&self) -> Option<&Truncation> {
        self.truncation.as_ref()
    }

    /// How far reading has come. A batch counts when the next one is asked for.
    pub fn progress(&self) -> Progress {
        Progress { read: self.input.taken(), total: self.stored }
    }

    /// The name that messages use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the content was recognised as.
    pub fn format(&self) -> Format {
        self.decoder.format()
    }

    /// How the file is compressed.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    fn finish(&mut self) {
        self.done = true;
        let remaining = self.input.rest().len() as u64;
        if remaining > 0 || self.input.ended_early() {
            let (file, offset, compression) = (self.name.clone(), self.input.position(), self.compression);
            self.truncation = Some(Truncation { file, offset, compression, remaining });
        }
    }

    fn fail(&mut self, source: io::Error) -> ReadError {
        self.done = true;
        ReadError::new(self.name.clone(), self.input.position(), self.compression, source)
    }
}

impl fmt::Debug for CaptureFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CaptureFile")
            .field("name", &self.name)
            .field("format", &self.format())
            .field("compression", &self.compression)
            .field("position", &self.input.position())
            .finish_non_exhaustive()
    }
}

impl Compression {
    /// Bytes that `recognise` wants to see.
    const MAGIC: usize = 4;

    fn recognise(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A data frame, or one to be skipped, of which there are sixteen kinds.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}
