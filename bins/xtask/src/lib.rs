//! What the project's commands and the tests of its programs share: Debian's packages, real servers, child processes.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "these are commands for people")]

pub mod build;
pub mod capture;
pub mod child;
pub mod ebpf;
pub mod packages;
pub mod servers;
pub mod workload;
