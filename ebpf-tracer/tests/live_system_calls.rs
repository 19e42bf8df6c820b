//! The same as `live`, at the system calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use ebpf_tracer::Hooks;

#[path = "live/connections.rs"]
mod connections;
#[path = "live/lab.rs"]
mod lab;
#[path = "live/lifetime.rs"]
mod lifetime;
#[path = "live/loss.rs"]
mod loss;
#[path = "live/processes.rs"]
mod processes;
#[path = "live/sockets.rs"]
mod sockets;
#[path = "live/tls.rs"]
mod tls;

/// What is hooked into.
const HOOKS: Hooks = Hooks::SystemCalls;
