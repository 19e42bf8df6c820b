//! The target over packets.

use std::time::Duration;

use flow_core::{FlowEngine, Input, LinkType, Options, Output, Packet};
use protocol_parsers::Timestamp;

const LINKS: [u16; 14] = [1, 101, 101, 1, 0, 9, 12, 50, 104, 108, 113, 228, 276, 147];
/// The option that has the engine asked for what is due after every frame.
const WAITS: u8 = 0x40;
/// What passes before a frame, in milliseconds.
const STEPS: [i64; 16] =
    [0, 0, 1, 10, 999, 1_000, 2_001, 15_000, 31_000, 61_000, 121_000, 301_000, 7_200_000, -1_000, -60_000, -86_400_000];

/// Frames and when they came: a byte of options, one of how many frames are handed in at a time, then for each frame a byte for the time
/// that passed and the number of a frame further up that comes again, a byte for the link type and the length on the wire, and
/// - where a frame comes again: a position and a byte that is put there;
/// - else a length and the bytes.
///
/// Whatever they are, the same input gives the same records, however many frames are handed in at a time; every packet is counted once, and
/// bounds hold.
pub fn packets(data: &[u8]) {
    let Some(([choices, group], frames)) = data.split_first_chunk() else { return };
    let frames = read(frames);
    let single = run(*choices, &frames, 1);
    // Between the frames of a group nobody asks for what is due.
    let group = if choices & WAITS == 0 { usize::from(*group) % 80 + 1 } else { 1 };
    let together = run(*choices, &frames, group);
    if group == 1 {
        assert_eq!(single, together, "the same input, the same output");
    }
    for kind in ["Call", "Flow", "Metric", "Stats"] {
        let of = |records: &[String]| -> Vec<String> {
            records.iter().filter(|record| record.starts_with(kind)).cloned().collect()
        };
        let (single, together) = (of(&single), of(&together));
        for number in 0..single.len().max(together.len()) {
            assert_eq!(single.get(number), together.get(number), "{kind} {number}, {group} frames at a time");
        }
    }
}

/// The records of frames, written out.
pub(crate) fn records(frames: &[Frame]) -> Vec<String> {
    run(0, frames, 1)
}

pub(crate) struct Frame {
    time: Timestamp,
    link: LinkType,
    bytes: Vec<u8>,
    original_len: u32,
}

impl Frame {
    /// An IP packet without anything around it.
    pub(crate) fn raw(time: Timestamp, bytes: Vec<u8>) -> Self {
        Self { time, link: LinkType::RAW_IP, original_len: bytes.len() as u32, bytes }
    }

    fn packet(&self, choices: u8) -> Packet<'_> {
        Packet {
            time: self.time,
            link: self.link,
            interface: u32::from(self.original_len == 0),
            captured: &self.bytes,
            original_len: self.original_len,
            vlan: (choices & 0x20 != 0).then_some(self.bytes.len() as u16),
        }
    }
}

fn read(mut rest: &[u8]) -> Vec<Frame> {
    let mut time = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let mut frames: Vec<Frame> = Vec::new();
    while let [when, how, first, behind @ ..] = rest {
        let step = STEPS[usize::from(when & 15)];
        let passed = Duration::from_millis(step.unsigned_abs());
        let back = Timestamp::from_nanos(time.as_nanos().saturating_sub(passed.as_nanos() as u64));
        time = if step < 0 { back } else { time + passed };
        let again = frames.len().checked_sub(usize::from(when >> 4)).and_then(|number| frames.get(number));
        let (bytes, next) = match (again, behind) {
            (Some(again), [value, behind @ ..]) => {
                let mut bytes = again.bytes.clone();
                if let Some(place) = bytes.get_mut(usize::from(*first)) {
                    *place = *value;
                }
                (bytes, behind)
            }
            _ => {
                let (bytes, behind) = behind.split_at(usize::from(*first).min(behind.len()));
                (bytes.to_vec(), behind)
            }
        };
        rest = next;
        let original_len = match how >> 4 {
            0..=11 => bytes.len() as u32,
            12 => bytes.len() as u32 + 1400,
            13 => 0,
            14 => u32::MAX,
            _ => bytes.len() as u32 / 2,
        };
        frames.push(Frame { time, link: LinkType(LINKS[usize::from(how & 15) % LINKS.len()]), bytes, original_len });
    }
    frames
}

