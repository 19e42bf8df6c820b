//! Reads a MySQL connection command by command.

use alloc::boxed::Box;

use super::answer::{Answer, Expect};
use super::statements::Statements;
use super::wire::{self, EOF, ERR, Failure, HEADER, LONGEST, Login, MORE_DATA, OK, Packet, Start, capability};
use crate::cursor::Cursor;
use crate::fields::Text;
use crate::sql::error::Values;
use crate::sql::{self, Dialect};
use crate::{
    Body, Field, Input, Key, MessageWriter, Next, ParseError, ParseErrorKind, Parser, Part, Resync, Side, Status, Step,
    Then,
};

/// The context of a request is its command; a login has none.
const LOGIN: u64 = 0x100;
const CHANGE_USER: u8 = 17;

#[derive(Debug, Default)]
pub(super) struct MySqlParser {
    phase: Phase,
    answer: Answer,
    schema: Option<Box<str>>,
    /// The schema once the running command succeeds.
    next_schema: Option<Box<str>>,
    /// Once one was prepared.
    statements: Option<Box<Statements>>,
    /// Whether queries carry attributes, where the login was seen.
    attributes: Option<bool>,
    compress: bool,
    /// The packet before was as long as one can be: the client's next one continues its command.
    continued: bool,
    /// Bytes of such a packet that are still to come and need not be read.
    rest: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Before or within the handshake.
    #[default]
    Connecting,
    Commands,
    Tls,
    Compressed,
}

impl Parser for MySqlParser {
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        match (self.phase, from) {
            (Phase::Tls, _) => Ok(Step::Switch { used: 0, to: Next::Detect }),
            (Phase::Compressed, _) => Ok(Step::Switch { used: 0, to: Next::Opaque }),
            (_, Side::Client) => self.client(input, message),
            (_, Side::Server) => self.server(input, message),
        }
    }

    fn gap(&mut self, from: Side) {
        if from == Side::Server {
            self.answer.expect = Expect::Nothing;
        }
        (self.continued, self.rest) = (false, 0);
        if self.phase == Phase::Connecting {
            self.phase = Phase::Commands;
        }
    }

    fn resync(&mut self, from: Side, input: &[u8]) -> Resync {
        if matches!(self.phase, Phase::Tls | Phase::Compressed) {
            return Resync::At(0);
        }
        match (wire::recognise(input, false), from) {
            (Start::Client, Side::Client) | (Start::Server, Side::Server) => Resync::At(0),
            (_, Side::Server) if is_short_answer(input) => Resync::At(0),
            (Start::Perhaps, _) if input.len() < 64 => Resync::Perhaps(0),
            _ => Resync::Nowhere,
        }
    }

    fn memory(&self) -> usize {
        let schemas = [&self.schema, &self.next_schema].into_iter().flatten().map(|schema| schema.len());
        size_of::<Self>() + self.statements.as_ref().map_or(0, |known| known.memory()) + schemas.sum::<usize>()
    }
}

/// Whether the bytes are one packet that answers a command with success or an error, and nothing else.
fn is_short_answer(input: &[u8]) -> bool {
    Packet::parse(input).is_some_and(|packet| {
        packet.sequence == 1
            && input.len() == HEADER + packet.length
            && matches!(packet.payload.first(), Some(&(OK | ERR)))
    })
}

