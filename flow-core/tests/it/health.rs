//! What headers tell of a connection's health, with times drawn up by hand.

use std::time::Duration;

use flow_core::{Confidence, Counters, FlowRecord, Options, Sides};
use proptest::prelude::*;
use protocol_parsers::Side;

use crate::frames::{ACK, CLIENT, FIN, RST, SERVER, SYN, UDP, ipv4, udp};
use crate::lab::{Lab, at_ms};
use crate::script::{Frame, Script, Who};

fn flow(script: &Script) -> FlowRecord {
    Lab::of(&script.frames).flow().clone()
}

fn counters(script: &Script) -> Counters {
    flow(script).counters
}

fn sides(client: u64, server: u64) -> Sides<u64> {
    Sides { client, server }
}

const MS: fn(u64) -> Duration = Duration::from_millis;
const MS_NS: u64 = 1_000_000;

#[test]
fn the_handshake_is_timed_in_both_halves() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"").wait(MS(29)).send(Who::Server, SYN | ACK, b"").wait(MS(4));
    script.send(Who::Client, ACK, b"");
    let flow = flow(&script);
    assert_eq!((flow.rtt, flow.rtt_server, flow.rtt_client), (Some(MS(35)), Some(MS(30)), Some(MS(5))));
}

#[test]
fn a_handshake_sent_again_is_timed_from_its_first_segments() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"").wait(MS(999)).segment(Who::Client, 1000, 0, SYN, b"");
    script.send(Who::Server, SYN | ACK, b"").segment(Who::Server, 5000, 1001, SYN | ACK, b"").client(b"");
    let flow = flow(&script);
    assert_eq!((flow.rtt, flow.rtt_server, flow.rtt_client), (Some(MS(1003)), Some(MS(1001)), Some(MS(2))));
    assert_eq!(flow.counters.retransmissions, sides(1, 1));
}

#[test]
fn of_a_handshake_seen_in_part_only_that_part_is_timed() {
    let mut script = Script::opened();
    script.frames.remove(0);
    let without_syn = flow(&script);
    assert_eq!((without_syn.rtt, without_syn.rtt_server, without_syn.rtt_client), (None, None, Some(MS(1))));
    let mut script = Script::opened();
    script.lose().segment(Who::Client, 1001, 4711, ACK, b"");
    assert_eq!(flow(&script).rtt, None, "an acknowledgement of something else");
    let mut script = Script::new();
    script.client(b"x").server(b"y");
    assert_eq!(flow(&script).rtt, None, "joined later");
}

#[test]
fn the_kernel_and_the_application_are_timed_apart() {
    let mut script = Script::opened();
    script.client(b"ask").wait(MS(1)).server(b"").wait(MS(47)).server(b"answer").client(b"");
    script.wait(MS(500)).client(b"more ").client(b"questions").wait(MS(9)).server(b"answers").client(b"");
    let counters = counters(&script);
    assert_eq!((counters.srt.count, counters.srt.sum_ns), (1, 2 * MS_NS), "an acknowledgement with data waited for it");
    assert_eq!((counters.art.count, counters.art.sum_ns, counters.art.max_ns), (2, 60 * MS_NS, 50 * MS_NS));
}

#[test]
fn an_acknowledgement_of_a_part_is_none_of_all() {
    let mut script = Script::opened();
    script.client(b"0123456789");
    let next = script.client.next;
    script.segment(Who::Server, script.server.next, next - 1, ACK, b"").wait(MS(5)).server(b"");
    assert_eq!(counters(&script).srt.sum_ns, 7 * MS_NS);
}

/// Which of the two was acknowledged cannot be told.
#[test]
fn data_that_was_sent_again_gives_no_response_time() {
    let mut script = Script::opened();
    let (seq, ack) = (script.client.next, script.server.next);
    script.client(b"ask").segment(Who::Client, seq, ack, ACK, b"ask").server(b"");
    let counters = counters(&script);
    assert_eq!((counters.srt.count, counters.retransmissions), (0, sides(1, 0)));
}

