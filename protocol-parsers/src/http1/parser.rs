//! Reads an HTTP/1 connection message by message.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use memchr::memmem;

use super::framing::Framing;
use super::headers::Lines;
use super::wire::{self, LineFeeds, RequestLine, Start, StatusLine};
use crate::fields::Text;
use crate::trace_context::{self, Header};
use crate::{
    Body, Field, Input, Key, MessageWriter, Next, ParseError, ParseErrorKind, Parser, Part, Protocol, Resync, Side,
    Status, Step, endpoint, url,
};

/// Kept with a request for whoever reads its response.
const HEAD: u64 = 1;
const CONNECT: u64 = 2;

/// After a loss, a start line that is not complete is waited for up to this length.
const LONGEST_START: usize = 4096;

/// Where one direction stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Before a start line.
    #[default]
    Start,
    /// In a head whose beginning was too long to be kept.
    LongHead,
    /// Before the size line of a chunk.
    Chunk,
    /// In the trailer section behind the last chunk.
    Trailer,
    /// Behind an upgrade or CONNECT.
    Tunnel(Next),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lane {
    phase: Phase,
    /// Bytes of an incomplete head that hold no end of a head.
    scanned: usize,
}

impl Lane {
    /// Waits for the end of a head, of which this much was looked through: the end may begin in the last three bytes.
    fn wait(&mut self, input: Input<'_>) -> Step {
        self.scanned = input.bytes.len().saturating_sub(3).max(1);
        Step::NeedMore { at_least: input.bytes.len() + 1 }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Http1Parser {
    client: Lane,
    server: Lane,
    /// The request that upgraded the connection to HTTP/2: its answer comes there.
    upgraded: Option<Box<Upgraded>>,
}

/// What the request says.
type Upgraded = Vec<(Field, String)>;
/// What of it is handed on.
const HANDED_ON: [Field; 8] = [
    Field::RequestType,
    Field::Domain,
    Field::Resource,
    Field::Endpoint,
    Field::TraceId,
    Field::SpanId,
    Field::ParentSpanId,
    Field::XRequestId,
];

/// What became of a head.
enum Head {
    /// Its length, and what follows it.
    Whole(usize, Body),
    /// An interim answer of this length.
    Interim(usize),
    /// Its end is not there.
    Cut,
}

impl Parser for Http1Parser {
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        match self.lane(from).phase {
            Phase::Start => self.head(from, input, message),
            Phase::LongHead => Ok(self.rest_of_head(from, input)),
            Phase::Chunk => self.chunks(from, input),
            Phase::Trailer => Ok(self.trailer(from, input, message)),
            Phase::Tunnel(to) => {
                if let Some(fields) = self.upgraded.take() {
                    // RFC 7540, 3.2: the answer to the upgraded request comes on stream 1.
                    message.response(Key::Id(1));
                    message.field(Field::RequestId, b"1");
                    fields.iter().for_each(|(field, text)| message.text(*field, Text::Valid(text)));
                    message.attribute("upgraded_from", b"http1");
                }
                Ok(Step::Switch { used: 0, to })
            }
        }
    }

    fn gap(&mut self, from: Side) {
        let lane = self.lane(from);
        lane.scanned = 0;
        if !matches!(lane.phase, Phase::Tunnel(_)) {
            lane.phase = Phase::Start;
        }
    }

    fn resync(&mut self, from: Side, input: &[u8]) -> Resync {
        if matches!(self.lane(from).phase, Phase::Tunnel(_)) {
            return Resync::At(0);
        }
        let begins = |at: usize| match (wire::recognise(input.get(at..).unwrap_or_default()), from) {
            (Start::Request, Side::Client) | (Start::Response, Side::Server) => Resync::At(at),
            (Start::Perhaps, _) if input.len() - at < LONGEST_START => Resync::Perhaps(at),
            _ => Resync::Nowhere,
        };
        if begins(0) != Resync::Nowhere {
            return begins(0);
        }
        // A start line behind the end of something else.
        let mut lines = memmem::find_iter(input, b"HTTP/1.").map(|at| match from {
            Side::Client => memchr::memrchr(b'\n', input.get(..at).unwrap_or_default()).map_or(0, |end| end + 1),
            Side::Server => at,
        });
        lines.find(|at| matches!(begins(*at), Resync::At(_))).map_or(Resync::Nowhere, Resync::At)
    }

    /// A start line with a version is no accident: servers of HTTP/0.9 and of streams of sound answer it in their own way. But a client
    /// that asks a server which greets in another protocol got the wrong port.
    fn stands_against(&self, answer: &[u8]) -> bool {
        !answer.starts_with(b"SSH-") && !answer.starts_with(b"220")
    }

    fn is_as_new(&self) -> bool {
        *self == Self::default()
    }

    fn memory(&self) -> usize {
        let handed_on =
            |fields: &Upgraded| fields.iter().map(|(_, text)| text.capacity() + size_of::<(Field, String)>()).sum();
        size_of::<Self>() + self.upgraded.as_deref().map_or(0, handed_on)
    }
}

impl Http1Parser {
    fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn head(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if let Some(b'\r' | b'\n') = input.bytes.first() {
            let empty = input.bytes.iter().take_while(|byte| matches!(**byte, b'\r' | b'\n')).count();
            return Ok(Step::Skip { used: empty as u64 });
        }
        // A head that was not complete is only read again once its end is there.
        let lane = self.lane(from);
        if lane.scanned > 0 && input.more() && wire::head_length(input.bytes, lane.scanned).is_none() {
            return Ok(lane.wait(input));
        }
        lane.scanned = 0;
        let head = match from {
            Side::Client => self.request(input, message)?,
            Side::Server => self.response(input, message)?,
        };
        Ok(match head {
            Head::Whole(used, body) => Step::Message { used, body },
            Head::Interim(used) => Step::Skip { used: used as u64 },
            Head::Cut if input.more() => self.lane(from).wait(input),
            Head::Cut => {
                message.incomplete();
                self.lane(from).phase = Phase::LongHead;
                Step::Message { used: input.bytes.len(), body: Body::Open }
            }
        })
    }

