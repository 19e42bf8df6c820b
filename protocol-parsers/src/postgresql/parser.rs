//! Reads a PostgreSQL connection message by message.

use alloc::boxed::Box;
use memchr::{memchr, memmem};

use super::backend::Backend;
use super::recognise::{self, Start};
use super::statements::{Bound, Statements};
use super::wire::{HEADER, Message, Opening, parameters};
use crate::cursor::Cursor;
use crate::fields::Text;
use crate::sql::{self, Dialect};
use crate::{
    Body, Field, Input, Key, MessageWriter, Next, ParseError, ParseErrorKind, Parser, Resync, Side, Status, Step, Then,
};

/// Names stand in front of values that may be long: they are waited for up to here.
const NAMES: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct PostgreSqlParser {
    /// Once one was prepared or bound.
    pub(super) statements: Option<Box<Statements>>,
    pub(super) turns: Turns,
    pub(super) encryption: Encryption,
    pub(super) backend: Backend,
    database: Option<Box<str>>,
    /// A connection for replication: its commands may have several results.
    replication: bool,
    trace: Option<Box<Trace>>,
}

/// Whether what follows can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encryption {
    #[default]
    None,
    /// TLS was asked for.
    Asked,
    Tls,
    Gss,
}

/// Which calls a ReadyForQuery ends: each Sync, Query and FunctionCall of the client is answered by one, and after an error the server
/// passes over everything up to the next Sync. Calls carry the number of the turn they belong to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    /// Turns that the client has ended.
    pub(super) sent: u32,
    /// Turns that the server has ended.
    pub(super) done: u32,
    /// In the turn that the server is in, something failed.
    pub(super) failed: bool,
    pub(super) count: Count,
}

/// What the numbers of [`Turns`] are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Count {
    /// Joined late, or something of the client is missing: the server may be in turns that were not seen. They become exact when the
    /// connection is quiet.
    #[default]
    Unknown,
    /// Something of the server is missing: it may be further.
    Behind,
    Exact,
}

impl Turns {
    /// Whether the server has come to the turn of this number.
    pub(super) fn reached(&self, turn: u32) -> bool {
        turn.wrapping_sub(self.done).cast_signed() <= 0
    }
}

/// Ids from the comment of a statement, for its execution in the same turn.
#[derive(Debug)]
struct Trace {
    turn: u32,
    statement: u32,
    ids: [(Field, Option<Box<str>>); 3],
}

/// What a request is: kept as its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    /// Number of the statement that is parsed.
    pub(super) statement: u32,
    pub(super) turn: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// One statement.
    Query = 1,
    /// Perhaps several, each with a result.
    Queries,
    Parse,
    Execute,
    Function,
    Startup,
    Encryption,
}

impl Asked {
    fn pack(self) -> u64 {
        self.kind as u64 | u64::from(self.statement & 0xff_ffff) << 8 | u64::from(self.turn) << 32
    }

    pub(super) fn unpack(context: u64) -> Option<Self> {
        let kind = match context as u8 {
            1 => Kind::Query,
            2 => Kind::Queries,
            3 => Kind::Parse,
            4 => Kind::Execute,
            5 => Kind::Function,
            6 => Kind::Startup,
            7 => Kind::Encryption,
            _ => return None,
        };
        Some(Self { kind, statement: (context >> 8) as u32 & 0xff_ffff, turn: (context >> 32) as u32 })
    }
}

