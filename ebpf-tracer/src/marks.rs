//! Which thread sent or received what, by position in a stream.

use std::collections::{HashMap, VecDeque};

use protocol_parsers::{Side, Timestamp};

use crate::hash::keyed;

/// A message that a thread sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When the call that sent it began, or the one that received it returned.
    pub time: Timestamp,
    /// Whether the process sent it, or received it.
    pub sent: bool,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Name of the thread, up to a zero.
    pub comm: [u8; 16],
    /// Number of the thread's control group (version 2).
    pub cgroup: u64,
    /// What a thread received and what it sent next have the same number here. `None` if it had received nothing before it sent this.
    pub syscall_trace_id: Option<u64>,
    /// How many messages, of both directions, were there before it in the stream.
    pub order: u64,
}

/// The last so many messages of all streams.
#[derive(Debug)]
pub(crate) struct Marks {
    kept: VecDeque<Kept>,
    /// Number of the first of them.
    first: u64,
    /// By stream and side: the number of the last one, plus 1.
    last: HashMap<u64, [u64; 2], ahash::RandomState>,
}

#[derive(Debug)]
struct Kept {
    stream: u64,
    offset: u64,
    /// Number of the one before it of the same side, plus 1.
    before: u64,
    mark: Mark,
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self { kept: VecDeque::new(), first: 0, last: HashMap::with_hasher(keyed()) }
    }

    /// Remembers one that begins at this position of what `side` sends.
    pub(crate) fn push(&mut self, stream: u64, side: Side, offset: u64, mark: Mark, limit: usize, forgotten: &mut u64) {
        while self.kept.len() >= limit.max(1) {
            *forgotten += 1;
            self.forget();
        }
        let number = self.first + self.kept.len() as u64;
        let last = &mut self.last.entry(stream).or_default()[side as usize];
        let before = std::mem::replace(last, number + 1);
        self.kept.push_back(Kept { stream, offset, before, mark });
    }

    fn forget(&mut self) {
        let Some(kept) = self.kept.pop_front() else { return };
        self.first += 1;
        if let Some(last) = self.last.get(&kept.stream)
            && last.iter().all(|last| *last <= self.first)
        {
            self.last.remove(&kept.stream);
        }
    }

    /// The message that the byte at this position came in. Looks at so many at most.
    pub(crate) fn at(&self, stream: u64, side: Side, offset: u64, steps: usize) -> Result<Option<&Mark>, Refused> {
        let Some(last) = self.last.get(&stream) else { return Ok(None) };
        let mut next = last[side as usize];
        for _ in 0..steps {
            let Some(position) = next.checked_sub(1).and_then(|number| number.checked_sub(self.first)) else {
                return Ok(None);
            };
            let Some(kept) = usize::try_from(position).ok().and_then(|position| self.kept.get(position)) else {
                return Ok(None);
            };
            if kept.offset <= offset {
                return Ok(Some(&kept.mark));
            }
            next = kept.before;
        }
        Err(Refused)
    }
}

/// There are too many to look through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(order: u64) -> Mark {
        Mark {
            time: Timestamp::ZERO,
            sent: true,
            pid: 1,
            tid: 1,
            comm: [0; 16],
            cgroup: 0,
            syscall_trace_id: None,
            order,
        }
    }

    #[test]
    fn a_byte_is_found_in_the_message_that_it_came_in() {
        let (mut marks, mut forgotten) = (Marks::new(), 0);
        for (order, offset) in [0, 100, 200].into_iter().enumerate() {
            marks.push(7, Side::Client, offset, mark(order as u64), 10, &mut forgotten);
        }
        for (offset, order) in [(0, 0), (99, 0), (100, 1), (5000, 2)] {
            assert_eq!(marks.at(7, Side::Client, offset, 10).unwrap().unwrap().order, order);
        }
        assert_eq!(marks.at(7, Side::Server, 0, 10), Ok(None));
        assert_eq!(marks.at(8, Side::Client, 0, 10), Ok(None));
        assert_eq!(marks.at(7, Side::Client, 0, 2), Err(Refused));
    }

    #[test]
    fn the_oldest_are_forgotten_and_nothing_is_kept_of_their_streams() {
        let (mut marks, mut forgotten) = (Marks::new(), 0);
        for stream in 0..100 {
            marks.push(stream, Side::Client, 0, mark(0), 10, &mut forgotten);
            marks.push(stream, Side::Server, 0, mark(1), 10, &mut forgotten);
        }
        assert_eq!((forgotten, marks.kept.len(), marks.last.len()), (190, 10, 5));
        assert_eq!(marks.at(0, Side::Client, 0, 10), Ok(None));
        assert!(marks.at(95, Side::Client, 0, 10).unwrap().is_some());
    }
}
