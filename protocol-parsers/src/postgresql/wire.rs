//! Borrowed views of PostgreSQL messages.

use crate::cursor::Cursor;

/// Length of a message's header: one byte of type, four of length.
pub const HEADER: usize = 5;
/// Nothing in the protocol is longer: a server refuses what does not fit into 1 GiB.
const LONGEST: usize = 1 << 30;
/// A server refuses a startup message that is longer.
const LONGEST_STARTUP: usize = 10_000;

/// A message, as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type, a letter or digit.
    pub kind: u8,
    /// Length on the wire, header included.
    pub length: usize,
    /// What stands behind the header, or its beginning.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a header and what there is of the body. `None` if the header is not there or its length cannot be.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ([kind, length @ ..], body) = bytes.split_first_chunk::<HEADER>()?;
        // The length counts itself, but not the type.
        let length = (u32::from_be_bytes(*length) as usize).checked_add(1)?;
        if !(HEADER..LONGEST).contains(&length) {
            return None;
        }
        Some(Self { kind: *kind, length, body: body.get(..length - HEADER).unwrap_or(body) })
    }

    /// Whether all of it is there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.body.len() + HEADER == self.length
    }
}

/// A message without a type, with which a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening<'a> {
    /// A session begins. Its parameters are in these bytes: names and values, each ended by a zero.
    Startup(&'a [u8]),
    /// May what follows be encrypted with TLS?
    Tls,
    /// May it be encrypted with GSSAPI?
    Gss,
    /// What another session does is to be cancelled.
    Cancel,
}

impl<'a> Opening<'a> {
    /// Reads the opening, or what there is of it, and how long it is on the wire.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (length, code) = Self::head(bytes)?;
        let opening = match code {
            [0x04, 0xd2, 0x16, 0x2f] => Self::Tls,
            [0x04, 0xd2, 0x16, 0x30] => Self::Gss,
            [0x04, 0xd2, 0x16, 0x2e] => Self::Cancel,
            _ => Self::Startup(bytes.get(8..length.min(bytes.len())).unwrap_or_default()),
        };
        Some((opening, length))
    }

    /// Length on the wire and code of what may be an opening.
    #[must_use]
    pub fn head(bytes: &[u8]) -> Option<(usize, [u8; 4])> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let code = rest.first_chunk::<4>()?;
        let fits = match code {
            [0x04, 0xd2, 0x16, 0x2f | 0x30] => length == 8,
            // A process and a key, of four bytes until version 3.0, of up to 256 since.
            [0x04, 0xd2, 0x16, 0x2e] => (13..=268).contains(&length),
            // Version 3, with room for what comes after 3.2 and for the 3.9999 with which clients try out negotiation.
            [0, 3, 0, ..=9] | [0, 3, 0x27, 0x0f] => (9..=LONGEST_STARTUP).contains(&length),
            _ => false,
        };
        fits.then_some((length, *code))
    }
}

/// Names and values of a startup message.
pub fn parameters(body: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut cursor = Cursor(body);
    core::iter::from_fn(move || {
        let name = cursor.zero_string().filter(|name| !name.is_empty())?;
        Some((name, cursor.zero_string()?))
    })
}

/// What an ErrorResponse says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The SQLSTATE.
    pub code: &'a [u8],
    /// What went wrong.
    pub text: &'a [u8],
}

impl<'a> Failure<'a> {
    /// Reads the body of an ErrorResponse, or what there is of it.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Self {
        let mut failure = Self::default();
        let mut cursor = Cursor(body);
        while let Some(field @ 1..) = cursor.byte() {
            let (text, ended) = cursor.zero_string_or_rest();
            match field {
                b'C' if ended => failure.code = text,
                b'M' => failure.text = text,
                _ => {}
            }
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_cannot_be() {
        assert_eq!(Message::parse(b"Q\0\0\0\x03"), None);
        assert_eq!(Message::parse(b"Q\xff\xff\xff\xff"), None);
        let message = Message::parse(b"Q\0\0\0\x06a").unwrap();
        assert_eq!((message.length, message.body, message.is_whole()), (7, &b"a"[..], false));
        assert!(Message::parse(b"S\0\0\0\x04").unwrap().is_whole());
    }

    #[test]
    fn openings() {
        assert_eq!(Opening::parse(b"\0\0\0\x08\x04\xd2\x16\x2f"), Some((Opening::Tls, 8)));
        assert_eq!(Opening::parse(b"\0\0\0\x08\x04\xd2\x16\x30x"), Some((Opening::Gss, 8)));
        let cancel = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07abcd";
        assert_eq!(Opening::parse(cancel), Some((Opening::Cancel, 16)));
        let (opening, length) = Opening::parse(b"\0\0\0\x13\0\x03\0\0user\0ann\0\0\0").unwrap();
        assert_eq!(length, 19);
        let Opening::Startup(body) = opening else { panic!("{opening:?}") };
        assert!(parameters(body).eq([(&b"user"[..], &b"ann"[..])]));
        assert_eq!(Opening::parse(b"\0\0\0\x13\0\x04\0\0user\0ann\0\0\0"), None);
    }

    #[test]
    fn failures_as_far_as_they_are_there() {
        let whole = b"SERROR\0VERROR\0C42601\0Msyntax error\0P1\0\0";
        assert_eq!(Failure::parse(whole), Failure { code: b"42601", text: b"syntax error" });
        assert_eq!(Failure::parse(b"C42601\0Msyn"), Failure { code: b"42601", text: b"syn" });
        assert_eq!(Failure::parse(b"SERROR\0C426"), Failure::default());
    }
}
