//! HTTP/1.0 and HTTP/1.1 ([RFC 9112](https://www.rfc-editor.org/rfc/rfc9112), methods and status codes of
//! [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110)).
//!
//! | field | value |
//! |---|---|
//! | `request_type` | method |
//! | `domain` | `Host`, or the authority of an absolute target |
//! | `resource` | path with query; authority for CONNECT |
//! | `endpoint` | method-independent path with ids as `{}` |
//! | `status_code` | status |
//! | matched by | order in the connection; interim answers (1xx) are no answers |
//!
//! The duration ends with the response's head. A 101 answers its request; what follows is another protocol. Attributes:
//! `user_agent.original`, `client.address` (the first of `X-Forwarded-For`). Trace ids may also stand in a trailer section.
//!
//! Where a message ends is read as RFC 9112, 6.3 says: a transfer coding goes before a length, of several lengths the first counts, an
//! answer to HEAD and those with 204 and 304 have no body. Where receivers may disagree (a length beside a transfer coding, lengths that
//! differ or are none, a last coding other than `chunked`) the call has `http.framing_conflict`.
//!
//! Recognised by a request line with a version or a status line, at the start of a stream or of any segment. A request line without a
//! version, or without a target, counts when a `Host` line follows it. Not read: message bodies, and what follows CONNECT or an upgrade.

mod framing;
mod headers;
mod names;
mod parser;
pub mod wire;

use alloc::boxed::Box;

use crate::{DurationEnd, Options, Parser, Probe, Protocol, ProtocolSpec, Verdict};
use wire::Start;

/// Recognises and reads HTTP/1.
#[derive(Clone, Copy, Debug)]
pub struct Http1;

impl ProtocolSpec for Http1 {
    fn protocol(&self) -> Protocol {
        Protocol::HTTP1
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        if probe.transport.is_datagram() {
            return Verdict::No;
        }
        let mut answer = Verdict::No;
        for side in [probe.first, probe.first.other()] {
            let bytes = probe.of(side);
            if bytes.is_empty() {
                continue;
            }
            match wire::recognise(bytes) {
                Start::Request => return probe.yes(side),
                Start::Response => return probe.yes(side.other()),
                Start::Perhaps => answer = Verdict::Unsure,
                Start::Neither => {}
            }
        }
        answer
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::Http1Parser::default())
    }

    fn duration_ends(&self) -> DurationEnd {
        DurationEnd::Head
    }
}
