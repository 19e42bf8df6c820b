//! Hessian 2 ([serialization protocol](http://hessian.caucho.com/doc/hessian-serialization.html)), read without building values.

use alloc::string::String;

use super::body::{Attachments, Text, Values, arguments};
use crate::cursor::Cursor;
use crate::fields::push_escaped;

/// Values are looked into this deep. It bounds the work within one message only: what is nested deeper is not read.
const DEPTH: usize = 64;
/// Classes of a message whose fields are counted; likewise.
const CLASSES: usize = 64;

/// A row of values. Nothing recurses, and every step takes at least one byte.
#[derive(Debug)]
pub(super) struct Hessian<'a> {
    rest: Cursor<'a>,
    /// How many fields objects of the classes defined so far have.
    fields: [u32; CLASSES],
    classes: usize,
}

/// What is still to come of a value that contains others.
#[derive(Clone, Copy)]
enum Open {
    Values(u64),
    /// Until `Z`.
    End,
}

impl<'a> Hessian<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: Cursor(bytes), fields: [0; CLASSES], classes: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.rest.0.first().copied()
    }

    /// An integer (`I`, or one of the short forms).
    fn integer(&mut self) -> Option<i32> {
        let tag = self.rest.byte()?;
        let short = i32::from(tag);
        Some(match tag {
            0x80..=0xbf => short - 0x90,
            0xc0..=0xcf => (short - 0xc8) << 8 | i32::from(self.rest.byte()?),
            0xd0..=0xd7 => (short - 0xd4) << 16 | i32::from(self.rest.short()?),
            b'I' => i32::from_be_bytes(self.rest.array()?),
            _ => return None,
        })
    }

    /// One piece of a string, and whether it is the last. Lengths count UTF-16 units.
    fn piece(&mut self) -> Option<(&'a [u8], bool)> {
        let tag = self.rest.byte()?;
        let (count, last) = match tag {
            0x00..=0x1f => (usize::from(tag), true),
            0x30..=0x33 => (usize::from(tag - 0x30) << 8 | usize::from(self.rest.byte()?), true),
            b'S' => (usize::from(self.rest.short()?), true),
            b'R' => (usize::from(self.rest.short()?), false),
            b'N' => (0, true),
            _ => return None,
        };
        let ascii = self.rest.0.get(..count).is_some_and(<[u8]>::is_ascii);
        let length = if ascii { count } else { utf8_length(self.rest.0, count)? };
        Some((self.rest.bytes(length)?, last))
    }

    /// The name of a class: a string, or the number of one that was written before.
    fn class_name(&mut self) -> Option<&'a [u8]> {
        if self.is_string() { self.string() } else { self.integer().map(|_| &[][..]) }
    }

    /// A class, behind its `C`. Returns its name, and which of its fields the wanted one is.
    fn class(&mut self, wanted: &[u8]) -> Option<(&'a [u8], Option<u32>)> {
        let name = self.string()?;
        let count = u32::try_from(self.integer()?).ok()?;
        let mut place = None;
        for number in 0..count {
            if self.string()? == wanted {
                place = place.or(Some(number));
            }
        }
        *self.fields.get_mut(self.classes)? = count;
        self.classes += 1;
        Some((name, place))
    }

    /// How many fields an object of this class has.
    fn fields(&self, class: usize) -> Option<u64> {
        self.fields.get(..self.classes)?.get(class).map(|count| u64::from(*count))
    }

    /// Takes the beginning of a value: all of it, if no others stand in it.
    fn begin(&mut self) -> Option<Open> {
        if self.is_string() {
            self.string()?;
            return Some(Open::Values(0));
        }
        let tag = self.rest.byte()?;
        let mut length = 0;
        match tag {
            // Binary data, in pieces.
            0x20..=0x2f => length = usize::from(tag - 0x20),
            0x34..=0x37 => length = usize::from(tag - 0x34) << 8 | usize::from(self.rest.byte()?),
            b'A' | b'B' => length = usize::from(self.rest.short()?),
            b'C' => {
                self.class(&[])?;
                // The object follows.
                return Some(Open::Values(1));
            }
            b'O' => {
                let class = usize::try_from(self.integer()?).ok()?;
                return self.fields(class).map(Open::Values);
            }
            0x60..=0x6f => return self.fields(usize::from(tag - 0x60)).map(Open::Values),
            b'H' | b'W' => return Some(Open::End),
            b'M' | b'U' => {
                self.class_name()?;
                return Some(Open::End);
            }
            b'V' => {
                self.class_name()?;
                return u64::try_from(self.integer()?).ok().map(Open::Values);
            }
            b'X' => return u64::try_from(self.integer()?).ok().map(Open::Values),
            0x70..=0x77 => {
                self.class_name()?;
                return Some(Open::Values(u64::from(tag - 0x70)));
            }
            0x78..=0x7f => return Some(Open::Values(u64::from(tag - 0x78))),
            b'Q' => {
                self.integer()?;
            }
            // Numbers and dates by their sizes.
            b'D' | b'J' | b'L' => length = 8,
            b'I' | b'K' | b'Y' | 0x5f => length = 4,
            0x38..=0x3f | 0xd0..=0xd7 | 0x5e => length = 2,
            0xc0..=0xcf | 0xf0..=0xff | 0x5d => length = 1,
            b'F' | b'T' | b'N' | 0x5b | 0x5c | 0x80..=0xbf | 0xd8..=0xef => {}
            _ => return None,
        }
        self.rest.bytes(length)?;
        // A piece of binary data that is not the last is followed by one more.
        Some(Open::Values(u64::from(tag == b'A')))
    }

    /// All of a string, of which the first piece is returned.
    fn string(&mut self) -> Option<&'a [u8]> {
        let (text, mut last) = self.piece()?;
        while !last {
            last = self.piece()?.1;
        }
        Some(text)
    }

    fn is_string(&self) -> bool {
        matches!(self.peek(), Some(0x00..=0x1f | 0x30..=0x33 | b'R' | b'S'))
    }

    /// Passes a value of any kind.
    fn skip(&mut self) -> Option<()> {
        let mut open = [Open::End; DEPTH];
        *open.first_mut()? = Open::Values(1);
        let mut depth = 1_usize;
        while let Some(top) = depth.checked_sub(1).and_then(|top| open.get_mut(top)) {
            match top {
                Open::Values(0) => {
                    depth -= 1;
                    continue;
                }
                Open::Values(left) => *left -= 1,
                Open::End => {
                    if self.at_end() {
                        depth -= 1;
                        continue;
                    }
                }
            }
            match self.begin()? {
                Open::Values(0) => {}
                inner => {
                    *open.get_mut(depth)? = inner;
                    depth += 1;
                }
            }
        }
        Some(())
    }

    /// Passes the `Z` of a value without a length, if that is what comes.
    fn at_end(&mut self) -> bool {
        let end = self.peek() == Some(b'Z');
        if end {
            self.rest.byte();
        }
        end
    }
}

