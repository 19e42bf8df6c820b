//! Debian's servers and clients as the kernel sees them by eBPF: what their clients log is what the agent prints, once for each side.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod agent;
mod languages;
mod shop;
mod talk;
mod tls;
mod whom;
