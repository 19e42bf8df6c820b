use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ebpf_tracer::Hooks;
use protocol_parsers::Protocol;
use tracing_subscriber::EnvFilter;

/// Longer messages are not captured whole.
const MOST_PAYLOAD: u32 = 16 << 20;

/// Sees every request of every process from the outside: no instrumentation, no proxy, no restart.
///
/// Examples:
///   metaflow-agent watch -i lo                     requests on loopback
///   metaflow-agent watch --kind calls -o jsonl     all interfaces, as JSON
///   metaflow-agent watch --ebpf -- curl https://x  what curl asks, within TLS
///   metaflow-agent replay capture.pcapng           what is in a file
///   tcpdump -w - | metaflow-agent replay -         what others capture
///   metaflow-agent run --server 127.0.0.1:7700     the daemon
///   metaflow-agent doctor                          what works here
///
/// Exit codes: 0 ok, 1 nothing found or refused by the server, 2 usage,
/// 65 damaged input, 69 server or interface not to be had, 77 no
/// permission, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "metaflow-agent", version, verbatim_doc_comment)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What to log on stderr: error, warn, info, debug, or a filter such as metaflow_agent=debug [env: METAFLOW_LOG, RUST_LOG].
    #[arg(long, global = true, value_name = "FILTER", env = "METAFLOW_LOG", hide_env = true)]
    pub log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what is in capture files, or send it to a server
    Replay(ReplayOptions),
    /// Print what happens on network interfaces
    Watch(WatchOptions),
    /// Observe for good and send everything to a server
    Run(RunOptions),
    /// Try what works on this machine, and say how to mend what does not
    Doctor(DoctorOptions),
}

/// What to read, and where to.
#[derive(Debug, Clone, Args)]
pub struct ReplayOptions {
    /// Capture files: pcap or pcapng, plain or compressed with gzip or zstd; - is standard input. Or recordings of watch --ebpf.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How to print: table on a terminal, else jsonl.
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "server")]
    pub output: Option<OutputFormat>,
    /// What to print.
    #[arg(long, value_name = "KIND", default_value = "all", conflicts_with = "server")]
    pub kind: Kinds,
    /// Leave literals and secrets in: SQL values, Redis arguments, credentials.
    #[arg(long)]
    pub no_redact: bool,
    /// Send everything to this server instead of printing; ends with 0 only when the server has stored every record.
    #[arg(long, value_name = "HOST:PORT", value_parser = server)]
    pub server: Option<String>,
    /// How long the server may be away before it is given up.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    pub patience: Duration,
}

/// What to watch, and how to print it.
#[derive(Debug, Clone, Args)]
pub struct WatchOptions {
    /// Interface to watch; may be given several times. All that are up, if none is given, unless --ebpf is.
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Vec<String>,
    /// Processes.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// Write what the kernel tells into this file too, with the payload as it is: replay reads it, without any rights.
    #[arg(long, value_name = "FILE", requires = "ebpf")]
    pub record: Option<PathBuf>,
    /// How to print: table on a terminal, else jsonl.
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<OutputFormat>,
    /// What to print.
    #[arg(long, value_name = "KIND", default_value = "all")]
    pub kind: Kinds,
    /// Leave literals and secrets in: SQL values, Redis arguments, credentials.
    #[arg(long)]
    pub no_redact: bool,
    /// Threads that read what is spoken, each its share of the conversations; 1 does all the work on one thread.
    #[arg(long, value_name = "N", default_value_t = cores(), value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// End after this time, such as 10s or 5m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// End after this many records.
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Run this command, and watch only what it does, and those it starts; ends with it.
    #[arg(last = true, value_name = "COMMAND", requires = "ebpf", conflicts_with = "pid")]
    pub command: Vec<OsString>,
}

/// Whether processes are observed, which, and how much of what they say.
#[derive(Debug, Clone, Args)]
pub struct TraceArgs {
    /// See what processes send and receive, also within TLS, by eBPF in the kernel: with process and thread. watch then needs no packets, unless -i is given too.
    #[arg(long)]
    pub ebpf: bool,
    /// Only what this process does, and those it started or starts; may be given several times.
    #[arg(short, long, value_name = "PID", requires = "ebpf")]
    pub pid: Vec<u32>,
    /// Only what processes of this control group (version 2) do, and of those below it: a path, or the number of a container; may be given several times.
    #[arg(long, value_name = "PATH|CONTAINER", requires = "ebpf")]
    pub cgroup: Vec<String>,
    /// Only connections of which either end has this port; may be given several times. Unix sockets have port 0.
    #[arg(long, value_name = "PORT", requires = "ebpf")]
    pub port: Vec<u16>,
    /// Bytes of each message that are captured of what processes send and receive, or of a protocol, as redis=65536; may be given several times. How long a message is is always known. [default: 4096]
    #[arg(long, value_name = "[PROTOCOL=]BYTES", requires = "ebpf", value_parser = Head::parse)]
    pub payload: Vec<Head>,
    /// Memory of the kernel in which what happens waits to be read: a power of two. What finds no room there is counted.
    #[arg(long, value_name = "BYTES", requires = "ebpf", default_value_t = 16 << 20, value_parser = ring)]
    pub ring: u32,
    /// Where to look: at sockets (Linux 6.5), which costs other system calls nothing, or where system calls begin and return; auto is at
    /// sockets if the kernel can.
    #[arg(long, value_name = "auto|sockets|syscalls", requires = "ebpf", default_value = "auto", value_parser = hooks, hide_default_value = true)]
    pub hooks: Hooks,
}

