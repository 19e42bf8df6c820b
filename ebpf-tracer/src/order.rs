//! Brings events into the order in which they count.
//!
//! The ring has them in the order in which calls returned. A message counts as sent when the call began and as received when it returned:
//! only so an answer is never before its request.
//!
//! ```text
//!  thread 1   ├─ send ─────────────────┤        in the ring second, but counts first
//!  thread 2            ├── receive ─┤           in the ring first
//!                                         ↑ time
//! ```
//!
//! A thread that the scheduler takes the processor from before its call returns is late by as long as that takes: nobody can tell that a
//! call is under way. So every event is held back for a while.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use metaflow_ebpf_common::{Operation, SocketEvent};

use crate::event::operation;
use crate::limits::{Limits, nanos};
use crate::stats::Stats;

/// Something that waits for its turn.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// On a socket, with its payload.
    Socket(Box<SocketEvent>, Vec<u8>),
    /// A process ended.
    Ended(u32),
}

/// Events out of their order by no more than this have their place sought among the last ones.
const NEAR: usize = 32;

/// Events that are held back.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// In their order. Nearly all find their place near the end.
    near: VecDeque<Entry>,
    /// Those that do not.
    far: BinaryHeap<Reverse<Entry>>,
    bytes: usize,
    arrived: u64,
    /// The latest time that is known to have come.
    now: u64,
    /// The latest time that was let go.
    released: u64,
}

/// Ordered by time. What happened at once is ordered by thread, and of one thread as it came: so it does not matter how threads are
/// mixed in the ring.
#[derive(Debug)]
struct Entry {
    time: u64,
    thread: u32,
    arrived: u64,
    waiting: Waiting,
}

impl Order {
    /// Takes in an event.
    pub(crate) fn push(&mut self, thread: u32, returned: u64, waiting: Waiting, stats: &mut Stats) {
        let time = match &waiting {
            Waiting::Socket(event, _) => counts_from(event),
            Waiting::Ended(_) => returned,
        };
        self.advance(returned);
        stats.late += u64::from(time < self.released);
        self.bytes += bytes(&waiting);
        self.arrived += 1;
        let entry = Entry { time, thread, arrived: self.arrived, waiting };
        let after = self.near.iter().rev().take(NEAR).position(|other| *other <= entry);
        match after {
            Some(after) => self.near.insert(self.near.len() - after, entry),
            None if self.near.len() <= NEAR => self.near.push_front(entry),
            None => self.far.push(Reverse(entry)),
        }
    }

    /// It is so late now.
    pub(crate) fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    /// Until when everything has been let go.
    pub(crate) fn reached(&self, limits: &Limits) -> u64 {
        self.now.saturating_sub(nanos(limits.reorder))
    }

    /// When the first counts from that may be let go: all of them with `all`.
    pub(crate) fn next(&self, all: bool, limits: &Limits) -> Option<u64> {
        let far = self.far.peek().map(|Reverse(entry)| entry.time);
        let near = self.near.front().map(|entry| entry.time);
        let first = far.into_iter().chain(near).min()?;
        (all || first <= self.reached(limits) || self.is_full(limits)).then_some(first)
    }

    /// Lets the first go.
    pub(crate) fn pop(&mut self) -> Option<(u64, Waiting)> {
        let is_far = match (self.far.peek(), self.near.front()) {
            (Some(Reverse(far)), Some(near)) => far < near,
            (far, _) => far.is_some(),
        };
        let entry = if is_far { self.far.pop()?.0 } else { self.near.pop_front()? };
        self.bytes -= bytes(&entry.waiting);
        self.released = self.released.max(entry.time);
        Some((entry.time, entry.waiting))
    }

    /// Whether more is held back than may be.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.near.len() + self.far.len() > limits.reorder_events || self.bytes > limits.reorder_bytes
    }

    /// Records of messages that are held back. Takes as long as there are events.
    pub(crate) fn messages(&self) -> u64 {
        let is_message = |entry: &&Entry| match &entry.waiting {
            Waiting::Socket(event, _) => {
                matches!(operation(event.operation), Some(Operation::Send | Operation::Receive))
            }
            Waiting::Ended(_) => false,
        };
        let far = self.far.iter().map(|Reverse(entry)| entry);
        self.near.iter().chain(far).filter(is_message).count() as u64
    }
}

/// When an event counts from. A descriptor may be given out again before the call that closes it returns.
pub(crate) fn counts_from(event: &SocketEvent) -> u64 {
    let begins = matches!(operation(event.operation), Some(Operation::Send | Operation::Close | Operation::Shutdown));
    let is_known = event.enter_ns != 0 && event.enter_ns <= event.header.time_ns;
    if begins && is_known { event.enter_ns } else { event.header.time_ns }
}

fn bytes(waiting: &Waiting) -> usize {
    match waiting {
        Waiting::Socket(_, payload) => payload.len(),
        Waiting::Ended(_) => 0,
    }
}

impl Entry {
    fn key(&self) -> (u64, u32, u64) {
        (self.time, self.thread, self.arrived)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_leaves_in_its_order(times in prop::collection::vec((0_u64..100, 0_u32..3), 0..200), few: bool) {
            let (mut order, mut stats) = (Order::default(), Stats::default());
            // Mostly near each other, or anywhere.
            let time = |at: usize, time: u64| if few { at as u64 + time / 50 } else { time };
            for (at, (step, thread)) in times.iter().enumerate() {
                order.push(*thread, time(at, *step), Waiting::Ended(at as u32), &mut stats);
            }
            let mut wanted: Vec<_> =
                times.iter().enumerate().map(|(at, (step, thread))| (time(at, *step), *thread, at as u32)).collect();
            wanted.sort_unstable();
            let mut seen = Vec::new();
            while order.next(true, &Limits::default()).is_some() {
                let Some((time, Waiting::Ended(at))) = order.pop() else { continue };
                seen.push((time, times[at as usize].1, at));
            }
            prop_assert_eq!(seen, wanted);
            prop_assert_eq!(stats.late, 0);
        }
    }
}
