//! What comes out: one request with its answer.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use crate::fields::Fields;
use crate::{Field, Key, Limits, Protocol, Side, Timestamp, Transport, Value};

/// What was seen of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// Request and response.
    RequestResponse,
    /// A request whose answer did not come or was not seen.
    RequestOnly,
    /// An answer whose request was not seen.
    ResponseOnly,
    /// A message that is never answered.
    OneWay,
}

impl CallKind {
    /// The name used in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestResponse => "request_response",
            Self::RequestOnly => "request_only",
            Self::ResponseOnly => "response_only",
            Self::OneWay => "one_way",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// As asked.
    Ok,
    /// Failed because of the request.
    ClientError,
    /// Failed because of the server.
    ServerError,
    /// No answer before the request's deadline.
    Timeout,
    /// The connection or the capture ended before the answer.
    #[default]
    Unknown,
}

impl Status {
    /// The name used in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Unknown => "unknown",
        }
    }
}

/// What the message being written is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing was said: an addition to a message.
    #[default]
    None,
    Request(Key),
    /// A request that may be one that is open already.
    Repeatable(Key),
    /// A request that its receiver would have made, told by the one who answers it.
    Promised(Key),
    Response(Key),
    OneWay,
}

/// How far one half of a call has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Half {
    #[default]
    Absent,
    Open,
    Ended,
}

/// A call in the making.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) fields: Fields,
    /// First byte of the request; of the response if only that was seen.
    pub(crate) start: Timestamp,
    pub(crate) head_end: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) request_offset: u64,
    pub(crate) response_offset: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// A number that the parser keeps with a request for whoever reads its response.
    pub(crate) context: u64,
    /// Set where the parser reports a protocol other than its own.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) role: Role,
    /// How often the request was sent again.
    pub(crate) retries: u16,
    pub(crate) status: Status,
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// The parser's side that asked.
    pub(crate) from_server: bool,
    pub(crate) incomplete: bool,
    /// Sent before a gap in the answers: its answer may be lost.
    pub(crate) doubtful: bool,
    /// Bytes of a side that had something to add were lost: what ends the call may have been among them.
    pub(crate) lost: bool,
    /// Its own side took the request back; an answer may cross that.
    pub(crate) taken_back: bool,
    /// The side that sent the request answers it.
    pub(crate) promised: bool,
    /// The time to the end of the response is told as an attribute.
    pub(crate) timed_to_end: bool,
}

impl Record {
    pub(crate) fn clear(&mut self) {
        // Each in its place: a new record would be made elsewhere and copied.
        let Self {
            fields,
            start,
            head_end,
            end,
            request_offset,
            response_offset,
            request_bytes,
            response_bytes,
            context,
            protocol,
            role,
            retries,
            status,
            request,
            response,
            from_server,
            incomplete,
            doubtful,
            lost,
            taken_back,
            promised,
            timed_to_end,
        } = self;
        fields.clear();
        (*start, *head_end, *end) = (Timestamp::ZERO, Timestamp::ZERO, Timestamp::ZERO);
        (*request_offset, *response_offset, *request_bytes, *response_bytes, *context) = (0, 0, 0, 0, 0);
        (*request, *response) = (Half::Absent, Half::Absent);
        (*from_server, *incomplete, *doubtful, *promised, *timed_to_end) = (false, false, false, false, false);
        (*lost, *taken_back) = (false, false);
        (*protocol, *role, *retries, *status) = (None, Role::None, 0, Status::Unknown);
    }

    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.fields.heap_bytes()
    }

    /// When the call is reported if nothing else is seen of it: unanswered, or with an end that may have been lost.
    pub(crate) fn deadline(&self, limits: &Limits, transport: Transport) -> Option<Timestamp> {
        let timeout = limits.timeout(transport);
        match self.response {
            Half::Absent if self.taken_back => Some((self.end + limits.crossing_time).min(self.start + timeout)),
            Half::Absent => Some(self.start + timeout),
            _ => self.lost.then(|| self.end + timeout),
        }
    }

    pub(crate) fn requester(&self) -> Side {
        if self.from_server { Side::Server } else { Side::Client }
    }
}

