//! The persistent form, version 1: a header, then one frame per block, appended and never changed.
//!
//! ```text
//! header   "MFNAMES" 0x01
//! frame    u32 length of the payload | u32 CRC-32 (IEEE) of the payload | payload
//! payload  u16 length, domain | u32 first id | u32 number of names | per name: u32 length, UTF-8
//! ```
//! All integers are little-endian.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::additions::Block;

/// First bytes of a log of version 1.
pub const LOG_HEADER: [u8; 8] = *b"MFNAMES\x01";
const FRAME_HEADER: usize = 8;
/// A frame says its length before its content is known to be sound: nothing longer is believed.
const LONGEST_FRAME: usize = 256 << 20;

/// Why a log cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Not a log, or one of another version.
    #[error("not a dictionary log of version 1")]
    Header,
    /// The last frame is incomplete: its writer was interrupted. What was before it is whole; append from here.
    #[error("dictionary log ends within the frame at byte {offset}")]
    CutShort {
        /// Where the frame begins.
        offset: usize,
    },
    /// A frame is not what its writer wrote.
    #[error("dictionary log is damaged at byte {offset}")]
    Damaged {
        /// Where the frame begins.
        offset: usize,
    },
}

/// Appends the frame of a block. A domain is cut to what its length field can say; the dictionaries here use short ones.
///
/// # Errors
/// When the block is longer than a frame may be; nothing is appended then.
pub fn encode_block(block: &Block, log: &mut Vec<u8>) -> Result<(), LogError> {
    let start = log.len();
    let too_long = LogError::Damaged { offset: start };
    let mut payload = Vec::new();
    let domain = u16::try_from(block.domain.len()).map_err(|_| too_long)?;
    payload.extend_from_slice(&domain.to_le_bytes());
    payload.extend_from_slice(block.domain.as_bytes());
    payload.extend_from_slice(&block.first_id.to_le_bytes());
    payload.extend_from_slice(&u32::try_from(block.names.len()).map_err(|_| too_long)?.to_le_bytes());
    for name in &block.names {
        payload.extend_from_slice(&u32::try_from(name.len()).map_err(|_| too_long)?.to_le_bytes());
        payload.extend_from_slice(name.as_bytes());
    }
    if payload.len() > LONGEST_FRAME {
        return Err(too_long);
    }
    let length = u32::try_from(payload.len()).map_err(|_| too_long)?;
    log.extend_from_slice(&length.to_le_bytes());
    log.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    log.extend_from_slice(&payload);
    Ok(())
}

/// Reads a log block by block. Ends after the first error.
#[derive(Debug)]
pub struct LogReader<'a> {
    bytes: &'a [u8],
    offset: usize,
    ended: bool,
}

impl<'a> LogReader<'a> {
    /// Begins behind the header.
    ///
    /// # Errors
    /// When the bytes do not begin as a log of version 1.
    pub fn new(bytes: &'a [u8]) -> Result<Self, LogError> {
        if !bytes.starts_with(&LOG_HEADER) {
            return Err(LogError::Header);
        }
        Ok(Self { bytes, offset: LOG_HEADER.len(), ended: false })
    }

    fn frame(&mut self) -> Result<Block, LogError> {
        let offset = self.offset;
        let mut rest = Fields(self.bytes.get(offset..).unwrap_or_default());
        let cut = LogError::CutShort { offset };
        let damaged = LogError::Damaged { offset };
        let length = rest.u32().ok_or(cut)?;
        let sum = rest.u32().ok_or(cut)?;
        if length > LONGEST_FRAME {
            return Err(damaged);
        }
        let payload = rest.take(length).ok_or(cut)?;
        if crc32fast::hash(payload) as usize != sum {
            return Err(damaged);
        }
        self.offset += FRAME_HEADER + length;
        block(payload).ok_or(damaged)
    }
}

impl Iterator for LogReader<'_> {
    type Item = Result<Block, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.offset == self.bytes.len() {
            return None;
        }
        let result = self.frame();
        self.ended = result.is_err();
        Some(result)
    }
}

fn block(payload: &[u8]) -> Option<Block> {
    let mut fields = Fields(payload);
    let length = fields.u16()?;
    let domain: Box<str> = core::str::from_utf8(fields.take(length)?).ok()?.into();
    let first_id = u32::try_from(fields.u32()?).ok()?;
    let count = fields.u32()?;
    // Each name takes at least its length field, so `count` cannot ask for more than the frame holds.
    if count > fields.0.len() / 4 {
        return None;
    }
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        let length = fields.u32()?;
        names.push(String::from(core::str::from_utf8(fields.take(length)?).ok()?));
    }
    fields.0.is_empty().then_some(Block { domain, first_id, names })
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn u16(&mut self) -> Option<usize> {
        self.take(2)?.try_into().ok().map(|bytes| usize::from(u16::from_le_bytes(bytes)))
    }

    fn u32(&mut self) -> Option<usize> {
        self.take(4)?.try_into().ok().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }
}
