//! `cargo xtask test`: what has to be green before a change lands.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use xtask::packages;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also the long runs (more cases, more rounds, more crash points)
    #[arg(long)]
    full: bool,
    /// Only these packages
    #[arg(short, long)]
    package: Vec<String>,
}

/// What the test runner said, added up.
#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let begin = Instant::now();
    packages::install(packages::WORKLOAD)?;
    packages::install(packages::TESTS)?;
    let mut totals = Totals::default();
    let scope: Vec<String> = match options.package.as_slice() {
        [] => vec!["--workspace".to_owned()],
        names => names.iter().flat_map(|name| ["-p".to_owned(), name.clone()]).collect(),
    };
    step("format", cargo(&["fmt", "--all", "--check"]), &mut totals)?;
    let mut clippy = cargo(&["clippy", "--all-targets", "--locked"]);
    clippy.args(&scope).args(["--", "-D", "warnings"]);
    step("lint", clippy, &mut totals)?;
    let mut documentation = cargo(&["doc", "--no-deps", "--locked"]);
    documentation.args(&scope).env("RUSTDOCFLAGS", "-D warnings");
    step("documentation", documentation, &mut totals)?;
    let mut tests = cargo(&["test", "--locked", "--no-fail-fast"]);
    tests.args(&scope).env("METAFLOW_FULL", if options.full { "1" } else { "0" });
    test(tests, &mut totals)?;
    for failure in &totals.failures {
        println!("FAILED: {failure}");
    }
    let verdict = if totals.failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; {} skipped parts; finished in {:.0} s",
        totals.passed,
        totals.failed,
        totals.skipped,
        begin.elapsed().as_secs_f64()
    );
    Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// A command that passes or fails as a whole.
fn step(name: &str, mut command: Command, totals: &mut Totals) -> Result<()> {
    println!("== {name}");
    if command.status().with_context(|| format!("cannot run {command:?}"))?.success() {
        totals.passed += 1;
    } else {
        totals.failed += 1;
        totals.failures.push(name.to_owned());
    }
    Ok(())
}

/// Runs the tests, shows what they print, and adds up their closing lines.
fn test(mut command: Command, totals: &mut Totals) -> Result<()> {
    println!("== tests");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {command:?}"))?;
    let output = child.stdout.take().context("the tests have no output")?;
    let mut counted = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(counts) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                let mut words = counts.split_whitespace().rev().skip_while(|other| other.trim_end_matches(';') != word);
                words.nth(1).and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0)
            };
            totals.passed += number("passed");
            totals.failed += number("failed");
            counted += number("failed");
        }
        if line.ends_with("... FAILED") {
            totals.failures.push(line.trim_start_matches("test ").trim_end_matches(" ... FAILED").to_owned());
        }
        totals.skipped += u64::from(line.trim_start().starts_with("skipped:"));
        println!("{line}");
    }
    if !child.wait()?.success() && counted == 0 {
        totals.failed += 1;
        totals.failures.push("the tests did not build or did not end".to_owned());
    }
    Ok(())
}