/// A call ready to be handed out.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) record: Box<Record>,
    pub(crate) protocol: Protocol,
    pub(crate) transport: Transport,
    pub(crate) client: Side,
    pub(crate) requester: Side,
    pub(crate) answerer: Side,
    pub(crate) kind: CallKind,
    pub(crate) duration: Option<Duration>,
}

/// One request with its answer. Valid until the next call to its [`Dissector`](crate::Dissector).
#[derive(Clone, Copy)]
pub struct Call<'a>(pub(crate) &'a Finished);

impl<'a> Call<'a> {
    /// The application protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    /// How the bytes travelled.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.0.transport
    }

    /// What was seen.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        self.0.kind
    }

    /// How it ended.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.record.status
    }

    /// Which side of the connection, as handed in, is the client.
    #[must_use]
    pub fn client(&self) -> Side {
        self.0.client
    }

    /// Which side of the connection, as handed in, sent the request: the client, but for messages that a server begins.
    #[must_use]
    pub fn requester(&self) -> Side {
        self.0.requester
    }

    /// Which side of the connection, as handed in, sends the response: the other one, but for what a server pushes.
    #[must_use]
    pub fn answerer(&self) -> Side {
        self.0.answerer
    }

    /// Time of the first byte of the request; of the response if only that was seen.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        self.0.record.start
    }

    /// From the first byte of the request to the last byte of the response (of its head for HTTP); `None` when one is missing.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.0.duration
    }

    /// Bytes of the request on the wire, also when not captured.
    #[must_use]
    pub fn request_bytes(&self) -> u64 {
        self.0.record.request_bytes
    }

    /// Bytes of the response on the wire, also when not captured.
    #[must_use]
    pub fn response_bytes(&self) -> u64 {
        self.0.record.response_bytes
    }

    /// Stream offset of the request's first byte.
    #[must_use]
    pub fn request_offset(&self) -> Option<u64> {
        (self.0.record.request != Half::Absent).then_some(self.0.record.request_offset)
    }

    /// Stream offset of the response's first byte.
    #[must_use]
    pub fn response_offset(&self) -> Option<u64> {
        (self.0.record.response != Half::Absent).then_some(self.0.record.response_offset)
    }

    /// False when bytes that the parser needed were missing: of what is told of the request and of the response, as far as each was
    /// seen; and of a request without an answer, when an answer may have been among bytes that were lost. That a message was not seen at
    /// all is what [`kind`](Self::kind) says.
    #[must_use]
    pub fn captured_complete(&self) -> bool {
        !self.0.record.incomplete
    }

    /// A text field.
    #[must_use]
    pub fn field(&self, field: Field) -> Option<&'a str> {
        self.0.record.fields.get(field)
    }

    /// Protocol extras by name, in the order in which they were met.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.0.record.fields.attributes()
    }
}

macro_rules! getters {
    ($($name:ident $field:ident;)*) => {
        impl<'a> Call<'a> {
            $(
                #[doc = concat!("The field [`Field::", stringify!($field), "`].")]
                #[must_use]
                pub fn $name(&self) -> Option<&'a str> {
                    self.field(Field::$field)
                }
            )*
        }
    };
}

getters! {
    request_type RequestType;
    domain Domain;
    resource Resource;
    endpoint Endpoint;
    request_id RequestId;
    status_code StatusCode;
    exception Exception;
    trace_id TraceId;
    span_id SpanId;
    parent_span_id ParentSpanId;
    x_request_id XRequestId;
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} at {}",
            self.protocol(),
            self.kind().name(),
            self.status().name(),
            self.start().as_nanos()
        )?;
        if let Some(duration) = self.duration() {
            write!(f, " for {}", duration.as_nanos())?;
        }
        write!(f, " bytes {}/{}", self.request_bytes(), self.response_bytes())?;
        for field in Field::ALL {
            if let Some(text) = self.field(*field) {
                write!(f, " {}={text:?}", field.name())?;
            }
        }
        for (key, value) in self.attributes() {
            write!(f, " {key}={value:?}")?;
        }
        if self.client() == Side::Server {
            f.write_str(" turned")?;
        }
        if !self.captured_complete() {
            f.write_str(" incomplete")?;
        }
        Ok(())
    }
}
