//! Who wants to be looked at when: a hierarchical timer wheel.
//!
//! Six rings of 256 lists each. The innermost has a list for each tick, the next one for each 256 ticks, and so on; what is in a list of an
//! outer ring is spread over the inner ones when its time comes. The lists are linked by numbers in one array, so that filing
//! and taking out cost the same however many are filed; what is due within the running tick waits in a heap, by its exact time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use protocol_parsers::Timestamp;

use crate::memory::prefetch;
use crate::table::Slot;

/// A tick is 2²⁰ nanoseconds, about a millisecond.
const TICK_BITS: u32 = 20;
const RING_BITS: u32 = 8;
const LISTS: usize = 1 << RING_BITS;
/// Enough for all times: 20 + 6 · 8 > 64.
const RINGS: usize = 6;

/// Which end of a list a link refers to, rather than a slot.
const HEAD: u32 = 1 << 31;
/// In no list.
const NOWHERE: u32 = u32::MAX;
/// In the heap, with the number of its filing in `before`.
const IN_HEAP: u32 = u32::MAX - 1;

/// Slots by the times at which they want to be looked at. Who filed one knows its time, which may become later without refiling.
pub(crate) struct Wheel {
    links: Vec<Link>,
    classes: [Rings; 2],
    /// The tick up to which the lists were looked at.
    tick: u64,
    /// Counts filings in the heaps.
    filings: u32,
    /// None is due before this time.
    soonest: Timestamp,
}

/// Those of one class.
struct Rings {
    heads: Box<[Link]>,
    /// One bit for each list that has any.
    occupied: [[u64; LISTS / 64]; RINGS],
    near: BinaryHeap<Reverse<(Timestamp, Slot, u32)>>,
}

#[derive(Clone, Copy)]
struct Link {
    next: u32,
    before: u32,
}

/// What is filed nowhere.
const LOOSE: Link = Link { next: NOWHERE, before: NOWHERE };

