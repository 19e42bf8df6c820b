//! Commands of the project: `cargo xtask help`.
#![forbid(unsafe_code)]

fn main() {}
