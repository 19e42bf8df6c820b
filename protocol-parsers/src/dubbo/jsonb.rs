//! Bodies in JSONB, every value behind its length, as fastjson2 writes them.

use alloc::string::String;

use super::body::{Attachments, Text, Values, arguments};
use crate::fields::push_escaped;

const OBJECT: u8 = 0xa6;
const END: u8 = 0xa5;
const TYPED: u8 = 0x92;
const SYMBOL: u8 = 0x7f;
const NULL: u8 = 0xaf;
/// Values are looked into this deep. It bounds the work within one message only: what is nested deeper is not read.
const DEPTH: u32 = 32;

/// A row of values.
#[derive(Debug)]
pub(super) struct Jsonb<'a> {
    bytes: &'a [u8],
}

impl<'a> Jsonb<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next value.
    fn value(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.bytes.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        self.bytes = rest;
        Some(value)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        string(&mut self.value()?)
    }
}

impl<'a> Values<'a> for Jsonb<'a> {
    fn text(&mut self) -> Option<Text<'a>> {
        self.string().map(Text::plain)
    }

    fn number(&mut self) -> Option<i32> {
        integer(&mut self.value()?)
    }

    fn long_text(&mut self, into: &mut String) -> Option<()> {
        push_string(&mut self.value()?, into)
    }

    fn attachments(&mut self, each: Attachments<'_>) -> Option<()> {
        for _ in 0..arguments(self.string()?)? {
            self.value()?;
        }
        let mut rest = self.value()?;
        if rest.first() == Some(&TYPED) {
            class(&mut rest)?;
        }
        members(&mut rest, &mut |name, value| {
            if let Some(text) = string(&mut &*value) {
                each(name, text);
            }
        })
    }

    fn thrown(&mut self, into: &mut String) -> Option<()> {
        let mut rest = self.value()?;
        let separator = if rest.first() == Some(&TYPED) {
            push_escaped(into, class(&mut rest)?, usize::MAX);
            ": "
        } else {
            ""
        };
        let mut found = false;
        let read = members(&mut rest, &mut |name, value| {
            if !found && matches!(name, b"message" | b"detailMessage") && value != [NULL] {
                let start = into.len();
                into.push_str(separator);
                found = push_string(&mut &*value, into).is_some();
                if !found {
                    into.truncate(start);
                }
            }
        });
        // Behind the message nothing is needed.
        if found { Some(()) } else { read }
    }
}

/// The name of the class in front of an object. One that was written before is told by its number alone.
fn class<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    byte(rest)?;
    named(rest)
}

/// A name, the first time with its number, then its number alone.
fn named<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if is_integer(*rest.first()?) {
        integer(rest)?;
        return Some(&[]);
    }
    let name = string(rest)?;
    integer(rest)?;
    Some(name)
}

/// Takes an object, whose members are handed to `each`.
fn members<'a>(rest: &mut &'a [u8], each: &mut dyn FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    if byte(rest)? != OBJECT {
        return None;
    }
    loop {
        let name = match *rest.first()? {
            END => return byte(rest).map(drop),
            SYMBOL => {
                byte(rest)?;
                named(rest)?
            }
            _ => string(rest)?,
        };
        let from = *rest;
        skip(rest, DEPTH)?;
        each(name, from.get(..from.len() - rest.len())?);
    }
}

