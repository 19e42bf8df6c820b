//! Borrowed view of a Dubbo header.

use crate::Status;

/// Length of a header.
pub const HEADER: usize = 16;
/// The first two bytes of every message.
pub const MAGIC: [u8; 2] = [0xda, 0xbb];
/// No body is longer. Dubbo itself refuses bodies of more than 8 MiB unless told otherwise.
const LONGEST: u32 = 1 << 30;

const REQUEST: u8 = 0x80;
const TWO_WAY: u8 = 0x40;
const EVENT: u8 = 0x20;
const SERIALIZATION: u8 = 0x1f;

/// Everything went well.
pub const OK: u8 = 20;

/// The header of a message: magic number, flags, status, id, length of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    flags: u8,
    /// How an answer ended.
    pub status: u8,
    /// Which request it is, or answers.
    pub id: u64,
    /// Bytes behind the header.
    pub length: u32,
}

impl Header {
    /// Reads a header. `None` if it is not there or is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let [0xda, 0xbb, flags, status, id @ .., a, b, c, d] = header else { return None };
        let header = Self {
            flags: *flags,
            status: *status,
            id: id.iter().fold(0, |id, byte| id << 8 | u64::from(*byte)),
            length: u32::from_be_bytes([*a, *b, *c, *d]),
        };
        may_become_header(bytes).then_some(header)
    }

    /// Whether it asks; otherwise it answers.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.flags & REQUEST != 0
    }

    /// Whether a request wants to be answered.
    #[must_use]
    pub const fn is_two_way(&self) -> bool {
        self.flags & TWO_WAY != 0
    }

    /// Whether it is about the connection: a heartbeat, or the server wants no more requests.
    #[must_use]
    pub const fn is_event(&self) -> bool {
        self.flags & EVENT != 0
    }

    /// How the body is written.
    #[must_use]
    pub const fn serialization(&self) -> u8 {
        self.flags & SERIALIZATION
    }
}

/// Whether these are the first bytes of a header, or could be.
#[must_use]
pub fn may_become_header(bytes: &[u8]) -> bool {
    let asks = bytes.get(2).is_some_and(|flags| flags & REQUEST != 0);
    bytes.iter().take(HEADER).enumerate().all(|(position, byte)| match position {
        0 | 1 => MAGIC.get(position) == Some(byte),
        2 => serialization_name(byte & SERIALIZATION).is_some(),
        3 if asks => *byte == 0,
        3 => status_of(*byte).is_some(),
        12 => u32::from(*byte) << 24 < LONGEST,
        _ => true,
    })
}

/// How an answer with this status ended. `None` if there is no such status.
#[must_use]
pub const fn status_of(status: u8) -> Option<Status> {
    Some(match status {
        OK => Status::Ok,
        30 | 40 | 90 => Status::ClientError,
        25 | 31 | 35 | 50 | 60 | 70 | 80 | 100 => Status::ServerError,
        _ => return None,
    })
}

/// The name of a way to write bodies. `None` if no such number was given out.
#[must_use]
pub const fn serialization_name(number: u8) -> Option<&'static str> {
    Some(match number {
        2 => "hessian2",
        3 => "java",
        4 => "compactedjava",
        6 => "fastjson",
        7 => "nativejava",
        8 => "kryo",
        9 => "fst",
        10 => "native-hessian",
        11 => "avro",
        12 => "protostuff",
        16 => "gson",
        18 => "jackson",
        21 => "protobuf-json",
        22 => "protobuf",
        23 => "fastjson2",
        25 => "kryo2",
        27 => "msgpack",
        28 => "fury",
        31 => "custom-msgpack",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let request = b"\xda\xbb\xc2\0\0\0\0\0\0\0\x59\x58\0\0\0\xf8";
        let header = Header::parse(request).unwrap();
        assert!(header.is_request() && header.is_two_way() && !header.is_event());
        assert_eq!((header.serialization(), header.id, header.length), (2, 0x5958, 0xf8));
        let answer = Header::parse(b"\xda\xbb\x02\x14\xff\0\0\0\0\0\0\x01\0\0\0\0").unwrap();
        assert_eq!((answer.is_request(), answer.status, answer.id), (false, OK, 0xff00_0000_0000_0001));
        for wrong in [
            &b"\xda\xbb\xc2\0\0\0\0\0\0\0\x59\x58\0\0\0"[..],
            b"\xda\xbb\xc2\x14\0\0\0\0\0\0\x59\x58\0\0\0\xf8",
            b"\xda\xbb\x02\0\0\0\0\0\0\0\x59\x58\0\0\0\xf8",
            b"\xda\xbb\xc5\0\0\0\0\0\0\0\x59\x58\0\0\0\xf8",
            b"\xda\xbb\xc2\0\0\0\0\0\0\0\x59\x58\x40\0\0\0",
            b"\xda\xbc\xc2\0\0\0\0\0\0\0\x59\x58\0\0\0\xf8",
        ] {
            assert_eq!(Header::parse(wrong), None, "{}", wrong.escape_ascii());
        }
    }
}
