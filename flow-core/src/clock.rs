//! Time as the packets tell it, without its jumps.

use std::time::Duration;

use protocol_parsers::Timestamp;

/// What packets say of the time, and a time that only goes forward, by what really passed: a clock that is set neither ends every
/// conversation nor keeps any for ever, and neither do packets of two machines whose clocks differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    told: Timestamp,
    /// The time told up to which `steady` has counted: later than `told` after the clock was set back a little.
    counted: Timestamp,
    steady: Timestamp,
    jump: Duration,
}

/// A packet this much older than the latest is late; an older one means that the clock was set back, or that a capture begins anew.
const LATE: Duration = Duration::from_secs(10);
/// No jump.
const SHORT: Duration = Duration::from_secs(1);
/// Clocks of machines that are captured side by side differ by less: what was counted is not counted again.
const SKEW: Duration = Duration::from_secs(300);
/// Nothing for longer than this means that the clock was set, or that nobody watched.
const JUMP: Duration = Duration::from_secs(3600);

impl Clock {
    /// A clock by which nothing waits for longer than `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        let [told, counted, steady] = [Timestamp::ZERO; 3];
        Self { told, counted, steady, jump: JUMP.max(patience.saturating_mul(2)) }
    }

    /// Takes in a time that was told.
    #[inline]
    pub(crate) fn see(&mut self, time: Timestamp) {
        // As nearly always: a little later than the last.
        let passed = time.as_nanos().wrapping_sub(self.told.as_nanos());
        if self.told == self.counted && passed < SHORT.as_nanos() as u64 {
            self.told = time;
            self.counted = time;
            self.steady = self.steady + Duration::from_nanos(passed);
            return;
        }
        self.see_any(time);
    }

    fn see_any(&mut self, time: Timestamp) {
        if time.since(self.told) > self.jump || self.counted.since(time) > SKEW {
            self.told = time;
            self.counted = time;
            return;
        }
        if time > self.told || self.told.since(time) > LATE {
            self.told = time;
        }
        self.steady = self.steady + self.told.since(self.counted);
        self.counted = self.counted.max(self.told);
    }

    /// The latest time told.
    pub(crate) fn told(&self) -> Timestamp {
        self.told
    }

    /// The time that only goes forward.
    pub(crate) fn steady(&self) -> Timestamp {
        self.steady
    }

    /// When on the steady clock the time `told` will be, or was, if the clock is not set in between.
    pub(crate) fn steady_at(&self, told: Timestamp) -> Timestamp {
        let ago = self.counted.since(told);
        Timestamp::ZERO + (self.steady + told.since(self.counted)).since(Timestamp::ZERO + ago)
    }

    /// What the packets will tell when the steady clock says this.
    pub(crate) fn told_at(&self, steady: Timestamp) -> Timestamp {
        self.counted + steady.since(self.steady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn passed(told: &[u64]) -> Vec<u64> {
        let mut clock = Clock::new(Duration::from_secs(300));
        let mut steady = |told: &u64| {
            clock.see(seconds(*told));
            clock.steady().as_nanos() / 1_000_000_000
        };
        told.iter().map(&mut steady).collect()
    }

    #[test]
    fn time_passes_as_told_but_for_jumps() {
        let told = [1_000_000, 1_000_010, 1_000_005, 1_000_012, 9_000_000, 9_000_001, 1_000_000, 1_000_300];
        assert_eq!(passed(&told), [0, 10, 10, 12, 12, 13, 13, 313]);
    }

    #[test]
    fn clocks_that_differ_count_as_one() {
        let told = [1_000_100, 1_000_040, 1_000_101, 1_000_041, 1_000_000, 1_000_103, 1_000_043];
        assert_eq!(passed(&told), [0, 0, 1, 1, 1, 3, 3]);
    }

    #[test]
    fn what_is_waited_for_comes_however_far_it_is() {
        let patience = Duration::from_secs(100_000);
        let mut clock = Clock::new(patience);
        clock.see(seconds(1_000_000));
        let deadline = clock.steady() + patience;
        clock.see(clock.told_at(deadline));
        assert_eq!(clock.steady(), deadline);
    }

    #[test]
    fn a_short_way_is_taken_for_the_same() {
        let mut random = 1u64;
        let (mut short, mut any) = (Clock::new(Duration::ZERO), Clock::new(Duration::ZERO));
        let mut time = 1_700_000_000_000_000_000u64;
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let step = [0, 1, 1_000, 999_999_999, 1_000_000_000, 11_000_000_000, 4_000_000_000_000]
                [(random >> 33) as usize % 7];
            time = if random >> 60 == 0 { time - step } else { time + step };
            short.see(Timestamp::from_nanos(time));
            any.see_any(Timestamp::from_nanos(time));
            assert_eq!((short.told, short.counted, short.steady), (any.told, any.counted, any.steady));
        }
    }

    #[test]
    fn either_time_leads_to_the_other() {
        let mut clock = Clock::new(Duration::ZERO);
        for told in [1_000_000, 1_000_300, 1_000_200] {
            clock.see(seconds(told));
        }
        assert_eq!((clock.told(), clock.steady()), (seconds(1_000_200), seconds(300)));
        assert_eq!(clock.told_at(seconds(307)), seconds(1_000_307));
        assert_eq!(clock.steady_at(seconds(1_000_307)), seconds(307));
        assert_eq!(clock.steady_at(seconds(1_000_250)), seconds(250));
        assert_eq!(clock.steady_at(seconds(1)), seconds(0), "before it began");
    }
}
