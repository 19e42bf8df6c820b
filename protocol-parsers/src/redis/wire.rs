//! Borrowed views of RESP.

use memchr::memchr;

use crate::{ParseError, ParseErrorKind, ascii};

/// Elements of one value that are believed.
const MOST_ELEMENTS: u64 = 1 << 32;
/// Length of a string that is believed: what Redis allows at most (`proto-max-bulk-len` is 512 MB unless raised).
const LONGEST_STRING: u64 = 1 << 40;

/// The first line of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A value that is its line: simple string, number, null, boolean, double, big number.
    Simple(&'a [u8]),
    /// An error that is its line.
    Error(&'a [u8]),
    /// A string of this length behind the line.
    Bulk(u64),
    /// An error text of this length behind the line.
    BulkError(u64),
    /// No value.
    Null,
    /// So many values behind the line.
    Many(u64),
    /// So many values behind the line, sent unasked (RESP3).
    Push(u64),
    /// So many values of meta data, and then the value itself (RESP3).
    Attributes(u64),
}

impl<'a> Line<'a> {
    /// Reads the first line of a value and returns its length with it. `Ok(None)` when the line is not complete.
    ///
    /// # Errors
    /// When it begins with no type of RESP, or no number follows where one must.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, ParseError> {
        let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
        // Almost every line is one of these with a few digits.
        if matches!(kind, b'$' | b'*')
            && let Some((number, digits)) = short_number(rest)
        {
            let line = if *kind == b'$' { Self::Bulk(number) } else { Self::Many(number) };
            return Ok(Some((line, digits + 3)));
        }
        Self::parse_rarer(*kind, rest)
    }

    #[inline(never)]
    fn parse_rarer(kind: u8, rest: &'a [u8]) -> Result<Option<(Self, usize)>, ParseError> {
        if !b"+-:_#,($=!*~%>|".contains(&kind) {
            return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
        }
        let Some(end) = ascii::line_feed(rest) else { return Ok(None) };
        let line = rest.get(..end).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(ParseError::at(ParseErrorKind::Character, end));
        };
        let parsed = match kind {
            b'+' | b':' | b'#' | b',' | b'(' => Self::Simple(line),
            b'_' => Self::Null,
            b'-' => Self::Error(line),
            _ => match (kind, number(line)?) {
                (_, None) => Self::Null,
                (b'$' | b'=', Some(length)) if length <= LONGEST_STRING => Self::Bulk(length),
                (b'!', Some(length)) if length <= LONGEST_STRING => Self::BulkError(length),
                (b'*' | b'~', Some(count)) if count <= MOST_ELEMENTS => Self::Many(count),
                (b'>', Some(count)) if count <= MOST_ELEMENTS => Self::Push(count),
                (b'%', Some(count)) if count <= MOST_ELEMENTS => Self::Many(count * 2),
                (b'|', Some(count)) if count <= MOST_ELEMENTS => Self::Attributes(count * 2),
                _ => return Err(ParseError::at(ParseErrorKind::Length, 1)),
            },
        };
        Ok(Some((parsed, end + 2)))
    }
}

/// A number of at most eight digits with the end of its line, and how many digits it has.
#[inline]
fn short_number(bytes: &[u8]) -> Option<(u64, usize)> {
    match *bytes {
        [only @ b'0'..=b'9', b'\r', b'\n', ..] => Some((u64::from(only - b'0'), 1)),
        [first @ b'0'..=b'9', last @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Some((u64::from(first - b'0') * 10 + u64::from(last - b'0'), 2))
        }
        _ => longer_number(bytes),
    }
}

#[inline(never)]
fn longer_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (position, byte) in bytes.iter().take(9).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let ends = position > 0 && *byte == b'\r' && bytes.get(position + 1) == Some(&b'\n');
            return ends.then_some((number, position));
        }
        number = number * 10 + u64::from(digit);
    }
    None
}

