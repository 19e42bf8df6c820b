//! The parsers as their users see them.

mod dns;
mod http1;
mod redis;
mod talk;
