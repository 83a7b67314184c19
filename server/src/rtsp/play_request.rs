// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a PLAY request asks for, read before gst-rtsp-server trusts it.

/// Why a PLAY request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A header cannot be read: 400.
    BadRequest,
    /// The range is none, or not in the movie: 457.
    InvalidRange,
    /// The range is in a unit that movies do not have: 501 (RFC 2326 section 3.7).
    UnknownUnit,
}

/// Seconds whose nanoseconds fit 63 bits.
const MAX_NPT: f64 = 9e9;

/// What a PLAY asks for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Asked {
    /// Where it begins, in nanoseconds; `None` is the present place.
    pub begin: Option<u64>,
    /// Where it ends, in nanoseconds; `None` is the movie's end, backwards its begin.
    pub end: Option<u64>,
    /// As it is played, and reported: 1 where there is no header.
    pub scale: Option<f64>,
    /// The same.
    pub speed: Option<f64>,
}

impl Asked {
    /// Reads the headers Range, Scale and Speed. The movie's `duration` is in nanoseconds.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn read(
        range: Option<&str>,
        scale: Option<&str>,
        speed: Option<&str>,
        duration: Option<u64>,
    ) -> Result<Self, Refused> {
        // Below 2^53 nanoseconds, which are a hundred days, this is exact.
        #[allow(clippy::cast_precision_loss)]
        let duration = duration.map(|nanoseconds| nanoseconds as f64 / 1e9);
        let scale = scale.map(|header| read_rate(header, true)).transpose()?;
        let speed = speed.map(|header| read_rate(header, false)).transpose()?;
        // One at a time, so that the bounds hold. Speed is answered with every Scale, since rtspsrc
        // 1.22 takes a Scale alone for how fast it has to show frames.
        let scaled = scale.is_some_and(|scale| (scale - 1.0).abs() > f64::EPSILON);
        let speed = if scaled { Some(1.0) } else { speed };
        let backwards = scale.is_some_and(|scale| scale < 0.0);
        let (begin, end) = match range {
            Some(range) => read_range(range, duration, backwards)?,
            None => (None, None),
        };
        Ok(Self { begin, end, scale, speed })
    }

    /// It asks for nothing but to play.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A point of a range in normal play time.
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

/// Reads a `Range` header (RFC 2326 sections 3.6 and 12.29) and checks it against the movie's
/// `duration` in seconds, if that is known. Gives begin and end in nanoseconds; no begin is the
/// present place. Backwards the end lies before the begin.
fn read_range(
    header: &str,
    duration: Option<f64>,
    backwards: bool,
) -> Result<(Option<u64>, Option<u64>), Refused> {
    // What follows a semicolon is a time to begin at, which is not supported and ignored.
    let range = header.split(';').next().unwrap_or_default();
    let (unit, points) = range.split_once('=').ok_or(Refused::InvalidRange)?;
    let parse: fn(&str) -> Result<Npt, Refused> = match unit.trim().to_ascii_lowercase().as_str() {
        "npt" => parse_npt,
        "smpte" | "smpte-30-drop" => |text| parse_smpte(text, 30_000.0 / 1001.0),
        "smpte-25" => |text| parse_smpte(text, 25.0),
        _ => return Err(Refused::UnknownUnit),
    };
    let (start, stop) = points.split_once('-').ok_or(Refused::InvalidRange)?;
    let (start, stop) = (start.trim(), stop.trim());
    if start.is_empty() && stop.is_empty() {
        return Err(Refused::InvalidRange);
    }
    let start = if start.is_empty() { Npt::Seconds(0.0) } else { parse(start)? };
    let stop = if stop.is_empty() { None } else { Some(parse(stop)?) };
    if let Npt::Seconds(start) = start
        && duration.is_some_and(|duration| start > duration)
    {
        return Err(Refused::InvalidRange);
    }
    match (start, stop) {
        (_, Some(Npt::Now)) => Err(Refused::InvalidRange),
        (Npt::Seconds(start), Some(Npt::Seconds(stop)))
            if if backwards { stop > start } else { stop <= start } =>
        {
            Err(Refused::InvalidRange)
        }
        (start, stop) => Ok((start.nanoseconds(), stop.and_then(Npt::nanoseconds))),
    }
}

