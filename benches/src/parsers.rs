//! Suite `parsers`: the cost of a message, from bytes to a call that has been handed out.

use std::hint::black_box;

use anyhow::{Result, ensure};
use protocol_parsers::http1::wire::{Headers, RequestLine, split_line};
use protocol_parsers::{Connection, Dissector, Options, Side, StreamChunk, Timestamp};

use crate::messages::{EXCHANGES, Exchange, HTTP1_REQUEST};
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
    let count = u64::from(exchanges);
    let (ours, peer) = fastest(rounds, || fields(count), || with_httparse(count));
    report.figure("parsers.http1.fields_ns", ours.as_nanos() as f64 / count as f64, "ns");
    report.figure("parsers.http1.httparse_ns", peer.as_nanos() as f64 / count as f64, "ns");
    report.ratio("parsers.http1.vs_httparse", peer.as_secs_f64(), ours.as_secs_f64());
    Ok(report)
}

/// Reads the same exchange again and again on one connection.
pub fn read(exchange: &Exchange, times: u32, redact: bool) {
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

fn check(exchange: &Exchange) -> Result<()> {
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

/// Method, path and host: what rate, errors and delay need of a request.
fn fields(times: u64) {
    for _ in 0..times {
        let (line, rest) = split_line(black_box(HTTP1_REQUEST)).expect("a line");
        let line = RequestLine::parse(line).expect("a request line");
        let host = Headers::new(rest).find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        black_box((line, host));
    }
}

fn with_httparse(times: u64) {
    for _ in 0..times {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let status = request.parse(black_box(HTTP1_REQUEST)).expect("a request");
        black_box((status, request.method, request.path));
    }
}
