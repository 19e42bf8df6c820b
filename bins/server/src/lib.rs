#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod accept;
mod check;
mod cli;
mod failure;
mod http;
mod ingest;
mod names;
mod postgres;
mod retention;
mod run;
mod server;
mod sql;
mod store;
mod table;

pub use check::check;
pub use cli::{CheckFormat, CheckOptions, Cli, Command, OutputFormat, RunOptions, SqlOptions, log_to_stderr};
pub use failure::{Failure, complain};
pub use retention::{Retention, Sweeper};
pub use run::run;
pub use server::{Config, Limits, Server};
pub use sql::sql;
pub use store::{EmbeddedAt, StoreAt};
