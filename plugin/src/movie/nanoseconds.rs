// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times in a movie.

use std::time::Duration;

/// A position or duration in a movie, in nanoseconds.
///
/// It has exactly the range of GStreamer's clock times, so that conversions to and from them cannot
/// fail. A [`Duration`] has a larger range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanoseconds(u64);

impl Nanoseconds {
    /// The start of a movie; no time.
    pub const ZERO: Self = Self(0);

    /// A time of this many nanoseconds.
    pub const fn new(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// The number of nanoseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The nanoseconds of a duration, at most [`u64::MAX`] of them (584 years).
    pub fn saturating_from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanoseconds> for Duration {
    fn from(time: Nanoseconds) -> Self {
        Self::from_nanos(time.0)
    }
}
