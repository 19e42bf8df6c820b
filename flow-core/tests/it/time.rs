//! Time: idle ends, clocks that are set or differ, and the contract of timeouts.

use std::time::Duration;

use flow_core::{Close, LinkType, Options, Packet};
use protocol_parsers::{Status, Timestamp};

use crate::decode::frame;
use crate::frames::{ACK, CLIENT, QUERY, SERVER, UDP, ipv4, udp};
use crate::lab::{Lab, START, at, at_ms};
use crate::script::{Script, Who};

const NANO: Duration = Duration::from_nanos(1);

fn datagram(lab: &mut Lab, port: u16, time: Timestamp) {
    lab.see(Packet {
        time,
        ..frame(LinkType::RAW_IP, &ipv4(CLIENT, SERVER, UDP, &udp(50_000 + port, 9999, b"hello")))
    });
}

#[test]
fn a_conversation_goes_on_up_to_its_limit_and_not_a_nanosecond_longer() {
    for (late, flows) in [(Duration::ZERO, 1), (NANO, 2)] {
        let mut lab = Lab::new();
        datagram(&mut lab, 1, START);
        datagram(&mut lab, 1, at(60) + late);
        lab.finish();
        assert_eq!(lab.flows.len(), flows, "udp");
        let mut script = Script::opened();
        let last = script.frames.last().unwrap().time;
        script.now = last + Duration::from_secs(300) + late;
        script.client(b"");
        assert_eq!(Lab::of(&script.frames).flows.len(), flows, "tcp");
        let mut script = Script::opened();
        script.close();
        script.now = script.frames.last().unwrap().time + Duration::from_secs(2) + late;
        script.server(b"");
        assert_eq!(Lab::of(&script.frames).flows.len(), flows, "closing");
    }
}

#[test]
fn the_last_acknowledgement_of_a_closing_may_take_its_time() {
    let mut script = Script::opened();
    script.close();
    let last = script.frames.last_mut().unwrap();
    last.time = last.time + Duration::from_secs(30);
    let lab = Lab::of(&script.frames);
    assert_eq!(lab.flow().close, Some(Close::Finished));
}

#[test]
fn limits_are_what_the_caller_says() {
    let mut options = Options::default();
    options.limits.udp_idle = Duration::from_secs(7);
    let mut lab = Lab::with(options);
    datagram(&mut lab, 1, START);
    lab.timeout(at(7));
    assert_eq!(lab.engine.open_flows(), 1);
    lab.timeout(at(7) + NANO);
    assert_eq!((lab.flow().close, lab.flow().end), (Some(Close::IdleTimeout), START));
}

#[test]
fn an_end_after_hours_comes_too() {
    let mut options = Options::default();
    options.limits.tcp_idle = Duration::from_secs(100_000);
    let mut lab = Lab::with(options);
    lab.play(&Script::opened().frames);
    for _ in 0..10 {
        let Some(next) = lab.engine.poll_timeout() else { break };
        lab.timeout(next);
    }
    assert_eq!(lab.flow().close, Some(Close::IdleTimeout));
}

