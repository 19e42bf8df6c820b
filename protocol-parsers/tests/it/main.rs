//! The parsers as their users see them.

mod dns;
mod frames;
mod grpc;
mod http1;
mod http2;
mod mysql;
mod redis;
mod talk;
