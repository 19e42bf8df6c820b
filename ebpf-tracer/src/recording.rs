//! Events in a file, to be taken in again without privileges.
//!
//! ```text
//! header   "MFEVENTS"  format: u32  events: u32
//! entry    length: u32  kind: u32  (length bytes)
//! ```
//!
//! All numbers are little-endian. `events` is the [`VERSION`] of the events' layout. An entry of an unknown kind is left out: later
//! versions may add some.

use std::io::{self, Read, Write};

use metaflow_ebpf_common::VERSION;

use crate::clock::Clock;
use crate::processes::Snapshot;

const MAGIC: &[u8; 8] = b"MFEVENTS";
const FORMAT: u32 = 1;
/// Longer than any event is.
const LONGEST: u32 = 1 << 20;

/// What a [`Tracer`](crate::Tracer) is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A record of the ring.
    Record(&'a [u8]),
    /// It is so late on `CLOCK_MONOTONIC`.
    Time(u64),
    /// The clocks were compared.
    Clock(Clock),
    /// Somebody listens to a TCP port.
    Listening {
        /// Number of the network namespace's inode.
        netns: u32,
        /// The port.
        port: u16,
        /// Or nobody does so any more.
        is_listening: bool,
    },
    /// What `/proc` says of a process.
    Process(Snapshot),
}

const RECORD: u32 = 1;
const TIME: u32 = 2;
const CLOCK: u32 = 3;
const LISTENING: u32 = 4;
const PROCESS: u32 = 5;

/// Why a file is no recording, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It cannot be read.
    #[error("recording cannot be read")]
    Io(#[from] io::Error),
    /// It does not begin as one.
    #[error("no recording of events")]
    Magic,
    /// Another format, or another layout of the events.
    #[error("recording of format {format} with events of layout {events}, which this version does not read")]
    Version {
        /// Of the file.
        format: u32,
        /// Of the events.
        events: u32,
    },
    /// What stands there is no entry.
    #[error("recording is damaged at byte {offset}")]
    Damaged {
        /// Where the entry begins.
        offset: u64,
    },
}

/// Writes a recording. What it writes to should be buffered.
#[derive(Debug)]
pub struct RecordingWriter<W> {
    file: W,
    entry: Vec<u8>,
}

impl<W: Write> RecordingWriter<W> {
    /// Begins one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut file: W) -> io::Result<Self> {
        file.write_all(MAGIC)?;
        file.write_all(&FORMAT.to_le_bytes())?;
        file.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { file, entry: Vec::new() })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// It cannot be written, or is longer than 1 MiB.
    pub fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.entry);
        bytes.clear();
        let kind = encode(entry, &mut bytes);
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
        self.file.write_all(&length.ok_or(io::ErrorKind::InvalidInput)?.to_le_bytes())?;
        self.file.write_all(&kind.to_le_bytes())?;
        self.file.write_all(&bytes)?;
        self.entry = bytes;
        Ok(())
    }

    /// What it was written to.
    pub fn into_inner(self) -> W {
        self.file
    }
}

/// Reads a recording. What it reads from should be buffered.
#[derive(Debug)]
pub struct Recording<R> {
    file: R,
    entry: Vec<u8>,
    offset: u64,
    is_cut: bool,
    unknown: u64,
}

impl<R: Read> Recording<R> {
    /// Begins to read one.
    ///
    /// # Errors
    /// It is none of a known version.
    pub fn new(mut file: R) -> Result<Self, RecordingError> {
        let mut header = [0; 16];
        let read = fill(&mut file, &mut header)?;
        if read < header.len() || !header.starts_with(MAGIC) {
            return Err(RecordingError::Magic);
        }
        let mut numbers = Fields(&header[MAGIC.len()..]);
        let (format, events) = (numbers.u32().unwrap_or_default(), numbers.u32().unwrap_or_default());
        if (format, events) != (FORMAT, VERSION) {
            return Err(RecordingError::Version { format, events });
        }
        Ok(Self { file, entry: Vec::new(), offset: read as u64, is_cut: false, unknown: 0 })
    }

