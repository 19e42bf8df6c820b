//! What processes do with sockets comes out as ordered streams.

mod support;

use ebpf_tracer::events::{Flags, Operation, SocketEvent};
use support::{Call, Lab, MS, SECOND, client, datagrams, server};

#[test]
fn a_request_with_its_answer_seen_at_both_ends_is_two_streams() {
    let mut lab = Lab::new();
    lab.push(client(10).connects(MS), b"");
    lab.push(server(20).accepts(2 * MS), b"");
    lab.push(client(10).sends(3 * MS, 4 * MS, 100, 3), b"GET");
    lab.push(server(20).receives(3 * MS, 5 * MS, 100, 3), b"GET");
    lab.push(server(20).sends(6 * MS, 7 * MS, 500, 2), b"OK");
    lab.push(client(10).receives(5 * MS, 8 * MS, 500, 2), b"OK");
    lab.push(client(10).closes(9 * MS), b"");
    lab.push(server(20).closes(10 * MS), b"");
    assert_eq!(
        lab.until(5 * SECOND),
        [
            "1 open tcp .1:40000 → .2:80",
            "1 client 0 GET seq 100",
            "2 open tcp .1:40000 → .2:80",
            "2 client 0 GET seq 100",
            "2 server 0 OK seq 500",
            "1 server 0 OK seq 500",
            "1 close at 9 ms",
            "2 close at 10 ms",
        ]
    );
    assert_eq!(lab.finish(), [""; 0]);
}

#[test]
fn an_answer_that_another_thread_reads_waits_for_the_request_whose_call_returns_later() {
    let mut lab = Lab::new();
    lab.push(client(10).connects(MS), b"");
    lab.push(client(10).by(1, 9).receives(MS, 8 * MS, 500, 2), b"OK");
    assert_eq!(lab.until(9 * MS), [""; 0]);
    lab.push(client(10).sends(3 * MS, 15 * MS, 100, 3), b"GET");
    let seen = lab.finish();
    assert_eq!(seen[1..3], ["1 client 0 GET seq 100", "1 server 0 OK seq 500"]);
    assert_eq!(lab.tracer.stats().late, 0);
}

#[test]
fn joined_late_the_ports_guess_the_sides_and_a_listening_socket_tells_them() {
    let mut lab = Lab::new();
    lab.push(server(20).receives(MS, MS, 100, 3), b"GET");
    assert_eq!(lab.finish()[0], "1 open tcp .1:40000 ?→ .2:80 joined");
    let mut lab = Lab::new();
    lab.tracer.listening(1, 80, true);
    lab.push(server(20).sends(MS, MS, 100, 3), b"220");
    assert_eq!(lab.finish()[..2], ["1 open tcp .1:40000 → .2:80 joined", "1 server 0 220 seq 100"]);
}

#[test]
fn what_two_processes_have_of_one_socket_is_handed_on_once() {
    let mut lab = Lab::new();
    lab.push(server(20).accepts(MS), b"");
    lab.push(server(20).by(3, 3).receives(2 * MS, 2 * MS, 100, 4), b"GET ");
    lab.push(server(20).by(4, 4).receives(2 * MS, 3 * MS, 100, 5), b"GET /");
    lab.push(server(20).by(3, 3).receives(2 * MS, 4 * MS, 104, 1), b"/");
    let seen = lab.finish();
    assert_eq!(seen[1..3], ["1 client 0 GET  seq 100", "1 client 4 / seq 104"]);
    assert_eq!((lab.tracer.stats().repeated, lab.tracer.stats().bytes_repeated), (1, 5));
}

#[test]
fn what_is_only_looked_at_is_left_out() {
    let mut lab = Lab::new();
    lab.push(server(20).receives(MS, MS, 100, 3).flagged(Flags::PEEK), b"GET");
    lab.push(server(20).receives(MS, 2 * MS, 100, 3), b"GET");
    assert_eq!(lab.finish()[1..2], ["1 client 0 GET seq 100"]);
    assert_eq!(lab.tracer.stats().peeked, 1);
}