#[test]
fn data_sent_again_in_whole_or_in_part_is_a_retransmission() {
    let mut script = Script::opened();
    let seq = script.server.next;
    script.server(b"0123456789").server(b"abcdefghij");
    let ack = script.client.next;
    for (from, data) in [(0, &b"0123456789"[..]), (5, b"56789abcde"), (18, b"ij"), (0, b"0123456789abcdefghij")] {
        script.segment(Who::Server, seq + from, ack, ACK, data);
    }
    assert_eq!(counters(&script).retransmissions, sides(0, 4));
    script.segment(Who::Server, seq + 10, ack, ACK, b"abcdefghijXYZ");
    assert_eq!(counters(&script).retransmissions, sides(0, 4), "with something new it is none");
}

#[test]
fn a_closing_sent_again_is_a_retransmission() {
    let mut script = Script::opened();
    let (seq, ack) = (script.client.next, script.server.next);
    script.send(Who::Client, FIN | ACK, b"").segment(Who::Client, seq, ack, FIN | ACK, b"");
    assert_eq!(counters(&script).retransmissions, sides(1, 0));
}

#[test]
fn what_fills_a_hole_is_out_of_order() {
    let mut script = Script::opened();
    for data in [b"aa", b"bb", b"cc", b"dd"] {
        script.client(data);
    }
    let length = script.frames.len();
    script.frames.swap(length - 3, length - 1);
    let counted = counters(&script);
    assert_eq!((counted.out_of_order, counted.retransmissions), (sides(2, 0), sides(0, 0)));
    let again = script.frames[length - 1].clone();
    script.frames.push(again);
    let counted = counters(&script);
    assert_eq!((counted.out_of_order, counted.retransmissions), (sides(2, 0), sides(1, 0)));
}

#[test]
fn keep_alives_are_none() {
    let mut script = Script::opened();
    script.client(b"x").server(b"y").client(b"");
    for data in [&b"\0"[..], b""] {
        script.wait(Duration::from_secs(60));
        script.segment(Who::Client, script.client.next - 1, script.server.next, ACK, data).server(b"");
    }
    let counters = counters(&script);
    assert_eq!((counters.retransmissions, counters.art.count, counters.srt.count), (sides(0, 0), 1, 0));
}

#[test]
fn probes_of_a_closed_window_are_none() {
    let mut script = Script::opened();
    script.client(b"0123456789");
    script.window = 0;
    script.server(b"").server(b"");
    script.window = 1024;
    let seq = script.client.next;
    script.segment(Who::Client, seq, script.server.next, ACK, b"N");
    script.window = 0;
    script.segment(Who::Server, script.server.next, seq, ACK, b"");
    script.window = 1024;
    script.segment(Who::Client, seq, script.server.next, ACK, b"N").server(b"").client(b"N").close();
    let counters = counters(&script);
    assert_eq!(
        (counters.zero_windows, counters.retransmissions, counters.out_of_order),
        (sides(0, 3), sides(0, 0), sides(0, 0))
    );
}

#[test]
fn handshakes_and_resets_close_no_window() {
    let mut script = Script::new();
    script.window = 0;
    script.send(Who::Client, SYN, b"").send(Who::Server, RST | ACK, b"");
    assert_eq!(counters(&script).zero_windows, sides(0, 0));
}

#[test]
fn numbers_wrap() {
    let mut script = Script::new().starting(u32::MAX - 3, u32::MAX);
    script.open().client(b"0123456789").server(b"0123456789").server(b"");
    let (seq, ack) = (script.server.next, script.client.next);
    script.server(b"abc").segment(Who::Server, seq, ack, ACK, b"abc").close();
    let flow = flow(&script);
    assert_eq!((flow.rtt.is_some(), flow.close.unwrap().name()), (true, "finished"));
    assert_eq!((flow.counters.retransmissions, flow.counters.payload_bytes), (sides(0, 1), sides(10, 16)));
}

#[test]
fn more_holes_than_are_kept_in_mind_cost_nothing_else() {
    let mut script = Script::opened();
    let seq = script.client.next;
    for hole in 0..1000u32 {
        script.segment(Who::Client, seq + hole * 10 + 5, script.server.next, ACK, b"xxxxx");
    }
    for hole in 0..1000u32 {
        script.segment(Who::Client, seq + hole * 10, script.server.next, ACK, b"yyyyy");
    }
    let counters = counters(&script);
    assert_eq!((counters.out_of_order, counters.retransmissions), (sides(16, 0), sides(984, 0)));
}

