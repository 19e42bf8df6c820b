use std::io::Write;
use std::time::{Duration, Instant};

use metaflow_protocol::tables::{DICTIONARY, TABLES};
use metaflow_storage_embedded::{CheckReport, OpenError, Progress, RecoveryReport, RepairReport, TableReport};
use storage_api::TableDefinition;

use crate::cli::{CheckFormat, CheckOptions};
use crate::failure::Failure;
use crate::store::{EmbeddedAt, StoreAt, explain};

/// How long between two lines about how far the work is.
const SPEAK: Duration = Duration::from_secs(2);

/// `metaflow-server check`: reads everything that a stopped server keeps, and mends it if told to.
///
/// # Errors
/// When the store is damaged and was not mended, or cannot be read.
pub async fn check(options: CheckOptions) -> Result<(), Failure> {
    let at = match (options.storage, options.data) {
        (Some(StoreAt::Embedded(at)), _) => at,
        (Some(StoreAt::Memory | StoreAt::ClickHouse(_)), _) => {
            return Err(Failure::usage("only an embedded store can be checked"));
        }
        (None, Some(directory)) => EmbeddedAt::new(directory),
        (None, None) => return Err(Failure::usage("say what to check with --data DIR")),
    };
    let (repair, format) = (options.repair, options.output);
    let work = tokio::task::spawn_blocking(move || work(&at, repair, format));
    work.await.unwrap_or_else(|fault| Err(Failure::unavailable(fault.to_string())))
}

fn work(at: &EmbeddedAt, repair: bool, format: CheckFormat) -> Result<(), Failure> {
    if !at.directory.is_dir() {
        return Err(Failure::usage(format!("{} is no directory", at.directory.display())));
    }
    let failed = |error| match error {
        OpenError::Missing { .. } => Failure::usage(format!("there is no store in {}", at.directory.display())),
        error => explain(&at.directory, error),
    };
    let mut spoken = Instant::now();
    let mut progress = |now: Progress| {
        if spoken.elapsed() >= SPEAK {
            spoken = Instant::now();
            say(&format!("{} of {} files, {} of {} MiB", now.files, now.of_files, now.bytes >> 20, now.of_bytes >> 20));
        }
    };
    if repair {
        let mut known: Vec<TableDefinition> = Vec::new();
        for table in TABLES.iter().chain([&&DICTIONARY]) {
            known.push(table.definition().map_err(|error| Failure::unavailable(error.to_string()))?);
        }
        let report = metaflow_storage_embedded::repair(&at.directory, at.options(None)?, &known, &mut progress);
        let report = report.map_err(failed)?;
        return print(format, &report, repaired(&report));
    }
    let report = metaflow_storage_embedded::check(&at.directory, at.options(None)?, &mut progress).map_err(failed)?;
    print(format, &report, checked(&report))?;
    if report.is_whole() {
        return Ok(());
    }
    Err(Failure::check(format!(
        "{} is damaged: metaflow-server check --repair saves what is readable; nothing was changed",
        at.directory.display()
    )))
}

fn checked(report: &CheckReport) -> String {
    let mut lines = tables(&report.tables);
    if let Some(reason) = &report.manifest {
        lines.push(format!("the manifest cannot be read: {reason}; {} sealed files lie there", report.unnamed));
    }
    lines.extend(log(&report.recovery));
    lines.extend(report.missing.iter().map(|file| format!("missing: {}, {} rows", file.path.display(), file.rows)));
    for file in &report.damaged {
        let (path, rows) = (file.path.display(), file.rows);
        lines.push(format!("damaged: {path}: {}; {} of its {rows} rows can be read", file.reason, file.readable));
    }
    if report.is_whole() {
        lines.push("whole: every file and every part of the log is what was written".to_owned());
    }
    lines.join("\n")
}

fn repaired(report: &RepairReport) -> String {
    let mut lines = tables(&report.tables);
    if let Some(manifest) = &report.manifest {
        lines.push(format!("the manifest ({}) was made anew from {} files", manifest.reason, manifest.files));
        lines.push("batches that agents send again may be stored twice, and dropped rows may be back".to_owned());
        let lost = manifest.unreadable.iter();
        lines.extend(lost.map(|path| format!("lost: a file of unknown rows, kept as {}", path.display())));
    }
    lines.extend(log(&report.recovery));
    lines.extend(report.missing.iter().map(|file| format!("lost: {}, {} rows", file.path.display(), file.rows)));
    for file in &report.mended {
        let (path, kept, lost) = (file.path.display(), file.kept_as.display(), file.rows - file.saved);
        lines.push(format!("mended: {path}: {}; {} rows saved, {lost} lost; kept as {kept}", file.reason, file.saved));
    }
    lines.push(format!("repaired: {} rows of sealed files are lost", report.rows_lost()));
    lines.join("\n")
}

fn tables(tables: &[TableReport]) -> Vec<String> {
    let width = tables.iter().map(|table| table.name.len()).max().unwrap_or_default();
    let line = |table: &TableReport| {
        let TableReport { name, files, bytes, rows, log_rows } = table;
        format!("{name:width$}  {rows} rows in {files} files of {bytes} bytes, {log_rows} rows in the log")
    };
    tables.iter().map(line).collect()
}

fn log(recovery: &RecoveryReport) -> Vec<String> {
    let cut = recovery.truncated.iter().map(|part| format!("cut off, never acknowledged: {part}"));
    cut.chain(recovery.quarantined.iter().map(|part| format!("damaged: {part}"))).collect()
}

fn print(format: CheckFormat, report: &impl serde::Serialize, text: String) -> Result<(), Failure> {
    let mut answer = match format {
        CheckFormat::Text => text,
        CheckFormat::Json => serde_json::to_string(report).map_err(|error| Failure::unavailable(error.to_string()))?,
    };
    answer.push('\n');
    match std::io::stdout().write_all(answer.as_bytes()) {
        // Whoever reads had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::from_io),
    }
}

#[expect(clippy::print_stderr, reason = "how far long work is")]
fn say(line: &str) {
    eprintln!("metaflow-server: {line}");
}
