// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTP timestamps of video.

use crate::movie::Nanoseconds;
use std::fmt;

/// Ticks of the RTP clock in a second for video (RFC 3551 section 5; RFC 2435 section 3 for JPEG).
pub const VIDEO_CLOCK_RATE: u32 = 90_000;

/// An RTP timestamp of video: the sampling instant in ticks of a 90 kHz clock, from an arbitrary
/// start, modulo 2^32 (RFC 3550 section 5.1).
///
/// It wraps after 13 hours, so two timestamps have a distance but no order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Timestamp(u32);

impl Timestamp {
    /// The timestamp whose field in the RTP header is `ticks`.
    pub const fn from_ticks(ticks: u32) -> Self {
        Self(ticks)
    }

    /// The value of the field in the RTP header.
    pub const fn ticks(self) -> u32 {
        self.0
    }

    /// The timestamp of an instant that is this much later; rounded down to a tick.
    #[must_use]
    pub fn after(self, time: Nanoseconds) -> Self {
        let ticks = u128::from(time.get()) * u128::from(VIDEO_CLOCK_RATE) / 1_000_000_000;
        // The lower 32 bits: timestamps wrap.
        let ticks = u32::try_from(ticks & u128::from(u32::MAX)).unwrap_or(0);
        Self(self.0.wrapping_add(ticks))
    }

    /// The ticks from `earlier` to this timestamp, modulo 2^32. As a signed number it is negative if
    /// `earlier` is the later one.
    pub const fn ticks_since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The seconds since timestamp 0, for a stream that starts there and has not wrapped.
    pub fn as_secs_f64(self) -> f64 {
        f64::from(self.0) / f64::from(VIDEO_CLOCK_RATE)
    }
}

/// The number of ticks.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_wrap_and_lose_no_tick() {
        let after = |start: u32, time: u64| {
            Timestamp::from_ticks(start).after(Nanoseconds::new(time)).ticks()
        };
        let rows = [
            (0, 0, 0),
            (0, 50_000_000, 4500),
            (0, 1_000_000_000, 90_000),
            // Shortly before a tick.
            (0, 11_111, 0),
            (0, 11_112, 1),
            // 2^32 ticks are over 13 hours.
            (0, 47_721_858_844_445, 0),
            (u32::MAX, 1_000_000_000, 89_999),
            (7, u64::MAX, 243_266_954),
        ];
        for (start, time, want) in rows {
            assert_eq!(after(start, time), want, "{time} ns after {start}");
        }
        let (last, first) = (Timestamp::from_ticks(u32::MAX), Timestamp::from_ticks(1));
        assert_eq!((first.ticks_since(last), last.ticks_since(first).cast_signed()), (2, -2));
    }
}
