//! What a header list says, written down as its headers come.

use super::hpack::Header;
use super::name::Name;
use crate::{Field, Key, MessageWriter, Part, Protocol, Side, Status, endpoint, grpc, trace_context, triple, url};

/// Kept with a request for whoever reads its response: what is spoken on the stream.
const PLAIN: u64 = 0;
const GRPC: u64 = 1;
const TRIPLE: u64 = 2;

/// What every header counts on top of its texts (RFC 9113, 6.5.2).
const OVERHEAD: usize = 32;
/// Longer methods are cut.
const LONGEST_METHOD: usize = 24;

/// A text of a few bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Short {
    bytes: [u8; LONGEST_METHOD],
    length: u8,
}

impl Short {
    fn new(text: &[u8]) -> Self {
        let mut short = Self::default();
        for (to, from) in short.bytes.iter_mut().zip(text) {
            *to = *from;
            short.length += 1;
        }
        short
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// What a header list turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    /// A response that is none yet (1xx).
    Interim,
    Trailers,
}

/// Takes down one header list.
pub(super) struct Head<'m, 'w> {
    message: &'m mut MessageWriter<'w>,
    /// Whether the headers may be those of a request.
    asks: bool,
    method: Option<Short>,
    status: Option<Short>,
    grpc_status: Option<Short>,
    /// A pseudo-header of a request was met.
    pseudo: bool,
    /// A header could not be told.
    unknown: bool,
    grpc: bool,
    triple: bool,
    /// Headers of which one is enough.
    agent: bool,
    forwarded: bool,
    traces: u16,
    triples: u8,
    /// Bytes of the list, and how many are read.
    size: usize,
    limit: usize,
}

impl<'m, 'w> Head<'m, 'w> {
    /// For a list that the client sent, or the server for a push (`asks`), or else the server.
    pub(super) fn new(message: &'m mut MessageWriter<'w>, asks: bool) -> Self {
        let limit = message.options().limits.header_list_bytes;
        Self {
            message,
            asks,
            method: None,
            status: None,
            grpc_status: None,
            pseudo: false,
            unknown: false,
            grpc: false,
            triple: false,
            agent: false,
            forwarded: false,
            traces: 0,
            triples: 0,
            size: 0,
            limit,
        }
    }

    /// Takes down a header.
    pub(super) fn take(&mut self, header: Header<'_>, stream: u32) {
        let before = self.size;
        self.size = before.saturating_add(header.text.len() + header.value.len() + OVERHEAD);
        if self.size > self.limit {
            if before <= self.limit {
                self.message.stats.header_lists_cut += 1;
                self.message.incomplete();
            }
            return;
        }
        if let Some(tap) = self.message.tap.as_deref_mut() {
            let key = Key::Id(u64::from(stream));
            let part = if self.asks { Part::Request(key) } else { Part::Response(key) };
            tap.header(part, header.text, header.value);
        }
        match header.name {
            Name::Other if !self.asks || self.message.options.trace_headers.is_empty() => {}
            Name::Other => {
                if let Some(own) = trace_context::Header::own(header.text, self.message.options) {
                    trace_context::write(self.message, own, header.value);
                }
            }
            Name::Unknown => self.unknown = true,
            Name::ContentType => {
                self.grpc |= header.value.starts_with(b"application/grpc");
                self.triple |= header.value.starts_with(b"application/triple");
            }
            _ if self.asks => self.of_request(header),
            _ => self.of_response(header),
        }
    }

