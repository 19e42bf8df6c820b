//! Sending to a server.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::frames::{Capture, shop};
use crate::program::{Running, file, run};
use crate::server::{Fate, Server};

/// A folder with the capture `shop.pcap`.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let capture = file(folder.path(), "shop.pcap", &shop().bytes());
    (folder, capture)
}

#[test]
fn every_record_is_stored() {
    let (_folder, capture) = folder();
    let server = Server::start(&[]);
    let ran = run(&["replay", &capture, "--server", &server.address.to_string()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let stored = &server.stored;
    assert_eq!((stored.rows("calls"), stored.rows("flows")), (3, 3));
    assert_eq!((stored.sum("metrics_1s", "requests"), stored.sum("metrics_1m", "requests")), (3, 3));
    let all = ["calls", "flows", "metrics_1s", "metrics_1m", "losses"].map(|table| stored.rows(table));
    let said = format!("metaflow-agent: {} records stored by {}\n", all.iter().sum::<usize>(), server.address);
    assert_eq!(ran.stderr, said);
    assert_eq!(stored.names("calls", "capture"), vec![Some("shop.pcap".to_owned()); 3]);
    assert_eq!(stored.names("calls", "observation_point"), vec![Some("unknown".to_owned()); 3]);
    assert_eq!(stored.names("calls", "process_name"), [None, None, None]);
}

#[test]
fn many_records_travel_in_several_batches() {
    let folder = tempfile::tempdir().unwrap();
    let mut many = Capture::new();
    for number in 0..20_000 {
        many = many.udp(&format!("10.0.{}.{}:4000", number / 250, number % 250), "10.0.0.2:7", &[b"x"]);
    }
    let capture = file(folder.path(), "many.pcap", &many.bytes());
    let server = Server::start(&[]);
    let ran = run(&["replay", &capture, "--server", &server.address.to_string()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(server.stored.rows("flows"), 20_000);
    assert!(server.stored.batches("flows").len() >= 3);
}

#[test]
fn a_server_that_comes_later_gets_everything() {
    let (_folder, capture) = folder();
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let mut agent = Running::start(&["replay", &capture, "--server", &address.to_string(), "--patience", "60s"]);
    agent.says("trying again");
    let server = Server::start_at(address, &[]);
    assert_eq!(agent.wait(), 0);
    assert_eq!((server.stored.rows("calls"), server.stored.rows("flows")), (3, 3));
}

#[test]
fn what_has_no_answer_is_sent_again_and_counts_once() {
    let (_folder, capture) = folder();
    let server = Server::start(&[Fate::AnswerLost, Fate::Unavailable, Fate::Stored, Fate::AnswerLost]);
    let ran = run(&["replay", &capture, "--server", &server.address.to_string()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!((server.stored.rows("calls"), server.stored.rows("flows")), (3, 3));
    assert_eq!(server.stored.requests(), (4, 7), "four tables, three of the requests failed");
}

#[test]
fn a_refused_batch_is_no_success_and_does_not_hold_up_the_others() {
    let (_folder, capture) = folder();
    let server = Server::start(&[Fate::Refused]);
    let ran = run(&["replay", &capture, "--server", &server.address.to_string()]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("refused 3 records") && ran.stderr.contains("not of my liking"), "{}", ran.stderr);
    assert_eq!((server.stored.rows("calls"), server.stored.rows("flows")), (0, 3));
}

#[test]
fn a_server_that_stays_away_is_said() {
    let (_folder, capture) = folder();
    let ran = run(&["replay", &capture, "--server", "127.0.0.1:1", "--patience", "1s"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (69, ""));
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.contains("no server takes records at 127.0.0.1:1") && last.contains("metaflow-server run"), "{last}");

    let full = Server::start(&[Fate::Unavailable; 1000]);
    let ran = run(&["replay", &capture, "--server", &full.address.to_string(), "--patience", "1s"]);
    assert_eq!(ran.code, 69);
    assert!(ran.stderr.contains("the disk is full"), "{}", ran.stderr);
}

#[test]
fn something_else_that_answers_is_no_server() {
    let (_folder, capture) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let _ = stream.read(&mut [0; 100]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let ran = run(&["replay", &capture, "--server", &address, "--patience", "500ms"]);
    assert_eq!(ran.code, 69);
    assert!(ran.stderr.lines().last().unwrap().contains(&address), "{}", ran.stderr);
}

#[test]
fn each_file_is_a_life_of_its_own() {
    let (_folder, capture) = folder();
    let server = Server::start(&[]);
    let ran = run(&["replay", &capture, &capture, &capture, "--server", &server.address.to_string()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!((server.stored.rows("calls"), server.stored.epochs()), (9, 3));
}

#[test]
fn what_was_read_before_a_damage_is_stored_and_the_damage_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut damaged = shop().bytes();
    damaged.extend([0xff; 100]);
    let capture = file(folder.path(), "damaged.pcap", &damaged);
    let server = Server::start(&[]);
    let ran = run(&["replay", &capture, "--server", &server.address.to_string()]);
    assert_eq!((ran.code, server.stored.rows("calls")), (65, 3), "{}", ran.stderr);
    assert!(ran.stderr.contains("is damaged at byte") && ran.stderr.contains("records stored"), "{}", ran.stderr);
}

#[test]
fn what_was_lost_is_stored_too() {
    let mut capture = shop();
    // IPv4 whose header would be longer than the frame.
    capture.frame(&[&[2; 12][..], &[8, 0, 0x4f], &[0; 19]].concat());
    let folder = tempfile::tempdir().unwrap();
    let capture = file(folder.path(), "shop.pcap", &capture.bytes());
    let server = Server::start(&[]);
    let ran = run(&["replay", &capture, "--server", &server.address.to_string()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let of = |column| server.stored.names("losses", column);
    assert_eq!((of("place"), of("reason")), (vec![Some("decode".to_owned())], vec![Some("malformed".to_owned())]));
    assert_eq!(server.stored.sum("losses", "count"), 1);
}
