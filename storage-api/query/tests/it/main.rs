//! All tests of this crate that link the engine, in one binary: linking it is what costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests end by it")]

mod answers;
mod bounds;
mod errors;
mod fixture;
mod histograms;
mod unix;
