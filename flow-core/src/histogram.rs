//! Latency histograms that merge: the exponential buckets of a Prometheus native histogram of schema 3.

use std::time::Duration;

/// Counts of durations in buckets that grow by 2^(1/8) ≈ 9 %: bucket `b` holds durations in (2^((b−1)/8), 2^(b/8)] seconds.
///
/// ```
/// use std::time::Duration;
/// use flow_core::Histogram;
/// let mut histogram = Histogram::default();
/// histogram.add(Duration::from_secs(1));
/// histogram.add(Duration::from_millis(1500));
/// assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(0, 1), (5, 1)]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Sorted by bucket. From nanoseconds to centuries there are fewer than 600.
    counts: Vec<(i16, u64)>,
}

/// 2^(k/8) for k = 0..8: where the buckets within one power of two begin.
const BOUNDS: [f64; 8] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

impl Histogram {
    /// Adds one duration. Zero counts as a nanosecond.
    pub fn add(&mut self, duration: Duration) {
        let bucket = bucket(duration);
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => {
                if let Some((_, count)) = self.counts.get_mut(place) {
                    *count += 1;
                }
            }
            Err(place) => self.counts.insert(place, (bucket, 1)),
        }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for &(bucket, added) in &other.counts {
            match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
                Ok(place) => {
                    if let Some((_, count)) = self.counts.get_mut(place) {
                        *count += added;
                    }
                }
                Err(place) => self.counts.insert(place, (bucket, added)),
            }
        }
    }

    /// Buckets that are not empty and their counts, smallest first.
    pub fn buckets(&self) -> impl Iterator<Item = (i16, u64)> {
        self.counts.iter().copied()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// The bucket of a duration.
fn bucket(duration: Duration) -> i16 {
    let seconds = duration.as_secs_f64().max(1e-9);
    let bits = seconds.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i16 - 1023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | 1.0f64.to_bits());
    // The upper bound belongs to the bucket.
    let below = BOUNDS.iter().take_while(|bound| **bound < mantissa).count() as i16;
    exponent * 8 + below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_between_the_bounds_of_its_bucket() {
        let mut nanos = 1u64;
        while nanos < 1 << 60 {
            let bucket = bucket(Duration::from_nanos(nanos));
            let seconds = nanos as f64 / 1e9;
            assert!(seconds <= (f64::from(bucket) / 8.0).exp2() * (1.0 + 1e-12), "{nanos}");
            assert!(seconds > (f64::from(bucket - 1) / 8.0).exp2() * (1.0 - 1e-12), "{nanos}");
            nanos += nanos / 7 + 1;
        }
    }

    #[test]
    fn bounds_belong_to_the_bucket_below_them() {
        for (seconds, expected) in [(1, 0), (2, 8), (4, 16), (64, 48)] {
            assert_eq!(bucket(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(bucket(Duration::from_millis(500)), -8);
        assert_eq!(bucket(Duration::ZERO), bucket(Duration::from_nanos(1)));
    }

    #[test]
    fn merging_is_adding_everything() {
        let (mut left, mut right, mut whole) = (Histogram::default(), Histogram::default(), Histogram::default());
        for step in 0..1000u64 {
            let duration = Duration::from_micros(step * step);
            whole.add(duration);
            if step % 3 == 0 { left.add(duration) } else { right.add(duration) }
        }
        left.merge(&right);
        assert_eq!(left, whole);
    }
}
