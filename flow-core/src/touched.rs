//! Conversations that metrics have to look at, with what they had counted when metrics looked at them last.

use crate::Close;
use crate::flow::{Addresses, Flow, Snapshot};
use crate::memory::prefetch;
use crate::reader::Reading;
use crate::rollup::{Key, Rollup};
use crate::table::{Slot, Table};

/// So many are asked of the memory before they are looked at.
const AHEAD: usize = 8;

/// Those that have something new.
#[derive(Default)]
pub(crate) struct Touched {
    /// Where nothing is left to look at there is no slot.
    list: Vec<(Option<Slot>, Snapshot)>,
    /// Where each slot stands in the list, plus one; 0 for those that have nothing new.
    places: Vec<u32>,
    /// Those that are opening, or were.
    openings: Vec<Slot>,
}

impl Touched {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.openings.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len() + self.openings.len()
    }

    /// It will be asked soon whether this conversation is noted.
    #[inline(always)]
    pub(crate) fn ask_for(&self, slot: Slot) {
        self.places.get(slot as usize).into_iter().for_each(prefetch);
    }

    /// Before a packet of this conversation is counted.
    #[inline]
    pub(crate) fn note(&mut self, slot: Slot, flow: &Flow) {
        if !self.is_noted(slot) {
            self.put(slot, flow.snapshot());
        }
    }

    /// A conversation of which nothing was counted yet.
    pub(crate) fn note_new(&mut self, slot: Slot) {
        self.put(slot, Snapshot::default());
    }

    /// A connection is opening there.
    pub(crate) fn note_opening(&mut self, slot: Slot) {
        self.openings.push(slot);
    }

    #[inline]
    pub(crate) fn is_noted(&self, slot: Slot) -> bool {
        self.places.get(slot as usize).is_some_and(|place| *place != 0)
    }

    fn put(&mut self, slot: Slot, before: Snapshot) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, 0);
        }
        self.list.push((Some(slot), before));
        if let Some(place) = self.places.get_mut(slot as usize) {
            *place = self.list.len() as u32;
        }
    }

    /// Counts in the metrics what is new of a conversation that has ended.
    pub(crate) fn end(&mut self, slot: Slot, flow: &Flow, addresses: &Addresses, close: Close, rollup: &mut Rollup) {
        let place = self.places.get_mut(slot as usize).map(std::mem::take).unwrap_or_default();
        let noted = place.checked_sub(1).and_then(|place| self.list.get_mut(place as usize));
        match noted {
            Some((noted, before)) => {
                *noted = None;
                roll(flow, before, Some(close), addresses, rollup);
            }
            None => roll(flow, &flow.snapshot(), Some(close), addresses, rollup),
        }
    }

    /// Counts in the metrics a connection that never was more than opening.
    pub(crate) fn end_opening(flow: &Flow, is_counted: bool, addresses: &Addresses, close: Close, rollup: &mut Rollup) {
        let before = if is_counted { flow.snapshot() } else { Snapshot::default() };
        roll(flow, &before, Some(close), addresses, rollup);
    }

    /// Counts in the metrics what is new of all conversations.
    pub(crate) fn roll(&mut self, table: &mut Table, rollup: &mut Rollup) {
        for slot in self.openings.drain(..) {
            if let Some((opening, addresses)) = table.opening(slot)
                && !opening.is_counted()
            {
                opening.set_counted();
                roll(&opening.flow(0, addresses), &Snapshot::default(), None, addresses, rollup);
            }
        }
        for (place, (slot, before)) in self.list.iter().enumerate() {
            if let Some((Some(later), _)) = self.list.get(place + AHEAD) {
                table.look(*later).into_iter().for_each(prefetch);
            }
            let Some(slot) = *slot else { continue };
            if let Some(place) = self.places.get_mut(slot as usize) {
                *place = 0;
            }
            if let Some(flow) = table.look(slot) {
                roll(flow, before, None, &table.addresses, rollup);
            }
        }
        self.list.clear();
    }
}

fn roll(flow: &Flow, before: &Snapshot, close: Option<Close>, addresses: &Addresses, rollup: &mut Rollup) {
    let (new, is_opened, rtt) = flow.since(before);
    let protocol = flow.reading.as_deref().and_then(Reading::protocol);
    let key = Key::of(&flow.conversation(addresses), protocol);
    rollup.add(key, |values| {
        values.counters.merge(&new);
        values.flows_opened += u64::from(is_opened);
        values.flows_closed += u64::from(close.is_some());
        values.flows_failed += u64::from(close.is_some_and(Close::is_failure));
        if let Some(rtt) = rtt {
            values.rtt.add(rtt);
        }
    });
}
