//! Observing interfaces: rings → engine → sink, on one thread.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use flow_core::{FlowEngine, Options};
use metaflow_packet_capture::{
    Interface, OpenRingError, Ring, RingCounters, RingError, RingOptions, Stop, Wake, interfaces, wait,
};
use protocol_parsers::Timestamp;
use tracing::{debug, warn};

use crate::failure::Failure;
use crate::place::{LivePlaces, Places};
use crate::sink::{End, Observed, Sink, feed, hand_on};
use crate::uplink::Exclusions;

/// Memory of all rings together, about; each has its share.
const RINGS_BYTES: usize = 128 << 20;
/// Most interfaces observed at once.
const MOST_RINGS: usize = 64;
/// How long packets may stay with the kernel before they are shown.
const BLOCK: Duration = Duration::from_millis(50);
/// How often time is told to the engine.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked which interfaces there are.
const RESCAN: Duration = Duration::from_secs(5);
/// How long what lies in the rings is still read when told to stop.
const DRAIN: Duration = Duration::from_millis(500);

/// Interfaces that are being observed.
pub(crate) struct Live {
    rings: Vec<Ring>,
    /// The kernel's numbers of their interfaces: a new interface may have an old one's name.
    indexes: HashMap<String, u32>,
    /// Whether interfaces that come later are observed too.
    all: bool,
    options: RingOptions,
    exclusions: Exclusions,
    engine: FlowEngine,
    places: Places,
    start_ns: u64,
    /// Why there is nothing left to observe.
    gone: Option<String>,
}

/// How an observation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The time was over, or the sink had enough.
    AsAsked,
    /// It was told to stop.
    Stopped,
}

impl Live {
    /// Opens the named interfaces, or all that are up. From here on the kernel collects packets.
    pub(crate) fn open(names: &[String], options: Options, exclusions: Exclusions) -> Result<Self, Failure> {
        let all = names.is_empty();
        let places = Places::Live(Box::new(LivePlaces::new()?));
        let present = list()?;
        let mut wanted: Vec<_> = if all { up(&present).collect() } else { names.iter().map(String::as_str).collect() };
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.len() > MOST_RINGS {
            warn!(
                interfaces = wanted.len(),
                most = MOST_RINGS,
                "too many interfaces: name the ones that matter with -i"
            );
            wanted.truncate(MOST_RINGS);
        }
        let share = (RINGS_BYTES / wanted.len().max(1)).clamp(*RingOptions::RING_BYTES.start(), 16 << 20);
        let options_of_rings = RingOptions { ring_bytes: share, block_timeout: BLOCK, ..RingOptions::default() };
        let (rings, engine) = (Vec::new(), FlowEngine::new(options));
        let mut live = Self {
            rings,
            indexes: HashMap::new(),
            all,
            options: options_of_rings,
            exclusions,
            engine,
            places,
            start_ns: now_ns(),
            gone: None,
        };
        for name in wanted {
            match live.add(name, &present) {
                Ok(()) => {}
                // Of all interfaces some may have gone meanwhile, or be of a kind that cannot be captured.
                Err(error) if all && !matches!(error, OpenRingError::NoPrivilege { .. }) => {
                    warn!(%error, "not observed");
                }
                Err(error) => return Err(not_opened(&error)),
            }
        }
        if live.rings.is_empty() {
            return Err(Failure::unavailable("there is no interface that is up and can be captured"));
        }
        Ok(live)
    }

    /// Names of the interfaces.
    pub(crate) fn interfaces(&self) -> String {
        self.rings.iter().map(Ring::interface).collect::<Vec<_>>().join(", ")
    }

    /// Observes until told to stop, until the time is over, or until the sink has enough; then hands on all the engine has.
    pub(crate) fn run(&mut self, sink: &mut impl Sink, stop: &Stop, until: Option<Instant>) -> Result<Ended, Failure> {
        let observed = sink.begin().and_then(|()| self.observe(sink, stop, until)).and_then(|ended| {
            self.drain(sink)?;
            self.engine.finish();
            hand_on(&mut self.engine, &self.places, sink)?;
            let rings = self.counters();
            sink.end(&self.observed(&rings))?;
            Ok(ended)
        });
        match observed {
            Ok(ended) => self.gone.take().map_or(Ok(ended), |why| Err(Failure::unavailable(why))),
            Err(End::Enough) => Ok(Ended::AsAsked),
            Err(End::Failed(failure)) => Err(failure),
        }
    }

    /// Packets seen, and those that the kernel had to drop.
    pub(crate) fn packets(&mut self) -> (u64, u64) {
        let dropped = self.counters().iter().map(|(_, counters)| counters.dropped).sum();
        (self.engine.stats().packets, dropped)
    }

