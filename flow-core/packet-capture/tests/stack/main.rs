//! Packets that lie, given to this kernel and to the engine: what an application reads is what the engine hands to its parsers.
//!
//! Frames go in by a TAP device in a network namespace of the test's own. Every case is drawn from its number, so a TCP conversation that
//! differs can be looked at alone: `METAFLOW_CASE=939 cargo test -p metaflow-packet-capture --test stack overlap -- --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail them and print figures"
)]

mod conversation;
mod fragments;
#[path = "../support/namespace.rs"]
mod namespace;
mod observer;
mod overlap;
mod wire;