fn tick_of(time: Timestamp) -> u64 {
    time.as_nanos() >> TICK_BITS
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let rings = |class: usize| Rings {
            // An empty list refers to itself.
            heads: (0..RINGS * LISTS)
                .map(|list| head(class, list))
                .map(|own| Link { next: own, before: own })
                .collect(),
            occupied: Default::default(),
            near: BinaryHeap::new(),
        };
        Self { links: Vec::new(), classes: [0, 1].map(rings), tick: 0, filings: 0, soonest: Timestamp::MAX }
    }

    /// Whether a slot is filed.
    pub(crate) fn is_filed(&self, slot: Slot) -> bool {
        self.links.get(slot as usize).is_some_and(|link| link.next != NOWHERE)
    }

    /// A slot will be taken out or filed soon.
    #[inline(always)]
    pub(crate) fn ask_for(&self, slot: Slot) {
        self.links.get(slot as usize).into_iter().for_each(prefetch);
    }

    /// Files a slot, which is filed nowhere yet.
    pub(crate) fn file(&mut self, slot: Slot, class: usize, time: Timestamp) {
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, LOOSE);
        }
        self.put(slot, class, time);
    }

    /// Takes a slot out, if it is filed.
    pub(crate) fn take_out(&mut self, slot: Slot) {
        let Some(link) = self.links.get_mut(slot as usize) else { return };
        let Link { next, before } = std::mem::replace(link, LOOSE);
        if next < IN_HEAP {
            self.link(before).next = next;
            self.link(next).before = before;
            if next == before {
                self.mark(next);
            }
        } else if next == IN_HEAP {
            self.drop_stale(0);
            self.drop_stale(1);
        }
    }

    /// No slot from `end` on will be filed soon.
    pub(crate) fn shrink(&mut self, end: Slot) {
        if self.links.len() / 2 > end as usize {
            self.links.truncate(end as usize);
            self.links.shrink_to_fit();
        }
    }

    /// None is due before this time, nor at it.
    #[inline(always)]
    pub(crate) fn soonest(&self) -> Timestamp {
        self.soonest
    }

    /// The next slot whose time may lie before `now`; it is filed no longer. `time_of` tells when a slot wants to be looked at.
    pub(crate) fn due(&mut self, now: Timestamp, time_of: impl Fn(Slot) -> Timestamp) -> Option<Slot> {
        loop {
            if let Some((time, class)) = self.first_near()
                && time < now
            {
                let Reverse((_, slot, _)) = self.classes.get_mut(class).and_then(|rings| rings.near.pop())?;
                if let Some(link) = self.links.get_mut(slot as usize) {
                    *link = LOOSE;
                }
                self.drop_stale(class);
                return Some(slot);
            }
            match self.next_list() {
                Some((tick, _)) if tick <= tick_of(now) => {
                    self.tick = tick;
                    self.spread(&time_of);
                }
                _ => break,
            }
        }
        self.tick = self.tick.max(tick_of(now));
        self.soonest = self.next_time().unwrap_or(Timestamp::MAX);
        None
    }

    /// When [`due`](Self::due) may have one.
    pub(crate) fn next_time(&self) -> Option<Timestamp> {
        let near = self.first_near().map(|(time, _)| time);
        let list = self.next_list().map(|(tick, _)| Timestamp::from_nanos(tick << TICK_BITS));
        near.into_iter().chain(list).min()
    }

    /// The slot of this class that was filed for the earliest time, roughly: of those of one list it is the one filed first.
    pub(crate) fn first(&self, class: usize) -> Option<Slot> {
        let rings = self.classes.get(class)?;
        if let Some(Reverse((_, slot, _))) = rings.near.peek() {
            return Some(*slot);
        }
        let (_, list) = rings.next_list(self.tick)?;
        rings.heads.get(list).map(|head| head.next)
    }

    fn put(&mut self, slot: Slot, class: usize, time: Timestamp) {
        let tick = tick_of(time);
        if tick <= self.tick {
            self.filings = self.filings.wrapping_add(1);
            let number = self.filings;
            if let (Some(rings), Some(link)) = (self.classes.get_mut(class), self.links.get_mut(slot as usize)) {
                rings.near.push(Reverse((time, slot, number)));
                *link = Link { next: IN_HEAP, before: number };
            }
            self.soonest = self.soonest.min(time);
            return;
        }
        // The ring is that of the highest digit in which the tick differs from the present one.
        let ring = ((63 - (tick ^ self.tick).leading_zeros()) / RING_BITS) as usize;
        let place = (tick >> (ring as u32 * RING_BITS)) as usize % LISTS;
        let head = head(class, ring * LISTS + place);
        let last = self.link(head).before;
        *self.link(slot) = Link { next: head, before: last };
        self.link(last).next = slot;
        self.link(head).before = slot;
        self.mark(head);
        let begin = tick >> (ring as u32 * RING_BITS) << (ring as u32 * RING_BITS);
        self.soonest = self.soonest.min(Timestamp::from_nanos(begin << TICK_BITS));
    }

    /// Files anew what was filed for the tick that has come.
    fn spread(&mut self, time_of: &impl Fn(Slot) -> Timestamp) {
        for class in 0..self.classes.len() {
            while let Some((_, list)) = self.list_at_tick(class) {
                let head = head(class, list);
                loop {
                    let slot = self.link(head).next;
                    if slot & HEAD != 0 {
                        break;
                    }
                    self.take_out(slot);
                    self.put(slot, class, time_of(slot));
                }
            }
        }
    }

    /// A list whose time is the present tick.
    fn list_at_tick(&self, class: usize) -> Option<(u64, usize)> {
        self.classes.get(class)?.next_list(self.tick).filter(|(tick, _)| *tick <= self.tick)
    }

    fn next_list(&self) -> Option<(u64, usize)> {
        self.classes.iter().filter_map(|rings| rings.next_list(self.tick)).min()
    }

    fn first_near(&self) -> Option<(Timestamp, usize)> {
        let first = |(class, rings): (usize, &Rings)| rings.near.peek().map(|Reverse((time, ..))| (*time, class));
        self.classes.iter().enumerate().filter_map(first).min()
    }

    /// Drops from the top of the heap what was taken out.
    fn drop_stale(&mut self, class: usize) {
        let Some(rings) = self.classes.get_mut(class) else { return };
        while let Some(Reverse((_, slot, number))) = rings.near.peek() {
            let link = self.links.get(*slot as usize).copied().unwrap_or(LOOSE);
            if link.next == IN_HEAP && link.before == *number {
                return;
            }
            rings.near.pop();
        }
    }

    /// Notes whether a list has any.
    fn mark(&mut self, head: u32) {
        let list = (head & !HEAD) as usize;
        let (class, list) = (list / (RINGS * LISTS), list % (RINGS * LISTS));
        let Some(rings) = self.classes.get_mut(class) else { return };
        let is_empty = rings.heads.get(list).is_none_or(|link| link.next & HEAD != 0);
        let (ring, place) = (list / LISTS, list % LISTS);
        if let Some(word) = rings.occupied.get_mut(ring).and_then(|ring| ring.get_mut(place / 64)) {
            *word = *word & !(1 << (place % 64)) | u64::from(!is_empty) << (place % 64);
        }
    }

    fn link(&mut self, at: u32) -> &mut Link {
        if at & HEAD == 0 {
            return &mut self.links[at as usize];
        }
        let list = (at & !HEAD) as usize;
        &mut self.classes[list / (RINGS * LISTS)].heads[list % (RINGS * LISTS)]
    }
}

