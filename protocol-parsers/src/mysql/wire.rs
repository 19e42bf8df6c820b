//! Borrowed views of MySQL packets.

use crate::cursor::Cursor;
use crate::sql;

/// Length of a packet's header: three bytes of length, one of sequence.
pub const HEADER: usize = 4;
/// A packet of this length is continued by the next one.
pub const LONGEST: usize = 0xff_ffff;

pub(super) const OK: u8 = 0x00;
pub(super) const MORE_DATA: u8 = 0x01;
pub(super) const LOCAL_INFILE: u8 = 0xfb;
pub(super) const EOF: u8 = 0xfe;
pub(super) const ERR: u8 = 0xff;

/// A bit of the server's status: another result follows.
const MORE_RESULTS: u16 = 0x0008;
const CURSOR_EXISTS: u16 = 0x0040;

/// Capabilities of the client's login packet.
pub mod capability {
    /// A schema stands in the login packet.
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    /// What follows the login is compressed.
    pub const COMPRESS: u32 = 1 << 5;
    /// The 4.1 form of the protocol.
    pub const PROTOCOL_41: u32 = 1 << 9;
    /// The connection goes on in TLS.
    pub const SSL: u32 = 1 << 11;
    /// The password's answer stands behind its length.
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    /// That length is a length-encoded number.
    pub const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
    /// Queries carry attributes.
    pub const QUERY_ATTRIBUTES: u32 = 1 << 27;
}

/// A packet, as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Packet<'a> {
    /// Length of the payload on the wire.
    pub length: usize,
    /// Number within the command.
    pub sequence: u8,
    /// The payload, or its beginning.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a header and what there is of its payload.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ([a, b, c, sequence], rest) = bytes.split_first_chunk::<HEADER>()?;
        let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
        Some(Self { length, sequence: *sequence, payload: rest.get(..length).unwrap_or(rest) })
    }

    /// Whether all of it is there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.payload.len() == self.length
    }
}

impl<'a> Cursor<'a> {
    /// A number of `count` bytes, lowest first.
    pub(super) fn number(&mut self, count: usize) -> Option<u64> {
        Some(self.bytes(count)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A length-encoded number.
    pub(super) fn length(&mut self) -> Option<u64> {
        match self.byte()? {
            small @ ..=0xfa => Some(u64::from(small)),
            0xfc => self.number(2),
            0xfd => self.number(3),
            0xfe => self.number(8),
            _ => None,
        }
    }

    /// A string behind its length-encoded length.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.length()?).ok()?;
        self.bytes(length)
    }
}

/// What the client says when it logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login<'a> {
    /// What the client can do.
    pub capabilities: u32,
    /// Its name.
    pub user: &'a [u8],
    /// The schema it begins with.
    pub schema: Option<&'a [u8]>,
}

impl<'a> Login<'a> {
    /// Reads the payload of a HandshakeResponse41 or HandshakeResponse320.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(payload);
        let low = cursor.number(2)? as u32;
        if low & capability::PROTOCOL_41 == 0 {
            cursor.bytes(3)?;
            let user = cursor.zero_string()?;
            let schema = (low & capability::CONNECT_WITH_DB != 0).then(|| {
                cursor.zero_string();
                cursor.zero_string().unwrap_or(cursor.0)
            });
            return is_name(user).then_some(Self { capabilities: low, user, schema });
        }
        let capabilities = low | (cursor.number(2)? as u32) << 16;
        // Largest packet, character set, and 23 bytes of which MariaDB uses the last four.
        cursor.bytes(4 + 1 + 23)?;
        let user = cursor.zero_string()?;
        if capabilities & capability::PLUGIN_AUTH_LENENC != 0 {
            cursor.string()?;
        } else if capabilities & capability::SECURE_CONNECTION != 0 {
            let length = usize::from(cursor.byte()?);
            cursor.bytes(length)?;
        } else {
            cursor.zero_string()?;
        }
        let named = capabilities & capability::CONNECT_WITH_DB != 0;
        let schema = named.then(|| cursor.zero_string().unwrap_or(cursor.0)).filter(|name| !name.is_empty());
        is_name(user).then_some(Self { capabilities, user, schema })
    }
}

