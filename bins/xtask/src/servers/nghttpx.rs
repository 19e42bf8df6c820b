//! nghttpx, which lets HTTP/1 connections become HTTP/2.

use anyhow::Result;
use tempfile::TempDir;

use super::{local, program};
use crate::child::{Running, free_port};

/// A running nghttpx.
#[derive(Debug)]
pub struct Nghttpx {
    /// The running program.
    pub process: Running,
    /// Its port for HTTP/1 and HTTP/2.
    pub port: u16,
    _folder: TempDir,
}

impl Nghttpx {
    /// Starts one in front of the HTTP/1 server on port `behind` of the loopback interface, and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(behind: u16) -> Result<Self> {
        let (folder, port) = (TempDir::new()?, free_port()?);
        let mut command = program("nghttpx")?;
        command.current_dir(folder.path()).arg("--conf=/dev/null").args(["--workers=1", "--errorlog-file=/dev/null"]);
        command.arg(format!("--frontend=127.0.0.1,{port};no-tls")).arg(format!("--backend=127.0.0.1,{behind}"));
        let mut process = Running::start(&mut command)?;
        process.wait_for_port(local(port))?;
        Ok(Self { process, port, _folder: folder })
    }
}
