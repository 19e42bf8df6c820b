//! Low-cardinality forms of resources, for grouping.

use alloc::string::String;

/// Writes the path without its query, with `{}` for every segment that looks like an id: numbers, hexadecimal strings of 8 and more
/// with a digit, UUIDs, and long strings with a digit.
pub(crate) fn write_path(text: &mut String, path: &[u8]) {
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    let path = path.get(..end).unwrap_or(path);
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
            write_path(&mut text, path.as_bytes());
            assert_eq!(text, endpoint);
        }
    }
}
