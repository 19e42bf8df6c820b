//! The way to a server: rows → batches → a bounded queue → a thread that sends them one by one until each is acknowledged.

mod batches;
mod connection;
mod entrance;
mod exclusions;
mod identity;
mod losses;
mod queue;
mod sender;

pub(crate) use entrance::Entrance;
pub(crate) use exclusions::Exclusions;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::CapabilitySet;

use self::batches::Door;
use self::queue::{Queue, Totals};
use self::sender::Sending;
use crate::failure::Failure;
use crate::rights;

/// How to send.
#[derive(Clone)]
pub(crate) struct UplinkOptions {
    /// How long a server may be away before it is given up; `None`: never.
    pub(crate) patience: Option<Duration>,
    pub(crate) limits: Limits,
    /// Connections that no ring captures.
    pub(crate) exclusions: Exclusions,
}

/// Bounds of the way to a server.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Rows of one batch.
    pub(crate) batch_rows: usize,
    /// Bytes of one batch, about.
    pub(crate) batch_bytes: usize,
    /// How long a row may wait for others to travel with.
    pub(crate) batch_time: Duration,
    /// Bytes of the batches that wait. Beyond it the oldest are dropped and counted; a replay waits instead.
    pub(crate) queue_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_rows: 8192, batch_bytes: 2 << 20, batch_time: Duration::from_secs(1), queue_bytes: 64 << 20 }
    }
}

impl UplinkOptions {
    /// Every record counts, and somebody waits for the end.
    pub(crate) fn replay(patience: Duration) -> Self {
        Self { patience: Some(patience), limits: Limits::default(), exclusions: Exclusions::default() }
    }

    /// For good.
    pub(crate) fn daemon(exclusions: Exclusions) -> Self {
        Self { patience: None, limits: Limits::default(), exclusions }
    }
}

/// A thread that sends, and the queue to it.
pub(crate) struct Uplink {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
    limits: Limits,
    waits: bool,
}

impl Uplink {
    /// Begins to connect.
    pub(crate) fn start(server: &str, options: UplinkOptions) -> Result<Self, Failure> {
        let failed = |error| Failure::from_io("cannot start the thread that sends", &error);
        let queue = Arc::new(Queue::new(options.limits.queue_bytes));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (limits, waits) = (options.limits, options.patience.is_some());
        let sending = Sending::new(server, options, Arc::clone(&queue));
        let work = move || {
            rights::keep(CapabilitySet::empty());
            runtime.block_on(sending.run());
        };
        let thread = thread::Builder::new().name("metaflow-uplink".to_owned()).spawn(work).map_err(failed)?;
        Ok(Self { queue, thread, limits, waits })
    }

    /// Where records go in.
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance::new(Door { queue: Arc::clone(&self.queue), waits: self.waits }, self.limits)
    }

    /// Sends what waits and ends.
    ///
    /// Returns how many records the server has stored; an error if there are any that it has not.
    pub(crate) fn finish(self) -> Result<u64, Failure> {
        self.queue.close();
        // It ends when the queue is empty or the server was given up; a panic of it would be a bug, and then not all is stored.
        let ended = self.thread.join().is_ok();
        let Totals { stored, refused, .. } = self.queue.totals();
        match self.queue.failure() {
            Some(text) => Err(Failure::unavailable(text)),
            None if !ended => Err(Failure::unavailable("the thread that sends has ended early")),
            None if refused > 0 => {
                let why = self.queue.last_refusal();
                Err(Failure::nothing(format!("the server refused {refused} records, {stored} are stored: {why}")))
            }
            None => Ok(stored),
        }
    }

    /// Sends what waits, no longer than `grace`. Returns how many records are left.
    pub(crate) fn finish_within(self, grace: Duration) -> u64 {
        self.queue.close();
        let deadline = Instant::now() + grace;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        self.queue.totals().waiting
    }
}
