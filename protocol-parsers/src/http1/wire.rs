//! Borrowed views of HTTP/1 messages.

use memchr::memchr;

use crate::{ParseError, ParseErrorKind, ascii};

/// A request line longer than this is none.
const LONGEST_LINE: usize = 64 << 10;

/// What some bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request line.
    Request,
    /// A status line.
    Response,
    /// What could become one of the two.
    Perhaps,
    /// Something else.
    Neither,
}

/// Looks at the beginning of a stream, or of a segment.
#[must_use]
pub fn recognise(bytes: &[u8]) -> Start {
    let bytes = skip_empty_lines(bytes);
    if b"HTTP/1.".starts_with(bytes) {
        return Start::Perhaps;
    }
    if bytes.starts_with(b"HTTP/1.") {
        return match StatusLine::parse(bytes) {
            Some(_) => Start::Response,
            None if bytes.len() < 13 => Start::Perhaps,
            None => Start::Neither,
        };
    }
    let token = bytes.iter().take_while(|byte| is_token(**byte)).count();
    if token > 24 || !bytes.first().is_none_or(u8::is_ascii_uppercase) {
        return Start::Neither;
    }
    match bytes.get(token) {
        None => return if has_lower(bytes) { Start::Neither } else { Start::Perhaps },
        Some(b' ' | b'\r' | b'\n') if token > 0 => {}
        Some(_) => return Start::Neither,
    }
    let Some((line, rest)) = split_line(bytes) else {
        let readable = bytes.iter().all(|byte| is_visible(*byte) || *byte == b' ' || *byte == b'\r');
        return if bytes.len() < LONGEST_LINE && readable { Start::Perhaps } else { Start::Neither };
    };
    match RequestLine::parse(line) {
        Some(request) if request.versioned => Start::Request,
        Some(_) if rest.len() >= 5 && rest.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")) => {
            Start::Request
        }
        Some(_) if rest.len() < 5 && b"host:".starts_with(rest.to_ascii_lowercase().as_slice()) => Start::Perhaps,
        _ => Start::Neither,
    }
}

fn has_lower(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_lowercase)
}

/// Empty lines before a message are passed over (RFC 9112, 2.2).
fn skip_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes.iter().take(4).take_while(|byte| matches!(**byte, b'\r' | b'\n')).count();
    bytes.get(empty..).unwrap_or_default()
}

/// The bytes up to the next line feed, without the end of the line, and what follows it.
#[must_use]
pub fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    let line = bytes.get(..end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), bytes.get(end + 1..)?))
}

/// The length of a head with its empty line, looking from `from` on for its end.
#[must_use]
pub fn head_length(bytes: &[u8], from: usize) -> Option<usize> {
    let mut position = from;
    loop {
        let line = position + ascii::line_feed(bytes.get(position..)?)?;
        match bytes.get(line + 1..)? {
            [b'\n', ..] => return Some(line + 2),
            [b'\r', b'\n', ..] => return Some(line + 3),
            _ => position = line + 1,
        }
    }
}

/// Positions of the line feeds. The lines of a head are so short that starting `memchr` for each of them costs more than looking
/// through all of them 64 bytes at a time.
#[derive(Clone, Debug)]
pub(super) struct LineFeeds<'a> {
    bytes: &'a [u8],
    /// Position behind the block looked at.
    position: usize,
    /// One bit for each of its line feeds that was not told yet.
    found: u64,
    /// Those of the block behind it: looked for while nothing waits for them.
    ahead: u64,
}

impl<'a> LineFeeds<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, found: 0, ahead: in_block(bytes, 0) }
    }
}

/// Those in the block at a position.
#[inline]
fn in_block(bytes: &[u8], position: usize) -> u64 {
    let rest = bytes.get(position..).unwrap_or_default();
    match rest.first_chunk() {
        Some(block) => ascii::places(block, b'\n'),
        None if rest.is_empty() => 0,
        None => in_rest(bytes, rest),
    }
}

