//! MariaDB with an empty schema `shop` and root without a password.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::{certify, local, program};
use crate::child::{Running, free_port};

const SOCKET: &str = "socket";

/// A running MariaDB server.
#[derive(Debug)]
pub struct MariaDb {
    /// The running program.
    pub process: Running,
    /// Its port.
    pub port: u16,
    folder: TempDir,
}

impl MariaDb {
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
        let data = folder.path().join("data");
        let data = format!("--datadir={}", data.display());
        let status = program("mariadb-install-db")?
            .args(["--no-defaults", &data, "--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"])
            .status()?;
        ensure!(status.success(), "mariadb-install-db failed: {status}");
        let mut command = program("mariadbd")?;
        command.args(["--no-defaults", &data, "--user=root", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
        command.args([
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=4M",
            "--innodb-flush-log-at-trx-commit=0",
        ]);
        command.arg(format!("--port={port}")).arg(format!("--socket={}", folder.path().join(SOCKET).display()));
        if tls {
            certify(folder.path())?;
            for (option, file) in [("key", "key"), ("cert", "certificate")] {
                command.arg(format!("--ssl-{option}={}", folder.path().join(file).display()));
            }
        }
        let process = Running::start(&mut command)?;
        let mut server = Self { process, port, folder };
        server.process.wait_for_port(local(port))?;
        let status = server.client()?.args(["-e", "CREATE DATABASE shop"]).status()?;
        ensure!(status.success(), "the new database does not let us in: {status}");
        Ok(server)
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// The command-line client, connected over TCP as root.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn client(&self) -> Result<Command> {
        let mut command = program("mariadb")?;
        command
            .args(["--no-defaults", "--protocol=tcp", "-h127.0.0.1", "-uroot", "--skip-ssl"])
            .arg(format!("-P{}", self.port));
        Ok(command)
    }
}
