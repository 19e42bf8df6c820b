//! Low-cardinality forms of resources, for grouping.

use alloc::string::String;

use crate::fields::Text;

/// What a byte of a path may be part of, one bit each.
const DIGIT: u8 = 1;
/// A hexadecimal digit or a dash.
const HEXADECIMAL: u8 = 2;
/// The end of a segment.
const SLASH: u8 = 4;
/// The end of the path.
const END: u8 = 8;

static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT | HEXADECIMAL,
            b'a'..=b'f' | b'A'..=b'F' | b'-' => HEXADECIMAL,
            b'/' => SLASH,
            b'?' | b'#' => END,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

/// Writes the path without its query, with `{}` for every segment that looks like an id: numbers, hexadecimal strings of 8 and more
/// with a digit, UUIDs, and long strings with a digit.
pub(crate) fn write_path(text: &mut String, path: Text<'_>) {
    let bytes = path.bytes();
    // What was written of the path, and where its current segment begins.
    let (mut written, mut start) = (0, 0);
    let (mut digits, mut all) = (0, HEXADECIMAL);
    let mut end = bytes.len();
    let mut close = |start: usize, end: usize, digits: usize, all: u8| {
        if digits > 0 && is_id(end - start, digits, all & HEXADECIMAL != 0) {
            path.part(written..start).push_to(text, usize::MAX);
            text.push_str("{}");
            written = end;
        }
    };
    for (position, byte) in bytes.iter().enumerate() {
        let kind = KINDS[usize::from(*byte)];
        if kind < SLASH {
            digits += usize::from(kind & DIGIT);
            all &= kind;
            continue;
        }
        if kind == END {
            end = position;
            break;
        }
        close(start, position, digits, all);
        (start, digits, all) = (position + 1, 0, HEXADECIMAL);
    }
    close(start, end, digits, all);
    path.part(written..end).push_to(text, usize::MAX);
}

/// Whether a segment with digits is an id.
fn is_id(length: usize, digits: usize, hexadecimal: bool) -> bool {
    digits == length || hexadecimal && length >= 8 || length > 24 && digits * 4 >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_braces() {
        for (path, endpoint) in [
            ("/", "/"),
            ("/api/v1/users/42?x=1", "/api/v1/users/{}"),
            ("/o/7f3b9a2c-1111-2222-3333-abcdefabcdef/items", "/o/{}/items"),
            ("/static/app.js", "/static/app.js"),
            ("/deadbeef", "/deadbeef"),
            ("/deadbeef01", "/{}"),
            ("*", "*"),
            ("/v1.41/containers/create", "/v1.41/containers/create"),
        ] {
            let mut text = String::new();
            write_path(&mut text, Text::Bytes(path.as_bytes()));
            assert_eq!(text, endpoint);
        }
    }
}
