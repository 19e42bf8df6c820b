//! Resident memory stays flat over any number of conversations. One test, for the memory is that of the whole process.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use flow_core::{FlowEngine, Input, LinkType, Options, Output, Packet};
use protocol_parsers::Timestamp;

/// Memory that this process has resident, in KiB.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Run {
    engine: FlowEngine,
    time: Timestamp,
    flows: u64,
    calls: u64,
}

impl Run {
    fn packet(&mut self, bytes: &[u8]) {
        self.time = self.time + Duration::from_millis(2);
        let (time, original_len) = (self.time, bytes.len() as u32);
        let packet = Packet { time, link: LinkType::RAW_IP, interface: 0, captured: bytes, original_len, vlan: None };
        self.engine.handle(Input::Packet(packet));
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Call(_) => self.calls += 1,
                Output::Flow(_) => self.flows += 1,
                _ => {}
            }
        }
    }

    /// A whole conversation, a hole in its middle; and a query that nobody answers.
    fn conversation(&mut self, number: u32) {
        let [_, a, b, c] = number.to_be_bytes();
        let (client, server) = ([10, a, b, c], [192, 0, 2, 1]);
        let segment = |from: [u8; 4], to: [u8; 4], ports: [u8; 4], seq: u32, ack: u32, flags: u8, data: &[u8]| {
            let length = (40 + data.len() as u16).to_be_bytes();
            let ip = [&[0x45, 0][..], &length, &[0, 0, 0, 0, 64, 6, 0, 0], &from, &to].concat();
            let numbers = [seq.to_be_bytes(), ack.to_be_bytes()].concat();
            [&ip[..], &ports, &numbers, &[0x50, flags, 4, 0, 0, 0, 0, 0], data].concat()
        };
        let ask = |seq, ack, flags, data: &[u8]| segment(client, server, [200, 0, 0, 80], seq, ack, flags, data);
        let answer = |seq, ack, flags, data: &[u8]| segment(server, client, [0, 80, 200, 0], seq, ack, flags, data);
        let request = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789";
        let (asked, answered) = (2 + request.len() as u32, 2 + response.len() as u32);
        self.packet(&ask(1, 0, 2, b""));
        self.packet(&answer(1, 2, 18, b""));
        self.packet(&ask(2, 2, 16, request));
        self.packet(&answer(2 + 40, asked, 16, &response[40..]));
        self.packet(&answer(2, asked, 16, &response[..40]));
        self.packet(&ask(asked, answered, 17, b""));
        self.packet(&answer(answered, asked + 1, 17, b""));
        self.packet(&ask(asked + 1, answered + 1, 16, b""));
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04shop\x04test\0\0\x01\0\x01";
        let udp = [&[0xc0, 0, 0, 53, 0, 35, 0, 0][..], query].concat();
        self.packet(&[&[0x45, 0, 0, 55, 0, 0, 0, 0, 64, 17, 0, 0][..], &client, &server, &udp].concat());
    }
}

#[test]
fn conversations_that_ended_leave_nothing_behind() {
    let mut options = Options::default();
    // Rows of metrics live as long as their minute, whatever becomes of conversations.
    options.limits.metric_rows = 100;
    let time = Timestamp::from_nanos(1_700_000_040_000_000_000);
    let mut run = Run { engine: FlowEngine::new(options), time, flows: 0, calls: 0 };
    let many = if std::env::var("METAFLOW_FULL").is_ok_and(|value| value == "1") { 500_000 } else { 10_000 };
    let mut after = Vec::new();
    for part in 0..4 {
        for number in 0..many {
            run.conversation(part * many + number);
        }
        after.push(resident_kib());
    }
    run.engine.finish();
    while let Some(output) = run.engine.poll() {
        run.flows += u64::from(matches!(output, Output::Flow(_)));
        run.calls += u64::from(matches!(output, Output::Call(_)));
    }
    assert_eq!((run.flows, run.calls), (8 * u64::from(many), 8 * u64::from(many)));
    assert!(after[3] < after[0] + 4 * 1024, "resident KiB after each {many} conversations: {after:?}");
}
