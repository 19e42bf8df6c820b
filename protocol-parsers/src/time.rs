//! Time as an argument: nothing in this crate reads a clock.

use core::time::Duration;

/// Nanoseconds since the Unix epoch, as the capture says.
///
/// ```
/// use core::time::Duration;
/// use protocol_parsers::Timestamp;
/// let earlier = Timestamp::from_nanos(1_000);
/// let later = earlier + Duration::from_nanos(500);
/// assert_eq!(later.since(earlier), Duration::from_nanos(500));
/// assert_eq!(earlier.since(later), Duration::ZERO, "a clock that runs backwards gives no negative times");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const ZERO: Self = Self(0);
    /// Later than every real time.
    pub const MAX: Self = Self(u64::MAX);

    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero when `self` is the earlier one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Timestamp {
    type Output = Self;

    /// Stops at [`Timestamp::MAX`].
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}
