#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod accept;
mod cli;
mod failure;
mod http;
mod ingest;
mod names;
mod postgres;
mod run;
mod server;
mod sql;
mod store;
mod table;

pub use cli::{Cli, Command, OutputFormat, RunOptions, SqlOptions, log_to_stderr};
pub use failure::{Failure, complain};
pub use run::run;
pub use server::{Config, Limits, Server};
pub use sql::sql;
pub use store::StoreAt;
