//! The parsers as their users see them.

mod dns;
mod http1;
mod kafka;
mod mysql;
mod redis;
mod talk;
