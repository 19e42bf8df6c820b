//! The traffic that is measured with: is its truth true?
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use benches::flow::{Peer, Work, check, flood, follow, many, replay};
use benches::traffic::{Amount, CapturedTraffic, Shape, Traffic};

const SMALL: Amount = Amount { seed: 1, packets: 10_000, conversations: 100 };

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

#[test]
fn the_engine_finds_what_the_traffic_has() {
    for (_, work) in Work::ALL {
        follow(SMALL, work).unwrap();
    }
    follow(Amount { seed: 2, packets: 5_000, conversations: 1 }, Work::Calls).unwrap();
}

#[test]
fn a_capture_file_holds_the_traffic() {
    let captured = CapturedTraffic::new(SMALL, &folder()).unwrap();
    assert_eq!(captured.length, 24 + 16 * captured.truth.packets + captured.truth.bytes);
    for (_, work) in Work::ALL {
        check(&replay(&captured.path, work).unwrap().found, &captured.truth, work).unwrap();
    }
}

#[test]
fn a_wrong_answer_is_noticed() {
    let captured = CapturedTraffic::new(SMALL, &folder()).unwrap();
    let mut found = replay(&captured.path, Work::Calls).unwrap().found;
    found.retransmissions += 1;
    assert!(check(&found, &captured.truth, Work::Calls).is_err());
}

#[test]
fn many_connections_are_told_apart() {
    for work in [Work::Flows, Work::Calls] {
        for shape in [Shape::Ipv4, Shape::Ipv6, Shape::Bytes(1), Shape::Bytes(1460)] {
            many(20_000, 10_000, work, shape).unwrap();
        }
    }
}

#[test]
fn of_a_flood_everything_is_accounted_for() {
    flood(30_000, 1_000).unwrap();
}

#[test]
fn the_same_seed_makes_the_same_traffic_and_another_other() {
    let frames = |seed: u64| {
        let mut traffic = Traffic::new(Amount { seed, ..SMALL });
        let mut frames = Vec::new();
        while let Some((time, frame)) = traffic.next_frame() {
            frames.push((time, frame.to_vec()));
        }
        frames
    };
    assert_eq!(frames(1), frames(1));
    assert_ne!(frames(1), frames(2));
}

#[test]
fn every_situation_occurs() {
    let mut traffic = Traffic::new(Amount { packets: 50_000, ..SMALL });
    while traffic.next_frame().is_some() {}
    let truth = traffic.truth();
    let counts = [truth.ipv6_flows, truth.vlan_flows, truth.vxlan_flows, truth.finished, truth.reset];
    let health = [truth.handshakes, truth.retransmissions, truth.out_of_order, truth.zero_windows];
    let calls = truth.calls.iter().flat_map(|calls| [calls.count, calls.client_errors, calls.server_errors]);
    assert!(counts.into_iter().chain(health).chain(calls).all(|count| count > 0), "{truth:#?}");
}

#[test]
fn a_peer_that_misses_packets_is_refused() {
    let captured = CapturedTraffic::new(SMALL, &folder()).unwrap();
    for peer in Peer::ALL {
        match peer.check(&captured.path, captured.truth.packets) {
            Ok(()) => assert!(peer.check(&captured.path, captured.truth.packets + 1).is_err()),
            Err(reason) => println!("skipped: {}: {reason:#}", peer.name()),
        }
    }
}

/// What tshark is asked of each packet.
const FIELDS: [&str; 9] = [
    "tcp.stream",
    "tcp.analysis.retransmission",
    "tcp.analysis.out_of_order",
    "tcp.analysis.zero_window",
    "http.request",
    "dns.flags.response",
    "_ws.malformed",
    "tcp.checksum.status",
    "udp.checksum.status",
];

#[test]
fn tshark_agrees() {
    let captured = CapturedTraffic::new(SMALL, &folder()).unwrap();
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-E", "occurrence=l", "-E", "separator=,"]);
    tshark.args(["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-r"]).arg(&captured.path);
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let Ok(output) = tshark.output() else {
        println!("skipped: tshark is not installed");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let count = |wanted: &dyn Fn(&[&str]) -> bool| rows.iter().filter(|row| wanted(row)).count() as u64;
    let truth = &captured.truth;
    assert_eq!(rows.len() as u64, truth.packets);
    let streams: BTreeSet<_> = rows.iter().map(|row| row[0]).filter(|stream| !stream.is_empty()).collect();
    assert_eq!(streams.len() as u64, truth.handshakes);
    // A late segment is to tshark out of order or sent again, by its time.
    assert_eq!(count(&|row| !row[1].is_empty() || !row[2].is_empty()), truth.retransmissions + truth.out_of_order);
    assert_eq!(count(&|row| !row[3].is_empty()), truth.zero_windows);
    assert_eq!(count(&|row| !row[4].is_empty()), truth.calls[0].count);
    assert_eq!(count(&|row| row[5] == "1" || row[5] == "True"), truth.calls[3].count);
    assert_eq!(count(&|row| !row[6].is_empty()), 0, "malformed");
    // 0 is bad, 1 is good, 2 was not checked.
    assert_eq!(count(&|row| row[7] == "0" || row[7] == "Bad" || row[8] == "0" || row[8] == "Bad"), 0, "checksums");
}
