//! `cargo xtask demo`: from live traffic to SQL answers in one command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempDir;
use xtask::build::{self, Building};
use xtask::child::{self, Running};
use xtask::packages::{self, WORKLOAD};
use xtask::workload::Workload;

/// How the demo ends.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Leave when the answers are printed; otherwise it goes on until Ctrl-C
    #[arg(long)]
    once: bool,
}

/// What is asked when there is something to ask about.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "Rate, errors, duration of every service and endpoint (one observation point per call)",
        "SELECT coalesce(process_name, server_address) || ':' || server_port AS service, protocol, request_type AS type, endpoint,
       sum(requests) AS requests, sum(client_errors + server_errors + timeouts) AS errors,
       round(sum(duration_sum_ns) / nullif(sum(duration_count), 0) / 1e6, 2) AS mean_ms,
       round(histogram_quantile(0.99, latency_bucket, latency_count) * 1e3, 2) AS p99_ms,
       round(nullif(max(duration_max_ns), 0) / 1e6, 2) AS max_ms
FROM metrics_1s
WHERE requests > 0 AND observation_point IN ('server_nic', 'unknown') AND capture NOT IN ('syscall', 'tls')
GROUP BY 1, 2, 3, 4 ORDER BY requests DESC LIMIT 20",
    ),
    (
        "The slowest calls",
        "SELECT round(duration_ns / 1e6, 2) AS ms, coalesce(process_name, server) AS service, protocol, request_type AS type,
       resource, status_code AS code
FROM calls WHERE duration_ns IS NOT NULL AND observation_point IN ('server_nic', 'unknown') ORDER BY duration_ns DESC LIMIT 5",
    ),
    (
        "Errors",
        "SELECT coalesce(process_name, server) AS service, protocol, request_type AS type, endpoint, status, status_code AS code,
       exception, count(*) AS calls
FROM calls WHERE status IN ('client_error', 'server_error', 'timeout') AND observation_point IN ('server_nic', 'unknown')
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY calls DESC LIMIT 10",
    ),
    (
        "TCP health",
        "SELECT coalesce(process_name, server_address) || ':' || server_port AS service, count(*) AS connections,
       sum(bytes_client + bytes_server) AS bytes, round(avg(rtt_ns) / 1e3, 1) AS handshake_us,
       round(sum(srt_sum_ns) / nullif(sum(srt_count), 0) / 1e3, 1) AS kernel_us,
       round(sum(art_sum_ns) / nullif(sum(art_count), 0) / 1e3, 1) AS application_us,
       sum(retransmissions_client + retransmissions_server) AS repeats, sum(rst_client + rst_server) AS resets
FROM flows WHERE transport = 'tcp' AND server_port IN (SELECT server_port FROM metrics_1s WHERE requests > 0)
GROUP BY 1 ORDER BY connections DESC LIMIT 10",
    ),
];

/// The same, where the kernel let itself be observed.
const WITHIN_TLS: (&str, &str) = (
    "What goes through TLS, in the clear, by both processes",
    "SELECT process_name AS process, observation_point, protocol, request_type AS type, resource, status_code AS code,
       round(duration_ns / 1e6, 2) AS ms, server
FROM calls WHERE capture = 'tls' ORDER BY start_ns DESC, observation_point LIMIT 8",
);

/// How long the workload is observed before the questions.
const OBSERVED: Duration = Duration::from_secs(8);
/// Calls shown while the server is built.
const SHOWN: usize = 40;
/// For those who may not watch the network.
const BUNDLED: &str = "bins/agent/testdata/shop.pcap";

pub(crate) fn run(options: &Options) -> Result<()> {
    let live = packages::is_root();
    step("Installing the servers of the workload, if they are missing");
    packages::install(WORKLOAD)?;
    step("Building the agent");
    let agent = build::program("metaflow-agent")?;
    let workload = if live {
        let workload = Workload::start()?;
        println!("workload: {}", workload.describe());
        Some(Clients::start(workload))
    } else {
        println!("not root, so the network cannot be watched: a bundled capture is replayed instead of live traffic");
        None
    };
    let traces = live && traces(&agent)?;
    let server = watch_while_building(&agent, live, traces)?;
    let data = TempDir::new()?;
    let mut server = Server::start(&server, data.path())?;
    observe(&agent, &mut server, live, traces, options)?;
    if let Some(workload) = workload
        && let Some(error) = workload.stop()
    {
        return Err(error.context("the workload failed"));
    }
    Ok(())
}

