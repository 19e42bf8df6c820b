//! Criterion: the cost of a packet.
#![allow(missing_docs, reason = "a bench")]

use benches::flow::{Counted, Work};
use benches::traffic::{Amount, Traffic};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flow");
    for (name, conversations) in [("one at a time", 1), ("10,000 at once", 10_000)] {
        let frames = frames(Amount { seed: 1, packets: 100_000, conversations });
        group.throughput(Throughput::Elements(frames.len() as u64));
        for (work_name, work) in Work::ALL {
            group.bench_function(format!("{work_name}, {name}"), |bencher| {
                let follow = |mut counted: Counted| {
                    frames.iter().for_each(|(time, frame)| counted.frame(*time, frame));
                    counted.finish(work != Work::Flows)
                };
                bencher.iter_batched(|| Counted::new(work.options()), follow, BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

fn frames(amount: Amount) -> Vec<(u64, Vec<u8>)> {
    let mut traffic = Traffic::new(amount);
    let mut frames = Vec::new();
    while let Some((time, frame)) = traffic.next_frame() {
        frames.push((time, frame.to_vec()));
    }
    frames
}

criterion_group! {
    name = suite;
    config = Criterion::default().sample_size(10);
    targets = packets
}
criterion_main!(suite);