#[test]
fn retransmissions_are_told_apart() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"").segment(Who::Client, 1000, 0, SYN, b"").segment(Who::Client, 1000, 0, SYN, b"");
    script.send(Who::Server, SYN | ACK, b"").segment(Who::Server, 5000, 1001, SYN | ACK, b"").client(b"");
    script.client(b"ask").segment(Who::Client, 1001, 5001, ACK, b"ask").server(b"answer").client(b"").close();
    script.segment(Who::Server, 5007, 1005, FIN | ACK, b"");
    let counted = counters(&script);
    assert_eq!((counted.retransmissions, counted.data_retransmissions), (sides(3, 2), sides(1, 0)));
    assert_eq!((counted.syn_retransmissions, counted.syn_ack_retransmissions), (sides(2, 0), sides(0, 1)));
    assert_eq!(counted.spurious_retransmissions, sides(0, 1), "the FIN was acknowledged");
}

#[test]
fn what_was_acknowledged_is_sent_again_without_need() {
    let mut script = Script::opened();
    let (seq, ack) = (script.server.next, script.client.next);
    script.server(b"0123456789").server(b"abcdefghij");
    script.segment(Who::Server, seq, ack, ACK, b"0123456789");
    assert_eq!(counters(&script).spurious_retransmissions, sides(0, 0));
    script.segment(Who::Client, ack, seq + 10, ACK, b"");
    script.segment(Who::Server, seq + 10, ack, ACK, b"abcdefghij");
    assert_eq!(counters(&script).spurious_retransmissions, sides(0, 0), "the second half was not");
    script.segment(Who::Server, seq, ack, ACK, b"0123456789");
    assert_eq!(counters(&script).spurious_retransmissions, sides(0, 1));
    script.server(b"new").segment(Who::Server, seq, ack, ACK, b"0123456789");
    let counted = counters(&script);
    assert_eq!((counted.spurious_retransmissions, counted.retransmissions), (sides(0, 2), sides(0, 4)));
}

#[test]
fn a_hole_at_the_receiver_makes_duplicate_acks() {
    let mut script = Script::opened();
    let (seq, ack) = (script.server.next, script.client.next);
    script.client(b"ask").server(b"aaaa").server(b"bbbb").server(b"cccc").server(b"dddd");
    // The first was lost behind the capture: each that comes is answered by what the request had said.
    for _ in 0..3 {
        script.segment(Who::Client, ack + 3, seq, ACK, b"");
    }
    script.segment(Who::Server, seq, ack + 3, ACK, b"aaaa").client(b"");
    let counted = counters(&script);
    assert_eq!((counted.duplicate_acks, counted.data_retransmissions), (sides(3, 0), sides(0, 1)));
}

#[test]
fn an_acknowledgement_that_says_something_else_is_no_duplicate() {
    let mut script = Script::opened();
    let (seq, ack) = (script.server.next, script.client.next);
    script.client(b"").client(b"");
    assert_eq!(counters(&script).duplicate_acks, sides(0, 0), "nothing waits for more");
    script.server(b"0123456789");
    script.segment(Who::Client, ack, seq + 4, ACK, b"");
    assert_eq!(counters(&script).duplicate_acks, sides(0, 0), "another number");
    script.window = 2048;
    script.segment(Who::Client, ack, seq + 4, ACK, b"");
    assert_eq!(counters(&script).duplicate_acks, sides(0, 0), "another window");
    script.segment(Who::Client, ack, seq + 4, ACK, b"data");
    assert_eq!(counters(&script).duplicate_acks, sides(0, 0), "with data");
    script.segment(Who::Client, ack + 4, seq + 4, ACK, b"");
    assert_eq!(counters(&script).duplicate_acks, sides(1, 0));
    script.segment(Who::Client, ack + 4, seq + 4, FIN | ACK, b"");
    assert_eq!(counters(&script).duplicate_acks, sides(1, 0), "with a FIN");
}