    fn observe(&mut self, sink: &mut impl Sink, stop: &Stop, until: Option<Instant>) -> Result<Ended, End> {
        let (mut next_tick, mut next_scan) = (Instant::now() + TICK, Instant::now() + RESCAN);
        loop {
            let deadline = until.map_or(next_tick, |until| until.min(next_tick));
            let timeout = deadline.saturating_duration_since(Instant::now());
            if wait(&self.rings, stop, timeout)? == Wake::Stopped {
                return Ok(Ended::Stopped);
            }
            self.turn(sink)?;
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(sink)?;
            }
            if now >= next_scan {
                next_scan = now + RESCAN;
                self.scan();
            }
            sink.pause()?;
            if self.gone.is_some() || until.is_some_and(|until| now >= until) {
                return Ok(Ended::AsAsked);
            }
        }
    }

    /// One batch of each ring in turn, so that a flooded one does not hold up the others. Says whether there was any.
    fn turn(&mut self, sink: &mut impl Sink) -> Result<bool, End> {
        let (mut any, mut failed) = (false, Vec::new());
        for (place, ring) in self.rings.iter_mut().enumerate() {
            match ring.next_batch() {
                Ok(Some(batch)) => {
                    any = true;
                    feed(&mut self.engine, batch, &self.places, sink)?;
                }
                Ok(None) => {}
                // It gives packets again when the interface comes back.
                Err(error @ RingError::Down { .. }) => warn!("{error}"),
                Err(error) => failed.push((place, error)),
            }
        }
        // From the last on, so that the places of the others stay.
        for (place, error) in failed.into_iter().rev() {
            self.close(place, error.to_string());
        }
        Ok(any)
    }

    /// An interface is observed no longer. When it was the last of those that were named, there is nothing left to do.
    fn close(&mut self, place: usize, why: String) {
        self.indexes.remove(self.rings.remove(place).interface());
        if self.rings.is_empty() && !self.all {
            self.gone = Some(why);
        } else {
            warn!("{why}");
        }
    }

    fn tick(&mut self, sink: &mut impl Sink) -> Result<(), End> {
        // Packets of this last moment may still lie with the kernel.
        let seen_until = now_ns().saturating_sub(2 * BLOCK.as_nanos() as u64);
        self.engine.handle_timeout(Timestamp::from_nanos(seen_until));
        hand_on(&mut self.engine, &self.places, sink)?;
        self.places.refresh();
        let rings = self.counters();
        sink.tick(&self.observed(&rings));
        Ok(())
    }

    /// Reads what the kernel still holds back.
    fn drain(&mut self, sink: &mut impl Sink) -> Result<(), End> {
        let (never, deadline) = (Stop::new()?, Instant::now() + DRAIN);
        while Instant::now() < deadline && wait(&self.rings, &never, 2 * BLOCK)? == Wake::Ready {
            self.turn(sink)?;
        }
        Ok(())
    }

    /// Closes interfaces that have gone, of which the kernel says nothing when they went down before. Opens those that have come.
    fn scan(&mut self) {
        let Ok(present) = list() else { return };
        for place in (0..self.rings.len()).rev() {
            let name = self.rings.get(place).map_or("", Ring::interface).to_owned();
            let index = self.indexes.get(&name);
            if !present.iter().any(|interface| interface.name == name && Some(&interface.index) == index) {
                self.close(place, format!("interface {name} was removed"));
            }
        }
        if !self.all {
            return;
        }
        let known: Vec<_> = self.rings.iter().map(|ring| ring.interface().to_owned()).collect();
        for name in up(&present).filter(|name| !known.iter().any(|known| known == name)) {
            if self.rings.len() >= MOST_RINGS {
                break;
            }
            match self.add(name, &present) {
                Ok(()) => debug!(interface = name, "observed from now on"),
                Err(error) => debug!(%error, "not observed"),
            }
        }
    }

    fn add(&mut self, name: &str, present: &[Interface]) -> Result<(), OpenRingError> {
        self.options.excluded = self.exclusions.connections();
        self.rings.push(Ring::open(name, &self.options)?);
        self.exclusions.watch(self.rings.iter().map(Ring::filter).collect())?;
        if let Some(interface) = present.iter().find(|interface| interface.name == name) {
            self.indexes.insert(name.to_owned(), interface.index);
            self.places.add(interface.clone(), present);
        }
        Ok(())
    }

    fn counters(&mut self) -> Vec<(String, RingCounters)> {
        let of = |ring: &mut Ring| Some((ring.interface().to_owned(), ring.counters().ok()?));
        self.rings.iter_mut().filter_map(of).collect()
    }

    fn observed<'a>(&self, rings: &'a [(String, RingCounters)]) -> Observed<'a> {
        let (engine, parsers) = (self.engine.stats(), self.engine.parser_stats());
        Observed { start_ns: self.start_ns, now_ns: now_ns(), engine, parsers, rings }
    }
}

fn list() -> Result<Vec<Interface>, Failure> {
    interfaces().map_err(|error| Failure::from_io("cannot list the interfaces", &error))
}

fn up(present: &[Interface]) -> impl Iterator<Item = &str> {
    present.iter().filter(|interface| interface.up).map(|interface| interface.name.as_str())
}

fn not_opened(error: &OpenRingError) -> Failure {
    let text = error.to_string();
    match error {
        OpenRingError::NoSuchInterface { .. } => Failure::usage(text),
        OpenRingError::NoPrivilege { .. } => Failure::permission(text),
        _ => Failure::unavailable(text),
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
