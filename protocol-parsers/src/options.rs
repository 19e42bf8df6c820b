//! What a user may choose.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Limits, ProtocolSpec};

/// Choices of one [`Dissector`](crate::Dissector).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Leave literals and secrets out: SQL values, Redis arguments, credentials in URLs. On unless switched off.
    pub redact: bool,
    /// Headers that carry ids of a trace, beside those that are always read: `traceparent`, `tracestate`, `b3`, `x-b3-*`, `sw8`,
    /// `uber-trace-id` and `x-request-id`. Which one counts where a message carries several for the same field is not promised.
    pub trace_headers: Vec<TraceHeader>,
    /// Beginnings of paths behind which ids are not told apart by how they look. The longest that fits counts.
    pub endpoint_prefixes: Vec<EndpointPrefix>,
    /// Protocols beside the built-in ones, asked before them, in this order.
    pub protocols: Vec<Arc<dyn ProtocolSpec>>,
    /// Bounds.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            redact: true,
            trace_headers: Vec::new(),
            endpoint_prefixes: Vec::new(),
            protocols: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// A header that carries ids of a trace under a name of its own: in HTTP, in metadata of gRPC, in attachments of Dubbo, in headers of Kafka
/// records, in comments of SQL. Bodies of Dubbo in Kryo's form are the exception: behind arguments of classes that Kryo does not know by
/// itself, only the well-known names are found.
///
/// ```
/// use protocol_parsers::{Options, TraceFormat, TraceHeader};
/// let mut options = Options::default();
/// options.trace_headers.push(TraceHeader { name: "X-Shop-Trace".into(), format: TraceFormat::TraceId });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHeader {
    /// The name; case does not matter.
    pub name: String,
    /// What the value is.
    pub format: TraceFormat,
}

/// What the value of a [`TraceHeader`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceFormat {
    /// As `traceparent` of W3C Trace Context.
    TraceParent,
    /// As `b3`.
    B3,
    /// As `sw8` of SkyWalking.
    Sw8,
    /// As `uber-trace-id` of Jaeger.
    UberTraceId,
    /// The id of the trace, whatever it looks like.
    TraceId,
    /// The id of the sender's span, whatever it looks like.
    SpanId,
    /// As `x-request-id`.
    RequestId,
}

/// What becomes of the paths below a prefix in [`Field::Endpoint`](crate::Field::Endpoint).
///
/// ```
/// use protocol_parsers::{EndpointPrefix, EndpointRest, Options};
/// let mut options = Options::default();
/// // /files/2024/report.pdf counts as /files/{}, /v1/2024/sum as itself.
/// options.endpoint_prefixes.push(EndpointPrefix { prefix: "/files".into(), rest: EndpointRest::Hide });
/// options.endpoint_prefixes.push(EndpointPrefix { prefix: "/v1".into(), rest: EndpointRest::Keep });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPrefix {
    /// Whole segments, such as `/files` or `/api/files`; a slash at the end counts for nothing.
    pub prefix: String,
    /// What becomes of what stands behind it.
    pub rest: EndpointRest,
}

/// What becomes of what stands behind an [`EndpointPrefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointRest {
    /// All of it becomes `{}`.
    Hide,
    /// Every segment stays.
    Keep,
}