#[test]
fn lost_events_become_a_gap_and_nothing_overtakes_it() {
    let mut lab = Lab::new();
    lab.push(client(10).connects(MS), b"");
    lab.push(client(10).sends(2 * MS, 2 * MS, 100, 3), b"one");
    lab.push(client(10).sends(3 * MS, 3 * MS, 110, 5), b"three");
    lab.push(client(10).receives(3 * MS, 4 * MS, 500, 2), b"OK");
    assert_eq!(lab.until(50 * MS).len(), 2, "the answer waits as well");
    let seen = lab.until(SECOND);
    assert_eq!(seen, ["1 client 10 three seq 110", "1 server 0 OK seq 500"]);
    assert_eq!((lab.tracer.stats().gaps, lab.tracer.stats().bytes_lost), (1, 7));
}

#[test]
fn a_piece_that_comes_late_fills_the_gap() {
    let mut lab = Lab::new();
    lab.push(client(10).connects(MS), b"");
    lab.push(client(10).receives(MS, 2 * MS, 500, 3), b"one");
    lab.push(client(10).by(1, 8).receives(MS, 3 * MS, 506, 5), b"three");
    lab.push(client(10).sends(4 * MS, 4 * MS, 100, 4), b"more");
    lab.push(client(10).by(1, 9).receives(MS, 40 * MS, 503, 3), b"two");
    let seen = lab.until(SECOND);
    let order = ["server 0 one seq 500", "server 3 two seq 503", "server 6 three seq 506", "client 0 more seq 100"];
    assert_eq!(seen[1..], order.map(|line| format!("1 {line}")));
    assert_eq!(lab.tracer.stats().gaps, 0);
}

#[test]
fn a_message_without_a_sequence_number_stays_behind_one_that_waits() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 100, 3), b"one");
    lab.push(client(10).sends(2 * MS, 2 * MS, 106, 5), b"three");
    lab.push(client(10).sends(3 * MS, 3 * MS, 0, 4).unpositioned(), b"four");
    let seen = lab.finish();
    assert_eq!(seen[2..4], ["1 client 6 three seq 106", "1 client 11 four seq 111"]);
}

#[test]
fn sequence_numbers_wrap() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, u32::MAX - 1, 4), b"abcd");
    lab.push(client(10).sends(2 * MS, 2 * MS, 2, 2), b"ef");
    let seen = lab.finish();
    assert_eq!(seen[1..3], ["1 client 0 abcd seq 4294967294", "1 client 4 ef seq 2"]);
}

#[test]
fn more_than_half_of_all_sequence_numbers_may_be_missing() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 100, 3), b"one");
    lab.push(client(10).sends(2 * MS, 2 * MS, 3_000_000_103, 3), b"two");
    lab.push(client(10).sends(3 * MS, 3 * MS, 3_000_000_100, 6), b"onetwo");
    let seen = lab.finish();
    assert_eq!(seen[1..3], ["1 client 0 one seq 100", "1 client 3000000000 onetwo seq 3000000100"]);
    assert_eq!(lab.tracer.stats().bytes_lost, 2_999_999_997);
}

#[test]
fn a_message_in_pieces_whose_rest_was_not_captured_is_one_message() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 100, 10).at(0, false), b"abcd");
    lab.push(client(10).sends(MS, MS, 100, 10).at(4, true), b"ef");
    lab.push(client(10).sends(2 * MS, 2 * MS, 110, 1), b"g");
    let seen = lab.finish();
    assert_eq!(seen[1..4], ["1 client 0 abcd seq 100", "1 client 4 ef +4 seq 104", "1 client 10 g seq 110"]);
}

#[test]
fn without_sequence_numbers_lengths_tell_what_is_missing() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 0, 10).unpositioned().at(0, false), b"abcd");
    lab.push(client(10).sends(MS, MS, 0, 10).unpositioned().at(6, false), b"gh");
    lab.push(client(10).sends(2 * MS, 2 * MS, 0, 1).unpositioned(), b"k");
    let seen = lab.finish();
    assert_eq!(seen[1..4], ["1 client 0 abcd", "1 client 6 gh", "1 client 10 k"]);
    assert_eq!((lab.tracer.stats().gaps, lab.tracer.stats().bytes_lost), (2, 4));
}

#[test]
fn a_descriptor_that_is_not_the_last_one_closes_nothing() {
    let mut lab = Lab::new();
    lab.push(server(20).accepts(MS), b"");
    lab.push(server(20).by(3, 3).receives(2 * MS, 2 * MS, 100, 3), b"GET");
    lab.push(server(20).closes(3 * MS), b"");
    assert_eq!(lab.until(10 * SECOND).len(), 2);
    lab.push(server(20).by(3, 3).closes(20 * SECOND), b"");
    assert_eq!(lab.until(22 * SECOND), ["1 close at 20000 ms"]);
}