impl TraceArgs {
    /// Which processes, for people.
    pub(crate) fn in_words(&self, command: Option<&OsString>) -> String {
        let mut words = match (command, self.pid.as_slice()) {
            (Some(command), _) => command.display().to_string(),
            (None, []) => "all processes".to_owned(),
            (None, pids) => format!("processes {pids:?}"),
        };
        if !self.cgroup.is_empty() {
            words += &format!(" of {}", self.cgroup.join(", "));
        }
        if !self.port.is_empty() {
            words += &format!(" on ports {:?}", self.port);
        }
        words
    }
}

/// How many bytes of each message are wanted: of all protocols, or of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// `None`: of those that are not named.
    pub protocol: Option<Protocol>,
    /// So many at most.
    pub bytes: u32,
}

impl Head {
    fn parse(text: &str) -> Result<Self, String> {
        let (protocol, bytes) = match text.split_once('=') {
            Some((name, bytes)) => {
                let unknown = |_| {
                    let names: Vec<_> = Protocol::ALL.iter().map(|protocol| protocol.name()).collect();
                    format!("no protocol has this name; there are {}", names.join(", "))
                };
                (Some(name.parse().map_err(unknown)?), bytes)
            }
            None => (None, text),
        };
        let bytes = bytes.parse().ok().filter(|bytes| *bytes <= MOST_PAYLOAD);
        let bytes = bytes.ok_or_else(|| format!("not a number of bytes up to {MOST_PAYLOAD}"))?;
        Ok(Self { protocol, bytes })
    }
}

/// How to tell what works.
#[derive(Debug, Clone, Args)]
pub struct DoctorOptions {
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// What to observe, and where to.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Interface to observe; may be given several times. All that are up, also those that come later, if none is given.
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Vec<String>,
    /// Processes.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// Leave literals and secrets in: SQL values, Redis arguments, credentials.
    #[arg(long)]
    pub no_redact: bool,
    /// Threads that read what is spoken, each its share of the conversations; 1 does all the work on one thread.
    #[arg(long, value_name = "N", default_value_t = cores(), value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// Where everything goes.
    #[arg(long, value_name = "HOST:PORT", value_parser = server)]
    pub server: String,
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for the eye.
    Table,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
}

impl OutputFormat {
    /// What suits the reader of standard output.
    pub(crate) fn for_stdout() -> Self {
        if std::io::stdout().is_terminal() { Self::Table } else { Self::Jsonl }
    }
}

/// Which records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kinds {
    /// One record per request with its answer.
    Calls,
    /// One record per conversation, when it ends.
    Flows,
    /// One record per thing that happened to a process or to the observation.
    Events,
    /// All of them.
    All,
}

impl Kinds {
    pub(crate) fn calls(self) -> bool {
        matches!(self, Self::Calls | Self::All)
    }

    pub(crate) fn flows(self) -> bool {
        matches!(self, Self::Flows | Self::All)
    }

    pub(crate) fn events(self) -> bool {
        matches!(self, Self::Events | Self::All)
    }
}

/// As many threads as there are cores. More than eight would wait for the one that reads the rings.
fn cores() -> u8 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8) as u8)
}

fn hooks(text: &str) -> Result<Hooks, String> {
    match text {
        "auto" => Ok(Hooks::Auto),
        "sockets" => Ok(Hooks::Sockets),
        "syscalls" => Ok(Hooks::SystemCalls),
        _ => Err("it is auto, sockets, or syscalls".to_owned()),
    }
}

/// Bytes of a ring: whole pages, a power of two of them.
fn ring(text: &str) -> Result<u32, String> {
    let fits = |bytes: &u32| bytes.is_power_of_two() && (64 << 10..=1 << 30).contains(bytes);
    text.parse().ok().filter(fits).ok_or_else(|| "not a power of two from 65536 to 1073741824".to_owned())
}

/// A host or address with a port.
fn server(text: &str) -> Result<String, String> {
    let well_formed = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        !host.is_empty() && (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err("not HOST:PORT, such as 127.0.0.1:7700 or [::1]:7700".to_owned())
    }
}

/// Logs go to stderr, so that stdout is for records alone.
pub(crate) fn log_to_stderr(cli: &Cli) {
    let default = match cli.command {
        Command::Run(_) => "info",
        Command::Replay(_) | Command::Watch(_) | Command::Doctor(_) => "warn",
    };
    let filter = cli.log.clone().or_else(|| std::env::var("RUST_LOG").ok());
    let filter = filter.and_then(|filter| EnvFilter::try_new(filter).ok()).unwrap_or_else(|| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Already set when a test runs several in one process.
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).try_init();
}