/// Those in the last bytes, which fill no block.
#[inline(never)]
fn in_rest(bytes: &[u8], rest: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk() {
        // Those before the rest fall out below.
        return ascii::places(last, b'\n') >> (last.len() - rest.len());
    }
    let mut block = [0; 64];
    block.get_mut(..rest.len()).unwrap_or_default().copy_from_slice(rest);
    ascii::places(&block, b'\n')
}

impl Iterator for LineFeeds<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            if self.position >= self.bytes.len() {
                return None;
            }
            self.position += 64;
            self.found = self.ahead;
            self.ahead = in_block(self.bytes, self.position);
        }
        let place = self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(self.position - 64 + place)
    }
}

/// `METHOD target HTTP/1.x` (RFC 9112, 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// Method, case as sent.
    pub method: &'a [u8],
    /// Request target: origin, absolute, authority or asterisk form.
    pub target: &'a [u8],
    /// Whether a target and a version stand behind it.
    pub versioned: bool,
}

impl<'a> RequestLine<'a> {
    /// Reads a line without its end. What stands behind a blank in the target is no part of it.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let end = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
        let (method, rest) = line.split_at_checked(end)?;
        if method.is_empty() || method.len() > 24 || !matches!(rest.first(), None | Some(b' ')) {
            return None;
        }
        let version = rest.len().checked_sub(9).filter(|at| rest.get(*at..).is_some_and(is_version));
        let versioned = version.is_some();
        // Almost always this is all.
        if let Some(target @ [_, ..]) = version.and_then(|end| rest.get(1..end))
            && is_all_visible(target)
        {
            return Some(Self { method, target, versioned });
        }
        let rest = rest.trim_ascii();
        let words = memchr(b' ', rest).and_then(|end| Some((rest.get(..end)?, rest.get(end..)?.trim_ascii_start())));
        let target = match words {
            Some((target, version)) if versioned || version.starts_with(b"HTTP/") => target,
            Some(_) => return None,
            // A version alone is no target.
            None if rest.starts_with(b"HTTP/") => b"",
            None => rest,
        };
        let visible = is_all_visible(target);
        let regular = versioned && !target.is_empty();
        let known = matches!(target, [] | [b'/', ..]) && !has_lower(method);
        (visible && (regular || known)).then_some(Self { method, target, versioned: regular })
    }

    /// Path with query, without scheme and authority.
    #[must_use]
    #[inline]
    pub fn path(&self) -> &'a [u8] {
        match self.split_absolute() {
            Some((_, b"")) => b"/",
            Some((_, path)) => path,
            // An authority, without credentials.
            None if self.method == b"CONNECT" => {
                memchr::memrchr(b'@', self.target).and_then(|at| self.target.get(at + 1..)).unwrap_or(self.target)
            }
            None => self.target,
        }
    }

    /// The authority of an absolute target.
    #[must_use]
    #[inline]
    pub fn authority(&self) -> Option<&'a [u8]> {
        let (authority, _) = self.split_absolute()?;
        // What stands before the last @ are credentials.
        let host = memchr::memrchr(b'@', authority).map_or(0, |at| at + 1);
        authority.get(host..)
    }

    #[inline]
    fn split_absolute(&self) -> Option<(&'a [u8], &'a [u8])> {
        if self.target.starts_with(b"/") {
            return None;
        }
        let scheme = self.target.iter().take(12).position(|byte| *byte == b':')?;
        let rest = self.target.get(scheme + 1..)?.strip_prefix(b"//")?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        Some((rest.get(..end)?, rest.get(end..)?))
    }
}

/// ` HTTP/1.x`
fn is_version(bytes: &[u8]) -> bool {
    matches!(bytes, [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'1', b'.', b'0'..=b'9'])
}

