//! The same input gives the same output, whoever asks in between.

use flow_core::{LinkType, Packet};
use proptest::prelude::*;
use protocol_parsers::Timestamp;

use crate::frames::{ANSWER, CLIENT, QUERY, SERVER, UDP, ipv4, ipv4_piece, udp};
use crate::lab::{Lab, at_ms};
use crate::script::{Frame, STEP, Script};

/// Some conversations at once, with all that can happen to them.
fn traffic() -> Vec<Frame> {
    let mut frames = Vec::new();
    for port in 0..40u16 {
        let mut script =
            Script::new().on_port(40_000 + port).starting(u32::from(port) << 27, 77).at(at_ms(u64::from(port) * 137));
        script.open();
        for number in 0..port % 5 {
            script.client(format!("GET /{port}/{number} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
            script.wait(STEP * u32::from(port) * 20).server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        match port % 3 {
            0 => drop(script.close().frames.len()),
            1 => drop(script.reset(crate::script::Who::Client).frames.len()),
            _ => {}
        }
        if port % 4 == 0 && script.frames.len() > 5 {
            script.frames.swap(3, 4);
            script.frames.remove(5);
        }
        frames.extend(script.frames);
        let ask = udp(50_000 + port, 53, QUERY);
        let answer = udp(53, 50_000 + port, ANSWER);
        let time = at_ms(u64::from(port) * 71);
        frames.push(Frame { time, bytes: ipv4(CLIENT, SERVER, UDP, &ask) });
        frames
            .push(Frame { time: time + STEP, bytes: ipv4_piece(SERVER, CLIENT, UDP, port, 16, false, &answer[16..]) });
        frames.push(Frame { time: time + STEP, bytes: ipv4_piece(SERVER, CLIENT, UDP, port, 0, true, &answer[..16]) });
    }
    frames.sort_by_key(|frame| frame.time);
    frames
}

#[test]
fn the_same_packets_give_the_same_records_in_the_same_order() {
    let frames = traffic();
    let (one, other) = (Lab::of(&frames), Lab::of(&frames));
    assert!(one.calls.len() > 80 && one.flows.len() == 80);
    assert_eq!((one.calls, one.flows, one.metrics), (other.calls, other.flows, other.metrics));
    assert_eq!(one.engine.stats(), other.engine.stats());
}

#[test]
fn asking_for_records_rarely_changes_none_of_them() {
    let frames = traffic();
    let often = Lab::of(&frames);
    let mut rarely = Lab::new();
    for frame in &frames {
        rarely.engine.handle(flow_core::Input::Packet(Packet {
            time: frame.time,
            link: LinkType::RAW_IP,
            interface: 0,
            captured: &frame.bytes,
            original_len: frame.bytes.len() as u32,
            vlan: None,
        }));
    }
    rarely.finish();
    assert_eq!((often.calls, often.flows, often.metrics), (rarely.calls, rarely.flows, rarely.metrics));
}

#[test]
fn packets_in_groups_give_the_same_records_as_each_by_itself() {
    // Ethernet, with and without a tag or a tunnel, some in pieces: whatever is read ahead or not.
    let frames: Vec<(Timestamp, Vec<u8>)> = traffic()
        .into_iter()
        .flat_map(|Frame { time, bytes }| {
            let ethernet = |tag: &[u8], packet: &[u8]| (time, [&[2; 12], tag, &[8, 0], packet].concat());
            match bytes.len() % 5 {
                0 => vec![ethernet(&[0x81, 0, 0, 9], &bytes)],
                1 => vec![ethernet(&[], &ip(4, 0, &bytes))],
                2 => vec![ethernet(&[], &ip(4, 0x2000, &bytes[..16])), ethernet(&[], &ip(4, 2, &bytes[16..]))],
                _ => vec![ethernet(&[], &bytes)],
            }
        })
        .collect();
    let packets: Vec<Packet<'_>> = frames
        .iter()
        .map(|(time, bytes)| Packet { time: *time, ..crate::decode::frame(LinkType::ETHERNET, bytes) })
        .collect();
    let by_itself = grouped(&packets, 1);
    assert!(by_itself.calls.len() > 60 && by_itself.flows.len() >= 80);
    for group in [2, 7, 31, 32, 33, 1000] {
        let together = grouped(&packets, group);
        assert_eq!(together.flows, by_itself.flows, "{group}");
        assert_eq!(together.calls, by_itself.calls, "{group}");
        assert_eq!(together.metrics, by_itself.metrics, "{group}");
        assert_eq!(together.engine.stats(), by_itself.engine.stats(), "{group}");
    }
}

/// An IPv4 packet, or a piece of one.
fn ip(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let [length, fragment] = [20 + payload.len() as u16, fragment].map(u16::to_be_bytes);
    let header = [&[0x45, 0], &length[..], &[0, 7], &fragment, &[64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]];
    [&header.concat(), payload].concat()
}

#[test]
fn what_ended_since_it_was_looked_for_is_not_found() {
    // Addresses and ports as those of no conversation at all.
    let mut nobody = [0; 40];
    (nobody[0], nobody[3], nobody[9], nobody[32], nobody[33]) = (0x45, 40, 6, 0x50, 0x10);
    let mut other = nobody;
    other[12] = 10;
    let frames = [other, nobody].map(|packet| [&[2; 12], &[8, 0][..], &packet].concat());
    let packets: Vec<Packet<'_>> = [(0, 0), (0, 1), (400, 0), (400, 1)]
        .map(|(seconds, which)| {
            let time = Timestamp::from_nanos((1_000_000 + seconds) * 1_000_000_000);
            Packet { time, ..crate::decode::frame(LinkType::ETHERNET, &frames[which]) }
        })
        .into();
    let (by_itself, together) = (grouped(&packets, 1), grouped(&packets, 2));
    assert_eq!((together.flows.len(), together.flows), (4, by_itself.flows));
}

fn grouped(packets: &[Packet<'_>], group: usize) -> Lab {
    let mut lab = Lab::new();
    packets.chunks(group).for_each(|packets| lab.see_all(packets));
    lab.finish();
    lab
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn being_told_the_time_in_between_changes_no_record(told in prop::collection::vec(any::<bool>(), 600)) {
        let frames = traffic();
        let untold = Lab::of(&frames);
        let mut lab = Lab::new();
        for (frame, told) in frames.iter().zip(told.iter().cycle()) {
            if *told {
                lab.timeout(frame.time);
            }
            lab.play(std::slice::from_ref(frame));
        }
        lab.finish();
        prop_assert_eq!(&lab.calls, &untold.calls);
        prop_assert_eq!(&lab.flows, &untold.flows);
        prop_assert_eq!(&lab.metrics, &untold.metrics);
    }
}

#[test]
fn engines_side_by_side_give_different_numbers() {
    let mut options = flow_core::Options::default();
    options.shard = 7;
    let lab = Lab::of_with(options, &traffic());
    assert_eq!(lab.flows.iter().map(|flow| flow.conversation.flow_id >> 56).max(), Some(7));
    assert!(lab.calls.iter().all(|call| call.id >> 56 == 7));
}
