//! Kryo as Dubbo uses it: texts, and as much of objects as can be known without their classes.
//!
//! An object is the number of its class (or 1 and the class's name), for most classes the mark of a reference unless these are switched
//! off, and then what the class says. Numbers that Kryo itself gives out are known, those of an application's classes are not: behind
//! an object of one of them nothing has a place of its own.

use alloc::string::String;

use super::body::{Attachments, Text, Values, arguments};
use crate::trace_context::Header;

/// What stands in front of a text that is written as an object: the number of its class.
const STRING: u8 = 3;
/// What stands in front of an object whose class is given by its name, the first of its kind in a message.
const NAMED: [u8; 2] = [1, 0];
/// The mark of an object that was not written before.
const NEW: u8 = 1;
/// Names of attachments that are looked for are not longer.
const NAME: usize = 24;

/// A row of values.
#[derive(Clone, Debug)]
pub(super) struct Kryo<'a> {
    bytes: &'a [u8],
}

impl<'a> Kryo<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn take(&mut self, count: usize) -> Option<()> {
        self.bytes = self.bytes.get(count..)?;
        Some(())
    }

    /// A number of seven bits a byte, low ones first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for (place, byte) in self.bytes.iter().take(9).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 || place == 8 {
                self.take(place + 1)?;
                return Some(number);
            }
        }
        None
    }

    /// The mark in front of an object that may be referred to. Says whether the object follows.
    fn is_new(&mut self, references: bool) -> Option<bool> {
        Some(!references || self.varint()? == u64::from(NEW))
    }

    /// An object of a class that Kryo knows by itself; the text, if it is one.
    fn object(&mut self, references: bool) -> Option<Option<Text<'a>>> {
        match self.varint()? {
            // Null, and text.
            0 => {}
            3 if self.is_new(references)? => return self.text().map(Some),
            3 => {}
            // Int and long.
            2 | 9 => drop(self.varint()?),
            // Boolean and byte.
            5 | 6 => self.take(1)?,
            // Char and short.
            7 | 8 => self.take(2)?,
            // Float and double.
            4 => self.take(4)?,
            10 => self.take(8)?,
            _ => return None,
        }
        Some(None)
    }

    /// All arguments and the attachments to the end of the body, if all of them are of known classes.
    fn known_attachments(mut self, references: bool, each: Attachments<'_>) -> Option<()> {
        for _ in 0..arguments_of(self.text()?)? {
            self.object(references)?;
        }
        // Some class of map.
        match self.varint()? {
            0 => return self.bytes.is_empty().then_some(()),
            1 => {
                self.varint()?;
                self.text()?;
            }
            _ => {}
        }
        if !self.is_new(references)? {
            return None;
        }
        let (mut name, mut value) = (String::new(), String::new());
        for _ in 0..self.varint()? {
            let key = self.object(references)?;
            if let (Some(key), Some(text)) = (key, self.object(references)?) {
                name.clear();
                value.clear();
                key.push_to(&mut name);
                text.push_to(&mut value);
                each(name.as_bytes(), value.as_bytes());
            }
        }
        self.bytes.is_empty().then_some(())
    }

    /// Attachments behind an argument of an unknown class: what looks like a trace id with its name is searched for.
    fn found_attachments(&self, each: Attachments<'_>) {
        let (mut name, mut value) = (String::new(), String::new());
        for position in memchr::memchr_iter(STRING, self.bytes) {
            let Some(key) = self.bytes.get(position + 1..).map(without_mark) else { break };
            // Names are ASCII, so they end with a marked character.
            let Some(end) = key.iter().take(NAME).position(|byte| !byte.is_ascii()) else { continue };
            let Some((text, behind)) = text(key).filter(|(_, length)| *length == end + 1) else { continue };
            name.clear();
            text.push_to(&mut name);
            if Header::named(name.as_bytes()).is_none() && name != "remote.application" {
                continue;
            }
            if let Some([STRING, behind @ ..]) = key.get(behind..)
                && let Some((text, _)) = self::text(without_mark(behind))
            {
                value.clear();
                text.push_to(&mut value);
                each(name.as_bytes(), value.as_bytes());
            }
        }
    }
}

impl<'a> Values<'a> for Kryo<'a> {
    fn text(&mut self) -> Option<Text<'a>> {
        let (text, length) = text(self.bytes)?;
        self.take(length)?;
        Some(text)
    }

    fn number(&mut self) -> Option<i32> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(i32::from(*first))
    }

    fn attachments(&mut self, each: Attachments<'_>) -> Option<()> {
        for references in [true, false] {
            // Nothing is told before it is sure that all of it holds together.
            if self.clone().known_attachments(references, &mut |_, _| {}).is_some() {
                return self.clone().known_attachments(references, each);
            }
        }
        self.found_attachments(each);
        Some(())
    }

    fn thrown(&mut self, into: &mut String) -> Option<()> {
        self.bytes = self.bytes.strip_prefix(&NAMED)?;
        self.long_text(into)?;
        if let Some(message) = message(without_mark(self.bytes)) {
            into.push_str(": ");
            message.push_to(into);
        }
        Some(())
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&[NEW]).unwrap_or(bytes)
}

/// How many arguments a text of their types stands for.
fn arguments_of(types: Text<'_>) -> Option<usize> {
    let mut all = String::new();
    types.push_to(&mut all);
    arguments(all.as_bytes())
}

/// The message of an exception, where its cause is none or itself. A class that can be made without arguments is written field by field
/// in the order of their names; another one as Java serializes it ([object serialization stream
/// protocol](https://docs.oracle.com/en/java/javase/17/docs/specs/serialization/protocol.html)).
fn message(bytes: &[u8]) -> Option<Text<'_>> {
    if !bytes.starts_with(b"\xac\xed") {
        let text = bytes.strip_prefix(&[0]).or_else(|| bytes.strip_prefix(b"\x01\0\x02"))?.strip_prefix(&[NEW])?;
        return self::text(text).map(|(text, _)| text);
    }
    // Behind the description of Throwable, whose last field is a list, its fields begin: cause and message.
    const DESCRIBED: &[u8] = b"Ljava/util/List;xp";
    let fields = bytes.get(memchr::memmem::find(bytes, DESCRIBED)? + DESCRIBED.len()..)?;
    match fields {
        [b'p', message @ ..] | [b'q', _, _, _, _, message @ ..] => {
            let (length, text) = message.strip_prefix(b"t")?.split_first_chunk::<2>()?;
            text.get(..usize::from(u16::from_be_bytes(*length))).map(Text::plain)
        }
        _ => None,
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
