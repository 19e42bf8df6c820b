//! How much may be captured with the processor time there is.

use std::time::Duration;

use metaflow_ebpf_common::Ladder;

/// A share of one processor, and how it is kept to: less is captured when more is used, and more again when there is time.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    share: f64,
    ladder: Ladder,
    /// How long less than half of the share has been used.
    quiet: Duration,
}

/// So long there must be time enough before more is captured again.
const QUIET: Duration = Duration::from_secs(10);

impl Budget {
    /// A share of one processor, of which 1 is all. Begins with the heads of all messages.
    #[must_use]
    pub const fn new(share: f64) -> Self {
        Self { share, ladder: Ladder::Heads, quiet: Duration::ZERO }
    }

    /// How much is to be captured now.
    #[must_use]
    pub const fn ladder(&self) -> Ladder {
        self.ladder
    }

    /// Takes in what was used of the processor in the time that has passed, and how many messages were lost in it because the ring was
    /// full. `true` if another step of the ladder is to be taken from now on.
    pub fn measure(&mut self, passed: Duration, used: Duration, lost: u64) -> bool {
        let before = self.ladder;
        let allowed = passed.mul_f64(self.share.max(0.0));
        if used > allowed || lost > 0 {
            self.quiet = Duration::ZERO;
            self.ladder = match self.ladder {
                Ladder::Heads => Ladder::FirstBytes,
                Ladder::FirstBytes | Ladder::Counts => Ladder::Counts,
            };
        } else if used * 2 < allowed {
            self.quiet += passed;
            if self.quiet >= QUIET {
                self.quiet = Duration::ZERO;
                self.ladder = match self.ladder {
                    Ladder::Counts => Ladder::FirstBytes,
                    Ladder::FirstBytes | Ladder::Heads => Ladder::Heads,
                };
            }
        } else {
            self.quiet = Duration::ZERO;
        }
        self.ladder != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_captured_follows_the_time_there_is() {
        let mut budget = Budget::new(0.5);
        assert!(!budget.measure(SECOND, Duration::from_millis(499), 0));
        assert!(budget.measure(SECOND, Duration::from_millis(501), 0));
        assert_eq!(budget.ladder(), Ladder::FirstBytes);
        assert!(budget.measure(SECOND, Duration::ZERO, 1), "losses count as too little time");
        assert_eq!(budget.ladder(), Ladder::Counts);
        assert!(!budget.measure(SECOND, SECOND, 0), "there is no step below");
        let steps = (1..=30).filter(|_| budget.measure(SECOND, Duration::from_millis(100), 0));
        assert_eq!(steps.collect::<Vec<_>>(), [10, 20], "one after the other, and then it stays");
        assert_eq!(budget.ladder(), Ladder::Heads);
    }

    #[test]
    fn time_that_is_just_enough_changes_nothing() {
        let mut budget = Budget::new(0.5);
        budget.measure(SECOND, SECOND, 0);
        assert!((0..100).all(|_| !budget.measure(SECOND, Duration::from_millis(400), 0)));
        assert_eq!(budget.ladder(), Ladder::FirstBytes);
    }
}
