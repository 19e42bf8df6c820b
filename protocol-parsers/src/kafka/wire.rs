//! Numbers, strings and headers of Kafka messages.

use super::api::Api;

/// Bytes of a message's length.
pub const SIZE: usize = 4;
/// No message is believed to be longer.
pub const LONGEST: u32 = 512 << 20;
/// No client id is believed to be longer.
const LONGEST_CLIENT_ID: usize = 1024;

/// No header is believed to have more tagged fields; Kafka has defined none so far.
const MOST_TAGS: u32 = 16;

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It goes on behind the bytes.
    More,
    /// No bytes behind these make it right.
    Wrong,
}

/// Reads from the front of bytes. What fails leaves them in an undefined place.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault::More)?;
        self.0 = rest;
        Ok(taken)
    }

    /// So many bytes, as an array.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Fault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Fault::More)?;
        self.0 = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| *byte)
    }

    /// INT16.
    pub fn int16(&mut self) -> Result<i16, Fault> {
        self.array().map(|bytes| i16::from_be_bytes(*bytes))
    }

    /// INT32.
    pub fn int32(&mut self) -> Result<i32, Fault> {
        self.array().map(|bytes| i32::from_be_bytes(*bytes))
    }

    /// INT64.
    pub fn int64(&mut self) -> Result<i64, Fault> {
        self.array().map(|bytes| i64::from_be_bytes(*bytes))
    }

    /// UNSIGNED_VARINT: seven bits a byte, lowest first, of 32 bits.
    pub fn unsigned(&mut self) -> Result<u32, Fault> {
        let number = self.unsigned_of(5)?;
        u32::try_from(number).map_err(|_| Fault::Wrong)
    }

    /// VARINT and VARLONG: signs alternate, 0, -1, 1, -2 …
    pub fn signed(&mut self) -> Result<i64, Fault> {
        let number = self.unsigned_of(10)?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn unsigned_of(&mut self, most: u32) -> Result<u64, Fault> {
        let mut number = 0;
        for place in 0..most {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (place * 7);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault::Wrong)
    }

    /// The length of a string, `None` for null: INT16, or in flexible versions an UNSIGNED_VARINT that is one more.
    pub fn string_length(&mut self, flexible: bool) -> Result<Option<u32>, Fault> {
        match flexible {
            true => Ok(self.unsigned()?.checked_sub(1)),
            false => length(i32::from(self.int16()?)),
        }
    }

    /// The length of bytes or of an array, `None` for null: INT32, or likewise an UNSIGNED_VARINT.
    pub fn length(&mut self, flexible: bool) -> Result<Option<u32>, Fault> {
        match flexible {
            true => Ok(self.unsigned()?.checked_sub(1)),
            false => length(self.int32()?),
        }
    }

    /// Passes over the tagged fields of a header (KIP-482).
    pub fn tags(&mut self) -> Result<(), Fault> {
        let count = self.unsigned()?;
        if count > MOST_TAGS {
            return Err(Fault::Wrong);
        }
        for _ in 0..count {
            self.unsigned()?;
            let size = self.unsigned()?;
            self.bytes(size as usize)?;
        }
        Ok(())
    }
}

fn length(number: i32) -> Result<Option<u32>, Fault> {
    match number {
        -1 => Ok(None),
        _ => u32::try_from(number).map(Some).map_err(|_| Fault::Wrong),
    }
}

/// What stands before the fields of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Bytes of the message, its length included.
    pub whole: u64,
    /// Number of the API.
    pub key: u16,
    /// Its version.
    pub version: u16,
    /// Correlation id.
    pub correlation: i32,
    /// Client id.
    pub client: Option<&'a [u8]>,
    /// Bytes up to the first field; as many as there are, if the header is cut.
    pub length: usize,
}

