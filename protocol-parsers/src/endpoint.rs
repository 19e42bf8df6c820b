//! Low-cardinality forms of resources, for grouping.

use alloc::vec::Vec;

use crate::{EndpointPrefix, EndpointRest};

/// What a byte of a path is: 0 for what tells nothing, or one of these.
const DIGIT: u8 = 1;
/// The end of a segment.
const SLASH: u8 = 2;
/// The end of the path.
const END: u8 = 3;

static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
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
pub(crate) fn write_path(text: &mut Vec<u8>, path: &[u8], prefixes: &[EndpointPrefix]) {
    if !prefixes.is_empty() && write_below(text, path, prefixes) {
        return;
    }
    // What was written of the path, where its current segment begins, and how many digits that has.
    let (mut written, mut start, mut digits) = (0, 0, 0);
    let mut position = 0;
    loop {
        let kind = path.get(position).map_or(END, |byte| KINDS[usize::from(*byte)]);
        if kind <= DIGIT {
            digits += usize::from(kind);
            position += 1;
            continue;
        }
        if digits > 0 && is_id(path.get(start..position).unwrap_or_default(), digits) {
            text.extend_from_slice(path.get(written..start).unwrap_or_default());
            text.extend_from_slice(b"{}");
            written = position;
        }
        if kind == END {
            break;
        }
        position += 1;
        (start, digits) = (position, 0);
    }
    text.extend_from_slice(path.get(written..position).unwrap_or_default());
}

/// Writes a path without its query by what a prefix says. Says whether there was one that fits.
fn write_below(text: &mut Vec<u8>, path: &[u8], prefixes: &[EndpointPrefix]) -> bool {
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    let path = path.get(..end).unwrap_or(path);
    let below = |known: &EndpointPrefix| {
        let prefix = known.prefix.trim_end_matches('/').as_bytes();
        path.strip_prefix(prefix)
            .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
            .then_some((prefix.len(), known.rest))
    };
    let Some((length, then)) = prefixes.iter().filter_map(below).max_by_key(|(length, _)| *length) else {
        return false;
    };
    let (prefix, rest) = path.split_at_checked(length).unwrap_or((path, &[]));
    text.extend_from_slice(prefix);
    match then {
        EndpointRest::Hide if rest.len() > 1 => text.extend_from_slice(b"/{}"),
        EndpointRest::Hide | EndpointRest::Keep => text.extend_from_slice(rest),
    }
    true
}

/// Whether a segment with digits is an id.
fn is_id(segment: &[u8], digits: usize) -> bool {
    let hexadecimal = || segment.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let length = segment.len();
    digits == length || length >= 8 && hexadecimal() || length > 24 && digits * 4 >= length
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
            ("", ""),
            ("/1//2/a1?/3", "/{}//{}/a1"),
            ("/0123456789abcdefghijklmnop/#4", "/{}/"),
            ("/v1.41/containers/create", "/v1.41/containers/create"),
        ] {
            let mut text = Vec::new();
            write_path(&mut text, path.as_bytes(), &[]);
            assert_eq!(text, endpoint.as_bytes());
        }
    }

    #[test]
    fn below_a_prefix_the_user_says_what_an_id_is() {
        let below = |prefix: &str, rest| EndpointPrefix { prefix: prefix.into(), rest };
        let prefixes = [
            below("/files/", EndpointRest::Hide),
            below("/files/v1", EndpointRest::Keep),
            below("/2024", EndpointRest::Keep),
        ];
        for (path, endpoint) in [
            ("/files/a/b.pdf?x=1", "/files/{}"),
            ("/files", "/files"),
            ("/files/", "/files/"),
            ("/files/v1/42/sum", "/files/v1/42/sum"),
            ("/files42/42", "/files42/{}"),
            ("/2024/42", "/2024/42"),
            ("/other/42", "/other/{}"),
        ] {
            let mut text = Vec::new();
            write_path(&mut text, path.as_bytes(), &prefixes);
            assert_eq!(text, endpoint.as_bytes());
        }
    }
}
