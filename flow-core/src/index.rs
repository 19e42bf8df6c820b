//! Where a conversation is, by the hash of its key.
//!
//! Open addressing with linear probing over buckets of eight bytes: one cache line tells mostly all. The table consists of segments that
//! grow one by one, so that nobody waits for the growth of all of it. In each there are some buckets behind the last where a probing may
//! begin, so that none has to go round.

/// Half of a bucket is the upper half of the hash, half the slot. A slot is never [`EMPTY`]'s.
const EMPTY: u64 = u64::MAX;
/// Chosen by the lower bits of the hash.
const SEGMENTS: usize = 256;
/// Buckets where a probing may begin, of a segment's first table.
const FIRST: usize = 8;
/// Buckets behind those.
const BEHIND: usize = 24;

/// Nearly all are found in so many buckets from where the probing begins.
const WINDOW: usize = 8;

/// A set of slots, each with the hash of its key.
pub(crate) struct Index {
    segments: Box<[Segment; SEGMENTS]>,
    len: usize,
}

struct Segment {
    buckets: Vec<u64>,
    /// How many of them a probing may begin at.
    homes: usize,
    len: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { segments: Box::new([const { Segment::NONE }; SEGMENTS]), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot of this hash for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let segment = &self.segments[segment_of(hash)];
        let place = segment.find(hash, &mut is_it)?;
        segment.buckets.get(place).map(|bucket| *bucket as u32)
    }

    /// The slot of this hash that stands first: a guess of what `find` will say.
    #[inline(always)]
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        let window = self.window(hash)?;
        // All of them without a branch, the first last: nobody can foresee which it is.
        let first = |found, bucket: &u64| if (bucket >> 32) as u32 == upper(hash) { *bucket } else { found };
        Some(window.iter().rev().fold(EMPTY, first)).filter(|found| *found != EMPTY).map(|found| found as u32)
    }

    /// The buckets that `guess` will look at.
    #[inline(always)]
    pub(crate) fn window(&self, hash: u64) -> Option<&[u64; WINDOW]> {
        let segment = &self.segments[segment_of(hash)];
        segment.buckets.get(segment.home(upper(hash))..)?.first_chunk()
    }

    /// Adds a slot that is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        let segment = &mut self.segments[segment_of(hash)];
        // Four fifths full at most.
        if segment.len * 5 >= segment.homes * 4 {
            segment.grow();
        }
        segment.put(u64::from(upper(hash)) << 32 | u64::from(slot));
        segment.len += 1;
        self.len += 1;
    }

    /// Takes a slot out.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let segment = &mut self.segments[segment_of(hash)];
        if let Some(place) = segment.find(hash, |other| other == slot) {
            segment.clear(place);
            segment.len -= 1;
            self.len -= 1;
        }
    }
}

#[inline(always)]
fn segment_of(hash: u64) -> usize {
    hash as usize % SEGMENTS
}

#[inline(always)]
fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Segment {
    const NONE: Self = Self { buckets: Vec::new(), homes: 0, len: 0 };

    /// Where the probing for a hash begins.
    #[inline(always)]
    fn home(&self, upper: u32) -> usize {
        ((u64::from(upper) * self.homes as u64) >> 32) as usize
    }

    #[inline]
    fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let upper = upper(hash);
        let home = self.home(upper);
        for (place, &bucket) in self.buckets.get(home..)?.iter().enumerate() {
            if (bucket >> 32) as u32 == upper && bucket != EMPTY && is_it(bucket as u32) {
                return Some(home + place);
            }
            if bucket == EMPTY {
                break;
            }
        }
        None
    }

    fn put(&mut self, bucket: u64) {
        let home = self.home((bucket >> 32) as u32);
        let free = self.buckets.get(home..).and_then(|places| places.iter().position(|place| *place == EMPTY));
        let place = free.map_or(self.buckets.len(), |free| home + free);
        // The last one stays empty, so that every probing ends.
        if place + 1 >= self.buckets.len() {
            self.buckets.resize(place + BEHIND, EMPTY);
        }
        if let Some(free) = self.buckets.get_mut(place) {
            *free = bucket;
        }
    }

    /// Empties a bucket, and moves up what was probed past it.
    fn clear(&mut self, mut hole: usize) {
        let mut place = hole;
        while let Some(&bucket) = self.buckets.get(place + 1).filter(|bucket| **bucket != EMPTY) {
            place += 1;
            if self.home((bucket >> 32) as u32) <= hole {
                self.buckets.swap(hole, place);
                hole = place;
            }
        }
        if let Some(emptied) = self.buckets.get_mut(hole) {
            *emptied = EMPTY;
        }
    }

    /// By a quarter: the memory of a million conversations counts more than the copying of four.
    fn grow(&mut self) {
        let homes = (self.homes + self.homes / 4).max(FIRST);
        let mut larger = Self { buckets: vec![EMPTY; homes + BEHIND], homes, len: self.len };
        for bucket in self.buckets.iter().filter(|bucket| **bucket != EMPTY) {
            larger.put(*bucket);
        }
        *self = larger;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few different hashes, so that they collide, wrap round, and move up when one goes.
        #[test]
        fn it_holds_what_was_put_in_and_not_taken_out(
            steps in prop::collection::vec((any::<bool>(), 0u32..200, prop_oneof![Just(0u64), Just(u64::MAX << 32), any::<u64>()]), 0..400),
        ) {
            let (mut index, mut model) = (Index::new(), HashMap::new());
            for (adds, slot, hash) in steps {
                // One segment gets them all.
                let hash = hash & !0xff;
                if let Some(known) = model.get(&slot).copied() {
                    prop_assert_eq!(index.find(known, |other| other == slot), Some(slot));
                    if !adds {
                        index.remove(known, slot);
                        model.remove(&slot);
                        prop_assert_eq!(index.find(known, |other| other == slot), None);
                    }
                } else if adds {
                    index.insert(hash, slot);
                    model.insert(slot, hash);
                }
                prop_assert_eq!(index.len(), model.len());
                for (slot, hash) in &model {
                    prop_assert_eq!(index.find(*hash, |other| other == *slot), Some(*slot));
                }
            }
        }
    }
}