fn options(choices: u8) -> Options {
    let mut options = Options::default();
    let chosen = |bit: u8| choices & 1 << bit != 0;
    options.vlan_in_key = !chosen(0);
    options.interface_in_key = !chosen(1);
    options.pieces = chosen(2).then_some(Duration::from_secs(60));
    options.metrics = !chosen(3);
    if chosen(4) {
        options.limits.flows = 3;
        options.limits.reassembly_segments = 2;
        options.limits.reassembly_bytes = 300;
        options.limits.fragmented_datagrams = 2;
        options.limits.fragments_per_datagram = 3;
        options.limits.metric_rows = 2;
    }
    options
}

/// The records of frames that are handed in `group` at a time, written out.
fn run(choices: u8, frames: &[Frame], group: usize) -> Vec<String> {
    let mut run = Run {
        engine: FlowEngine::new(options(choices)),
        most_flows: options(choices).limits.flows,
        sums_rows: choices & 0x18 == 0,
        records: Vec::new(),
        packets_in_flows: 0,
        packets_in_rows: 0,
        calls: 0,
    };
    for frames in frames.chunks(group) {
        let packets: Vec<_> = frames.iter().map(|frame| frame.packet(choices)).collect();
        match packets.as_slice() {
            [packet] => run.engine.handle(Input::Packet(*packet)),
            packets => run.engine.handle(Input::Packets(packets)),
        }
        run.take();
        if choices & WAITS != 0 {
            run.wait_once();
        }
    }
    if choices & 0x80 != 0 {
        // Every conversation is asked for a few times, each window of metrics once.
        for _ in 0..100 + 20 * frames.len() {
            run.wait_once();
        }
        assert_eq!((run.engine.poll_timeout(), run.engine.open_flows()), (None, 0), "waiting comes to an end");
    }
    run.finish()
}

struct Run {
    engine: FlowEngine,
    most_flows: usize,
    /// Metrics are made and find room.
    sums_rows: bool,
    records: Vec<String>,
    packets_in_flows: u64,
    packets_in_rows: u64,
    calls: u64,
}

impl Run {
    /// Does what the engine asks for; it asks for something else then.
    fn wait_once(&mut self) {
        if let Some(next) = self.engine.poll_timeout() {
            self.engine.handle_timeout(next);
            self.take();
            assert_ne!(self.engine.poll_timeout(), Some(next), "a timeout leads on");
        }
    }

    fn take(&mut self) {
        while let Some(output) = self.engine.poll() {
            self.records.push(format!("{output:?}"));
            match output {
                Output::Call(_) => self.calls += 1,
                Output::Flow(flow) => {
                    assert!(flow.start <= flow.end, "{flow:?}");
                    self.packets_in_flows += flow.counters.packets.client + flow.counters.packets.server;
                }
                Output::Metric(row) if row.window == Duration::from_secs(1) => {
                    let packets = row.values.counters.packets;
                    self.packets_in_rows += packets.client + packets.server;
                }
                _ => {}
            }
        }
        let stats = self.engine.stats();
        assert_eq!(stats.packets, stats.packets_followed + stats.packets_dropped_total() + stats.fragments_waiting);
        assert_eq!(stats.flows_opened - stats.flows_closed, self.engine.open_flows() as u64);
        assert!(self.engine.open_flows() <= self.most_flows);
    }

    fn finish(mut self) -> Vec<String> {
        self.engine.finish();
        self.take();
        let stats = self.engine.stats();
        assert_eq!((self.engine.open_flows(), stats.fragments_waiting, stats.records_dropped), (0, 0, 0));
        assert_eq!(self.packets_in_flows, stats.packets_followed);
        assert!(!self.sums_rows || self.packets_in_rows == stats.packets_followed);
        assert_eq!(self.engine.parser_stats().calls, self.calls);
        self.records.push(format!("{stats:?}"));
        self.records
    }
}
