//! Criterion: the cost of a request and its answer, per protocol.
#![allow(missing_docs, reason = "a bench")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn exchanges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parsers");
    for exchange in benches::messages::EXCHANGES {
        group.throughput(Throughput::Bytes((exchange.request.len() + exchange.response.len()) as u64 * 100));
        group.bench_function(format!("{} x 100", exchange.name), |bencher| {
            bencher.iter(|| benches::parsers::read(exchange, 100, true));
        });
    }
    group.finish();
}

/// Readers of single protocols, and those of other projects.
fn readers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("readers");
    for pair in benches::readers::PAIRS {
        for (name, reader) in [(pair.ours, pair.our_reader), (pair.peer, pair.peer_reader)] {
            group.bench_function(format!("{name} x 100"), |bencher| bencher.iter(|| reader(100)));
        }
    }
    group.finish();
}

fn detection(criterion: &mut Criterion) {
    let payloads = benches::detection::payloads();
    criterion.bench_function("detection of the first payloads", |bencher| {
        bencher.iter(|| benches::detection::ask(&payloads));
    });
}

criterion_group!(suite, exchanges, readers, detection);
criterion_main!(suite);
