//! gRPC ([over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)).
//!
//! Read by [`http2`](crate::http2); a call is gRPC when its content type begins with `application/grpc`.
//!
//! | field | value |
//! |---|---|
//! | `request_type` | method: the last segment of the path |
//! | `domain` | `:authority` |
//! | `resource` | path: service and method |
//! | `request_id` | stream id |
//! | `status_code` | `grpc-status`, from trailers or from an answer that is nothing but trailers; of a reset, what clients make of it |
//! | `exception` | `grpc-message`, decoded; or how the stream was reset |
//! | matched by | stream id |
//!
//! The duration ends with the response's head; `duration_total_ns` with the trailers. A call is reported when the trailers come or the
//! stream is reset. Attributes beside those of HTTP/2: `deadline_ns` (`grpc-timeout`: from the request on), `message_count_request` and
//! `message_count_response` (absent when not all bytes were seen), `http.response.status_code` when it is not 200.
//!
//! A stream that is reset has the status that a client makes of it: 1 (CANCELLED) for CANCEL, by whichever side. Clients also send that
//! when their deadline has passed and tell their callers 4 (DEADLINE_EXCEEDED); nothing on the wire does, but `deadline_ns` beside the
//! duration shows it.
//!
//! An answer without `grpc-status` has the status of its HTTP status unless that is 200. Not read: the messages themselves.

pub mod wire;

use crate::Status;

/// The status that a client makes of a stream that was reset with this error of HTTP/2, as the table of the protocol's section "Errors"
/// says; `None` where that says nothing.
#[must_use]
pub fn status_of_reset(error: u32) -> Option<u32> {
    Some(match error {
        // PROTOCOL_ERROR to SETTINGS_TIMEOUT, FRAME_SIZE_ERROR, COMPRESSION_ERROR, CONNECT_ERROR: INTERNAL.
        1..=4 | 6 | 9 | 10 => 13,
        // REFUSED_STREAM: UNAVAILABLE.
        7 => 14,
        // CANCEL: CANCELLED.
        8 => 1,
        // ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED.
        11 => 8,
        // INADEQUATE_SECURITY: PERMISSION_DENIED.
        12 => 7,
        _ => return None,
    })
}

/// The class of a status code: as in the table of canonical codes, those that the caller causes and those that it does not.
#[must_use]
pub fn class_of(code: u32) -> Status {
    match code {
        0 => Status::Ok,
        1 | 3 | 5 | 6 | 7 | 9 | 11 | 16 => Status::ClientError,
        _ => Status::ServerError,
    }
}
