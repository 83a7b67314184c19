// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads and checks the headers of a PLAY request that say what to play: Range, Scale and Speed.

/// Why a PLAY request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayRequestError {
    /// Scale or Speed is not a number above or below 0. The status is 400.
    BadRequest,
    /// Range cannot be read, or is not in the movie. The status is 457.
    InvalidRange,
    /// Range is in a unit other than `npt` and `smpte`. The status is 501 (RFC 2326 section 3.7).
    UnknownUnit,
}

/// The largest number of seconds whose nanoseconds fit 63 bits.
const MAX_NPT: f64 = 9e9;

/// What a PLAY request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PlayRequest {
    /// The start position in nanoseconds; `None` is the present position.
    pub start: Option<u64>,
    /// The end position in nanoseconds; `None` is the end of the movie, or backwards its start.
    pub end: Option<u64>,
    /// The Scale to play at and to reply with; `None` to play at 1 and reply without the header.
    pub scale: Option<f64>,
    /// The Speed to play at and to reply with; `None` as for `scale`.
    pub speed: Option<f64>,
}

impl PlayRequest {
    /// Reads the headers. The `duration` of the movie is in nanoseconds, if it is known.
    ///
    /// # Errors
    /// See [`PlayRequestError`].
    pub fn read(
        range: Option<&str>,
        scale: Option<&str>,
        speed: Option<&str>,
        duration: Option<u64>,
    ) -> Result<Self, PlayRequestError> {
        // Exact below 2^53 nanoseconds, which are 104 days.
        #[allow(clippy::cast_precision_loss)]
        let duration = duration.map(|nanoseconds| nanoseconds as f64 / 1e9);
        let scale = scale.map(|header| read_rate(header, true)).transpose()?;
        let speed = speed.map(|header| read_rate(header, false)).transpose()?;
        // Not both, so that their product stays within RATES. The reply to a Scale has a Speed too:
        // rtspsrc 1.22 takes a Scale alone for the rate at which to show frames.
        let scaled = scale.is_some_and(|scale| (scale - 1.0).abs() > f64::EPSILON);
        let speed = if scaled { Some(1.0) } else { speed };
        let backwards = scale.is_some_and(|scale| scale < 0.0);
        let (start, end) = match range {
            Some(range) => read_range(range, duration, backwards)?,
            None => (None, None),
        };
        Ok(Self { start, end, scale, speed })
    }

    /// Whether the request has none of the headers.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A position in normal play time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Npt {
    Now,
    Seconds(f64),
}

impl Npt {
    fn nanoseconds(self) -> Option<u64> {
        match self {
            Self::Now => None,
            // Below MAX_NPT, and not negative.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Self::Seconds(seconds) => Some((seconds * 1e9).round() as u64),
        }
    }
}

/// Reads a `Range` header (RFC 2326 sections 3.6 and 12.29) and checks it against the `duration` of
/// the movie in seconds, if that is known. Returns start and end in nanoseconds; `None` as start is
/// the present position. Backwards, the end is before the start.
fn read_range(
    header: &str,
    duration: Option<f64>,
    backwards: bool,
) -> Result<(Option<u64>, Option<u64>), PlayRequestError> {
    // The time of day after a semicolon, at which to start, is ignored.
    let range = header.split(';').next().unwrap_or_default();
    let (unit, positions) = range.split_once('=').ok_or(PlayRequestError::InvalidRange)?;
    let parse: fn(&str) -> Result<Npt, PlayRequestError> =
        match unit.trim().to_ascii_lowercase().as_str() {
            "npt" => parse_npt,
            "smpte" | "smpte-30-drop" => |text| parse_smpte(text, 30_000.0 / 1001.0),
            "smpte-25" => |text| parse_smpte(text, 25.0),
            _ => return Err(PlayRequestError::UnknownUnit),
        };
    let (start, end) = positions.split_once('-').ok_or(PlayRequestError::InvalidRange)?;
    let (start, end) = (start.trim(), end.trim());
    if start.is_empty() && end.is_empty() {
        return Err(PlayRequestError::InvalidRange);
    }
    let start = if start.is_empty() { Npt::Seconds(0.0) } else { parse(start)? };
    let end = if end.is_empty() { None } else { Some(parse(end)?) };
    if let Npt::Seconds(start) = start
        && duration.is_some_and(|duration| start > duration)
    {
        return Err(PlayRequestError::InvalidRange);
    }
    match (start, end) {
        (_, Some(Npt::Now)) => Err(PlayRequestError::InvalidRange),
        (Npt::Seconds(start), Some(Npt::Seconds(end)))
            if if backwards { end > start } else { end <= start } =>
        {
            Err(PlayRequestError::InvalidRange)
        }
        (start, end) => Ok((start.nanoseconds(), end.and_then(Npt::nanoseconds))),
    }
}

