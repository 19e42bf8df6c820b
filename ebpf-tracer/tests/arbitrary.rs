//! Whatever comes out of the ring: no panic, everything is accounted for, every bound holds.

mod support;

use std::collections::HashMap;
use std::time::Duration;

use ebpf_tracer::events::{Header, Kind, ProcessEvent, SocketEvent};
use ebpf_tracer::{Event, Snapshot};
use flow_core::StreamEvent;
use proptest::prelude::*;
use support::{Lab, MS, SECOND};

#[derive(Clone, Debug)]
enum Step {
    Socket(SocketEvent, Vec<u8>),
    Process(ProcessEvent, Vec<u8>),
    Snapshot(Snapshot),
    Bytes(Vec<u8>),
    Advance(u64),
    Listening(u16, bool),
    Drain,
}

/// Mostly few of everything, so that things meet; sometimes anything.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![8 => (0_u64..400).prop_map(|ms| ms * MS), 2 => (0_u64..400).prop_map(|s| s * SECOND), 1 => any::<u64>()]
}

prop_compose! {
    fn socket()(
        (tgid, tid, fd, inode, tls) in (0_u32..3, 0_u32..4, -1_i32..4, 0_u64..5, 0_u64..3),
        (time_ns, enter_ns) in (time(), time()),
        (operation, source, flags) in (prop_oneof![5 => 1_u8..3, 1 => any::<u8>()], prop_oneof![5 => Just(0_u8), 1 => 0_u8..3], prop_oneof![6 => 0_u16..4, 1 => 0_u16..64]),
        (family, socket_type, protocol) in (
            prop_oneof![4 => Just(2), 1 => Just(10), 1 => Just(1), 1 => Just(0), 1 => any::<u8>()],
            prop_oneof![4 => Just(1), 2 => Just(2), 1 => any::<u8>()],
            prop_oneof![4 => Just(6), 2 => Just(17), 1 => any::<u8>()],
        ),
        (local_port, remote_port) in (0_u16..3, 0_u16..3),
        (position, at, total) in (
            prop_oneof![8 => 0_u32..100, 1 => any::<u32>()],
            prop_oneof![8 => 0_u32..8, 1 => any::<u32>()],
            prop_oneof![8 => 0_u32..30, 1 => any::<u32>()],
        ),
    ) -> SocketEvent {
        let header = Header { kind: Kind::Socket as u32, payload: 0, time_ns, tgid, tid };
        SocketEvent {
            header, enter_ns, inode, tls, fd, total, at, position, operation, source, flags, family, socket_type, protocol,
            local_port, remote_port, ..SocketEvent::default()
        }
    }
}

prop_compose! {
    fn process()(tgid in 0_u32..6, parent in 0_u32..6, time_ns in time(), start_ns in time(), change in 0_u32..5) -> ProcessEvent {
        let header = Header { kind: Kind::Process as u32, payload: 0, time_ns, tgid, tid: tgid };
        ProcessEvent { header, start_ns, parent, change, ..ProcessEvent::default() }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        20 => (socket(), bytes()).prop_map(|(event, bytes)| Step::Socket(event, bytes)),
        3 => (process(), bytes()).prop_map(|(event, bytes)| Step::Process(event, bytes)),
        1 => (0_u32..6, time()).prop_map(|(pid, start_ns)| Step::Snapshot(Snapshot { pid, start_ns, ..Snapshot::default() })),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Bytes),
        1 => time().prop_map(Step::Advance),
        1 => (0_u16..3, any::<bool>()).prop_map(|(port, is_listening)| Step::Listening(port, is_listening)),
        5 => Just(Step::Drain),
    ]
}

/// Reads what there is, and holds that every stream is opened once, closed once, and only goes forward between.
fn drain(lab: &mut Lab, streams: &mut HashMap<u64, [u64; 2]>, last: &mut u64) -> Result<(), TestCaseError> {
    while let Some(input) = lab.tracer.poll() {
        match input.event {
            StreamEvent::Open(_) => {
                prop_assert!(input.stream > *last);
                *last = input.stream;
                streams.insert(input.stream, [0; 2]);
            }
            StreamEvent::Data { chunk, .. } => {
                let open = TestCaseError::fail("data of a stream that is not open");
                let end = &mut streams.get_mut(&input.stream).ok_or(open)?[chunk.side as usize];
                prop_assert!(chunk.offset >= *end, "{} before {end}", chunk.offset);
                *end = chunk.offset + chunk.bytes.len() as u64 + chunk.missing;
            }
            _ => prop_assert!(streams.remove(&input.stream).is_some(), "closed twice"),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_events_are_accounted_for_within_the_bounds(steps in prop::collection::vec(step(), 0..150), tight: bool) {
        let mut lab = Lab::limited(|limits| {
            if tight {
                limits.reorder = Duration::from_millis(5);
                (limits.reorder_events, limits.reorder_bytes) = (20, 100);
                (limits.gap_pieces, limits.gap_bytes, limits.gap_bytes_total) = (3, 20, 30);
                (limits.streams, limits.holders, limits.listening) = (4, 2, 2);
                (limits.waiting, limits.waiting_bytes) = (20, 100);
                (limits.threads, limits.marks, limits.processes, limits.unread) = (2, 10, 3, 2);
            }
        });
        let (mut streams, mut last) = (HashMap::new(), 0);
        for step in steps {
            match step {
                Step::Socket(event, payload) => lab.push(event, &payload),
                Step::Process(event, path) => lab.tracer.push(&Event::Process(event, &path)),
                Step::Snapshot(snapshot) => lab.tracer.insert(snapshot),
                Step::Bytes(bytes) => _ = lab.tracer.record(&bytes),
                Step::Advance(time) => lab.tracer.advance(time),
                Step::Listening(port, is_listening) => lab.tracer.listening(0, port, is_listening),
                Step::Drain => drain(&mut lab, &mut streams, &mut last)?,
            }
            lab.check();
            if tight {
                prop_assert!(lab.tracer.streams() <= 4 && lab.tracer.processes() <= 3);
                prop_assert!(lab.tracer.held() <= 20 + 4 * (3 + 1) * 3, "{}", lab.tracer.held());
            }
        }
        lab.tracer.finish();
        drain(&mut lab, &mut streams, &mut last)?;
        prop_assert!(streams.is_empty(), "left open");
        lab.check();
        let stats = lab.tracer.stats();
        prop_assert_eq!((lab.tracer.held(), lab.tracer.streams()), (0, 0));
        prop_assert_eq!(stats.streams_opened, stats.streams_closed);
    }
}
