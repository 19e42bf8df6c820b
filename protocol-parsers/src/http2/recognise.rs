//! Telling frames from other bytes: at the start of a connection, in its middle, and after a loss.

use super::hpack::{Decoder, Flaw};
use super::name::Name;
use super::wire::{BlockPlace, FrameHeader, HEADER, PREFACE, kind};
use crate::{Resync, Side};

/// What some bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// What only a client sends.
    Client,
    /// What only a server sends.
    Server,
    /// Frames that either side could send.
    Frames,
    /// What could become one of these.
    Perhaps,
    Neither,
}

/// So many new streams can lie between two frames that were seen.
const STREAMS_AHEAD: u32 = 1 << 16;
/// So many frames are looked at.
const FRAMES: usize = 64;

/// Looks at the beginning of a stream, or of a segment.
pub(super) fn recognise(bytes: &[u8]) -> Start {
    if bytes.starts_with(PREFACE) {
        return Start::Client;
    }
    if PREFACE.starts_with(bytes) && !bytes.is_empty() {
        return Start::Perhaps;
    }
    let mut rest = bytes;
    for whole in 0..FRAMES {
        let Some(header) = FrameHeader::parse(rest) else {
            return match whole {
                2.. if rest.is_empty() => Start::Frames,
                _ if begins_header(rest) => Start::Perhaps,
                _ => Start::Neither,
            };
        };
        if !header.is_plausible() {
            return Start::Neither;
        }
        let payload = rest.get(HEADER..).unwrap_or_default();
        let Some(behind) = rest.get(header.total()..) else {
            // Data alone is too little: much looks like it.
            return if whole > 0 || header.kind != kind::DATA { Start::Perhaps } else { Start::Neither };
        };
        let payload = payload.get(..header.length as usize).unwrap_or_default();
        match header.kind {
            kind::HEADERS => match asker(&header, payload) {
                Some(Start::Perhaps) => {}
                Some(start) => return start,
                None => return Start::Neither,
            },
            kind::SETTINGS if !payload.is_empty() => {
                // A client's settings stand behind its preface.
                return if settings_are_known(payload) { Start::Server } else { Start::Neither };
            }
            kind::RST_STREAM if !matches!(payload, [0, 0, 0, ..=0xd]) => return Start::Neither,
            kind::WINDOW_UPDATE if payload == [0; 4] => return Start::Neither,
            _ => {}
        }
        rest = behind;
    }
    Start::Frames
}

/// Whether the header of a frame that is none of data could begin with these bytes, fewer than a header has.
fn begins_header(bytes: &[u8]) -> bool {
    let mut padded = [0; HEADER];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    let Some(mut header) = FrameHeader::parse(&padded) else { return false };
    if bytes.len() <= 3 {
        return bytes.first().is_none_or(|byte| *byte == 0) && bytes.get(1).is_none_or(|byte| *byte <= 0x40);
    }
    if bytes.len() < HEADER && !matches!(header.kind, kind::SETTINGS | kind::PING | kind::GOAWAY) {
        // The rest of the stream id can be anything but nothing.
        header.stream |= 1;
    }
    header.kind != kind::DATA && header.is_plausible()
}

