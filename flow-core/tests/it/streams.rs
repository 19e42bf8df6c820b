//! Streams of bytes cut, shuffled, repeated and lost on their way: each byte is read once, and what never came is counted.

use flow_core::Options;
use proptest::prelude::*;

use crate::frames::{ACK, FIN};
use crate::lab::Lab;
use crate::script::{Script, Who};

/// Requests one after the other, and what they ask for.
fn requests(count: usize) -> (Vec<u8>, Vec<String>) {
    let paths: Vec<_> = (0..count).map(|number| format!("/{}", "x".repeat(number % 7) + &number.to_string())).collect();
    let bytes = paths.iter().flat_map(|path| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()).collect();
    (bytes, paths)
}

/// The stream's segments: where they begin and end.
fn segments(length: usize, cuts: &[usize]) -> Vec<(usize, usize)> {
    let mut borders: Vec<_> = cuts.iter().map(|cut| cut % length).chain([0, length]).collect();
    borders.sort_unstable();
    borders.dedup();
    borders.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn play(bytes: &[u8], segments: &[(usize, usize)], isn: u32) -> Lab {
    let mut script = Script::new().starting(isn, 5000);
    script.open();
    let (base, ack) = (script.client.next, script.server.next);
    for &(from, to) in segments {
        script.segment(Who::Client, base.wrapping_add(from as u32), ack, ACK, &bytes[from..to]);
    }
    Lab::of(&script.frames)
}

proptest! {
    #[test]
    fn a_stream_arrives_whole_however_it_was_cut_shuffled_and_repeated(
        count in 1usize..20,
        cuts in prop::collection::vec(any::<usize>(), 0..60),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), 1usize..8), 0..40),
        repeats in prop::collection::vec((any::<prop::sample::Index>(), 0usize..50, 0usize..50), 0..20),
        isn in prop_oneof![any::<u32>(), Just(u32::MAX - 100)],
    ) {
        let (bytes, paths) = requests(count);
        let mut segments = segments(bytes.len(), &cuts);
        for (index, distance) in swaps {
            let from = index.index(segments.len());
            let to = (from + distance).min(segments.len() - 1);
            segments.swap(from, to);
        }
        for (index, before, behind) in repeats {
            let place = index.index(segments.len());
            let (from, to) = segments[place];
            segments.insert(place, (from.saturating_sub(before), (to + behind).min(bytes.len())));
        }
        let lab = play(&bytes, &segments, isn);
        prop_assert_eq!(lab.resources(), paths);
        let stats = lab.engine.stats();
        prop_assert_eq!((stats.bytes_delivered, stats.bytes_missing), (bytes.len() as u64, 0));
        let sent: u64 = segments.iter().map(|(from, to)| (to - from) as u64).sum();
        prop_assert_eq!(stats.bytes_delivered + stats.bytes_repeated, sent);
    }

    #[test]
    fn what_was_lost_is_counted_to_the_byte(
        count in 1usize..20,
        cuts in prop::collection::vec(any::<usize>(), 0..60),
        lost in prop::collection::vec(any::<bool>(), 60),
    ) {
        let (bytes, paths) = requests(count);
        let all = segments(bytes.len(), &cuts);
        let kept: Vec<_> = all.iter().zip(lost.iter().chain([&false; 2])).filter(|(_, lost)| !**lost).map(|(piece, _)| *piece).collect();
        prop_assume!(!kept.is_empty());
        let lab = play(&bytes, &kept, 1000);
        let stats = lab.engine.stats();
        let came: usize = kept.iter().map(|(from, to)| to - from).sum();
        // Behind the last segment, nothing tells that there was more.
        let missing = kept.last().unwrap().1 - came;
        prop_assert_eq!((stats.bytes_delivered, stats.bytes_missing), (came as u64, missing as u64));
        prop_assert!(lab.resources().iter().all(|seen| *seen == "-" || paths.iter().any(|path| path == seen) || lab.calls.iter().any(|call| !call.complete)));
    }
}

#[test]
fn a_hole_is_bridged_where_the_other_side_acknowledges_it() {
    let (bytes, _) = requests(3);
    let third = bytes.len() / 3;
    let mut script = Script::opened();
    script.client(&bytes[..third]).client(&bytes[third..2 * third]).lose().client(&bytes[2 * third..]).server(b"");
    let mut lab = Lab::new();
    lab.play(&script.frames);
    let stats = lab.engine.stats();
    assert_eq!((stats.bytes_missing, stats.bytes_delivered), (third as u64, (bytes.len() - third) as u64));
    lab.finish();
}

