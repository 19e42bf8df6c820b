//! The engine as its users see it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod calls;
mod decode;
mod determinism;
mod fragments;
mod frames;
mod health;
mod lab;
mod lies;
mod limits;
mod metrics;
mod overtaken;
mod script;
mod sockets;
mod states;
mod streams;
mod time;
mod tshark;
mod tunnels;