/// Parses seconds, or hours, minutes and seconds (RFC 2326 section 3.6).
fn parse_npt(text: &str) -> Result<Npt, PlayRequestError> {
    if text == "now" {
        return Ok(Npt::Now);
    }
    match text.split(':').collect::<Vec<_>>()[..] {
        [seconds] => npt(&[seconds]),
        [hours, minutes, seconds] => npt(&[hours, minutes, seconds]),
        _ => Err(PlayRequestError::InvalidRange),
    }
}

/// Parses hours, minutes and seconds, then frames at a rate (RFC 2326 section 3.5).
fn parse_smpte(text: &str, framerate: f64) -> Result<Npt, PlayRequestError> {
    match text.split(':').collect::<Vec<_>>()[..] {
        [hours, minutes, seconds] => npt(&[hours, minutes, seconds]),
        [hours, minutes, seconds, frames] => {
            let (whole, frames) = (npt(&[hours, minutes, seconds])?, number(frames)?);
            match whole {
                Npt::Seconds(whole) => Ok(Npt::Seconds(whole + frames / framerate)),
                Npt::Now => Ok(whole),
            }
        }
        _ => Err(PlayRequestError::InvalidRange),
    }
}

/// Adds up the parts of a number in base 60.
fn npt(parts: &[&str]) -> Result<Npt, PlayRequestError> {
    let mut seconds = 0.0;
    for part in parts {
        seconds = seconds * 60.0 + number(part)?;
    }
    (seconds < MAX_NPT).then_some(Npt::Seconds(seconds)).ok_or(PlayRequestError::InvalidRange)
}

/// Parses a number of digits and at most one decimal point.
fn number(text: &str) -> Result<f64, PlayRequestError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| digits).ok_or(PlayRequestError::InvalidRange)
}

/// The lowest and the highest rate at which a movie is played.
const RATES: (f64, f64) = (0.25, 8.0);