impl MySqlParser {
    fn client(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if self.rest > 0 {
            let used = core::mem::take(&mut self.rest);
            return Ok(Step::Part { used, of: Part::Request(Key::Order), last: false });
        }
        let Some(packet) = Packet::parse(input.bytes) else { return more(input, HEADER) };
        let whole = HEADER + packet.length;
        if self.continued || packet.sequence != 0 && self.answer.expect == Expect::File {
            self.continued = packet.length == LONGEST;
            return Ok(Step::Part { used: whole as u64, of: Part::Request(Key::Order), last: !self.continued });
        }
        if !packet.is_whole() && input.more() {
            return Ok(Step::NeedMore { at_least: whole });
        }
        if packet.sequence != 0 {
            return self.handshake(&packet, message).map(|step| beyond(step, &packet, input));
        }
        let Some((command, rest)) = packet.payload.split_first() else {
            return Ok(Step::Skip { used: whole as u64 });
        };
        let Some(name) = wire::command_name(*command) else {
            return Err(ParseError::at(ParseErrorKind::UnknownType, HEADER));
        };
        self.phase = Phase::Commands;
        self.command(*command, name, rest, &packet, input.then, message);
        self.continued = packet.length == LONGEST;
        if self.continued && !packet.is_whole() {
            // One byte is left, so that the rest is asked for at once, before a loss in it.
            let used = input.bytes.len() - 1;
            self.rest = (whole - used) as u64;
            return Ok(Step::Message { used, body: Body::Open });
        }
        let step = Step::Message { used: whole, body: if self.continued { Body::Open } else { Body::None } };
        Ok(beyond(step, &packet, input))
    }

    /// Packets of the client that begin no command: login, answers to questions about the password.
    fn handshake(&mut self, packet: &Packet<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let whole = HEADER + packet.length;
        if self.phase == Phase::Connecting && wire::is_ssl_request(packet.payload) {
            self.phase = Phase::Tls;
            return Ok(Step::Skip { used: whole as u64 });
        }
        let asked = self.phase != Phase::Connecting || packet.sequence > 2;
        match Login::parse(packet.payload) {
            Some(login) if !asked => {
                self.attributes = Some(login.capabilities & capability::QUERY_ATTRIBUTES != 0);
                self.compress = login.capabilities & capability::COMPRESS != 0;
                message.request(Key::Order);
                message.context(LOGIN);
                if !packet.is_whole() {
                    message.incomplete();
                }
                message.field(Field::RequestType, b"LOGIN");
                message.field(Field::Endpoint, b"LOGIN");
                message.attribute("db.user", login.user);
                if let Some(schema) = login.schema {
                    message.field(Field::Domain, schema);
                    self.next_schema = name_of(schema);
                }
                Ok(Step::Message { used: whole, body: Body::None })
            }
            _ => Ok(Step::Skip { used: whole as u64 }),
        }
    }

    fn command(
        &mut self,
        command: u8,
        name: &str,
        rest: &[u8],
        packet: &Packet<'_>,
        then: Then,
        message: &mut MessageWriter<'_>,
    ) {
        match command {
            1 | 24 | 25 => {
                message.one_way();
                message.status(Status::Ok);
            }
            _ => message.request(Key::Order),
        }
        message.context(u64::from(command));
        message.text(Field::RequestType, Text::Valid(name));
        if let Some(schema) = &self.schema {
            message.text(Field::Domain, Text::Valid(schema));
        }
        let cut = !packet.is_whole();
        if cut && then == Then::Gap {
            message.incomplete();
        }
        self.next_schema = None;
        match command {
            3 | 22 => {
                let text = if command == 3 { wire::query_text(packet.payload, self.attributes) } else { rest };
                sql::write(message, text, Dialect::MySql, cut);
                if let Some(schema) = sql::used_schema(text) {
                    self.next_schema = name_of(schema);
                }
            }
            2 | 4..=6 => {
                message.field(Field::Resource, rest.split(|byte| *byte == 0).next().unwrap_or_default());
                if command == 2 {
                    self.next_schema = name_of(rest);
                }
            }
            CHANGE_USER => {
                let user = rest.split(|byte| *byte == 0).next().unwrap_or_default();
                message.attribute("db.user", user);
                self.next_schema = changed_schema(rest).and_then(name_of);
            }
            23..=26 | 28 | 0xfa => self.statement(command, rest, message),
            _ => {}
        }
        message.text(Field::Endpoint, Text::Valid(name));
    }

