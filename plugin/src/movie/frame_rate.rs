// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frame numbers and times. The file holds no timing, so the rate is a parameter everywhere.

use std::num::NonZeroU32;

const NANOSECONDS: u128 = 1_000_000_000;

/// Frames a second, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRate {
    numerator: NonZeroU32,
    denominator: NonZeroU32,
}

impl FrameRate {
    /// The course lab's rate: one frame each 50 ms.
    pub const DEFAULT: Self =
        Self { numerator: NonZeroU32::MIN.saturating_add(19), denominator: NonZeroU32::MIN };

    /// `numerator / denominator` frames a second; `None` if either is 0.
    pub fn new(numerator: u32, denominator: u32) -> Option<Self> {
        Some(Self {
            numerator: NonZeroU32::new(numerator)?,
            denominator: NonZeroU32::new(denominator)?,
        })
    }

    /// The fraction's upper part.
    pub fn numerator(self) -> u32 {
        self.numerator.get()
    }

    /// The fraction's lower part.
    pub fn denominator(self) -> u32 {
        self.denominator.get()
    }

    /// When `frame` begins, in nanoseconds after the first frame's begin, rounded down.
    /// Differences of it are durations, so that rounding never adds up.
    pub fn start_of(self, frame: u64) -> u64 {
        let scaled = u128::from(frame) * NANOSECONDS * u128::from(self.denominator.get());
        u64::try_from(scaled / u128::from(self.numerator.get())).unwrap_or(u64::MAX)
    }

    /// The frame that is shown at `nanoseconds`: the last one that has begun by then.
    pub fn frame_at(self, nanoseconds: u64) -> u64 {
        // start_of rounds down, so the frame whose exact begin lies within the next nanosecond
        // has begun: floor((t + 1) * n / d), less one where that begin is exactly t + 1.
        let scaled = (u128::from(nanoseconds) + 1) * u128::from(self.numerator.get());
        let unit = NANOSECONDS * u128::from(self.denominator.get());
        let frame = u64::try_from(scaled / unit).unwrap_or(u64::MAX);
        if self.start_of(frame) > nanoseconds { frame.saturating_sub(1) } else { frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_at_is_the_inverse_of_start_of() {
        for (numerator, denominator) in [(20, 1), (30_000, 1001), (1, 1), (1, 7), (240, 1), (3, 1)]
        {
            let rate = FrameRate::new(numerator, denominator).unwrap();
            for frame in (0..2000).chain([1 << 30, (1 << 30) + 1]) {
                let start = rate.start_of(frame);
                let next = rate.start_of(frame + 1);
                assert_eq!(rate.frame_at(start), frame, "{numerator}/{denominator}");
                assert_eq!(rate.frame_at(next - 1), frame, "{numerator}/{denominator}");
            }
        }
    }

    #[test]
    fn twenty_frames_a_second_are_fifty_milliseconds() {
        assert_eq!(FrameRate::DEFAULT.start_of(1), 50_000_000);
        assert_eq!(FrameRate::DEFAULT.start_of(500), 25_000_000_000);
        assert_eq!(FrameRate::new(0, 1), None);
        assert_eq!(FrameRate::new(1, 0), None);
    }
}
