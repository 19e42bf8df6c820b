//! Datagrams in pieces.

use std::time::Duration;

use flow_core::{DropReason, LinkType, Options, Packet};
use proptest::prelude::*;
use protocol_parsers::{CallKind, Timestamp};

use crate::decode::frame;
use crate::frames::{
    ANSWER, CLIENT, CLIENT_V6, QUERY, SERVER, SERVER_V6, UDP, ethernet, ipv4, ipv4_piece, ipv6, ipv6_piece, udp,
};
use crate::lab::{Lab, START, at, at_ms};

/// A datagram from the server to the client, cut at these offsets.
fn pieces(datagram: &[u8], cuts: &[usize], id: u16) -> Vec<Vec<u8>> {
    let mut ends = cuts.to_vec();
    ends.push(datagram.len());
    let starts = [0].into_iter().chain(cuts.iter().copied());
    starts
        .zip(ends)
        .map(|(from, to)| ipv4_piece(SERVER, CLIENT, UDP, id, from as u16, to < datagram.len(), &datagram[from..to]))
        .collect()
}

fn pieces_v6(datagram: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut ends = cuts.to_vec();
    ends.push(datagram.len());
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let piece = |from: usize, to: usize| ipv6_piece(UDP, 99, from as u16, to < datagram.len(), &datagram[from..to]);
    starts.zip(ends).map(|(from, to)| ipv6(SERVER_V6, CLIENT_V6, 44, &piece(from, to))).collect()
}

fn see(lab: &mut Lab, time: Timestamp, bytes: &[u8]) {
    lab.see(Packet { time, ..frame(LinkType::RAW_IP, bytes) });
}

fn lab(frames: &[Vec<u8>]) -> Lab {
    let mut lab = Lab::new();
    for (number, bytes) in frames.iter().enumerate() {
        see(&mut lab, at_ms(number as u64), bytes);
    }
    lab.finish();
    lab
}