#[test]
fn of_one_direction_alone_nobody_knows_what_waits() {
    let mut script = Script::opened();
    let (seq, ack) = (script.server.next, script.client.next);
    script.frames.clear();
    for _ in 0..3 {
        script.segment(Who::Client, ack, seq, ACK, b"");
    }
    script.segment(Who::Client, ack, seq, ACK, b"x").segment(Who::Client, ack, seq, ACK, b"x").segment(
        Who::Client,
        ack,
        seq,
        ACK,
        b"xx",
    );
    let counted = counters(&script);
    assert_eq!((counted.duplicate_acks, counted.spurious_retransmissions), (sides(0, 0), sides(0, 0)));
}

#[test]
fn a_window_is_closed_until_its_end_says_otherwise() {
    let mut script = Script::opened();
    script.client(b"0123456789");
    script.window = 0;
    script.server(b"");
    script.window = 1024;
    let (seq, ack) = (script.client.next, script.server.next);
    script.wait(MS(199)).segment(Who::Client, seq - 1, ack, ACK, b"").wait(MS(299));
    script.window = 0;
    script.server(b"");
    script.window = 1024;
    script.wait(MS(99)).server(b"").wait(MS(5000)).client(b"more").server(b"");
    let counted = counters(&script);
    assert_eq!((counted.zero_windows, counted.zero_window_ns), (sides(0, 2), sides(0, 600 * MS_NS)));
}

#[test]
fn a_reset_ends_the_time_of_a_closed_window() {
    let mut script = Script::opened();
    script.client(b"0123456789");
    script.window = 0;
    script.server(b"").wait(MS(49)).reset(Who::Client).wait(MS(500)).reset(Who::Client);
    assert_eq!(counters(&script).zero_window_ns, sides(0, 50 * MS_NS));
}

/// A handshake in which both ends say that they shift their windows by so much, if at all.
fn opened_with_scales([client, server]: [Option<u8>; 2]) -> Script {
    let mut script = Script::new();
    let option = |scale: Option<u8>| scale.map_or(Vec::new(), |scale| vec![1, 3, 3, scale]);
    script.options = option(client);
    script.send(Who::Client, SYN, b"");
    script.options = option(server);
    script.send(Who::Server, SYN | ACK, b"");
    script.options.clear();
    script.send(Who::Client, ACK, b"");
    script
}

/// The client sends as much as a window of 3,000 bytes takes; the server has room for more after so many milliseconds.
fn filled_after(mut script: Script, window: u16, waits: u64) -> Counters {
    script.window = window;
    script.client(b"").server(b"").client(&[0; 1400]).client(&[0; 1400]).wait(MS(waits - 1)).server(b"");
    counters(&script)
}

#[test]
fn a_sender_is_limited_by_the_others_window_while_no_segment_fits_in() {
    let limited = |scales, window| filled_after(opened_with_scales(scales), window, 40).window_limited_ns;
    assert_eq!(limited([Some(0), Some(0)], 3000), sides(40 * MS_NS, 0));
    assert_eq!(limited([Some(7), Some(2)], 750), sides(40 * MS_NS, 0), "each shifts its own");
    assert_eq!(limited([Some(0), Some(2)], 3000), sides(0, 0), "there is room for more");
    assert_eq!(limited([None, Some(2)], 3000), sides(40 * MS_NS, 0), "only if both want to");
    assert_eq!(limited([Some(2), None], 3000), sides(40 * MS_NS, 0), "only if both want to");
    assert_eq!(limited([Some(14), Some(200)], 1), sides(0, 0), "more than 14 is 14");
}

#[test]
fn half_of_a_small_window_is_as_good_as_a_full_segment() {
    let mut script = opened_with_scales([Some(0), Some(0)]);
    script.window = 600;
    script.client(b"").server(b"").client(&[0; 250]).wait(MS(9)).client(&[0; 100]).wait(MS(29)).server(b"");
    assert_eq!(counters(&script).window_limited_ns, sides(30 * MS_NS, 0));
}

#[test]
fn windows_of_connections_joined_later_are_not_known() {
    let mut script = opened_with_scales([Some(0), Some(0)]);
    script.frames.drain(..2);
    assert_eq!(filled_after(script, 3000, 40).window_limited_ns, sides(0, 0));
}

/// The options of a segment: its sender's clock, and what of the other's it echoes.
fn clocks(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat()
}

