//! A real process on the real disk, killed at any moment.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use metaflow_storage_embedded::{Embedded, Limits, Options};
use storage_api::{IngestBatch, Storage};
use tempfile::TempDir;

use crate::sim_disk::Dice;
use crate::support::{id, name, plain, quiet, rows, run, values};

const FOLDER: &str = "METAFLOW_TEST_STORE";
/// Where the bucket's server is, if sealed files lie there.
const ENDPOINT: &str = "METAFLOW_TEST_ENDPOINT";
const FIRST: &str = "METAFLOW_TEST_FIRST";
/// So often is it killed, unless `METAFLOW_ROUNDS` says another number.
const ROUNDS: usize = 50;

/// The process that is killed. On its own this test has nothing to do.
#[test]
fn a_process_that_appends_until_it_is_killed() {
    let (Some(folder), Some(first)) = (std::env::var_os(FOLDER), std::env::var(FIRST).ok()) else {
        println!("skipped: it is run by another test, which kills it");
        return;
    };
    run(async {
        // Small bounds and short waits, so that kills meet flushes and merges too.
        let limits = Limits { flush: 16 << 10, ..Limits::default() };
        let usual = options(Path::new(&folder), std::env::var(ENDPOINT).ok().as_deref());
        let options = Options { flush_after: Duration::from_millis(20), limits, ..usual };
        let store = std::sync::Arc::new(Embedded::open(Path::new(&folder), options).await.unwrap());
        store.create_table(&plain()).await.unwrap();
        let first: u64 = first.parse().unwrap();
        let writers = (0..4).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (first + writer..).step_by(4) {
                    store.append(&name("plain"), IngestBatch::new(id(number), rows([number; 5]))).await.unwrap();
                    // One write, so that a line is whole or not there.
                    std::io::stdout().write_all(format!("stored {number}\n").as_bytes()).unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

#[test]
fn what_a_killed_process_acknowledged_is_there_once() {
    kill(std::env::var("METAFLOW_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap()), None);
}

#[cfg(feature = "object-store")]
#[test]
fn what_a_killed_process_acknowledged_is_there_once_with_its_files_in_a_bucket() {
    let Some(server) = crate::bucket::S3::start() else { return };
    kill(8, Some(&server.endpoint()));
}

#[cfg(feature = "object-store")]
fn options(folder: &Path, endpoint: Option<&str>) -> Options {
    endpoint.map_or_else(quiet, |endpoint| crate::bucket::options(folder, endpoint, "killed"))
}

#[cfg(not(feature = "object-store"))]
fn options(_: &Path, _: Option<&str>) -> Options {
    quiet()
}

fn kill(rounds: usize, endpoint: Option<&str>) {
    let folder = TempDir::new().unwrap();
    let mut dice = Dice(std::process::id().into());
    let (mut acknowledged, mut next) = (BTreeSet::new(), 0);
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::a_process_that_appends_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(FIRST, next.to_string())
            .envs(endpoint.map(|endpoint| (ENDPOINT, endpoint)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after so many acknowledgements, and wherever it happens to be by then.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = dice.below(60);
        for line in lines {
            let Some(number) = line.unwrap().strip_prefix("stored ").and_then(|number| number.parse::<u64>().ok())
            else {
                continue;
            };
            acknowledged.insert(number);
            left = left.saturating_sub(1);
            if left == 0 {
                // It may be dead already.
                let _ = child.kill();
            }
        }
        child.wait().unwrap();
        let found = run(async {
            let store = Embedded::open(folder.path(), options(folder.path(), endpoint)).await.unwrap();
            assert!(store.recovery().is_complete(), "{}", store.recovery());
            let found = values(&store).await;
            store.close().await;
            found
        });
        let whole: BTreeSet<u64> = found.iter().copied().collect();
        assert_eq!(found.len(), whole.len() * 5, "round {round}: a batch is there twice or in part");
        let lost: Vec<_> = acknowledged.difference(&whole).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} were acknowledged and are lost");
        next = whole.last().map_or(next, |last| (last / 4 + 1) * 4);
    }
    println!("{rounds} kills, {} batches were acknowledged, none is lost", acknowledged.len());
    assert!(acknowledged.len() > rounds, "{} batches are too few to say anything", acknowledged.len());
}
