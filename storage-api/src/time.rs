use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};

/// Nanoseconds since the Unix epoch, before it if negative.
///
/// Stored as Arrow `Timestamp(Nanosecond, "+00:00")`. The offset is written as numbers because reading the name `UTC` needs
/// a time zone database, which light users of Arrow do not carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every other time.
    pub const MIN: Self = Self(i64::MIN);
    /// After every other time.
    pub const MAX: Self = Self(i64::MAX);

    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The Arrow type of every time column.
    pub fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from("+00:00")))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns", self.0)
    }
}

/// A half-open span of time: `from <= time < until`; a side that is `None` is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first instant inside.
    pub from: Option<Timestamp>,
    /// The first instant after.
    pub until: Option<Timestamp>,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { from: None, until: None };

    /// `from <= time < until`.
    pub const fn between(from: Timestamp, until: Timestamp) -> Self {
        Self { from: Some(from), until: Some(until) }
    }

    /// Whether `time` lies inside.
    pub fn contains(self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.until.is_none_or(|until| time < until)
    }

    /// Whether any instant of `first..=last` lies inside. A backend skips a file whose rows span `first..=last` when not.
    pub fn overlaps(self, first: Timestamp, last: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= last) && self.until.is_none_or(|until| first < until)
    }

    /// What lies in both.
    pub fn intersect(self, other: Self) -> Self {
        let from = self.from.max(other.from);
        let until = match (self.until, other.until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { from, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn the_end_is_outside_and_the_last_instant_of_time_is_inside_an_open_range() {
        let range = TimeRange::between(at(10), at(20));
        assert!(range.contains(at(10)) && range.contains(at(19)) && !range.contains(at(20)));
        assert!(TimeRange::ALL.contains(Timestamp::MAX));
        assert!(range.overlaps(at(0), at(10)) && !range.overlaps(at(20), at(30)) && !range.overlaps(at(0), at(9)));
    }

    #[test]
    fn intersection_keeps_the_narrower_side() {
        let open = TimeRange { from: Some(at(5)), until: None };
        assert_eq!(open.intersect(TimeRange::between(at(1), at(9))), TimeRange::between(at(5), at(9)));
        assert_eq!(TimeRange::ALL.intersect(open), open);
    }
}
