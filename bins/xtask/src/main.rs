//! Commands of the project: `cargo xtask help`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "these are commands for people")]

mod bench;
mod demo;
mod record;
mod test;

use std::process::ExitCode;

use clap::Parser;
use xtask::ebpf;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Commands of the project")]
enum Command {
    /// Formats, lints and tests everything
    Test(test::Options),
    /// Measures one suite, beside other programs where they are installed
    Bench(bench::Options),
    /// Shows live traffic as calls, metrics and SQL answers
    Demo(demo::Options),
    /// Builds the programs for the kernel anew, after an edit of their sources
    Ebpf(ebpf::Options),
    /// Records the test captures anew, from real servers and clients
    Record(record::Options),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Demo(options) => demo::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Ebpf(options) => ebpf::run(&options),
        Command::Record(options) => record::run(&options).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