impl Parser for PostgreSqlParser {
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        match (self.encryption, from) {
            (Encryption::Tls, _) => Ok(Step::Switch { used: 0, to: Next::Detect }),
            (Encryption::Gss, _) => Ok(Step::Switch { used: 0, to: Next::Opaque }),
            (_, Side::Client) => self.client(input, message),
            (_, Side::Server) => self.server(input, message),
        }
    }

    fn gap(&mut self, from: Side) {
        match from {
            Side::Client => {
                self.turns.count = Count::Unknown;
                self.statements.iter_mut().for_each(|known| known.lose());
                self.trace = None;
            }
            Side::Server => {
                if self.turns.count == Count::Exact {
                    self.turns.count = Count::Behind;
                }
                self.backend.gap();
            }
        }
    }

    fn resync(&mut self, from: Side, input: &[u8]) -> Resync {
        if matches!(self.encryption, Encryption::Tls | Encryption::Gss) {
            return Resync::At(0);
        }
        match (recognise::start(input, from == Side::Client, from == Side::Server), from) {
            (Start::Client, Side::Client) | (Start::Server, Side::Server) => return Resync::At(0),
            (Start::Perhaps, _) if input.len() < NAMES => return Resync::Perhaps(0),
            _ => {}
        }
        // Behind the end of something else: where a turn ends, the next one begins.
        let end: &[u8] = if from == Side::Client { b"S\0\0\0\x04" } else { b"Z\0\0\0\x05" };
        match memmem::find(input, end) {
            Some(position) => Resync::At(position),
            None => (1..end.len())
                .rev()
                .find(|length| end.get(..*length).is_some_and(|start| input.ends_with(start)))
                .map_or(Resync::Nowhere, |length| Resync::Perhaps(input.len() - length)),
        }
    }

    fn memory(&self) -> usize {
        let statements = self.statements.as_ref().map_or(0, |known| known.memory());
        let database = self.database.as_ref().map_or(0, |database| database.len());
        size_of::<Self>() + statements + database + self.trace.as_ref().map_or(0, |_| size_of::<Trace>() + 96)
    }
}

impl PostgreSqlParser {
    fn client(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if let [0, ..] = input.bytes {
            return self.opening(input, message);
        }
        let Some(request) = Message::parse(input.bytes) else {
            return match input.bytes {
                // The answer was lost, but it was yes.
                [0x16, ..] if self.encryption == Encryption::Asked => {
                    self.encryption = Encryption::Tls;
                    Ok(Step::Switch { used: 0, to: Next::Detect })
                }
                _ => more(input, HEADER, ParseErrorKind::Length),
            };
        };
        let skip = Ok(Step::Skip { used: request.length as u64 });
        let short = !request.is_whole() && input.more();
        match request.kind {
            b'Q' | b'P' if short => more(input, request.length, ParseErrorKind::Cut),
            b'Q' => self.query(&request, input, message),
            b'P' => self.parse_statement(&request, input, message),
            b'B' | b'E' | b'C' | b'F' if short && request.body.len() < NAMES => {
                more(input, request.length.min(HEADER + NAMES), ParseErrorKind::Cut)
            }
            b'B' => {
                let mut body = Cursor(request.body);
                if let (Some(portal), Some(statement)) = (body.zero_string(), body.zero_string()) {
                    message.count_forgotten(self.statements.get_or_insert_default().bind(
                        portal,
                        statement,
                        &message.options().limits,
                    ));
                } else {
                    self.statements.iter_mut().for_each(|known| known.close_portal(&[]));
                }
                skip
            }
            b'E' => self.execute(&request, input, message),
            b'C' => {
                let mut body = Cursor(request.body);
                match (body.byte(), body.zero_string()) {
                    (Some(b'S'), Some(name)) => {
                        self.statements.iter_mut().for_each(|known| known.close_statement(name));
                    }
                    (Some(b'P'), Some(name)) => self.statements.iter_mut().for_each(|known| known.close_portal(name)),
                    _ => {}
                }
                skip
            }
            b'F' => {
                self.request(Kind::Function, 0, &request, input.then, message);
                if let Some(function) = Cursor(request.body).long() {
                    message.attribute_number("db.postgresql.function_oid", i64::from(function));
                }
                name(message, "FUNCTION_CALL");
                self.end_turn();
                Ok(whole(&request))
            }
            b'S' => {
                self.end_turn();
                skip
            }
            // Describe, Flush, Terminate, the data of a COPY, passwords.
            b'D' | b'H' | b'X' | b'd' | b'c' | b'f' | b'p' => skip,
            _ => Err(ParseError::at(ParseErrorKind::UnknownType, 0)),
        }
    }

