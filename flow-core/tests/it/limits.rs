//! Every bound is reached, counted, and costs what it says and nothing else.

use std::time::Duration;

use flow_core::{Close, LinkType, Options, Packet};
use protocol_parsers::Timestamp;

use crate::decode::frame;
use crate::frames::{ACK, CLIENT, RST, SERVER, SYN, Segment, TCP, UDP, ipv4, udp};
use crate::lab::{Lab, START, at, at_ms};
use crate::script::{Script, Who};

fn limited(change: impl FnOnce(&mut flow_core::Limits)) -> Lab {
    let mut options = Options::default();
    change(&mut options.limits);
    Lab::with(options)
}

fn see(lab: &mut Lab, time: Timestamp, bytes: &[u8]) {
    lab.see(Packet { time, ..frame(LinkType::RAW_IP, bytes) });
}

/// A first segment from an address of its own.
fn stranger(number: u32, flags: u8) -> Vec<u8> {
    let segment = Segment { seq: number, ack: 1, flags, window: 9, data: &[] };
    ipv4((0xac10_0000 + number).to_be_bytes(), SERVER, TCP, &segment.bytes(1024 + number as u16, 80))
}

fn evicted(lab: &Lab) -> Vec<u16> {
    let gone = lab.flows.iter().filter(|flow| flow.close == Some(Close::Evicted));
    gone.map(|flow| flow.conversation.client.port()).collect()
}

#[test]
fn the_one_that_is_quiet_for_longest_makes_room() {
    let mut lab = limited(|limits| limits.flows = 3);
    let mut talks: Vec<_> =
        (1..=4).map(|port| Script::new().on_port(port + 40_000).at(at_ms(u64::from(port)))).collect();
    for talk in &mut talks[..3] {
        lab.play(&talk.open().frames);
        talk.frames.clear();
    }
    // The first and the second go on talking, the first stops before the second.
    for (second, talker) in [(100, 0), (150, 1), (180, 0), (190, 1)] {
        talks[talker].now = at(second);
        lab.play(&talks[talker].client(b"x").frames);
        talks[talker].frames.clear();
    }
    for (place, expected) in [(3, 40_003), (2, 40_001)] {
        talks[place].now = at(200 + place as u64);
        lab.play(&talks[place].open().frames);
        assert_eq!(evicted(&lab).last(), Some(&expected));
    }
    assert_eq!((lab.engine.open_flows(), lab.engine.stats().flows_evicted), (3, 2));
    lab.finish();
}

