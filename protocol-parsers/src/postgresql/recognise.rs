//! Telling PostgreSQL by messages that hold together.

use super::wire::{HEADER, Message, Opening};
use crate::cursor::Cursor;
use crate::sql;

/// Messages that are looked at.
const MESSAGES: usize = 32;
/// A longer message is not believed.
const BELIEVED: usize = 1 << 24;
/// Columns of a table are at most 1,664, parameters of a statement 65,535.
const COLUMNS: u16 = 1664;

/// What some bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Client,
    Server,
    /// What could become one of them.
    Perhaps,
    Neither,
}

/// How well bytes fit a kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    /// As far as it is there.
    Cut,
    /// By its length.
    Weak,
    /// By what is in it.
    Strong,
}

/// Looks at the beginning of a stream, or of a segment, of a side that may be the client, the server or either.
pub(super) fn start(bytes: &[u8], may_ask: bool, may_answer: bool) -> Start {
    let asks = if may_ask { frontend(bytes) } else { Fit::No };
    let answers = if may_answer { chain(bytes, answer) } else { Fit::No };
    match (asks, answers) {
        (Fit::Strong, _) if answers < Fit::Strong => Start::Client,
        (_, Fit::Strong) if asks < Fit::Strong => Start::Server,
        (Fit::No, Fit::No) => Start::Neither,
        _ => Start::Perhaps,
    }
}

fn frontend(bytes: &[u8]) -> Fit {
    match bytes {
        [] => Fit::No,
        [0, ..] => opening(bytes),
        _ => chain(bytes, request),
    }
}

fn opening(bytes: &[u8]) -> Fit {
    let Some((opening, _)) = Opening::parse(bytes) else {
        return if bytes.len() < 8 && [0, 0].starts_with(bytes.get(..2).unwrap_or(bytes)) { Fit::Cut } else { Fit::No };
    };
    match opening {
        // The first parameter has a name of letters.
        Opening::Startup(body) => match body.iter().position(|byte| !(byte.is_ascii_lowercase() || *byte == b'_')) {
            None => Fit::Cut,
            Some(end) if end > 2 && body.get(end) == Some(&0) => Fit::Strong,
            Some(_) => Fit::No,
        },
        _ => Fit::Strong,
    }
}

