//! `cargo xtask bench`: one suite of measurements, beside its peers.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use xtask::packages;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The suite; none lists them
    name: Option<String>,
    /// Less traffic and fewer rounds
    #[arg(long)]
    quick: bool,
}

/// Suites that link the query engine, which takes a quarter of an hour to build.
const OF_STORES: [&str; 1] = ["storage"];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.name.is_some() {
        packages::install(packages::PEERS)?;
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--release", "--locked", "--package", "benches", "--bin", "bench"]);
    if options.name.as_deref().is_some_and(|name| OF_STORES.contains(&name)) {
        command.args(["--features", "store"]);
    }
    command.arg("--");
    command.args(&options.name).args(options.quick.then_some("--quick")).stdin(Stdio::null());
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
