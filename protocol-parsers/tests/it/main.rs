//! The parsers as their users see them.

mod http1;
mod talk;