    fn end_turn(&mut self) {
        self.turns.sent = self.turns.sent.wrapping_add(1);
    }

    /// A message without a type.
    fn opening(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let Some((opening, length)) = Opening::parse(input.bytes) else {
            return more(input, 8, ParseErrorKind::UnknownType);
        };
        let cut = input.bytes.len() < length;
        if cut && input.more() {
            return Ok(Step::NeedMore { at_least: length });
        }
        if cut {
            message.incomplete();
        }
        let mut ask = |kind, what| {
            message.request(Key::Order);
            message.context(Asked { kind, statement: 0, turn: self.turns.sent }.pack());
            name(message, what);
        };
        match opening {
            Opening::Startup(body) => {
                ask(Kind::Startup, "STARTUP");
                self.startup(body, message);
                self.turns.count = Count::Exact;
                self.end_turn();
            }
            Opening::Tls => {
                ask(Kind::Encryption, "SSL_REQUEST");
                self.encryption = Encryption::Asked;
            }
            Opening::Gss => ask(Kind::Encryption, "GSSENC_REQUEST"),
            Opening::Cancel => {
                message.one_way();
                message.status(Status::Ok);
                name(message, "CANCEL_REQUEST");
            }
        }
        Ok(sized(length, input.bytes.len()))
    }

    fn startup(&mut self, body: &[u8], message: &mut MessageWriter<'_>) {
        let (mut user, mut database) = (None, None);
        for (name, value) in parameters(body) {
            match name {
                b"user" => user = Some(value),
                b"database" => database = Some(value),
                b"replication" => self.replication = true,
                _ => {}
            }
        }
        if let Some(user) = user {
            message.attribute("db.user", user);
        }
        // Unless the client says another, the database has the name of the user.
        self.database = database.or(user).and_then(name_of);
        self.domain(message);
    }

    fn domain(&self, message: &mut MessageWriter<'_>) {
        if let Some(database) = &self.database {
            message.text(Field::Domain, Text::Valid(database));
        }
    }

    /// What every request with a type has.
    fn request(
        &mut self,
        kind: Kind,
        statement: u32,
        request: &Message<'_>,
        then: Then,
        message: &mut MessageWriter<'_>,
    ) {
        self.backend.asked();
        message.request(Key::Order);
        message.context(Asked { kind, statement, turn: self.turns.sent }.pack());
        self.domain(message);
        if !request.is_whole() && then == Then::Gap {
            message.incomplete();
        }
    }

    fn query(
        &mut self,
        request: &Message<'_>,
        input: Input<'_>,
        message: &mut MessageWriter<'_>,
    ) -> Result<Step, ParseError> {
        let (text, _) = Cursor(request.body).zero_string_or_rest();
        // With one statement the result is over when it is complete, with several only when the server is ready.
        let behind = memchr(b';', text).and_then(|end| text.get(end + 1..)).unwrap_or_default();
        let one = request.is_whole()
            && !self.replication
            && behind.iter().all(|byte| byte.is_ascii_whitespace() || *byte == b';');
        let kind = if one { Kind::Query } else { Kind::Queries };
        self.request(kind, 0, request, input.then, message);
        sql::write(message, text, Dialect::PostgreSql, !request.is_whole());
        let copies = is_copy(message.written(Field::Endpoint));
        name(message, if copies { "COPY" } else { "QUERY" });
        self.end_turn();
        Ok(whole(request))
    }

    fn parse_statement(
        &mut self,
        request: &Message<'_>,
        input: Input<'_>,
        message: &mut MessageWriter<'_>,
    ) -> Result<Step, ParseError> {
        let mut body = Cursor(request.body);
        let Some(statement) = body.zero_string() else {
            return Err(ParseError::at(ParseErrorKind::Length, HEADER));
        };
        let (text, ended) = body.zero_string_or_rest();
        sql::write(message, text, Dialect::PostgreSql, !ended);
        let limits = &message.options.limits;
        let shown = message.written(Field::Resource).unwrap_or_default();
        let (number, dropped) = self.statements.get_or_insert_default().prepare(statement, shown, !ended, limits);
        message.count_forgotten(dropped);
        self.keep_trace(number, message);
        self.request(Kind::Parse, number, request, input.then, message);
        name(message, "PARSE");
        Ok(whole(request))
    }

