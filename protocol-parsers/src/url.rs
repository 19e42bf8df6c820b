//! URLs without the secrets in their queries.

use alloc::string::String;

use crate::fields::push_escaped;
use crate::{Field, MessageWriter};

/// What stands in place of a secret.
const REDACTED: &str = "REDACTED";
/// Names of query parameters whose values are secrets, in lower case without `-` and `_`.
const SECRETS: &[&[u8]] = &[
    b"accesstoken",
    b"apikey",
    b"auth",
    b"authorization",
    b"awsaccesskeyid",
    b"clientsecret",
    b"code",
    b"credential",
    b"idtoken",
    b"jwt",
    b"key",
    b"pass",
    b"passwd",
    b"password",
    b"pwd",
    b"refreshtoken",
    b"secret",
    b"secretkey",
    b"session",
    b"sessionid",
    b"sig",
    b"signature",
    b"token",
    b"xamzcredential",
    b"xamzsecuritytoken",
    b"xamzsignature",
    b"xgoogsignature",
];

/// Sets a field to a path with query; values of secret parameters are left out unless the user wants them.
pub(crate) fn write(message: &mut MessageWriter<'_>, field: Field, path: &[u8]) {
    match memchr::memchr(b'?', path) {
        Some(query) if message.options().redact => {
            message.field_with(field, |text| redact(text, path, query + 1));
        }
        _ => message.field(field, path),
    }
}

fn redact(text: &mut String, path: &[u8], query: usize) {
    let (before, query) = path.split_at_checked(query).unwrap_or((path, &[]));
    push_escaped(text, before, usize::MAX);
    for (position, pair) in query.split(|byte| *byte == b'&').enumerate() {
        if position > 0 {
            text.push('&');
        }
        match memchr::memchr(b'=', pair) {
            Some(equals) if is_secret(pair.get(..equals).unwrap_or_default()) => {
                push_escaped(text, pair.get(..=equals).unwrap_or_default(), usize::MAX);
                text.push_str(REDACTED);
            }
            _ => {
                push_escaped(text, pair, usize::MAX);
            }
        }
    }
}

fn is_secret(name: &[u8]) -> bool {
    let plain = |name: &[u8], other: &[u8]| {
        let mut letters = name.iter().filter(|byte| !matches!(byte, b'-' | b'_')).map(u8::to_ascii_lowercase);
        other.iter().all(|byte| letters.next() == Some(*byte)) && letters.next().is_none()
    };
    name.len() <= 32 && SECRETS.iter().any(|secret| plain(name, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(path: &str) -> String {
        let mut text = String::new();
        redact(&mut text, path.as_bytes(), path.find('?').map_or(path.len(), |at| at + 1));
        text
    }

    #[test]
    fn only_secret_values_are_left_out() {
        assert_eq!(redacted("/a?x=1&token=abc&y"), "/a?x=1&token=REDACTED&y");
        assert_eq!(redacted("/a?X-Amz-Signature=abc"), "/a?X-Amz-Signature=REDACTED");
        assert_eq!(redacted("/a?Api_Key=1&tokens=2"), "/a?Api_Key=REDACTED&tokens=2");
        assert_eq!(redacted("/a?"), "/a?");
    }
}