    fn request(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Head, ParseError> {
        let mut ends = LineFeeds::new(input.bytes);
        let Some(end) = ends.next() else { return without_end(input) };
        let first = input.bytes.get(..end).unwrap_or_default();
        let line = RequestLine::parse(first.trim_ascii_end());
        // Looked at where it stands: to copy what was just written costs more than to write it.
        let Some(line) = &line else {
            return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
        };
        if !line.versioned {
            match wire::recognise(input.bytes) {
                Start::Request => {}
                Start::Perhaps if input.more() => return Ok(Head::Cut),
                _ => return Err(ParseError::at(ParseErrorKind::UnknownType, 0)),
            }
        }
        message.request(Key::Order);
        message.gather(Field::RequestType, line.method);
        let path = line.path();
        if !path.is_empty() {
            url::write(message, Field::Resource, path);
            let prefixes = &message.options.endpoint_prefixes;
            message.field_bytes_with(Field::Endpoint, |text| endpoint::write_path(text, path, prefixes));
        }
        if let Some(authority) = line.authority() {
            message.field(Field::Domain, authority);
        }
        message.context(match line.method {
            b"HEAD" => HEAD,
            b"CONNECT" => CONNECT,
            _ => 0,
        });
        let lines = Lines { bytes: input.bytes, request: true };
        let mut framing = Framing::default();
        let Some(used) = lines.read(end + 1, ends, message, &mut framing) else {
            return Ok(Head::Cut);
        };
        show(message, Part::Request(Key::Order), input.bytes.get(end + 1..).unwrap_or_default());
        if !message.options.trace_headers.is_empty() {
            for (name, value) in wire::Headers::new(input.bytes.get(end + 1..).unwrap_or_default()) {
                if let Some(own) = Header::own(name, message.options) {
                    trace_context::write(message, own, value);
                }
            }
        }
        framing.warn(message);
        Ok(Head::Whole(used, self.body(Side::Client, framing, Body::None)))
    }

    fn response(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Head, ParseError> {
        let mut ends = LineFeeds::new(input.bytes);
        let Some(end) = ends.next() else { return without_end(input) };
        let first = input.bytes.get(..end).unwrap_or_default();
        let Some(line) = StatusLine::parse(first) else {
            return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
        };
        message.response(Key::Order);
        message.field(Field::StatusCode, line.digits);
        message.status(match line.status {
            400..500 => Status::ClientError,
            500.. => Status::ServerError,
            _ => Status::Ok,
        });
        let lines = Lines { bytes: input.bytes, request: false };
        let mut framing = Framing::default();
        let Some(used) = lines.read(end + 1, ends, message, &mut framing) else {
            return Ok(Head::Cut);
        };
        show(message, Part::Response(Key::Order), input.bytes.get(end + 1..).unwrap_or_default());
        if line.status < 200 && line.status != 101 {
            return Ok(Head::Interim(used));
        }
        let asked = message.context_of_request(Key::Order);
        let tunnel = line.status == 101 || asked == Some(CONNECT) && line.status < 300;
        if tunnel {
            let next = framing.upgrade.unwrap_or(Next::Detect);
            if next == Next::Protocol(Protocol::HTTP2) {
                let field = |field| message.field_of_request(Key::Order, field).map(|text| (field, String::from(text)));
                self.upgraded = Some(Box::new(HANDED_ON.into_iter().filter_map(field).collect()));
            }
            self.client.phase = Phase::Tunnel(next);
            self.server.phase = Phase::Tunnel(next);
            return Ok(Head::Whole(used, Body::None));
        }
        // RFC 9112, 6.3: what has no body, whatever its headers say.
        if asked == Some(HEAD) || matches!(line.status, 204 | 304) {
            return Ok(Head::Whole(used, Body::None));
        }
        framing.warn(message);
        // Without a length the body ends with the connection; an answer whose request was not seen may belong to a HEAD.
        let unknown = if asked.is_some() { Body::Open } else { Body::None };
        Ok(Head::Whole(used, self.body(Side::Server, framing, unknown)))
    }

    fn body(&mut self, from: Side, framing: Framing, unknown: Body) -> Body {
        let lane = self.lane(from);
        match framing {
            Framing { chunked: true, .. } => {
                lane.phase = Phase::Chunk;
                Body::Open
            }
            Framing { coded: false, length: Some(0), .. } => Body::None,
            Framing { coded: false, length: Some(length), .. } => Body::Sized(length),
            // Until the connection ends.
            _ if unknown == Body::Open => Body::Sized(u64::MAX),
            _ => Body::None,
        }
    }

    /// Of a head whose beginning was read, the end is looked for; what it says about the body is not known.
    fn rest_of_head(&mut self, from: Side, input: Input<'_>) -> Step {
        if let Some(end) = wire::head_length(input.bytes, 0) {
            self.lane(from).phase = Phase::Start;
            return Step::Part { used: end as u64, of: part(from), last: true };
        }
        // The empty line may have begun.
        let begun = match input.bytes {
            [.., b'\n'] => 1,
            [.., b'\n', b'\r'] => 2,
            _ => 0,
        };
        match input.bytes.len() - if input.more() { begun } else { 0 } {
            0 => Step::NeedMore { at_least: input.bytes.len() + 1 },
            used => Step::Part { used: used as u64, of: part(from), last: false },
        }
    }

    /// As many whole chunks as there are, and the beginning of one more.
    fn chunks(&mut self, from: Side, input: Input<'_>) -> Result<Step, ParseError> {
        let mut used = 0_u64;
        while let Some(rest) = usize::try_from(used).ok().and_then(|used| input.bytes.get(used..)) {
            match wire::chunk_size(rest) {
                Ok(Some((0, line))) => {
                    used += line as u64;
                    self.lane(from).phase = Phase::Trailer;
                    break;
                }
                Ok(Some((size, line))) => used = used.saturating_add(size).saturating_add(line as u64 + 2),
                Ok(None) if used == 0 => return Ok(Step::NeedMore { at_least: input.bytes.len() + 1 }),
                Ok(None) => break,
                Err(error) if used == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Step::Part { used, of: part(from), last: false })
    }

    /// Header lines behind the last chunk, up to an empty one.
    fn trailer(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Step {
        let mut used = 0;
        let mut rest = input.bytes;
        while let Some((line, next)) = wire::split_line(rest) {
            used = input.bytes.len() - next.len();
            if line.is_empty() {
                self.lane(from).phase = Phase::Start;
                return Step::Part { used: used as u64, of: part(from), last: true };
            }
            trailing(line, from, message);
            rest = next;
        }
        match used {
            0 if input.more() => Step::NeedMore { at_least: input.bytes.len() + 1 },
            0 => Step::Part { used: input.bytes.len() as u64, of: part(from), last: false },
            _ => Step::Part { used: used as u64, of: part(from), last: false },
        }
    }
}

/// One line of a trailer section.
fn trailing(line: &[u8], from: Side, message: &mut MessageWriter<'_>) {
    let Some(colon) = memchr::memchr(b':', line) else { return };
    let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default().trim_ascii());
    if let Some(tap) = message.tap.as_deref_mut() {
        tap.header(part(from), name, value);
    }
    if from == Side::Client
        && let Some(header) = Header::chosen(name, message.options)
    {
        trace_context::write(message, header, value);
    }
}

fn part(from: Side) -> Part {
    match from {
        Side::Client => Part::Request(Key::Order),
        Side::Server => Part::Response(Key::Order),
    }
}

/// Bytes with no end of a line.
#[cold]
fn without_end(input: Input<'_>) -> Result<Head, ParseError> {
    if wire::recognise(input.bytes) == Start::Neither {
        return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
    }
    if input.more() { Ok(Head::Cut) } else { Err(ParseError::at(ParseErrorKind::Cut, input.bytes.len())) }
}

/// Shows the headers of a whole head to the tap, if there is one.
fn show(message: &mut MessageWriter<'_>, part: Part, lines: &[u8]) {
    if let Some(tap) = message.tap.as_deref_mut() {
        wire::Headers::new(lines).for_each(|(name, value)| tap.header(part, name, value));
    }
}
