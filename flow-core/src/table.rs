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
    /// Those that only one end takes part in, and the others: who makes room first.
    deadlines: [BTreeSet<(Timestamp, Slot)>; 2],
    vlan_in_key: bool,
    interface_in_key: bool,
}

struct Entry {
    flow: Flow,
    hash: u64,
    /// Where it stands in `deadlines`.
    armed: (bool, Timestamp),
}

impl Table {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            random: crate::hash::keyed(),
            deadlines: Default::default(),
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
                && self.in_key(&flow.layers).eq(self.in_key(layers.as_slice()))
        };
        self.index.find(hash, is_same).copied()
    }

    pub(crate) fn insert(&mut self, flow: Flow, limits: &Limits) -> Slot {
        let hash = self.hash(&flow.dialog.tuple, flow.dialog.interface, &flow.layers);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as Slot
        });
        let armed = (flow.is_mutual(), flow.idle_deadline(limits));
        self.deadlines_of(armed.0).insert((armed.1, slot));
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(Entry { flow, hash, armed });
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
        self.deadlines_of(entry.armed.0).remove(&(entry.armed.1, slot));
        self.free.push(slot);
        Some(entry.flow)
    }

    /// Wants to hear of a conversation no later than this. A later time than the one that stands is looked at when that has come.
    pub(crate) fn arm(&mut self, slot: Slot, deadline: Timestamp) {
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return };
        let (was_mutual, before) = entry.armed;
        let is_mutual = was_mutual || entry.flow.is_mutual();
        if deadline >= before && is_mutual == was_mutual {
            return;
        }
        let deadline = deadline.min(before);
        entry.armed = (is_mutual, deadline);
        self.deadlines_of(was_mutual).remove(&(before, slot));
        self.deadlines_of(is_mutual).insert((deadline, slot));
    }

    /// The next one whose deadline has passed.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Slot> {
        self.next().filter(|(deadline, _)| *deadline < now).map(|(_, slot)| slot)
    }

    /// Sets the deadline anew, later ones included.
    pub(crate) fn rearm(&mut self, slot: Slot, deadline: Timestamp) {
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else { return };
        let (is_mutual, before) = entry.armed;
        entry.armed.1 = deadline;
        self.deadlines_of(is_mutual).remove(&(before, slot));
        self.deadlines_of(is_mutual).insert((deadline, slot));
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.next().map(|(deadline, _)| deadline)
    }

    /// The one that makes room first.
    pub(crate) fn victim(&self) -> Option<Slot> {
        self.deadlines.iter().find_map(|set| set.first()).map(|(_, slot)| *slot)
    }

    /// The one with the earliest deadline.
    pub(crate) fn first(&self) -> Option<Slot> {
        self.next().map(|(_, slot)| slot)
    }

    fn next(&self) -> Option<(Timestamp, Slot)> {
        self.deadlines.iter().filter_map(|set| set.first().copied()).min()
    }

    fn deadlines_of(&mut self, is_mutual: bool) -> &mut BTreeSet<(Timestamp, Slot)> {
        let [alone, mutual] = &mut self.deadlines;
        if is_mutual { mutual } else { alone }
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
