//! The programs in the real kernel, at its sockets, with real processes. It takes root (or `CAP_BPF` and `CAP_PERFMON`) and python3; where the kernel
//! does not permit it, each test prints why and is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use ebpf_tracer::Hooks;

mod connections;
mod lab;
mod lifetime;
mod loss;
mod processes;
mod sockets;
mod tls;

/// What is hooked into.
const HOOKS: Hooks = Hooks::Sockets;