/// A length; `None` for the -1 of a null.
fn number(digits: &[u8]) -> Result<Option<u64>, ParseError> {
    if digits == b"-1" {
        return Ok(None);
    }
    let value = digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    });
    match value {
        Some(value) if !digits.is_empty() => Ok(Some(value)),
        _ => Err(ParseError::at(ParseErrorKind::Number, 1)),
    }
}

/// Finds the end of a value, and can go on where it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes of whole elements.
    pub position: usize,
    /// Elements still to come.
    pub left: u64,
}

/// How far a [`Scan`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The value ends here.
    Done,
    /// The next element is a string of which not all is there: so many bytes in all, with its line.
    String(u64),
    /// The next element's line is not complete.
    Line,
}

impl Scan {
    /// At the beginning of one value.
    pub const START: Self = Self { position: 0, left: 1 };

    /// Goes on through `bytes`, which begin where the value begins.
    ///
    /// # Errors
    /// When an element is none.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Progress, ParseError> {
        while self.left > 0 {
            let rest = bytes.get(self.position..).unwrap_or_default();
            let wrong = |error: ParseError| ParseError::at(error.kind, self.position + error.offset as usize);
            let Some((line, length)) = Line::parse(rest).map_err(wrong)? else { return Ok(Progress::Line) };
            match line {
                Line::Simple(_) | Line::Error(_) | Line::Null => self.left -= 1,
                Line::Bulk(size) | Line::BulkError(size) => {
                    let whole = length as u64 + size + 2;
                    if whole > rest.len() as u64 {
                        return Ok(Progress::String(whole));
                    }
                    self.left -= 1;
                    self.position += whole as usize;
                    continue;
                }
                Line::Many(count) | Line::Push(count) => self.left = (self.left - 1).saturating_add(count),
                Line::Attributes(count) => self.left = self.left.saturating_add(count),
            }
            self.position += length;
        }
        Ok(Progress::Done)
    }
}

/// The strings of an array, as far as they are there.
pub fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (count, mut position) = match Line::parse(bytes) {
        Ok(Some((Line::Many(count) | Line::Push(count), length))) => (count, length),
        _ => (0, 0),
    };
    (0..count).map_while(move |_| {
        let rest = bytes.get(position..)?;
        match Line::parse(rest) {
            Ok(Some((Line::Bulk(size), length))) => {
                let end = usize::try_from(size).ok()?.checked_add(length)?;
                position = position.checked_add(end)?.checked_add(2)?;
                Some(rest.get(length..end).unwrap_or_else(|| rest.get(length..).unwrap_or_default()))
            }
            Ok(Some((Line::Simple(text), length))) => {
                position += length;
                Some(text)
            }
            _ => None,
        }
    })
}

/// A name at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// It is there.
    Is(&'a [u8]),
    /// It may be there once more bytes are.
    Perhaps,
    /// It is not there.
    None,
}

/// The first string of an array of strings.
#[must_use]
pub fn command_name(bytes: &[u8]) -> Name<'_> {
    let array = match Line::parse(bytes) {
        Ok(Some((Line::Many(1..=MOST_ELEMENTS), length))) if bytes.first() == Some(&b'*') => length,
        Ok(None) => return if is_number_line(bytes) { Name::Perhaps } else { Name::None },
        _ => return Name::None,
    };
    let rest = bytes.get(array..).unwrap_or_default();
    match Line::parse(rest) {
        Ok(Some((Line::Bulk(size @ 1..=64), length))) if rest.first() == Some(&b'$') => {
            match rest.get(length..length + size as usize) {
                Some(name) => Name::Is(name),
                None => Name::Perhaps,
            }
        }
        Ok(None) if rest.is_empty() || rest.first() == Some(&b'$') && is_number_line(rest) => Name::Perhaps,
        _ => Name::None,
    }
}

