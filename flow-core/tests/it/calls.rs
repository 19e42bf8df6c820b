//! Calls out of segments: in order, with their times, their numbers and their roles.

use std::time::Duration;

use protocol_parsers::{CallKind, Status};

use crate::frames::{ACK, SYN};
use crate::lab::{Lab, at_ms};
use crate::script::{Script, Who};

const ASK: &[u8] = b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_call_has_the_times_and_numbers_of_its_first_bytes() {
    let mut script = Script::opened();
    script.wait(Duration::from_millis(7)).client(ASK).wait(Duration::from_millis(19)).server(ANSWER).close();
    let lab = Lab::of(&script.frames);
    let call = lab.call();
    assert_eq!((call.start, call.duration), (at_ms(10), Some(Duration::from_millis(20))));
    assert_eq!((call.tcp_seq_request, call.tcp_seq_response), (Some(1001), Some(5001)));
    assert_eq!((call.request_bytes, call.response_bytes), (ASK.len() as u64, ANSWER.len() as u64));
    assert_eq!((call.client.as_str(), call.server.as_str()), ("10.0.0.1:40000", "10.0.0.2:80"));
    assert_eq!(
        (call.flow_id, lab.flow().conversation.flow_id, lab.flow().protocol.unwrap().to_string().as_str()),
        (1, 1, "http1")
    );
}

/// A byte has the time of the segment that brought it, not of the one that let it be read.
#[test]
fn a_request_over_reordered_segments_starts_when_its_first_byte_came() {
    let mut script = Script::opened();
    let (first, rest) = ASK.split_at(10);
    let (second, third) = rest.split_at(10);
    script.client(first).client(second).client(third);
    script.frames.swap(3, 5);
    let times: Vec<_> = (3..6).map(at_ms).collect();
    for (frame, time) in script.frames[3..].iter_mut().zip(times) {
        frame.time = time;
    }
    script.server(ANSWER);
    let lab = Lab::of(&script.frames);
    let call = lab.call();
    assert_eq!((call.start, call.duration), (at_ms(5), Some(Duration::from_millis(1))));
    assert_eq!((call.tcp_seq_request, call.resource.as_deref(), call.complete), (Some(1001), Some("/one"), true));
}

#[test]
fn a_second_request_has_its_own_numbers_beyond_the_wrap_too() {
    let mut script = Script::new().starting(u32::MAX - 40, u32::MAX - 20);
    script.open().client(ASK).server(ANSWER);
    let (client, server) = (script.client.next, script.server.next);
    script.client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n").server(ANSWER).close();
    let lab = Lab::of(&script.frames);
    assert_eq!(lab.resources(), ["/one", "/two"]);
    assert_eq!(
        (lab.calls[0].tcp_seq_request, lab.calls[0].tcp_seq_response),
        (Some(u32::MAX - 39), Some(u32::MAX - 19))
    );
    assert_eq!((lab.calls[1].tcp_seq_request, lab.calls[1].tcp_seq_response), (Some(client), Some(server)));
}