#[test]
fn what_is_over_makes_room_before_what_is_not() {
    let mut lab = limited(|limits| limits.flows = 2);
    let mut old = Script::opened();
    lab.play(&old.client(b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n").frames);
    let mut over = Script::new().on_port(40_001).at(old.now);
    lab.play(&over.open().close().frames);
    lab.play(&Script::new().on_port(40_002).at(over.now).open().frames);
    assert_eq!(lab.flow().conversation.client.port(), 40_001);
    lab.finish();
}

/// Floods of every kind: first segments, segments of no connection with the resets that answer them, datagrams.
#[test]
fn a_flood_does_not_push_out_conversations() {
    let reset = |number: u32| {
        let segment = Segment { seq: 1, ack: 0, flags: RST, window: 0, data: &[] };
        ipv4(SERVER, (0xac10_0000 + number).to_be_bytes(), TCP, &segment.bytes(80, 1024 + number as u16))
    };
    type Flood<'a> = &'a dyn Fn(u32) -> Vec<Vec<u8>>;
    let floods: [Flood<'_>; 4] = [
        &|number| vec![stranger(number, SYN)],
        &|number| vec![stranger(number, ACK), reset(number)],
        &|number| vec![stranger(number, RST)],
        &|number| vec![ipv4((0xac10_0000 + number).to_be_bytes(), SERVER, UDP, &udp(4444, 9999, b"spray"))],
    ];
    for (kind, flood) in floods.into_iter().enumerate() {
        let mut lab = limited(|limits| limits.flows = 150);
        let mut talks: Vec<_> = (0..100).map(|port| Script::opened_on(40_000 + port)).collect();
        for talk in &mut talks {
            lab.play(&talk.frames);
            talk.frames.clear();
        }
        for number in 0..6_000 {
            for bytes in flood(number) {
                see(&mut lab, at_ms(10 + u64::from(number)), &bytes);
            }
            if number % 2 == 0 {
                let talk = &mut talks[number as usize / 2 % 100];
                talk.now = at_ms(10 + u64::from(number));
                talk.client(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
                    .server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                lab.play(&talk.frames);
                talk.frames.clear();
            }
        }
        lab.finish();
        assert_eq!(lab.calls.len(), 3_000, "flood {kind}");
        let exact =
            lab.flows.iter().filter(|flow| flow.counters.packets.client == 32 && flow.counters.packets.server == 31);
        assert_eq!(exact.count(), 100, "flood {kind}");
    }
}

#[test]
fn addresses_that_fold_to_the_same_are_different_conversations() {
    let mut lab = Lab::new();
    for number in 0..10_000u32 {
        // The two halves of the lower 64 bits cancel out where words are combined by exclusive or.
        let [a, b, c, d] = number.to_be_bytes();
        let from = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, a, b, c, d, a, b, c, d];
        let packet = crate::frames::ipv6(from, crate::frames::SERVER_V6, UDP, &udp(4444, 9999, b"x"));
        see(&mut lab, START, &packet);
    }
    assert_eq!(lab.engine.open_flows(), 10_000);
    lab.finish();
}

#[test]
fn records_that_nobody_takes_are_dropped_and_counted() {
    let mut options = Options::default();
    options.limits.waiting_records = 3;
    options.metrics = false;
    let mut engine = flow_core::FlowEngine::new(options);
    for number in 0..10 {
        let bytes = stranger(number, SYN);
        engine.handle(flow_core::Input::Packet(frame(LinkType::RAW_IP, &bytes)));
    }
    engine.finish();
    assert_eq!(std::iter::from_fn(|| engine.poll().map(|_| ())).count(), 3);
    assert_eq!((engine.stats().records_dropped, engine.stats().flows_closed), (7, 10));
}

#[test]
fn metrics_that_nobody_takes_are_dropped_and_counted() {
    let mut options = Options::default();
    options.limits.waiting_records = 3;
    options.flows = false;
    let mut engine = flow_core::FlowEngine::new(options);
    for number in 0..10 {
        let bytes = stranger(number, SYN);
        engine.handle(flow_core::Input::Packet(Packet {
            time: at(u64::from(number)),
            ..frame(LinkType::RAW_IP, &bytes)
        }));
    }
    assert_eq!((engine.stats().records_dropped, std::iter::from_fn(|| engine.poll().map(|_| ())).count()), (6, 3));
}

#[test]
fn rows_beyond_the_limit_are_counted_together_and_beyond_twice_of_it_not_at_all() {
    let mut options = Options::default();
    options.limits.metric_rows = 2;
    let mut lab = Lab::with(options);
    let mut script = Script::opened();
    for path in ["one", "two", "three", "four"] {
        script.client(format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        script.server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    lab.play(&script.frames);
    for number in 0..10 {
        see(&mut lab, script.now, &stranger(number, SYN));
    }
    lab.finish();
    let seconds: Vec<_> = lab.metrics.iter().filter(|metric| metric.window == Duration::from_secs(1)).collect();
    let requests: Vec<_> = seconds.iter().map(|row| (row.key.endpoint.as_deref(), row.values.requests)).collect();
    assert_eq!(requests, [(Some("/one"), 1), (Some("/two"), 1), (None, 2), (None, 0)]);
    let stats = lab.engine.stats();
    assert_eq!((stats.metrics_folded, stats.metrics_dropped), (2 * (2 + 1), 2 * 9));
}

#[test]
fn long_endpoints_are_counted_together_when_their_text_is_too_much() {
    let mut options = Options::default();
    options.limits.metric_text_bytes = 1000;
    let mut lab = Lab::with(options);
    let mut script = Script::opened();
    for letter in ["a", "b", "c", "a"] {
        script.client(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", letter.repeat(400)).as_bytes());
        script.server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    lab.play(&script.frames);
    lab.finish();
    let seconds = lab.metrics.iter().filter(|metric| metric.window == Duration::from_secs(1));
    let requests: Vec<_> = seconds.map(|row| (row.key.endpoint.is_some(), row.values.requests)).collect();
    assert_eq!(requests, [(true, 2), (true, 1), (false, 1)]);
    assert_eq!((lab.engine.stats().metrics_folded, lab.engine.stats().metrics_dropped), (2, 0));
}

#[test]
fn a_limit_of_none_still_follows_the_latest() {
    let mut lab = limited(|limits| {
        limits.flows = 0;
        limits.fragmented_datagrams = 0;
        limits.fragments_per_datagram = 0;
        limits.reassembly_segments = 0;
        limits.reassembly_bytes = 0;
        limits.reassembly_bytes_per_side = 0;
        limits.metric_rows = 0;
        limits.waiting_records = 0;
    });
    let mut script = Script::opened();
    script.segment(Who::Client, 1010, 5001, ACK, b"ahead").close();
    lab.play(&script.frames);
    see(&mut lab, script.now, &stranger(1, SYN));
    see(&mut lab, script.now, &crate::frames::ipv4_piece(CLIENT, SERVER, UDP, 1, 0, true, &[0; 8]));
    lab.finish();
    assert_eq!(lab.engine.stats().flows_evicted, 1);
}
