//! Borrowed views of HTTP/2 frames (RFC 9113, 4 and 6).

use crate::{ParseError, ParseErrorKind};

/// What a client sends first (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's header.
pub const HEADER: usize = 9;

/// Types of frames.
pub mod kind {
    #![allow(missing_docs, reason = "named like the frames")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// What senders may send before they are allowed to send more (RFC 9113, 4.2).
const USUAL_LENGTH: u32 = 1 << 14;
/// The longest frame of data that is taken for one where it is not sure that frames are what is seen.
const LONGEST_PLAUSIBLE: u32 = 1 << 20;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes behind the header.
    pub length: u32,
    /// Type, see [`kind`].
    pub kind: u8,
    /// Flags of the type.
    pub flags: u8,
    /// Stream id without the reserved bit; 0 for the connection.
    pub stream: u32,
    /// The reserved bit.
    pub reserved: bool,
}

impl FrameHeader {
    /// Reads the first nine bytes; `None` if there are fewer.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = bytes.first_chunk::<HEADER>()?;
        let stream = u32::from_be_bytes(*stream);
        Some(Self {
            length: u32::from_be_bytes([0, *a, *b, *c]),
            kind: *kind,
            flags: *flags,
            stream: stream & 0x7fff_ffff,
            reserved: stream >> 31 != 0,
        })
    }

    /// Bytes of the frame with its header.
    #[must_use]
    pub const fn total(&self) -> usize {
        HEADER + self.length as usize
    }

    /// Whether it ends what its sender has to say on the stream. Means something for DATA and HEADERS.
    #[must_use]
    pub const fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0 && matches!(self.kind, kind::DATA | kind::HEADERS)
    }

    /// Whether it ends a header block. Means something for HEADERS, PUSH_PROMISE and CONTINUATION.
    #[must_use]
    pub const fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// Whether its payload begins with the length of a padding. Means something for DATA, HEADERS and PUSH_PROMISE.
    #[must_use]
    pub const fn is_padded(&self) -> bool {
        self.flags & PADDED != 0
    }

    /// Checks length and stream id against the type.
    ///
    /// # Errors
    /// For a length that the type cannot have, or a frame of a stream on the connection or the other way round.
    pub fn check(&self) -> Result<(), ParseError> {
        let length = self.length;
        let fits = match self.kind {
            kind::PRIORITY => length == 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => length == 4,
            kind::SETTINGS => length.is_multiple_of(6) && (self.flags & ACK == 0 || length == 0),
            kind::PING => length == 8,
            kind::GOAWAY => length >= 8,
            kind::PUSH_PROMISE => length >= 4,
            kind::HEADERS if self.flags & PRIORITY != 0 => length >= 5,
            kind::DATA | kind::HEADERS | kind::CONTINUATION => true,
            // Unknown types are passed over (RFC 9113, 4.1), in moderation: they may be no frames.
            _ => length <= USUAL_LENGTH,
        };
        if !fits {
            return Err(ParseError::at(ParseErrorKind::Length, 0));
        }
        let of_stream = self.stream != 0;
        let placed = match self.kind {
            kind::DATA
            | kind::HEADERS
            | kind::PRIORITY
            | kind::RST_STREAM
            | kind::PUSH_PROMISE
            | kind::CONTINUATION => of_stream,
            kind::SETTINGS | kind::PING | kind::GOAWAY => !of_stream,
            _ => true,
        };
        if placed { Ok(()) } else { Err(ParseError::at(ParseErrorKind::State, 5)) }
    }

    /// Whether a sender of our days would send it: stricter than [`check`](Self::check), for bytes that may be no frame.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let flags = match self.kind {
            kind::DATA => END_STREAM | PADDED,
            kind::HEADERS => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            kind::SETTINGS | kind::PING => ACK,
            kind::PUSH_PROMISE => END_HEADERS | PADDED,
            kind::CONTINUATION => END_HEADERS,
            kind::PRIORITY | kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE => 0,
            _ => return false,
        };
        let longest = match self.kind {
            kind::DATA => LONGEST_PLAUSIBLE,
            kind::SETTINGS => 6 * 32,
            _ => USUAL_LENGTH,
        };
        let may_be_empty = self.kind != kind::HEADERS && (self.kind != kind::DATA || self.ends_stream());
        let shortest = u32::from(!may_be_empty);
        !self.reserved
            && self.flags & !flags == 0
            && (shortest..=longest).contains(&self.length)
            && self.check().is_ok()
    }
}

