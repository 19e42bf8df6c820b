//! HTTP/2 frames written down in a test.

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// Of a header frame that is the whole message.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn data(flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

/// Headers that enter no table.
pub(crate) fn headers(flags: u8, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(1, flags, stream, block(headers))
}

pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    headers.iter().flat_map(|(name, value)| literal(0x00, name, value)).collect()
}

/// A header that enters the table.
pub(crate) fn kept(name: &str, value: &str) -> Vec<u8> {
    literal(0x40, name, value)
}

fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    [&[first], text(name).as_slice(), &text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len() {
        length @ ..127 => bytes.push(length as u8),
        mut length => {
            bytes.push(127);
            length -= 127;
            while length >= 128 {
                bytes.push(length as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
        }
    }
    [bytes.as_slice(), text.as_bytes()].concat()
}

pub(crate) fn settings() -> Vec<u8> {
    frame(4, 0, 0, [0, 3, 0, 0, 0, 100])
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, code.to_be_bytes())
}

pub(crate) fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(7, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// What a client that speaks HTTP/2 from the start sends before its first request.
pub(crate) fn greeting() -> Vec<u8> {
    [PREFACE, &settings()].concat()
}

pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(WHOLE, stream, &[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "h")])
}

pub(crate) fn ok(flags: u8, stream: u32) -> Vec<u8> {
    headers(flags | END_HEADERS, stream, &[(":status", "200")])
}