impl<'a> RequestHeader<'a> {
    /// Reads the length of a message and a request header of any version.
    ///
    /// # Errors
    /// When bytes are missing, or when these are no request.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (header, mut cursor) = Self::fixed(bytes)?;
        let api = Api::of(header.key).ok_or(Fault::Wrong)?;
        if api.has_short_header(header.version) {
            return Ok(Self { length: bytes.len() - cursor.0.len(), ..header });
        }
        // The client id has the same form in all versions.
        let client = match cursor.string_length(false)? {
            Some(length) if length as usize > LONGEST_CLIENT_ID => return Err(Fault::Wrong),
            Some(length) => Some(text(cursor.bytes(length as usize)?)?),
            None => None,
        };
        if api.is_flexible(header.version) {
            cursor.tags()?;
        }
        let length = bytes.len() - cursor.0.len();
        if length as u64 > header.whole {
            return Err(Fault::Wrong);
        }
        Ok(Self { client, length, ..header })
    }

    /// Reads what is there of a header of which the end is missing.
    ///
    /// # Errors
    /// When not even the correlation id is there, or when these bytes are no request.
    pub fn cut(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (header, _) = Self::fixed(bytes)?;
        Ok(Self { length: bytes.len(), ..header })
    }

    fn fixed(bytes: &'a [u8]) -> Result<(Self, Cursor<'a>), Fault> {
        let mut cursor = Cursor(bytes);
        let whole = u64::from(size(cursor.int32()?, 8)?) + SIZE as u64;
        let key = u16::try_from(cursor.int16()?).map_err(|_| Fault::Wrong)?;
        let api = Api::of(key).ok_or(Fault::Wrong)?;
        let version = u16::try_from(cursor.int16()?).map_err(|_| Fault::Wrong)?;
        if !api.is_believable(version) {
            return Err(Fault::Wrong);
        }
        let correlation = cursor.int32()?;
        Ok((Self { whole, key, version, correlation, client: None, length: 0 }, cursor))
    }
}

/// What stands before the fields of a response; in flexible versions tagged fields follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// Bytes of the message, its length included.
    pub whole: u64,
    /// Correlation id of the request.
    pub correlation: i32,
}

impl ResponseHeader {
    /// Bytes of the header without tagged fields.
    pub const LENGTH: usize = 8;

    /// Reads the length of a message and the correlation id.
    ///
    /// # Errors
    /// When bytes are missing, or when these are no response.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut cursor = Cursor(bytes);
        let whole = u64::from(size(cursor.int32()?, 4)?) + SIZE as u64;
        Ok(Self { whole, correlation: cursor.int32()? })
    }
}

fn size(number: i32, least: u32) -> Result<u32, Fault> {
    u32::try_from(number).ok().filter(|size| (least..=LONGEST).contains(size)).ok_or(Fault::Wrong)
}

/// Text without control characters.
pub(super) fn text(bytes: &[u8]) -> Result<&[u8], Fault> {
    if bytes.iter().any(|byte| *byte < b' ' || *byte == 0x7f) { Err(Fault::Wrong) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_variable_length() {
        for (bytes, number) in [
            (&[0][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 1], Ok(128)),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], Ok(u32::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0x1f], Err(Fault::Wrong)),
            (&[0x80; 5], Err(Fault::Wrong)),
            (&[0x80], Err(Fault::More)),
        ] {
            assert_eq!(Cursor(bytes).unsigned(), number);
        }
        for (bytes, number) in [(&[0][..], 0), (&[1], -1), (&[2], 1), (&[0x9f, 1], -80)] {
            assert_eq!(Cursor(bytes).signed(), Ok(number));
        }
    }

    #[test]
    fn headers_of_every_version() {
        let parse = |bytes: &'static [u8]| {
            RequestHeader::parse(bytes).map(|header| (header.key, header.version, header.client, header.length))
        };
        assert_eq!(parse(b"\0\0\0\x0d\0\x12\0\0\0\0\0\x07\0\x03abc"), Ok((18, 0, Some(&b"abc"[..]), 17)));
        assert_eq!(parse(b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff"), Ok((18, 0, None, 14)));
        assert_eq!(parse(b"\0\0\0\x10\0\x12\0\x03\0\0\0\x07\0\x01a\x01\0\x01x"), Ok((18, 3, Some(&b"a"[..]), 19)));
        assert_eq!(parse(b"\0\0\0\x0c\0\x07\0\0\0\0\0\x07\0\0\0\x01"), Ok((7, 0, None, 12)));
        assert_eq!(parse(b"\0\0\0\x0d\0\x12\0\0\0\0\0\x07\0\x03a\x01c"), Err(Fault::Wrong));
        assert_eq!(parse(b"\0\0\0\x0d\x12\x12\0\0\0\0\0\x07\0\x03abc"), Err(Fault::Wrong));
        assert_eq!(parse(b"\0\0\0\x0d\0\x12\0\0\0\0\0\x07\0\x03ab"), Err(Fault::More));
    }
}
