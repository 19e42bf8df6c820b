//! Bodies in JSONB, every value behind its length, as fastjson2 writes them.

use alloc::string::String;

use super::body::{Attachments, Text, Values, arguments};

const OBJECT: u8 = 0xa6;
const END: u8 = 0xa5;
const TYPED: u8 = 0x92;

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

    fn attachments(&mut self, each: Attachments<'_>) -> Option<()> {
        for _ in 0..arguments(self.string()?)? {
            self.value()?;
        }
        let mut rest = self.value()?;
        if rest.first() == Some(&TYPED) {
            byte(&mut rest)?;
            string(&mut rest)?;
            integer(&mut rest)?;
        }
        if byte(&mut rest)? != OBJECT {
            return None;
        }
        while *rest.first()? != END {
            let name = string(&mut rest)?;
            match rest.first()? {
                // Truth values, and numbers as far as they are written like integers.
                0xb0 | 0xb1 => {
                    byte(&mut rest)?;
                }
                0xf0..=0xff | 0x00..=0x48 => {
                    integer(&mut rest)?;
                }
                _ => each(name, string(&mut rest)?),
            }
        }
        Some(())
    }

    fn thrown(&mut self, _into: &mut String) -> Option<()> {
        self.value().map(drop)
    }
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
    let length = match byte(rest)? {
        tag @ 0x49..=0x78 => usize::from(tag - 0x49),
        0x79 | 0x7a => usize::try_from(integer(rest)?).ok()?,
        0xaf => 0,
        _ => return None,
    };
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(text)
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
}
