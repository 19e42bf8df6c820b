//! What headers tell of a connection's health, with times drawn up by hand.

use std::time::Duration;

use flow_core::{Counters, FlowRecord, Sides};
use proptest::prelude::*;

use crate::frames::{ACK, FIN, RST, SYN};
use crate::lab::Lab;
use crate::script::{Script, Who};

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

proptest! {
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
