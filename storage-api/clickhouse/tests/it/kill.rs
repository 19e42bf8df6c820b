//! A server that is killed while batches come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metaflow_storage_clickhouse::{Address, Limits, Options};
use storage_api::Storage;
use xtask::servers;

use crate::support::{DAY, append, id, open, plain, port, rows, run_alone, values};

const ROUNDS: u64 = 6;
const WRITERS: u64 = 4;
/// Rows of a batch, on so many days.
const ROWS: u64 = 5;

#[test]
fn what_a_killed_server_acknowledged_is_there_once_and_batches_are_whole() {
    if port().is_none() {
        return println!("skipped: there is no ClickHouse");
    }
    let mut server = servers::ClickHouse::start().unwrap();
    // No tokens that the server would know again: the rows alone tell which batches are there.
    let limits = Limits { insert_window: 0, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let address: Address = format!("clickhouse://127.0.0.1:{}/killed", server.http).parse().unwrap();
    run_alone(async {
        open(&address, options.clone()).await.create_table(&plain()).await.unwrap();
    });
    let mut sent = 0;
    let mut ambiguous = 0;
    for round in 0..ROUNDS {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let store = Arc::new(run_alone(open(&address, options.clone())));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, acknowledged) = (store.clone(), acknowledged.clone());
                // Each sends in order and stays at the batch that failed, as senders do.
                std::thread::spawn(move || {
                    run_alone(async {
                        for sequence in round * 1000.. {
                            let value = writer << 32 | sequence;
                            let batch = rows(DAY, [value; ROWS as usize]);
                            if let Err(error) = append(&store, id(writer.into(), sequence), batch).await {
                                assert!(error.is_retryable(), "{error}");
                                return sequence;
                            }
                            acknowledged.fetch_add(1, Ordering::SeqCst);
                        }
                        unreachable!("the numbers do not end")
                    })
                })
            })
            .collect();
        while acknowledged.load(Ordering::SeqCst) < 20 + round * 7 {
            std::thread::yield_now();
        }
        server.kill().unwrap();
        let stopped: Vec<u64> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        server.restart().unwrap();
        run_alone(async {
            // Before anything is sent again: what was acknowledged, and of the rest whole batches.
            let again = open(&address, options.clone()).await;
            let before = counted(&values(&again).await);
            for (writer, &end) in stopped.iter().enumerate() {
                for sequence in round * 1000..end {
                    assert!(before.contains_key(&((writer as u64) << 32 | sequence)), "an acknowledged batch is lost");
                }
                ambiguous += u64::from(before.contains_key(&((writer as u64) << 32 | end)));
            }
            // Sent again through a store that remembers and through one that does not.
            for store in [&*store, &again] {
                for (writer, &end) in stopped.iter().enumerate() {
                    let value = (writer as u64) << 32 | end;
                    append(store, id(writer as u128, end), rows(DAY, [value; ROWS as usize])).await.unwrap();
                }
            }
            sent += stopped.iter().map(|end| end + 1 - round * 1000).sum::<u64>();
            assert_eq!(counted(&values(&again).await).len() as u64, sent);
        });
    }
    println!("{sent} batches over {ROUNDS} kills, {ambiguous} of them stored without an acknowledgement");
}

/// Each batch must be there with all of its rows, once.
fn counted(values: &[u64]) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    values.iter().for_each(|&value| *counts.entry(value).or_default() += 1);
    assert!(counts.values().all(|&count| count == ROWS), "a batch is there twice or in part");
    counts
}
