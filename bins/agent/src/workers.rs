//! Engines side by side, each on a thread of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use flow_core::{Options, Packet, Sharder};
use metaflow_packet_capture::Stop;
use protocol_parsers::Timestamp;
use rustix::thread::CapabilitySet;

use crate::failure::Failure;
use crate::lane::{Feeder, Inbox, Limits, Work, lane};
use crate::pipeline::Pipeline;
use crate::place::Places;
use crate::rights;
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
            let pipeline = Pipeline::new(options, Arc::clone(places), outlet.sink());
            Worker::start(number, Limits::of_each(threads.into()), pipeline, stop.clone())
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
    fn start<S: Sink>(number: u8, limits: Limits, mut pipeline: Pipeline<S>, stop: Stop) -> Result<Self, Failure> {
        let (feeder, inbox) = lane(limits);
        let totals = Arc::new(Mutex::new(EngineTotals::default()));
        let published = Arc::clone(&totals);
        let work = move || {
            rights::keep(CapabilitySet::empty());
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use flow_core::{LinkType, Output};
    use metaflow_protocol::build::{Event, Place};

    use super::*;

    /// What the sinks of all engines have seen and do.
    #[derive(Clone, Default)]
    struct Probe {
        /// Number of the conversation, its packets there and back.
        flows: Arc<Mutex<Vec<(u64, u64, u64)>>>,
        /// While it is locked no engine goes on.
        gate: Arc<Mutex<()>>,
        /// Instead of taking a record.
        instead: Option<fn() -> End>,
    }

    impl Outlet for Probe {
        type Sink = Self;

        fn sink(&self) -> Self {
            self.clone()
        }
    }

    impl Sink for Probe {
        fn take(&mut self, output: &Output<'_>, place: &Place<'_>) -> Result<(), End> {
            if let Some(instead) = self.instead {
                return Err(instead());
            }
            assert_eq!(place.capture, Some("x"));
            if let Output::Flow(flow) = output {
                let packets = flow.counters.packets;
                self.flows.lock().unwrap().push((flow.conversation.flow_id, packets.client, packets.server));
            }
            Ok(())
        }

        fn event(&mut self, _event: &Event<'_>) -> Result<(), End> {
            Ok(())
        }

        fn pause(&mut self) -> Result<(), End> {
            drop(self.gate.lock().unwrap());
            Ok(())
        }

        fn flush(&mut self) -> Result<(), End> {
            Ok(())
        }
    }

    fn start(probe: &Probe, threads: u8) -> (Workers, Stop) {
        let (stop, places) = (Stop::new().unwrap(), Arc::new(Places::File("x".to_owned())));
        (Workers::start(threads, &Options::default(), &places, probe, &stop).unwrap(), stop)
    }

    /// A UDP datagram of a conversation, there or back.
    fn feed(workers: &mut Workers, conversation: u16, back: bool) {
        let (mut hosts, mut ports) = ([[10, 0, 0, 1], [10, 0, 0, 2]], [conversation, 9]);
        if back {
            hosts.reverse();
            ports.reverse();
        }
        let mut captured = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        captured.extend(hosts.as_flattened());
        captured.extend(ports.into_iter().flat_map(u16::to_be_bytes));
        captured.extend([0, 8, 0, 0]);
        let time = Timestamp::from_nanos(1_800_000_000_000_000_000);
        let (link, captured) = (LinkType::RAW_IP, captured.as_slice());
        workers.feed([Packet { time, link, interface: 1, captured, original_len: 28, vlan: None }]);
    }

    #[test]
    fn each_conversation_has_one_engine_and_a_number_of_its_own() {
        let probe = Probe::default();
        let (mut workers, stop) = start(&probe, 3);
        for conversation in 1000..2000 {
            feed(&mut workers, conversation, false);
            feed(&mut workers, conversation, true);
        }
        workers.pause();
        let Finished { engines, packets_refused, result } = workers.finish();
        assert!(result.is_ok() && !stop.is_stopped());
        assert_eq!(packets_refused, 0);
        assert!(engines.iter().all(|of| of.engine.packets > 100), "all have something to do");
        let flows = probe.flows.lock().unwrap();
        assert!(flows.iter().all(|(_, there, back)| (*there, *back) == (1, 1)));
        assert_eq!(flows.iter().map(|(id, ..)| id).collect::<HashSet<_>>().len(), 1000);
    }

    #[test]
    fn each_packet_comes_to_an_engine_or_is_counted_as_refused() {
        const PACKETS: u64 = 400_000;
        let probe = Probe::default();
        let (mut workers, _stop) = start(&probe, 2);
        let closed = probe.gate.lock().unwrap();
        for number in 0..PACKETS {
            feed(&mut workers, (number % 1000) as u16 + 1000, false);
            if number % 10 == 0 {
                workers.pause();
            }
        }
        assert!(workers.refused() > 0);
        drop(closed);
        let finished = workers.finish();
        let taken: u64 = finished.engines.iter().map(|of| of.engine.packets_followed).sum();
        let recorded: u64 = probe.flows.lock().unwrap().iter().map(|(_, there, back)| there + back).sum();
        assert!(taken > 0);
        assert_eq!((taken + finished.packets_refused, recorded), (PACKETS, taken));
    }

    #[test]
    fn an_engine_that_can_do_no_more_ends_all_with_its_reason() {
        for (instead, reason) in [
            ((|| End::Enough) as fn() -> End, "Enough"),
            (|| End::Failed(Failure::unavailable("the disk is full")), "the disk is full"),
            (|| panic!("a fault"), "an engine broke down"),
        ] {
            let probe = Probe { instead: Some(instead), ..Probe::default() };
            let (mut workers, stop) = start(&probe, 2);
            feed(&mut workers, 1000, false);
            // Long after the conversation has gone quiet it becomes a record.
            let mut late = 1_800_000_100_000_000_000;
            while workers.tick(Timestamp::from_nanos(late)).is_ok() {
                late += 1_000_000_000;
                thread::yield_now();
            }
            assert_eq!(stop.is_stopped(), !reason.contains("broke"));
            let result = workers.finish().result;
            assert!(format!("{result:?}").contains(reason), "{result:?}");
        }
    }
}
