//! The bytes of a log segment, format 1. Integers are little-endian.
//!
//! ```text
//! segment  = header frame*
//! header   = "MFLOWWAL" version:u32 zero:u32 number:u64 salt:u64 crc32c(the 32 bytes before):u32 zero:u32
//! frame    = "FRM1" length:u32 crc32c(payload):u32 crc32c(salt offset length payload-crc):u32 payload zeros
//! ```
//!
//! A frame begins at a multiple of eight. Its header's checksum covers its place and the segment's random salt, so that
//! neither old bytes nor bytes that a sender put into its rows can pass for a frame when the log is searched for the next
//! good one after a damaged one.

/// What a segment begins with.
const MAGIC: &[u8; 8] = b"MFLOWWAL";
/// What a frame begins with.
const FRAME: &[u8; 4] = b"FRM1";
/// The format that is written.
pub(crate) const VERSION: u32 = 1;
pub(crate) const SEGMENT_HEADER: usize = 40;
const FRAME_HEADER: usize = 16;

/// Identity of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) salt: u64,
}

/// What a segment was found to hold, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A good frame's payload.
    Payload { offset: usize, payload: &'a [u8] },
    /// Bytes that are no frame, with good frames after them.
    Damage { offset: usize, bytes: &'a [u8] },
    /// Bytes that are no frame, to the end.
    Tail { offset: usize, bytes: &'a [u8] },
}

/// Why a segment's header does not open it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Cut short, or not ours, or changed.
    Damaged,
    /// Of a format that came later.
    Newer(u32),
}

impl Segment {
    pub(crate) fn header(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = bytes.get(..SEGMENT_HEADER).ok_or(HeaderError::Damaged)?;
        if header[..8] != *MAGIC || u32_at(header, 32) != Some(crc32c::crc32c(&header[..32])) {
            return Err(HeaderError::Damaged);
        }
        match (u32_at(header, 8), u64_at(header, 16), u64_at(header, 24)) {
            (Some(VERSION), Some(number), Some(salt)) => Ok(Self { number, salt }),
            (Some(version), ..) if version > VERSION => Err(HeaderError::Newer(version)),
            _ => Err(HeaderError::Damaged),
        }
    }

    /// Appends one frame to `out`, of which the first byte will stand at `base` in the segment.
    pub(crate) fn frame(self, out: &mut Vec<u8>, base: u64, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
        let payload = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        let offset = base + out.len() as u64;
        out.extend_from_slice(FRAME);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&payload.to_le_bytes());
        out.extend_from_slice(&self.frame_crc(offset, length, payload).to_le_bytes());
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.resize(out.len().next_multiple_of(8), 0);
    }

    /// Everything after the header. Each byte is looked at a fixed number of times.
    pub(crate) fn pieces(self, bytes: &[u8]) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let mut offset = SEGMENT_HEADER;
        // Where bytes that are no frame began.
        let mut bad = None;
        while offset < bytes.len() {
            match self.payload_at(bytes, offset) {
                Some((payload, end)) => {
                    if let Some(start) = bad.take() {
                        pieces.push(Piece::Damage { offset: start, bytes: &bytes[start..offset] });
                    }
                    pieces.push(Piece::Payload { offset, payload });
                    offset = end;
                }
                None => {
                    bad.get_or_insert(offset);
                    offset += 8;
                }
            }
        }
        pieces.extend(bad.map(|offset| Piece::Tail { offset, bytes: &bytes[offset..] }));
        pieces
    }

    fn payload_at(self, bytes: &[u8], offset: usize) -> Option<(&[u8], usize)> {
        let header = bytes.get(offset..offset + FRAME_HEADER)?;
        let (length, payload_crc) = (u32_at(header, 4)?, u32_at(header, 8)?);
        if header[..4] != *FRAME || u32_at(header, 12)? != self.frame_crc(offset as u64, length, payload_crc) {
            return None;
        }
        let start = offset + FRAME_HEADER;
        let payload = bytes.get(start..start.checked_add(length as usize)?)?;
        let whole = crc32c::crc32c(payload) == payload_crc;
        whole.then_some((payload, (start + payload.len()).next_multiple_of(8)))
    }

    fn frame_crc(self, offset: u64, length: u32, payload: u32) -> u32 {
        let crc = crc32c::crc32c(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &length.to_le_bytes());
        crc32c::crc32c_append(crc, &payload.to_le_bytes())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
