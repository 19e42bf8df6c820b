//! All conversations: found by key, ended by time.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use protocol_parsers::Timestamp;

use crate::decode::Layers;
use crate::flow::Flow;
use crate::key::Tuple;
use crate::{Layer, Limits, Options};

/// Place of a conversation in the table, for as long as it lives.
pub(crate) type Slot = u32;

/// Conversations by key and by deadline.
pub(crate) struct Table {
    slots: Vec<Option<Entry>>,
    free: Vec<Slot>,
    index: HashTable<Slot>,
    random: ahash::RandomState,
    /// When they end if nothing more comes, or earlier: those that only one end takes part in, and the others.
    ends: [BTreeSet<(Timestamp, Slot)>; 2],
    /// When they want to be looked at before.
    alarms: BTreeSet<(Timestamp, Slot)>,
    /// None of these is earlier than this.
    soonest: Timestamp,
    vlan_in_key: bool,
    interface_in_key: bool,
}

struct Entry {
    flow: Flow,
    hash: u64,
    /// In which of `ends` it stands.
    is_mutual: bool,
    /// What stands for it in `ends` and in `alarms`.
    deadlines: Deadlines,
}

/// When a conversation wants to be looked at, on the steady clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// It is over if nothing more comes.
    pub(crate) end: Timestamp,
    /// Something of it is due before; [`Timestamp::MAX`] where nothing is.
    pub(crate) alarm: Timestamp,
}

impl Table {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            random: crate::hash::keyed(),
            ends: Default::default(),
            alarms: BTreeSet::new(),
            soonest: Timestamp::ZERO,
            vlan_in_key: options.vlan_in_key,
            interface_in_key: options.interface_in_key,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn get(&mut self, slot: Slot) -> Option<&mut Flow> {
        self.slots.get_mut(slot as usize)?.as_mut().map(|entry| &mut entry.flow)
    }

    pub(crate) fn find(&self, tuple: &Tuple, interface: u32, layers: &Layers) -> Option<Slot> {
        let hash = self.hash(tuple, interface, layers.as_slice());
        let is_same = |slot: &Slot| {
            let Some(Some(entry)) = self.slots.get(*slot as usize) else { return false };
            let flow = &entry.flow;
            entry.hash == hash
                && flow.dialog.tuple == *tuple
                && (!self.interface_in_key || flow.dialog.interface == interface)
                && (flow.layers.is_empty() && layers.count() == 0
                    || self.in_key(&flow.layers).eq(self.in_key(layers.as_slice())))
        };
        self.index.find(hash, is_same).copied()
    }

    pub(crate) fn insert(&mut self, flow: Flow, limits: &Limits) -> Slot {
        let hash = self.hash(&flow.dialog.tuple, flow.dialog.interface, &flow.layers);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as Slot
        });
        let is_mutual = flow.is_mutual();
        let deadlines = Deadlines { end: flow.idle_deadline(limits), alarm: Timestamp::MAX };
        self.ends_of(is_mutual).insert((deadlines.end, slot));
        self.soonest = self.soonest.min(deadlines.end);
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(Entry { flow, hash, is_mutual, deadlines });
        }
        let slots = &self.slots;
        let hash_of = |slot: &Slot| slots.get(*slot as usize).and_then(Option::as_ref).map_or(0, |entry| entry.hash);
        self.index.insert_unique(hash, slot, hash_of);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Flow> {
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        if let Ok(found) = self.index.find_entry(entry.hash, |other| *other == slot) {
            found.remove();
        }
        self.ends_of(entry.is_mutual).remove(&(entry.deadlines.end, slot));
        self.alarms.remove(&(entry.deadlines.alarm, slot));
        self.free.push(slot);
        Some(entry.flow)
    }

    /// Wants to hear of a conversation in time. A later time than the one that stands is looked at when that has come.
    pub(crate) fn arm(&mut self, slot: Slot, wanted: Deadlines) {
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return };
        let is_mutual = entry.is_mutual || entry.flow.is_mutual();
        if wanted.end < entry.deadlines.end || is_mutual != entry.is_mutual {
            self.set_end(slot, is_mutual, wanted.end);
        }
        self.set_alarm(slot, |stands| wanted.alarm.min(stands));
    }

    /// Sets the deadlines anew, later ones included.
    pub(crate) fn rearm(&mut self, slot: Slot, deadlines: Deadlines) {
        let Some(Some(entry)) = self.slots.get(slot as usize) else { return };
        self.set_end(slot, entry.is_mutual, deadlines.end);
        self.set_alarm(slot, |_| deadlines.alarm);
    }

    /// The next one whose deadline has passed.
    #[inline]
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Slot> {
        // Asked for every packet, and nearly never true.
        if now <= self.soonest {
            return None;
        }
        let next = self.next();
        self.soonest = next.map_or(now, |(deadline, _)| deadline);
        next.filter(|(deadline, _)| *deadline < now).map(|(_, slot)| slot)
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.next().map(|(deadline, _)| deadline)
    }

    /// The one that makes room: that would end first, of those that only one end takes part in as long as there are any.
    pub(crate) fn victim(&mut self, limits: &Limits) -> Option<Slot> {
        for is_mutual in [false, true] {
            while let Some(&(stands, slot)) = self.ends_of(is_mutual).first() {
                let end = self.get(slot)?.idle_deadline(limits);
                if end <= stands {
                    return Some(slot);
                }
                // Packets came since it was put there: each time is corrected once at most.
                self.set_end(slot, is_mutual, end);
            }
        }
        None
    }

    /// The one with the earliest deadline.
    pub(crate) fn first(&self) -> Option<Slot> {
        self.next().map(|(_, slot)| slot)
    }

    fn next(&self) -> Option<(Timestamp, Slot)> {
        let [alone, mutual] = &self.ends;
        [alone, mutual, &self.alarms].into_iter().filter_map(|set| set.first().copied()).min()
    }

    fn ends_of(&mut self, is_mutual: bool) -> &mut BTreeSet<(Timestamp, Slot)> {
        let [alone, mutual] = &mut self.ends;
        if is_mutual { mutual } else { alone }
    }

    fn set_end(&mut self, slot: Slot, is_mutual: bool, end: Timestamp) {
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return };
        let before =
            (std::mem::replace(&mut entry.is_mutual, is_mutual), std::mem::replace(&mut entry.deadlines.end, end));
        if before != (is_mutual, end) {
            self.ends_of(before.0).remove(&(before.1, slot));
            self.ends_of(is_mutual).insert((end, slot));
            self.soonest = self.soonest.min(end);
        }
    }

    fn set_alarm(&mut self, slot: Slot, change: impl FnOnce(Timestamp) -> Timestamp) {
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return };
        let before = entry.deadlines.alarm;
        let alarm = change(before);
        entry.deadlines.alarm = alarm;
        if alarm != before {
            self.alarms.remove(&(before, slot));
            if alarm < Timestamp::MAX {
                self.alarms.insert((alarm, slot));
                self.soonest = self.soonest.min(alarm);
            }
        }
    }

    fn in_key(&self, layers: &[Layer]) -> impl Iterator<Item = Layer> {
        let vlans = self.vlan_in_key;
        layers.iter().filter_map(move |layer| layer.in_key(vlans))
    }

    fn hash(&self, tuple: &Tuple, interface: u32, layers: &[Layer]) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = self.random.build_hasher();
        tuple.hash(&mut hasher);
        if self.interface_in_key {
            hasher.write_u32(interface);
        }
        for layer in self.in_key(layers) {
            layer.hash(&mut hasher);
        }
        hasher.finish()
    }
}