impl<'a> Values<'a> for Hessian<'a> {
    fn text(&mut self) -> Option<Text<'a>> {
        self.string().map(Text::plain)
    }

    fn long_text(&mut self, into: &mut String) -> Option<()> {
        loop {
            let (text, last) = self.piece()?;
            push_escaped(into, text, usize::MAX);
            if last {
                return Some(());
            }
        }
    }

    fn number(&mut self) -> Option<i32> {
        self.integer()
    }

    fn attachments(&mut self, each: Attachments<'_>) -> Option<()> {
        // Some versions write the number of arguments in place of their types, or -1 in front of them.
        let count = if self.is_string() { None } else { usize::try_from(self.integer()?).ok() };
        let count = match count {
            Some(count) => count,
            None => arguments(self.string()?)?,
        };
        for _ in 0..count {
            self.skip()?;
        }
        match self.rest.byte()? {
            b'H' => {}
            b'M' => {
                self.class_name()?;
            }
            _ => return None,
        }
        while !self.at_end() {
            let name = self.string()?;
            if self.is_string() {
                each(name, self.string()?);
            } else {
                self.skip()?;
            }
        }
        Some(())
    }

    fn thrown(&mut self, into: &mut String) -> Option<()> {
        if self.rest.byte()? != b'C' {
            return None;
        }
        let (class, message) = self.class(b"detailMessage")?;
        push_escaped(into, class, usize::MAX);
        match self.rest.byte()? {
            0x60 => {}
            b'O' => {
                self.integer()?;
            }
            _ => return None,
        }
        let Some(before) = message else { return Some(()) };
        for _ in 0..before {
            self.skip()?;
        }
        if self.peek()? != b'N' {
            into.push_str(": ");
            self.long_text(into)?;
        }
        Some(())
    }
}

