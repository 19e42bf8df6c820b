//! Redis, without persistence.

use std::path::PathBuf;

use anyhow::Result;
use tempfile::TempDir;

use super::{local, program};
use crate::child::{Running, free_port};

const SOCKET: &str = "socket";

/// A running Redis server.
#[derive(Debug)]
pub struct Redis {
    /// The running program.
    pub process: Running,
    /// Its port.
    pub port: u16,
    folder: TempDir,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        let (folder, port) = (TempDir::new()?, free_port()?);
        let mut command = program("redis-server")?;
        command.current_dir(folder.path());
        command.args(["--unixsocket", SOCKET]);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        let mut process = Running::start(&mut command)?;
        process.wait_for_port(local(port))?;
        Ok(Self { process, port, folder })
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }
}