#[test]
fn an_answer_in_pieces_is_one_call() {
    let answer = udp(53, 40_000, ANSWER);
    let queries =
        [ipv4(CLIENT, SERVER, UDP, &udp(40_000, 53, QUERY)), ipv6(CLIENT_V6, SERVER_V6, UDP, &udp(40_000, 53, QUERY))];
    for (query, pieces) in queries.iter().zip([pieces(&answer, &[16, 40], 5), pieces_v6(&answer, &[16, 40])]) {
        let [first, second, third] = &pieces[..] else { panic!("three pieces") };
        let orders = [
            [first, second, third],
            [first, third, second],
            [second, first, third],
            [second, third, first],
            [third, first, second],
            [third, second, first],
        ];
        for order in orders {
            let frames: Vec<_> = [query].into_iter().chain(order).cloned().collect();
            let lab = lab(&frames);
            let call = lab.call();
            assert_eq!((call.kind, call.resource.as_deref()), (CallKind::RequestResponse, Some("shop.test")));
            assert_eq!(call.duration, Some(Duration::from_millis(3)), "until the last piece came");
            assert_eq!(call.response_bytes, ANSWER.len() as u64);
            let counters = lab.flow().counters;
            assert_eq!((counters.packets.client, counters.packets.server), (1, 3));
            assert_eq!(counters.bytes.server, pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
            assert_eq!(counters.payload_bytes.server, ANSWER.len() as u64);
        }
    }
}

#[test]
fn a_piece_seen_twice_is_dropped_alone() {
    let mut frames = pieces(&udp(53, 40_000, ANSWER), &[16, 40], 5);
    frames.insert(1, frames[0].clone());
    let lab = lab(&frames);
    assert_eq!(lab.flow().counters.packets.client + lab.flow().counters.packets.server, 3);
    assert_eq!(lab.engine.stats().dropped(DropReason::Fragment), 1);
}

#[test]
fn pieces_that_bring_nothing_new_are_dropped_alone() {
    let datagram = udp(53, 40_000, ANSWER);
    let piece =
        |offset: usize, end: usize| ipv4_piece(SERVER, CLIENT, UDP, 5, offset as u16, true, &datagram[offset..end]);
    let last = ipv4_piece(SERVER, CLIENT, UDP, 5, 40, false, &datagram[40..]);
    let joined = |within: Vec<u8>, order: [(usize, usize); 2]| {
        let [first, second] = order.map(|(offset, end)| piece(offset, end));
        let lab = lab(&[first, second, within, last.clone()]);
        lab.flows.len()
    };
    let (in_order, turned) = ([(0, 16), (16, 40)], [(16, 40), (0, 16)]);
    for within in [(0, 8), (8, 16), (0, 16), (16, 32), (16, 40)] {
        assert_eq!((joined(piece(within.0, within.1), in_order), joined(piece(within.0, within.1), turned)), (1, 1));
    }
    // Within two together only where the second came behind the first.
    assert_eq!((joined(piece(8, 24), in_order), joined(piece(8, 24), turned)), (1, 0));
    assert_eq!((joined(piece(0, 40), in_order), joined(piece(0, 40), turned)), (1, 0));
}

#[test]
fn a_first_piece_of_ipv6_without_its_transport_header_is_dropped_alone() {
    let segment = [&[0; 12][..], &[0x50, 16, 0, 0, 0, 0, 0, 0], &[b'x'; 12]].concat();
    let piece = |offset: usize, end: usize| {
        let piece = ipv6_piece(6, 99, offset as u16, end < segment.len(), &segment[offset..end]);
        ipv6(SERVER_V6, CLIENT_V6, 44, &piece)
    };
    let lab = lab(&[piece(0, 8), piece(24, 32), piece(0, 24)]);
    assert_eq!((lab.engine.stats().packets_followed, lab.engine.stats().dropped(DropReason::Fragment)), (2, 1));
}

#[test]
fn a_piece_of_ipv4_that_ends_within_eight_bytes_is_cut() {
    let datagram = udp(53, 40_000, ANSWER);
    let mut frames = pieces(&datagram, &[16, 40], 5);
    frames[1] = ipv4_piece(SERVER, CLIENT, UDP, 5, 16, true, &datagram[16..45]);
    assert_eq!(lab(&frames).flow().counters.payload_bytes.server, ANSWER.len() as u64);
}

#[test]
fn pieces_that_overlap_end_their_datagram() {
    let datagram = udp(53, 40_000, ANSWER);
    let whole = pieces(&datagram, &[16, 40], 5);
    let overlaps = [
        ipv4_piece(SERVER, CLIENT, UDP, 5, 8, true, &datagram[8..24]),
        ipv4_piece(SERVER, CLIENT, UDP, 5, 0, true, &datagram[..24]),
        ipv4_piece(SERVER, CLIENT, UDP, 5, 8, false, &datagram[8..16]),
    ];
    for overlap in overlaps {
        let lab = lab(&[whole[0].clone(), overlap, whole[1].clone(), whole[2].clone()]);
        assert!(lab.flows.is_empty());
        assert_eq!(lab.engine.stats().dropped(DropReason::Fragment), 4);
    }
    let overlap = ipv6(SERVER_V6, CLIENT_V6, 44, &ipv6_piece(UDP, 99, 8, true, &datagram[8..24]));
    let whole = pieces_v6(&datagram, &[16]);
    assert!(lab(&[whole[0].clone(), overlap, whole[1].clone()]).flows.is_empty());
}

#[test]
fn ends_that_contradict_each_other_end_their_datagram() {
    let piece =
        |offset: u16, more: bool, length: usize| ipv4_piece(SERVER, CLIENT, UDP, 5, offset, more, &vec![0; length]);
    let cases = [
        vec![piece(64, false, 8), piece(16, false, 8)],
        vec![piece(16, false, 8), piece(64, true, 8)],
        vec![piece(16, false, 8), piece(64, false, 8)],
        vec![piece(64, true, 8), piece(16, false, 8)],
    ];
    for frames in cases {
        assert_eq!(lab(&frames).engine.stats().dropped(DropReason::Fragment), 2);
    }
    let alone = [piece(0, true, 9), piece(0, true, 0), piece(65_528, false, 8)];
    for frame in alone {
        assert_eq!(lab(&[frame]).engine.stats().dropped(DropReason::Fragment), 1, "in itself");
    }
}

#[test]
fn datagrams_do_not_mix() {
    let datagram = udp(53, 40_000, ANSWER);
    let first = pieces(&datagram, &[16], 5);
    let other_id = pieces(&datagram, &[16], 6);
    assert!(lab(&[first[0].clone(), other_id[1].clone()]).flows.is_empty());
    let other_protocol = ipv4_piece(SERVER, CLIENT, 6, 5, 16, false, &datagram[16..]);
    assert!(lab(&[first[0].clone(), other_protocol]).flows.is_empty());
    let mut lab = Lab::new();
    for (interface, bytes) in first.iter().enumerate() {
        lab.see(Packet { interface: interface as u32, ..frame(LinkType::RAW_IP, bytes) });
    }
    lab.finish();
    assert!(lab.flows.is_empty(), "seen at different places");
}

#[test]
fn a_datagram_that_stays_incomplete_is_dropped_after_its_time() {
    let frames = pieces(&udp(53, 40_000, ANSWER), &[16, 40], 5);
    let mut lab = Lab::new();
    see(&mut lab, START, &frames[0]);
    see(&mut lab, at(1), &frames[1]);
    assert_eq!(lab.engine.stats().fragments_waiting, 2);
    assert_eq!(lab.engine.poll_timeout(), Some(at(30)));
    lab.timeout(at_ms(29_999));
    assert_eq!(lab.engine.stats().fragments_waiting, 2);
    lab.timeout(at(30));
    assert_eq!(lab.engine.stats().fragments_waiting, 0);
    see(&mut lab, at(30), &frames[2]);
    lab.finish();
    assert_eq!(lab.engine.stats().dropped(DropReason::Fragment), 3);
}

#[test]
fn a_piece_from_the_future_does_not_keep_the_others() {
    let frames = pieces(&udp(53, 40_000, ANSWER), &[16], 5);
    let mut lab = Lab::new();
    see(&mut lab, at(1_000_000_000), &frames[0]);
    see(&mut lab, START, &pieces(&udp(53, 40_000, ANSWER), &[16], 6)[0]);
    for second in 0..40 {
        lab.timeout(at(second));
    }
    assert_eq!(lab.engine.stats().fragments_waiting, 0);
}

#[test]
fn the_oldest_datagram_makes_room() {
    let mut options = Options::default();
    options.limits.fragmented_datagrams = 2;
    let mut lab = Lab::with(options);
    let datagram = udp(53, 40_000, ANSWER);
    let frames: Vec<_> = (0..3).map(|id| pieces(&datagram, &[16], id)).collect();
    for id in 0..3 {
        see(&mut lab, at_ms(id), &frames[id as usize][0]);
    }
    assert_eq!((lab.engine.stats().fragments_waiting, lab.engine.stats().dropped(DropReason::Fragment)), (2, 1));
    see(&mut lab, at_ms(3), &frames[1][1]);
    see(&mut lab, at_ms(4), &frames[2][1]);
    lab.finish();
    assert_eq!(lab.engine.stats().packets_followed, 4);
}

#[test]
fn many_whole_datagrams_do_not_push_out_one_that_waits() {
    let mut options = Options::default();
    options.limits.fragmented_datagrams = 4;
    let mut lab = Lab::with(options);
    let datagram = udp(53, 40_000, ANSWER);
    let patient = pieces(&datagram, &[16], 60_000);
    see(&mut lab, START, &patient[0]);
    for id in 0..1000 {
        for bytes in pieces(&datagram, &[16], id) {
            see(&mut lab, at_ms(u64::from(id)), &bytes);
        }
    }
    see(&mut lab, at(2), &patient[1]);
    lab.finish();
    assert_eq!(lab.engine.stats().packets_followed, 2002);
}

#[test]
fn too_many_pieces_end_their_datagram() {
    let mut options = Options::default();
    options.limits.fragments_per_datagram = 4;
    let mut lab = Lab::with(options);
    for number in 0..5 {
        see(&mut lab, START, &ipv4_piece(SERVER, CLIENT, UDP, 5, number * 8, true, &[0; 8]));
    }
    assert_eq!((lab.engine.stats().fragments_waiting, lab.engine.stats().dropped(DropReason::Fragment)), (0, 5));
}

#[test]
fn a_piece_that_was_not_captured_whole_is_dropped() {
    let frames = pieces(&udp(53, 40_000, ANSWER), &[16, 40], 5);
    let mut lab = Lab::new();
    lab.see(Packet { original_len: frames[0].len() as u32, ..frame(LinkType::RAW_IP, &frames[0][..30]) });
    lab.finish();
    assert_eq!(lab.engine.stats().dropped(DropReason::Fragment), 1);
}

#[test]
fn pieces_within_a_tunnel_are_joined_there() {
    let vxlan = |inner: &[u8]| {
        let inside = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800, inner)].concat();
        ipv4([192, 0, 2, 2], [192, 0, 2, 1], UDP, &udp(55_555, 4789, &inside))
    };
    let frames: Vec<_> = pieces(&udp(53, 40_000, ANSWER), &[16, 40], 5).iter().map(|piece| vxlan(piece)).collect();
    let lab = lab(&frames);
    let flow = lab.flow();
    assert_eq!((flow.conversation.server.to_string(), flow.tunnels().count()), ("10.0.0.2:53".to_owned(), 1));
    assert_eq!(flow.counters.packets.server, 3);
}

