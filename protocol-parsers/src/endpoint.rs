//! Low-cardinality forms of resources, for grouping.

use alloc::string::String;

use crate::{EndpointPrefix, EndpointRest};

/// Writes the path without its query, with `{}` for every segment that looks like an id: numbers, hexadecimal strings of 8 and more
/// with a digit, UUIDs, and long strings with a digit.
pub(crate) fn write_path(text: &mut String, path: &[u8], prefixes: &[EndpointPrefix]) {
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    let path = path.get(..end).unwrap_or(path);
    if !prefixes.is_empty() && write_below(text, path, prefixes) {
        return;
    }
    let start = text.len();
    crate::fields::push_escaped(text, path, usize::MAX);
    // Most paths are their own endpoint.
    if path.iter().fold(true, |all, byte| all & !byte.is_ascii_digit()) {
        return;
    }
    text.truncate(start);
    for (position, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if position > 0 {
            text.push('/');
        }
        if is_id(segment) {
            text.push_str("{}");
        } else {
            crate::fields::push_escaped(text, segment, usize::MAX);
        }
    }
}

/// Writes a path by what a prefix says. Says whether there was one that fits.
fn write_below(text: &mut String, path: &[u8], prefixes: &[EndpointPrefix]) -> bool {
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
    crate::fields::push_escaped(text, prefix, usize::MAX);
    match then {
        EndpointRest::Hide if rest.len() > 1 => text.push_str("/{}"),
        EndpointRest::Hide | EndpointRest::Keep => drop(crate::fields::push_escaped(text, rest, usize::MAX)),
    }
    true
}

fn is_id(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return false;
    }
    let hexadecimal = segment.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    digits == segment.len() || hexadecimal && segment.len() >= 8 || segment.len() > 24 && digits * 4 >= segment.len()
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
            write_path(&mut text, path.as_bytes(), &[]);
            assert_eq!(text, endpoint);
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
            let mut text = String::new();
            write_path(&mut text, path.as_bytes(), &prefixes);
            assert_eq!(text, endpoint);
        }
    }
}
