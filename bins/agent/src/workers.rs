//! Engines side by side, each on a thread of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use flow_core::{Options, Packet, Sharder};
use metaflow_packet_capture::Stop;
use protocol_parsers::Timestamp;

use crate::failure::Failure;
use crate::lane::{Feeder, Inbox, Limits, Work, lane};
use crate::pipeline::Pipeline;
use crate::place::Places;
use crate::sink::{End, EngineTotals, Outlet, Sink};

/// Spreads packets over threads so that each conversation has one.
pub(crate) struct Workers {
    sharder: Sharder,
    workers: Vec<Worker>,
    places: Arc<Places>,
}

struct Worker {
    feeder: Feeder,
    totals: Arc<Mutex<EngineTotals>>,
    thread: JoinHandle<Result<(), End>>,
}

impl Workers {
    /// Starts so many threads. One that can do no more tells the others to stop.
    pub(crate) fn start(
        threads: u8,
        options: &Options,
        places: &Arc<Places>,
        outlet: &impl Outlet,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let workers = (0..threads).map(|number| {
            let mut options = options.clone();
            options.shard = number;
            // What is bound by conversation is shared out, so that memory does not grow with the threads.
            let limits = &mut options.limits;
            for limit in [&mut limits.flows, &mut limits.reassembly_bytes, &mut limits.fragmented_datagrams] {
                *limit = limit.div_ceil(threads.into());
            }
            Worker::start(number, Pipeline::new(options, Arc::clone(places), outlet.sink()), stop.clone())
        });
        let workers = workers.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { sharder: Sharder::new(workers.len()), workers, places: Arc::clone(places) })
    }

    /// These are the places of what comes from now on.
    pub(crate) fn move_to(&mut self, places: Arc<Places>) {
        self.places = places;
    }

    /// Copies each packet to the engine of its conversation, or drops and counts it when that one is behind.
    pub(crate) fn feed<'a>(&mut self, packets: impl IntoIterator<Item = Packet<'a>>) {
        for packet in packets {
            if let Some(worker) = self.workers.get_mut(self.sharder.shard(&packet)) {
                worker.feeder.push(&packet, &self.places);
            }
        }
    }

    /// Nothing more is at hand for the moment.
    pub(crate) fn pause(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.feeder.hand_over(&self.places));
    }

    /// Whether packets wait for a [`pause`](Self::pause) in which their engine is less busy.
    pub(crate) fn holds_back(&self) -> bool {
        self.workers.iter().any(|worker| worker.feeder.holds_back())
    }

    /// Nothing else was seen up to this time. An error if a thread has ended.
    pub(crate) fn tick(&mut self, seen_until: Timestamp) -> Result<(), End> {
        for worker in &mut self.workers {
            worker.feeder.tick(seen_until, &self.places);
        }
        // Its own reason is known when it is joined.
        if self.workers.iter().any(|worker| worker.thread.is_finished()) { Err(End::Enough) } else { Ok(()) }
    }

    /// Of each engine, not older than its last tick.
    pub(crate) fn totals(&self) -> Vec<EngineTotals> {
        self.workers.iter().map(|worker| *worker.totals.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    /// Packets dropped so far because engines were behind.
    pub(crate) fn refused(&self) -> u64 {
        self.workers.iter().map(|worker| worker.feeder.refused()).sum()
    }

    /// Nothing more will come: waits until every engine has handed on all it had.
    pub(crate) fn finish(self) -> Finished {
        let packets_refused = self.refused();
        let started = self.workers.into_iter().map(|Worker { feeder, totals, thread }| {
            feeder.finish(&self.places);
            (totals, thread)
        });
        // First all are told, then all are waited for.
        let started: Vec<_> = started.collect();
        let (mut engines, mut result) = (Vec::new(), Ok(()));
        for (totals, thread) in started {
            let ended =
                thread.join().unwrap_or_else(|_| Err(End::Failed(Failure::unavailable("an engine broke down"))));
            engines.push(*totals.lock().unwrap_or_else(PoisonError::into_inner));
            // A failure says more than that there is enough.
            if !matches!((&result, &ended), (Err(End::Failed(_)), _) | (_, Ok(()))) {
                result = ended;
            }
        }
        Finished { engines, packets_refused, result }
    }
}

/// What became of engines that have ended.
pub(crate) struct Finished {
    pub(crate) engines: Vec<EngineTotals>,
    pub(crate) packets_refused: u64,
    /// The first failure, if there is any.
    pub(crate) result: Result<(), End>,
}

impl Worker {
    fn start<S: Sink>(number: u8, mut pipeline: Pipeline<S>, stop: Stop) -> Result<Self, Failure> {
        let (feeder, inbox) = lane(Limits::default());
        let totals = Arc::new(Mutex::new(EngineTotals::default()));
        let published = Arc::clone(&totals);
        let work = move || {
            let ended = work(&mut pipeline, &inbox, &published);
            publish(&pipeline, &published);
            if ended.is_err() {
                stop.stop();
            }
            ended
        };
        let failed = |error| Failure::from_io("cannot start a thread for an engine", &error);
        let thread = thread::Builder::new().name(format!("metaflow-work{number}")).spawn(work).map_err(failed)?;
        Ok(Self { feeder, totals, thread })
    }
}

/// Does what there is to do until nothing more comes.
fn work<S: Sink>(pipeline: &mut Pipeline<S>, inbox: &Inbox, totals: &Mutex<EngineTotals>) -> Result<(), End> {
    while let Some(work) = inbox.next() {
        match work {
            Work::Packets(packets, places) => {
                pipeline.move_to(places);
                pipeline.feed(packets.iter())?;
                inbox.give_back(packets);
            }
            Work::Tick(seen_until, places) => {
                pipeline.move_to(places);
                pipeline.tick(seen_until)?;
                publish(pipeline, totals);
            }
        }
        pipeline.pause()?;
    }
    pipeline.finish()
}

/// Once a second, so that the lock is no matter.
fn publish<S: Sink>(pipeline: &Pipeline<S>, totals: &Mutex<EngineTotals>) {
    *totals.lock().unwrap_or_else(PoisonError::into_inner) = pipeline.totals();
}
