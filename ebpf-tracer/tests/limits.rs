//! Every bound is reached, and its counter says so.

mod support;

use std::time::Duration;

use ebpf_tracer::events::SocketEvent;
use support::{Call, Lab, MS, SECOND, client, server};

/// A connection of its own.
fn connection(number: u16) -> SocketEvent {
    SocketEvent { local_port: 30_000 + number, fd: i32::from(number), ..client(100 + u64::from(number)) }
}

#[test]
fn more_events_or_bytes_than_may_be_held_back_are_let_go_early() {
    for limit in [(2, usize::MAX), (usize::MAX, 6)] {
        let mut lab = Lab::limited(|limits| (limits.reorder_events, limits.reorder_bytes) = limit);
        for number in 0..5 {
            lab.push(client(10).sends(MS, MS, 100 + number * 3, 3), b"GET");
        }
        assert!(lab.tracer.held() <= 2);
        assert_eq!(lab.tracer.stats().hurried, 3);
        assert_eq!(lab.finish().len(), 7);
    }
}

#[test]
fn an_event_later_than_is_waited_for_is_counted() {
    let mut lab = Lab::new();
    lab.push(client(10).by(1, 2).receives(MS, 10 * MS, 500, 2), b"OK");
    assert_eq!(lab.until(40 * MS).len(), 2);
    lab.push(client(10).sends(5 * MS, 50 * MS, 100, 3), b"GET");
    assert_eq!(lab.finish()[0], "1 client 0 GET seq 100");
    assert_eq!(lab.tracer.stats().late, 1);
}

#[test]
fn more_pieces_or_bytes_than_may_wait_for_missing_ones_give_these_up() {
    for (pieces, bytes, total) in [(3, 1 << 20, 1 << 20), (64, 9, 1 << 20), (64, 1 << 20, 9)] {
        let mut lab = Lab::limited(|limits| {
            (limits.gap_pieces, limits.gap_bytes, limits.gap_bytes_total) = (pieces, bytes, total);
            limits.gap = Duration::from_secs(3600);
        });
        for number in [0, 2, 3, 4] {
            lab.push(client(10).sends(MS, MS, 100 + number * 3, 3), b"GET");
        }
        assert_eq!(lab.until(SECOND).len(), 2, "three wait");
        lab.push(client(10).sends(2 * SECOND, 2 * SECOND, 115, 3), b"GET");
        assert_eq!(lab.until(3 * SECOND).len(), 4, "all are handed on");
        let stats = lab.tracer.stats();
        assert_eq!((stats.gaps, stats.gaps_hurried, stats.bytes_lost), (1, 1, 3));
    }
}

#[test]
fn a_datagram_longer_than_may_wait_is_cut() {
    let mut lab = Lab::limited(|limits| limits.gap_bytes = 4);
    let datagram = support::datagrams(10, 2).sends(MS, MS, 0, 6).unpositioned();
    lab.push(datagram.at(0, false), b"abc");
    lab.push(datagram.at(3, true), b"def");
    assert_eq!(lab.finish()[1], "1 client 0 abc +3");
}

#[test]
fn more_streams_than_may_be_followed_end_the_quietest() {
    let mut lab = Lab::limited(|limits| limits.streams = 3);
    for number in [0, 1, 2, 0] {
        let time = (u64::from(number) + 1) * MS;
        lab.push(connection(number).sends(time, time, 100, 1).unpositioned(), b"a");
    }
    lab.push(connection(0).sends(10 * MS, 10 * MS, 100, 1).unpositioned(), b"b");
    lab.push(connection(3).sends(11 * MS, 11 * MS, 100, 1), b"a");
    let seen = lab.until(SECOND);
    assert_eq!(seen[seen.len() - 3], "2 close at 2 ms");
    assert_eq!((lab.tracer.streams(), lab.tracer.stats().streams_evicted), (3, 1));
}

#[test]
fn more_descriptors_or_ports_than_may_be_remembered_are_counted() {
    let mut lab = Lab::limited(|limits| (limits.holders, limits.listening) = (1, 1));
    lab.push(server(20).receives(MS, MS, 100, 1), b"a");
    lab.push(server(20).by(3, 3).receives(2 * MS, 2 * MS, 101, 1), b"b");
    lab.tracer.listening(1, 80, true);
    lab.tracer.listening(1, 80, true);
    lab.tracer.listening(1, 81, true);
    lab.finish();
    assert_eq!((lab.tracer.stats().holders_dropped, lab.tracer.stats().listening_dropped), (1, 1));
    lab.tracer.listening(1, 80, false);
    lab.tracer.listening(1, 81, true);
    assert_eq!(lab.tracer.stats().listening_dropped, 1);
}

#[test]
fn what_nobody_polls_for_becomes_a_gap() {
    for limit in [(3, usize::MAX), (usize::MAX, 6)] {
        let mut lab = Lab::limited(|limits| {
            (limits.waiting, limits.waiting_bytes) = limit;
            limits.reorder_events = 0;
        });
        for number in 0..5 {
            lab.push(client(10).sends(MS, MS, 100 + number * 3, 3), b"GET");
        }
        assert_eq!(lab.tracer.stats().dropped, 3);
        lab.drain();
        lab.push(client(10).sends(MS, MS, 115, 3), b"GET");
        assert_eq!(lab.finish()[3], "1 client 15 GET seq 115");
    }
}

#[test]
fn messages_forgotten_and_threads_forgotten_are_counted() {
    let mut lab = Lab::limited(|limits| (limits.threads, limits.marks) = (2, 3));
    for number in 0..5 {
        lab.push(client(10).by(1, number).receives(MS, MS, 100 + number * 3, 3), b"GET");
    }
    lab.finish();
    assert_eq!((lab.tracer.stats().marks_forgotten, lab.tracer.stats().threads_forgotten), (2, 3));
}

#[test]
fn more_tls_connections_than_are_waited_for_are_counted() {
    let mut lab = Lab::limited(|limits| limits.opaque = 1);
    for number in 0..3 {
        let at = MS * u64::from(number + 1);
        lab.push(connection(number).sends(at, at, 100, 6), &[22, 3, 1, 0, 200, 1]);
        lab.push(connection(number).sends(at, at, 106, 8), &[23, 3, 3, 0, 99, 7, 7, 7]);
    }
    lab.finish();
    let told: Vec<_> = std::iter::from_fn(|| lab.tracer.poll_opaque()).map(|connection| connection.time_ns).collect();
    assert_eq!((told, lab.tracer.stats().opaque, lab.tracer.stats().opaque_dropped), (vec![MS], 1, 2));
}
