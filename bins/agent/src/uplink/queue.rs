//! Batches that wait to be sent.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use metaflow_protocol::Table;
use tokio::sync::Notify;

use super::identity;

/// Rows of one table, encoded, with the number by which the server knows whether it has them.
pub(super) struct Batch {
    pub(super) table: &'static Table,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) rows: u64,
    pub(super) bytes: Bytes,
}

/// The queue between the threads that observe and the one that sends, with what became of its records.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Somebody waits for room.
    room: Condvar,
    /// Somebody waits for a batch, or for the end.
    filled: Notify,
    limit: usize,
}

#[derive(Default)]
struct State {
    /// Of the next batch.
    epoch: u64,
    sequence: u64,
    batches: VecDeque<Batch>,
    bytes: usize,
    closed: bool,
    failure: Option<String>,
    last_refusal: String,
    totals: Totals,
}

/// What became of the records so far: put in = `stored` + `refused` + `dropped` + `waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Acknowledged by the server.
    pub(super) stored: u64,
    /// Those that the server will never take.
    pub(super) refused: u64,
    /// Those that found no room.
    pub(super) dropped: u64,
    /// In the queue or on their way.
    pub(super) waiting: u64,
}

impl Queue {
    /// With room for about so many bytes; one batch always finds room.
    pub(super) fn new(limit: usize) -> Self {
        let state = Mutex::new(State { epoch: identity::epoch(), ..State::default() });
        Self { state, room: Condvar::new(), filled: Notify::new(), limit }
    }

    /// What comes from now on is counted from zero again, in an epoch of its own.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        (state.epoch, state.sequence) = (identity::epoch(), 0);
    }

    /// Puts a batch in: `rows` of one table, encoded. Waits while there is no room, or drops the oldest.
    ///
    /// Returns the reason if nothing can be sent any more.
    pub(super) fn push(&self, table: &'static Table, rows: u64, bytes: Bytes, wait: bool) -> Result<(), String> {
        let mut state = self.lock();
        while !state.batches.is_empty() && state.bytes + bytes.len() > self.limit && state.failure.is_none() {
            if wait {
                state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if let Some(oldest) = state.take() {
                state.totals.waiting -= oldest.rows;
                state.totals.dropped += oldest.rows;
            }
        }
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.bytes += bytes.len();
        state.totals.waiting += rows;
        let (epoch, sequence) = (state.epoch, state.sequence);
        state.sequence += 1;
        state.batches.push_back(Batch { table, epoch, sequence, rows, bytes });
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// The next batch in order; `None` when the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Batch> {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.lock();
                if let Some(batch) = state.take() {
                    self.room.notify_one();
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Ends when the queue has been closed.
    pub(super) async fn closed(&self) {
        loop {
            let filled = self.filled.notified();
            if self.lock().closed {
                return;
            }
            filled.await;
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Nothing more can be sent, for this reason.
    pub(super) fn fail(&self, reason: String) {
        self.lock().failure = Some(reason);
        self.room.notify_all();
    }

    pub(super) fn stored(&self, rows: u64) {
        let mut state = self.lock();
        state.totals.waiting -= rows;
        state.totals.stored += rows;
    }

    /// Says whether the reason is another than the last time.
    pub(super) fn refused(&self, rows: u64, why: &str) -> bool {
        let mut state = self.lock();
        state.totals.waiting -= rows;
        state.totals.refused += rows;
        let is_new = state.last_refusal != why;
        if is_new {
            why.clone_into(&mut state.last_refusal);
        }
        is_new
    }

    pub(super) fn totals(&self) -> Totals {
        self.lock().totals
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    pub(super) fn last_refusal(&self) -> String {
        self.lock().last_refusal.clone()
    }

    /// A panic elsewhere leaves nothing half done: each change is made at once.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.bytes.len();
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use metaflow_protocol::tables::CALLS;

    use super::*;

    fn push(queue: &Queue, wait: bool) -> Result<(), String> {
        queue.push(&CALLS, 10, Bytes::from_static(&[0; 100]), wait)
    }

    fn take(queue: &Queue) -> Option<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(queue.next()).map(|batch| batch.sequence)
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_counts() {
        let queue = Queue::new(250);
        for _ in 0..5 {
            push(&queue, false).unwrap();
        }
        assert_eq!(queue.totals(), Totals { dropped: 30, waiting: 20, ..Totals::default() });
        queue.close();
        assert_eq!((take(&queue), take(&queue), take(&queue)), (Some(3), Some(4), None));
        queue.stored(10);
        assert!(queue.refused(10, "why"));
        assert_eq!(queue.totals(), Totals { stored: 10, refused: 10, dropped: 30, waiting: 0 });
    }

    #[test]
    fn a_replay_waits_for_room_and_loses_nothing() {
        let queue = Arc::new(Queue::new(150));
        let filling = Arc::clone(&queue);
        let filler = thread::spawn(move || {
            for _ in 0..100 {
                push(&filling, true).unwrap();
            }
            filling.close();
        });
        let taken: Vec<_> = std::iter::from_fn(|| take(&queue)).collect();
        filler.join().unwrap();
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
        assert_eq!(queue.totals().dropped, 0);
    }

    #[test]
    fn who_waits_for_room_learns_that_there_will_be_none() {
        let queue = Arc::new(Queue::new(150));
        push(&queue, true).unwrap();
        let filling = Arc::clone(&queue);
        let filler = thread::spawn(move || push(&filling, true));
        queue.fail("gone".to_owned());
        assert_eq!(filler.join().unwrap(), Err("gone".to_owned()));
    }

    #[test]
    fn a_batch_larger_than_the_queue_finds_room_alone() {
        let queue = Queue::new(10);
        push(&queue, true).unwrap();
        push(&queue, false).unwrap();
        assert_eq!(take(&queue), Some(1));
    }

    #[test]
    fn numbers_go_on_whoever_pushes_and_begin_anew_in_a_new_epoch() {
        let queue = Queue::new(1 << 20);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| push(&queue, false).unwrap()));
            }
        });
        queue.begin();
        push(&queue, false).unwrap();
        queue.close();
        let taken: Vec<_> = std::iter::from_fn(|| take(&queue)).collect();
        assert_eq!(taken, (0..100).chain([0]).collect::<Vec<_>>());
    }
}
