#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ascii;
mod buffer;
mod call;
mod connection;
mod cursor;
mod decimal;
mod detection;
mod dissector;
mod endpoint;
mod fields;
mod limits;
mod loss;
mod message;
mod open;
mod options;
mod pairing;
mod protocol;
mod reading;
mod spec;
mod stream;
mod tap;
mod time;
mod trace_context;
mod url;

pub mod dns;
pub mod dubbo;
pub mod grpc;
pub mod http1;
pub mod http2;
pub mod kafka;
pub mod mysql;
pub mod postgresql;
pub mod redis;
pub mod sql;
pub mod triple;

pub use call::{Call, CallKind, Status};
pub use connection::Connection;
pub use dissector::Dissector;
pub use fields::{Field, Value};
pub use limits::{Limits, Stats};
pub use message::MessageWriter;
pub use options::{EndpointPrefix, EndpointRest, Options, TraceFormat, TraceHeader};
pub use protocol::{Protocol, UnknownProtocol};
pub use spec::{
    Body, DurationEnd, Input, Key, Next, ParseError, ParseErrorKind, Parser, Part, Probe, ProtocolSpec, Resync, Step,
    Then, Verdict,
};
pub use stream::{Opening, Side, StreamChunk, Transport};
pub use tap::Tap;
pub use time::Timestamp;
