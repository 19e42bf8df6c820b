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

criterion_group!(suite, exchanges);
criterion_main!(suite);