#[test]
fn a_tunnel_packet_in_pieces_is_joined_and_opened() {
    let inner = ipv4(SERVER, CLIENT, UDP, &udp(53, 40_000, ANSWER));
    let outer = udp(55_555, 4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800, &inner)].concat());
    let flow = lab(&pieces(&outer, &[16, 64], 5)).flow().clone();
    assert_eq!((flow.conversation.server.to_string(), flow.tunnels().count()), ("10.0.0.2:53".to_owned(), 1));
}

/// Every frame is counted once, whatever the outer and the inner packet are in pieces of.
#[test]
fn a_piece_in_a_tunnel_packet_in_pieces_is_left_to_the_tunnel() {
    let inner = &pieces(&udp(53, 40_000, ANSWER), &[16], 5)[0];
    let waiting = ipv4_piece(SERVER, CLIENT, UDP, 77, 0, true, &[0; 8]);
    let outer = udp(55_555, 4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800, inner)].concat());
    let mut frames = pieces(&outer, &[16, 64], 5);
    frames.insert(0, waiting.clone());
    assert_eq!(lab(&frames).flow().conversation.server.port(), 4789);
    let mut frames: Vec<_> = pieces(inner, &[16], 5).into_iter().collect();
    for frame in &mut frames {
        frame[9] = 4;
    }
    frames.insert(0, waiting);
    assert_eq!(lab(&frames).engine.stats().dropped(DropReason::Fragment), 3);
}

