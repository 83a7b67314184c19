// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a PLAY request asks for, read before gst-rtsp-server trusts it.

/// Why a PLAY request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A header cannot be read: 400.
    BadRequest,
    /// The range is none, or not in the movie: 457.
    InvalidRange,
}

/// Seconds whose nanoseconds fit 63 bits.
pub const MAX_NPT: f64 = 9e9;

/// A point of a range in normal play time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Npt {
    Now,
    Seconds(f64),
}

/// Checks a `Range` header (RFC 2326 sections 3.6 and 12.29) against the movie's `duration` in
/// seconds, if that is known. Gives whether the range has an end. Backwards the end lies before
/// the begin.
///
/// # Errors
/// [`Refused::InvalidRange`].
pub fn check_range(header: &str, duration: Option<f64>, backwards: bool) -> Result<bool, Refused> {
    // What follows a semicolon is a time to begin at, which is not supported and ignored.
    let range = header.split(';').next().unwrap_or_default().trim();
    let npt = range.strip_prefix("npt=").ok_or(Refused::InvalidRange)?;
    let (start, stop) = npt.split_once('-').ok_or(Refused::InvalidRange)?;
    if start.is_empty() && stop.is_empty() {
        return Err(Refused::InvalidRange);
    }
    let start = if start.is_empty() { Npt::Seconds(0.0) } else { parse_npt(start)? };
    let stop = if stop.is_empty() { None } else { Some(parse_npt(stop)?) };
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
        (_, stop) => Ok(stop.is_some()),
    }
}

/// Seconds, or hours, minutes and seconds (RFC 2326 section 3.6).
fn parse_npt(text: &str) -> Result<Npt, Refused> {
    let text = text.trim();
    if text == "now" {
        return Ok(Npt::Now);
    }
    let digits =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let mut seconds = 0.0;
    let parts: Vec<&str> = text.split(':').collect();
    if !matches!(parts.len(), 1 | 3) {
        return Err(Refused::InvalidRange);
    }
    for part in parts {
        let value: f64 = part.parse().ok().filter(|_| digits(part)).ok_or(Refused::InvalidRange)?;
        seconds = seconds * 60.0 + value;
    }
    (seconds < MAX_NPT).then_some(Npt::Seconds(seconds)).ok_or(Refused::InvalidRange)
}

/// The slowest and the fastest that a mount plays.
const RATES: (f64, f64) = (0.25, 8.0);

/// Reads a `Scale` (RFC 2326 section 12.34) or `Speed` (12.35) header; what a mount does not do
/// becomes the nearest that it does. Only `Scale` goes backwards.
///
/// # Errors
/// [`Refused::BadRequest`] for 0 and for what is no finite number.
pub fn read_rate(header: &str, backwards: bool) -> Result<f64, Refused> {
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
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let rows = [
            ("npt=0-", true),
            ("npt=0.000-", true),
            ("npt=now-", true),
            ("npt=10-20", true),
            ("npt=-20", true),
            ("npt=0:00:10.5-", true),
            ("npt=60-", true),
            ("npt=10-;time=19970123T143720Z", true),
            ("npt=70-", false),
            ("npt=60.001-", false),
            ("npt=10-5", false),
            ("npt=10-10", false),
            ("npt=10-now", false),
            ("npt=-", false),
            ("npt=", false),
            ("npt=nan-", false),
            ("npt=inf-", false),
            ("npt=1e3-", false),
            ("npt=99999999999999999999-", false),
            ("npt=1:2-", false),
            ("smpte=0:10:00-", false),
            ("clock=19961108T143720.25Z-", false),
            ("", false),
        ];
        for (header, good) in rows {
            let ends = header.split(';').next().unwrap_or_default().ends_with('0');
            let want = if good { Ok(ends) } else { Err(Refused::InvalidRange) };
            assert_eq!(check_range(header, Some(60.0), false), want, "{header}");
        }
        assert_eq!(check_range("npt=70-", None, false), Ok(false));
    }

    #[test]
    fn backwards_ranges_end_before_they_begin() {
        let rows = [
            ("npt=10-5", Ok(true)),
            ("npt=10-", Ok(false)),
            ("npt=now-", Ok(false)),
            ("npt=5-10", Err(Refused::InvalidRange)),
            ("npt=0-0", Ok(true)),
            ("npt=70-5", Err(Refused::InvalidRange)),
        ];
        for (header, want) in rows {
            assert_eq!(check_range(header, Some(60.0), true), want, "{header}");
        }
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
