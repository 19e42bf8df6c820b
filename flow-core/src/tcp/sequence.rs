//! Sequence numbers: 32 bits that wrap (RFC 9293 §3.4).

/// How far `to` lies behind `from`: negative when it lies before.
pub(crate) fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

/// Numbers this far from the others are no part of a stream: the largest window is 2³⁰ bytes (RFC 7323 §2.3).
pub(crate) const WINDOW: i32 = 1 << 30;

/// Hardly anybody has more than this on its way. Whoever guesses a number in order to disturb is mostly further off.
pub(crate) const NEAR: i32 = 1 << 24;

/// Sequence numbers of one side that were skipped and may still come: a few ranges, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holes(Vec<(u32, u32)>);

/// Holes that one side may have; the oldest is forgotten.
const MOST_HOLES: usize = 16;

impl Holes {
    /// Numbers from `start` to before `end` were skipped.
    pub(crate) fn open(&mut self, start: u32, end: u32) {
        if self.0.len() == MOST_HOLES {
            self.0.remove(0);
        }
        self.0.push((start, end));
    }

    /// The segment from `start` to before `end` came late. Says whether any of it was missing.
    pub(crate) fn fill(&mut self, start: u32, end: u32) -> bool {
        let mut filled = false;
        let holes = std::mem::take(&mut self.0);
        for (from, to) in holes {
            if distance(from, end) <= 0 || distance(start, to) <= 0 {
                self.0.push((from, to));
                continue;
            }
            filled = true;
            self.0.extend([(from, start), (end, to)].into_iter().filter(|(from, to)| distance(*from, *to) > 0));
        }
        self.0.truncate(MOST_HOLES);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_survive_the_wrap() {
        assert_eq!(distance(u32::MAX, 1), 2);
        assert_eq!(distance(1, u32::MAX), -2);
    }

    #[test]
    fn a_hole_is_filled_from_either_end_or_the_middle() {
        let mut holes = Holes::default();
        holes.open(u32::MAX - 9, 10);
        assert!(holes.fill(0, 5), "the middle");
        assert!(!holes.fill(0, 5), "seen");
        assert!(holes.fill(u32::MAX - 9, 0));
        assert!(!holes.fill(u32::MAX - 9, 5));
        assert!(holes.fill(4, 20), "the rest, with more behind");
        assert!(!holes.fill(u32::MAX - 9, 20));
    }

    #[test]
    fn the_oldest_of_too_many_holes_is_forgotten() {
        let mut holes = Holes::default();
        for hole in 0..=MOST_HOLES as u32 {
            holes.open(hole * 10, hole * 10 + 5);
        }
        assert!(!holes.fill(0, 5));
        assert!(holes.fill(10, 15));
    }
}