    fn of_request(&mut self, Header { name, value, .. }: Header<'_>) {
        match name {
            Name::Method => {
                self.pseudo = true;
                self.method.get_or_insert_with(|| Short::new(value));
            }
            Name::Path => {
                self.pseudo = true;
                if !self.message.has(Field::Resource) {
                    url::write(self.message, Field::Resource, value);
                    let prefixes = &self.message.options.endpoint_prefixes;
                    self.message.field_bytes_with(Field::Endpoint, |text| endpoint::write_path(text, value, prefixes));
                }
            }
            Name::Scheme => self.pseudo = true,
            Name::Authority | Name::Host => {
                self.pseudo |= name == Name::Authority;
                // What stands before the last @ are credentials.
                let host = memchr::memrchr(b'@', value).map_or(0, |at| at + 1);
                self.message.field(Field::Domain, value.get(host..).unwrap_or_default());
            }
            Name::UserAgent if !core::mem::replace(&mut self.agent, true) => {
                self.message.attribute("user_agent.original", value);
            }
            Name::ForwardedFor if !core::mem::replace(&mut self.forwarded, true) => {
                let client = value.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
                self.message.attribute("client.address", client);
            }
            Name::GrpcTimeout => {
                if let Some(nanos) = grpc::wire::timeout_ns(value)
                    && first(&mut self.triples, triple::Header::Timeout as u8)
                {
                    self.message.attribute_number("deadline_ns", i64::try_from(nanos).unwrap_or(i64::MAX));
                }
            }
            Name::Trace(header) => {
                let bit = 1 << header as u8;
                if self.traces & bit == 0 {
                    self.traces |= bit;
                    trace_context::write(self.message, header, value);
                }
            }
            Name::Triple(header) => {
                self.triple = true;
                if first(&mut self.triples, header as u8) {
                    triple::write(self.message, header, value);
                }
            }
            _ => {}
        }
    }

    fn of_response(&mut self, Header { name, value, .. }: Header<'_>) {
        match name {
            Name::Status => drop(self.status.get_or_insert_with(|| Short::new(value))),
            Name::GrpcStatus => drop(self.grpc_status.get_or_insert_with(|| Short::new(value))),
            Name::GrpcMessage if !value.is_empty() => {
                // The server's own word says more than how the stream was reset while it was on its way.
                self.message.field_with(Field::Exception, |text| grpc::wire::push_message(text, value));
                self.message.prevail(Field::Exception);
            }
            Name::Triple(_) => self.triple = true,
            _ => {}
        }
    }

    /// The list ends. With `whole`, all of it was there; with `last`, nothing follows it on its stream.
    pub(super) fn finish(mut self, stream: u32, whole: bool, last: bool) -> Kind {
        let key = Key::Id(u64::from(stream));
        if self.unknown || !whole {
            self.message.incomplete();
        }
        if self.asks {
            // Nothing but a request has pseudo-headers, and all of them cannot be unknown: most methods and schemes need no table.
            if !self.pseudo {
                return Kind::Trailers;
            }
            self.request(stream);
            return Kind::Request;
        }
        let context = self.message.context_of_request(key);
        match self.status {
            Some(Short { bytes: [b'1', ..], .. }) => Kind::Interim,
            None if last || !self.unknown => {
                // The answer's head was not seen.
                if context.is_some() {
                    self.message.incomplete();
                }
                self.grpc_outcome();
                Kind::Trailers
            }
            _ => {
                self.message.response(key);
                self.message.field_number(Field::RequestId, u64::from(stream));
                self.response(stream, context);
                Kind::Response
            }
        }
    }

    fn request(&mut self, stream: u32) {
        self.message.field_number(Field::RequestId, u64::from(stream));
        let method = self.method.unwrap_or_default();
        if !self.message.has(Field::Resource) && method.get() == b"CONNECT" {
            self.message.field_within(Field::Resource, Field::Domain, |domain| 0..domain.len());
        }
        let context = self.speaks();
        self.message.context(context);
        if context != PLAIN {
            self.message.time_to_end();
            self.message.field_within(Field::RequestType, Field::Resource, |path| {
                path.rfind('/').map_or(0, |slash| slash + 1)..path.len()
            });
        }
        if context == PLAIN && self.method.is_some() {
            self.message.field(Field::RequestType, method.get());
        }
    }