impl Rings {
    /// The earliest list that has any, and the tick from which on it is due.
    fn next_list(&self, now: u64) -> Option<(u64, usize)> {
        self.occupied.iter().enumerate().find_map(|(ring, words)| {
            let shift = ring as u32 * RING_BITS;
            let digit = (now >> shift) as usize % LISTS;
            // Those before the present digit's are empty.
            let place = words
                .iter()
                .enumerate()
                .find_map(|(word, bits)| (*bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize))?;
            debug_assert!(place >= digit, "a list was passed over");
            let block = now >> shift & !(LISTS as u64 - 1);
            Some(((block | place as u64) << shift, ring * LISTS + place))
        })
    }
}

/// What refers to a list.
fn head(class: usize, list: usize) -> u32 {
    HEAD | (class * RINGS * LISTS + list) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn times() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..4, 0u64..1 << 22, 0u64..1 << 34, any::<u64>()]
    }

    proptest! {
        /// Held against a map: what is due is told, exactly, each once; a time that became later counts.
        #[test]
        fn each_is_due_when_its_time_has_passed(
            steps in prop::collection::vec((0u8..4, 0u32..30, times()), 0..200),
        ) {
            let (mut wheel, mut model) = (Wheel::new(), HashMap::<Slot, u64>::new());
            let mut now = 0u64;
            for (kind, slot, ahead) in steps {
                let time = now.saturating_add(ahead);
                match (kind, model.get(&slot).copied()) {
                    (0 | 1, None) => {
                        wheel.file(slot, usize::from(kind), Timestamp::from_nanos(time));
                        model.insert(slot, time);
                    }
                    (0, Some(before)) => drop(model.insert(slot, before.max(time))),
                    (1, Some(_)) => {
                        wheel.take_out(slot);
                        model.remove(&slot);
                    }
                    _ => {
                        let next = wheel.next_time().map(Timestamp::as_nanos);
                        prop_assert!(next.is_none_or(|next| model.values().all(|time| next <= *time)));
                        prop_assert_eq!(next.is_some(), !model.is_empty());
                        now = time;
                        let time_of = |slot: Slot| Timestamp::from_nanos(model.get(&slot).copied().unwrap_or_default());
                        let mut due = Vec::new();
                        while let Some(slot) = wheel.due(Timestamp::from_nanos(now), time_of) {
                            if time_of(slot).as_nanos() < now { due.push(slot) } else { wheel.file(slot, 0, time_of(slot)) }
                        }
                        let mut expected: Vec<_> = model.extract_if(|_, time| *time < now).map(|(slot, _)| slot).collect();
                        due.sort_unstable();
                        expected.sort_unstable();
                        prop_assert_eq!(due, expected);
                    }
                }
                for slot in 0..30 {
                    prop_assert_eq!(wheel.is_filed(slot), model.contains_key(&slot));
                }
            }
        }
    }

    #[test]
    fn of_one_list_the_one_filed_first_is_first() {
        let mut wheel = Wheel::new();
        let hour = Timestamp::from_nanos(3_600_000_000_000);
        for slot in [3, 1, 2] {
            wheel.file(slot, 1, hour);
        }
        assert_eq!((wheel.first(0), wheel.first(1)), (None, Some(3)));
        wheel.take_out(3);
        assert_eq!(wheel.first(1), Some(1));
    }
}