/// Whoever does what `poll_timeout` asks for comes to the end, in few steps that all lie ahead.
#[test]
fn every_timeout_that_is_asked_for_leads_on() {
    let mut options = Options::default();
    options.pieces = Some(Duration::from_secs(60));
    let mut lab = Lab::with(options);
    let mut script = Script::opened();
    script.client(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    lab.play(&script.frames);
    lab.play(&Script::opened_on(2).frames[..1]);
    datagram(&mut lab, 3, at_ms(500));
    let answered = ipv4(CLIENT, SERVER, UDP, &udp(4, 53, QUERY));
    lab.see(Packet { time: at_ms(700), ..frame(LinkType::RAW_IP, &answered) });
    let piece = crate::frames::ipv4_piece(CLIENT, SERVER, UDP, 1, 0, true, &[0; 8]);
    lab.see(Packet { time: at_ms(800), ..frame(LinkType::RAW_IP, &piece) });
    let mut now = at_ms(800);
    let mut steps = 0;
    while let Some(next) = lab.engine.poll_timeout() {
        assert!(next > now, "step {steps}: {next:?} after {now:?}");
        now = next;
        lab.timeout(next);
        steps += 1;
        assert!(steps < 60, "this leads nowhere");
    }
    assert_eq!((lab.engine.open_flows(), lab.calls.len()), (0, 2));
    assert!(lab.calls.iter().all(|call| call.status == Status::Timeout));
    assert_eq!(lab.engine.stats().fragments_waiting, 0);
    lab.finish();
}

#[test]
fn metrics_of_a_second_come_when_it_is_over_though_nothing_else_happens() {
    let mut lab = Lab::new();
    datagram(&mut lab, 1, at_ms(300));
    assert_eq!(lab.engine.poll_timeout(), Some(at(1)));
    lab.timeout(at(1));
    let [second] = &lab.metrics[..] else { panic!("{:?}", lab.metrics) };
    assert_eq!((second.start, second.window, second.values.flows_opened), (START, Duration::from_secs(1), 1));
}

#[test]
fn late_packets_belong_to_their_conversation() {
    let mut lab = Lab::new();
    datagram(&mut lab, 1, at(100));
    for late in [99, 95, 91] {
        datagram(&mut lab, 1, at(late));
    }
    lab.finish();
    let flow = lab.flow();
    assert_eq!((flow.start, flow.end, flow.counters.packets.client), (at(91), at(100), 4));
}

#[test]
fn a_clock_set_forward_ends_nothing() {
    let mut lab = Lab::new();
    let mut script = Script::opened();
    lab.play(&script.frames);
    script.frames.clear();
    script.wait(Duration::from_secs(86_400)).client(b"x").wait(Duration::from_secs(1)).close();
    lab.play(&script.frames);
    lab.finish();
    assert_eq!(lab.flow().close, Some(Close::Finished));
}

#[test]
fn a_clock_set_back_ends_nothing_and_keeps_nothing() {
    let mut lab = Lab::new();
    let day = Duration::from_secs(86_400);
    datagram(&mut lab, 1, START + day);
    datagram(&mut lab, 2, START + day);
    datagram(&mut lab, 1, START);
    assert_eq!(lab.engine.open_flows(), 2);
    for second in 0..=60 {
        datagram(&mut lab, 1, at(second));
    }
    assert_eq!(lab.engine.open_flows(), 2);
    datagram(&mut lab, 1, at(61));
    assert_eq!(lab.engine.open_flows(), 1, "the other was quiet for a minute");
    lab.finish();
}

#[test]
fn packets_of_machines_whose_clocks_differ_end_nothing() {
    let mut lab = Lab::new();
    datagram(&mut lab, 3, at(100));
    for second in 0..50 {
        datagram(&mut lab, 1, at(100 + second));
        datagram(&mut lab, 2, at(second));
    }
    assert_eq!(lab.engine.open_flows(), 3);
    lab.finish();
    assert_eq!(lab.flows.len(), 3);
}

#[test]
fn times_at_either_end_of_the_range_are_times() {
    let mut lab = Lab::new();
    for time in [Timestamp::ZERO, Timestamp::MAX, Timestamp::ZERO, START, Timestamp::MAX, Timestamp::MAX] {
        datagram(&mut lab, 1, time);
        lab.timeout(time);
        let _ = lab.engine.poll_timeout();
    }
    lab.timeout(Timestamp::MAX);
    lab.finish();
}

#[test]
fn an_unanswered_request_times_out_by_the_packets_time() {
    let mut lab = Lab::new();
    let mut script = Script::opened();
    script.client(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    let asked = script.frames.last().unwrap().time;
    script.now = asked + Duration::from_secs(119);
    script.segment(Who::Client, script.client.next.wrapping_sub(1), script.server.next, ACK, b"");
    lab.play(&script.frames);
    assert!(lab.calls.is_empty());
    lab.timeout(asked + Duration::from_secs(120) + NANO);
    assert_eq!(lab.call().status, Status::Timeout);
    assert_eq!(lab.engine.open_flows(), 1, "the connection goes on");
    lab.finish();
}