#[test]
fn a_stream_ends_at_its_fin_whatever_comes_behind() {
    let (bytes, paths) = requests(3);
    let half = bytes.len() / 2;
    for fin_first in [false, true] {
        let mut script = Script::opened();
        let (base, ack) = (script.client.next, script.server.next);
        let (middle, end) = (base + half as u32, base + bytes.len() as u32);
        let fin = |script: &mut Script| {
            script.segment(Who::Client, middle, ack, ACK | FIN, &bytes[half..]);
        };
        if fin_first {
            fin(&mut script);
        }
        script.segment(Who::Client, base, ack, ACK, &bytes[..half]);
        if !fin_first {
            fin(&mut script);
        }
        script.segment(Who::Client, end, ack, ACK, b"GET /on HTTP/1.1\r\nHost: h\r\n\r\n");
        script.segment(Who::Client, end + 1, ack, ACK, b"GET /behind HTTP/1.1\r\nHost: h\r\n\r\n");
        script.segment(Who::Server, ack, end + 1, ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let lab = Lab::of(&script.frames);
        assert_eq!(lab.resources(), paths, "FIN first: {fin_first}");
        let stats = lab.engine.stats();
        assert_eq!((stats.bytes_delivered - 38, stats.bytes_missing), (bytes.len() as u64, 0));
        assert_eq!((stats.bytes_repeated, stats.segments_out_of_window), (29, 1));
    }
}

#[test]
fn a_segment_that_acknowledges_nothing_is_not_read() {
    let (bytes, paths) = requests(2);
    let mut script = Script::opened();
    let (base, ack) = (script.client.next, script.server.next);
    script.segment(Who::Client, base, 0, 0, b"GET /forged HTTP/1.1\r\nHost: h\r\n\r\n");
    script.segment(Who::Client, base, ack, ACK, &bytes);
    assert_eq!(Lab::of(&script.frames).resources(), paths);
}

#[test]
fn a_segment_cut_by_the_snap_length_leaves_a_gap_of_what_was_cut() {
    let mut script = Script::opened();
    script.client(&[b'x'; 100]).client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut lab = Lab::new();
    for frame in &script.frames {
        lab.see(flow_core::Packet {
            time: frame.time,
            link: flow_core::LinkType::RAW_IP,
            interface: 0,
            captured: &frame.bytes[..frame.bytes.len().min(70)],
            original_len: frame.bytes.len() as u32,
            vlan: None,
        });
    }
    lab.finish();
    let stats = lab.engine.stats();
    assert_eq!((stats.bytes_delivered, stats.bytes_missing), (30 + 30, 70));
}

/// A limit of reassembly, and the options with it set.
fn limited(change: impl FnOnce(&mut flow_core::Limits)) -> Options {
    let mut options = Options::default();
    change(&mut options.limits);
    options
}

/// Every second of `count` segments of ten bytes, those before them missing.
fn with_holes(count: u32, script: &mut Script) {
    let (base, ack) = (script.client.next, script.server.next);
    for number in 0..count {
        script.segment(Who::Client, base + number * 20 + 10, ack, ACK, b"0123456789");
    }
}

#[test]
fn too_many_segments_in_wait_give_up_the_first_hole() {
    let mut script = Script::opened();
    with_holes(5, &mut script);
    let mut lab = Lab::with(limited(|limits| limits.reassembly_segments = 4));
    lab.play(&script.frames);
    let stats = lab.engine.stats();
    assert_eq!((stats.reassembly_overflows, stats.bytes_missing, stats.bytes_delivered), (1, 10, 10));
    lab.finish();
}

#[test]
fn too_much_in_wait_on_one_side_gives_up_the_first_hole() {
    let mut script = Script::opened();
    let (base, ack) = (script.client.next, script.server.next);
    script.segment(Who::Client, base + 1, ack, ACK, &[0; 1000]);
    script.segment(Who::Client, base + 2000, ack, ACK, &[0; 1000]);
    let mut lab = Lab::with(limited(|limits| limits.reassembly_bytes_per_side = 2000));
    lab.play(&script.frames);
    let stats = lab.engine.stats();
    assert_eq!((stats.reassembly_overflows, stats.bytes_missing, stats.bytes_delivered), (1, 1, 1000));
    lab.finish();
}

#[test]
fn too_much_in_wait_of_all_connections_gives_up_a_hole() {
    let mut lab = Lab::with(limited(|limits| limits.reassembly_bytes = 2500));
    for port in 1..=3 {
        let mut script = Script::opened_on(40_000 + port);
        let (base, ack) = (script.client.next, script.server.next);
        script.frames.clear();
        script.segment(Who::Client, base, ack, ACK, b"x").segment(Who::Client, base + 5, ack, ACK, &[0; 1000]);
        lab.play(&script.frames);
    }
    let stats = lab.engine.stats();
    assert_eq!((stats.reassembly_overflows, stats.bytes_missing), (1, 4));
    lab.finish();
    assert_eq!(lab.engine.stats().bytes_missing, 12);
}

/// What keeping costs counts too: of many small segments it is more than their bytes.
#[test]
fn single_bytes_in_wait_are_bounded_by_what_they_cost() {
    let mut script = Script::opened();
    let (base, ack) = (script.client.next, script.server.next);
    for number in 0..1000 {
        script.segment(Who::Client, base + number * 2 + 1, ack, ACK, b"x");
    }
    let mut lab = Lab::with(limited(|limits| limits.reassembly_bytes = 10_000));
    lab.play(&script.frames);
    assert!(lab.engine.stats().reassembly_overflows > 650, "{:?}", lab.engine.stats());
    lab.finish();
}
