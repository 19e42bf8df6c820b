//! What is read out of recordings of real servers and clients: `cargo xtask record` makes them.

use std::path::Path;

use crate::printed::golden;
use crate::program::run;

/// A recording is golden as a whole: each of its calls and conversations was looked at once.
fn recording(name: &str, why: &str) {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(format!("{name}.pcap"));
    let ran = run(&["replay", capture.to_str().unwrap()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    golden(&format!("{name}.jsonl"), why, &ran.stdout);
}

#[test]
fn http1() {
    recording("http1", "nginx and curl: kept connections, errors, HEAD, POST, HTTP/1.0, three requests in one segment");
}

#[test]
fn redis() {
    recording(
        "redis",
        "Redis and redis-cli in both protocol versions, errors, a transaction, redis-benchmark's pipeline",
    );
}

#[test]
fn mysql() {
    recording("mysql", "MariaDB and its client: statements, each kind of error, a refused login");
}

#[test]
fn dns() {
    recording("dns", "dnsmasq and dig: an address, an alias, no such name, over TCP, backwards");
}
