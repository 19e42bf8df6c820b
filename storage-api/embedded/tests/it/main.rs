//! The tests of this crate: one binary, since each that links DataFusion is large.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it skips"
)]

mod conformance;
mod crash;
mod golden;
mod kill;
mod sim_disk;
mod store;
mod support;
