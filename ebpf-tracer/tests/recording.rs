//! What was recorded comes out again as it was, also years later.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use ebpf_tracer::events::SocketEvent;
use ebpf_tracer::{Clock, Entry, Recording, RecordingError, RecordingWriter, Snapshot};
use support::{Call, EPOCH, Lab, MS, SECOND, client, server};
use zerocopy::IntoBytes;

/// Made by `written` below: whoever changes the format keeps it and makes another beside it.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/recording/v1/request-at-both-ends.events");

fn record(mut event: SocketEvent, payload: &[u8]) -> Vec<u8> {
    event.header.payload = payload.len() as u32;
    [event.as_bytes(), payload].concat()
}

fn entries(records: &[Vec<u8>]) -> Vec<Entry<'_>> {
    let snapshot = Snapshot {
        pid: 2,
        start_ns: 10 * MS,
        parent: 1,
        name: "nginx".to_owned(),
        command_line: Some("nginx: worker process".to_owned()),
        executable: None,
        cgroup: Some("/system.slice/nginx.service".to_owned()),
    };
    let before = [
        Entry::Clock(Clock { monotonic_ns: EPOCH, boottime_ns: EPOCH - 5 }),
        Entry::Process(snapshot),
        Entry::Listening { netns: 1, port: 80, is_listening: true },
    ];
    let records = records.iter().map(|record| Entry::Record(record));
    before.into_iter().chain(records).chain([Entry::Time(SECOND)]).collect()
}

fn records() -> [Vec<u8>; 4] {
    [
        record(client(10).sends(MS, 2 * MS, 100, 3), b"GET"),
        record(server(20).receives(MS, 3 * MS, 100, 3), b"GET"),
        record(server(20).sends(4 * MS, 5 * MS, 500, 9), b"OK"),
        b"no event".to_vec(),
    ]
}

fn written() -> Vec<u8> {
    let mut writer = RecordingWriter::new(Vec::new()).unwrap();
    for entry in entries(&records()) {
        writer.write(&entry).unwrap();
    }
    writer.into_inner()
}

fn read(bytes: &[u8]) -> (usize, Recording<&[u8]>) {
    let mut recording = Recording::new(bytes).unwrap();
    let mut read = 0;
    while recording.next().unwrap().is_some() {
        read += 1;
    }
    (read, recording)
}

#[test]
fn a_recording_is_written_and_read_as_ever() {
    if std::env::var_os("METAFLOW_BLESS").is_some() {
        fs::write(GOLDEN, written()).unwrap();
    }
    let golden = fs::read(GOLDEN).unwrap();
    assert_eq!(written(), golden);
    let mut recording = Recording::new(&golden[..]).unwrap();
    let records = records();
    for wanted in entries(&records) {
        assert_eq!(recording.next().unwrap(), Some(wanted));
    }
    assert_eq!(recording.next().unwrap(), None);
    assert!(!recording.is_cut());
}

#[test]
fn a_recording_taken_in_again_gives_the_streams() {
    let mut lab = Lab::new();
    let golden = fs::read(GOLDEN).unwrap();
    let mut recording = Recording::new(&golden[..]).unwrap();
    while let Some(entry) = recording.next().unwrap() {
        lab.tracer.replay(entry);
    }
    lab.drain();
    assert_eq!(
        lab.seen,
        [
            "1 open tcp .1:40000 ?→ .2:80 joined",
            "1 client 0 GET seq 100",
            "2 open tcp .1:40000 → .2:80 joined",
            "2 client 0 GET seq 100",
            "2 server 0 OK +7 seq 500",
        ]
    );
    assert_eq!((lab.tracer.stats().malformed, lab.tracer.processes()), (1, 1));
}

#[test]
fn a_recording_that_was_cut_short_ends_there() {
    let bytes = written();
    let (all, _) = read(&bytes);
    let mut last = 0;
    for cut in 16..bytes.len() {
        let (read, recording) = read(&bytes[..cut]);
        assert!(read >= last && read < all);
        let is_whole = read > last || cut == 16;
        assert_eq!(recording.is_cut(), !is_whole, "{cut}");
        last = read;
    }
}

#[test]
fn an_entry_of_a_kind_that_comes_later_is_left_out() {
    let mut bytes = written();
    bytes.extend_from_slice(&[2, 0, 0, 0, 99, 0, 0, 0, 1, 2]);
    let mut time = RecordingWriter::new(Vec::new()).unwrap();
    time.write(&Entry::Time(7)).unwrap();
    bytes.extend_from_slice(&time.into_inner()[16..]);
    let (read, recording) = read(&bytes);
    assert_eq!((read, recording.unknown()), (entries(&records()).len() + 1, 1));
}

#[test]
fn what_is_no_recording_or_a_damaged_one_is_an_error() {
    assert!(matches!(Recording::new(&b""[..]), Err(RecordingError::Magic)));
    assert!(matches!(Recording::new(&b"\xd4\xc3\xb2\xa1 a capture file"[..]), Err(RecordingError::Magic)));
    let mut other = written();
    other[8] = 2;
    assert!(matches!(Recording::new(&other[..]), Err(RecordingError::Version { format: 2, events: 1 })));
    for (damage, kind) in [([255; 4], 1), ([1, 0, 0, 0], 2)] {
        let mut damaged = written()[..16].to_vec();
        damaged.extend_from_slice(&damage);
        damaged.extend_from_slice(&[kind, 0, 0, 0, 0, 0]);
        let mut recording = Recording::new(&damaged[..]).unwrap();
        assert!(matches!(recording.next(), Err(RecordingError::Damaged { offset: 16 })));
    }
    let mut writer = RecordingWriter::new(Vec::new()).unwrap();
    assert!(writer.write(&Entry::Record(&vec![0; (1 << 20) + 1])).is_err());
}