#[test]
fn a_child_that_takes_over_a_connection_its_parent_closes_goes_on_with_it() {
    let mut lab = Lab::new();
    lab.push(server(20).accepts(MS), b"");
    lab.push(server(20).closes(2 * MS), b"");
    assert_eq!(lab.until(5 * SECOND), [""; 0]);
    lab.push(server(20).by(3, 3).receives(MS, 6 * SECOND, 100, 3), b"GET");
    assert_eq!(lab.until(15 * SECOND), ["1 open tcp .1:40000 → .2:80", "1 client 0 GET seq 100"]);
    lab.ends(3, 16 * SECOND);
    assert_eq!(lab.until(18 * SECOND), ["1 close at 16000 ms"]);
    lab.push(server(20).accepts(20 * SECOND), b"");
    lab.push(server(20).closes(20 * SECOND), b"");
    assert_eq!(lab.tracer.streams(), 0);
    lab.until(25 * SECOND);
    assert_eq!(lab.tracer.streams(), 1);
    lab.until(31 * SECOND);
    assert_eq!(lab.tracer.streams(), 0, "nobody took it over");
}

#[test]
fn a_descriptor_given_to_another_socket_was_closed() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 100, 3), b"GET");
    let mut other = client(11);
    other.local_port = 40_001;
    lab.push(other.connects(2 * SECOND), b"");
    assert_eq!(lab.until(4 * SECOND).last().unwrap(), "1 close at 2000 ms");
}

#[test]
fn an_inode_with_other_addresses_is_another_connection() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 100, 3), b"GET");
    let mut other = client(10);
    other.local_port = 40_001;
    lab.push(other.sends(2 * MS, 2 * MS, 900, 3), b"PUT");
    let mut over = other;
    (over.local_port, over.remote_port) = (0, 0);
    lab.push(over.receives(2 * MS, 3 * MS, 40, 2), b"OK");
    let seen = lab.finish();
    let rest =
        ["1 close at 2 ms", "2 open tcp .1:40001 ?→ .2:80 joined", "2 client 0 PUT seq 900", "2 server 0 OK seq 40"];
    assert_eq!(seen[2..6], rest);
}

#[test]
fn a_quiet_connection_ends_and_comes_again_as_joined() {
    let mut lab = Lab::new();
    lab.push(client(10).connects(MS), b"");
    lab.push(client(10).sends(MS, 2 * MS, 100, 3), b"GET");
    assert_eq!(lab.until(200 * SECOND).last().unwrap(), "1 close at 1 ms");
    lab.push(client(10).sends(201 * SECOND, 201 * SECOND, 103, 3), b"GET");
    assert_eq!(lab.finish()[0], "2 open tcp .1:40000 ?→ .2:80 joined");
}

#[test]
fn datagrams_of_one_socket_are_a_stream_per_peer() {
    let mut lab = Lab::new();
    lab.push(datagrams(10, 2).sends(MS, MS, 0, 3).unpositioned(), b"one");
    lab.push(datagrams(10, 3).sends(2 * MS, 2 * MS, 0, 3).unpositioned(), b"two");
    lab.push(datagrams(10, 2).receives(2 * MS, 3 * MS, 0, 9).unpositioned(), b"three");
    lab.push(datagrams(10, 4).receives(2 * MS, 4 * MS, 0, 0).unpositioned(), b"");
    let seen = lab.finish();
    assert_eq!(
        seen[..7],
        [
            "1 open udp .1:40000 ?→ .2:53",
            "1 client 0 one",
            "2 open udp .1:40000 ?→ .3:53",
            "2 client 0 two",
            "1 server 0 three +4",
            "3 open udp .4:53 ?→ .1:40000",
            "3 client 0 ",
        ]
    );
}

#[test]
fn a_closed_datagram_socket_ends_the_streams_of_all_its_peers() {
    let mut lab = Lab::new();
    for peer in 1..=20 {
        lab.push(datagrams(10, peer).sends(MS, MS, 0, 1).unpositioned(), b"a");
    }
    lab.push(datagrams(10, 1).closes(2 * MS), b"");
    let seen = lab.until(2 * SECOND);
    assert_eq!(seen.iter().filter(|line| line.ends_with("close at 2 ms")).count(), 20);
    assert_eq!(lab.tracer.streams(), 0);
}