/// Seconds, or hours, minutes and seconds (RFC 2326 section 3.6).
fn parse_npt(text: &str) -> Result<Npt, Refused> {
    if text == "now" {
        return Ok(Npt::Now);
    }
    match text.split(':').collect::<Vec<_>>()[..] {
        [seconds] => npt(&[seconds]),
        [hours, minutes, seconds] => npt(&[hours, minutes, seconds]),
        _ => Err(Refused::InvalidRange),
    }
}

/// Hours, minutes and seconds, and frames at a rate that may have decimals (section 3.5).
fn parse_smpte(text: &str, framerate: f64) -> Result<Npt, Refused> {
    match text.split(':').collect::<Vec<_>>()[..] {
        [hours, minutes, seconds] => npt(&[hours, minutes, seconds]),
        [hours, minutes, seconds, frames] => {
            let (whole, frames) = (npt(&[hours, minutes, seconds])?, number(frames)?);
            match whole {
                Npt::Seconds(whole) => Ok(Npt::Seconds(whole + frames / framerate)),
                Npt::Now => Ok(whole),
            }
        }
        _ => Err(Refused::InvalidRange),
    }
}

/// A number in base 60, of parts that may have decimals.
fn npt(parts: &[&str]) -> Result<Npt, Refused> {
    let mut seconds = 0.0;
    for part in parts {
        seconds = seconds * 60.0 + number(part)?;
    }
    (seconds < MAX_NPT).then_some(Npt::Seconds(seconds)).ok_or(Refused::InvalidRange)
}

/// Digits, which may have decimals.
fn number(text: &str) -> Result<f64, Refused> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| digits).ok_or(Refused::InvalidRange)
}

/// The slowest and the fastest that a mount plays.
const RATES: (f64, f64) = (0.25, 8.0);

/// Reads a `Scale` (RFC 2326 section 12.34) or `Speed` (12.35) header; what a mount does not do
/// becomes the nearest that it does. Only `Scale` goes backwards. 0 and what is no finite number is
/// refused.
fn read_rate(header: &str, backwards: bool) -> Result<f64, Refused> {
    let rate: f64 = header.trim().parse().map_err(|_| Refused::BadRequest)?;
    if !rate.is_finite() || rate == 0.0 {
        return Err(Refused::BadRequest);
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
    fn ranges() {
        // Begin and end in milliseconds.
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
                want.map(|(begin, end): (Option<u64>, Option<u64>)| (begin.map(ns), end.map(ns)));
            assert_eq!(read_range(header, Some(60.0), false).ok(), want, "{header}");
        }
        assert_eq!(read_range("npt=70-", None, false), Ok((Some(ns(70_000)), None)));
        for header in ["clock=19961108T143720.25Z-", "frames=1-", "=1-", "smpte-24=0:00:01-"] {
            assert_eq!(read_range(header, None, false), Err(Refused::UnknownUnit), "{header}");
        }
    }

    #[test]
    fn backwards_ranges_end_before_they_begin() {
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
    fn a_scale_is_played_at_speed_1() {
        let read = |scale, speed| Asked::read(None, scale, speed, None);
        let rates = |scale, speed| Ok(Asked { scale, speed, ..Asked::default() });
        assert_eq!(read(None, None), rates(None, None));
        assert_eq!(read(Some("1"), None), rates(Some(1.0), None));
        assert_eq!(read(Some("2"), None), rates(Some(2.0), Some(1.0)));
        assert_eq!(read(Some("2"), Some("4")), rates(Some(2.0), Some(1.0)));
        assert_eq!(read(None, Some("4")), rates(None, Some(4.0)));
        assert_eq!(read(Some("x"), None), Err(Refused::BadRequest));
    }

    #[test]
    fn rates() {
        // As Scale, and as Speed, which does not go backwards.
        let rows = [
            ("1", Some((1.0, 1.0))),
            ("2.5", Some((2.5, 2.5))),
            ("0.1", Some((0.25, 0.25))),
            ("1e300", Some((8.0, 8.0))),
            ("-1", Some((-1.0, 0.25))),
            ("-0.1", Some((-0.25, 0.25))),
            ("-99", Some((-8.0, 0.25))),
            ("0", None),
            ("-0.0", None),
            ("nan", None),
            ("inf", None),
            ("1e999", None),
            ("fast", None),
            ("", None),
        ];
        for (header, want) in rows {
            assert_eq!(read_rate(header, true).ok(), want.map(|it| it.0), "{header}");
            assert_eq!(read_rate(header, false).ok(), want.map(|it| it.1), "{header}");
        }
    }
}
