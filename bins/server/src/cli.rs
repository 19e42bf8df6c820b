use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::retention::{Retention, parse_bytes};
use crate::store::StoreAt;

/// Takes in what agents observe, keeps it, and answers SQL about it.
///
/// Examples:
///   metaflow-server run --data /var/lib/metaflow --listen-postgres 127.0.0.1:5433
///   metaflow-server sql "SELECT endpoint, count(*) FROM calls GROUP BY 1" --server 127.0.0.1:7700
///   metaflow-server check --data /var/lib/metaflow
///   psql -h 127.0.0.1 -p 5433 -U metaflow metaflow
#[derive(Debug, Parser)]
#[command(name = "metaflow-server", version, verbatim_doc_comment)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What to log on stderr: error, warn, info, debug, or a filter such as metaflow_server=debug.
    #[arg(long, global = true, value_name = "FILTER", env = "METAFLOW_LOG")]
    pub log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve agents and questions until told to end.
    Run(RunOptions),
    /// Ask one question.
    Sql(SqlOptions),
    /// Read everything that a stopped server keeps, and say whether it is whole.
    Check(CheckOptions),
}

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Directory in which everything is kept; made if it is not there.
    #[arg(long, value_name = "DIR", required_unless_present = "storage")]
    pub data: Option<PathBuf>,
    /// Where rows are kept: embedded:///DIR (which --data DIR is short for), clickhouse://USER:PASSWORD@HOST:8123/DATABASE?cluster=NAME
    /// or memory:// (gone at the end). Settings of the first follow a question mark: durability=memory|os|disk, memory=256MiB,
    /// flush_after=60s, sealed=s3://BUCKET/PREFIX.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub storage: Option<StoreAt>,
    /// How long rows are kept: 72h for all tables, calls=72h,metrics_1m=30d for some, 7d,metrics_1m=forever for both.
    #[arg(long, value_name = "TIMES", default_value = "forever")]
    pub retention: Retention,
    /// Most bytes of sealed files, as in 50GiB; beyond them the oldest files of all tables go first.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub retention_bytes: Option<u64>,
    /// Where agents (gRPC) and questions (HTTP) come in.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7700")]
    pub listen: SocketAddr,
    /// Where PostgreSQL clients come in; user and database are both metaflow.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen_postgres: Option<SocketAddr>,
    /// Listen beyond this machine although nobody is asked for a password yet.
    #[arg(long)]
    pub insecure: bool,
}

/// What to ask, and whom.
#[derive(Debug, Clone, Args)]
pub struct SqlOptions {
    /// One SQL statement.
    pub statement: String,
    /// Ask the files in this directory; no server may be running on it.
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub data: Option<PathBuf>,
    /// Ask this running server.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7700")]
    pub server: String,
    /// How to write the answer: table on a terminal, else csv.
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
}

/// What to check, and whether to mend it.
#[derive(Debug, Clone, Args)]
pub struct CheckOptions {
    /// The directory of the store; no server may be running on it.
    #[arg(long, value_name = "DIR", required_unless_present = "storage")]
    pub data: Option<PathBuf>,
    /// The store as a URL, embedded:///DIR?sealed=s3://BUCKET/PREFIX.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub storage: Option<StoreAt>,
    /// Save what is readable of damaged files, keep those in quarantine/, and take out of the store what is lost.
    #[arg(long)]
    pub repair: bool,
    /// How to write what was found.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: CheckFormat,
}

/// How the result of a check is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Lines for the eye.
    Text,
    /// One object.
    Json,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for the eye.
    Table,
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    Jsonl,
}

/// Logs go to stderr, so that stdout is the answer alone.
pub fn log_to_stderr(cli: &Cli) {
    let default = match cli.command {
        Command::Run(_) => "info",
        Command::Sql(_) | Command::Check(_) => "warn",
    };
    let filter = cli.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(default));
    // Already set when several servers run in one test process.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).try_init();
}
