//! However the kernel mixes what threads do, the streams are the same.

mod support;

use std::time::Duration;

use ebpf_tracer::events::SocketEvent;
use proptest::prelude::*;
use support::{Call, Lab, MS, client, server};

const THREADS: usize = 4;

/// A question on a connection that several threads share, and its answer.
#[derive(Clone, Debug)]
struct Exchange {
    /// After the one before was asked.
    pause_us: u64,
    /// Until the answer is there.
    answer_after_us: u64,
    /// For so long a thread that sends is kept from returning.
    returns_after_us: u64,
    /// Who does it, if free then.
    threads: [usize; 2],
    length: usize,
    /// The answer found no room in the ring.
    lost: bool,
}

fn exchange(lost: f64) -> impl Strategy<Value = Exchange> {
    let times = (1_u64..3000, 1_u64..5000, prop_oneof![Just(0_u64), 0_u64..15_000]);
    let threads = [0..THREADS, 0..THREADS];
    (times, threads, 1_usize..9, prop::bool::weighted(lost)).prop_map(|(times, threads, length, lost)| {
        let (pause_us, answer_after_us, returns_after_us) = times;
        Exchange { pause_us, answer_after_us, returns_after_us, threads, length, lost }
    })
}

/// What threads of the client, or of the server, have in the ring, and what they did in the order in which they did it.
fn ring(exchanges: &[Exchange], is_client: bool, swaps: &[bool]) -> (Vec<(SocketEvent, Vec<u8>)>, Vec<String>) {
    let mut steps = Vec::new();
    let mut now = 10 * MS;
    for (number, exchange) in exchanges.iter().enumerate() {
        now += exchange.pause_us * 1000;
        let question = format!("q{number:0width$}", width = exchange.length);
        steps.push((now, true, question, exchange.threads[0], exchange.returns_after_us * 1000, false));
        let answer = now + exchange.answer_after_us * 1000;
        let lost = exchange.lost;
        steps.push((answer, false, format!("a{number}"), exchange.threads[1], exchange.returns_after_us * 500, lost));
    }
    steps.sort_by_key(|step| step.0);
    let (mut records, mut order) = (Vec::new(), Vec::new());
    let mut busy = [0; THREADS];
    let mut sequence = [5000_u32, 1000];
    let mut last = 0;
    for (time, is_question, text, wanted, delay, lost) in steps {
        // Of what happens at once nobody can say which was first.
        let time = time.max(last + 1);
        last = time;
        // Nobody is free: it is another thread's, of which there are as many as it takes.
        let free = (0..THREADS).map(|number| (wanted + number) % THREADS).find(|thread| busy[*thread] < time);
        let thread = free.unwrap_or(THREADS + order.len());
        let end = if is_client { client(10) } else { server(10) };
        let end = end.by(end.header.tgid, 100 + thread as u32);
        let position = sequence[usize::from(is_question)];
        let sends = is_question == is_client;
        let returns = if sends { time + delay } else { time };
        let event = if sends {
            end.sends(time, returns, position, text.len())
        } else {
            end.receives(MS, time, position, text.len())
        };
        if let Some(busy) = busy.get_mut(thread) {
            *busy = returns;
        }
        sequence[usize::from(is_question)] += text.len() as u32;
        if !lost {
            let (head, tail) = text.split_at(text.len() / 2);
            records.push((event.at(0, false), head.as_bytes().to_vec()));
            records.push((event.at(head.len() as u32, true), tail.as_bytes().to_vec()));
            order.push(text);
        }
    }
    records.sort_by_key(|(event, _)| event.header.time_ns);
    // Processors may write in another order than they read the clock.
    for (at, swap) in swaps.iter().enumerate() {
        if let [(first, _), (second, _)] = records.get(at..at + 2).unwrap_or_default()
            && *swap
            && first.header.tid != second.header.tid
            && second.header.time_ns - first.header.time_ns < MS
        {
            records.swap(at, at + 1);
        }
    }
    (records, order)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mix_of_threads_gives_the_same_streams(
        exchanges in prop::collection::vec(exchange(0.1), 1..40),
        is_client: bool,
        swaps in prop::collection::vec(prop::bool::weighted(0.3), 0..200),
        polls in prop::collection::vec(any::<bool>(), 200),
    ) {
        let (records, _) = ring(&exchanges, is_client, &swaps);
        // Everything is known before anything is handed on.
        let mut patient = Lab::limited(|limits| limits.reorder = Duration::from_secs(3600));
        for (event, payload) in &records {
            patient.push(*event, payload);
        }
        let wanted = patient.finish();
        let mut lab = Lab::new();
        for ((event, payload), poll) in records.iter().zip(polls.iter().cycle()) {
            lab.push(*event, payload);
            if *poll {
                lab.drain();
                lab.check();
            }
        }
        prop_assert_eq!(lab.finish(), wanted);
        prop_assert_eq!(lab.tracer.stats().late, 0);
    }

    #[test]
    fn questions_and_answers_come_in_the_order_in_which_they_were_given(
        exchanges in prop::collection::vec(exchange(0.0), 1..40),
        is_client: bool,
        swaps in prop::collection::vec(prop::bool::weighted(0.3), 0..200),
    ) {
        let (records, order) = ring(&exchanges, is_client, &swaps);
        let mut lab = Lab::new();
        for (event, payload) in &records {
            lab.push(*event, payload);
            lab.drain();
        }
        let mut seen = String::new();
        lab.tracer.finish();
        lab.drain();
        for line in lab.seen.iter().filter(|line| line.contains(" seq ")) {
            seen.push_str(line.split(' ').nth(3).unwrap());
        }
        prop_assert_eq!(seen, order.concat());
        prop_assert_eq!(lab.tracer.stats().gaps, 0);
    }
}
