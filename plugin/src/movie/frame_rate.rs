// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts between frame numbers and times. Movies contain no timing, so that the frame rate is a
//! parameter everywhere.

use super::Nanoseconds;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// Frames per second, as a fraction in lowest terms.
///
/// Its text is a whole number (`25`), a fraction (`30000/1001`) or, for reading only, a decimal
/// number (`12.5`).
///
/// ```
/// use gstmjpegfile::movie::FrameRate;
/// let rate: FrameRate = "12.5".parse()?;
/// assert_eq!(rate.to_string(), "25/2");
/// # Ok::<(), gstmjpegfile::movie::ParseFrameRateError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRate {
    numerator: NonZeroU32,
    denominator: NonZeroU32,
}

/// Why a text is not a frame rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseFrameRateError {
    /// Neither a number nor a fraction, or not above 0.
    #[error("expected frames per second above 0, such as 20, 12.5 or 30000/1001")]
    NotARate,
    /// GStreamer's fractions have signed parts of 32 bits.
    #[error("numerator and denominator of the frame rate must be at most {}", i32::MAX)]
    TooLarge,
}

impl FrameRate {
    /// The course lab's rate: one frame every 50 ms.
    pub const DEFAULT: Self =
        Self { numerator: NonZeroU32::MIN.saturating_add(19), denominator: NonZeroU32::MIN };

    /// `numerator / denominator` frames per second; `None` if one of them is 0.
    pub fn new(numerator: u32, denominator: u32) -> Option<Self> {
        let divisor = gcd(numerator, denominator).max(1);
        Some(Self {
            numerator: NonZeroU32::new(numerator / divisor)?,
            denominator: NonZeroU32::new(denominator / divisor)?,
        })
    }

    /// Frames per second as a decimal number, for texts such as SDP that have no fractions.
    pub fn frames_per_second(self) -> f64 {
        f64::from(self.numerator.get()) / f64::from(self.denominator.get())
    }

    /// The numerator, in lowest terms.
    pub fn numerator(self) -> u32 {
        self.numerator.get()
    }

    /// The denominator, in lowest terms.
    pub fn denominator(self) -> u32 {
        self.denominator.get()
    }

    /// The time from the start of the first frame to the start of `frame`, rounded down. The
    /// differences between starts are the durations of frames, so that rounding errors do not add
    /// up.
    pub fn start_of(self, frame: u64) -> Nanoseconds {
        let scaled = u128::from(frame) * SECOND * u128::from(self.denominator.get());
        let start = u64::try_from(scaled / u128::from(self.numerator.get()));
        Nanoseconds::new(start.unwrap_or(u64::MAX))
    }

    /// The frame that is shown at `time`: the last one that has started by then.
    pub fn frame_at(self, time: Nanoseconds) -> u64 {
        // start_of rounds down, so a frame whose exact start is within the next nanosecond has
        // started: floor((t + 1) * n / d), less one if its exact start is t + 1.
        let scaled = (u128::from(time.get()) + 1) * u128::from(self.numerator.get());
        let unit = SECOND * u128::from(self.denominator.get());
        let frame = u64::try_from(scaled / unit).unwrap_or(u64::MAX);
        if self.start_of(frame) > time { frame.saturating_sub(1) } else { frame }
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator.get() {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

impl FromStr for FrameRate {
    type Err = ParseFrameRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (numerator, denominator) = fraction(text)?;
        Self::new(numerator, denominator).ok_or(ParseFrameRateError::NotARate)
    }
}

/// Numerator and denominator of a whole number, a decimal number or a fraction.
fn fraction(text: &str) -> Result<(u32, u32), ParseFrameRateError> {
    if let Some((numerator, denominator)) = text.split_once('/') {
        return Ok((part(numerator)?, part(denominator)?));
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let scale = u32::try_from(decimals.len()).ok().and_then(|places| 10_u32.checked_pow(places));
    let numerator = part(&[whole, decimals].concat())?;
    Ok((numerator, scale.ok_or(ParseFrameRateError::TooLarge)?))
}

/// A fraction's part: digits only.
fn part(digits: &str) -> Result<u32, ParseFrameRateError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseFrameRateError::NotARate);
    }
    let part = digits.parse().ok().filter(|part| i32::try_from(*part).is_ok());
    part.ok_or(ParseFrameRateError::TooLarge)
}

/// The greatest common divisor.
fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
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
                assert_eq!(
                    rate.frame_at(Nanoseconds::new(next.get() - 1)),
                    frame,
                    "{numerator}/{denominator}"
                );
            }
        }
    }

    #[test]
    fn twenty_frames_a_second_are_fifty_milliseconds() {
        assert_eq!(FrameRate::DEFAULT.start_of(1), Nanoseconds::new(50_000_000));
        assert_eq!(FrameRate::DEFAULT.start_of(500), Nanoseconds::new(25_000_000_000));
        assert_eq!(FrameRate::new(0, 1), None);
        assert_eq!(FrameRate::new(1, 0), None);
    }

    #[test]
    fn numbers_and_fractions_are_read_and_written() {
        let not_a_rate = "expected frames per second above 0, such as 20, 12.5 or 30000/1001";
        let too_large = "numerator and denominator of the frame rate must be at most 2147483647";
        let rows = [
            ("20", Ok("20")),
            ("30000/1001", Ok("30000/1001")),
            ("12.5", Ok("25/2")),
            ("29.97", Ok("2997/100")),
            ("0.5", Ok("1/2")),
            (".5", Ok("1/2")),
            ("25.", Ok("25")),
            ("50/2", Ok("25")),
            ("2147483647", Ok("2147483647")),
            ("", Err(not_a_rate)),
            ("x", Err(not_a_rate)),
            ("nan", Err(not_a_rate)),
            ("0", Err(not_a_rate)),
            ("0.0", Err(not_a_rate)),
            ("20/0", Err(not_a_rate)),
            ("-5", Err(not_a_rate)),
            ("1.2.3", Err(not_a_rate)),
            ("1.5/2", Err(not_a_rate)),
            (" 20", Err(not_a_rate)),
            (".", Err(not_a_rate)),
            ("4000000000", Err(too_large)),
            ("1/99999999999999999999", Err(too_large)),
            ("0.0000000001", Err(too_large)),
        ];
        for (text, want) in rows {
            let got = text.parse::<FrameRate>().map(|rate| rate.to_string());
            let got = got.map_err(|error| error.to_string());
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn equal_rates_are_equal() {
        let ntsc = FrameRate::new(60_000, 2002);
        assert_eq!(ntsc, FrameRate::new(30_000, 1001));
        assert_eq!(ntsc.map(FrameRate::frames_per_second), Some(30_000.0 / 1001.0));
    }
}