#[test]
fn a_datagram_in_pieces_is_one_chunk() {
    let mut lab = Lab::new();
    let datagram = datagrams(10, 2).sends(MS, MS, 0, 9).unpositioned();
    lab.push(datagram.at(0, false), b"abc");
    lab.push(datagram.at(3, false), b"def");
    lab.push(datagram.at(6, true), b"g");
    lab.push(datagrams(10, 2).sends(2 * MS, 2 * MS, 0, 1).unpositioned(), b"x");
    let unfinished = datagrams(10, 2).sends(3 * MS, 3 * MS, 0, 9).unpositioned();
    lab.push(unfinished.at(0, false), b"abc");
    lab.push(unfinished.at(6, true), b"ghi");
    let seen = lab.finish();
    assert_eq!(seen[1..4], ["1 client 0 abcdefg +2", "1 client 9 x", "1 client 10 abc +6"]);
}

#[test]
fn ciphertext_is_left_out_as_soon_as_there_is_plaintext() {
    let mut lab = Lab::new();
    lab.push(client(10).connects(MS), b"");
    lab.push(client(10).sends(2 * MS, 2 * MS, 100, 5), b"hello");
    lab.push(client(10).sends(4 * MS, 5 * MS, 105, 9), b"encrypted");
    lab.push(client(10).tls(77).sends(3 * MS, 6 * MS, 0, 3), b"GET");
    lab.push(client(10).receives(6 * MS, 7 * MS, 500, 9).flagged(Flags::ENCRYPTED), b"encrypted");
    lab.push(client(10).tls(77).receives(6 * MS, 8 * MS, 0, 2), b"OK");
    lab.push(client(10).closes(9 * MS), b"");
    assert_eq!(
        lab.until(5 * SECOND),
        [
            "1 open tcp .1:40000 → .2:80",
            "1 client 0 hello seq 100",
            "2 open tcp .1:40000 → .2:80 tls",
            "2 client 0 GET",
            "2 server 0 OK",
            "1 close at 9 ms",
            "2 close at 9 ms",
        ]
    );
    assert_eq!(lab.tracer.stats().encrypted, 2);
}

#[test]
fn a_tls_connection_that_is_counted_from_the_start_again_is_another_stream() {
    let mut lab = Lab::new();
    lab.push(client(10).connects(MS), b"");
    lab.push(client(10).tls(77).sends(MS, MS, 0, 3), b"GET");
    lab.push(client(10).tls(77).receives(MS, 2 * MS, 4, 2), b"OK");
    lab.push(client(10).tls(77).sends(3 * MS, 3 * MS, 0, 3), b"PUT");
    lab.push(client(11).tls(78).sends(4 * MS, 4 * MS, 50, 3), b"PUT");
    let seen = lab.finish();
    assert_eq!(
        seen[..6],
        [
            "1 open tcp .1:40000 → .2:80 tls",
            "1 client 0 GET",
            "1 server 4 OK",
            "1 close at 3 ms",
            "2 open tcp .1:40000 → .2:80 joined tls",
            "2 client 0 PUT",
        ]
    );
    assert_eq!(seen[6], "3 open tcp .1:40000 ?→ .2:80 joined tls");
}

/// What a TLS library does that is handed ciphertext and hands it back: it knows no socket.
fn in_memory(event: SocketEvent) -> SocketEvent {
    let nowhere = SocketEvent { inode: 0, family: 0, local_port: 0, remote_port: 0, fd: -1, ..event };
    SocketEvent { local: [0; 16], remote: [0; 16], ..nowhere.tls(77) }
}

#[test]
fn a_tls_connection_whose_socket_is_told_later_waits_for_it() {
    let mut lab = Lab::new();
    lab.push(in_memory(client(10)).sends(MS, MS, 0, 3), b"GET");
    lab.push(client(10).tls(77).receives(MS, 2 * MS, 0, 2), b"OK");
    lab.push(in_memory(client(10)).sends(3 * MS, 3 * MS, 3, 3), b"PUT");
    lab.push(client(11).tls(77).sends(4 * MS, 4 * MS, 6, 3), b"GET");
    let seen = lab.finish();
    let first = ["1 open tcp .1:40000 ?→ .2:80 joined tls", "1 client 0 GET", "1 server 0 OK", "1 client 3 PUT"];
    assert_eq!(seen[..4], first);
    assert_eq!(seen[4..6], ["1 close at 4 ms", "2 open tcp .1:40000 ?→ .2:80 joined tls"]);
    assert_eq!(lab.tracer.stats().streams_unaddressed, 0);
}

