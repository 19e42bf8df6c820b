//! Metrics and pieces: sums of parts are the whole.

use std::time::Duration;

use flow_core::{Close, Counters, Histogram, Metric, Options, Sides};
use protocol_parsers::Status;

use crate::lab::{Lab, START, at, at_ms};
use crate::script::{Script, Who};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn rows(lab: &Lab, window: Duration) -> Vec<&Metric> {
    lab.metrics.iter().filter(|metric| metric.window == window).collect()
}

/// A conversation that asks every 400 ms for 150 seconds.
fn long_talk() -> Script {
    let mut script = Script::opened();
    for number in 0..375 {
        script.now = at_ms(400 * number + 10);
        script.client(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", ["a", "b"][number as usize % 2]).as_bytes());
        let status = if number % 5 == 0 { "500 Oh" } else { "200 OK" };
        script.wait(Duration::from_micros(number * 100));
        script.server(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).client(b"");
    }
    script.close();
    script
}

fn sum<'a>(all: impl IntoIterator<Item = &'a Counters>) -> Counters {
    let mut sum = Counters::default();
    all.into_iter().for_each(|counters| sum.merge(counters));
    sum
}

#[test]
fn rows_of_all_windows_add_up_to_calls_and_flows() {
    let lab = Lab::of(&long_talk().frames);
    for (window, windows) in [(SECOND, 151), (MINUTE, 3)] {
        let rows = rows(&lab, window);
        let mut starts: Vec<_> = rows.iter().map(|row| row.start).collect();
        starts.dedup();
        assert!(starts.is_sorted() && starts.len() <= windows, "{}", starts.len());
        let counted = sum(rows.iter().map(|row| &row.values.counters));
        assert_eq!(counted, lab.flow().counters, "{window:?}");
        let of = |value: fn(&Metric) -> u64| rows.iter().map(|row| value(row)).sum::<u64>();
        assert_eq!((of(|row| row.values.requests), of(|row| row.values.server_errors)), (375, 75));
        let durations: u64 = lab.calls.iter().map(|call| call.duration.unwrap().as_nanos() as u64).sum();
        assert_eq!((of(|row| row.values.durations.count), of(|row| row.values.durations.sum_ns)), (375, durations));
        assert_eq!(of(|row| row.values.request_bytes), lab.calls.iter().map(|call| call.request_bytes).sum());
        assert_eq!(of(|row| row.values.response_bytes), lab.calls.iter().map(|call| call.response_bytes).sum());
        let rtt = lab.flow().rtt.unwrap();
        assert_eq!((of(|row| row.values.rtt.count), of(|row| row.values.rtt.sum_ns)), (1, rtt.as_nanos() as u64));
        let mut merged = Histogram::default();
        rows.iter().for_each(|row| merged.merge(&row.values.latency));
        let mut whole = Histogram::default();
        lab.calls.iter().for_each(|call| whole.add(call.duration.unwrap()));
        assert_eq!(merged, whole);
    }
}

#[test]
fn endpoints_and_transport_have_rows_of_their_own() {
    let lab = Lab::of(&long_talk().frames);
    let minutes = rows(&lab, MINUTE);
    let mut keys: Vec<_> = minutes.iter().map(|row| (row.key.endpoint.as_deref(), row.values.requests > 0)).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys, [(None, false), (Some("/a"), true), (Some("/b"), true)]);
    assert!(minutes.iter().all(|row| row.key.server_port == 80 && row.key.client.to_string() == "10.0.0.1"));
}

#[test]
fn a_packet_counts_in_the_second_it_came_in() {
    let mut script = Script::opened();
    script.now = at_ms(999);
    script.client(b"one").client(b"two");
    let mut lab = Lab::new();
    lab.play(&script.frames);
    lab.timeout(at(2));
    let packets: Vec<_> =
        rows(&lab, SECOND).iter().map(|row| (row.start, row.values.counters.packets.client)).collect();
    assert_eq!(packets, [(START, 3), (at(1), 1)], "the border belongs to the second that begins");
    lab.finish();
}