/// The client says something at 100 of its clock, and again at 150; the server acknowledges and echoes.
fn repeated(echo: u32) -> Counters {
    let mut script = Script::opened();
    script.options = clocks(100, 1);
    let (seq, ack) = (script.client.next, script.server.next);
    script.client(b"ask").wait(MS(49));
    script.options = clocks(150, 1);
    script.segment(Who::Client, seq, ack, ACK, b"ask").wait(MS(6));
    script.options = clocks(2, echo);
    script.server(b"");
    counters(&script)
}

#[test]
fn the_clock_that_is_echoed_tells_which_of_two_was_acknowledged() {
    let second = repeated(150);
    assert_eq!((second.srt.count, second.srt.sum_ns), (1, 7 * MS_NS));
    assert_eq!(second.spurious_retransmissions, sides(0, 0));
    let first = repeated(100);
    assert_eq!((first.srt.count, first.srt.sum_ns), (1, 57 * MS_NS));
    assert_eq!((first.retransmissions, first.spurious_retransmissions), (sides(1, 0), sides(1, 0)));
}

#[test]
fn what_is_sent_a_third_time_is_told_by_the_second() {
    let mut script = Script::opened();
    let (seq, ack) = (script.client.next, script.server.next);
    script.client(b"ask");
    for clock in [150, 250] {
        script.options = clocks(clock, 1);
        script.segment(Who::Client, seq, ack, ACK, b"ask");
    }
    script.options = clocks(2, 250);
    script.server(b"").client(b"more").server(b"");
    let counted = counters(&script);
    assert_eq!((counted.retransmissions, counted.spurious_retransmissions), (sides(2, 0), sides(0, 0)));
    assert_eq!((counted.srt.count, counted.srt.max_ns), (2, MS_NS));
}

#[test]
fn the_client_idles_between_an_answer_and_its_next_request() {
    let mut script = Script::opened();
    script.wait(MS(70)).client(b"one").server(b"ans").server(b"wer").client(b"").wait(MS(98));
    script.client(b"two").server(b"answer").wait(MS(19)).client(b"three").server(b"answer").close();
    let counted = counters(&script);
    assert_eq!((counted.idle.count, counted.idle.sum_ns, counted.idle.max_ns), (2, 120 * MS_NS, 100 * MS_NS));
    assert_eq!((counted.art.count, counted.art.sum_ns), (3, 3 * MS_NS));
}

/// More than the small counters have room for, and longer.
#[test]
fn many_and_long_responses_are_all_kept() {
    let mut script = Script::opened();
    for turn in 0..100 {
        script.client(b"ask").wait(MS(if turn == 50 { 5000 } else { 9 })).server(b"").server(b"answer").wait(MS(4));
    }
    let counted = counters(&script);
    let art = (99 * 11 + 5002) * MS_NS;
    assert_eq!((counted.art.count, counted.art.sum_ns, counted.art.max_ns), (100, art, 5002 * MS_NS));
    assert_eq!((counted.idle.count, counted.idle.sum_ns, counted.idle.max_ns), (99, 99 * 5 * MS_NS, 5 * MS_NS));
    assert_eq!((counted.srt.count, counted.srt.max_ns), (100, 5001 * MS_NS));
}

/// Of datagrams from the client's port to the server's, and back: when, and whether back.
fn datagrams(client: u16, server: u16, turns: &[(u64, bool)]) -> FlowRecord {
    let frames = turns.iter().map(|&(ms, is_back)| {
        let payload = b"\0\x01\x02\x03 unknown";
        let there = || ipv4(CLIENT, SERVER, UDP, &udp(client, server, payload));
        let back = || ipv4(SERVER, CLIENT, UDP, &udp(server, client, payload));
        Frame { time: at_ms(ms), bytes: if is_back { back() } else { there() } }
    });
    Lab::of(&frames.collect::<Vec<_>>()).flow().clone()
}

#[test]
fn datagrams_are_answered_by_the_first_one_back() {
    let turns = [(0, false), (10, false), (13, true), (20, true), (120, false), (127, true)];
    let Counters { art, idle, srt, .. } = datagrams(40_000, 4000, &turns).counters;
    assert_eq!((art.count, art.sum_ns, art.max_ns), (2, 10 * MS_NS, 7 * MS_NS));
    assert_eq!((idle.count, idle.sum_ns, srt.count), (1, 100 * MS_NS, 0));
}