/// The part of a HEADERS or PUSH_PROMISE payload that belongs to the header block: where it begins, and the padding behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// Bytes of the payload before the block.
    pub start: usize,
    /// Bytes of the payload behind the block.
    pub padding: usize,
    /// The stream that a PUSH_PROMISE promises.
    pub promised: Option<u32>,
}

impl BlockPlace {
    /// Reads the beginning of a payload (RFC 9113, 6.2 and 6.6); `Ok(None)` if it is not all there.
    ///
    /// # Errors
    /// When the padding is longer than the payload.
    pub fn parse(header: &FrameHeader, payload: &[u8]) -> Result<Option<Self>, ParseError> {
        let mut place = Self { start: 0, padding: 0, promised: None };
        if header.is_padded() {
            let Some(padding) = payload.first() else { return Ok(None) };
            place = Self { start: 1, padding: usize::from(*padding), promised: None };
        }
        if header.kind == kind::HEADERS && header.flags & PRIORITY != 0 {
            place.start += 5;
        }
        if header.kind == kind::PUSH_PROMISE {
            let Some(promised) = payload.get(place.start..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
            place.promised = Some(u32::from_be_bytes(*promised) & 0x7fff_ffff);
            place.start += 4;
        }
        if place.start + place.padding > header.length as usize {
            return Err(ParseError::at(ParseErrorKind::Length, HEADER));
        }
        Ok(Some(place))
    }
}

/// The name of an error code (RFC 9113, 7).
#[must_use]
pub fn error_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0 => "NO_ERROR",
        0x1 => "PROTOCOL_ERROR",
        0x2 => "INTERNAL_ERROR",
        0x3 => "FLOW_CONTROL_ERROR",
        0x4 => "SETTINGS_TIMEOUT",
        0x5 => "STREAM_CLOSED",
        0x6 => "FRAME_SIZE_ERROR",
        0x7 => "REFUSED_STREAM",
        0x8 => "CANCEL",
        0x9 => "COMPRESSION_ERROR",
        0xa => "CONNECT_ERROR",
        0xb => "ENHANCE_YOUR_CALM",
        0xc => "INADEQUATE_SECURITY",
        0xd => "HTTP_1_1_REQUIRED",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_frames() {
        let header = FrameHeader::parse(b"\x00\x00\x04\x08\x00\x80\x00\x00\x03\x00\x00\x00\x01").unwrap();
        assert_eq!(header, FrameHeader { length: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream: 3, reserved: true });
        assert_eq!((header.total(), header.check(), header.is_plausible()), (13, Ok(()), false));
        assert_eq!(FrameHeader::parse(b"\x00\x00\x04\x08\x00\x80\x00\x00"), None);
    }

    #[test]
    fn frames_that_cannot_be() {
        for bytes in [
            b"\x00\x00\x05\x08\x00\x00\x00\x00\x03",
            b"\x00\x00\x07\x04\x00\x00\x00\x00\x00",
            b"\x00\x00\x06\x04\x01\x00\x00\x00\x00",
            b"\x00\x00\x06\x04\x00\x00\x00\x00\x01",
            b"\x00\x00\x08\x00\x00\x00\x00\x00\x00",
            b"GET / HTT",
            b"HTTP/1.1 ",
        ] {
            let header = FrameHeader::parse(bytes).unwrap();
            assert!(header.check().is_err() && !header.is_plausible(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn places_of_header_blocks() {
        let header = |kind, flags, length| FrameHeader { length, kind, flags, stream: 1, reserved: false };
        let place = |start, padding, promised| Ok(Some(BlockPlace { start, padding, promised }));
        assert_eq!(BlockPlace::parse(&header(kind::HEADERS, 0x28, 20), b"\x03....."), place(6, 3, None));
        assert_eq!(BlockPlace::parse(&header(kind::PUSH_PROMISE, 4, 20), b"\0\0\0\x02"), place(4, 0, Some(2)));
        assert_eq!(BlockPlace::parse(&header(kind::PUSH_PROMISE, 4, 20), b"\0\0\0"), Ok(None));
        assert!(BlockPlace::parse(&header(kind::HEADERS, 8, 4), b"\x04").is_err());
    }
}