fn is_name(bytes: &[u8]) -> bool {
    bytes.len() <= 256 && bytes.iter().all(|byte| *byte >= b' ')
}

/// Whether the payload asks to go on in TLS.
#[must_use]
pub fn is_ssl_request(payload: &[u8]) -> bool {
    payload.len() == 32 && payload.get(1).is_some_and(|byte| u32::from(*byte) << 8 & capability::SSL != 0)
}

/// An error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Number of the error.
    pub number: u16,
    /// Its SQLSTATE, where the protocol is new enough.
    pub state: Option<&'a [u8; 5]>,
    /// Its text.
    pub text: &'a [u8],
}

impl<'a> Failure<'a> {
    /// Reads the payload of an error packet.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let ([ERR, low, high], rest) = payload.split_first_chunk::<3>()? else { return None };
        let number = u16::from_le_bytes([*low, *high]);
        Some(match rest.strip_prefix(b"#").and_then(<[u8]>::split_first_chunk::<5>) {
            Some((state, text)) => Self { number, state: Some(state), text },
            None => Self { number, state: None, text: rest },
        })
    }
}

/// Whether the payload is no error but says how far a long command has come (MariaDB, to clients that ask for it in their login).
#[must_use]
pub fn is_progress(payload: &[u8]) -> bool {
    payload.starts_with(&[ERR, 0xff, 0xff])
}

/// Whether the payload of an OK or EOF packet says that another result follows.
#[must_use]
pub fn more_results(payload: &[u8]) -> bool {
    status(payload).is_some_and(|status| status & MORE_RESULTS != 0)
}

/// Whether the payload of an OK or EOF packet says that a cursor was opened: rows come when they are fetched.
#[must_use]
pub fn opens_cursor(payload: &[u8]) -> bool {
    status(payload).is_some_and(|status| status & CURSOR_EXISTS != 0)
}

/// The status flags of an OK or EOF packet.
fn status(payload: &[u8]) -> Option<u16> {
    let mut cursor = Cursor(payload);
    let status = match (cursor.byte(), payload.len()) {
        // EOF: warnings, status.
        (Some(EOF), 5) => cursor.number(2).and_then(|_| cursor.number(2)),
        // OK: affected rows, last id, status.
        (Some(OK | EOF), _) => cursor.length().and_then(|_| cursor.length()).and_then(|_| cursor.number(2)),
        _ => None,
    };
    status.map(|status| status as u16)
}

/// The SQL text of a COM_QUERY's payload, behind its attributes.
#[must_use]
pub fn query_text(payload: &[u8], attributes: Option<bool>) -> &[u8] {
    let rest = payload.get(1..).unwrap_or_default();
    // No statement begins with a control character other than white space, and one set of parameters is all there is.
    let seen = matches!(rest, [count, 1, ..] if *count < b' ');
    if attributes.unwrap_or(seen) { skip_attributes(rest).unwrap_or(rest) } else { rest }
}

fn skip_attributes(payload: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(payload);
    let count = usize::try_from(cursor.length()?).ok()?;
    cursor.length()?;
    if count == 0 {
        return Some(cursor.0);
    }
    let nulls = cursor.bytes(count.div_ceil(8))?;
    cursor.byte()?;
    let mut types = Cursor(cursor.0);
    for _ in 0..count {
        cursor.bytes(2)?;
        cursor.string()?;
    }
    for number in 0..count {
        let kind = *types.bytes(2)?.first()?;
        types.string()?;
        let null = nulls.get(number / 8)? & 1 << (number % 8) != 0;
        if !null {
            skip_value(&mut cursor, kind)?;
        }
    }
    Some(cursor.0)
}

/// Passes a value of the binary protocol.
fn skip_value(cursor: &mut Cursor<'_>, kind: u8) -> Option<()> {
    match kind {
        0x06 => {}
        0x01 => drop(cursor.byte()?),
        0x02 | 0x0d => drop(cursor.bytes(2)?),
        0x03 | 0x04 | 0x09 => drop(cursor.bytes(4)?),
        0x05 | 0x08 => drop(cursor.bytes(8)?),
        0x07 | 0x0a | 0x0b | 0x0c => {
            let length = usize::from(cursor.byte()?);
            cursor.bytes(length)?;
        }
        _ => drop(cursor.string()?),
    }
    Some(())
}

