//! The program from the outside, in one binary: linking is what takes long.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests end by them and say why they skip"
)]

mod carried;
mod command_line;
mod conversations;
mod damage;
mod doctor;
mod encrypted;
mod frames;
mod live;
mod printed;
mod program;
mod recordings;
mod refused;
mod rights;
mod server;
mod shop;
mod threads;
mod traced;
mod untraced;
mod uplink;
mod whom;