fn echoes(turns: &[(u64, bool, u16)]) -> FlowRecord {
    let frames = turns.iter().map(|&(ms, is_reply, sequence)| {
        let [high, low] = sequence.to_be_bytes();
        let message = [if is_reply { 0 } else { 8 }, 0, 0, 0, 0, 9, high, low, 1, 2, 3, 4];
        let (from, to) = if is_reply { (SERVER, CLIENT) } else { (CLIENT, SERVER) };
        Frame { time: at_ms(ms), bytes: ipv4(from, to, 1, &message) }
    });
    Lab::of(&frames.collect::<Vec<_>>()).flow().clone()
}

#[test]
fn an_echo_is_timed_by_its_sequence_number() {
    let srt = echoes(&[(0, false, 1), (7, true, 1), (7, true, 1), (1000, false, 2), (2000, false, 3), (2009, true, 3)]);
    assert_eq!(
        (srt.counters.srt.count, srt.counters.srt.sum_ns),
        (2, 16 * MS_NS),
        "once each, and only those that came"
    );
    let late = echoes(&[(0, false, 1), (10, false, 2), (20, false, 3), (45, true, 1), (47, true, 3), (57, true, 2)]);
    assert_eq!((late.counters.srt.count, late.counters.srt.sum_ns), (3, (45 + 27 + 47) * MS_NS));
    let flood: Vec<_> = (0..1000).map(|n| (u64::from(n), false, n)).collect();
    let answered: Vec<_> = flood.iter().copied().chain((0..1000).map(|n| (1000, true, n))).collect();
    assert_eq!(echoes(&answered).counters.srt.count, 33, "the last, and as many before as are kept in mind");
}

#[test]
fn who_answers_an_echo_is_the_server_even_if_only_that_was_seen() {
    let flow = echoes(&[(0, true, 1)]);
    assert_eq!((flow.conversation.server.ip(), flow.confidence), (SERVER.into(), Confidence::Handshake));
}

#[test]
fn the_record_says_what_tells_the_client() {
    let confidence = |script: &Script| flow(script).confidence;
    assert_eq!(confidence(Script::opened().client(b"?")), Confidence::Handshake);
    let mut refused = Script::new();
    refused.send(Who::Client, SYN, b"");
    assert_eq!(confidence(&refused), Confidence::Handshake);
    let mut late = Script::opened();
    late.client(b"?").frames.swap(1, 3);
    late.frames.remove(0);
    assert_eq!(confidence(&late), Confidence::Handshake, "its SYN-ACK was captured behind other packets");
    assert_eq!(confidence(Script::new().client(b"?").server(b"!")), Confidence::Port);
    assert_eq!(confidence(Script::new().on_port(81).client(b"?").server(b"!")), Confidence::Guess);
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(confidence(Script::new().on_port(81).client(request)), Confidence::Protocol);
    assert_eq!(datagrams(40_000, 4000, &[(0, false)]).confidence, Confidence::Port);
    assert_eq!(datagrams(4000, 4001, &[(0, false)]).confidence, Confidence::Guess);
    assert!(Confidence::Guess < Confidence::Port && Confidence::Port < Confidence::History);
    assert!(Confidence::History < Confidence::Protocol && Confidence::Protocol < Confidence::Handshake);
}

/// A conversation of which the handshake was not seen, between this port of the client and 50000 of the server.
fn joined(client: u16) -> Script {
    let mut script = Script::new().on_port(client);
    script.server.port = 50_000;
    script.server(b"!").client(b"?");
    script
}

