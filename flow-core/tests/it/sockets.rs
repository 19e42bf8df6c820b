//! Calls out of streams that are no packets: data of sockets.

use flow_core::{Endpoint, Options, StreamEvent, StreamOpening, Transport};
use proptest::prelude::*;
use protocol_parsers::{Side, Status, StreamChunk, Timestamp};

use crate::lab::{Call, Lab, START, at_ms};
use crate::script::{STEP, Script};

const ASK: &[u8] = b"POST /one?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

fn opening(time: Timestamp) -> StreamEvent<'static> {
    let (client, server) =
        (Endpoint::Ip("10.0.0.1:40000".parse().unwrap()), Endpoint::Ip("10.0.0.2:80".parse().unwrap()));
    let (from_start, sides_known, interface) = (true, true, 0);
    StreamEvent::Open(StreamOpening {
        time,
        transport: Transport::Tcp,
        client,
        server,
        interface,
        from_start,
        sides_known,
    })
}

fn data(side: Side, time: Timestamp, offset: u64, bytes: &[u8]) -> StreamEvent<'_> {
    let first = if side == Side::Client { 1001 } else { 5001_u32 };
    let chunk = StreamChunk { side, time, offset, bytes, missing: 0 };
    StreamEvent::Data { chunk, tcp_seq: Some(first.wrapping_add(offset as u32)) }
}

/// What the same bytes give where packets carry them.
fn as_packets(pieces: &[(Side, &[u8])]) -> Vec<Call> {
    let mut script = Script::opened();
    for (side, bytes) in pieces {
        match side {
            Side::Client => script.client(bytes),
            Side::Server => script.server(bytes),
        };
    }
    script.close();
    Lab::of(&script.frames).calls
}

/// And where a stream does.
fn as_stream(pieces: &[(Side, &[u8])]) -> Vec<Call> {
    let mut lab = Lab::new();
    lab.stream(7, opening(START));
    let (mut offsets, mut now) = ([0; 2], START + 3 * STEP);
    for (side, bytes) in pieces {
        let offset = &mut offsets[*side as usize];
        lab.stream(7, data(*side, now, *offset, bytes));
        (*offset, now) = (*offset + bytes.len() as u64, now + STEP);
    }
    lab.stream(7, StreamEvent::Close { time: now });
    lab.finish();
    lab.calls
}

proptest! {
    #[test]
    fn a_stream_gives_the_calls_of_its_packets(cuts in proptest::collection::vec(1..90usize, 0..6)) {
        let turns = [(Side::Client, ASK), (Side::Server, ANSWER)].repeat(3);
        let mut pieces = Vec::new();
        for (side, mut bytes) in turns {
            for cut in &cuts {
                let (head, rest) = bytes.split_at((*cut).min(bytes.len()));
                if !head.is_empty() {
                    pieces.push((side, head));
                }
                bytes = rest;
            }
            if !bytes.is_empty() {
                pieces.push((side, bytes));
            }
        }
        let calls = as_stream(&pieces);
        prop_assert!(calls.iter().all(|call| call.stream == Some(7)));
        let calls: Vec<_> = calls.into_iter().map(|call| Call { stream: None, ..call }).collect();
        prop_assert_eq!(calls.len(), 3);
        prop_assert_eq!(calls, as_packets(&pieces));
    }
}

#[test]
fn a_request_that_stays_unanswered_times_out_though_the_stream_is_quiet() {
    let mut lab = Lab::new();
    lab.stream(1, opening(START));
    lab.stream(1, data(Side::Client, at_ms(1), 0, ASK));
    let mut asked = 0;
    let due = loop {
        let due = lab.engine.poll_timeout().unwrap();
        lab.timeout(due);
        asked += 1;
        if !lab.calls.is_empty() {
            break due;
        }
    };
    assert!(asked < 10, "{asked} times");
    let call = lab.call();
    assert_eq!((call.status, call.resource.as_deref()), (Status::Timeout, Some("/one?a=b")));
    assert!((at_ms(120_001)..at_ms(120_003)).contains(&due), "{due:?}");
    lab.finish();
    assert_eq!(lab.calls.len(), 1, "it is told once");
}

#[test]
fn the_end_of_a_stream_ends_its_requests() {
    let mut lab = Lab::new();
    lab.stream(1, opening(START));
    lab.stream(1, data(Side::Client, at_ms(1), 0, ASK));
    lab.stream(1, StreamEvent::Close { time: at_ms(2) });
    assert_eq!((lab.call().status, lab.engine.open_streams()), (Status::Unknown, 0));
    lab.finish();
}

#[test]
fn a_number_that_is_opened_again_is_another_stream() {
    let mut lab = Lab::new();
    for begin in [1, 11] {
        lab.stream(1, opening(at_ms(begin)));
        lab.stream(1, data(Side::Client, at_ms(begin + 1), 0, ASK));
        lab.stream(1, data(Side::Server, at_ms(begin + 2), 0, ANSWER));
    }
    lab.finish();
    let flows: Vec<_> = lab.calls.iter().map(|call| (call.id, call.flow_id, call.status)).collect();
    assert_eq!(flows, [(1, 1, Status::Ok), (2, 2, Status::Ok)]);
}

#[test]
fn who_asks_is_told_by_the_protocol_where_nobody_saw_who_connected() {
    let mut lab = Lab::new();
    let StreamEvent::Open(sure) = opening(START) else { return };
    let unsure =
        StreamOpening { client: sure.server, server: sure.client, sides_known: false, from_start: false, ..sure };
    lab.stream(1, StreamEvent::Open(unsure));
    lab.stream(1, data(Side::Server, at_ms(1), 100, ASK));
    lab.stream(1, data(Side::Client, at_ms(2), 200, ANSWER));
    lab.finish();
    assert_eq!((lab.call().client.as_str(), lab.call().server.as_str()), ("10.0.0.1:40000", "10.0.0.2:80"));
}

#[test]
fn streams_beyond_the_bound_are_left_out_and_counted() {
    let mut options = Options::default();
    options.limits.streams = 2;
    let mut lab = Lab::with(options);
    for stream in 1..=3 {
        lab.stream(stream, opening(START));
    }
    lab.stream(3, data(Side::Client, at_ms(1), 0, ASK));
    lab.stream(1, StreamEvent::Close { time: at_ms(2) });
    lab.stream(4, opening(at_ms(3)));
    let stats = lab.engine.stats();
    assert_eq!((stats.streams_opened, stats.streams_refused, stats.stream_events_unknown), (3, 1, 1));
    lab.finish();
    assert_eq!(lab.calls.len(), 0);
}