/// How well a row of messages fits: as well as its best one, if none of them does not fit. Two that fit by their lengths and end where
/// the bytes end are as good as one that fits by its content, unless both sides send such ones.
fn chain(bytes: &[u8], fit: fn(&Message<'_>) -> Fit) -> Fit {
    let mut best = Fit::No;
    let (mut telling, mut position) = (0, 0);
    for _ in 0..MESSAGES {
        let rest = bytes.get(position..).unwrap_or_default();
        let Some(message) = Message::parse(rest) else {
            return match rest {
                [] if telling >= 2 => Fit::Strong,
                [] => best,
                // The upper half of a length that is believed is zero.
                [kind, length @ ..] if rest.len() < HEADER && kind.is_ascii_alphanumeric() => {
                    if [0, 0].starts_with(length.get(..2).unwrap_or(length)) { best.max(Fit::Cut) } else { Fit::No }
                }
                _ => Fit::No,
            };
        };
        let fits = if message.length < BELIEVED { fit(&message) } else { Fit::No };
        match fits {
            Fit::No => return Fit::No,
            Fit::Weak if !matches!(message.kind, b'd' | b'c') => telling += 1,
            _ => {}
        }
        best = best.max(fits);
        position += message.length;
        if position > bytes.len() {
            return if telling >= 2 { Fit::Strong } else { best };
        }
    }
    // So many do not fit one behind the other by chance.
    Fit::Strong
}

/// How well a message of a client fits.
fn request(message: &Message<'_>) -> Fit {
    let mut body = Cursor(message.body);
    let whole = message.is_whole();
    let exact = |fits: Option<()>, body: Cursor<'_>, fit| exact(whole, fits, body, fit);
    match message.kind {
        b'Q' => query(message),
        b'P' => {
            let named = body.zero_string().is_some_and(is_text);
            let (text, ended) = body.zero_string_or_rest();
            match sql::begins(text) {
                sql::Beginning::Statement if named => Fit::Strong,
                _ if whole && !(named && ended) => Fit::No,
                sql::Beginning::Neither if !whole => Fit::No,
                _ => {
                    let types = body.short().and_then(|count| body.bytes(usize::from(count) * 4)).map(drop);
                    exact(types, body, Fit::Strong)
                }
            }
        }
        b'B' => exact(bind(&mut body), body, Fit::Strong),
        b'E' => {
            exact(body.zero_string().filter(|name| is_text(name)).and_then(|_| body.long()).map(drop), body, Fit::Weak)
        }
        b'D' | b'C' => {
            let what = body.byte().is_none_or(|what| matches!(what, b'S' | b'P'));
            if what {
                exact(body.zero_string().filter(|name| is_text(name)).map(drop), body, Fit::Weak)
            } else {
                Fit::No
            }
        }
        b'S' | b'H' | b'X' | b'c' => length(message, HEADER),
        b'f' => exact(body.zero_string().filter(|text| is_text(text)).map(drop), body, Fit::Weak),
        b'F' if message.length >= HEADER + 10 => Fit::Cut,
        b'p' if message.length < 1 << 16 => Fit::Cut,
        b'd' => Fit::Weak,
        _ => Fit::No,
    }
}

/// A text up to the end of the message. Statements may be anything, as long as all of it can be seen.
fn query(message: &Message<'_>) -> Fit {
    let (text, ended) = Cursor(message.body).zero_string_or_rest();
    match sql::begins(text) {
        _ if ended && !(message.is_whole() && text.len() + 1 == message.body.len()) => Fit::No,
        _ if message.is_whole() && !(ended && is_text(text)) => Fit::No,
        sql::Beginning::Statement => Fit::Strong,
        _ if message.is_whole() => Fit::Strong,
        sql::Beginning::Perhaps => Fit::Cut,
        sql::Beginning::Neither if is_text(text) && text.len() < 64 => Fit::Cut,
        sql::Beginning::Neither => Fit::No,
    }
}

/// Portal, statement, formats of parameters, parameters, formats of results.
fn bind(body: &mut Cursor<'_>) -> Option<()> {
    body.zero_string().filter(|name| is_text(name))?;
    body.zero_string().filter(|name| is_text(name))?;
    formats(body)?;
    for _ in 0..body.short()? {
        value(body)?;
    }
    formats(body)
}

fn formats(body: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..body.short()? {
        body.short().filter(|format| *format <= 1)?;
    }
    Some(())
}

/// A value behind its length; NULL has the length -1. Nothing is taken unless all of it is there.
fn value(body: &mut Cursor<'_>) -> Option<()> {
    let mut rest = *body;
    match rest.long()? {
        u32::MAX => {}
        length => drop(rest.bytes(length as usize)?),
    }
    *body = rest;
    Some(())
}

/// How well a message of a server fits.
fn answer(message: &Message<'_>) -> Fit {
    let mut body = Cursor(message.body);
    let whole = message.is_whole();
    let exact = |fits: Option<()>, body: Cursor<'_>, fit| exact(whole, fits, body, fit);
    match message.kind {
        b'Z' => match (message.length, message.body) {
            (6, [b'I' | b'T' | b'E']) => Fit::Strong,
            (6, []) => Fit::Cut,
            _ => Fit::No,
        },
        b'1' | b'2' | b'3' | b'n' | b's' | b'I' | b'c' => length(message, HEADER),
        b'R' => match body.long() {
            Some(0) => length(message, HEADER + 4).min(Fit::Weak),
            // Passwords in the clear, MD5, SASL and its steps: of a size that tells.
            Some(3) => length(message, HEADER + 4),
            Some(5) => length(message, HEADER + 8),
            Some(10) if body.0.starts_with(b"SCRAM-") => Fit::Strong,
            Some(7..=12) if message.length < 1 << 16 => Fit::Weak,
            None if !whole => Fit::Cut,
            _ => Fit::No,
        },
        b'K' if (HEADER + 8..=HEADER + 260).contains(&message.length) => {
            if whole {
                Fit::Weak
            } else {
                Fit::Cut
            }
        }
        b'S' => {
            let pair = body.zero_string().filter(|name| name.len() > 2 && is_text(name));
            exact(pair.and_then(|_| body.zero_string()).filter(|value| is_text(value)).map(drop), body, Fit::Strong)
        }
        b'T' => exact(columns(&mut body), body, Fit::Strong),
        b'D' => {
            let Some(count) = body.short() else { return if whole { Fit::No } else { Fit::Cut } };
            let values = (0..count).try_for_each(|_| value(&mut body));
            match values {
                _ if count > COLUMNS => Fit::No,
                // As far as they are there, the values fit into the row.
                None if body.long().is_some_and(|length| length as usize > message.length) => Fit::No,
                None if !whole => Fit::Weak,
                _ => exact(values, body, if count > 0 { Fit::Strong } else { Fit::Weak }),
            }
        }
        b'C' => match body.zero_string() {
            Some(tag) if whole && body.0.is_empty() && is_tag(tag) => Fit::Strong,
            None if !whole && is_text(body.0) && message.length < 100 => Fit::Cut,
            _ => Fit::No,
        },
        b'E' | b'N' => failure(message),
        b't' => exact(body.short().and_then(|count| body.bytes(usize::from(count) * 4)).map(drop), body, Fit::Weak),
        b'G' | b'H' | b'W' => {
            let text_or_binary = body.byte().filter(|format| *format <= 1);
            exact(text_or_binary.and_then(|_| formats(&mut body)), body, Fit::Weak)
        }
        b'd' => Fit::Weak,
        b'V' => exact(value(&mut body), body, Fit::Weak),
        b'A' | b'v' if message.length < 1 << 16 => Fit::Cut,
        _ => Fit::No,
    }
}

/// Names, each with table, column, type, size, modifier and format.
fn columns(body: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..body.short().filter(|count| *count <= COLUMNS)? {
        body.zero_string()?;
        body.bytes(4 + 2 + 4 + 2 + 4)?;
        body.short().filter(|format| *format <= 1)?;
    }
    Some(())
}

/// Fields, each with a letter, the severity first, with an SQLSTATE among them.
fn failure(message: &Message<'_>) -> Fit {
    let mut body = Cursor(message.body);
    let (mut first, mut state) = (true, false);
    while let Some(field) = body.byte() {
        if field == 0 {
            return if state && body.0.is_empty() && message.is_whole() { Fit::Strong } else { Fit::No };
        }
        let (text, ended) = body.zero_string_or_rest();
        let fits = field.is_ascii_alphabetic() && (!first || field == b'S' && is_text(text));
        let is_state = text.len() == 5 && text.iter().all(u8::is_ascii_alphanumeric);
        if !fits || ended && field == b'C' && !is_state {
            return Fit::No;
        }
        first = false;
        state |= ended && field == b'C';
    }
    match (message.is_whole(), state) {
        (true, _) => Fit::No,
        (false, true) => Fit::Strong,
        (false, false) => Fit::Cut,
    }
}

/// How well a message fits whose parts were read up to where `body` stands.
fn exact(whole: bool, fits: Option<()>, body: Cursor<'_>, fit: Fit) -> Fit {
    match fits {
        Some(()) if body.0.is_empty() && whole => fit,
        _ if whole => Fit::No,
        _ => Fit::Cut,
    }
}

fn length(message: &Message<'_>, expected: usize) -> Fit {
    match message.length == expected {
        true if message.is_whole() => Fit::Weak,
        true => Fit::Cut,
        false => Fit::No,
    }
}

/// The command that was completed, in capitals, perhaps with numbers.
fn is_tag(tag: &[u8]) -> bool {
    tag.first().is_some_and(u8::is_ascii_uppercase)
        && tag.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ')
}

/// Whether these are no control characters.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings() {
        for (bytes, expected) in [
            (&b""[..], Start::Neither),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Start::Client),
            (b"\0\0\0\x17\0\x03\0\0user\0ann\0data", Start::Client),
            (b"\0\0\0\x17\0\x03\0\0\xff\0\0\0", Start::Neither),
            (b"\0\0\0\x17", Start::Perhaps),
            (b"Q\0\0\0\x0eSELECT 1;\0", Start::Client),
            (b"Q\0\0\0\x0easdsdfds;\0", Start::Client),
            (b"Q\0\0\0\x20SELECT 1", Start::Client),
            (b"Q\0\0\0\x16SELECT a FROM b WHERE", Start::Neither),
            (b"P\0\0\0\x10\0SELECT 1\0\0\0B", Start::Client),
            (b"B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04", Start::Client),
            (b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04", Start::Client),
            (b"S\0\0\0\x04", Start::Perhaps),
            (b"1\0\0\0\x042\0\0\0\x04", Start::Server),
            (b"Z\0\0\0\x05I", Start::Server),
            (b"Z\0\0\0\x05x", Start::Neither),
            (b"C\0\0\0\x0dSELECT 1\0", Start::Server),
            (b"E\0\0\0\x20SERROR\0C42601\0Msynt", Start::Server),
            (b"D\0\0\0\x0c\0\x01\0\0\0\x02ab", Start::Server),
            (b"2\0\0\0\x04D\0\0\x20\0\0\x02\0\0\0\x02ab\0\0\x10\0x", Start::Server),
            (b"2\0\0\0\x04D\0\0\x20\0\0\x02\0\0\0\x02ab\0\0\x30\0x", Start::Neither),
            (b"S 123 text", Start::Neither),
            (b"d\0\0\0\x05xd\0\0\0\x05x", Start::Perhaps),
            (b"GET / HTTP/1.1\r\n", Start::Neither),
            (b"S", Start::Perhaps),
        ] {
            assert_eq!(start(bytes, true, true), expected, "{}", bytes.escape_ascii());
        }
    }
}
