//! All tests of the server, in one binary: linking the engine is what costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests end by it")]
#![allow(clippy::print_stderr, reason = "a skip says why")]

mod command_line;
mod crash;
mod hostile;
mod http;
mod ingest;
mod keeping;
mod lab;
mod postgres;
