//! `metaflow-server`: wiring only.
#![forbid(unsafe_code)]

use clap::Parser;
use metaflow_server::{Cli, Command, Failure};
use tokio::runtime::{Builder, Runtime};

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    metaflow_server::log_to_stderr(&cli);
    match runtime().and_then(|runtime| {
        let result = runtime.block_on(dispatch(cli.command));
        // What still runs is not waited for: every answer worth having has been given.
        runtime.shutdown_background();
        result
    }) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            metaflow_server::complain(&failure);
            failure.exit_code().into()
        }
    }
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(options) => metaflow_server::run(options).await,
        Command::Sql(options) => metaflow_server::sql(options).await,
        Command::Check(options) => metaflow_server::check(options).await,
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().enable_all().thread_name("metaflow-io").build().map_err(Failure::from_io)
}
