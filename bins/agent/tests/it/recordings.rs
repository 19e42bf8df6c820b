//! What is read out of recordings of real servers and clients: `cargo xtask record` makes them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::printed::golden;
use crate::program::{records, run};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// A recording is golden as a whole: each of its calls and conversations was looked at once.
fn recording(name: &str, why: &str) {
    let ran = run(&["replay", data(&format!("{name}.pcap")).to_str().unwrap()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    golden(&format!("{name}.jsonl"), why, &ran.stdout);
}

/// What the client wrote down is what is read out of the capture: each of its entries is a call, on each connection in the same order, and
/// each call is one of its entries or `expected` beside them.
fn as_its_client_saw_it(name: &str, expected: impl Fn(&Value) -> bool) {
    let ran = run(&["replay", "--kind", "calls", "--no-redact", data(&format!("{name}.pcap")).to_str().unwrap()]);
    let mut calls = ran.records();
    calls.sort_by_key(|call| (call["start_ns"].as_u64(), call["tcp_seq_request"].as_u64()));
    let log = records(&std::fs::read_to_string(data(&format!("{name}.client.jsonl"))).unwrap());
    assert!(!log.is_empty());
    let mut seen = vec![false; calls.len()];
    // Up to where each connection was seen.
    let mut places = HashMap::new();
    for entry in &log {
        let found = calls.iter().enumerate().position(|(place, call)| {
            !seen[place] && places.get(&call["flow_id"]).is_none_or(|last| *last < place) && agree(entry, call)
        });
        let Some(place) = found else {
            let left =
                calls.iter().zip(&seen).filter(|(call, seen)| !**seen && call["request_type"] == entry["operation"]);
            panic!(
                "{name}: the client saw {entry}, but of these calls is left {:#?}",
                left.map(|(call, _)| call).next()
            );
        };
        seen[place] = true;
        places.insert(&calls[place]["flow_id"], place);
    }
    for (call, _) in calls.iter().zip(seen).filter(|(_, seen)| !seen) {
        assert!(expected(call), "{name}: the client saw nothing of {call}");
    }
}

/// Whether an entry of a client's log is about this call and says the same of it, as far as it says something.
fn agree(entry: &Value, call: &Value) -> bool {
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let (status, kind, exception) = (text(call, "status"), text(call, "kind"), text(call, "exception"));
    let outcome = match text(entry, "status").as_str() {
        "" => true,
        "ok" => status == "ok",
        "error" => matches!(status.as_str(), "client_error" | "server_error"),
        "one_way" => kind == "one_way",
        "unanswered" => kind == "request_only",
        // The client's word may be faster than the server's.
        "cancelled" if exception.starts_with("RST_STREAM") => return same(entry, call, &["status", "code"]),
        "cancelled" => status != "ok",
        other => panic!("what is {other}?"),
    };
    // Client libraries leave out the word with which an error begins.
    outcome && exception.ends_with(&text(entry, "message")) && same(entry, call, &["status", "message"])
}

fn same(entry: &Value, call: &Value, except: &[&str]) -> bool {
    entry.as_object().unwrap().iter().filter(|(name, _)| !except.contains(&name.as_str())).all(|(name, value)| {
        match (name.as_str(), value) {
            ("operation", operation) => call["request_type"] == *operation,
            // Of what was cut off, what is there.
            ("resource", Value::String(whole)) if call["captured_complete"] == false => {
                call[name].as_str().is_some_and(|part| !part.is_empty() && whole.starts_with(part))
            }
            ("resource_begin", Value::String(begin)) => {
                call["resource"].as_str().is_some_and(|whole| whole.starts_with(begin.as_str()))
            }
            // What is cut off or has no answer has no duration. The capture has whole microseconds.
            ("elapsed_ns", longest) => call["duration_ns"].as_u64() <= longest.as_u64().map(|longest| longest + 1000),
            ("at_least_ns", least) => call["duration_ns"].as_u64() >= least.as_u64(),
            ("code", code) => call["status_code"] == *code,
            ("attributes", Value::Object(few)) => few.iter().all(|(name, value)| call["attributes"][name] == *value),
            (name, value) => call[name] == *value,
        }
    })
}

/// No call that the client would not know of.
fn nothing(_: &Value) -> bool {
    false
}

/// What MySQL Connector/Python sends when it has logged in.
fn logged_in(call: &Value) -> bool {
    call["resource"].as_str().is_some_and(|text| text.starts_with("SET "))
}

#[test]
fn http1() {
    recording("http1", "nginx and curl: kept connections, errors, pipelines, long bodies both ways, a delayed answer");
    as_its_client_saw_it("http1", nothing);
}

#[test]
fn http1_cut() {
    recording("http1_cut", "Python's HTTP server: joined late, slow, cancelled, client and server killed");
    as_its_client_saw_it("http1_cut", nothing);
}

#[test]
fn websocket() {
    recording("websocket", "websockets: an upgrade, what is spoken after it, and one that is refused");
    as_its_client_saw_it("websocket", nothing);
}

#[test]
fn redis() {
    recording(
        "redis",
        "Redis and redis-cli in both protocol versions, errors, a transaction, redis-benchmark's pipeline",
    );
    as_its_client_saw_it("redis", nothing);
}

#[test]
fn redis_cut() {
    recording(
        "redis_cut",
        "Redis: joined late, long pipelines and values, waiting, cancelled, client and server killed",
    );
    as_its_client_saw_it("redis_cut", nothing);
}

#[test]
fn mysql() {
    recording("mysql", "MariaDB and its client: statements, each kind of error, a slow one, a refused login");
    as_its_client_saw_it("mysql", nothing);
}

#[test]
fn mysql_cut() {
    recording("mysql_cut", "MariaDB: joined late, pipelines, long commands, cancelled, client and server killed");
    as_its_client_saw_it("mysql_cut", logged_in);
}

#[test]
fn mysql_tls() {
    recording(
        "mysql_tls",
        "MariaDB and its client: a connection that becomes TLS before the login, and one that does not",
    );
    as_its_client_saw_it("mysql_tls", nothing);
}

#[test]
fn mysql_huge() {
    recording("mysql_huge", "MariaDB: a command that is longer than a packet can be, and what comes after it");
    as_its_client_saw_it("mysql_huge", logged_in);
}

#[test]
fn dns() {
    recording("dns", "dnsmasq and dig: an address, an alias, no such name, over TCP, backwards, refused");
    as_its_client_saw_it("dns", nothing);
}

#[test]
fn dns_bind() {
    recording(
        "dns_bind",
        "BIND and dnspython: types, errors, EDNS, cut answers, a transfer, sent again, never answered",
    );
    as_its_client_saw_it("dns_bind", nothing);
}

#[test]
fn mdns() {
    recording("mdns", "python-zeroconf: a service offered, looked for, found and taken back");
    as_its_client_saw_it("mdns", nothing);
}

#[test]
fn http2() {
    recording(
        "http2",
        "nginx, curl and nghttp: from the first byte, many streams at once, errors, bodies, a table that overflows",
    );
    as_its_client_saw_it("http2", nothing);
}

#[test]
fn http2_cut() {
    recording("http2_cut", "nginx and h2: joined late, many streams, GOAWAY, resets by both, client and server killed");
    as_its_client_saw_it("http2_cut", nothing);
}

#[test]
fn http2_upgrade() {
    recording("http2_upgrade", "nghttpx and curl: HTTP/1 that becomes HTTP/2, with several requests after it");
    as_its_client_saw_it("http2_upgrade", nothing);
}

#[test]
fn grpc() {
    recording(
        "grpc",
        "grpcio: every kind of stream, every code of an error, several at once, a cancelled call, a deadline",
    );
    as_its_client_saw_it("grpc", nothing);
}

#[test]
fn grpc_cut() {
    recording(
        "grpc_cut",
        "grpcio: joined late, long messages, GOAWAY, cancelled, a deadline, client and server killed",
    );
    as_its_client_saw_it("grpc_cut", nothing);
}

#[test]
fn dubbo() {
    recording(
        "dubbo",
        "bodies by hessian.js: results, exceptions, errors, one-way, answers out of order, both sides ask, a heartbeat",
    );
    as_its_client_saw_it("dubbo", nothing);
}

#[test]
fn dubbo_cut() {
    recording(
        "dubbo_cut",
        "bodies by hessian.js: joined late, pipelined, long, slow, a client killed, a connection reset",
    );
    as_its_client_saw_it("dubbo_cut", nothing);
}

#[test]
fn redis_client() {
    recording(
        "redis_client",
        "Redis and redis-py in both protocol versions: pipelines, transactions, subscriptions, scripts, waiting",
    );
    as_its_client_saw_it("redis_client", nothing);
}

#[test]
fn mysql_prepared() {
    recording(
        "mysql_prepared",
        "MariaDB and MySQL Connector/Python: prepared statements, every command, each kind of error",
    );
    as_its_client_saw_it("mysql_prepared", logged_in);
}

#[test]
fn postgresql() {
    recording(
        "postgresql",
        "PostgreSQL 15 with psql, pgbench and libpq: simple, extended, prepared, pipelines, COPY, errors, cancelling",
    );
    as_its_client_saw_it("postgresql", nothing);
}

#[test]
fn postgresql_cut() {
    recording(
        "postgresql_cut",
        "PostgreSQL: joined late, pipelines, long statements, cancelled, client and server killed",
    );
    as_its_client_saw_it("postgresql_cut", nothing);
}

#[test]
fn postgresql_tls() {
    recording("postgresql_tls", "PostgreSQL and psql: connections that become TLS, and one that does not");
    as_its_client_saw_it("postgresql_tls", nothing);
}

#[test]
fn postgresql_asyncpg() {
    recording(
        "postgresql_asyncpg",
        "PostgreSQL 15 with asyncpg: portals read in pieces, many executions in one go, COPY, errors, a time limit",
    );
    as_its_client_saw_it("postgresql_asyncpg", nothing);
}

#[test]
fn kafka() {
    recording("kafka", "tansu and aiokafka: topics, each kind of acknowledgement, offsets, a group, errors");
    // The broker answers a Produce that wants no answer.
    as_its_client_saw_it("kafka", |call| call["kind"] == "response_only");
}

#[test]
fn kafka_librdkafka() {
    recording("kafka_librdkafka", "tansu and librdkafka: compression, idempotence, headers, a group");
    as_its_client_saw_it("kafka_librdkafka", nothing);
}

#[test]
fn kafka_kcat() {
    recording(
        "kafka_kcat",
        "tansu and kcat: every compression, batches in flight, offsets by time, a topic that is not there",
    );
    // The broker answers a Produce that wants no answer.
    as_its_client_saw_it("kafka_kcat", |call| call["kind"] == "response_only");
}

#[test]
fn kafka_cut() {
    recording(
        "kafka_cut",
        "tansu and aiokafka: joined late, pipelines, long records, cancelled, client and broker killed",
    );
    as_its_client_saw_it("kafka_cut", nothing);
}
