//! The kernel's clocks and the time of the day.

use protocol_parsers::Timestamp;

/// How far the kernel's clocks are behind the time of the day. To be measured again from time to time: the latter is corrected while a
/// machine runs, the others are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// `CLOCK_REALTIME` − `CLOCK_MONOTONIC`, in nanoseconds.
    pub monotonic_ns: i64,
    /// `CLOCK_REALTIME` − `CLOCK_BOOTTIME`, in nanoseconds.
    pub boottime_ns: i64,
}

impl Clock {
    /// When it was so late on `CLOCK_MONOTONIC`.
    #[must_use]
    pub const fn from_monotonic(&self, nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos.saturating_add_signed(self.monotonic_ns))
    }

    /// When it was so late on `CLOCK_BOOTTIME`.
    #[must_use]
    pub const fn from_boottime(&self, nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos.saturating_add_signed(self.boottime_ns))
    }

    /// What `CLOCK_BOOTTIME` showed then.
    #[must_use]
    pub const fn to_boottime(&self, time: Timestamp) -> u64 {
        time.as_nanos().saturating_sub_signed(self.boottime_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_the_ends_stop_there() {
        let clock = Clock { monotonic_ns: -5, boottime_ns: i64::MAX };
        assert_eq!(clock.from_monotonic(3), Timestamp::ZERO);
        assert_eq!(clock.from_boottime(u64::MAX), Timestamp::MAX);
    }
}
