//! Triple, the protocol of Apache Dubbo 3 ([specification](https://dubbo.apache.org/en/overview/reference/protocols/triple-spec/)):
//! gRPC over HTTP/2 with headers of its own.
//!
//! Read by [`http2`](crate::http2); a call is Triple instead of [gRPC](crate::grpc) when one of its request's headers begins with `tri-`
//! or its content type with `application/triple`. Fields, status and attributes are those of gRPC, and further attributes
//! `dubbo.service.version`, `dubbo.service.group`, `dubbo.consumer.application`. `tri-trace-traceid` and `tri-trace-rpcid`
//! are ids of a trace, as they are; the first of several formats counts.

use crate::{Field, MessageWriter};

/// A header of Triple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Version,
    Group,
    Application,
    Timeout,
    TraceId,
    RpcId,
    Other,
}

impl Header {
    /// Which one a name is that begins with `tri-`.
    pub(crate) fn named(name: &[u8]) -> Self {
        match name {
            b"tri-service-version" => Self::Version,
            b"tri-service-group" => Self::Group,
            b"tri-consumer-appname" => Self::Application,
            b"tri-service-timeout" => Self::Timeout,
            b"tri-trace-traceid" => Self::TraceId,
            b"tri-trace-rpcid" => Self::RpcId,
            _ => Self::Other,
        }
    }
}

/// Takes down what a header of a request says.
pub(crate) fn write(message: &mut MessageWriter<'_>, header: Header, value: &[u8]) {
    match header {
        Header::Version => message.attribute("dubbo.service.version", value),
        Header::Group => message.attribute("dubbo.service.group", value),
        Header::Application => message.attribute("dubbo.consumer.application", value),
        // Milliseconds.
        Header::Timeout => {
            let digits = core::str::from_utf8(value).ok().and_then(|digits| digits.parse::<i64>().ok());
            if let Some(nanos) = digits.and_then(|millis| millis.checked_mul(1_000_000)) {
                message.attribute_number("deadline_ns", nanos);
            }
        }
        Header::TraceId if !value.is_empty() => message.field(Field::TraceId, value),
        Header::RpcId if !value.is_empty() => message.field(Field::SpanId, value),
        Header::TraceId | Header::RpcId | Header::Other => {}
    }
}