    fn response(&mut self, stream: u32, context: Option<u64>) {
        let status = self.status.unwrap_or_default();
        let class = match status.get() {
            [b'4', _, _] => Status::ClientError,
            [b'5', _, _] => Status::ServerError,
            [b'2' | b'3', _, _] => Status::Ok,
            _ => Status::Unknown,
        };
        let asked = context.unwrap_or_default();
        let spoken = self.speaks();
        // Triple also carries plain answers.
        if asked == PLAIN && spoken == PLAIN || asked == TRIPLE && !self.grpc && self.grpc_status.is_none() {
            if self.status.is_some() {
                self.message.field(Field::StatusCode, status.get());
            }
            // Trailers alone, of a call that is not known to be gRPC: what they say of its end counts, known or not.
            let foreign = self.message.has(Field::Exception).then_some(Status::Unknown);
            self.message.status(self.grpc_class().or(foreign).unwrap_or(class));
            return;
        }
        if context == Some(PLAIN) {
            self.correct_request(stream);
        } else if asked == TRIPLE {
            self.message.protocol(Protocol::TRIPLE);
        }
        self.message.time_to_end();
        if status.get() != b"200" && self.status.is_some() {
            let number = core::str::from_utf8(status.get()).ok().and_then(|digits| digits.parse().ok());
            self.message.attribute_number("http.response.status_code", number.unwrap_or_default());
            self.message.status(class);
        }
        self.grpc_outcome();
    }

    /// The request's content type was in a table that nobody saw: only its answer tells that the method is in the path.
    #[cold]
    fn correct_request(&mut self, stream: u32) {
        let path = self.message.field_of_request(Key::Id(u64::from(stream)), Field::Resource);
        if let Some(method) = path.and_then(|path| path.rsplit('/').next()).map(alloc::string::String::from) {
            self.message.replace(Field::RequestType, method.as_bytes());
        }
    }

    fn grpc_outcome(&mut self) {
        let Some(code) = &self.grpc_status else { return };
        // Also where only the trailers tell that it is gRPC.
        self.message.replace(Field::StatusCode, code.get());
        self.message.status(self.grpc_class().unwrap_or_default());
    }

    /// The class of `grpc-status`, if there is one.
    fn grpc_class(&self) -> Option<Status> {
        let number = core::str::from_utf8(self.grpc_status.as_ref()?.get()).ok().and_then(|digits| digits.parse().ok());
        Some(number.map_or(Status::Unknown, grpc::class_of))
    }

    /// Says which protocol it is, if it is not plain HTTP/2.
    fn speaks(&mut self) -> u64 {
        let (protocol, context) = match (self.triple, self.grpc) {
            (true, _) => (Protocol::TRIPLE, TRIPLE),
            (_, true) => (Protocol::GRPC, GRPC),
            _ => return PLAIN,
        };
        self.message.protocol(protocol);
        context
    }

    /// Whether messages of gRPC follow on the stream.
    pub(super) fn carries_messages(&self) -> bool {
        self.grpc
    }
}

/// Marks a number below 8 as met. Says whether it was the first time.
fn first(met: &mut u8, number: u8) -> bool {
    let bit = 1 << number;
    let new = *met & bit == 0;
    *met |= bit;
    new
}

/// The status that a client of gRPC makes of a reset.
pub(super) fn write_grpc_reset(message: &mut MessageWriter<'_>, code: u32) {
    if let Some(status) = grpc::status_of_reset(code) {
        message.field_number(Field::StatusCode, u64::from(status));
        message.status(grpc::class_of(status));
    }
}

/// How a stream that was reset ended (RFC 9113, 7). Without an error (after an early answer) nothing is said.
pub(super) fn write_reset(message: &mut MessageWriter<'_>, from: Side, frame: &str, code: u32) {
    let name = super::wire::error_name(code);
    message.field_with(Field::Exception, |text| {
        text.push_str(frame);
        text.push(' ');
        match name {
            Some(name) => text.push_str(name),
            None => {
                // Writing to a string cannot fail.
                let _ = core::fmt::Write::write_fmt(text, format_args!("{code:#x}"));
            }
        }
    });
    // The client gives up, or has done something wrong; everything else is the server's.
    let caused = matches!(
        name,
        Some(
            "PROTOCOL_ERROR"
                | "FLOW_CONTROL_ERROR"
                | "FRAME_SIZE_ERROR"
                | "COMPRESSION_ERROR"
                | "ENHANCE_YOUR_CALM"
                | "INADEQUATE_SECURITY"
                | "HTTP_1_1_REQUIRED"
        )
    );
    message.status(if from == Side::Client || caused { Status::ClientError } else { Status::ServerError });
}
