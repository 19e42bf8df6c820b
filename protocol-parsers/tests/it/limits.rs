//! Every bound is reached by something that can be observed, and what it dropped is counted.

use std::time::Duration;

use protocol_parsers::{Connection, Dissector, Limits, Opening, Options, Side, Stats, StreamChunk, Timestamp};

use crate::frames::{END_HEADERS, frame, get, greeting, headers, kept};

const C: Side = Side::Client;
const S: Side = Side::Server;

type Pieces = Vec<(Side, Vec<u8>)>;

/// A bound, what makes it small, what reaches it then, and what counts that.
struct Bound {
    /// Its name in [`Limits`].
    name: &'static str,
    set: fn(&mut Limits),
    opening: Opening,
    feed: fn() -> Pieces,
    count: fn(&Stats) -> u64,
}

const BOUNDS: &[Bound] = &[
    tcp(
        "detection_bytes",
        |limits| limits.detection_bytes = 32,
        || asks(&format!("GET /{}", "a".repeat(100))),
        |stats| stats.long_detections,
    ),
    tcp(
        "message_bytes",
        |limits| limits.message_bytes = 512,
        || asks(&format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(1_000))),
        |stats| stats.long_messages,
    ),
    tcp("open_requests", |limits| limits.open_requests = 2, || asks(&PING.repeat(4)), |stats| stats.requests_evicted),
    tcp(
        "connection_bytes",
        |limits| limits.connection_bytes = 4_000,
        || asks(&PING.repeat(100)),
        |stats| stats.requests_evicted,
    ),
    tcp("text_bytes", |limits| limits.text_bytes = 3, || asks("GET /abcdef HTTP/1.1\r\n\r\n"), |stats| stats.texts_cut),
    tcp(
        "attributes",
        |limits| limits.attributes = 1,
        || asks("GET / HTTP/1.1\r\nUser-Agent: a\r\nX-Forwarded-For: b\r\n\r\n"),
        |stats| stats.attributes_dropped,
    ),
    tcp(
        "header_table_bytes",
        |limits| limits.header_table_bytes = 100,
        || {
            vec![
                (C, greeting()),
                (C, frame(1, END_HEADERS, 1, [kept("a", "b"), kept(":method", &"c".repeat(90))].concat())),
            ]
        },
        |stats| stats.header_entries_dropped,
    ),
    tcp(
        "header_list_bytes",
        |limits| limits.header_list_bytes = 100,
        || vec![(C, greeting()), (C, get(1, "/"))],
        |stats| stats.header_lists_cut,
    ),
    tcp("statements", |limits| limits.statements = 1, || prepared(2, 10), |stats| stats.texts_forgotten),
    tcp("statement_bytes", |limits| limits.statement_bytes = 100, || prepared(20, 10), |stats| stats.texts_forgotten),
    tcp("portals", |limits| limits.portals = 1, || prepared(1, 10), |stats| stats.texts_forgotten),
    tcp(
        "topics",
        |limits| limits.topics = 1,
        || vec![(C, b"\0\0\0\x18\0\x03\0\x01\0\0\0\x01\0\x04shop\0\0\0\x02\0\x01a\0\x01b".to_vec())],
        |stats| stats.texts_cut,
    ),
    tcp("topic_names", |limits| limits.topic_names = 2, metadata, |stats| stats.topic_names_dropped),
    tcp("shared_topic_names", |limits| limits.shared_topic_names = 2, metadata, |stats| stats.topic_names_dropped),
    tcp(
        "late_places",
        |limits| (limits.late_places, limits.stream_timeout) = (1, Duration::ZERO),
        || asks(&PING.repeat(3)),
        |stats| stats.late_places_dropped,
    ),
    tcp(
        "counted_streams",
        |limits| limits.counted_streams = 1,
        || {
            let list = [(":method", "POST"), (":path", "/s.S/M"), ("content-type", "application/grpc")];
            vec![(C, greeting()), (C, [headers(END_HEADERS, 1, &list), headers(END_HEADERS, 3, &list)].concat())]
        },
        |stats| stats.streams_uncounted,
    ),
    tcp(
        "ready_calls",
        |limits| limits.ready_calls = 1,
        || vec![(C, PING.repeat(2).into()), (S, b"+PONG\r\n+PONG\r\n".to_vec())],
        |stats| stats.calls_dropped,
    ),
    tcp("stream_timeout", |limits| limits.stream_timeout = Duration::ZERO, || asks(PING), |stats| stats.timeouts),
    Bound {
        opening: Opening::UDP,
        ..tcp(
            "datagram_timeout",
            |limits| limits.datagram_timeout = Duration::ZERO,
            || vec![(C, b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01".to_vec())],
            |stats| stats.timeouts,
        )
    },
];

/// What drops nothing: time until something is told, and bytes that are only not shown.
const UNCOUNTED: [&str; 2] = ["crossing_time", "tap_bytes"];

const PING: &str = "*1\r\n$4\r\nPING\r\n";

const fn tcp(name: &'static str, set: fn(&mut Limits), feed: fn() -> Pieces, count: fn(&Stats) -> u64) -> Bound {
    Bound { name, set, opening: Opening::TCP, feed, count }
}

fn asks(text: &str) -> Pieces {
    vec![(C, text.into())]
}

/// PostgreSQL: a login, so many statements of this length, and three portals of each.
fn prepared(count: u32, length: usize) -> Pieces {
    let message = |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let mut bytes = b"\0\0\0\x20\0\x03\0\0user\0ann\0database\0shop\0\0".to_vec();
    for number in 0..count {
        bytes.extend(message(b'P', format!("s{number}\0SELECT {}\0\0\0", "a".repeat(length)).as_bytes()));
        for portal in 0..3 {
            bytes.extend(message(b'B', format!("p{portal}\0s{number}\0\0\0\0\0\0\0").as_bytes()));
        }
    }
    vec![(C, bytes)]
}

/// Kafka: Metadata version 12, and the names of five topics.
fn metadata() -> Pieces {
    let frame = |content: &[u8]| [&(content.len() as u32).to_be_bytes()[..], content].concat();
    let topics: Vec<_> =
        (1..=5).flat_map(|id| [&b"\0\0\x07orders"[..], &[id; 16], b"\0\x01\x80\0\0\0\0"].concat()).collect();
    let answer = [&b"\0\0\0\x01\0\0\0\0\0\x01\0\0\0\0\x01\x06"[..], &topics, b"\0"].concat();
    let request = b"\0\x03\0\x0c\0\0\0\x01\0\x04shop\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07orders\0\x01\0\0";
    vec![(C, frame(request)), (S, frame(&answer))]
}

fn stats(bound: &Bound, limits: Limits) -> Stats {
    let mut options = Options::default();
    options.limits = limits;
    let mut dissector = Dissector::new(options);
    let mut connection = Connection::new(bound.opening);
    let mut sent = [0; 2];
    for (side, bytes) in (bound.feed)() {
        let offset = sent[side as usize];
        sent[side as usize] += bytes.len() as u64;
        dissector.push(&mut connection, StreamChunk { side, time: Timestamp::ZERO, offset, bytes: &bytes, missing: 0 });
    }
    dissector.handle_timeout(&mut connection, Timestamp::ZERO);
    *dissector.stats()
}

#[test]
fn every_bound_is_reached_and_counted() {
    for bound in BOUNDS {
        let mut limits = Limits::default();
        assert_eq!((bound.count)(&stats(bound, limits.clone())), 0, "{} is reached as it is", bound.name);
        (bound.set)(&mut limits);
        assert!((bound.count)(&stats(bound, limits)) > 0, "{} is not counted", bound.name);
    }
}

#[test]
fn what_never_told_its_protocol_counts_as_unread() {
    let mut dissector = Dissector::new(Options::default());
    let mut connection = Connection::new(Opening::TCP);
    let bytes = b"GET /";
    dissector.push(&mut connection, StreamChunk { side: C, time: Timestamp::ZERO, offset: 0, bytes, missing: 0 });
    assert_eq!(dissector.stats().unread_bytes, 0, "more may tell");
    dissector.close(&mut connection);
    assert_eq!(dissector.stats().unread_bytes, bytes.len() as u64);
}

#[test]
fn no_bound_is_left_out() {
    let all = format!("{:?}", Limits::default());
    let names: Vec<_> = all.split([' ', '{']).filter_map(|word| word.strip_suffix(':')).collect();
    assert!(names.len() >= BOUNDS.len());
    for name in names {
        let bound = BOUNDS.iter().any(|bound| bound.name == name);
        assert!(bound != UNCOUNTED.contains(&name), "{name}");
    }
}

#[test]
fn bounds_of_nothing_are_survived() {
    let mut limits = Limits::default();
    for bound in BOUNDS {
        (bound.set)(&mut limits);
    }
    limits.detection_bytes = 0;
    limits.message_bytes = 0;
    limits.open_requests = 0;
    limits.connection_bytes = 0;
    limits.text_bytes = 0;
    limits.attributes = 0;
    limits.header_table_bytes = 0;
    limits.header_list_bytes = 0;
    limits.statements = 0;
    limits.statement_bytes = 0;
    limits.portals = 0;
    limits.topics = 0;
    limits.topic_names = 0;
    limits.shared_topic_names = 0;
    limits.late_places = 0;
    limits.counted_streams = 0;
    limits.ready_calls = 0;
    for bound in BOUNDS {
        assert_eq!(stats(bound, limits.clone()).calls, 0, "{}", bound.name);
    }
}

#[test]
fn a_connection_never_holds_more_than_it_may_whatever_comes_next() {
    for length in (0..4_000).step_by(97) {
        let request = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(length));
        // What is not complete waits beside them.
        let unfinished = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(60_000));
        let mut dissector = Dissector::new(Options::default());
        let mut connection = Connection::new(Opening::TCP);
        let mut offset = 0;
        for bytes in std::iter::repeat_n(request, 2_000).chain([unfinished]) {
            let (time, bytes) = (Timestamp::from_nanos(offset), bytes.as_bytes());
            dissector.push(&mut connection, StreamChunk { side: C, time, offset, bytes, missing: 0 });
            offset += bytes.len() as u64;
            while dissector.poll().is_some() {}
            let held = connection.memory();
            assert!(held <= Limits::default().connection_bytes, "{held} after requests of {length} more bytes");
        }
        assert!(dissector.stats().requests_evicted > 0, "{length}");
    }
}