    fn keep_trace(&mut self, statement: u32, message: &mut MessageWriter<'_>) {
        self.trace = message.written(Field::TraceId).is_some().then(|| {
            let ids = [Field::TraceId, Field::SpanId, Field::ParentSpanId]
                .map(|id| (id, message.written(id).map(Into::into)));
            Box::new(Trace { turn: self.turns.sent, statement, ids })
        });
    }

    fn execute(
        &mut self,
        request: &Message<'_>,
        input: Input<'_>,
        message: &mut MessageWriter<'_>,
    ) -> Result<Step, ParseError> {
        let Some(portal) = Cursor(request.body).zero_string() else {
            return Err(ParseError::at(ParseErrorKind::Length, HEADER));
        };
        self.request(Kind::Execute, 0, request, input.then, message);
        match self.statements.as_ref().and_then(|known| known.bound(portal)) {
            Some(Bound::Known(text)) => {
                message.text(Field::Resource, Text::Valid(&text.sql));
                if text.cut {
                    message.mark_cut(Field::Resource);
                }
                message.field_with(Field::Endpoint, |endpoint| {
                    sql::summary(endpoint, text.sql.as_bytes(), Dialect::PostgreSql);
                });
                let trace = self.trace.as_ref();
                for (field, id) in trace
                    .filter(|trace| trace.turn == self.turns.sent && trace.statement == text.statement)
                    .iter()
                    .flat_map(|trace| &trace.ids)
                {
                    id.iter().for_each(|id| message.text(*field, Text::Valid(id)));
                }
            }
            Some(Bound::Unknown(statement)) => {
                message.attribute("db.postgresql.statement", statement);
                message.incomplete();
            }
            None => {
                message.attribute("db.postgresql.portal", portal);
                message.incomplete();
            }
        }
        let copies = is_copy(message.written(Field::Endpoint));
        name(message, if copies { "COPY" } else { "EXECUTE" });
        Ok(whole(request))
    }
}

/// Names what is asked for; it is its own endpoint where there is no statement.
fn name(message: &mut MessageWriter<'_>, name: &str) {
    message.text(Field::RequestType, Text::Valid(name));
    message.text(Field::Endpoint, Text::Valid(name));
}

fn is_copy(endpoint: Option<&str>) -> bool {
    endpoint
        .and_then(|endpoint| endpoint.strip_prefix("COPY"))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// A database name, unless it is longer than one can be.
fn name_of(bytes: &[u8]) -> Option<Box<str>> {
    core::str::from_utf8(bytes).ok().filter(|name| !name.is_empty() && name.len() <= 256).map(Into::into)
}

/// A message that is over with its last byte, which may lie beyond what there is.
pub(super) fn whole(message: &Message<'_>) -> Step {
    sized(message.length, HEADER + message.body.len())
}

fn sized(length: usize, available: usize) -> Step {
    match length.checked_sub(available) {
        Some(rest @ 1..) => Step::Message { used: available, body: Body::Sized(rest as u64) },
        _ => Step::Message { used: length, body: Body::None },
    }
}

/// Waits for so many bytes, unless they are there or nothing more comes.
pub(super) fn more(input: Input<'_>, at_least: usize, wrong: ParseErrorKind) -> Result<Step, ParseError> {
    if input.more() && input.bytes.len() < at_least {
        return Ok(Step::NeedMore { at_least });
    }
    let wrong = if input.bytes.len() < at_least { ParseErrorKind::Cut } else { wrong };
    Err(ParseError::at(wrong, input.bytes.len().min(at_least)))
}
