//! The thread that writes rows to files and merges files, while appends and scans go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::Failure;
use crate::expire::keep_within;
use crate::flush::flush;
use crate::log::Request;
use crate::merge::merge_once;
use crate::state::Shared;

/// Between two tries while writing fails.
const RETRY: Duration = Duration::from_secs(1);

/// What the thread is asked for.
#[derive(Debug)]
pub(crate) enum Task {
    /// Memory is getting full.
    Poke,
    Flush(oneshot::Sender<Result<(), Failure>>),
    Merge(oneshot::Sender<Result<(), Failure>>),
    Stop,
}

/// By which others reach the thread.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    tasks: Sender<Task>,
    /// A poke is on its way, so that there is never more than one.
    poked: Arc<AtomicBool>,
}

impl Keeper {
    pub(crate) fn new() -> (Self, Receiver<Task>) {
        let (tasks, receiver) = channel();
        (Self { tasks, poked: Arc::default() }, receiver)
    }

    pub(crate) fn poke(&self) {
        if !self.poked.swap(true, Ordering::AcqRel) {
            self.send(Task::Poke);
        }
    }

    /// If the thread is gone the store is closed, and whoever waits for an answer sees that.
    pub(crate) fn send(&self, task: Task) {
        let _ = self.tasks.send(task);
    }

    /// Works until told to stop.
    pub(crate) fn run(&self, shared: &Shared, log: &Sender<Request>, tasks: &Receiver<Task>) {
        let mut failing = false;
        loop {
            let wait = if failing { RETRY } else { shared.options.flush_after };
            let answer = match tasks.recv_timeout(wait) {
                // The one poke there is stays on its way until the next try.
                Ok(Task::Poke) if failing => continue,
                Ok(Task::Poke) | Err(RecvTimeoutError::Timeout) => None,
                Ok(Task::Flush(answer)) => Some(answer),
                Ok(Task::Merge(answer)) => {
                    let _ = answer.send(merge_all(shared).and_then(|()| keep_within(shared)));
                    continue;
                }
                Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
            self.poked.store(false, Ordering::Release);
            let flushed = flush_now(shared, log);
            failing = flushed.is_err();
            shared.budget.set_stuck(flushed.as_ref().err().cloned());
            if let Some(answer) = answer {
                let _ = answer.send(flushed);
            }
            if !failing {
                // What went wrong was counted; the files stay as they were and are tried again.
                let _ = merge_all(shared);
            }
            if let Err(failure) = keep_within(shared) {
                shared.counters.failed(&shared.counters.merge_failures, &failure);
            }
        }
    }
}

fn flush_now(shared: &Shared, log: &Sender<Request>) -> Result<(), Failure> {
    let closed = || Failure { what: "flush", reason: "the store is closed".to_owned(), full: false };
    if shared.tables().values().all(|table| table.active.is_empty() && table.sealed.is_empty()) {
        return Ok(());
    }
    let (answer, sealed) = channel();
    log.send(Request::Seal(answer)).map_err(|_| closed())?;
    let flushed = sealed.recv().map_err(|_| closed()).flatten().and_then(|sealed| flush(shared, sealed));
    match &flushed {
        Ok(()) => {
            shared.counters.flushes.add(1);
            shared.take_reserve();
        }
        Err(failure) => shared.counters.failed(&shared.counters.flush_failures, failure),
    }
    flushed
}

fn merge_all(shared: &Shared) -> Result<(), Failure> {
    loop {
        match merge_once(shared) {
            Ok(true) => shared.counters.merges.add(1),
            Ok(false) => return Ok(()),
            Err(failure) => {
                shared.counters.failed(&shared.counters.merge_failures, &failure);
                return Err(failure);
            }
        }
    }
}
