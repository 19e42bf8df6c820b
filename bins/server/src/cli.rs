use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::store::StoreAt;

/// Takes in what agents observe, keeps it, and answers SQL about it.
///
/// Examples:
///   metaflow-server run --data /var/lib/metaflow --listen-postgres 127.0.0.1:5433
///   metaflow-server sql "SELECT endpoint, count(*) FROM calls GROUP BY 1" --server 127.0.0.1:7700
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
}

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Directory in which everything is kept; made if it is not there.
    #[arg(long, value_name = "DIR", required_unless_present = "storage")]
    pub data: Option<PathBuf>,
    /// Where rows are kept, instead of in --data: memory: (gone at the end), file:///DIR, or
    /// clickhouse://[USER[:PASSWORD]@]HOST[:8123]/DATABASE[?cluster=NAME].
    #[arg(long, value_name = "URL")]
    pub storage: Option<StoreAt>,
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
        Command::Sql(_) => "warn",
    };
    let filter = cli.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(default));
    // Already set when several servers run in one test process.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).try_init();
}
