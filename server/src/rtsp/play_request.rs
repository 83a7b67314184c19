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
/// seconds, if that is known. Gives whether the range has an end.
///
/// # Errors
/// [`Refused::InvalidRange`].
pub fn check_range(header: &str, duration: Option<f64>) -> Result<bool, Refused> {
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
        (Npt::Seconds(start), Some(Npt::Seconds(stop))) if stop <= start => {
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

/// Checks a `Scale` or `Speed` header. Every rate that is one is played at 1 so far.
///
/// # Errors
/// [`Refused::BadRequest`] for 0 and for what is no finite number.
pub fn check_rate(header: &str) -> Result<(), Refused> {
    let rate: f64 = header.trim().parse().map_err(|_| Refused::BadRequest)?;
    if rate.is_finite() && rate != 0.0 { Ok(()) } else { Err(Refused::BadRequest) }
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
            assert_eq!(check_range(header, Some(60.0)), want, "{header}");
        }
        assert_eq!(check_range("npt=70-", None), Ok(false));
    }

    #[test]
    fn rates() {
        for (header, good) in [
            ("1", true),
            ("1.0", true),
            ("-1", true),
            ("1e300", true),
            ("0", false),
            ("-0.0", false),
            ("nan", false),
            ("inf", false),
            ("1e999", false),
            ("fast", false),
            ("", false),
        ] {
            let want = if good { Ok(()) } else { Err(Refused::BadRequest) };
            assert_eq!(check_rate(header), want, "{header}");
        }
    }
}
