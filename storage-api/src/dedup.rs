use std::collections::{BTreeMap, HashMap};

use crate::BatchId;

/// The sequence numbers of one life of one sender that were stored in one table: a window below the newest one.
///
/// With `n` numbers remembered and `h` the highest number stored, each number in `h − n + 1 ..= h` is known exactly:
/// stored or not. Numbers above are new. For numbers below nothing is known, and a batch with such a number is refused
/// ([`crate::AppendError::TooOld`]): neither stored twice nor silently lost. A sender that sends in order, or keeps fewer
/// than `n` numbers unacknowledged at a time, never meets that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchWindow {
    highest: u64,
    /// A ring of bits: number `s` is bit `s % n`. Only the bits of the window are meaningful.
    bits: Vec<u64>,
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was not stored.
    New,
    /// It was stored.
    Before,
    /// It is too old to be known.
    Unknown {
        /// Smallest number that is known.
        oldest: u64,
    },
}

/// How much [`BatchWindows`] remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupLimits {
    /// Numbers per window; rounded up to a multiple of 64.
    pub window: u64,
    /// Windows, one per (sender, epoch). Above it the window that was used least recently is forgotten, and its sender
    /// counts as new.
    pub senders: usize,
}

impl Default for DedupLimits {
    /// 1,024 numbers (128 bytes) for each of 4,096 lives: under 1 MiB a table.
    fn default() -> Self {
        Self { window: 1024, senders: 4096 }
    }
}

/// The windows of all senders into one table.
#[derive(Clone, Debug)]
pub struct BatchWindows {
    limits: DedupLimits,
    windows: HashMap<(u128, u64), (u64, BatchWindow)>,
    /// By time of last use, a plain counter.
    by_use: BTreeMap<u64, (u128, u64)>,
    uses: u64,
    forgotten: u64,
}

impl BatchWindow {
    fn new(first: u64, length: u64) -> Self {
        let mut window = Self { highest: first, bits: vec![0; length.div_ceil(64).max(1) as usize] };
        window.set(first, true);
        window
    }

    /// Brings back a window from [`BatchWindow::highest`] and [`BatchWindow::bits`]; `None` when there are no bits.
    pub fn from_parts(highest: u64, bits: Vec<u64>) -> Option<Self> {
        (!bits.is_empty()).then_some(Self { highest, bits })
    }

    /// The highest number stored.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// The ring of bits: number `s` is bit `s % (64 × length)`, the lowest bit of the first word being bit 0.
    pub fn bits(&self) -> &[u64] {
        &self.bits
    }

    /// What is known of a number.
    pub fn seen(&self, sequence: u64) -> Seen {
        let oldest = self.highest.saturating_sub(self.length() - 1);
        if sequence > self.highest {
            Seen::New
        } else if sequence < oldest {
            Seen::Unknown { oldest }
        } else if self.get(sequence) {
            Seen::Before
        } else {
            Seen::New
        }
    }

    /// Remembers that a number was stored; one below the window is left out.
    pub fn record(&mut self, sequence: u64) {
        if sequence > self.highest {
            // What the window moves over is cleared: at most one round of the ring.
            let skipped = (sequence - self.highest - 1).min(self.length());
            (0..skipped).for_each(|back| self.set(sequence - 1 - back, false));
            self.highest = sequence;
        }
        if sequence + (self.length() - 1).min(u64::MAX - sequence) >= self.highest {
            self.set(sequence, true);
        }
    }

    fn length(&self) -> u64 {
        self.bits.len() as u64 * 64
    }

    fn get(&self, sequence: u64) -> bool {
        let bit = sequence % self.length();
        self.bits.get((bit / 64) as usize).is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    fn set(&mut self, sequence: u64, value: bool) {
        let bit = sequence % self.length();
        if let Some(word) = self.bits.get_mut((bit / 64) as usize) {
            *word = if value { *word | (1 << (bit % 64)) } else { *word & !(1 << (bit % 64)) };
        }
    }
}

impl BatchWindows {
    /// Remembers nothing yet.
    pub fn new(limits: DedupLimits) -> Self {
        Self { limits, windows: HashMap::new(), by_use: BTreeMap::new(), uses: 0, forgotten: 0 }
    }

    /// What is known of a batch.
    pub fn seen(&self, id: BatchId) -> Seen {
        self.windows.get(&(id.source, id.epoch)).map_or(Seen::New, |(_, window)| window.seen(id.sequence))
    }

    /// Remembers that a batch was stored.
    pub fn record(&mut self, id: BatchId) {
        match self.windows.get_mut(&(id.source, id.epoch)) {
            Some((_, window)) => {
                window.record(id.sequence);
                self.touch((id.source, id.epoch));
            }
            None => self.insert((id.source, id.epoch), BatchWindow::new(id.sequence, self.limits.window)),
        }
    }

    /// Brings back a window; those restored first are forgotten first.
    pub fn restore(&mut self, source: u128, epoch: u64, window: BatchWindow) {
        self.insert((source, epoch), window);
    }

