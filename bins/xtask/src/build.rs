//! The project's own programs, built when they are needed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program being built.
#[derive(Debug)]
pub struct Building {
    child: Child,
    package: String,
    compiled: usize,
    file: Option<PathBuf>,
}

impl Building {
    /// Starts to build the program of a package.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub fn start(package: &str) -> Result<Self> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args([
            "build",
            "--quiet",
            "--locked",
            "--message-format=json-render-diagnostics",
            "--package",
            package,
        ]);
        command.args(["--bin", package]).current_dir(root()).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().context("cannot start cargo")?;
        Ok(Self { child, package: package.to_owned(), compiled: 0, file: None })
    }

    /// Waits for the end; `progress` hears of every crate that is done. Gives the program's file.
    ///
    /// # Errors
    /// When the build fails; cargo has said why.
    pub fn finish(mut self, mut progress: impl FnMut(usize)) -> Result<PathBuf> {
        let stdout = self.child.stdout.take().context("cargo has no output")?;
        for line in BufReader::new(stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(&line?).unwrap_or_default();
            if message["reason"] != "compiler-artifact" {
                continue;
            }
            self.compiled += 1;
            progress(self.compiled);
            if message["target"]["name"] == self.package.as_str()
                && let Some(file) = message["executable"].as_str()
            {
                self.file = Some(file.into());
            }
        }
        let status = self.child.wait()?;
        match self.file {
            Some(file) if status.success() => Ok(file),
            _ => bail!("building {} failed: {status}", self.package),
        }
    }
}

/// Builds a program and gives its file.
///
/// # Errors
/// When the build fails; cargo has said why.
pub fn program(package: &str) -> Result<PathBuf> {
    Building::start(package)?.finish(|_| {})
}

/// The project's folder.
#[must_use]
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), Into::into)
}