#[test]
fn what_a_thread_encrypts_it_sends_next() {
    let mut lab = Lab::new();
    lab.push(client(10).connects(MS), b"");
    lab.push(client(10).sends(MS, 2 * MS, 100, 5), b"hello");
    lab.push(in_memory(client(10)).sends(3 * MS, 3 * MS, 0, 3), b"GET");
    lab.push(client(11).sends(3 * MS, 3 * MS, 0, 4), b"\x17\x03\x03\x00");
    lab.push(in_memory(client(10)).sends(4 * MS, 4 * MS, 3, 1), b"/");
    lab.push(client(10).by(1, 9).sends(5 * MS, 5 * MS, 900, 23), b"\x17\x03\x03\x00\x12");
    lab.push(client(10).sends(5 * MS, 5 * MS, 105, 23), b"\x17\x03\x03\x00\x12");
    lab.push(in_memory(client(10)).receives(6 * MS, 6 * MS, 0, 2), b"OK");
    let seen = lab.finish();
    let plain = seen
        .iter()
        .filter(|line| line.ends_with("tls") || line.contains('/') || line.contains("GET") || line.contains("OK"));
    assert_eq!(
        plain.collect::<Vec<_>>(),
        ["3 open tcp .1:40000 → .2:80 tls", "3 client 0 GET", "3 client 3 /", "3 server 0 OK"]
    );
    assert_eq!(lab.tracer.stats().encrypted, 2);
}

#[test]
fn what_a_thread_decrypts_it_received_before() {
    let mut lab = Lab::new();
    lab.push(server(20).accepts(MS), b"");
    lab.push(server(20).receives(MS, 2 * MS, 100, 25), b"\x17\x03\x03\x00\x14");
    lab.push(in_memory(server(20)).receives(3 * MS, 3 * MS, 0, 3), b"GET");
    lab.push(server(20).sends(4 * MS, 4 * MS, 100, 30), b"\x17\x03\x03");
    let seen = lab.finish();
    assert_eq!(seen[2..4], ["2 open tcp .1:40000 → .2:80 tls", "2 client 0 GET"]);
    assert_eq!(lab.tracer.stats().encrypted, 1);
}

#[test]
fn a_tls_connection_whose_socket_nobody_tells_is_handed_on_all_the_same() {
    let mut lab = Lab::new();
    lab.push(in_memory(client(10)).sends(MS, MS, 0, 3), b"GET");
    assert_eq!(lab.until(50 * MS), [""; 0]);
    assert_eq!(lab.until(SECOND), ["1 open tcp ?:0 ?→ ?:0 joined tls", "1 client 0 GET"]);
    lab.push(in_memory(client(10)).receives(MS, 2 * SECOND, 0, 2), b"OK");
    assert_eq!(lab.until(3 * SECOND), ["1 server 0 OK"]);
    assert_eq!(lab.tracer.stats().streams_unaddressed, 1);
}

/// One end of a connection over Unix sockets.
fn unix(inode: u64, peer_inode: u64) -> SocketEvent {
    SocketEvent { family: 1, protocol: 0, local_port: 0, remote_port: 0, peer_inode, ..client(inode) }
}

#[test]
fn unix_sockets_are_streams_between_inodes() {
    let mut lab = Lab::new();
    lab.push(unix(10, 20).connects(MS), b"");
    lab.push(unix(20, 10).by(2, 2).accepts(MS), b"");
    lab.push(unix(10, 20).sends(2 * MS, 2 * MS, 0, 3).unpositioned(), b"GET");
    lab.push(unix(20, 10).by(2, 2).receives(2 * MS, 3 * MS, 0, 3).unpositioned(), b"GET");
    let seen = lab.finish();
    let both = "unix unix:[10] → unix:[20]";
    assert_eq!(seen[0], format!("1 open {both}"));
    assert_eq!(seen[2..4], [format!("2 open {both}"), "2 client 0 GET".to_owned()]);
}