/// `HTTP/1.x NNN reason` (RFC 9112, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine<'a> {
    /// The three digits of the status.
    pub digits: &'a [u8],
    /// The status as a number.
    pub status: u16,
}

impl<'a> StatusLine<'a> {
    /// Reads the beginning of a line.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"HTTP/1.")?;
        let [b'0'..=b'9', b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = rest else {
            return None;
        };
        if !matches!(rest, [] | [b' ' | b'\r' | b'\n', ..]) {
            return None;
        }
        let digit = |byte: &u8| u16::from(byte - b'0');
        Some(Self { digits: line.get(9..12)?, status: digit(a) * 100 + digit(b) * 10 + digit(c) })
    }
}

/// The header lines of a head, one after the other. A folded line belongs to the header before it and comes with it as it stands
/// (RFC 9112, 5.2).
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Headers<'a> {
    /// From the bytes behind the start line.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The end of the line that begins at `position`, behind its line feed.
    fn line_end(&self, position: usize) -> Option<usize> {
        Some(position + memchr(b'\n', self.bytes.get(position..)?)? + 1)
    }
}

impl<'a> Iterator for Headers<'a> {
    /// Name and value, the value without blanks around it.
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.position;
            let mut end = self.line_end(start)?;
            while let Some(b' ' | b'\t') = self.bytes.get(end) {
                end = self.line_end(end)?;
            }
            let line = self.bytes.get(start..end)?.trim_ascii_end();
            if line.is_empty() {
                return None;
            }
            self.position = end;
            if let Some(colon) = memchr(b':', line) {
                return Some((line.get(..colon)?.trim_ascii_end(), line.get(colon + 1..)?.trim_ascii_start()));
            }
        }
    }
}

/// The size of a chunk and the length of its line (RFC 9112, 7.1). `Ok(None)` when the line is not complete.
///
/// # Errors
/// When there is no hexadecimal number.
pub fn chunk_size(bytes: &[u8]) -> Result<Option<(u64, usize)>, ParseError> {
    let mut size = 0_u64;
    let mut digits = 0;
    for byte in bytes {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => break,
        };
        if size >> 56 != 0 {
            return Err(ParseError::at(ParseErrorKind::Length, digits));
        }
        size = size << 4 | u64::from(digit);
        digits += 1;
    }
    let rest = bytes.get(digits..).unwrap_or_default();
    match rest.first() {
        None => Ok(None),
        Some(b'\r' | b'\n' | b';' | b' ' | b'\t') if digits > 0 => match memchr(b'\n', rest) {
            Some(end) => Ok(Some((size, digits + end + 1))),
            None if rest.len() > 4096 => Err(ParseError::at(ParseErrorKind::Length, digits)),
            None => Ok(None),
        },
        Some(_) => Err(ParseError::at(ParseErrorKind::Number, digits)),
    }
}

