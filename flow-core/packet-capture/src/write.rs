//! Writing capture files.

use std::io::{self, Write};

use crate::limits::Limits;
use crate::link::LinkType;

/// Writes a pcap file with nanoseconds (`draft-ietf-opsawg-pcap`), which every tool of the field reads.
///
/// It writes in small pieces: give it a [`BufWriter`](std::io::BufWriter), and [`flush`](Self::flush) it at the end.
#[derive(Debug)]
pub struct PcapWriter<W> {
    output: W,
}

/// A packet that a pcap file cannot hold, or a failure to write it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Longer than readers accept.
    #[error("a packet of {length} bytes, more than the {limit} that a capture file may have")]
    PacketTooLong {
        /// Its captured length.
        length: usize,
        /// The bound, [`Limits::packet`] of the default.
        limit: u32,
    },
    /// The format counts seconds in 32 bits.
    #[error("the time {time_ns} ns lies beyond the year 2106, the last one of the format")]
    TimeTooLate {
        /// The packet's time.
        time_ns: u64,
    },
    /// The output refused.
    #[error("cannot write the capture: {0}")]
    Io(#[from] io::Error),
}

impl<W: Write> PcapWriter<W> {
    /// Begins a file whose packets all have the same link type.
    ///
    /// # Errors
    /// What the output says.
    pub fn new(mut output: W, link: LinkType) -> Result<Self, WriteError> {
        let mut header = [0; 24];
        header[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        header[4..6].copy_from_slice(&2_u16.to_le_bytes());
        header[6..8].copy_from_slice(&4_u16.to_le_bytes());
        header[16..20].copy_from_slice(&Limits::default().packet.to_le_bytes());
        header[20..22].copy_from_slice(&link.number().to_le_bytes());
        output.write_all(&header)?;
        Ok(Self { output })
    }

    /// Writes one packet: when it was captured in nanoseconds since the Unix epoch, what was kept of it, how long it
    /// was on the wire.
    ///
    /// # Errors
    /// [`WriteError`]; a packet that is refused leaves the file as it was.
    pub fn write(&mut self, time_ns: u64, captured: &[u8], original_len: u32) -> Result<(), WriteError> {
        const SECOND: u64 = 1_000_000_000;
        let limit = Limits::default().packet;
        if captured.len() > limit as usize {
            return Err(WriteError::PacketTooLong { length: captured.len(), limit });
        }
        let seconds = u32::try_from(time_ns / SECOND).map_err(|_| WriteError::TimeTooLate { time_ns })?;
        let length = captured.len() as u32;
        let mut header = [0; 16];
        header[..4].copy_from_slice(&seconds.to_le_bytes());
        header[4..8].copy_from_slice(&((time_ns % SECOND) as u32).to_le_bytes());
        header[8..12].copy_from_slice(&length.to_le_bytes());
        header[12..].copy_from_slice(&original_len.max(length).to_le_bytes());
        self.output.write_all(&header)?;
        self.output.write_all(captured)?;
        Ok(())
    }

    /// Makes sure that everything is with the operating system.
    ///
    /// # Errors
    /// What the output says.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        Ok(self.output.flush()?)
    }

    /// The output, not flushed.
    pub fn into_inner(self) -> W {
        self.output
    }
}
