//! Time as the packets tell it, without its jumps.

use std::time::Duration;

use protocol_parsers::Timestamp;

/// What packets say of the time, and a time that only goes forward, by what really passed: a clock that is set neither ends every
/// conversation nor keeps any for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    told: Timestamp,
    steady: Timestamp,
}

/// A packet this much older than the latest is late; an older one means that the clock was set back, or that a capture begins anew.
const LATE: Duration = Duration::from_secs(10);
/// Nothing for longer than this means that the clock was set, or that nobody watched.
const JUMP: Duration = Duration::from_secs(3600);

impl Clock {
    /// Takes in a time that was told.
    pub(crate) fn see(&mut self, time: Timestamp) {
        let (forward, back) = (time.since(self.told), self.told.since(time));
        if forward > JUMP || back > LATE {
            self.told = time;
        } else {
            self.told = self.told.max(time);
            self.steady = self.steady + forward;
        }
    }

    /// The latest time told.
    pub(crate) fn told(&self) -> Timestamp {
        self.told
    }

    /// The time that only goes forward.
    pub(crate) fn steady(&self) -> Timestamp {
        self.steady
    }

    /// When on the steady clock the time `told` will be, if the clock is not set before.
    pub(crate) fn steady_at(&self, told: Timestamp) -> Timestamp {
        self.steady + told.since(self.told)
    }

    /// What the packets will tell when the steady clock says this.
    pub(crate) fn told_at(&self, steady: Timestamp) -> Timestamp {
        self.told + steady.since(self.steady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_as_told_but_for_jumps() {
        let seconds = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let mut clock = Clock::default();
        let mut passed = Vec::new();
        for told in [1_000_000, 1_000_010, 1_000_005, 1_000_012, 9_000_000, 9_000_001, 1_000_000, 1_000_300] {
            clock.see(seconds(told));
            passed.push(clock.steady().as_nanos() / 1_000_000_000);
        }
        assert_eq!(passed, [0, 10, 10, 12, 12, 13, 13, 313]);
        assert_eq!(clock.told_at(seconds(320)), seconds(1_000_307));
        assert_eq!(clock.steady_at(seconds(1_000_307)), seconds(320));
        assert_eq!(clock.steady_at(seconds(1_000_200)), seconds(313), "what has passed is now");
    }
}