/// Passes a value of any kind.
fn skip(rest: &mut &[u8], depth: u32) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let tag = *rest.first()?;
    let length = match tag {
        tag if is_integer(tag) => return integer(rest).map(drop),
        0x49..=0x7e | NULL => return text(rest).map(drop),
        SYMBOL => {
            byte(rest)?;
            return named(rest).map(drop);
        }
        TYPED => {
            class(rest)?;
            return skip(rest, depth);
        }
        // A reference to another value, by its path.
        0x93 => {
            byte(rest)?;
            return string(rest).map(drop);
        }
        0x94..=0xa4 => {
            byte(rest)?;
            let count = if tag == 0xa4 { u32::try_from(integer(rest)?).ok()? } else { u32::from(tag - 0x94) };
            for _ in 0..count {
                skip(rest, depth)?;
            }
            return Some(());
        }
        OBJECT => {
            byte(rest)?;
            while *rest.first()? != END {
                skip(rest, depth)?;
                skip(rest, depth)?;
            }
            1
        }
        // Binary data and large numbers behind their lengths.
        0x91 | 0xbb => {
            byte(rest)?;
            usize::try_from(integer(rest)?).ok()?
        }
        // Numbers, dates and truth values by their sizes.
        0xb0..=0xb3 | 0xd8..=0xef => 1,
        0xbd | 0xc8..=0xd7 => 2,
        0x90 | 0xbc | 0xc0..=0xc7 => 3,
        0xa9 | 0xac | 0xad | 0xb7 | 0xbf => 5,
        0xab | 0xb5 | 0xbe => 9,
        // The same written as integers of any length.
        0xb6 => {
            byte(rest)?;
            return integer(rest).map(drop);
        }
        0xb4 | 0xb8 | 0xba => {
            byte(rest)?;
            return skip(rest, depth);
        }
        // Times with parts of seconds, and decimals with their scales.
        0xa7 => return sized_then_integer(rest, 4),
        0xa8 => return sized_then_integer(rest, 8),
        0xae => return sized_then_integer(rest, 9),
        0xb9 => {
            byte(rest)?;
            integer(rest)?;
            return skip(rest, depth);
        }
        _ => return None,
    };
    *rest = rest.get(length..)?;
    Some(())
}

fn sized_then_integer(rest: &mut &[u8], length: usize) -> Option<()> {
    *rest = rest.get(length..)?;
    integer(rest).map(drop)
}

const fn is_integer(tag: u8) -> bool {
    matches!(tag, 0x00..=0x48 | 0xf0..=0xff)
}

/// How a text is written.
enum Encoding {
    Bytes,
    LittleEndian,
    BigEndian,
}

/// Appends a text in any of the usual encodings.
fn push_string(rest: &mut &[u8], into: &mut String) -> Option<()> {
    let (bytes, encoding) = text(rest)?;
    let from: fn([u8; 2]) -> u16 = match encoding {
        Encoding::Bytes => {
            push_escaped(into, bytes, usize::MAX);
            return Some(());
        }
        Encoding::LittleEndian => u16::from_le_bytes,
        Encoding::BigEndian => u16::from_be_bytes,
    };
    let units = bytes.as_chunks().0.iter().map(|pair| from(*pair));
    into.extend(char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)));
    Some(())
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

fn integer(rest: &mut &[u8]) -> Option<i32> {
    let tag = byte(rest)?;
    let short = i32::from(tag);
    Some(match tag {
        0x00..=0x2f => short,
        0xf0..=0xff => short - 0x100,
        0x30..=0x3f => (short - 0x38) << 8 | i32::from(byte(rest)?),
        0x40..=0x47 => (short - 0x44) << 16 | i32::from(byte(rest)?) << 8 | i32::from(byte(rest)?),
        0x48 => {
            let (number, behind) = rest.split_first_chunk::<4>()?;
            *rest = behind;
            i32::from_be_bytes(*number)
        }
        _ => return None,
    })
}

/// A string of ASCII or UTF-8. One that is absent is empty.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    match text(rest)? {
        (bytes, Encoding::Bytes) => Some(bytes),
        _ => None,
    }
}

