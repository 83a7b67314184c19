// SPDX-License-Identifier: MIT OR Apache-2.0
//! Histograms that any thread adds to without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations by size. `N` is the number of upper bounds.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    /// The upper bounds of the buckets in microseconds, in ascending order.
    bounds: &'static [u64; N],
    /// The number of durations in each bucket, not cumulative.
    buckets: [AtomicU64; N],
    /// The number of durations over the last bound.
    rest: AtomicU64,
    /// The sum of all durations in nanoseconds.
    sum: AtomicU64,
}

/// The contents of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    /// For each upper bound in seconds, the number of durations up to it.
    pub buckets: Vec<(f64, u64)>,
    /// The number of all durations.
    pub count: u64,
    /// The sum of all durations in seconds.
    pub sum: f64,
}

impl<const N: usize> Histogram<N> {
    /// An empty histogram.
    pub fn new(bounds: &'static [u64; N]) -> Self {
        let buckets = [(); N].map(|()| AtomicU64::new(0));
        Self { bounds, buckets, rest: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Adds a duration.
    pub fn add(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bounds = self.bounds.iter().zip(&self.buckets);
        let bucket = bounds
            .filter(|(bound, _)| nanoseconds <= **bound * 1000)
            .map(|(_, bucket)| bucket)
            .next()
            .unwrap_or(&self.rest);
        bucket.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The present contents. Other threads may add meanwhile, so the sum may be that of a few durations
    /// more or fewer; the count is that of the buckets.
    pub fn snapshot(&self) -> Snapshot {
        let mut count = 0;
        let buckets = self.bounds.iter().zip(&self.buckets).map(|(bound, bucket)| {
            count += bucket.load(Ordering::Relaxed);
            (seconds(*bound * 1000), count)
        });
        let buckets = buckets.collect();
        count += self.rest.load(Ordering::Relaxed);
        Snapshot { buckets, count, sum: seconds(self.sum.load(Ordering::Relaxed)) }
    }
}

/// Nanoseconds as seconds.
fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_is_not_below_it() {
        let histogram = Histogram::new(&[100, 1000, 5000]);
        for microseconds in [0, 100, 101, 1000, 4999, 5001, 3_600_000_000] {
            histogram.add(Duration::from_micros(microseconds));
        }
        let got = histogram.snapshot();
        assert_eq!(got.buckets, [(0.0001, 2), (0.001, 4), (0.005, 5)]);
        assert_eq!((got.count, got.sum), (7, 3_600.011_201));
    }
}
