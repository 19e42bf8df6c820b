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
use crate::support::{id, name, open, plain, rows, run, values};

const FOLDER: &str = "METAFLOW_TEST_STORE";
const FIRST: &str = "METAFLOW_TEST_FIRST";
const ROUNDS: usize = 20;

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
        let options = Options { flush_after: Duration::from_millis(20), limits, ..Options::default() };
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
    let folder = TempDir::new().unwrap();
    let mut dice = Dice(std::process::id().into());
    let (mut acknowledged, mut next) = (BTreeSet::new(), 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::a_process_that_appends_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(FIRST, next.to_string())
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
            let store = open(folder.path()).await;
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
    assert!(acknowledged.len() > ROUNDS, "{} batches are too few to say anything", acknowledged.len());
}
