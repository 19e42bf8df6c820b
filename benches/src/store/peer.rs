//! Other stores with the same rows and the same questions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One question: its name in the figures, and its SQL, which every peer understands.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) sql: String,
}

/// What a peer or we said to a question.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) name: String,
    /// Least processor time of several runs.
    pub(super) seconds: f64,
    #[serde(default)]
    pub(super) rows: u64,
    /// Sum of all numbers of the answer.
    #[serde(default)]
    pub(super) total: f64,
    #[serde(default)]
    pub(super) bytes: u64,
}

/// DuckDB with a table of its own, one thread. None if it is not installed.
pub(super) fn duckdb(
    folder: &Path,
    questions: &[Question],
    rounds: usize,
    files: &[PathBuf],
) -> Result<Option<Vec<Answer>>> {
    let python = std::env::var_os("METAFLOW_PYTHON").unwrap_or_else(|| "python3".into());
    let there = Command::new(&python).args(["-c", "import duckdb, pyarrow"]).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let list = folder.join("questions.tsv");
    let lines: String = questions.iter().map(|question| format!("{}\t{}\n", question.name, question.sql)).collect();
    std::fs::write(&list, lines)?;
    let mut command = Command::new(&python);
    command.args(["-c", include_str!("duckdb.py")]).arg(folder).arg(&list).arg(rounds.to_string()).args(files);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot run python")?;
    if !output.status.success() {
        bail!("DuckDB failed: {}", output.status);
    }
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect::<Result<Vec<_>>>().map(Some)
}
