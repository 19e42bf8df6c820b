//! Two engines on two cores, each with its share of the conversations, beside one that has all.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use flow_core::Sharder;

use super::replay::{Counted, Work, check, ethernet};
use crate::traffic::{Amount, Traffic};

/// What one engine and two took for the same packets, by the clock on the wall: the least of some rounds.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// One engine.
    pub one: Duration,
    /// Two of them side by side, until the later one has ended.
    pub two: Duration,
}

/// Frames one behind the other, with their times and where each ends.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    ends: Vec<(u64, usize)>,
}

/// Frames whose places are looked up at once.
const BATCH: usize = 512;

impl Frames {
    fn push(&mut self, time_ns: u64, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push((time_ns, self.bytes.len()));
    }

    /// Follows all of them.
    fn follow(&self, counted: &mut Counted) {
        let mut start = 0;
        for group in self.ends.chunks(BATCH) {
            let packets: Vec<_> = group
                .iter()
                .map(|(time_ns, end)| ethernet(*time_ns, &self.bytes[std::mem::replace(&mut start, *end)..*end]))
                .collect();
            counted.packets(&packets);
        }
    }
}

/// Follows traffic with one engine and with two. What they find together must be what there is.
///
/// # Errors
/// When it is not.
pub fn cores(amount: Amount, rounds: usize, work: Work) -> Result<Cores> {
    let mut sharder = Sharder::new(2);
    let (mut all, mut shares) = (Frames::default(), [Frames::default(), Frames::default()]);
    let mut traffic = Traffic::new(amount);
    while let Some((time_ns, frame)) = traffic.next_frame() {
        all.push(time_ns, frame);
        shares[sharder.shard(&ethernet(time_ns, frame))].push(time_ns, frame);
    }
    let mut least = Cores { one: Duration::MAX, two: Duration::MAX };
    for _ in 0..rounds {
        let (one, found) = timed(std::slice::from_ref(&all), work)?;
        check(&found, traffic.truth(), work)?;
        let (two, found) = timed(&shares, work)?;
        check(&found, traffic.truth(), work)?;
        least = Cores { one: least.one.min(one), two: least.two.min(two) };
    }
    Ok(least)
}

/// Each share on a thread of its own, all beginning at once.
fn timed(shares: &[Frames], work: Work) -> Result<(Duration, crate::traffic::Tally)> {
    let barrier = Barrier::new(shares.len());
    let run = |share: &Frames| {
        let mut counted = Counted::new(work.options());
        barrier.wait();
        let begin = Instant::now();
        share.follow(&mut counted);
        (begin.elapsed(), counted.finish(work != Work::Flows))
    };
    let ended = std::thread::scope(|threads| {
        let threads: Vec<_> = shares.iter().map(|share| threads.spawn(|| run(share))).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let (mut longest, mut sum) = (Duration::ZERO, crate::traffic::Tally::default());
    for ended in ended {
        let Ok((time, found)) = ended else { anyhow::bail!("a thread has ended early") };
        longest = longest.max(time);
        sum.add(&found?);
    }
    ensure!(longest > Duration::ZERO, "there was nothing to do");
    Ok((longest, sum))
}
