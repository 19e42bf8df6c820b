//! Reads an HTTP/1 connection message by message.

use memchr::memmem;

use super::wire::{self, Headers, RequestLine, Start, StatusLine};
use crate::trace_context::{self, Header};
use crate::{
    Body, Field, Input, Key, MessageWriter, Next, ParseError, ParseErrorKind, Parser, Part, Resync, Side, Status, Step,
    endpoint, url,
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

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    phase: Phase,
    /// Bytes of an incomplete head that hold no end of a head.
    scanned: usize,
}

#[derive(Debug, Default)]
pub(super) struct Http1Parser {
    client: Lane,
    server: Lane,
}

/// What the header lines say about the body.
#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    upgrade: Option<Next>,
}

impl Parser for Http1Parser {
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        match self.lane(from).phase {
            Phase::Start => self.head(from, input, message),
            Phase::LongHead => Ok(self.rest_of_head(from, input)),
            Phase::Chunk => self.chunks(from, input),
            Phase::Trailer => Ok(self.trailer(from, input)),
            Phase::Tunnel(to) => Ok(Step::Switch { used: 0, to }),
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

    fn memory(&self) -> usize {
        size_of::<Self>()
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
        let empty = input.bytes.iter().take_while(|byte| matches!(**byte, b'\r' | b'\n')).count();
        if empty > 0 {
            return Ok(Step::Skip { used: empty as u64 });
        }
        let lane = self.lane(from);
        let length = match wire::head_length(input.bytes, lane.scanned) {
            Some(length) => length,
            None if input.more => {
                if lane.scanned == 0 && wire::recognise(input.bytes) == Start::Neither {
                    return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
                }
                // The end may begin in the last three bytes.
                lane.scanned = input.bytes.len().saturating_sub(3);
                return Ok(Step::NeedMore { at_least: input.bytes.len() + 1 });
            }
            None => {
                message.incomplete();
                lane.phase = Phase::LongHead;
                input.bytes.len()
            }
        };
        lane.scanned = 0;
        let head = input.bytes.get(..length).unwrap_or_default();
        let body = match from {
            Side::Client => self.request(head, message)?,
            Side::Server => match self.response(head, message)? {
                Some(body) => body,
                None => return Ok(Step::Skip { used: length as u64 }),
            },
        };
        Ok(Step::Message { used: length, body })
    }

    fn request(&mut self, head: &[u8], message: &mut MessageWriter<'_>) -> Result<Body, ParseError> {
        let (first, rest) = wire::split_line(head).unwrap_or((head, &[]));
        let Some(line) = RequestLine::parse(first) else {
            self.client.phase = Phase::Start;
            return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
        };
        message.request(Key::Order);
        message.field(Field::RequestType, line.method);
        let path = line.path();
        url::write(message, Field::Resource, path);
        message.field_with(Field::Endpoint, |text| endpoint::write_path(text, path));
        if let Some(authority) = line.authority() {
            message.field(Field::Domain, authority);
        }
        let framing = headers(Headers::new(rest), message, true);
        message.context(match line.method {
            b"HEAD" => HEAD,
            b"CONNECT" => CONNECT,
            _ => 0,
        });
        Ok(self.body(Side::Client, framing, Body::None))
    }

    /// `None` for an interim answer.
    fn response(&mut self, head: &[u8], message: &mut MessageWriter<'_>) -> Result<Option<Body>, ParseError> {
        let (first, rest) = wire::split_line(head).unwrap_or((head, &[]));
        let Some(line) = StatusLine::parse(first) else {
            self.server.phase = Phase::Start;
            return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
        };
        if line.status < 200 && line.status != 101 {
            return Ok(None);
        }
        message.response(Key::Order);
        message.field(Field::StatusCode, line.digits);
        message.status(match line.status {
            400..500 => Status::ClientError,
            500.. => Status::ServerError,
            _ => Status::Ok,
        });
        let framing = headers(Headers::new(rest), message, false);
        let asked = message.context_of_request(Key::Order);
        let tunnel = line.status == 101 || asked == Some(CONNECT) && line.status < 300;
        if tunnel {
            let next = framing.upgrade.unwrap_or(Next::Detect);
            self.client.phase = Phase::Tunnel(next);
            self.server.phase = Phase::Tunnel(next);
            return Ok(Some(Body::None));
        }
        // RFC 9112, 6.3: what has no body, whatever its headers say.
        if asked == Some(HEAD) || matches!(line.status, 204 | 304) {
            return Ok(Some(Body::None));
        }
        // Without a length the body ends with the connection; an answer whose request was not seen may belong to a HEAD.
        let unknown = if asked.is_some() { Body::Open } else { Body::None };
        Ok(Some(self.body(Side::Server, framing, unknown)))
    }

    fn body(&mut self, from: Side, framing: Framing, unknown: Body) -> Body {
        let lane = self.lane(from);
        if lane.phase == Phase::LongHead {
            return Body::Open;
        }
        match framing {
            Framing { chunked: true, .. } => {
                lane.phase = Phase::Chunk;
                Body::Open
            }
            Framing { length: Some(0), .. } => Body::None,
            Framing { length: Some(length), .. } => Body::Sized(length),
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
        // The end may begin in the last three bytes.
        match input.bytes.len().saturating_sub(if input.more { 3 } else { 0 }) {
            0 => Step::NeedMore { at_least: 4 },
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
    fn trailer(&mut self, from: Side, input: Input<'_>) -> Step {
        let mut used = 0;
        let mut rest = input.bytes;
        while let Some((line, next)) = wire::split_line(rest) {
            used = input.bytes.len() - next.len();
            if line.is_empty() {
                self.lane(from).phase = Phase::Start;
                return Step::Part { used: used as u64, of: part(from), last: true };
            }
            rest = next;
        }
        match used {
            0 if input.more => Step::NeedMore { at_least: input.bytes.len() + 1 },
            0 => Step::Part { used: input.bytes.len() as u64, of: part(from), last: false },
            _ => Step::Part { used: used as u64, of: part(from), last: false },
        }
    }
}

fn part(from: Side) -> Part {
    match from {
        Side::Client => Part::Request(Key::Order),
        Side::Server => Part::Response(Key::Order),
    }
}

/// Takes down the header lines that matter.
fn headers(lines: Headers<'_>, message: &mut MessageWriter<'_>, request: bool) -> Framing {
    let mut framing = Framing::default();
    for (name, value) in lines {
        // Few names matter; most are told apart by their length and first letter.
        let Some(first) = name.first() else { continue };
        match (first | 0x20, name.len()) {
            (b'c', 14) if name.eq_ignore_ascii_case(b"content-length") => {
                // A list of equal lengths is one length (RFC 9110, 8.6).
                let value = value.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
                framing.length = core::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            }
            (b't', 17) if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
                framing.chunked = last.eq_ignore_ascii_case(b"chunked");
            }
            (b'u', 7) if name.eq_ignore_ascii_case(b"upgrade") => framing.upgrade = Some(upgrade(value)),
            (b'h', 4) if request && name.eq_ignore_ascii_case(b"host") => message.field(Field::Domain, value),
            (b'u', 10) if request && name.eq_ignore_ascii_case(b"user-agent") => {
                message.attribute("user_agent.original", value);
            }
            (b'x', 15) if request && name.eq_ignore_ascii_case(b"x-forwarded-for") => {
                let client = value.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
                message.attribute("client.address", client);
            }
            _ if request => {
                if let Some(header) = Header::named(name) {
                    trace_context::write(message, header, value);
                }
            }
            _ => {}
        }
    }
    framing
}

/// What an upgrade leads to.
fn upgrade(value: &[u8]) -> Next {
    let name = core::str::from_utf8(value).unwrap_or_default();
    match name {
        "h2c" => "http2".parse().map_or(Next::Opaque, Next::Protocol),
        _ if name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("TLS/")) => Next::Detect,
        _ => name.parse().map_or(Next::Opaque, Next::Protocol),
    }
}