/// The name of a command.
#[must_use]
pub const fn command_name(command: u8) -> Option<&'static str> {
    Some(match command {
        1 => "COM_QUIT",
        2 => "COM_INIT_DB",
        3 => "COM_QUERY",
        4 => "COM_FIELD_LIST",
        5 => "COM_CREATE_DB",
        6 => "COM_DROP_DB",
        7 => "COM_REFRESH",
        8 => "COM_SHUTDOWN",
        9 => "COM_STATISTICS",
        10 => "COM_PROCESS_INFO",
        11 => "COM_CONNECT",
        12 => "COM_PROCESS_KILL",
        13 => "COM_DEBUG",
        14 => "COM_PING",
        15 => "COM_TIME",
        16 => "COM_DELAYED_INSERT",
        17 => "COM_CHANGE_USER",
        18 => "COM_BINLOG_DUMP",
        19 => "COM_TABLE_DUMP",
        20 => "COM_CONNECT_OUT",
        21 => "COM_REGISTER_SLAVE",
        22 => "COM_STMT_PREPARE",
        23 => "COM_STMT_EXECUTE",
        24 => "COM_STMT_SEND_LONG_DATA",
        25 => "COM_STMT_CLOSE",
        26 => "COM_STMT_RESET",
        27 => "COM_SET_OPTION",
        28 => "COM_STMT_FETCH",
        29 => "COM_DAEMON",
        30 => "COM_BINLOG_DUMP_GTID",
        31 => "COM_RESET_CONNECTION",
        // MariaDB.
        0xfa => "COM_STMT_BULK_EXECUTE",
        _ => return None,
    })
}

/// What some bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A packet of a client.
    Client,
    /// A packet of a server.
    Server,
    /// What could become one.
    Perhaps,
    /// Something else.
    Neither,
}

/// Looks at the beginning of a stream, or of a segment.
#[must_use]
pub fn recognise(bytes: &[u8], from_start: bool) -> Start {
    let Some(packet) = Packet::parse(bytes) else {
        // Nothing that is longer than 1 MiB is believed, and a conversation begins with the numbers 0 and 1.
        return match bytes {
            [] => Start::Neither,
            [_, _, third, ..] if *third > 0x0f => Start::Neither,
            _ => Start::Perhaps,
        };
    };
    if packet.length == 0 || packet.length > 1 << 20 {
        return Start::Neither;
    }
    match packet.sequence {
        0 if packet.payload.is_empty() => Start::Perhaps,
        0 if packet.payload.first() == Some(&10) && packet.length > 40 => greeting(&packet),
        0 => command(&packet, bytes.len()),
        1 if is_login(&packet) => Start::Client,
        1 if !from_start => answer(&packet, bytes),
        1 if !packet.is_whole() && packet.length >= 32 => Start::Perhaps,
        _ => Start::Neither,
    }
}

/// Protocol version 10, a version as text, thread id, eight bytes of salt and a zero.
fn greeting(packet: &Packet<'_>) -> Start {
    let text = packet.payload.get(1..).unwrap_or_default();
    let length = text.iter().take(64).take_while(|byte| (b' '..0x7f).contains(*byte)).count();
    match text.get(length) {
        None => Start::Perhaps,
        Some(0) if length >= 3 && text.first().is_some_and(u8::is_ascii_digit) => match text.get(length + 13) {
            Some(0) => Start::Server,
            Some(_) => Start::Neither,
            None => Start::Perhaps,
        },
        Some(_) => Start::Neither,
    }
}

fn is_login(packet: &Packet<'_>) -> bool {
    let modern = |payload: &[u8]| {
        let reserved = payload.get(9..28).unwrap_or(&[1]);
        payload.get(1).is_some_and(|byte| byte & 0x02 != 0) && reserved.iter().all(|byte| *byte == 0)
    };
    packet.is_whole()
        && modern(packet.payload)
        && (is_ssl_request(packet.payload) || Login::parse(packet.payload).is_some())
}

