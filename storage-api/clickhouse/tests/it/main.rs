//! The tests of this crate: one binary, so that one server serves them all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it skips"
)]

mod cluster;
mod conformance;
mod fake;
mod kill;
mod old;
mod random;
mod sql;
mod store;
mod support;
mod users;
