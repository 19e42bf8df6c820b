//! Names of headers that mean something here.

use crate::trace_context;
use crate::triple;

/// What a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// One of a table that nobody saw.
    Unknown,
    /// One that is not read.
    Other,
    /// `:authority`
    Authority,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:scheme`
    Scheme,
    /// `:status`
    Status,
    /// `host`
    Host,
    /// `content-type`
    ContentType,
    /// `user-agent`
    UserAgent,
    /// `x-forwarded-for`
    ForwardedFor,
    /// `grpc-status`
    GrpcStatus,
    /// `grpc-message`
    GrpcMessage,
    /// `grpc-timeout`
    GrpcTimeout,
    /// One of Triple.
    Triple(triple::Header),
    /// One with ids of a trace.
    Trace(trace_context::Header),
}

impl Name {
    /// What the header of this name is.
    pub(crate) fn of(name: &[u8]) -> Self {
        let known: (&[u8], Self) = match (name.first(), name.len()) {
            (Some(b':'), 5) => (b":path", Self::Path),
            (Some(b':'), 7) => match name.get(1) {
                Some(b'm') => (b":method", Self::Method),
                Some(b's') if name.get(2) == Some(&b'c') => (b":scheme", Self::Scheme),
                _ => (b":status", Self::Status),
            },
            (Some(b':'), 10) => (b":authority", Self::Authority),
            (Some(b'c'), 12) => (b"content-type", Self::ContentType),
            (Some(b'g'), 11) => (b"grpc-status", Self::GrpcStatus),
            (Some(b'g'), 12) if name.ends_with(b"timeout") => (b"grpc-timeout", Self::GrpcTimeout),
            (Some(b'g'), 12) => (b"grpc-message", Self::GrpcMessage),
            (Some(b'h'), 4) => (b"host", Self::Host),
            (Some(b'u'), 10) => (b"user-agent", Self::UserAgent),
            (Some(b'x'), 15) => (b"x-forwarded-for", Self::ForwardedFor),
            (Some(b't'), _) if name.starts_with(b"tri-") => return Self::Triple(triple::Header::named(name)),
            (Some(b'b' | b's' | b't' | b'u' | b'x'), _) => {
                return trace_context::Header::named(name).map_or(Self::Other, Self::Trace);
            }
            _ => return Self::Other,
        };
        if name == known.0 { known.1 } else { Self::Other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, known) in [
            (&b":method"[..], Name::Method),
            (b":scheme", Name::Scheme),
            (b":status", Name::Status),
            (b":authority", Name::Authority),
            (b":path", Name::Path),
            (b":protocol", Name::Other),
            (b"grpc-timeout", Name::GrpcTimeout),
            (b"grpc-message", Name::GrpcMessage),
            (b"grpc-encoding", Name::Other),
            (b"uber-trace-id", Name::Trace(trace_context::Header::UberTraceId)),
            (b"traceparent", Name::Trace(trace_context::Header::TraceParent)),
            (b"tri-service-version", Name::Triple(triple::Header::Version)),
            (b"cookie", Name::Other),
            (b"", Name::Other),
        ] {
            assert_eq!(Name::of(name), known, "{}", name.escape_ascii());
        }
    }
}
