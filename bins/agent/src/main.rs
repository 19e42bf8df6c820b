//! `metaflow-agent`: wiring only.
#![forbid(unsafe_code)]

use clap::Parser;
use metaflow_agent::{Cli, complain, execute};

fn main() -> std::process::ExitCode {
    match execute(Cli::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            failure.exit_code().into()
        }
    }
}
