//! Criterion: the cost of a packet, from memory.
#![allow(missing_docs, reason = "a bench")]

use std::hint::black_box;

use benches::flow::{Counted, Work};
use benches::traffic::{Amount, Quiet, Traffic};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flow_core::{LinkType, Packet, Sharder};
use protocol_parsers::Timestamp;

type Frames = Vec<(u64, Vec<u8>)>;

const PACKETS: u64 = 100_000;

fn packets(criterion: &mut Criterion) {
    let mixed = mixed();
    decode(criterion, &mixed);
    for (name, frames) in [("one hot connection", &hot()), ("mixed, 10,000 at once", &mixed)] {
        let mut group = criterion.benchmark_group(format!("flow, {name}"));
        group.sample_size(10).throughput(Throughput::Elements(frames.len() as u64));
        for (work_name, work) in Work::ALL {
            group.bench_function(work_name, |bencher| {
                let follow = |mut counted: Counted| {
                    frames.iter().for_each(|(time, frame)| counted.frame(*time, frame));
                    counted.finish(work != Work::Flows)
                };
                bencher.iter_batched(|| Counted::new(work.options()), follow, BatchSize::PerIteration);
            });
        }
        group.finish();
    }
}

/// Headers, tags and tunnels, and the hash of the innermost addresses and ports.
fn decode(criterion: &mut Criterion, frames: &Frames) {
    let mut group = criterion.benchmark_group("flow, decode");
    group.sample_size(10).throughput(Throughput::Elements(frames.len() as u64));
    group.bench_function("mixed", |bencher| {
        let mut sharder = Sharder::new(2);
        bencher.iter(|| {
            for (time, frame) in frames {
                let (time, original_len) = (Timestamp::from_nanos(*time), frame.len() as u32);
                let link = LinkType::ETHERNET;
                let packet = Packet { time, link, interface: 0, captured: frame, original_len, vlan: None };
                black_box(sharder.shard(&packet));
            }
        });
    });
    group.finish();
}

/// A handshake, and then requests and answers of Redis in turn.
fn hot() -> Frames {
    let mut quiet = Quiet::default();
    (0..PACKETS).map(|packet| (packet * 1000, quiet.frame(0, packet as u32).to_vec())).collect()
}

fn mixed() -> Frames {
    let mut traffic = Traffic::new(Amount { seed: 1, packets: PACKETS, conversations: 10_000 });
    let mut frames = Vec::new();
    while let Some((time, frame)) = traffic.next_frame() {
        frames.push((time, frame.to_vec()));
    }
    frames
}

criterion_group!(suite, packets);
criterion_main!(suite);
