//! What several tests need.

use std::future::Future;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use metaflow_storage_clickhouse::{Address, ClickHouse, Options};
use tokio::runtime::Runtime;
use xtask::servers;

/// One server for all tests that need no more; it ends with this process.
static SERVER: LazyLock<Option<servers::ClickHouse>> = LazyLock::new(|| match servers::ClickHouse::start() {
    Ok(server) => Some(server),
    Err(error) => {
        println!("skipped: no ClickHouse for the tests: {error:#}");
        None
    }
});

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// The port of the server that all tests share.
pub(crate) fn port() -> Option<u16> {
    SERVER.as_ref().map(|server| server.http)
}

/// Runs a future to its end if there is a ClickHouse; connections outlive it, so all share one runtime.
pub(crate) fn run<F: Future<Output = ()>>(future: F) {
    match port() {
        Some(_) => RUNTIME.block_on(future),
        None => println!("skipped: there is no ClickHouse"),
    }
}

/// Runs a future that needs none.
pub(crate) fn run_alone<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// A database that no other test has.
pub(crate) fn fresh_address() -> Address {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("clickhouse://127.0.0.1:{}/test_{number}", port().unwrap()).parse().unwrap()
}

pub(crate) async fn open(address: &Address, options: Options) -> ClickHouse {
    ClickHouse::open(address.clone(), options).await.unwrap()
}