/// Characters of a method or header name (RFC 9110, 5.6.2).
static TOKENS: [bool; 256] = {
    let mut tokens = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let ascii = byte as u8;
        tokens[byte] = ascii.is_ascii_alphanumeric()
            || matches!(ascii, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    tokens
};

fn is_token(byte: u8) -> bool {
    TOKENS[usize::from(byte)]
}

fn is_all_visible(bytes: &[u8]) -> bool {
    // Without an early end the check becomes one of many bytes at a time.
    bytes.iter().fold(true, |all, byte| all & is_visible(*byte))
}

fn is_visible(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn beginnings() {
        for (bytes, start) in [
            (&b"GET / HTTP/1.1\r\n"[..], Start::Request),
            (b"\r\nGET / HTTP/1.1\r\n", Start::Request),
            (b"CCM_POST / HTTP/1.1\r\n", Start::Request),
            (b"GET /HTTP/1.1\r\nHost: a\r\n", Start::Request),
            (b"GET /HTTP/1.1\r\n", Start::Perhaps),
            (b"GET / HTTP/1.\r\nHost: a\r\n", Start::Request),
            (b"OPTIONS HTTP/1.1\r\nHost: a\r\n", Start::Request),
            (b"OPTIONS\r\nHost: a\r\n", Start::Request),
            (b"PING\r\nPING\r\n", Start::Neither),
            (b"GET /key\r\n+OK", Start::Neither),
            (b"GE", Start::Perhaps),
            (b"GET /a", Start::Perhaps),
            (b"get key\r\n", Start::Neither),
            (b"HTTP/1.1 200 OK\r\n", Start::Response),
            (b"HTTP/1.1 200", Start::Response),
            (b"HTT", Start::Perhaps),
            (b"HTTP/1.1 2000", Start::Neither),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Start::Neither),
            (b"OPTIONS rtsp://a RTSP/1.0\r\n", Start::Neither),
            (b"*1\r\n$4\r\nPING\r\n", Start::Neither),
            (b"SSH-2.0-OpenSSH_8.7\r\n", Start::Neither),
        ] {
            assert_eq!(recognise(bytes), start, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn targets() {
        let path = |line: &'static [u8]| RequestLine::parse(line).map(|line| (line.path(), line.authority()));
        assert_eq!(path(b"GET /a?b=c HTTP/1.1"), Some((&b"/a?b=c"[..], None)));
        assert_eq!(path(b"GET http://u:p@h:1/a HTTP/1.1"), Some((&b"/a"[..], Some(&b"h:1"[..]))));
        assert_eq!(path(b"GET /to/http://h/a HTTP/1.1"), Some((&b"/to/http://h/a"[..], None)));
        assert_eq!(path(b"GET http://h HTTP/1.0"), Some((&b"/"[..], Some(&b"h"[..]))));
        assert_eq!(path(b"OPTIONS * HTTP/1.1"), Some((&b"*"[..], None)));
        assert_eq!(path(b"GET /a b HTTP/1.1"), Some((&b"/a"[..], None)));
        assert_eq!(path(b"OPTIONS HTTP/1.1"), Some((&b""[..], None)));
        assert_eq!(path(b"CONNECT h:443 HTTP/1.1"), Some((&b"h:443"[..], None)));
    }

    #[test]
    fn headers_with_folding_and_odd_line_ends() {
        let bytes = b"A: 1\r\nno colon\r\nB:2\n folded\r\n c\r\nD :  4  \r\n\r\nE: no header\r\n";
        let found: Vec<_> = Headers::new(bytes).collect();
        assert_eq!(found, [(&b"A"[..], &b"1"[..]), (b"B", b"2\n folded\r\n c"), (b"D", b"4")]);
        assert_eq!(head_length(bytes, 0), Some(bytes.len() - b"E: no header\r\n".len()));
    }

    #[test]
    fn line_feeds_wherever_they_stand() {
        for length in [1, 63, 64, 65, 150] {
            let mut bytes = Vec::from([0; 150]);
            bytes.truncate(length);
            for first in 0..length {
                for second in (first..length).step_by(7) {
                    bytes.fill(if second % 2 == 0 { b'\x8a' } else { b'\x0b' });
                    (bytes[first], bytes[second]) = (b'\n', b'\n');
                    let mut places = Vec::from([first, second]);
                    places.dedup();
                    assert_eq!(LineFeeds::new(&bytes).collect::<Vec<_>>(), places);
                }
            }
        }
    }

    #[test]
    fn chunk_sizes() {
        assert_eq!(chunk_size(b"1a;x=y\r\n"), Ok(Some((26, 8))));
        assert_eq!(chunk_size(b"1a\r"), Ok(None));
        assert_eq!(chunk_size(b"1a"), Ok(None));
        assert_eq!(chunk_size(b"\r\n"), Err(ParseError::at(ParseErrorKind::Number, 0)));
        assert_eq!(chunk_size(b"fffffffffffffffff\r\n"), Err(ParseError::at(ParseErrorKind::Length, 15)));
    }
}
