//! Where a conversation is, by the hash of its key.
//!
//! Open addressing with linear probing over buckets of eight bytes: one cache line tells mostly all. A bucket's place grows with its
//! hash, so that a larger table is filled in one pass; the table consists of segments that grow one by one, so that nobody waits
//! for the growth of all of it.

/// Half of a bucket is the upper half of the hash, half the slot. A slot is never [`EMPTY`]'s.
const EMPTY: u64 = u64::MAX;
/// Chosen by the lower bits of the hash.
const SEGMENTS: usize = 256;
/// Buckets of a segment's first table.
const FIRST: usize = 8;

/// A set of slots, each with the hash of its key.
pub(crate) struct Index {
    segments: Box<[Segment]>,
    len: usize,
}

#[derive(Clone, Default)]
struct Segment {
    buckets: Vec<u64>,
    len: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { segments: vec![Segment::default(); SEGMENTS].into(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot of this hash for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let segment = self.segments.get(segment_of(hash))?;
        let place = segment.find(hash, |slot| is_it(slot))?;
        segment.buckets.get(place).map(|bucket| *bucket as u32)
    }

    /// The slot of this hash that stands first: a guess of what `find` will say.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The bucket from which `find` will start.
    #[inline]
    pub(crate) fn bucket(&self, hash: u64) -> Option<&u64> {
        let segment = self.segments.get(segment_of(hash))?;
        segment.buckets.get(home(upper(hash), segment.buckets.len()))
    }

    /// Adds a slot that is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        let Some(segment) = self.segments.get_mut(segment_of(hash)) else { return };
        // Four fifths full at most.
        if segment.len * 5 >= segment.buckets.len() * 4 {
            segment.grow();
        }
        segment.put(u64::from(upper(hash)) << 32 | u64::from(slot));
        segment.len += 1;
        self.len += 1;
    }

    /// Takes a slot out.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let Some(segment) = self.segments.get_mut(segment_of(hash)) else { return };
        if let Some(place) = segment.find(hash, |other| other == slot) {
            segment.clear(place);
            segment.len -= 1;
            self.len -= 1;
        }
    }
}

fn segment_of(hash: u64) -> usize {
    hash as usize % SEGMENTS
}

fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Where the probing for a hash begins.
fn home(upper: u32, buckets: usize) -> usize {
    ((u64::from(upper) * buckets as u64) >> 32) as usize
}

impl Segment {
    #[inline]
    fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let mut place = home(upper(hash), self.buckets.len());
        loop {
            let bucket = *self.buckets.get(place)?;
            if bucket == EMPTY {
                return None;
            }
            if (bucket >> 32) as u32 == upper(hash) && is_it(bucket as u32) {
                return Some(place);
            }
            place = self.next(place);
        }
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        if place + 1 == self.buckets.len() { 0 } else { place + 1 }
    }

    /// There must be room.
    fn put(&mut self, bucket: u64) {
        let mut place = home((bucket >> 32) as u32, self.buckets.len());
        while let Some(found) = self.buckets.get_mut(place) {
            if *found == EMPTY {
                *found = bucket;
                return;
            }
            place = self.next(place);
        }
    }

    /// Empties a bucket, and moves up what was probed past it.
    fn clear(&mut self, mut hole: usize) {
        let length = self.buckets.len();
        let mut place = hole;
        loop {
            place = self.next(place);
            let Some(&bucket) = self.buckets.get(place) else { return };
            if bucket == EMPTY {
                break;
            }
            // It may move if its home is not behind the hole, going round.
            let distance = |from: usize| (place + length - from) % length;
            if distance(home((bucket >> 32) as u32, length)) >= distance(hole) {
                self.buckets.swap(hole, place);
                hole = place;
            }
        }
        if let Some(emptied) = self.buckets.get_mut(hole) {
            *emptied = EMPTY;
        }
    }

    fn grow(&mut self) {
        // By a quarter: the memory of a million conversations counts more than the copying of four.
        let length = (self.buckets.len() + self.buckets.len() / 4).max(FIRST);
        let before = std::mem::replace(&mut self.buckets, vec![EMPTY; length]);
        for bucket in before.into_iter().filter(|bucket| *bucket != EMPTY) {
            self.put(bucket);
        }
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
            steps in prop::collection::vec((any::<bool>(), 0u32..40, prop_oneof![Just(0u64), Just(u64::MAX << 32), any::<u64>()]), 0..400),
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