/// A string in its encoding. One that is absent is empty.
fn text<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Encoding)> {
    let tag = byte(rest)?;
    let length = match tag {
        0x49..=0x78 => usize::from(tag - 0x49),
        0x79..=0x7e => usize::try_from(integer(rest)?).ok()?,
        NULL => 0,
        _ => return None,
    };
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    let encoding = match tag {
        0x7c => Encoding::LittleEndian,
        0x7b | 0x7d => Encoding::BigEndian,
        _ => Encoding::Bytes,
    };
    Some((text, encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers() {
        assert_eq!(string(&mut &b"\x4cabc"[..]), Some(&b"abc"[..]));
        assert_eq!(string(&mut &b"\x79\x03abc"[..]), Some(&b"abc"[..]));
        assert_eq!(string(&mut &b"\x7a\x38\x02\xc3\xa4"[..]), Some(&b"\xc3\xa4"[..]));
        assert_eq!(string(&mut &b"\xaf"[..]), Some(&b""[..]));
        assert_eq!(string(&mut &b"\x4cab"[..]), None);
        assert_eq!(string(&mut &b"\x79\xffab"[..]), None);
        assert_eq!(integer(&mut &b"\x48\xff\xff\xff\xff"[..]), Some(-1));
        assert_eq!(integer(&mut &b"\x39\x01"[..]), Some(257));
    }

    #[test]
    fn values_of_every_kind_are_passed() {
        for bytes in [
            &b"\x2f"[..],
            b"\x39\x01",
            b"\x48\0\0\x01\0",
            b"\x4cabc",
            b"\x7c\x04a\0b\0",
            b"\x7f\x4cabc\x01",
            b"\x7f\xff",
            b"\x91\x03abc",
            b"\x92\x4cabc\0\xa6\xa5",
            b"\x93\x4a$",
            b"\x94",
            b"\x96\x01\x4aa",
            b"\xa4\x02\xaf\xb1",
            b"\xa6\x4aa\x01\x7f\x4ab\x01\x94\xa5",
            b"\xa7\x01\x02\x03\x04",
            b"\xa8\x07\xe8\x01\x02\x03\x04\x05\0",
            b"\xa9\x07\xe8\x01\x02",
            b"\xab\0\0\0\0\0\0\0\x01",
            b"\xae\0\0\0\0\0\0\0\x01\0",
            b"\xb0",
            b"\xb4\xd9",
            b"\xb5\0\0\0\0\0\0\0\0",
            b"\xb6\x01",
            b"\xb7\0\0\0\0",
            b"\xb9\x02\xba\xd9",
            b"\xbb\x01\x7f",
            b"\xbe\0\0\0\0\0\0\0\x01",
            b"\xc4\x01\x02",
            b"\xd0\x01",
            b"\xe0",
        ] {
            let mut rest = bytes;
            assert_eq!((skip(&mut rest, DEPTH), rest), (Some(()), &b""[..]), "{}", bytes.escape_ascii());
            for cut in 0..bytes.len() {
                assert_eq!(skip(&mut &bytes[..cut], DEPTH), None, "{} cut at {cut}", bytes.escape_ascii());
            }
        }
        assert_eq!(skip(&mut &b"\x95".repeat(1 << 20)[..], DEPTH), None);
        assert_eq!(skip(&mut &b"\xa4\x48\x7f\xff\xff\xff"[..], DEPTH), None);
    }

    #[test]
    fn what_was_thrown() {
        // Names as symbols, as Dubbo has them written, and as texts.
        for (object, expected) in [
            (
                &b"\x92\x4ea.b.C\0\xa6\x7f\x4ecause\x01\xaf\x7f\x56detailMessage\x02\x4dboom\x7f\x53stackTrace\x03\x94\xa5"[..],
                "a.b.C: boom",
            ),
            (b"\x92\x4ea.b.C\0\xa6\x50message\x7c\x02\x2d\x4e\x4ecause\x92\xff\xa6\xa5\xa5", "a.b.C: \u{4e2d}"),
            (b"\x92\x4ea.b.C\0\xa6\x50message\xaf\xa5", "a.b.C"),
            // Behind the message it does not matter.
            (b"\x92\x4ea.b.C\0\xa6\x50message\x4dboom\x4ax\x8f", "a.b.C: boom"),
        ] {
            let block = [&(object.len() as u32).to_be_bytes()[..], object].concat();
            let mut text = String::new();
            assert_eq!(Jsonb::new(&block).thrown(&mut text), Some(()), "{expected}");
            assert_eq!(text, expected);
        }
    }
}
