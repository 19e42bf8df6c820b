//! Load by programs that others wrote.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Connections of the load.
const CLIENTS: u32 = 16;

/// A server on one core. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    /// nginx with one worker, which answers with a line.
    pub(super) fn nginx() -> Result<Self> {
        Self::start(|folder, port| {
            let configuration = format!(
                "worker_processes 1; daemon off; error_log stderr crit; pid {folder}/pid;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body;\n\
                 proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;\n\
                 scgi_temp_path {folder}/scgi;\n\
                 server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"hello, world\\n\"; }} }} }}\n",
                folder = folder.display()
            );
            let file = folder.join("nginx.conf");
            fs::write(&file, configuration)?;
            let mut command = Command::new("taskset");
            command.args(["-c", "0", "nginx", "-c"]).arg(file);
            Ok(command)
        })
    }

    /// Redis without files.
    pub(super) fn redis() -> Result<Self> {
        Self::start(|folder, port| {
            let mut command = Command::new("taskset");
            command.args(["-c", "0", "redis-server", "--save", "", "--port", &port.to_string(), "--dir"]).arg(folder);
            Ok(command)
        })
    }

    fn start(command: impl FnOnce(&Path, u16) -> Result<Command>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = command(folder.path(), port)?;
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().with_context(|| format!("{command:?}"))?;
        let mut server = Self { child, port, _folder: folder };
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(server.child.try_wait()?.is_none(), "{command:?} ended");
            ensure!(Instant::now() < patience, "{command:?} does not listen");
            std::thread::yield_now();
        }
        Ok(server)
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

/// Requests per second when as many are sent as are answered.
pub(super) fn saturate_http(port: u16, seconds: u32) -> Result<f64> {
    let said = h2load(port, &["-D", &seconds.to_string()])?;
    number_before(&said, "req/s").with_context(|| format!("h2load said {said}"))
}

/// Latencies in microseconds, the least first, of so many requests per second.
pub(super) fn pace_http(port: u16, per_second: f64, seconds: u32) -> Result<Vec<u64>> {
    let log = tempfile::NamedTempFile::new()?;
    let each = (per_second / f64::from(CLIENTS)).max(1.0).round().to_string();
    let path = log.path().to_str().context("a path of text")?;
    h2load(port, &["-D", &seconds.to_string(), "--rps", &each, "--log-file", path])?;
    let lines = fs::read_to_string(log.path())?;
    let mut latencies: Vec<u64> = lines.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    ensure!(!latencies.is_empty(), "h2load logged nothing");
    latencies.sort_unstable();
    Ok(latencies)
}

fn h2load(port: u16, options: &[&str]) -> Result<String> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "h2load", "--h1", "-t", "1", "-c", &CLIENTS.to_string()]);
    said(command.args(options).arg(format!("http://127.0.0.1:{port}/")))
}

/// Requests per second when as many are sent as are answered.
pub(super) fn saturate_redis(port: u16, requests: u32) -> Result<f64> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "redis-benchmark", "-p", &port.to_string(), "-t", "get", "-c", &CLIENTS.to_string()]);
    let said = said(command.args(["-n", &requests.to_string(), "--csv"]))?;
    let line = said.lines().last().context("redis-benchmark said nothing")?;
    let rate = line.split(',').nth(1).context("it told no rate")?.trim_matches('"');
    Ok(rate.parse()?)
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// `finished in 3.00s, 109851.33 req/s, 16.87MB/s`
fn number_before(text: &str, unit: &str) -> Option<f64> {
    text.split_once(unit)?.0.split_whitespace().last()?.parse().ok()
}