#[test]
fn what_was_joined_and_is_not_followed_is_counted_with_its_reason() {
    let waiting = ipv4_piece(SERVER, CLIENT, UDP, 77, 0, true, &[0; 8]);
    let piece = |offset: u16, more: bool| ipv4_piece(SERVER, CLIENT, 132, 5, offset, more, &[0; 8]);
    let lab = lab(&[waiting, piece(0, true), piece(8, true), piece(16, false)]);
    let stats = lab.engine.stats();
    assert_eq!((stats.dropped(DropReason::Transport), stats.dropped(DropReason::Fragment)), (3, 1));
}

proptest! {
    #[test]
    fn pieces_of_any_size_in_any_order_with_repeats(
        length in 0usize..3000,
        cuts in prop::collection::btree_set(1usize..370, 0..20),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        six in any::<bool>(),
    ) {
        let data: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let datagram = udp(9999, 40_000, &data);
        let cuts: Vec<_> = cuts.into_iter().map(|cut| cut * 8).filter(|cut| *cut < datagram.len()).collect();
        let frames = if six { pieces_v6(&datagram, &cuts) } else { pieces(&datagram, &cuts, 5) };
        prop_assume!(frames.len() > 1);
        // Some in a drawn order, with repeats; then all: by then each was seen.
        let mut lab = Lab::new();
        for index in order {
            see(&mut lab, START, index.get::<Vec<u8>>(&frames));
        }
        for frame in frames.iter().rev() {
            see(&mut lab, START, frame);
        }
        lab.finish();
        let joined: u64 = lab.flows.iter().map(|flow| flow.counters.payload_bytes.client + flow.counters.payload_bytes.server).sum();
        prop_assert!(joined >= length as u64 && (length == 0 || joined.is_multiple_of(length as u64)));
    }
}
