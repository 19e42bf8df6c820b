//! The tests of this crate: one binary, since each that links DataFusion is large.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it skips"
)]

#[cfg(feature = "object-store")]
mod bucket;
mod check;
mod conformance;
mod crash;
mod golden;
mod kill;
mod peers;
mod python;
mod sim_disk;
mod store;
mod support;