    /// The window of one life of a sender, if it is remembered.
    pub fn window(&self, source: u128, epoch: u64) -> Option<&BatchWindow> {
        self.windows.get(&(source, epoch)).map(|(_, window)| window)
    }

    /// Forgets a window, for example because it is no longer sure; its sender counts as new. Not counted as lack of room.
    pub fn forget(&mut self, source: u128, epoch: u64) {
        if let Some((used, _)) = self.windows.remove(&(source, epoch)) {
            self.by_use.remove(&used);
        }
    }

    /// Every window with its sender and epoch, the one used least recently first.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u64, &BatchWindow)> {
        self.by_use.values().filter_map(|key| self.windows.get(key).map(|(_, window)| (key.0, key.1, window)))
    }

    /// How many windows were forgotten for lack of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn insert(&mut self, key: (u128, u64), window: BatchWindow) {
        if self.limits.senders == 0 {
            self.forgotten += 1;
            return;
        }
        if let Some((used, _)) = self.windows.remove(&key) {
            self.by_use.remove(&used);
        }
        while self.windows.len() >= self.limits.senders {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.windows.remove(&oldest);
            self.forgotten += 1;
        }
        self.uses += 1;
        self.windows.insert(key, (self.uses, window));
        self.by_use.insert(self.uses, key);
    }

    fn touch(&mut self, key: (u128, u64)) {
        self.uses += 1;
        if let Some((used, _)) = self.windows.get_mut(&key) {
            self.by_use.remove(used);
            *used = self.uses;
            self.by_use.insert(self.uses, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(source: u128, sequence: u64) -> BatchId {
        BatchId { source, epoch: 7, sequence }
    }

    #[test]
    fn numbers_may_come_in_any_order_within_the_window() {
        let mut window = BatchWindow::new(1000, 64);
        for sequence in [1003, 1001, 990] {
            assert_eq!(window.seen(sequence), Seen::New);
            window.record(sequence);
            assert_eq!(window.seen(sequence), Seen::Before);
        }
        assert_eq!(window.seen(1002), Seen::New);
        assert_eq!(window.seen(939), Seen::Unknown { oldest: 940 });
    }

    #[test]
    fn the_last_number_of_all_is_a_number_like_others() {
        let mut window = BatchWindow::new(0, 64);
        window.record(u64::MAX);
        assert_eq!(window.seen(u64::MAX), Seen::Before);
        assert_eq!(window.seen(u64::MAX - 1), Seen::New);
        assert_eq!(window.seen(0), Seen::Unknown { oldest: u64::MAX - 63 });
    }

    #[test]
    fn the_sender_that_was_silent_longest_is_forgotten_first() {
        let mut windows = BatchWindows::new(DedupLimits { window: 64, senders: 2 });
        [id(1, 5), id(2, 5), id(1, 6), id(3, 5)].into_iter().for_each(|id| windows.record(id));
        assert_eq!(windows.forgotten(), 1);
        assert_eq!(windows.seen(id(1, 5)), Seen::Before);
        assert_eq!(windows.seen(id(2, 5)), Seen::New);
        assert_eq!(windows.iter().map(|(source, ..)| source).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_window_that_is_given_up_makes_room_and_its_sender_new() {
        let mut windows = BatchWindows::new(DedupLimits { window: 64, senders: 2 });
        [id(1, 5), id(2, 5)].into_iter().for_each(|id| windows.record(id));
        windows.forget(1, 7);
        windows.forget(1, 7);
        assert_eq!((windows.seen(id(1, 5)), windows.window(1, 7)), (Seen::New, None));
        windows.record(id(3, 5));
        assert_eq!(windows.forgotten(), 0);
        assert_eq!(windows.window(2, 7).map(BatchWindow::highest), Some(5));
    }

    #[test]
    fn windows_survive_being_written_down() {
        let mut windows = BatchWindows::new(DedupLimits::default());
        [id(1, 5), id(2, 9_000), id(1, 7)].into_iter().for_each(|id| windows.record(id));
        let mut again = BatchWindows::new(DedupLimits::default());
        for (source, epoch, window) in windows.iter() {
            let copy = BatchWindow::from_parts(window.highest(), window.bits().to_vec()).unwrap();
            again.restore(source, epoch, copy);
        }
        for sequence in 0..10_000 {
            assert_eq!(again.seen(id(1, sequence)), windows.seen(id(1, sequence)));
            assert_eq!(again.seen(id(2, sequence)), windows.seen(id(2, sequence)));
        }
    }

    proptest! {
        #[test]
        fn within_the_window_it_agrees_with_a_set(numbers in prop::collection::vec(0u64..400, 1..200)) {
            let mut window = BatchWindow::new(numbers[0], 128);
            let mut set = BTreeSet::from([numbers[0]]);
            for &number in &numbers[1..] {
                if window.seen(number) == Seen::New {
                    prop_assert!(set.insert(number));
                    window.record(number);
                } else if window.seen(number) == Seen::Before {
                    prop_assert!(set.contains(&number));
                }
            }
            let highest = *set.last().unwrap();
            for number in highest.saturating_sub(127)..=highest {
                prop_assert_eq!(window.seen(number) == Seen::Before, set.contains(&number));
            }
        }
    }
}
