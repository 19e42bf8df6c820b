//! PostgreSQL with a database `shop`, and without TLS unless asked for.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{certify, local, program};
use crate::child::{Running, find, free_port};
use crate::packages::is_root;

/// Who may come in: `ann` by her password, everybody else without.
const ACCESS: &str = "local all all trust\nhost all ann 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
const SCHEMA: &[&str] = &["CREATE DATABASE shop", "CREATE ROLE ann LOGIN PASSWORD 'secret'"];

/// A running PostgreSQL server.
#[derive(Debug)]
pub struct PostgreSql {
    /// The running program.
    pub process: Running,
    /// Its port.
    pub port: u16,
    folder: TempDir,
}

impl PostgreSql {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::started(false)
    }

    /// The same, and it speaks TLS with those who ask for it.
    ///
    /// # Errors
    /// When it or OpenSSL is not installed, or it does not start.
    pub fn start_with_tls() -> Result<Self> {
        Self::started(true)
    }

    fn started(tls: bool) -> Result<Self> {
        let (folder, port) = (TempDir::new()?, free_port()?);
        let account = Account::of_server()?;
        let data = folder.path().join("data");
        fs::create_dir(&data)?;
        if let Some(Account { user, group }) = account {
            chown(folder.path(), Some(user), Some(group))?;
            chown(&data, Some(user), Some(group))?;
        }
        let mut initialise = under(account, "initdb")?;
        initialise.arg("-D").arg(&data).args(["-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let status = initialise.current_dir(folder.path()).status()?;
        ensure!(status.success(), "initdb failed: {status}");
        fs::write(data.join("pg_hba.conf"), ACCESS)?;
        // Of the version that made the data.
        let server = find("initdb").context("initdb is not installed")?.with_file_name("postgres");
        let mut command = under(account, &server.to_string_lossy())?;
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-F", "-k"]).arg(folder.path());
        if tls {
            certify(&data)?;
            if let Some(Account { user, group }) = account {
                chown(data.join("key"), Some(user), Some(group))?;
            }
            command.args(["-c", "ssl=on", "-c", "ssl_key_file=key", "-c", "ssl_cert_file=certificate"]);
        }
        let mut process = Running::start(command.current_dir(folder.path()))?;
        let psql = |statements: &[&str]| {
            let mut command = program("psql")?;
            command.args(["-X", "-h127.0.0.1", "-Upostgres", "-dpostgres", "-v", "ON_ERROR_STOP=1"]);
            for statement in statements {
                command.args(["-c", statement]);
            }
            Ok::<_, anyhow::Error>(command.arg(format!("-p{port}")).status()?.success())
        };
        process.wait_for_port(local(port))?;
        // It listens a little before it lets anybody in.
        process.wait_until(|| psql(&["SELECT 1"]).unwrap_or(false))?;
        ensure!(psql(SCHEMA)?, "the new server does not let us in");
        Ok(Self { process, port, folder })
    }

    /// The folder of its Unix sockets.
    #[must_use]
    pub fn sockets(&self) -> &Path {
        self.folder.path()
    }
}

/// An account of the system.
#[derive(Clone, Copy, Debug)]
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// The one that Debian's package made: the server refuses to be root. None if we are not root either.
    fn of_server() -> Result<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd")?;
        let line = accounts.lines().find(|line| line.starts_with("postgres:")).context("there is no user postgres")?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        match (ids.next(), ids.next()) {
            (Some(user), Some(group)) => Ok(Some(Self { user: user?, group: group? })),
            _ => anyhow::bail!("the account of postgres cannot be read"),
        }
    }
}

/// A command that runs under the account.
fn under(account: Option<Account>, name: &str) -> Result<Command> {
    let mut command = program(name)?;
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    Ok(command)
}
