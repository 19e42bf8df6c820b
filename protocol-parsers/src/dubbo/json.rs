//! Bodies in JSON, a line for every value, as fastjson and Gson write them.

use alloc::string::String;

use super::body::{Attachments, Text, Values, arguments};
use crate::fields::push_escaped;

/// A row of values.
#[derive(Debug)]
pub(super) struct Json<'a> {
    bytes: &'a [u8],
}

impl<'a> Json<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        if self.bytes.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.bytes);
        let (line, rest) = self.bytes.split_at(end.unwrap_or(self.bytes.len()));
        self.bytes = rest.get(1..).unwrap_or_default();
        Some(line.trim_ascii())
    }

    /// What stands between the quotes of a line.
    fn string(&mut self) -> Option<&'a [u8]> {
        match self.line()? {
            b"null" => Some(&[]),
            line => line.strip_prefix(b"\"")?.strip_suffix(b"\""),
        }
    }
}

impl<'a> Values<'a> for Json<'a> {
    fn text(&mut self) -> Option<Text<'a>> {
        self.string().map(Text::plain)
    }

    fn long_text(&mut self, into: &mut String) -> Option<()> {
        push_unescaped(into, self.string()?);
        Some(())
    }

    fn number(&mut self) -> Option<i32> {
        core::str::from_utf8(self.line()?).ok()?.parse().ok()
    }

    fn attachments(&mut self, each: Attachments<'_>) -> Option<()> {
        for _ in 0..arguments(self.string()?)? {
            self.line()?;
        }
        let mut text = String::new();
        for (name, value) in Members::of(self.line()?) {
            if let Some(value) = within_quotes(value) {
                text.clear();
                push_unescaped(&mut text, value);
                each(name, text.as_bytes());
            }
        }
        Some(())
    }

    fn thrown(&mut self, into: &mut String) -> Option<()> {
        let (mut class, mut message) = (None, None);
        for (name, value) in Members::of(self.line()?) {
            match name {
                b"@type" => class = within_quotes(value),
                b"message" | b"detailMessage" => message = within_quotes(value).or(message),
                _ => {}
            }
        }
        for (text, separator) in [(class, ""), (message, if class.is_some() { ": " } else { "" })] {
            if let Some(text) = text {
                into.push_str(separator);
                push_unescaped(into, text);
            }
        }
        Some(())
    }
}

/// The members of an object: names without their quotes, values as they stand there. Ends at the first thing that is no JSON.
struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Members<'a> {
    fn of(object: &'a [u8]) -> Self {
        Self { rest: object.strip_prefix(b"{").unwrap_or_default() }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii_start();
        let (name, rest) = rest.split_at_checked(string_length(rest)?)?;
        let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let (value, rest) = rest.split_at_checked(value_length(rest)?)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Some((within_quotes(name)?, value.trim_ascii_end()))
    }
}

fn within_quotes(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Length of the string at the front, quotes included.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut position = 1;
    if text.first() != Some(&b'"') {
        return None;
    }
    loop {
        position += memchr::memchr2(b'"', b'\\', text.get(position..)?)?;
        if text.get(position) == Some(&b'"') {
            return Some(position + 1);
        }
        position += 2;
    }
}

/// Length of the value at the front, up to the comma or brace behind it.
fn value_length(text: &[u8]) -> Option<usize> {
    let (mut position, mut depth) = (0, 0_usize);
    loop {
        match text.get(position)? {
            b'"' => {
                position += string_length(text.get(position..)?)?;
                continue;
            }
            b',' | b'}' | b']' if depth == 0 => return Some(position),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        position += 1;
    }
}

/// Appends the text between two quotes.
fn push_unescaped(into: &mut String, mut text: &[u8]) {
    while let Some(escape) = memchr::memchr(b'\\', text) {
        let (before, behind) = text.split_at(escape);
        push_escaped(into, before, usize::MAX);
        let Some(kind) = behind.get(1) else { return };
        let mut length = 2;
        match kind {
            b'n' => into.push('\n'),
            b'r' => into.push('\r'),
            b't' => into.push('\t'),
            b'b' => into.push('\u{8}'),
            b'f' => into.push('\u{c}'),
            b'u' => {
                length = 6;
                let digits = behind.get(2..6).and_then(|digits| core::str::from_utf8(digits).ok());
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                into.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => drop(push_escaped(into, &[*other], usize::MAX)),
        }
        text = behind.get(length..).unwrap_or_default();
    }
    push_escaped(into, text, usize::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn members_of_objects() {
        let object = br#"{"a" : "x\"y", "b":{"c":[1,"}"]},"d":null , "e":-1}"#;
        let members: Vec<_> = Members::of(object).collect();
        assert_eq!(
            members,
            [(&b"a"[..], &br#""x\"y""#[..]), (b"b", br#"{"c":[1,"}"]}"#), (b"d", b"null"), (b"e", b"-1")]
        );
        for cut in 0..object.len() {
            assert!(Members::of(&object[..cut]).count() <= 4);
        }
        assert_eq!(Members::of(&b"[".repeat(100_000)).count(), 0);
    }

    #[test]
    fn texts_without_their_escapes() {
        let mut text = String::new();
        push_unescaped(&mut text, br#"a\n\"b\"\u00e4\ud83d\/\"#);
        assert_eq!(text, "a\n\"b\"\u{e4}\u{fffd}/");
    }

    #[test]
    fn what_was_thrown() {
        let mut text = String::new();
        Json::new(br#"{"@type":"a.B","cause":{"message":"inner"},"message":"boom","stackTrace":[]}"#)
            .thrown(&mut text)
            .unwrap();
        assert_eq!(text, "a.B: boom");
    }
}
