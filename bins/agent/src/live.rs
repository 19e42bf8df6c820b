//! Observing interfaces: rings → engines → outlet.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use flow_core::Options;
use metaflow_packet_capture::{RingCounters, Stop, Wake};
use protocol_parsers::Timestamp;

use crate::engines::Engines;
use crate::failure::Failure;
use crate::place::{HostWatch, Places};
use crate::rings::Rings;
use crate::sink::{End, EngineTotals, Observed, Outlet, Sink};
use crate::traced::{Traced, TracedTotals, TracedWatch};
use crate::uplink::Exclusions;

/// How often time is told to the engines.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked which interfaces there are.
const RESCAN: Duration = Duration::from_secs(5);
/// How long what lies in the rings is still read when told to stop.
const DRAIN: Duration = Duration::from_millis(500);

/// Interfaces that are being observed. The thread that calls reads their rings.
pub(crate) struct Live {
    rings: Rings,
    host: HostWatch,
    places: Arc<Places>,
    start_ns: u64,
    /// What observes processes at the same time.
    beside: Option<TracedWatch>,
}

/// How an observation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The time was over, or the outlet had enough.
    AsAsked,
    /// It was told to stop.
    Stopped,
}

/// What became of the packets.
pub(crate) struct Seen {
    /// Those that were read from the rings.
    pub(crate) packets: u64,
    /// Beside them those that the kernel dropped because nobody read them.
    pub(crate) dropped: u64,
    /// Of those read: dropped because the engines were behind.
    pub(crate) refused: u64,
}

impl Live {
    /// Opens the named interfaces, or all that are up. From here on the kernel collects packets.
    pub(crate) fn open(names: &[String], exclusions: Exclusions) -> Result<Self, Failure> {
        let host = HostWatch::start()?;
        let rings = Rings::open(names, exclusions)?;
        let places = host.places(rings.interfaces());
        Ok(Self { rings, host, places, start_ns: now_ns(), beside: None })
    }

    /// What processes do is observed at the same time, and counted in the totals.
    pub(crate) fn beside(&mut self, traced: &Traced) {
        self.beside = Some(traced.watch());
    }

    /// Names of the interfaces.
    pub(crate) fn interfaces(&self) -> String {
        self.rings.names()
    }

    /// Observes with so many threads for engines until told to stop, until the time is over, or until the outlet has enough; then hands
    /// on all the engines have.
    pub(crate) fn run(
        mut self,
        threads: u8,
        options: &Options,
        outlet: &mut impl Outlet,
        stop: &Stop,
        until: Option<Instant>,
    ) -> Result<(Ended, Seen), Failure> {
        let mut engines = Engines::start(threads, options, &self.places, outlet, stop)?;
        let observed = self.observe(&mut engines, outlet, stop, until).and_then(|ended| {
            self.drain(&mut engines)?;
            Ok(ended)
        });
        let finished = engines.finish();
        let rings = self.rings.counters();
        let (all, beside) = self.with_beside(finished.engines);
        let totals = self.observed(&all, finished.packets_refused, &rings, beside);
        let ended = observed.and_then(|ended| {
            finished.result?;
            outlet.end(&totals)?;
            Ok(ended)
        });
        let (dropped, refused) = (totals.packets_dropped(), totals.packets_refused);
        let seen = Seen { packets: totals.sum(|of| of.engine.packets) + refused, dropped, refused };
        match (ended, self.rings.gone()) {
            (Err(End::Failed(failure)), _) => Err(failure),
            (Err(End::Enough), _) => Ok((Ended::AsAsked, seen)),
            (Ok(_), Some(why)) => Err(Failure::unavailable(why)),
            (Ok(ended), None) => Ok((ended, seen)),
        }
    }

    fn observe(
        &mut self,
        engines: &mut Engines<impl Sink>,
        outlet: &mut impl Outlet,
        stop: &Stop,
        until: Option<Instant>,
    ) -> Result<Ended, End> {
        let (mut next_tick, mut next_scan) = (Instant::now() + TICK, Instant::now() + RESCAN);
        loop {
            let deadline = until.map_or(next_tick, |until| until.min(next_tick));
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = if engines.holds_back() { left.min(Rings::BLOCK) } else { left };
            if self.rings.wait(stop, timeout)? == Wake::Stopped {
                return Ok(Ended::Stopped);
            }
            self.rings.turn(|batch| engines.feed(batch))?;
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(engines, outlet)?;
            }
            if now >= next_scan {
                next_scan = now + RESCAN;
                self.rings.scan();
                self.move_on(engines);
            }
            engines.pause()?;
            if self.rings.gone().is_some() || until.is_some_and(|until| now >= until) {
                return Ok(Ended::AsAsked);
            }
        }
    }

    fn tick(&mut self, engines: &mut Engines<impl Sink>, outlet: &mut impl Outlet) -> Result<(), End> {
        // Packets of this last moment may still lie with the kernel.
        let seen_until = now_ns().saturating_sub(2 * Rings::BLOCK.as_nanos() as u64);
        engines.tick(Timestamp::from_nanos(seen_until))?;
        if self.host.refresh() {
            self.move_on(engines);
        }
        let rings = self.rings.counters();
        let (all, beside) = self.with_beside(engines.totals());
        outlet.tick(&self.observed(&all, engines.packets_refused(), &rings, beside))
    }

    /// Where records are at is another from now on.
    fn move_on(&mut self, engines: &mut Engines<impl Sink>) {
        self.places = self.host.places(self.rings.interfaces());
        engines.move_to(&self.places);
    }

    /// Reads what the kernel still holds back.
    fn drain(&mut self, engines: &mut Engines<impl Sink>) -> Result<(), End> {
        let (never, deadline) = (Stop::new()?, Instant::now() + DRAIN);
        while Instant::now() < deadline && self.rings.wait(&never, 2 * Rings::BLOCK)? == Wake::Ready {
            self.rings.turn(|batch| engines.feed(batch))?;
            engines.pause()?;
        }
        Ok(())
    }

    /// The engine of what processes do is one more.
    fn with_beside(&self, mut engines: Vec<EngineTotals>) -> (Vec<EngineTotals>, TracedTotals) {
        let beside = self.beside.as_ref().map(TracedWatch::totals).unwrap_or_default();
        engines.push(beside.engine);
        (engines, beside)
    }

    fn observed<'a>(
        &self,
        engines: &'a [EngineTotals],
        packets_refused: u64,
        rings: &'a [(String, RingCounters)],
        beside: TracedTotals,
    ) -> Observed<'a> {
        let TracedTotals { lost: messages_lost, texts_cut, .. } = beside;
        Observed {
            start_ns: self.start_ns,
            now_ns: now_ns(),
            engines,
            packets_refused,
            rings,
            messages_lost,
            texts_cut,
        }
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
