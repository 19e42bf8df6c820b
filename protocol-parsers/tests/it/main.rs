//! The parsers as their users see them.

mod dns;
mod dubbo;
mod frames;
mod grpc;
mod http1;
mod http2;
mod kafka;
mod mysql;
mod postgresql;
mod redis;
mod talk;
mod unanswered;