#[test]
fn a_lost_request_leaves_its_answer_alone() {
    let mut script = Script::opened();
    script
        .client(b"GET /zero HTTP/1.1\r\nHost: h\r\n\r\n")
        .server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    script.client(ASK).lose().server(ANSWER);
    script
        .client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n")
        .server(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        .close();
    let lab = Lab::of(&script.frames);
    let seen: Vec<_> = lab.calls.iter().map(|call| (call.kind, call.resource.as_deref(), call.status)).collect();
    assert_eq!(
        seen,
        [
            (CallKind::RequestResponse, Some("/zero"), Status::ClientError),
            (CallKind::ResponseOnly, None, Status::Ok),
            (CallKind::RequestResponse, Some("/two"), Status::ServerError)
        ]
    );
    assert_eq!(lab.engine.stats().bytes_missing, ASK.len() as u64);
}

#[test]
fn a_lost_answer_leaves_its_request_alone() {
    let mut script = Script::opened();
    script.client(ASK).server(ANSWER).lose();
    script
        .client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n")
        .server(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        .close();
    let lab = Lab::of(&script.frames);
    let seen: Vec<_> = lab.calls.iter().map(|call| (call.kind, call.resource.as_deref(), call.status)).collect();
    assert_eq!(
        seen,
        [
            (CallKind::RequestOnly, Some("/one"), Status::Unknown),
            (CallKind::RequestResponse, Some("/two"), Status::ServerError)
        ]
    );
}

/// The hole ends exactly where the bytes that wait begin: they are handed on at once.
#[test]
fn bytes_behind_an_acknowledged_hole_are_read_at_once() {
    let mut script = Script::opened();
    script.client(ASK).server(ANSWER);
    let mut lab = Lab::new();
    lab.play(&script.frames);
    script.frames.clear();
    script.client(b"lost!").lose();
    let hole_end = script.client.next;
    script.client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n");
    let answered = script.client.next;
    script.segment(Who::Server, script.server.next, hole_end, ACK, b"");
    let delivered = lab.engine.stats().bytes_delivered;
    lab.play(&script.frames);
    let stats = lab.engine.stats();
    assert_eq!((stats.bytes_missing, stats.bytes_delivered - delivered), (5, u64::from(answered - hole_end)));
    script.frames.clear();
    script.segment(Who::Server, script.server.next, answered, ACK, ANSWER);
    lab.play(&script.frames);
    assert_eq!(lab.resources(), ["/one", "/two"]);
    lab.finish();
}

#[test]
fn what_waits_is_read_when_the_connection_ends() {
    let mut script = Script::opened();
    script.client(ASK).server(ANSWER).client(b"lost").lose();
    script.segment(Who::Client, script.client.next, 5000, ACK, b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n");
    let lab = Lab::of(&script.frames);
    assert_eq!(lab.resources(), ["/one", "/two"]);
}

#[test]
fn data_on_the_syn_is_the_beginning() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, ASK).send(Who::Server, SYN | ACK, ANSWER).client(b"").close();
    let lab = Lab::of(&script.frames);
    let call = lab.call();
    assert_eq!(
        (call.kind, call.tcp_seq_request, call.tcp_seq_response),
        (CallKind::RequestResponse, Some(1001), Some(5001))
    );
    let refused_data = {
        let mut script = Script::new();
        script.send(Who::Client, SYN, ASK).segment(Who::Server, 5000, 1001, SYN | ACK, b"");
        script.server.next += 1;
        script.segment(Who::Client, 1001, 5001, ACK, ASK).server(ANSWER).close();
        Lab::of(&script.frames)
    };
    assert_eq!(refused_data.call().kind, CallKind::RequestResponse, "sent again after the handshake");
}

#[test]
fn a_connection_that_both_closed_is_read_to_its_end_before_it_is_forgotten() {
    let mut script = Script::opened();
    script.client(ASK).server(ANSWER);
    let early: Vec<_> = script.frames.drain(3..).collect();
    script.close();
    script.frames.extend(early.into_iter().map(|frame| crate::script::Frame { time: script.now, ..frame }));
    let lab = Lab::of(&script.frames);
    assert_eq!((lab.call().kind, lab.flows.len()), (CallKind::RequestResponse, 1), "everything came after the FINs");
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_costs_no_more_than_it_says() {
    let mut script = Script::opened();
    script.client(ASK).server(ANSWER);
    script.segment(Who::Server, script.server.next, script.client.next.wrapping_sub(2_000_000_000), ACK, b"");
    script.segment(Who::Server, script.server.next, script.client.next.wrapping_add(2_000_000_000), ACK, b"");
    script.segment(Who::Server, script.server.next, script.client.next.wrapping_add(20_000_000), ACK, b"");
    script.segment(
        Who::Server,
        script.server.next.wrapping_add(2_000_000_000),
        script.client.next + 99,
        ACK,
        b"forged",
    );
    script.segment(Who::Server, script.server.next.wrapping_sub(50_000_000), script.client.next + 99, ACK, b"forged");
    script.client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n").server(ANSWER);
    script.segment(Who::Client, script.client.next.wrapping_add(1_500_000_000), script.server.next, ACK, b"far away");
    script.client(b"GET /three HTTP/1.1\r\nHost: h\r\n\r\n").server(ANSWER).close();
    let lab = Lab::of(&script.frames);
    assert_eq!(lab.resources(), ["/one", "/two", "/three"]);
    let stats = lab.engine.stats();
    assert_eq!((stats.bytes_missing, stats.segments_out_of_window), (0, 2));
}

#[test]
fn without_parsers_payload_is_counted_only() {
    let mut options = flow_core::Options::default();
    options.parsers = None;
    let mut script = Script::opened();
    script.client(ASK).server(ANSWER).close();
    let lab = Lab::of_with(options, &script.frames);
    assert!(lab.calls.is_empty());
    assert_eq!(lab.flow().counters.payload_bytes.client, ASK.len() as u64);
}