#[test]
fn both_ends_of_a_pair_may_begin() {
    let mut lab = Lab::new();
    lab.push(SocketEvent { operation: Operation::Pair as u8, ..unix(10, 11) }, b"");
    lab.push(SocketEvent { fd: 6, ..unix(11, 10) }.sends(2 * MS, 2 * MS, 0, 3).unpositioned(), b"GET");
    lab.push(unix(10, 11).receives(2 * MS, 3 * MS, 0, 3).unpositioned(), b"GET");
    let seen = lab.finish();
    assert_eq!(seen[0], "1 open unix unix:[11] ?→ unix:[10]");
    assert_eq!(seen[2], "2 open unix unix:[11] ?→ unix:[10]");
}

#[test]
fn a_server_that_speaks_first_is_known_by_its_name() {
    let mut lab = Lab::new();
    lab.push(unix(20, 10).sends(MS, MS, 0, 5).unpositioned().flagged(Flags::SERVER), b"hello");
    lab.push(unix(10, 20).by(2, 2).receives(MS, 2 * MS, 0, 5).unpositioned().flagged(Flags::CLIENT), b"hello");
    let seen = lab.finish();
    let both = "unix unix:[10] → unix:[20] joined";
    assert_eq!(seen[..2], [format!("1 open {both}"), "1 server 0 hello".to_owned()]);
    assert_eq!(seen[2..4], [format!("2 open {both}"), "2 server 0 hello".to_owned()]);
}

#[test]
fn the_last_descriptor_is_closed_whichever_it_was() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 0, 3), b"GET");
    lab.push(SocketEvent { fd: 9, ..client(10).by(3, 3) }.sends(2 * MS, 2 * MS, 3, 3), b"PUT");
    lab.push(SocketEvent { fd: -1, ..client(10).by(4, 4) }.closes(5 * MS), b"");
    assert_eq!(lab.until(2 * SECOND)[3..], ["1 close at 5 ms"]);
}

#[test]
fn datagrams_over_unix_sockets_are_a_chunk_each() {
    let mut lab = Lab::new();
    let socket = SocketEvent { socket_type: 2, ..unix(10, 0) };
    lab.push(socket.receives(MS, MS, 0, 3).unpositioned(), b"one");
    lab.push(socket.receives(MS, 2 * MS, 0, 5).unpositioned(), b"two");
    let seen = lab.finish();
    assert_eq!(seen[..3], ["1 open unix unix:[0] ?→ unix:[10]", "1 client 0 one", "1 client 3 two +2"]);
}

#[test]
fn what_is_not_followed_is_counted() {
    let mut lab = Lab::new();
    lab.push(SocketEvent { family: 16, ..client(11) }.sends(MS, MS, 0, 3), b"GET");
    lab.push(client(10).receives(MS, MS, 0, 0), b"");
    lab.push(SocketEvent { operation: Operation::IoUring as u8, ..client(12) }, b"");
    assert_eq!(lab.finish(), [""; 0]);
    let stats = lab.tracer.stats();
    assert_eq!((stats.not_followed, stats.empty, stats.io_uring), (1, 1, 1));
}

#[test]
fn an_ipv4_peer_of_an_ipv6_socket_has_the_address_that_the_packets_have() {
    let mut lab = Lab::new();
    let mut event = client(10);
    event.family = 10;
    for address in [&mut event.local, &mut event.remote] {
        let v4 = [address[0], address[1], address[2], address[3]];
        *address = std::net::Ipv4Addr::from(v4).to_ipv6_mapped().octets();
    }
    lab.push(event.sends(MS, MS, 0, 3), b"GET");
    assert_eq!(lab.finish()[0], "1 open tcp .1:40000 ?→ .2:80 joined");
}

#[test]
fn a_stream_of_which_less_of_each_message_is_wanted() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 100, 6), b"first.");
    assert_eq!(lab.until(SECOND)[1], "1 client 0 first. seq 100");
    lab.tracer.limit_head(1, 4);
    lab.tracer.limit_head(2, 4);
    lab.push(client(10).sends(SECOND, SECOND, 106, 7), b"second.");
    lab.push(client(10).sends(2 * SECOND, 2 * SECOND, 113, 9).at(0, false), b"thi");
    lab.push(client(10).sends(2 * SECOND, 2 * SECOND, 113, 9).at(3, true), b"rd.");
    let seen = lab.finish();
    assert_eq!(seen[..3], ["1 client 6 seco +3 seq 106", "1 client 13 thi seq 113", "1 client 16 r +5 seq 116"]);
    assert_eq!(lab.tracer.stats().bytes_missing, 8);
}