/// Whether an array is how subscriptions are confirmed: two strings and a number, which is no command. `None` when more bytes will tell.
#[must_use]
pub fn is_confirmation(bytes: &[u8]) -> Option<bool> {
    let Ok(Some((Line::Many(3), mut position))) = Line::parse(bytes) else { return Some(false) };
    for _ in 0..2 {
        match Line::parse(bytes.get(position..)?) {
            Ok(Some((Line::Bulk(size), length))) => position += length + usize::try_from(size).ok()? + 2,
            Ok(None) => return None,
            _ => return Some(false),
        }
    }
    bytes.get(position).map(|kind| *kind == b':')
}

/// A type and digits so far.
fn is_number_line(bytes: &[u8]) -> bool {
    let digits = bytes.get(1..).unwrap_or_default();
    digits.len() < 12 && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'\r')
}

/// The first word of a line of text.
#[must_use]
pub fn inline_name(bytes: &[u8]) -> Name<'_> {
    let Some(end) = memchr(b'\n', bytes) else {
        return if bytes.len() < 1024 && bytes.iter().all(|byte| *byte >= b' ' || *byte == b'\r') {
            Name::Perhaps
        } else {
            Name::None
        };
    };
    let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
    Name::Is(line.split(|byte| *byte == b' ').next().unwrap_or_default())
}

/// Whether the bytes are one or more whole replies of a kind that no other protocol made of lines has; `None` when more bytes may tell.
#[must_use]
pub fn is_whole_reply(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    let mut strong = false;
    while !rest.is_empty() {
        let mut scan = Scan::START;
        let fits = match rest {
            [b'$' | b'*' | b'%' | b'>' | b'~', ..] => true,
            [b'-', error @ ..] => error.first().is_none_or(u8::is_ascii_uppercase) && !error.starts_with(b"ERR "),
            _ => false,
        };
        match scan.advance(rest) {
            Ok(Progress::Done) => strong |= fits,
            Ok(_) if fits || strong => return None,
            _ => return Some(false),
        }
        rest = rest.get(scan.position..).unwrap_or_default();
    }
    Some(strong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(Line::parse(b"+OK\r\n"), Ok(Some((Line::Simple(b"OK"), 5))));
        assert_eq!(Line::parse(b"$-1\r\n"), Ok(Some((Line::Null, 5))));
        assert_eq!(Line::parse(b"%2\r\n"), Ok(Some((Line::Many(4), 4))));
        assert_eq!(Line::parse(b"*12"), Ok(None));
        assert!(Line::parse(b"*x\r\n").is_err());
        assert!(Line::parse(b"$99999999999999999999\r\n").is_err());
        assert!(Line::parse(b"hello").is_err());
    }

    #[test]
    fn a_scan_goes_on_where_it_stopped() {
        let value = b"*2\r\n|1\r\n+a\r\n:1\r\n*2\r\n$3\r\nabc\r\n_\r\n-no\r\n";
        for cut in 0..value.len() {
            let mut scan = Scan::START;
            assert_ne!(scan.advance(&value[..cut]), Ok(Progress::Done), "{cut}");
            assert_eq!(scan.advance(value), Ok(Progress::Done));
            assert_eq!(scan.position, value.len());
        }
        let mut scan = Scan::START;
        assert_eq!(scan.advance(b"*2\r\n+a\r\n$100\r\nx"), Ok(Progress::String(108)));
        assert_eq!(scan, Scan { position: 8, left: 1 });
    }

    #[test]
    fn replies_that_only_redis_sends() {
        for whole in [&b"$2\r\nab\r\n"[..], b"+OK\r\n$2\r\nab\r\n", b"-NOAUTH Authentication required.\r\n"] {
            assert_eq!(is_whole_reply(whole), Some(true));
        }
        for not in
            [&b"+OK\r\n"[..], b"+OK ready <1@host>\r\n", b"-ERR 'Unknown Protocol Operation'\r\n", b":1\r\n", b""]
        {
            assert_eq!(is_whole_reply(not), Some(false));
        }
        for part in [&b"$2\r\nab"[..], b"-NOAU", b"*1\r\n"] {
            assert_eq!(is_whole_reply(part), None);
        }
    }
}