/// Reads a `Scale` (RFC 2326 section 12.34) or `Speed` (12.35) header. A rate outside of [`RATES`]
/// becomes the nearest one inside. Only a `Scale` may be negative.
fn read_rate(header: &str, backwards: bool) -> Result<f64, PlayRequestError> {
    let rate: f64 = header.trim().parse().map_err(|_| PlayRequestError::BadRequest)?;
    if !rate.is_finite() || rate == 0.0 {
        return Err(PlayRequestError::BadRequest);
    }
    let (least, most) = RATES;
    Ok(match rate > 0.0 {
        true => rate.clamp(least, most),
        false if backwards => rate.clamp(-most, -least),
        false => least,
    })
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_start_and_end() {
        // Start and end in milliseconds.
        let rows = [
            ("npt=0-", Some((Some(0), None))),
            ("npt=0.000-", Some((Some(0), None))),
            ("npt=now-", Some((None, None))),
            ("npt=now-20", Some((None, Some(20_000)))),
            ("npt=10-20", Some((Some(10_000), Some(20_000)))),
            ("npt=-20", Some((Some(0), Some(20_000)))),
            ("npt=0:00:10.5-", Some((Some(10_500), None))),
            ("npt=60-", Some((Some(60_000), None))),
            ("npt=10-;time=19970123T143720Z", Some((Some(10_000), None))),
            ("npt=70-", None),
            ("npt=60.001-", None),
            ("npt=10-5", None),
            ("npt=10-10", None),
            ("npt=10-now", None),
            ("npt=-", None),
            ("npt=", None),
            ("npt=nan-", None),
            ("npt=inf-", None),
            ("npt=1e3-", None),
            ("npt=99999999999999999999-", None),
            ("npt=1:2-", None),
            ("npt = 0 -", Some((Some(0), None))),
            (" NPT=5- 10 ", Some((Some(5_000), Some(10_000)))),
            ("smpte=0:00:05-", Some((Some(5_000), None))),
            ("smpte-25=0:00:05:05-0:00:10:12.5", Some((Some(5_200), Some(10_500)))),
            ("smpte-30-drop=0:00:05:30-", Some((Some(6_001), None))),
            ("smpte=0:10:00-", None),
            ("smpte=5-", None),
            ("smpte=now-", None),
            ("", None),
        ];
        let ns = |ms: u64| ms * 1_000_000;
        for (header, want) in rows {
            let want =
                want.map(|(start, end): (Option<u64>, Option<u64>)| (start.map(ns), end.map(ns)));
            assert_eq!(read_range(header, Some(60.0), false).ok(), want, "{header}");
        }
        assert_eq!(read_range("npt=70-", None, false), Ok((Some(ns(70_000)), None)));
        for header in ["clock=19961108T143720.25Z-", "frames=1-", "=1-", "smpte-24=0:00:01-"] {
            assert_eq!(
                read_range(header, None, false),
                Err(PlayRequestError::UnknownUnit),
                "{header}"
            );
        }
    }

    #[test]
    fn a_backwards_range_ends_before_its_start() {
        let rows = [
            ("npt=10-5", true),
            ("npt=10-", true),
            ("npt=now-", true),
            ("npt=5-10", false),
            ("npt=0-0", true),
            ("npt=70-5", false),
        ];
        for (header, good) in rows {
            assert_eq!(read_range(header, Some(60.0), true).is_ok(), good, "{header}");
        }
    }

    #[test]
    fn a_scale_other_than_1_has_speed_1() {
        let read = |scale, speed| PlayRequest::read(None, scale, speed, None);
        let rates = |scale, speed| Ok(PlayRequest { scale, speed, ..PlayRequest::default() });
        assert_eq!(read(None, None), rates(None, None));
        assert_eq!(read(Some("1"), None), rates(Some(1.0), None));
        assert_eq!(read(Some("2"), None), rates(Some(2.0), Some(1.0)));
        assert_eq!(read(Some("2"), Some("4")), rates(Some(2.0), Some(1.0)));
        assert_eq!(read(None, Some("4")), rates(None, Some(4.0)));
        assert_eq!(read(Some("x"), None), Err(PlayRequestError::BadRequest));
    }

    #[test]
    fn rates_are_limited() {
        // The rate as a Scale, and as a Speed, which cannot be negative.
        let rows = [
            ("1", 1.0, 1.0),
            ("2.5", 2.5, 2.5),
            ("0.1", 0.25, 0.25),
            ("1e300", 8.0, 8.0),
            ("-1", -1.0, 0.25),
            ("-0.1", -0.25, 0.25),
            ("-99", -8.0, 0.25),
        ];
        for (header, scale, speed) in rows {
            assert_eq!(read_rate(header, true), Ok(scale), "{header}");
            assert_eq!(read_rate(header, false), Ok(speed), "{header}");
        }
        for header in ["0", "-0.0", "nan", "inf", "1e999", "fast", ""] {
            for negative in [true, false] {
                let refused = Err(PlayRequestError::BadRequest);
                assert_eq!(read_rate(header, negative), refused, "{header}");
            }
        }
    }
}