/// A command that holds together: its packet ends where the bytes end, or its text is SQL.
fn command(packet: &Packet<'_>, available: usize) -> Start {
    let Some((command, rest)) = packet.payload.split_first() else { return Start::Neither };
    let ends = available == HEADER + packet.length;
    let fits = match command {
        1 | 9 | 10 | 13 | 14 | 31 => packet.length == 1 && ends,
        3 | 22 => match sql::begins(query_text(packet.payload, None)) {
            sql::Beginning::Statement => true,
            sql::Beginning::Perhaps if !packet.is_whole() => return Start::Perhaps,
            _ => false,
        },
        // Statement id, cursor type, and an iteration count that is always 1.
        23 => {
            packet.length >= 10 && rest.get(4).is_some_and(|flags| *flags <= 8) && rest.get(5..9) == Some(&[1, 0, 0, 0])
        }
        25 | 26 => packet.length == 5,
        28 => packet.length == 9 && ends,
        2 | 5 | 6 => ends && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$')),
        _ => false,
    };
    match (fits, command) {
        (true, _) => Start::Client,
        (false, 23 | 25 | 26) if !packet.is_whole() && packet.payload.len() < 10 => Start::Perhaps,
        (false, _) => Start::Neither,
    }
}

/// An answer that holds together, in a connection joined late.
fn answer(packet: &Packet<'_>, bytes: &[u8]) -> Start {
    match packet.payload {
        [] => Start::Perhaps,
        [ERR, ..] if packet.length < 600 => match Failure::parse(packet.payload) {
            Some(Failure { number: 1000..5000, state: Some(_), text }) if text.iter().all(|byte| *byte >= b' ') => {
                Start::Server
            }
            None if !packet.is_whole() => Start::Perhaps,
            _ => Start::Neither,
        },
        // A number of columns, and behind it the first column, whose catalog is always `def`.
        [1..=250] if packet.length == 1 => match bytes.get(HEADER + 1..) {
            Some([_, _, _, 2, 3, b'd', b'e', b'f', ..]) => Start::Server,
            Some(rest) if rest.len() < 8 => Start::Perhaps,
            _ => Start::Neither,
        },
        // An OK that changed nothing says so in seven bytes; what follows decides.
        [OK, ..] if packet.length == 7 && bytes.len() <= HEADER + 7 => Start::Perhaps,
        _ => Start::Neither,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings() {
        for (bytes, from_start, start) in [
            (&b"\x05\0\0\0\x0eabcd"[..], true, Start::Neither),
            (b"\x01\0\0\0\x0e", true, Start::Client),
            (b"\x09\0\0\0\x03SELECT 1", true, Start::Client),
            (b"\x0b\0\0\0\x03\0\x01SELECT 1", true, Start::Client),
            (b"\x09\0\0\0\x03SEL", true, Start::Perhaps),
            (b"\x09\0\0\0\x03hello ab", true, Start::Neither),
            (b"\x05\0\0\0\x19\x01\0\0\0", false, Start::Client),
            (b"\x11\0\0\x01\xff\x15\x04#28000Access de", false, Start::Server),
            (b"\x01\0\0\x01\x01\x27\0\0\x02\x03def", false, Start::Server),
            (b"\x16\x03\x01\x02\0\x01\0", true, Start::Neither),
            (b"\0\0\0\x10ABCDEFGHIJKLMNOP", true, Start::Neither),
        ] {
            assert_eq!(recognise(bytes, from_start), start, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn query_attributes_are_passed() {
        let payload = b"\x03\x02\x01\x00\x01\xfe\x00\x01a\x03\x00\x01b\x02xy\x01\x00\x00\x00SELECT 1";
        assert_eq!(query_text(payload, None), b"SELECT 1");
        assert_eq!(query_text(b"\x03\x00\x01SELECT 1", Some(true)), b"SELECT 1");
        assert_eq!(query_text(b"\x03SELECT 1", Some(false)), b"SELECT 1");
        assert_eq!(query_text(b"\x03\nSELECT 1", None), b"\nSELECT 1");
    }

    #[test]
    fn errors_with_and_without_a_state() {
        assert_eq!(
            Failure::parse(b"\xff\x15\x04#28000no"),
            Some(Failure { number: 1045, state: Some(b"28000"), text: b"no" })
        );
        assert_eq!(
            Failure::parse(b"\xff\x10\x04Too many"),
            Some(Failure { number: 1040, state: None, text: b"Too many" })
        );
        assert_eq!(Failure::parse(b"\x00\x10\x04"), None);
    }
}
