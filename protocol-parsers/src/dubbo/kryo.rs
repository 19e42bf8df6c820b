//! Kryo as Dubbo uses it: texts, and as much of objects as can be known without their classes.

use alloc::string::String;

use super::body::{Attachments, Text, Values};
use crate::trace_context::Header;

/// What stands in front of a text that is written as an object: the number of its class.
const STRING: u8 = 3;
/// What stands in front of an object whose class is given by its name, the first of its kind in a message.
const NAMED: [u8; 2] = [1, 0];
/// Names of attachments that are looked for are not longer.
const NAME: usize = 24;

/// A row of values.
#[derive(Debug)]
pub(super) struct Kryo<'a> {
    bytes: &'a [u8],
}

impl<'a> Kryo<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
}

impl<'a> Values<'a> for Kryo<'a> {
    fn text(&mut self) -> Option<Text<'a>> {
        let (text, length) = text(self.bytes)?;
        self.bytes = self.bytes.get(length..)?;
        Some(text)
    }

    fn number(&mut self) -> Option<i32> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(i32::from(*first))
    }

    /// The arguments cannot be passed without knowing their classes, so what looks like a trace id with its name is searched for.
    fn attachments(&mut self, each: Attachments<'_>) -> Option<()> {
        let (mut name, mut value) = (String::new(), String::new());
        for position in memchr::memchr_iter(STRING, self.bytes) {
            let Some(key) = self.bytes.get(position + 1..) else { break };
            // Names are ASCII, so they end with a marked character.
            let Some(end) = key.iter().take(NAME).position(|byte| !byte.is_ascii()) else { continue };
            let Some((text, behind)) = text(key).filter(|(_, length)| *length == end + 1) else { continue };
            name.clear();
            text.push_to(&mut name);
            if Header::named(name.as_bytes()).is_none() && name != "remote.application" {
                continue;
            }
            if let Some([STRING, behind @ ..]) = key.get(behind..)
                && let Some((text, _)) = self::text(behind)
            {
                value.clear();
                text.push_to(&mut value);
                each(name.as_bytes(), value.as_bytes());
            }
        }
        Some(())
    }

    fn thrown(&mut self, into: &mut String) -> Option<()> {
        self.bytes = self.bytes.strip_prefix(&NAMED)?;
        self.long_text(into)
    }
}

/// The text at the front, and how many bytes it takes: ASCII with the last character marked by its upper bit, or the number of UTF-16
/// units plus one, the first byte of which has the upper bit set, with UTF-8 behind it.
fn text(bytes: &[u8]) -> Option<(Text<'_>, usize)> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        let end = bytes.iter().position(|byte| !byte.is_ascii())?;
        let (start, last) = (bytes.get(..end)?, bytes.get(end)? & 0x7f);
        return Some((Text { start, last: Some(last) }, end + 1));
    }
    let mut units = usize::from(first & 0x3f);
    let mut length = 1;
    let (mut more, mut shift) = (first & 0x40 != 0, 6);
    while more {
        let byte = *bytes.get(length)?;
        units |= usize::from(byte & 0x7f) << shift;
        length += 1;
        more = byte & 0x80 != 0;
        shift += 7;
        if shift > 27 && more {
            return None;
        }
    }
    // Zero is no text, one an empty one.
    let start = length;
    for _ in 1..units {
        length += match bytes.get(length)? {
            0x00..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => return None,
        };
    }
    Some((Text::plain(bytes.get(start..length)?), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let long = [&[0x80 | 0x40 | 1, 1][..], &[b'x'; 64]].concat();
        for (bytes, expected) in [
            (&b"2.0.\xb2"[..], "2.0.2"),
            (b"\x80", ""),
            (b"\x81", ""),
            (b"\x82a", "a"),
            (b"\x83\xc3\xa4b", "\u{e4}b"),
            (&long, &"x".repeat(64)),
        ] {
            let mut read = String::new();
            let (text, length) = text(bytes).unwrap();
            text.push_to(&mut read);
            assert_eq!((read.as_str(), length), (expected, bytes.len()));
        }
        for wrong in [&b""[..], b"abc", b"\x83a", b"\xff\xff\xff\xff\xff\xff", b"\x83\xff\xff"] {
            assert!(text(wrong).is_none(), "{}", wrong.escape_ascii());
        }
    }
}