    /// A command about a prepared statement.
    fn statement(&mut self, command: u8, rest: &[u8], message: &mut MessageWriter<'_>) {
        let Some(id) = rest.first_chunk::<4>().map(|id| u32::from_le_bytes(*id)) else { return };
        match self.statements.as_ref().and_then(|known| known.get(id)) {
            Some(text) => {
                message.text(Field::Resource, Text::Valid(&text.sql));
                if text.cut {
                    message.mark_cut(Field::Resource);
                }
                let text = text.sql.as_bytes();
                message.field_with(Field::Endpoint, |endpoint| sql::summary(endpoint, text, Dialect::MySql));
            }
            None => {
                message.attribute_number("db.mysql.statement_id", i64::from(id));
                if matches!(command, 23 | 0xfa) {
                    message.incomplete();
                }
            }
        }
        if command == 25 {
            self.statements.iter_mut().for_each(|known| known.close(id));
        }
    }

    fn server(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if self.answer.expect != Expect::Nothing {
            return self.rest_of_answer(input, message);
        }
        let Some(packet) = Packet::parse(input.bytes) else { return more(input, HEADER) };
        let whole = HEADER + packet.length;
        let Some(first) = packet.payload.first() else {
            return if packet.length > 0 { more(input, HEADER + 1) } else { Ok(Step::Skip { used: whole as u64 }) };
        };
        if self.phase == Phase::Connecting && packet.sequence == 0 && *first == 10 {
            return Ok(Step::Skip { used: whole as u64 });
        }
        if !packet.is_whole() && input.more() && packet.length < LONGEST {
            let wanted = whole.min(HEADER + 1024);
            if input.bytes.len() < wanted {
                return Ok(Step::NeedMore { at_least: wanted });
            }
        }
        let asked = message.context_of_request(Key::Order);
        let login = asked == Some(LOGIN) || asked == Some(u64::from(CHANGE_USER)) || self.phase == Phase::Connecting;
        if login && matches!(*first, EOF | MORE_DATA) {
            // The server wants to know more about the password.
            return Ok(Step::Skip { used: whole as u64 });
        }
        let stray = *first == EOF && packet.length == 5 || asked.is_none() && *first != ERR;
        if stray && packet.sequence > 1 {
            // The end of an answer whose beginning was not seen, or an EOF nobody waited for.
            return Ok(Step::Skip { used: whole as u64 });
        }
        message.response(Key::Order);
        if let (Some(22), OK) = (asked, *first) {
            self.remember(&packet, message);
        }
        let command = match asked {
            Some(LOGIN) => 0,
            Some(command) => command as u8,
            // Not seen: an answer to a query can be told from its packets, the others are one packet.
            None => 3,
        };
        self.answer.expect = Expect::First(command);
        let progress = self.answer.advance(input.bytes, input.more());
        let used = progress.used.max(1);
        match progress.last {
            Some(last) => {
                self.finish(&last, message);
                Ok(of_length(used, input, |used| Step::Message { used, body: Body::None }))
            }
            None if progress.used == 0 => {
                self.answer.expect = Expect::Nothing;
                Err(ParseError::at(ParseErrorKind::Cut, input.bytes.len()))
            }
            None => Ok(of_length(used, input, |used| Step::Message { used, body: Body::Open })),
        }
    }

    fn rest_of_answer(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let of = Part::Response(Key::Order);
        let progress = self.answer.advance(input.bytes, input.more());
        match progress.last {
            Some(last) => {
                self.finish(&last, message);
                Ok(Step::Part { used: progress.used, of, last: true })
            }
            None if progress.used == 0 => more(input, Answer::need(input.bytes)),
            None => Ok(Step::Part { used: progress.used, of, last: false }),
        }
    }

