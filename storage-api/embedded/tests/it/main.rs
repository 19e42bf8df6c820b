//! The tests of this crate: one binary, since each that links DataFusion is large.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod conformance;
mod crash;
mod sim_disk;
mod support;
