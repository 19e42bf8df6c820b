//! Values by number: memory that grows without anything being moved, and is given back when it is empty.

use std::collections::BTreeSet;

/// Values of one piece of memory. Places of a new one cost nothing before they are used.
const CHUNK: usize = 1 << 12;

/// Values, each with a number for as long as it stays.
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with room: the first of them takes the next value, so that the last ones become empty.
    roomy: BTreeSet<u32>,
}

struct Chunk<T> {
    values: Vec<T>,
    /// Places of values that were taken out.
    free: Vec<u16>,
}

impl<T> Chunk<T> {
    const EMPTY: Self = Self { values: Vec::new(), free: Vec::new() };

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.values.len() == CHUNK
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.values.len()
    }
}

impl<T: Default> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), roomy: BTreeSet::new() }
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.chunks.get(slot as usize / CHUNK)?.values.get(slot as usize % CHUNK)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.chunks.get_mut(slot as usize / CHUNK)?.values.get_mut(slot as usize % CHUNK)
    }

    /// All numbers lie before this one.
    pub(crate) fn end(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let number = self.roomy.first().copied().unwrap_or_else(|| {
            let number = self.chunks.len() as u32;
            self.chunks.push(Chunk::EMPTY);
            self.roomy.insert(number);
            number
        });
        let Some(chunk) = self.chunks.get_mut(number as usize) else { return u32::MAX };
        let place = match chunk.free.pop() {
            Some(free) => usize::from(free),
            None => chunk.values.len(),
        };
        match chunk.values.get_mut(place) {
            Some(free) => *free = value,
            None => {
                chunk.values.reserve_exact(CHUNK - place);
                chunk.values.push(value);
            }
        }
        if chunk.is_full() {
            self.roomy.remove(&number);
        }
        number * CHUNK as u32 + place as u32
    }

    /// Takes out a value that is there.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let number = slot / CHUNK as u32;
        let chunk = self.chunks.get_mut(number as usize)?;
        let place = slot as usize % CHUNK;
        let value = std::mem::take(chunk.values.get_mut(place)?);
        if chunk.is_full() {
            self.roomy.insert(number);
        }
        chunk.free.push(place as u16);
        // One with room stays, so that a value that comes and goes does not claim and free memory each time.
        if chunk.is_empty() && self.roomy.len() > 1 {
            *chunk = Chunk::EMPTY;
            while self.chunks.pop_if(|last| last.values.is_empty()).is_some() {
                self.roomy.remove(&(self.chunks.len() as u32));
            }
        }
        Some(value)
    }

    /// Each value with its number; where none is, its default.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let chunks = (0..).step_by(CHUNK).zip(&self.chunks);
        chunks.flat_map(|(first, chunk)| (first..).zip(&chunk.values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_given_back_and_numbers_are_used_again() {
        let mut slab = Slab::new();
        let all: Vec<u32> = (1..=3 * CHUNK as u64).map(|value| slab.insert(value)).collect();
        assert_eq!(slab.end(), 3 * CHUNK as u32);
        for (value, slot) in (1..).zip(&all).skip(1) {
            assert_eq!(slab.remove(*slot), Some(value));
        }
        assert_eq!((slab.end(), slab.get(all[0])), (CHUNK as u32, Some(&1)));
        assert_eq!(slab.insert(7), CHUNK as u32 - 1, "the place freed last within the first chunk");
        assert_eq!(slab.iter().filter(|(_, value)| **value != 0).count(), 2);
    }

    #[test]
    fn a_value_that_comes_and_goes_keeps_its_chunk() {
        let mut slab = Slab::new();
        for value in 1..10u64 {
            let slot = slab.insert(value);
            assert_eq!((slot, slab.remove(slot), slab.end()), (0, Some(value), CHUNK as u32));
        }
    }
}