    /// The answer has ended with this packet.
    fn finish(&mut self, packet: &Packet<'_>, message: &mut MessageWriter<'_>) {
        let connecting = self.phase == Phase::Connecting;
        let failed = packet.payload.first() == Some(&ERR);
        if failed && !packet.is_whole() {
            message.incomplete();
        }
        if let Some(failure) = Failure::parse(packet.payload) {
            message.field_number(Field::StatusCode, u64::from(failure.number));
            // Words that make no statement are repeated, keys that there are, and data that could not be read.
            let values = match failure.number {
                1064 | 1149 => Values::All,
                1062 | 1292 | 1366 | 1367 | 1411 | 1525 | 1586 => Values::For,
                _ => Values::None,
            };
            sql::error::write(message, failure.text, b'\'', values);
            message.status(class_of(&failure));
            self.next_schema = None;
        } else if !failed {
            message.field(Field::StatusCode, b"0");
            message.status(Status::Ok);
            if let Some(schema) = self.next_schema.take() {
                self.schema = Some(schema);
            }
            if connecting {
                self.phase = if self.compress { Phase::Compressed } else { Phase::Commands };
            }
        }
    }

    /// Keeps the text of a statement that was prepared.
    fn remember(&mut self, packet: &Packet<'_>, message: &mut MessageWriter<'_>) {
        let id = packet.payload.get(1..5).and_then(|id| id.first_chunk::<4>()).map(|id| u32::from_le_bytes(*id));
        let text = message.field_of_request(Key::Order, Field::Resource);
        if let (Some(id), Some(text)) = (id, text) {
            let dropped = self.statements.get_or_insert_default().keep(id, text, &message.options().limits);
            message.count_forgotten(dropped);
        }
    }
}

fn more(input: Input<'_>, at_least: usize) -> Result<Step, ParseError> {
    if input.more() {
        Ok(Step::NeedMore { at_least: at_least.max(input.bytes.len() + 1) })
    } else {
        Err(ParseError::at(ParseErrorKind::Cut, input.bytes.len()))
    }
}

/// A message of which not all is there goes on as a body of known length.
fn beyond(step: Step, packet: &Packet<'_>, input: Input<'_>) -> Step {
    match step {
        Step::Message { used, .. } if used > input.bytes.len() => {
            let rest = (HEADER + packet.length - input.bytes.len()) as u64;
            Step::Message { used: input.bytes.len(), body: Body::Sized(rest) }
        }
        other => other,
    }
}

/// A message of `used` bytes, of which some may be beyond what there is.
fn of_length(used: u64, input: Input<'_>, step: impl Fn(usize) -> Step) -> Step {
    let available = input.bytes.len();
    match (usize::try_from(used).unwrap_or(usize::MAX), step(available)) {
        (used, _) if used <= available => step(used),
        (_, Step::Message { body: Body::None, .. }) => {
            Step::Message { used: available, body: Body::Sized(used - available as u64) }
        }
        (_, other) => other,
    }
}

fn name_of(bytes: &[u8]) -> Option<Box<str>> {
    let name = core::str::from_utf8(bytes).ok()?.trim_matches(['`', ' ', ';', '\0']);
    (!name.is_empty() && name.len() <= 256).then(|| name.into())
}

/// The schema in a COM_CHANGE_USER: behind the user and the length-prefixed password.
fn changed_schema(rest: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(rest);
    cursor.zero_string()?;
    let length = usize::from(cursor.byte()?);
    cursor.bytes(length)?;
    cursor.zero_string().filter(|name| !name.is_empty())
}

/// Whose fault an error is: the request's for syntax, access, constraints and unknown objects.
fn class_of(failure: &Failure<'_>) -> Status {
    let of_client = match failure.state {
        Some([b'2', b'1' | b'2' | b'3' | b'8', ..] | [b'4', b'2', ..]) => true,
        // The general class: told apart by number. Unknown variables and statements, missing defaults, wrong values, missing privileges.
        Some(b"HY000") | None => matches!(
            failure.number,
            1044..=1051 | 1054 | 1062..=1064 | 1091 | 1142..=1146 | 1193 | 1210 | 1227 | 1231 | 1238 | 1243 | 1264 | 1292 | 1295 | 1305
                | 1364 | 1366 | 1396 | 1406 | 1418 | 1419 | 1451 | 1452 | 1525 | 1690 | 3819 | 4025
        ),
        Some(_) => false,
    };
    if of_client { Status::ClientError } else { Status::ServerError }
}
