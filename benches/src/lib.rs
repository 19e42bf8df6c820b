#![doc = include_str!("../README.md")]
#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used, reason = "a bench ends with its first error")]

pub mod child;
#[allow(clippy::panic, dead_code, reason = "tests' files, read by their code")]
#[path = "../../protocol-parsers/tests/it/conversation.rs"]
mod conversation;
pub mod detection;
pub mod flow;
pub mod messages;
pub mod parsers;
mod plot;
pub mod readers;
mod report;
#[cfg(feature = "store")]
pub mod store;
mod timing;
pub mod tracer;
pub mod traffic;

pub use report::Report;
pub use timing::{cpu_time, fastest};

/// A suite: its name, and the function that runs it; `true` asks for a quick run.
pub type Suite = (&'static str, fn(bool) -> anyhow::Result<Report>);

/// Every suite.
pub const SUITES: &[Suite] = &[
    ("flow", flow::run),
    ("scaling", flow::scaling::run),
    ("parsers", parsers::run),
    ("tracer", tracer::run),
    #[cfg(feature = "store")]
    ("storage", store::run),
];
