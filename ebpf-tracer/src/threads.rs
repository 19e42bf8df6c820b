//! What a thread sends after it received something belongs together.

use std::collections::HashMap;

use crate::hash::keyed;

/// Hand-over numbers: what a thread receives gets a new one, which the next thing it sends takes over. So a request that comes in and the
/// first that goes out for it have the same number, and so have the answer to the latter and the answer to the former.
///
/// ```text
///  receives request    1      a server
///  sends    request    1      calls another,
///  receives response   2
///  sends    response   2      and answers
/// ```
#[derive(Debug)]
pub(crate) struct Threads {
    /// In two generations: when the young one is full, the old one is forgotten.
    young: HashMap<Thread, Received, ahash::RandomState>,
    old: HashMap<Thread, Received, ahash::RandomState>,
    last: u64,
}

/// A thread with its process.
pub(crate) type Thread = (u32, u32);

#[derive(Clone, Copy, Debug)]
struct Received {
    number: u64,
    socket: u64,
}

impl Threads {
    pub(crate) fn new() -> Self {
        Self { young: HashMap::with_hasher(keyed()), old: HashMap::with_hasher(keyed()), last: 0 }
    }

    /// The thread received something from a socket. As long as it goes on with the same one, it is one thing.
    pub(crate) fn received(&mut self, thread: Thread, socket: u64, limit: usize, forgotten: &mut u64) -> u64 {
        if let Some(received) = self.young.get(&thread).or_else(|| self.old.get(&thread))
            && received.socket == socket
        {
            return received.number;
        }
        self.old.remove(&thread);
        if self.young.len() >= limit.div_ceil(2) && !self.young.contains_key(&thread) {
            *forgotten += self.old.len() as u64;
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.last += 1;
        self.young.insert(thread, Received { number: self.last, socket });
        self.last
    }

    /// The thread sent something.
    pub(crate) fn sent(&mut self, thread: Thread) -> Option<u64> {
        let received = self.young.remove(&thread).or_else(|| self.old.remove(&thread))?;
        Some(received.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_calls_another_hands_both_numbers_over() {
        let (mut threads, mut forgotten) = (Threads::new(), 0);
        let thread = (1, 2);
        let request = threads.received(thread, 10, 8, &mut forgotten);
        assert_eq!(threads.received(thread, 10, 8, &mut forgotten), request, "the request in two pieces");
        assert_eq!(threads.sent(thread), Some(request));
        assert_eq!(threads.sent(thread), None, "the second piece of what it sends");
        let response = threads.received(thread, 20, 8, &mut forgotten);
        assert_ne!(response, request);
        assert_eq!(threads.sent(thread), Some(response));
        let another = threads.received(thread, 10, 8, &mut forgotten);
        assert!(another > response);
        let last = threads.received(thread, 20, 8, &mut forgotten);
        assert!(last > another, "what it received before it got this is not what it answers");
        assert_eq!((threads.sent(thread), threads.sent(thread)), (Some(last), None));
    }

    #[test]
    fn another_thread_takes_nothing_over() {
        let (mut threads, mut forgotten) = (Threads::new(), 0);
        threads.received((1, 2), 10, 8, &mut forgotten);
        assert_eq!(threads.sent((1, 3)), None);
        assert_eq!(threads.sent((2, 2)), None);
    }

    #[test]
    fn threads_beyond_the_limit_push_the_oldest_out() {
        let (mut threads, mut forgotten) = (Threads::new(), 0);
        for thread in 0..1000 {
            threads.received((1, thread), 10, 8, &mut forgotten);
        }
        let remembered = (0..1000).filter(|thread| threads.sent((1, *thread)).is_some()).count() as u64;
        assert!((4..=8).contains(&remembered), "{remembered}");
        assert_eq!(remembered + forgotten, 1000);
    }
}
