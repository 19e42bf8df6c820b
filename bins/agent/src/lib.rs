#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod command;
mod doctor;
mod engines;
mod failure;
mod lane;
mod live;
mod output;
mod packets;
mod pipeline;
mod place;
mod replay;
mod rights;
mod rings;
mod run;
mod signals;
mod sink;
mod traced;
mod uplink;
mod watch;
mod workers;

pub use args::{
    Cli, Command, DoctorOptions, Head, Kinds, OutputFormat, ReplayOptions, RunOptions, TraceArgs, WatchOptions,
};
pub use failure::{Failure, complain};

/// Does what the command line says.
///
/// # Errors
/// [`Failure`] says why it ended and with which exit code.
pub fn execute(cli: Cli) -> Result<(), Failure> {
    args::log_to_stderr(&cli);
    match cli.command {
        Command::Replay(options) => replay::replay(&options),
        Command::Watch(options) => watch::watch(&options),
        Command::Run(options) => run::run(&options),
        Command::Doctor(options) => doctor::doctor(&options),
    }
}