#[test]
fn a_call_counts_in_the_second_its_end_was_seen_in() {
    let mut script = Script::opened();
    script.now = at_ms(900);
    script.client(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    script.now = at_ms(1100);
    script.server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let lab = Lab::of(&script.frames);
    let requests: Vec<_> =
        rows(&lab, SECOND).iter().filter(|row| row.values.requests > 0).map(|row| row.start).collect();
    assert_eq!(requests, [at(1)]);
}

#[test]
fn a_call_that_is_over_with_its_second_is_not_counted_as_the_one_handed_out_before() {
    let question = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut script = Script::opened();
    script.client(question("answered").as_bytes()).server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    script.client(question("unanswered").as_bytes());
    // The packet that tells that the time is over is the one that ends the second.
    script.wait(Duration::from_secs(200)).client(b"");
    let lab = Lab::of(&script.frames);
    for path in ["/answered", "/unanswered"] {
        let of = |row: &&&Metric| row.key.endpoint.as_deref() == Some(path);
        let requests: u64 = rows(&lab, SECOND).iter().filter(of).map(|row| row.values.requests).sum();
        assert_eq!(requests, 1, "{path}");
    }
}

#[test]
fn failures_and_timeouts_are_counted() {
    let mut lab = Lab::new();
    let mut refused = Script::new();
    refused.send(Who::Client, crate::frames::SYN, b"").reset(Who::Server);
    lab.play(&refused.frames);
    let mut slow = Script::opened_on(40_001);
    slow.client(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    lab.play(&slow.frames);
    lab.timeout(at(200));
    assert_eq!(lab.call().status, Status::Timeout);
    lab.finish();
    let of = |value: fn(&Metric) -> u64| rows(&lab, MINUTE).into_iter().map(value).sum::<u64>();
    assert_eq!((of(|row| row.values.flows_failed), of(|row| row.values.flows_closed)), (1, 2));
    assert_eq!((of(|row| row.values.timeouts), of(|row| row.values.requests)), (1, 1));
}

#[test]
fn pieces_add_up_to_the_conversation() {
    let script = long_talk();
    let whole = Lab::of(&script.frames);
    let mut options = Options::default();
    options.pieces = Some(MINUTE);
    let mut lab = Lab::with(options);
    lab.play(&script.frames);
    lab.timeout(at(400));
    lab.finish();
    let closes: Vec<_> = lab.flows.iter().map(|flow| (flow.piece, flow.close.map(Close::name))).collect();
    assert_eq!(closes, [(0, None), (1, None), (2, Some("finished"))]);
    assert_eq!(sum(lab.flows.iter().map(|flow| &flow.counters)), whole.flow().counters);
    assert!(
        lab.flows.iter().all(|flow| flow.conversation == whole.flow().conversation && flow.rtt == whole.flow().rtt)
    );
    assert_eq!((lab.flows[0].start, lab.flows[2].end), (whole.flow().start, whole.flow().end));
    for pair in lab.flows.windows(2) {
        assert!(pair[0].end < pair[1].start, "each has the times of its own packets");
    }
}

#[test]
fn a_quiet_conversation_has_no_empty_pieces() {
    let mut options = Options::default();
    options.pieces = Some(MINUTE);
    let mut lab = Lab::with(options);
    lab.play(&Script::opened().frames);
    for second in 1..400 {
        lab.timeout(at(second));
    }
    let [first, last] = &lab.flows[..] else { panic!("{:#?}", lab.flows) };
    assert_eq!((first.piece, first.close, last.piece), (0, None, 1));
    assert_eq!(
        (last.counters, last.start, last.end),
        (Counters::default(), first.end, first.end),
        "nothing but its end"
    );
    assert_eq!(first.counters.packets, Sides { client: 2, server: 1 });
}

/// A clock that was set back keeps no piece from its end.
#[test]
fn pieces_go_on_when_the_clock_is_set_back() {
    let mut options = Options::default();
    options.pieces = Some(MINUTE);
    let mut lab = Lab::with(options);
    let mut late = Script::new().at(at(1_000_000));
    late.open();
    lab.play(&late.frames);
    let mut rest = late.clone().at(START);
    rest.frames.clear();
    for _ in 0..30 {
        rest.client(b"x").wait(Duration::from_secs(10));
    }
    lab.play(&rest.frames);
    assert!(lab.flows.len() >= 4, "{}", lab.flows.len());
    lab.finish();
}