#[test]
fn who_was_seen_to_serve_is_the_server_of_what_is_joined_later() {
    let last = |frames: &[Frame]| {
        let flow = Lab::of(frames).flows.last().unwrap().clone();
        (flow.conversation.server.port(), flow.confidence)
    };
    let later = joined(40_001).frames;
    assert_eq!(last(&later), (40_001, Confidence::Guess), "of two high ports the lower");
    let mut opened = Script::new();
    opened.server.port = 50_000;
    opened.open().close();
    assert_eq!(last(&[&opened.frames[..], &later].concat()), (50_000, Confidence::History));
    let mut refused = Script::new();
    refused.server.port = 50_000;
    refused.send(Who::Client, SYN, b"").send(Who::Server, SYN | ACK, b"").reset(Who::Client);
    assert_eq!(last(&[&refused.frames[..], &later].concat()), (40_001, Confidence::Guess), "anyone can send a SYN-ACK");
    let mut spoken = Script::new();
    spoken.server.port = 50_000;
    spoken.client(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").reset(Who::Client).wait(MS(2001));
    let mut later = joined(40_001);
    for frame in &mut later.frames {
        frame.time = spoken.now;
    }
    assert_eq!(last(&[spoken.frames, later.frames].concat()), (50_000, Confidence::History));
}

/// What happens in a connection that has trouble.
fn trouble() -> impl Strategy<Value = Vec<(u8, u16, u16)>> {
    prop::collection::vec((0..9u8, 0..40u16, 0..3000u16), 1..80)
}

fn troubled(steps: &[(u8, u16, u16)]) -> Script {
    let mut script = Script::opened();
    for &(what, back, wait) in steps {
        let who = if back % 2 == 0 { Who::Client } else { Who::Server };
        let (client, server) = (script.client.next, script.server.next);
        let back = u32::from(back);
        let (seq, ack) = if who == Who::Client { (client - back, server) } else { (server - back, client) };
        script.window = if what == 8 { 0 } else { 1024 };
        script.options = if wait % 2 == 0 { clocks(u32::from(wait), back) } else { Vec::new() };
        match what {
            0..3 => script.send(who, ACK, b"0123456789"),
            3 => script.segment(who, seq, ack, ACK, b"0123456789"),
            4 => script.segment(who, seq + 20, ack, ACK, b"0123456789"),
            5 => script.segment(who, seq + back, ack - back, ACK, b""),
            6 => script.segment(who, seq + back, ack - 10, ACK, b""),
            _ => script.send(who, ACK, b""),
        };
        script.wait(Duration::from_millis(u64::from(wait)));
    }
    script
}

proptest! {
    #[test]
    fn pieces_of_a_conversation_in_trouble_add_up_to_it(steps in trouble(), length in 1..20u64) {
        let script = troubled(&steps);
        let whole = counters(&script);
        let mut pieces = Options::default();
        pieces.pieces = Some(Duration::from_secs(length));
        let lab = Lab::of_with(pieces, &script.frames);
        let mut sum = Counters::default();
        for piece in &lab.flows {
            sum.merge(&piece.counters);
        }
        prop_assert_eq!(sum, whole);
        let Counters { syn_retransmissions, syn_ack_retransmissions, data_retransmissions, .. } = whole;
        for side in [Side::Client, Side::Server] {
            let kinds = [syn_retransmissions, syn_ack_retransmissions, data_retransmissions].map(|sides| sides.of(side));
            prop_assert_eq!(kinds.iter().sum::<u64>(), whole.retransmissions.of(side));
            prop_assert!(whole.spurious_retransmissions.of(side) <= whole.retransmissions.of(side));
        }
    }

    /// A naive model: a byte is new, was skipped, or was seen.
    #[test]
    fn every_segment_is_new_or_late_or_repeated(
        start in any::<u32>(),
        segments in prop::collection::vec((0u32..60, 2usize..12), 1..40),
    ) {
        let mut script = Script::new().starting(start, 5000);
        script.open();
        let base = script.client.next;
        let mut seen = [false; 100];
        let mut edge = 0;
        let (mut late, mut repeated) = (0, 0);
        for &(from, length) in &segments {
            script.segment(Who::Client, base.wrapping_add(from), script.server.next, ACK, &vec![b'x'; length]);
            let (from, to) = (from as usize, from as usize + length);
            if to > edge {
                edge = to;
            } else if seen[from..to].iter().all(|seen| *seen) {
                repeated += 1;
            } else {
                late += 1;
            }
            seen[from..to].fill(true);
        }
        let counters = counters(&script);
        prop_assert_eq!((counters.out_of_order.client, counters.retransmissions.client), (late, repeated));
    }
}
