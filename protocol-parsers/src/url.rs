//! URLs without the secrets in their queries.

use alloc::vec::Vec;

use crate::{Field, MessageWriter};

/// What stands in place of a secret.
const REDACTED: &[u8] = b"REDACTED";
/// The longest name of a secret.
const LONGEST: usize = 18;

/// Sets a field to a path with query; values of secret parameters are left out unless the user wants them.
pub(crate) fn write(message: &mut MessageWriter<'_>, field: Field, path: &[u8]) {
    let query = if message.options().redact { memchr::memchr(b'?', path) } else { None };
    match query.map(|at| path.split_at_checked(at + 1).unwrap_or((path, &[]))) {
        Some((before, query)) if has_secret(query) => {
            message.field_bytes_with(field, |text| redact(text, before, query));
        }
        _ => message.field(field, path),
    }
}

/// Whether there is a secret among the pairs.
fn has_secret(query: &[u8]) -> bool {
    // Where a name begins whose end was not seen yet.
    let mut name = Some(0);
    for (position, byte) in query.iter().enumerate() {
        if !matches!(byte, b'=' | b'&') {
            continue;
        }
        if name.take().is_some_and(|start| is_secret(query.get(start..position).unwrap_or_default())) {
            return true;
        }
        if *byte == b'&' {
            name = Some(position + 1);
        }
    }
    name.is_some_and(|start| is_secret(query.get(start..).unwrap_or_default()))
}

/// Names with their values, as they stand between the ampersands.
fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    query.split(|byte| *byte == b'&').map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(equals) => (pair.get(..equals).unwrap_or_default(), pair.get(equals + 1..)),
        None => (pair, None),
    })
}

#[cold]
fn redact(text: &mut Vec<u8>, before: &[u8], query: &[u8]) {
    text.extend_from_slice(before);
    for (position, (name, value)) in pairs(query).enumerate() {
        if position > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name);
        if let Some(value) = value {
            text.push(b'=');
            text.extend_from_slice(if is_secret(name) { REDACTED } else { value });
        }
    }
}

/// For every first byte of a secret's name, the last letters, one bit each.
static LAST: [u32; 256] = {
    let pairs: [(u8, &[u8]); 10] = [
        (b'a', b"dhny"),
        (b'c', b"elt"),
        (b'i', b"n"),
        (b'j', b"t"),
        (b'k', b"y"),
        (b'p', b"ds"),
        (b'r', b"n"),
        (b's', b"degnty"),
        (b't', b"n"),
        (b'x', b"eln"),
    ];
    let (mut table, mut row) = ([0; 256], 0);
    while row < pairs.len() {
        let (first, mut last) = pairs[row];
        while let [letter, rest @ ..] = last {
            table[first as usize] |= 1 << (*letter & 0x1f);
            last = rest;
        }
        table[first.to_ascii_uppercase() as usize] = table[first as usize];
        row += 1;
    }
    table
};

/// What counts for nothing in a name.
fn ignored(byte: &u8) -> bool {
    matches!(byte, b'-' | b'_')
}

/// Whether a parameter of this name is a secret.
#[inline]
fn is_secret(name: &[u8]) -> bool {
    // Most names are told apart by their first and last letters.
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return false };
    let possible = LAST[usize::from(*first)] & 1 << (last & 0x1f) != 0;
    (possible || ignored(first) || ignored(last)) && is_listed(name)
}

/// Whether a name is one of a secret.
fn is_listed(name: &[u8]) -> bool {
    let mut plain = [0; LONGEST];
    let mut length = 0;
    for byte in name.iter().filter(|byte| !ignored(byte)) {
        let Some(place) = plain.get_mut(length) else { return false };
        *place = byte.to_ascii_lowercase();
        length += 1;
    }
    matches!(
        plain.get(..length).unwrap_or_default(),
        b"accesstoken"
            | b"apikey"
            | b"auth"
            | b"authorization"
            | b"awsaccesskeyid"
            | b"clientsecret"
            | b"code"
            | b"credential"
            | b"idtoken"
            | b"jwt"
            | b"key"
            | b"pass"
            | b"passwd"
            | b"password"
            | b"pwd"
            | b"refreshtoken"
            | b"secret"
            | b"secretkey"
            | b"session"
            | b"sessionid"
            | b"sig"
            | b"signature"
            | b"token"
            | b"xamzcredential"
            | b"xamzsecuritytoken"
            | b"xamzsignature"
            | b"xgoogsignature"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn redacted(path: &str) -> String {
        let mut text = Vec::new();
        let (before, query) = path.as_bytes().split_at(path.find('?').map_or(path.len(), |at| at + 1));
        redact(&mut text, before, query);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn secrets_in_any_case_with_any_separators() {
        for name in [
            "access_token",
            "apikey",
            "auth",
            "Authorization",
            "AWSAccessKeyId",
            "client-secret",
            "code",
            "credential",
            "id_token",
            "jwt",
            "key",
            "pass",
            "passwd",
            "password",
            "pwd",
            "refresh_token",
            "secret",
            "secret_key",
            "session",
            "session_id",
            "sig",
            "signature",
            "token",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "X-Amz-Signature",
            "X-Goog-Signature",
            "_token",
            "key-",
        ] {
            assert!(is_secret(name.as_bytes()), "{name}");
            assert!(is_secret(name.to_ascii_uppercase().as_bytes()), "{name}");
        }
        for name in ["", "status", "page", "keys", "xtoken", "path", "a", "-", "codec"] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn only_names_are_secrets() {
        for query in ["token=1", "a&token", "a=1&token=2&b", "a==&key", "a=token&key=", "&&key"] {
            assert!(has_secret(query.as_bytes()), "{query}");
        }
        for query in ["", "a=token", "a=b=token", "a=key&b=token&", "tokens&keys=1"] {
            assert!(!has_secret(query.as_bytes()), "{query}");
        }
    }

    #[test]
    fn only_secret_values_are_left_out() {
        assert_eq!(redacted("/a?x=1&token=abc&y"), "/a?x=1&token=REDACTED&y");
        assert_eq!(redacted("/a?X-Amz-Signature=abc"), "/a?X-Amz-Signature=REDACTED");
        assert_eq!(redacted("/a?Api_Key=1&tokens=2"), "/a?Api_Key=REDACTED&tokens=2");
        assert_eq!(redacted("/a?"), "/a?");
    }
}
