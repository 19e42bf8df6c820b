//! Load by programs that others wrote: the server on one core, its clients on another.

use std::ffi::OsStr;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Connections of the load.
const CLIENTS: u32 = 16;
/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);
/// Processor time is counted in hundredths of a second (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// What is spoken with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    Redis,
    PostgreSql,
}

/// A server on one core. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    port: u16,
    kind: Kind,
    folder: tempfile::TempDir,
}

impl Server {
    /// nginx with one worker, which answers with a line.
    pub(super) fn nginx() -> Result<Self> {
        Self::start(Kind::Http, |folder, port| nginx(folder, port, ""))
    }

    /// The same within TLS.
    pub(super) fn nginx_with_tls() -> Result<Self> {
        Self::start(Kind::Https, |folder, port| {
            let mut openssl = Command::new("openssl");
            openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "key"]);
            said(openssl.args(["-out", "certificate"]).current_dir(folder))?;
            nginx(folder, port, "ssl; ssl_certificate certificate; ssl_certificate_key key")
        })
    }

    /// Redis without files.
    pub(super) fn redis() -> Result<Self> {
        Self::start(Kind::Redis, |folder, port| {
            let mut command = on_core(0, "redis-server");
            command.args(["--save", "", "--port", &port.to_string(), "--dir"]).arg(folder);
            Ok(command)
        })
    }

    /// PostgreSQL with the tables of pgbench.
    pub(super) fn postgresql() -> Result<Self> {
        let server = Self::start(Kind::PostgreSql, |folder, port| {
            let programs = programs_of_postgresql()?;
            said(Command::new("chown").arg("postgres:").arg(folder))?;
            let data = folder.join("data");
            let mut initialise = as_postgres(&programs.join("initdb"));
            initialise.args(["-U", "postgres", "--locale=C", "--no-sync", "-D"]).arg(&data).current_dir(folder);
            said(&mut initialise)?;
            let mut command = on_core(0, "setpriv");
            command.args(as_postgres(&programs.join("postgres")).get_args());
            command.args(["-F", "-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(folder).arg("-D").arg(&data);
            command.current_dir(folder);
            Ok(command)
        })?;
        // It listens a little before it lets anybody in.
        let begin = Instant::now();
        while let Err(error) = server.pgbench(&["-i", "-q"]) {
            ensure!(begin.elapsed() < PATIENCE, error);
        }
        Ok(server)
    }

    fn start(kind: Kind, command: impl FnOnce(&Path, u16) -> Result<Command>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = command(folder.path(), port)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(folder.path().join("said"))?);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        let mut server = Self { child, port, kind, folder };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = || fs::read_to_string(server.folder.path().join("said")).unwrap_or_default();
            ensure!(server.child.try_wait()?.is_none(), "{command:?} ended: {}", said());
            ensure!(begin.elapsed() < PATIENCE, "{command:?} does not listen: {}", said());
            std::thread::yield_now();
        }
        Ok(server)
    }

    /// Requests per second when as many are sent as are answered.
    pub(super) fn saturate(&self, seconds: u32, requests: u32) -> Result<f64> {
        let seconds = seconds.to_string();
        match self.kind {
            Kind::Http | Kind::Https => {
                // It takes less of its core than the server of the other, so that the server is what is measured.
                let mut command = on_core(1, "wrk");
                command.args(["-t", "1", "-c", &CLIENTS.to_string(), "-d", &seconds]).arg(self.url());
                let said = said(&mut command)?;
                let rate = said.split_once("Requests/sec:").and_then(|(_, rest)| rest.split_whitespace().next());
                rate.and_then(|rate| rate.parse().ok()).with_context(|| format!("wrk said {said}"))
            }
            Kind::Redis => {
                let mut command = on_core(1, "redis-benchmark");
                command.args(["-p", &self.port.to_string(), "-t", "get", "-c", &CLIENTS.to_string()]);
                let said = said(command.args(["-n", &requests.to_string(), "--csv"]))?;
                let line = said.lines().last().context("redis-benchmark said nothing")?;
                Ok(line.split(',').nth(1).context("it told no rate")?.trim_matches('"').parse()?)
            }
            Kind::PostgreSql => {
                let said = self.pgbench(&["-S", "-T", &seconds])?;
                number_before(&said, " (without initial connection time)")
                    .with_context(|| format!("pgbench said {said}"))
            }
        }
    }

    /// Latencies in microseconds, the least first, of so many requests per second; `None` where the client sends as fast as it can only.
    pub(super) fn pace(&self, per_second: f64, seconds: u32) -> Result<Option<Vec<u64>>> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let (path, seconds) = (log.to_str().context("a path of text")?, seconds.to_string());
        let column = match self.kind {
            Kind::Http | Kind::Https => {
                let each = (per_second / f64::from(CLIENTS)).max(1.0).round().to_string();
                self.h2load(&["-D", &seconds, "--rps", &each, "--log-file", path])?;
                2
            }
            Kind::PostgreSql => {
                let rate = per_second.round().to_string();
                self.pgbench(&["-S", "-T", &seconds, "-R", &rate, "-l", "--log-prefix", path])?;
                2
            }
            Kind::Redis => return Ok(None),
        };
        let mut latencies = Vec::new();
        for entry in fs::read_dir(folder.path())? {
            let lines = fs::read_to_string(entry?.path())?;
            let latency = |line: &str| line.split_ascii_whitespace().nth(column)?.parse::<u64>().ok();
            latencies.extend(lines.lines().filter_map(latency));
        }
        ensure!(!latencies.is_empty(), "the client logged nothing");
        latencies.sort_unstable();
        Ok(Some(latencies))
    }

    fn h2load(&self, options: &[&str]) -> Result<String> {
        let mut command = on_core(1, "h2load");
        command.args(["--h1", "-t", "1", "-c", &CLIENTS.to_string()]).args(options);
        said(command.arg(self.url()))
    }

    fn url(&self) -> String {
        let scheme = if self.kind == Kind::Https { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/", self.port)
    }

    fn pgbench(&self, options: &[&str]) -> Result<String> {
        let mut command = on_core(1, "pgbench");
        command.args(["-n", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]).args(options);
        if !options.contains(&"-i") {
            command.args(["-j", "1", "-c", &CLIENTS.to_string()]);
        }
        said(command.arg("postgres"))
    }

    /// Processor time of the server's processes so far, those that ended included.
    pub(super) fn cpu(&self) -> Duration {
        let (mut ticks, mut waiting) = (0, vec![self.child.id().to_string()]);
        while let Some(pid) = waiting.pop() {
            // Who has ended is counted with its parent.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
            // The first of them is the third of all: proc_pid_stat(5).
            ticks += fields
                .split_ascii_whitespace()
                .skip(11)
                .take(4)
                .filter_map(|ticks| ticks.parse::<u32>().ok())
                .sum::<u32>();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            waiting.extend(children.split_ascii_whitespace().map(str::to_owned));
        }
        TICK * ticks
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its worker when it is asked to end.
        let ended = Command::new("kill").arg(self.child.id().to_string()).status();
        if ended.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn nginx(folder: &Path, port: u16, tls: &str) -> Result<Command> {
    let configuration = format!(
        "worker_processes 1; daemon off; error_log stderr crit; pid {folder}/pid;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body;\n\
         proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;\n\
         scgi_temp_path {folder}/scgi;\n\
         server {{ listen 127.0.0.1:{port} {tls}; location / {{ return 200 \"hello, world\\n\"; }} }} }}\n",
        folder = folder.display()
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration)?;
    let mut command = on_core(0, "nginx");
    command.arg("-c").arg(file);
    Ok(command)
}

/// Debian keeps those of each version in a folder of their own.
fn programs_of_postgresql() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("initdb").is_file()).max().context("there is no initdb")
}

/// The server refuses to be root.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn on_core(core: u8, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// `tps = 12345.67 (without initial connection time)`
fn number_before(text: &str, unit: &str) -> Option<f64> {
    text.split_once(unit)?.0.split_whitespace().last()?.parse().ok()
}