    /// The next entry; `None` at the end, also where the last entry is cut short.
    ///
    /// # Errors
    /// It cannot be read, or is damaged: then nothing behind it can be found.
    #[expect(clippy::should_implement_trait, reason = "an entry lives until the next one is read")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, RecordingError> {
        loop {
            let mut head = [0; 8];
            let read = fill(&mut self.file, &mut head)?;
            if read < head.len() {
                self.is_cut |= read > 0;
                return Ok(None);
            }
            let mut numbers = Fields(&head);
            let (length, kind) = (numbers.u32().unwrap_or_default(), numbers.u32().unwrap_or_default());
            let offset = self.offset;
            if length > LONGEST {
                return Err(RecordingError::Damaged { offset });
            }
            self.entry.clear();
            let read = (&mut self.file).take(u64::from(length)).read_to_end(&mut self.entry)?;
            self.offset += (head.len() + read) as u64;
            if read < length as usize {
                self.is_cut = true;
                return Ok(None);
            }
            if !(RECORD..=PROCESS).contains(&kind) {
                self.unknown += 1;
                continue;
            }
            return decode(kind, &self.entry).map(Some).ok_or(RecordingError::Damaged { offset });
        }
    }

    /// Whether the last entry was cut short, as when the writer was ended.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Entries left out because their kind is not known.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }
}

fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn encode(entry: &Entry<'_>, to: &mut Vec<u8>) -> u32 {
    match entry {
        Entry::Record(record) => {
            to.extend_from_slice(record);
            RECORD
        }
        Entry::Time(time) => {
            to.extend_from_slice(&time.to_le_bytes());
            TIME
        }
        Entry::Clock(clock) => {
            to.extend_from_slice(&clock.monotonic_ns.to_le_bytes());
            to.extend_from_slice(&clock.boottime_ns.to_le_bytes());
            CLOCK
        }
        Entry::Listening { netns, port, is_listening } => {
            to.extend_from_slice(&netns.to_le_bytes());
            to.extend_from_slice(&port.to_le_bytes());
            to.push(u8::from(*is_listening));
            LISTENING
        }
        Entry::Process(Snapshot { pid, start_ns, parent, name, command_line, executable, cgroup }) => {
            to.extend_from_slice(&pid.to_le_bytes());
            to.extend_from_slice(&parent.to_le_bytes());
            to.extend_from_slice(&start_ns.to_le_bytes());
            for text in [Some(name), command_line.as_ref(), executable.as_ref(), cgroup.as_ref()] {
                // A length, plus 1; 0 if there is none.
                let length = text.map_or(0, |text| text.len().saturating_add(1));
                to.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
                to.extend_from_slice(text.map_or(&[], |text| text.as_bytes()));
            }
            PROCESS
        }
    }
}

fn decode(kind: u32, entry: &[u8]) -> Option<Entry<'_>> {
    let mut fields = Fields(entry);
    Some(match kind {
        RECORD => Entry::Record(entry),
        TIME => Entry::Time(fields.u64()?),
        CLOCK => {
            Entry::Clock(Clock { monotonic_ns: fields.u64()?.cast_signed(), boottime_ns: fields.u64()?.cast_signed() })
        }
        LISTENING => {
            let (netns, port) = (fields.u32()?, u16::from_le_bytes(fields.take()?));
            Entry::Listening { netns, port, is_listening: fields.take::<1>()? != [0] }
        }
        _ => Entry::Process(Snapshot {
            pid: fields.u32()?,
            parent: fields.u32()?,
            start_ns: fields.u64()?,
            name: fields.text()?.unwrap_or_default(),
            command_line: fields.text()?,
            executable: fields.text()?,
            cgroup: fields.text()?,
        }),
    })
}

/// What is left of an entry.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<Option<String>> {
        let Some(length) = self.u32()?.checked_sub(1) else { return Some(None) };
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(String::from_utf8_lossy(text).into_owned()))
    }
}
