//! Suite `parsers`: the cost of a message, from bytes to a call that has been handed out.

use std::hint::black_box;

use anyhow::{Result, ensure};
use protocol_parsers::{Connection, Dissector, Opening, Options, Side, StreamChunk, Timestamp};

use crate::messages::{EXCHANGES, Exchange};
use crate::readers::PAIRS;
use crate::{Report, fastest};

/// Runs the suite.
///
/// # Errors
/// When a call is not what it must be.
pub fn run(quick: bool) -> Result<Report> {
    let mut report = Report::default();
    let (rounds, exchanges) = if quick { (3, 100_000) } else { (9, 1_000_000) };
    for exchange in EXCHANGES {
        check(exchange)?;
        let (redacted, shown) =
            fastest(rounds, || read(exchange, exchanges, true), || read(exchange, exchanges, false));
        let messages = f64::from(exchanges) * 2.0;
        let ns = redacted.as_nanos() as f64 / messages;
        report.figure(format!("parsers.{}.ns_per_message", exchange.name), ns, "ns");
        report.figure(
            format!("parsers.{}.shown_ns_per_message", exchange.name),
            shown.as_nanos() as f64 / messages,
            "ns",
        );
        let bytes = (exchange.request.len() + exchange.response.len()) as f64 / 2.0;
        report.figure(format!("parsers.{}.gb_per_s", exchange.name), bytes / ns, "GB/s");
    }
    for pair in PAIRS {
        let found = ((pair.our_reader)(2), (pair.peer_reader)(2));
        ensure!(found.0 == found.1, "{}: {found:?}", pair.ratio);
        let times = u64::from(exchanges / 10);
        let run = |reader: fn(u64) -> usize| {
            black_box(reader(times));
        };
        let (ours, peer) = fastest(rounds, || run(pair.our_reader), || run(pair.peer_reader));
        report.figure(pair.ours, ours.as_nanos() as f64 / times as f64, "ns");
        report.figure(pair.peer, peer.as_nanos() as f64 / times as f64, "ns");
        report.ratio(pair.ratio, peer.as_secs_f64(), ours.as_secs_f64());
    }
    slope(
        &mut report,
        "parsers.http1.ns_per_header",
        rounds,
        exchanges / 10,
        63.0,
        [with_headers(1), with_headers(64)],
    );
    slope(&mut report, "parsers.http1.ns_per_byte", rounds, exchanges / 10, 4032.0, [with_value(64), with_value(4096)]);
    crate::detection::run(&mut report, rounds, exchanges / 10)?;
    Ok(report)
}

/// A request with so many headers like those of browsers and proxies.
fn with_headers(count: usize) -> String {
    let header = |number| format!("X-Header-{number:02}: value of a header\r\n");
    format!("GET / HTTP/1.1\r\n{}\r\n", (0..count).map(header).collect::<String>())
}

/// A request with a header of so many bytes.
fn with_value(length: usize) -> String {
    format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(length))
}

/// What one more step costs a request that is `steps` longer than another one.
fn slope(report: &mut Report, name: &str, rounds: usize, times: u32, steps: f64, [short, long]: [String; 2]) {
    let of = |request: &str| {
        let response = b"HTTP/1.1 204 No Content\r\n\r\n";
        let (request, first) = (request.as_bytes(), None);
        read(&Exchange { name, opening: Opening::TCP, first, request, response, resource: "/" }, times, true);
    };
    let (short, long) = fastest(rounds, || of(&short), || of(&long));
    report.figure(name, (long.as_nanos() as f64 - short.as_nanos() as f64) / steps / f64::from(times), "ns");
}

/// Reads the same exchange again and again on one connection.
pub fn read(exchange: &Exchange<'_>, times: u32, redact: bool) {
    let mut options = Options::default();
    options.redact = redact;
    let mut dissector = Dissector::new(options);
    let mut connection = Connection::new(exchange.opening);
    let (mut sent, mut received) = (0, 0);
    for number in 0..u64::from(times) {
        let time = Timestamp::from_nanos(number * 1000);
        let usual = (exchange.request, exchange.response);
        let (request, response) = if number == 0 { exchange.first.unwrap_or(usual) } else { usual };
        let chunk = StreamChunk { side: Side::Client, time, offset: sent, bytes: request, missing: 0 };
        sent += request.len() as u64;
        dissector.push(&mut connection, chunk);
        let chunk = StreamChunk { side: Side::Server, time, offset: received, bytes: response, missing: 0 };
        received += response.len() as u64;
        dissector.push(&mut connection, chunk);
        while let Some(call) = dissector.poll() {
            black_box((call.resource(), call.status_code(), call.duration()));
        }
    }
    assert_eq!(dissector.stats().calls, u64::from(times));
}

fn check(exchange: &Exchange<'_>) -> Result<()> {
    let mut options = Options::default();
    options.redact = false;
    let mut dissector = Dissector::new(options);
    let mut connection = Connection::new(exchange.opening);
    let mut sent = [0, 0];
    for (request, response) in exchange.first.into_iter().chain([(exchange.request, exchange.response)]) {
        while dissector.poll().is_some() {}
        for (side, bytes) in [(Side::Client, request), (Side::Server, response)] {
            let offset = sent[side as usize];
            sent[side as usize] += bytes.len() as u64;
            dissector.push(&mut connection, StreamChunk { side, time: Timestamp::ZERO, offset, bytes, missing: 0 });
        }
    }
    let call = dissector.poll();
    let call = call.as_ref();
    ensure!(
        call.is_some_and(|call| call.resource() == Some(exchange.resource) && call.duration().is_some()),
        "{}: {call:?}",
        exchange.name
    );
    Ok(())
}
