//! What the header lines of a head say.

use super::framing::Framing;
use super::names::{self, WANTED_OF_REQUEST, WANTED_OF_RESPONSE};
use super::wire::{self, LineFeeds};
use crate::ascii::is;
use crate::trace_context::{self, Header};
use crate::{Field, MessageWriter, Next, Protocol};

/// The header lines of a head.
pub(super) struct Lines<'a> {
    /// The whole input.
    pub(super) bytes: &'a [u8],
    pub(super) request: bool,
}

impl Lines<'_> {
    /// Takes down those that matter, from `start` on, and in `framing` what they say about the body. Returns where the head ends with its
    /// empty line; `None` when that is not there.
    pub(super) fn read(
        &self,
        mut start: usize,
        ends: LineFeeds<'_>,
        message: &mut MessageWriter<'_>,
        framing: &mut Framing,
    ) -> Option<usize> {
        let wanted = if self.request { &WANTED_OF_REQUEST } else { &WANTED_OF_RESPONSE };
        for end in ends {
            let first = *self.bytes.get(start)?;
            let lengths = wanted[usize::from(first)];
            if lengths != 0 {
                let line = self.bytes.get(start..end)?;
                if let Some(length) = names::length(line, lengths) {
                    self.header(line, length, end + 1, message, framing);
                }
            } else if first == b'\n' || first == b'\r' && end == start + 1 {
                return Some(end + 1);
            }
            start = end + 1;
        }
        None
    }

    /// Takes down a header line whose name has this length, with what goes on `behind` it.
    fn header(
        &self,
        line: &[u8],
        length: usize,
        behind: usize,
        message: &mut MessageWriter<'_>,
        framing: &mut Framing,
    ) {
        if matches!(self.bytes.get(behind), Some(b' ' | b'\t')) {
            return self.folded(line, length, behind, message, framing);
        }
        let (name, rest) = line.split_at_checked(length).unwrap_or_default();
        let value = value(rest.get(1..).unwrap_or_default());
        match length {
            14 if is(name, b"content-length") => framing.add_lengths(value),
            17 if is(name, b"transfer-encoding") => framing.add_codings(value),
            7 if is(name, b"upgrade") => framing.upgrade = Some(upgrade(value)),
            _ if !self.request => {}
            4 if is(name, b"host") => {
                // What stands before the last @ are credentials.
                let host = memchr::memrchr(b'@', value).and_then(|at| value.get(at + 1..)).unwrap_or(value);
                message.field(Field::Domain, host);
            }
            10 if is(name, b"user-agent") => {
                message.attribute("user_agent.original", value);
            }
            15 if is(name, b"x-forwarded-for") => {
                let client = value.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
                message.attribute("client.address", client);
            }
            _ => {
                if let Some(header) = Header::named(name) {
                    trace_context::write(message, header, value);
                }
            }
        }
    }

    /// A header that goes on over the next lines (obsolete, RFC 9112, 5.2): they count as one with blanks between.
    #[cold]
    fn folded(
        &self,
        line: &[u8],
        length: usize,
        behind: usize,
        message: &mut MessageWriter<'_>,
        framing: &mut Framing,
    ) {
        let mut behind = self.bytes.get(behind..).unwrap_or_default();
        let mut joined = line.to_vec();
        while let (Some(b' ' | b'\t'), Some((next, rest))) = (behind.first(), wire::split_line(behind)) {
            joined.push(b' ');
            joined.extend_from_slice(next.trim_ascii());
            behind = rest;
        }
        Lines { bytes: &[], ..*self }.header(&joined, length, 0, message, framing);
    }
}

/// The value behind a colon, without blanks around it.
fn value(text: &[u8]) -> &[u8] {
    // Almost always there is one blank before it, and the rest of the end of the line behind it.
    if let [b' ', value @ .., b'\r'] = text
        && let (Some(b'!'..), Some(b'!'..)) = (value.first(), value.last())
    {
        return value;
    }
    text.trim_ascii()
}

/// What an upgrade leads to.
fn upgrade(value: &[u8]) -> Next {
    let name = core::str::from_utf8(value).unwrap_or_default();
    match name {
        _ if name.eq_ignore_ascii_case("h2c") => Next::Protocol(Protocol::HTTP2),
        _ if name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("TLS/")) => Next::Detect,
        _ => name.parse().map_or(Next::Opaque, Next::Protocol),
    }
}
