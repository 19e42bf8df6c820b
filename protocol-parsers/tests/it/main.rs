//! The parsers as their users see them.

mod dns;
mod dubbo;
mod http1;
mod mysql;
mod postgresql;
mod redis;
mod talk;
mod unanswered;