/// Whose header block it is, if it is one; `Some(Start::Perhaps)` if either could have sent it.
fn asker(header: &FrameHeader, payload: &[u8]) -> Option<Start> {
    let place = BlockPlace::parse(header, payload).ok()??;
    let block = payload.get(place.start..payload.len().checked_sub(place.padding)?)?;
    let mut start = Start::Perhaps;
    let result = Decoder::new(0).decode(block, |header| match (header.name, header.value) {
        (Name::Method | Name::Path | Name::Scheme, [_, ..]) => start = Start::Client,
        (Name::Status, [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']) => start = Start::Server,
        _ => {}
    });
    match result {
        Ok(()) => Some(start),
        Err(Flaw::Cut) if !header.ends_headers() => Some(start),
        Err(_) => None,
    }
}

/// Whether all settings are registered ones (RFC 9113, 6.5.2, and later), or made up to keep receivers tolerant.
fn settings_are_known(payload: &[u8]) -> bool {
    payload.chunks(6).all(|setting| match setting {
        [0, 1..=9 | 0x10, ..] => true,
        [high, low, ..] => high & 0xf == 0xa && low & 0xf == 0xa,
        _ => false,
    })
}

/// Looks for the next frame of this side. `highest` is the highest stream id seen so far.
pub(super) fn find_frame(from: Side, bytes: &[u8], highest: u32) -> Resync {
    let begins = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        if from == Side::Client && rest.starts_with(b"PRI ") {
            return Resync::At(at);
        }
        let Some(header) = FrameHeader::parse(rest) else {
            let zero = rest.first().is_some_and(|byte| *byte < 0x10);
            let kind = rest.get(3).is_none_or(|kind| *kind <= kind::CONTINUATION);
            let preface = from == Side::Client && PREFACE.starts_with(rest);
            return if zero && kind || preface { Resync::Perhaps(at) } else { Resync::Nowhere };
        };
        // Within other bytes more must fit than in front, where frames mostly begin.
        let fits = |header: FrameHeader| {
            header.is_plausible() && (at == 0 || header.stream <= highest.saturating_add(STREAMS_AHEAD))
        };
        let next = rest.get(header.total()..).and_then(FrameHeader::parse);
        if fits(header) && next.is_none_or(fits) { Resync::At(at) } else { Resync::Nowhere }
    };
    (0..bytes.len()).map(begins).find(|found| *found != Resync::Nowhere).unwrap_or(Resync::Nowhere)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    #[test]
    fn beginnings() {
        let update = frame(kind::WINDOW_UPDATE, 0, 0, b"\0\x01\0\0");
        let request = frame(kind::HEADERS, 4, 1, b"\x83\x86\x44\x01/\xbe");
        let response = frame(kind::HEADERS, 4, 1, b"\x88\xc0");
        let trailers = frame(kind::HEADERS, 5, 1, b"\xc0");
        for (bytes, start) in [
            (PREFACE.to_vec(), Start::Client),
            (PREFACE[..5].to_vec(), Start::Perhaps),
            (b"PRI key\r\n".to_vec(), Start::Neither),
            (frame(kind::SETTINGS, 0, 0, b"\0\x03\0\0\0\x64"), Start::Server),
            (frame(kind::SETTINGS, 0, 0, b"\0\0\0\0\0\x64"), Start::Neither),
            (frame(kind::SETTINGS, 0, 0, b""), Start::Perhaps),
            (request.clone(), Start::Client),
            (response.clone(), Start::Server),
            ([update.clone(), request.clone()].concat(), Start::Client),
            ([trailers.clone(), response].concat(), Start::Server),
            (trailers, Start::Perhaps),
            (request[..12].to_vec(), Start::Perhaps),
            (update[..6].to_vec(), Start::Perhaps),
            (update.clone(), Start::Perhaps),
            ([update.clone(), update].concat(), Start::Frames),
            (frame(kind::HEADERS, 4, 1, b"\x40\x7f"), Start::Neither),
            (frame(kind::DATA, 0, 1, b"abc"), Start::Perhaps),
            (frame(kind::DATA, 0, 1, b"abc")[..11].to_vec(), Start::Neither),
            (b"GET / HTTP/1.1\r\n".to_vec(), Start::Neither),
            (b"\x03\0\0\0\x0e..".to_vec(), Start::Neither),
            (b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(), Start::Neither),
            (b"\0\0\0\x08".to_vec(), Start::Neither),
        ] {
            assert_eq!(recognise(&bytes), start, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn frames_behind_other_bytes() {
        let data = frame(kind::DATA, 1, 5, b"abc");
        let find = |bytes: &[u8]| find_frame(Side::Server, bytes, 5);
        assert_eq!(find(&data), Resync::At(0));
        assert_eq!(find(&[b"rest of a body", &data[..]].concat()), Resync::At(14));
        assert_eq!(find(&[b"rest of a body", &data[..4]].concat()), Resync::Perhaps(14));
        assert_eq!(find(&[b"\0\0\0\0\0\0\0\0\0\0\0\0", &data[..], &data[..]].concat()), Resync::At(12));
        assert_eq!(find(b"nothing but text"), Resync::Nowhere);
    }
}
