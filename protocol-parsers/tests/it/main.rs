//! The parsers as their users see them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod conversation;
mod deadlines;
mod dns;
mod dubbo;
mod frames;
mod grpc;
mod http1;
mod http1_oracle;
mod http2;
mod joins;
mod kafka;
mod limits;
mod matrix;
mod mysql;
mod options;
mod postgresql;
mod properties;
mod redis;
mod secrets;
mod talk;
mod tap;
mod unanswered;