/// Bytes of so many UTF-16 units written as UTF-8, each by itself or in pairs.
fn utf8_length(bytes: &[u8], units: usize) -> Option<usize> {
    let (mut length, mut left) = (0, units);
    while left > 0 {
        let (bytes, units) = match bytes.get(length)? {
            0x00..=0x7f => (1, 1),
            0xc0..=0xdf => (2, 1),
            0xe0..=0xef => (3, 1),
            0xf0..=0xf7 => (4, 2),
            _ => return None,
        };
        length += bytes;
        left = left.saturating_sub(units);
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn skipped(bytes: &[u8]) -> Option<usize> {
        let mut values = Hessian::new(bytes);
        values.skip().map(|()| bytes.len() - values.rest.0.len())
    }

    #[test]
    fn values_of_every_kind_are_passed() {
        for bytes in [
            &b"\x05hello"[..],
            b"\x02\xc3\xa4\xe4\xb8\xad",
            b"\x02\xf0\x9f\x98\x80",
            b"\x30\x03abc",
            b"R\0\x02abS\0\x01c",
            b"\x23abc",
            b"A\0\x01aB\0\x01b",
            b"A\0\x01a\x21b",
            b"\x34\x01a",
            b"I\0\0\x01\0",
            b"\xc8\x30",
            b"\xd4\x30\0",
            b"\x90",
            b"L\0\0\0\0\0\0\0\x01",
            b"\xe0",
            b"\xf8\x01",
            b"\x3c\x01\x02",
            b"Y\0\0\0\x01",
            b"D\0\0\0\0\0\0\0\0",
            b"\x5b",
            b"\x5d\x01",
            b"\x5e\x01\x02",
            b"\x5f\0\0\0\x01",
            b"J\0\0\x01\x7c\xdc\xce\x0e\0",
            b"K\0\0\x01\0",
            b"N",
            b"T",
            b"Q\x90",
            b"H\x01a\x90\x01bNZ",
            b"M\x01t\x01a\x90Z",
            b"W\x90\x91Z",
            b"X\x92\x90\x91",
            b"U\x01t\x90Z",
            b"V\x01t\x91\x90",
            b"\x72\x01t\x90\x91",
            b"\x7a\x90\x91",
            b"C\x01c\x92\x01a\x01b\x60\x90H\x01aW\x90ZZ",
            b"C\x01c\x91\x01aO\x90\x60\x60N",
        ] {
            assert_eq!(skipped(bytes), Some(bytes.len()), "{}", bytes.escape_ascii());
            for cut in 0..bytes.len() {
                assert_eq!(skipped(&bytes[..cut]), None, "{} cut at {cut}", bytes.escape_ascii());
            }
        }
        for wrong in [&b"@"[..], b"E", b"G", b"P", b"Z", b"\x60", b"O\x90", b"X\x8f", b"\x01\xff"] {
            assert_eq!(skipped(wrong), None, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn what_another_encoder_writes_is_passed_to_its_last_byte() {
        let text = include_str!("../../testdata/dubbo/hessian-js.txt");
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 100);
        for line in lines {
            let bytes: Vec<u8> =
                (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect();
            assert_eq!(skipped(&bytes), Some(bytes.len()), "{line}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [vec_of(b'W', depth), vec_of(b'Z', depth)].concat();
        assert_eq!(skipped(&nested(DEPTH - 1)), Some(2 * DEPTH - 2));
        assert_eq!(skipped(&nested(DEPTH)), None);
        assert_eq!(skipped(&vec_of(0x79, 1 << 20)), None);
        let many: Vec<u8> = (0..CLASSES + 1).flat_map(|_| *b"C\x01c\x90\x60").collect();
        let mut values = Hessian::new(&many);
        assert_eq!((0..CLASSES + 1).filter(|_| values.skip().is_some()).count(), CLASSES);
    }

    fn vec_of(byte: u8, count: usize) -> Vec<u8> {
        core::iter::repeat_n(byte, count).collect()
    }

    #[test]
    fn what_was_thrown() {
        let mut text = String::new();
        let bytes = b"C\x05a.b.C\x92\x04code\x0ddetailMessage\x60\x7a\x90\x91\x04boom";
        Hessian::new(bytes).thrown(&mut text).unwrap();
        assert_eq!(text, "a.b.C: boom");
    }
}
