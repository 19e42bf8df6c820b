//! TLS connections whose plaintext is not seen are told of, and no others.

mod support;

use ebpf_tracer::OpaqueTls;
use ebpf_tracer::events::SocketEvent;
use support::{Call, Lab, MS, SECOND, client, server};

const CLIENT_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252];
const SERVER_HELLO: &[u8] = &[22, 3, 3, 0, 122, 2, 0, 0, 118];
const DATA: &[u8] = &[23, 3, 3, 0, 80, 99, 98, 97];
const ALERT: &[u8] = &[23, 3, 3, 0, 19, 99, 98, 97];

fn told(lab: &mut Lab) -> Vec<OpaqueTls> {
    std::iter::from_fn(|| lab.tracer.poll_opaque()).collect()
}

/// A handshake, and what follows it in either direction.
fn talk(lab: &mut Lab, end: SocketEvent, then: &[u8]) {
    let (to, from) = (CLIENT_HELLO.len() as u32, SERVER_HELLO.len() as u32);
    lab.push(end.sends(MS, MS, 100, CLIENT_HELLO.len()), CLIENT_HELLO);
    lab.push(end.receives(2 * MS, 2 * MS, 500, SERVER_HELLO.len()), SERVER_HELLO);
    lab.push(end.receives(3 * MS, 3 * MS, 500 + from, DATA.len()), DATA);
    lab.push(end.sends(4 * MS, 4 * MS, 100 + to, then.len()), then);
}

#[test]
fn data_without_plaintext_is_told_after_a_while() {
    let mut lab = Lab::new();
    talk(&mut lab, client(10), DATA);
    lab.until(2 * SECOND);
    assert_eq!(told(&mut lab), []);
    lab.until(5 * SECOND);
    let remote = "10.0.0.2:80".parse::<std::net::SocketAddr>().unwrap().into();
    assert_eq!(told(&mut lab), [OpaqueTls { pid: 1, time_ns: 4 * MS, remote }]);
}

#[test]
fn the_end_of_everything_is_not_waited_for() {
    let mut lab = Lab::new();
    talk(&mut lab, client(10), DATA);
    lab.finish();
    assert_eq!(told(&mut lab).len(), 1);
}

#[test]
fn a_server_that_reads_the_headers_of_records_by_themselves() {
    let mut lab = Lab::new();
    for (at, record) in [(0, CLIENT_HELLO), (9, DATA)] {
        let time = MS * u64::from(at + 1);
        lab.push(server(11).receives(time, time, 100 + at, 5), &record[..5]);
        lab.push(server(11).receives(time + 1, time + 1, 105 + at, record.len() - 5), &record[5..]);
    }
    lab.finish();
    assert_eq!(told(&mut lab).iter().map(|connection| connection.pid).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_handshake_that_failed_and_a_connection_without_data_are_none() {
    for then in [ALERT, &[21, 3, 3, 0, 2, 2, 48]] {
        let mut lab = Lab::new();
        talk(&mut lab, client(10), then);
        lab.finish();
        assert_eq!(told(&mut lab), []);
    }
}

#[test]
fn plaintext_of_the_socket_or_of_a_connection_whose_socket_is_unknown() {
    for inode in [10, 0] {
        let mut lab = Lab::new();
        talk(&mut lab, client(10), DATA);
        let plain = SocketEvent { inode, ..client(10) }.tls(99).sends(4 * MS, 5 * MS, 0, 4);
        lab.push(if inode == 0 { SocketEvent { family: 0, fd: -1, ..plain } } else { plain }, b"GET ");
        lab.finish();
        assert_eq!(told(&mut lab), []);
    }
}

#[test]
fn what_only_looks_like_a_record_is_none() {
    let mut lab = Lab::new();
    lab.push(client(10).sends(MS, MS, 100, DATA.len()), DATA);
    lab.push(client(10).receives(MS, MS, 500, 4), b"\x16\x09ab");
    lab.finish();
    assert_eq!(told(&mut lab), []);
}