/// Whether the agent can observe processes by eBPF here; it has said why not.
fn traces(agent: &Path) -> Result<bool> {
    let mut command = Command::new(agent);
    command.args(["watch", "--ebpf", "--duration", "1ms", "-o", "jsonl"]).stdout(Stdio::null());
    let output = command.stderr(Stdio::piped()).output().context("cannot start the agent")?;
    if !output.status.success() {
        print!("processes are not observed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success())
}

/// Shows calls as they happen, and how far the server's build is.
fn watch_while_building(agent: &Path, live: bool, traces: bool) -> Result<PathBuf> {
    let building = Building::start("metaflow-server")?;
    step("Calls, as they happen, while the server is built (a first build takes several minutes)");
    let mut command = Command::new(agent);
    if live {
        let shown = SHOWN.to_string();
        // Packets that come while the programs are loaded would fill the screen.
        let what: &[&str] = if traces { &["--ebpf"] } else { &["-i", "lo"] };
        command.arg("watch").args(what).args(["--kind", "calls", "-o", "table", "-c", &shown, "--duration", "30s"]);
        let status = command.status().context("cannot start the agent")?;
        if !status.success() {
            bail!("the agent failed: {status}");
        }
    } else {
        command.args(["replay", "--kind", "calls", "-o", "table"]).arg(build::root().join(BUNDLED));
        let output = command.stderr(Stdio::inherit()).output().context("cannot start the agent")?;
        if !output.status.success() {
            bail!("the agent failed: {}", output.status);
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        printed.lines().take(SHOWN).for_each(|line| println!("{line}"));
        println!("… {} lines more", printed.lines().count().saturating_sub(SHOWN));
    }
    let begin = Instant::now();
    let mut said = begin;
    building.finish(|crates| {
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            println!("building the server: {crates} crates in {} s", begin.elapsed().as_secs());
        }
    })
}

/// Sends what happens to the server, and asks about it.
fn observe(agent: &Path, server: &mut Server, live: bool, traces: bool, options: &Options) -> Result<()> {
    if live {
        let what = if traces { "the loopback interface and all processes" } else { "the loopback interface" };
        step(&format!("Observing {what}: agent → server → SQL"));
        let mut command = Command::new(agent);
        command.args(["run", "-i", "lo", "--log", "warn", "--server", &server.address()]);
        command.args(traces.then_some("--ebpf"));
        let mut agent = Running::start(&mut command)?;
        let begin = Instant::now();
        while begin.elapsed() < OBSERVED {
            if let Some(status) = agent.ended()? {
                bail!("the agent ended: {status}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        if options.once {
            // It sends what it has before it ends.
            let status = agent.stop()?;
            if !status.success() {
                bail!("the agent failed: {status}");
            }
        }
        server.answer(QUESTIONS)?;
        if traces {
            server.answer(&[WITHIN_TLS])?;
        }
        server.say_how_to_connect();
        if !options.once {
            println!("\nThe workload and the agent go on until Ctrl-C.");
            while agent.ended()?.is_none() && server.process.ended()?.is_none() {
                thread::sleep(Duration::from_millis(200));
            }
        }
    } else {
        step("Sending the bundled capture to the server");
        let mut command = Command::new(agent);
        command.args(["replay", "--server", &server.address()]).arg(build::root().join(BUNDLED));
        let status = command.status()?;
        if !status.success() {
            bail!("the agent failed: {status}");
        }
        server.answer(QUESTIONS)?;
        server.say_how_to_connect();
        if !options.once {
            println!("\nThe server goes on until Ctrl-C.");
            while server.process.ended()?.is_none() {
                thread::sleep(Duration::from_millis(200));
            }
        }
    }
    Ok(())
}

fn step(text: &str) {
    println!("\n=== {text}");
}

/// The clients of the workload, on a thread of their own.
struct Clients {
    stop: Arc<AtomicBool>,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Clients {
    fn start(workload: Workload) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let failure = Arc::new(Mutex::new(None));
        let (stopped, failed) = (Arc::clone(&stop), Arc::clone(&failure));
        let thread = thread::spawn(move || {
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                number += 1;
                if let Err(error) = workload.round(number) {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return;
                }
                thread::sleep(Duration::from_millis(500));
            }
        });
        Self { stop, failure, thread: Some(thread) }
    }

    /// Ends them and their servers; gives what went wrong.
    fn stop(mut self) -> Option<anyhow::Error> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A running server.
struct Server {
    process: Running,
    program: PathBuf,
    port: u16,
    postgres: u16,
}

impl Server {
    fn start(program: &Path, data: &Path) -> Result<Self> {
        let (port, postgres) = (child::free_port()?, child::free_port()?);
        let mut command = Command::new(program);
        command.args(["run", "--listen", &format!("127.0.0.1:{port}"), "--listen-postgres"]);
        command.arg(format!("127.0.0.1:{postgres}")).arg("--data").arg(data).args(["--log", "warn"]);
        let mut process = Running::start(&mut command)?;
        process.wait_for_port(([127, 0, 0, 1], port).into())?;
        Ok(Self { process, program: program.to_owned(), port, postgres })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Prints every question with its answer.
    fn answer(&self, questions: &[(&str, &str)]) -> Result<()> {
        for (title, sql) in questions {
            step(title);
            println!("{sql};\n");
            let status = Command::new(&self.program)
                .args(["sql", sql, "--server", &self.address(), "-o", "table"])
                .status()
                .context("cannot start the server's sql command")?;
            if !status.success() {
                bail!("the question was not answered: {status}");
            }
        }
        Ok(())
    }

    fn say_how_to_connect(&self) {
        step("Ask yourself");
        println!("psql -h 127.0.0.1 -p {} -U metaflow metaflow", self.postgres);
        println!("curl {}/sql -d 'SELECT count(*) FROM calls'", self.address());
    }
}
