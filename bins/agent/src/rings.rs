//! The rings of the interfaces that are observed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metaflow_packet_capture::{
    Batch, Interface, OpenRingError, Ring, RingCounters, RingError, RingOptions, Stop, Wake, interfaces, wait,
};
use tracing::{debug, warn};

use crate::failure::Failure;
use crate::place::Interfaces;
use crate::sink::End;
use crate::uplink::Exclusions;

/// Memory of all rings together, about; each has its share.
const RINGS_BYTES: usize = 128 << 20;
/// Most interfaces observed at once.
const MOST_RINGS: usize = 64;
/// Interfaces known by name, gone ones too.
const MOST_INTERFACES: usize = 1024;

/// A ring for each interface.
pub(crate) struct Rings {
    rings: Vec<Ring>,
    /// The kernel's numbers of their interfaces: a new interface may have an old one's name.
    indexes: HashMap<String, u32>,
    /// Those that have gone are kept for conversations that have not ended yet, as long as there is room.
    known: Arc<Interfaces>,
    /// Whether interfaces that come later are observed too.
    all: bool,
    options: RingOptions,
    exclusions: Exclusions,
    /// Why there is nothing left to observe.
    gone: Option<String>,
}

impl Rings {
    /// How long packets may stay with the kernel before they are shown.
    pub(crate) const BLOCK: Duration = Duration::from_millis(50);

    /// Opens the named interfaces, or all that are up. From here on the kernel collects packets.
    pub(crate) fn open(names: &[String], exclusions: Exclusions) -> Result<Self, Failure> {
        let all = names.is_empty();
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
        let options = RingOptions { ring_bytes: share, block_timeout: Self::BLOCK, ..RingOptions::default() };
        let (rings, indexes, known) = (Vec::new(), HashMap::new(), Arc::default());
        let mut rings = Self { rings, indexes, known, all, options, exclusions, gone: None };
        for name in wanted {
            match rings.add(name, &present) {
                Ok(()) => {}
                // Of all interfaces some may have gone meanwhile, or be of a kind that cannot be captured.
                Err(error) if all && !matches!(error, OpenRingError::NoPrivilege { .. }) => {
                    warn!(%error, "not observed");
                }
                Err(error) => return Err(not_opened(&error)),
            }
        }
        if rings.rings.is_empty() {
            return Err(Failure::unavailable("there is no interface that is up and can be captured"));
        }
        Ok(rings)
    }

    /// Names of the interfaces.
    pub(crate) fn names(&self) -> String {
        self.rings.iter().map(Ring::interface).collect::<Vec<_>>().join(", ")
    }

    /// The interfaces that packets are from, and earlier ones.
    pub(crate) fn interfaces(&self) -> &Arc<Interfaces> {
        &self.known
    }

    /// Why there is nothing left to observe, if so.
    pub(crate) fn gone(&self) -> Option<&str> {
        self.gone.as_deref()
    }

    /// Waits until there are packets.
    pub(crate) fn wait(&self, stop: &Stop, timeout: Duration) -> Result<Wake, Failure> {
        wait(&self.rings, stop, timeout).map_err(|error| Failure::from_io("cannot wait for packets", &error))
    }

    /// One batch of each ring in turn, so that a flooded one does not hold up the others.
    pub(crate) fn turn(&mut self, mut take: impl FnMut(Batch<'_>) -> Result<(), End>) -> Result<(), End> {
        let mut failed = Vec::new();
        for (place, ring) in self.rings.iter_mut().enumerate() {
            match ring.next_batch() {
                Ok(Some(batch)) => take(batch)?,
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
        Ok(())
    }

    /// Closes interfaces that have gone, of which the kernel says nothing when they went down before. Opens those that have come.
    pub(crate) fn scan(&mut self) {
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
        let observed: Vec<_> = self.rings.iter().map(|ring| ring.interface().to_owned()).collect();
        for name in up(&present).filter(|name| !observed.iter().any(|observed| observed == name)) {
            if self.rings.len() >= MOST_RINGS {
                break;
            }
            match self.add(name, &present) {
                Ok(()) => debug!(interface = name, "observed from now on"),
                Err(error) => debug!(%error, "not observed"),
            }
        }
    }

    /// By interface.
    pub(crate) fn counters(&mut self) -> Vec<(String, RingCounters)> {
        let of = |ring: &mut Ring| Some((ring.interface().to_owned(), ring.counters().ok()?));
        self.rings.iter_mut().filter_map(of).collect()
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

    fn add(&mut self, name: &str, present: &[Interface]) -> Result<(), OpenRingError> {
        self.options.excluded = self.exclusions.connections();
        self.rings.push(Ring::open(name, &self.options)?);
        self.exclusions.watch(self.rings.iter().map(Ring::filter).collect())?;
        if let Some(interface) = present.iter().find(|interface| interface.name == name) {
            self.indexes.insert(name.to_owned(), interface.index);
            let known = Arc::make_mut(&mut self.known);
            if known.len() >= MOST_INTERFACES {
                known.retain(|index, _| present.iter().any(|interface| interface.index == *index));
            }
            known.insert(interface.index, interface.clone());
        }
        Ok(())
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
