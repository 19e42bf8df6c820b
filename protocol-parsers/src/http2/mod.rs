//! HTTP/2 ([RFC 9113](https://www.rfc-editor.org/rfc/rfc9113), headers by [RFC 7541](https://www.rfc-editor.org/rfc/rfc7541)), and within
//! it [gRPC](crate::grpc) and [Triple](crate::triple).
//!
//! | field | value |
//! |---|---|
//! | `request_type` | method |
//! | `domain` | `:authority`, or else `host` |
//! | `resource` | path with query; authority for CONNECT |
//! | `endpoint` | path with ids as `{}` |
//! | `request_id` | stream id |
//! | `status_code` | status |
//! | `exception` | how the stream was reset, such as `RST_STREAM CANCEL` or `GOAWAY NO_ERROR` |
//! | matched by | stream id; interim answers (1xx) are no answers |
//!
//! The duration ends with the response's head, continuation frames included. Bytes are those of the HEADERS, CONTINUATION, PUSH_PROMISE
//! and DATA frames of the stream, with their frame headers and padding; those of RST_STREAM count for the message it cuts off.
//! Attributes: `user_agent.original`, `client.address` (the first of `X-Forwarded-For`), `initiator` = `server` for a push,
//! `upgraded_from` = `http1` for the answer to a request that upgraded its connection (its fields are those of that request).
//!
//! A stream reset by the client is a `client_error`, by the server a `server_error`, unless the code says that the client caused it; with
//! NO_ERROR it is neither. GOAWAY ends the calls that it says were not looked at.
//!
//! A request that its client takes back before any answer is reported [a little later](crate::Limits::crossing_time): an answer may be on
//! its way. An answer whose end may be among lost bytes is reported, incomplete, when its stream is reset, or when nothing was seen of it
//! for as long as a request may wait for its answer; else with the end of the connection.
//!
//! Recognised by the client's preface, the server's settings, or header blocks and rows of frames at the start of any segment. Joined late
//! or after a loss, headers that refer to a table nobody saw are left out and the call says so
//! ([`Call::captured_complete`](crate::Call::captured_complete)); what enters the table from then on is known. A call whose content type
//! is among what was not seen is `http2`, but has the outcome that its trailers tell. Not read: bodies.

mod head;
pub mod hpack;
pub(crate) mod name;
mod parser;
mod recognise;
mod streams;
pub mod wire;

use alloc::boxed::Box;

use crate::{DurationEnd, Options, Parser, Probe, Protocol, ProtocolSpec, Side, Verdict};
use recognise::Start;

/// Recognises and reads HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Http2;

impl ProtocolSpec for Http2 {
    fn protocol(&self) -> Protocol {
        Protocol::HTTP2
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        probe.each_side(|side, bytes| match recognise::recognise(bytes) {
            Start::Client => probe.yes(side),
            Start::Server => probe.yes(side.other()),
            Start::Frames if probe.sides_known && !probe.from_start => probe.yes(Side::Client),
            Start::Frames | Start::Perhaps => Verdict::Unsure,
            Start::Neither => Verdict::No,
        })
    }

    fn parser(&self, options: &Options) -> Box<dyn Parser> {
        Box::new(parser::Http2Parser::new(&options.limits))
    }

    fn duration_ends(&self) -> DurationEnd {
        DurationEnd::Head
    }
}
