//! Tables over the shards of a cluster.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use metaflow_storage_clickhouse::{Address, ClickHouse, OpenError, Options};
use storage_api::{AppendError, DropError, ScanRequest, Storage, Timestamp};
use xtask::servers;

use crate::conformance::Fresh;
use crate::support::{SECOND, START, append, ask, id, name, open, plain, rows, run_alone, values};

static SHARDS: LazyLock<Option<Vec<servers::ClickHouse>>> = LazyLock::new(|| match servers::ClickHouse::cluster(2) {
    Ok(shards) => Some(shards),
    Err(error) => {
        println!("skipped: no cluster for the tests: {error:#}");
        None
    }
});

fn run<F: Future<Output = ()>>(future: F) {
    match *SHARDS {
        Some(_) => run_alone(future),
        None => println!("skipped: there is no cluster"),
    }
}

fn address_of(shards: &[servers::ClickHouse], database: &str) -> Address {
    let hosts: Vec<String> = shards.iter().map(|shard| format!("127.0.0.1:{}", shard.http)).collect();
    let cluster = servers::ClickHouse::CLUSTER;
    format!("clickhouse://{}/{database}?cluster={cluster}", hosts.join(",")).parse().unwrap()
}

fn fresh_address() -> Address {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    address_of(SHARDS.as_ref().unwrap(), &format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A database of the cluster, if there is one.
pub(crate) fn address_if_any() -> Option<Address> {
    SHARDS.as_ref().map(|_| fresh_address())
}

mod conformance {
    use super::*;

    storage_api::conformance_suite!(run, || Fresh::new(fresh_address(), Options::default()));
}

#[test]
fn senders_are_spread_and_each_stays_on_its_shard() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        store.create_table(&plain()).await.unwrap();
        for sequence in 0..3 {
            for source in 0..32 {
                append(&store, id(source, sequence), rows(SECOND, [source as u64])).await.unwrap();
            }
        }
        let per_shard = ask(&store, "SELECT count() FROM plain GROUP BY _shard_num").await;
        assert!(per_shard.len() == 2 && per_shard[0] >= 15, "{per_shard:?}");
        let strays = ask(&store, "SELECT uniqExact(_shard_num) AS shards FROM plain GROUP BY value").await;
        assert!(strays.iter().all(|&shards| shards == 1), "{strays:?}");
        let parts = "SELECT count() FROM plain_LOCAL";
        assert!(ask(&store, parts).await[0] < 96, "one shard has not all of it");
    });
}

#[test]
fn a_cluster_that_is_not_there_is_said_to_be_unknown() {
    run(async {
        let shard = SHARDS.as_ref().unwrap()[0].http;
        let address: Address = format!("clickhouse://127.0.0.1:{shard}/x?cluster=nowhere").parse().unwrap();
        let error = ClickHouse::open(address, Options::default()).await.unwrap_err();
        assert!(matches!(error, OpenError::UnknownCluster { .. }) && !error.is_retryable(), "{error}");
    });
}

#[test]
fn a_shard_that_is_away_is_an_error_to_try_again_and_nothing_is_lost_when_it_is_back() {
    let Some(_) = &*SHARDS else { return println!("skipped: there is no cluster") };
    let mut shards = servers::ClickHouse::cluster(3).unwrap();
    let address = address_of(&shards, "away");
    let store = run_alone(async {
        let store = open(&address, Options::default()).await;
        store.create_table(&plain()).await.unwrap();
        for source in 0..12 {
            append(&store, id(source, 0), rows(SECOND, [source as u64])).await.unwrap();
        }
        store
    });
    shards[1].kill().unwrap();
    let refused = run_alone(async {
        let mut refused = BTreeSet::new();
        for source in 0..12 {
            if let Err(error) = append(&store, id(source, 1), rows(SECOND, [100 + source as u64])).await {
                assert!(error.is_retryable(), "{error}");
                refused.insert(source);
            }
        }
        let scanned = match store.scan(ScanRequest::new(name("plain"))).await {
            Ok(stream) => futures::TryStreamExt::try_collect::<Vec<_>>(stream).await,
            Err(error) => Err(error),
        };
        let error = scanned.expect_err("rows of a shard are missing");
        assert!(error.is_retryable(), "{error}");
        let dropped = store.drop_before(&name("plain"), Timestamp::from_nanos(START)).await;
        assert!(matches!(&dropped, Err(error @ DropError::Backend(_)) if error.is_retryable()), "{dropped:?}");
        refused
    });
    assert!(!refused.is_empty() && refused.len() < 12, "{refused:?}");
    shards[1].restart().unwrap();
    run_alone(async {
        for source in 0..12 {
            // All of them again, acknowledged or not.
            let mut tries = 0;
            while let Err(error) = append(&store, id(source, 1), rows(SECOND, [100 + source as u64])).await {
                tries += 1;
                assert!(AppendError::is_retryable(&error) && tries < 50, "{error}");
            }
        }
        assert_eq!(values(&store).await, (0..12).chain(100..112).collect::<Vec<_>>());
    });
}

#[test]
fn a_table_that_cannot_be_made_on_every_host_is_not_made() {
    run(async {
        let address = fresh_address();
        let place = address.to_string();
        let rest = place.strip_prefix("clickhouse://").unwrap();
        open(&address, Options::default()).await.create_table(&plain()).await.unwrap();
        // Nothing listens on the discard port.
        let address: Address = format!("clickhouse://127.0.0.1:9,{rest}").parse().unwrap();
        let error = ClickHouse::open(address, Options::default()).await.unwrap_err();
        assert!(error.is_retryable(), "a table cannot be made on a host that is away: {error}");
    });
}
