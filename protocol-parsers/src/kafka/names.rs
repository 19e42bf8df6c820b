//! Names of topics by the ids that messages have in their place.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// Names that were told, in two generations: when the young one is half of what may be kept, it becomes the old one, and what was in that
/// and was not told again is dropped.
#[derive(Debug, Default)]
pub(crate) struct Names {
    young: BTreeMap<[u8; 16], Box<str>>,
    old: BTreeMap<[u8; 16], Box<str>>,
    bytes: usize,
}

impl Names {
    /// Keeps a name. Returns how many were dropped for it.
    pub(super) fn learn(&mut self, id: &[u8; 16], name: &str, most: usize) -> u64 {
        if self.young.get(id).is_some_and(|known| **known == *name) {
            return 0;
        }
        let before = self.old.remove(id).or_else(|| self.young.remove(id));
        self.bytes = self.bytes + name.len() - before.map_or(0, |before| before.len());
        self.young.insert(*id, name.into());
        if self.young.len() < most.div_ceil(2) {
            return 0;
        }
        let dropped = core::mem::replace(&mut self.old, core::mem::take(&mut self.young));
        self.bytes -= dropped.values().map(|name| name.len()).sum::<usize>();
        dropped.len() as u64
    }

    pub(super) fn get(&self, id: &[u8; 16]) -> Option<&str> {
        self.young.get(id).or_else(|| self.old.get(id)).map(|name| &**name)
    }

    pub(super) fn memory(&self) -> usize {
        // What a map takes beside keys and values is a guess.
        size_of::<Self>() + self.bytes + (self.young.len() + self.old.len()) * 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_outlives_a_flood_of_ids() {
        let mut names = Names::default();
        let mut dropped = 0;
        for number in 0..1_000_u128 {
            dropped += names.learn(&[0xff; 16], "kept", 128);
            dropped += names.learn(&number.to_be_bytes(), "topic", 128);
            assert!(names.young.len() + names.old.len() <= 128);
        }
        assert_eq!(names.get(&[0xff; 16]), Some("kept"));
        assert_eq!(dropped as usize, 1_001 - names.young.len() - names.old.len());
        assert_eq!(names.get(&999_u128.to_be_bytes()), Some("topic"));
        names.learn(&999_u128.to_be_bytes(), "renamed", 128);
        assert_eq!(names.get(&999_u128.to_be_bytes()), Some("renamed"));
        let held: usize = names.young.values().chain(names.old.values()).map(|name| name.len()).sum();
        assert_eq!(names.bytes, held);
        names.learn(&[1; 16], "alone", 0);
    }
}
