//! Captures whose two directions are out of step: an acknowledgement is seen before the bytes that it acknowledges.

use std::time::Duration;

use flow_core::{Close, Options};
use proptest::prelude::*;
use protocol_parsers::{CallKind, Status};

use crate::frames::{ACK, SYN};
use crate::lab::{Lab, at_ms};
use crate::script::{Script, Who};

fn ask(number: usize) -> Vec<u8> {
    format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

fn answer(number: usize) -> Vec<u8> {
    let body = "x".repeat(number);
    format!("HTTP/1.1 200 OK\r\nContent-Length: {number:2}\r\n\r\n{body}").into_bytes()
}

/// So many requests, each answered before the next.
fn dialog(calls: usize) -> Script {
    let mut script = Script::opened();
    for number in 0..calls {
        script.client(&ask(number)).server(&answer(number));
    }
    script
}

/// Exchanges what was captured, not when.
fn swap(script: &mut Script, first: usize, second: usize) {
    let times = [script.frames[first].time, script.frames[second].time];
    script.frames.swap(first, second);
    [script.frames[first].time, script.frames[second].time] = times;
}

/// Each call, and which answer it has.
fn seen(lab: &Lab) -> Vec<(CallKind, &str, Option<usize>)> {
    let number = |bytes: u64| (bytes as usize).checked_sub(answer(0).len());
    lab.calls
        .iter()
        .map(|call| (call.kind, call.resource.as_deref().unwrap_or("-"), number(call.response_bytes)))
        .collect()
}

const WHOLE: CallKind = CallKind::RequestResponse;
const ALONE: CallKind = CallKind::RequestOnly;

#[test]
fn a_request_that_overtakes_the_answer_it_acknowledges_waits_for_it() {
    let mut script = dialog(2);
    swap(&mut script, 4, 5);
    let lab = Lab::of(&script.frames);
    assert_eq!(seen(&lab), [(WHOLE, "/0", Some(0)), (WHOLE, "/1", Some(1))]);
    let times: Vec<_> = lab.calls.iter().map(|call| (call.start, call.duration)).collect();
    let one = |start, duration| (at_ms(start), Some(Duration::from_millis(duration)));
    assert_eq!(times, [one(3, 2), one(4, 2)]);
    assert_eq!(lab.engine.stats().bytes_missing, 0);
}

#[test]
fn each_of_several_waits_for_its_own_answer() {
    let mut script = dialog(4);
    // All requests, then all answers.
    let frames = script.frames.clone();
    for (place, from) in [3, 5, 7, 9, 4, 6, 8, 10].into_iter().enumerate() {
        script.frames[3 + place].bytes.clone_from(&frames[from].bytes);
    }
    let lab = Lab::of(&script.frames);
    let all: Vec<_> = (0..4).map(|number| (WHOLE, format!("/{number}"), Some(number))).collect();
    assert!(seen(&lab).into_iter().eq(all.iter().map(|(kind, path, code)| (*kind, path.as_str(), *code))));
}

#[test]
fn an_answer_that_was_lost_costs_its_call_alone() {
    let mut script = dialog(4);
    script.frames.remove(6);
    let mut lab = Lab::new();
    lab.play(&script.frames);
    let calls = [(WHOLE, "/0", Some(0)), (ALONE, "/1", None), (WHOLE, "/2", Some(2)), (WHOLE, "/3", Some(3))];
    assert_eq!(seen(&lab), calls, "known at the server's next packet");
    assert_eq!(lab.engine.stats().bytes_missing, answer(1).len() as u64);
    lab.finish();
}

/// Requests whose answers were all lost, so long after each other; how many are known before the end.
fn unanswered(requests: usize, apart: Duration) -> usize {
    let mut script = dialog(1);
    for number in 1..=requests {
        script.server(&answer(number)).lose().client(&ask(number)).wait(apart);
    }
    let mut lab = Lab::new();
    lab.play(&script.frames);
    let known = lab.calls.len();
    lab.finish();
    assert_eq!(lab.calls.len(), requests + 1, "none is lost");
    known
}

#[test]
fn nobody_waits_for_ever() {
    assert_eq!(unanswered(20, Duration::ZERO), 1);
    assert!(unanswered(80, Duration::ZERO) > 60, "packets");
    assert!(unanswered(20, Duration::from_millis(1100)) > 15, "time");
}

#[test]
fn what_waits_is_bounded_in_memory() {
    let mut options = Options::default();
    options.limits.reassembly_bytes_per_side = 4096;
    let mut script = dialog(1);
    script.server(&answer(1)).lose();
    for _ in 0..5 {
        script.client(&[b'x'; 1000]);
    }
    let mut lab = Lab::with(options);
    lab.play(&script.frames);
    let stats = lab.engine.stats();
    let requests = ask(0).len() as u64 + 5000;
    assert_eq!((stats.reassembly_overflows, stats.bytes_delivered), (1, requests + answer(0).len() as u64));
    lab.finish();
}

proptest! {
    #[test]
    fn neighbours_that_change_places_cost_no_call(
        calls in 1usize..12,
        swaps in prop::collection::vec(any::<bool>(), 24),
    ) {
        let mut script = dialog(calls);
        let mut place = 3;
        while place + 1 < script.frames.len() {
            if swaps[place - 3] {
                swap(&mut script, place, place + 1);
                place += 1;
            }
            place += 1;
        }
        // Whoever hears of an answer before its question was seen cannot know better.
        let lab = Lab::of(&script.frames);
        prop_assert_eq!(lab.engine.stats().bytes_missing, 0);
        prop_assert_eq!(lab.calls.len(), calls, "{:?}", seen(&lab));
        prop_assert!(lab.calls.iter().all(|call| call.kind == WHOLE && call.status == Status::Ok), "{:?}", seen(&lab));
    }
}

#[test]
fn a_handshake_seen_behind_data_tells_who_opened() {
    // The server has the higher port, so that the ports mislead.
    for late in [SYN, SYN | ACK] {
        let mut script = Script::new().on_port(50);
        script.open();
        let who = if late == SYN { 0 } else { 1 };
        let repeated = script.frames[who].clone();
        script.frames.clear();
        script.client(b"?").client(b"!");
        script.frames.push(repeated);
        script.server(b".");
        let conversation = Lab::of(&script.frames).flow().conversation;
        assert_eq!((conversation.client.port(), conversation.server.port()), (50, 80));
    }
}

#[test]
fn a_refusal_seen_before_what_it_refuses_is_one() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"").reset(Who::Server);
    swap(&mut script, 0, 1);
    let lab = Lab::of(&script.frames);
    let flow = lab.flow();
    assert_eq!((flow.close, flow.conversation.client.port()), (Some(Close::Refused), 40_000));
}

#[test]
fn a_reset_that_answers_another_connection_is_none_of_this() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"").reset(Who::Server);
    swap(&mut script, 0, 1);
    script.frames.pop();
    script.client.next += 99;
    script.send(Who::Client, SYN, b"");
    assert_eq!(Lab::of(&script.frames).flows.len(), 2);
}
