//! Popularity: the n-th of many things is asked for 1/n as often as the first (Zipf's law).

use fastrand::Rng;

/// Draws positions by their popularity.
pub(crate) struct Zipf(Vec<f64>);

impl Zipf {
    pub(crate) fn new(things: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=things).map(|place| {
            sum += 1.0 / place as f64;
            sum
        });
        Self(sums.collect())
    }

    pub(crate) fn any(&self, rng: &mut Rng) -> usize {
        let most = self.0.last().copied().unwrap_or_default();
        let drawn = rng.f64() * most;
        self.0.partition_point(|sum| *sum <= drawn)
    }
}
