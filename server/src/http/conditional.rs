// SPDX-License-Identifier: MIT OR Apache-2.0
//! Conditional requests and ranges (RFC 9110 sections 13 and 14).

use hyper::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// What identifies a version of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// The entity tag, in quotes.
    pub etag: String,
    /// The time of the last modification.
    pub modified: Option<SystemTime>,
}

/// The only value of a header; `None` if there is none, or there are several.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value.trim())
}

/// A date of a header.
fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// A time in whole seconds, as dates of headers are.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Validators {
    /// Whether the client has this version already (304).
    pub fn is_known(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            let is_ours = |tag: &str| {
                let tag = tag.trim();
                tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
            };
            return tags.any(|tags| tags.to_str().is_ok_and(|tags| tags.split(',').any(is_ours)));
        }
        let since = single(headers, IF_MODIFIED_SINCE).and_then(date);
        let modified = self.modified.map(whole_seconds);
        since.is_some_and(|since| modified.is_some_and(|modified| modified <= since))
    }

    /// Whether the client wants another version than this one (412), such as that of which it has a part.
    pub fn is_refused(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(IF_MATCH).iter().peekable();
        if tags.peek().is_some() {
            let is_ours = |tag: &str| tag.trim() == "*" || tag.trim() == self.etag;
            return !tags.any(|tags| tags.to_str().is_ok_and(|tags| tags.split(',').any(is_ours)));
        }
        let since = single(headers, IF_UNMODIFIED_SINCE).and_then(date);
        let modified = self.modified.map(whole_seconds);
        since.is_some_and(|since| modified.is_some_and(|modified| modified > since))
    }

    /// The part that a request asks for of a resource of some bytes.
    pub fn part(&self, headers: &HeaderMap, length: u64) -> Part {
        let Some(range) = single(headers, RANGE) else { return Part::Whole };
        let is_same = single(headers, IF_RANGE).is_none_or(|version| {
            version == self.etag
                || date(version).is_some_and(|date| self.modified.map(whole_seconds) == Some(date))
        });
        // A header that cannot be read does not match.
        if !is_same || headers.contains_key(IF_RANGE) && single(headers, IF_RANGE).is_none() {
            return Part::Whole;
        }
        Part::read(range, length)
    }
}

/// A part of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it (200).
    Whole,
    /// Some of its bytes (206).
    Bytes(Range<u64>),
    /// Bytes that it does not have (416).
    Outside,
}

impl Part {
    /// Reads the value of a Range header. Several ranges, and what cannot be read, are ignored, as RFC 9110
    /// allows.
    fn read(range: &str, length: u64) -> Self {
        let number = |text: &str| -> Option<u64> {
            let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
            // Larger numbers are past the end of every file.
            is_number.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let Some((unit, range)) = range.split_once('=') else { return Self::Whole };
        let Some((first, last)) = range.trim().split_once('-') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let (first, last) = (first.trim(), last.trim());
        match (number(first), number(last)) {
            (Some(first), _) if last.is_empty() && first < length => Self::Bytes(first..length),
            (Some(_), _) if last.is_empty() => Self::Outside,
            (Some(first), Some(last)) if first > last => Self::Whole,
            (Some(first), Some(last)) if first < length => {
                Self::Bytes(first..length.min(last.saturating_add(1)))
            }
            (Some(_), Some(_)) => Self::Outside,
            // The last bytes.
            (None, Some(0)) if first.is_empty() => Self::Outside,
            (None, Some(_)) if first.is_empty() && length == 0 => Self::Outside,
            (None, Some(count)) if first.is_empty() => {
                Self::Bytes(length.saturating_sub(count)..length)
            }
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn validators() -> Validators {
        // Half a second after the date in the tests.
        let modified = date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap() + Duration::from_millis(500);
        Validators { etag: "\"a-1\"".to_owned(), modified: Some(modified) }
    }

    #[test]
    fn a_version_is_known_by_its_tag_or_its_date() {
        let rows: [(&[(HeaderName, &str)], bool); 13] = [
            (&[], false),
            (&[(IF_NONE_MATCH, "\"a-1\"")], true),
            (&[(IF_NONE_MATCH, "W/\"a-1\"")], true),
            (&[(IF_NONE_MATCH, "\"x\", \"a-1\"")], true),
            (&[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a-1\"")], true),
            (&[(IF_NONE_MATCH, "*")], true),
            (&[(IF_NONE_MATCH, "\"a-2\"")], false),
            (&[(IF_NONE_MATCH, "a-1")], false),
            (&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")], true),
            (&[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")], false),
            (&[(IF_MODIFIED_SINCE, "yesterday")], false),
            // The tag wins.
            (
                &[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")],
                false,
            ),
            (&[(IF_NONE_MATCH, "")], false),
        ];
        for (fields, want) in rows {
            assert_eq!(validators().is_known(&headers(fields)), want, "{fields:?}");
        }
    }

    #[test]
    fn another_version_than_the_wanted_one_is_refused() {
        let rows: [(&[(HeaderName, &str)], bool); 11] = [
            (&[], false),
            (&[(IF_MATCH, "\"a-1\"")], false),
            (&[(IF_MATCH, "*")], false),
            (&[(IF_MATCH, "\"x\", \"a-1\"")], false),
            (&[(IF_MATCH, "\"x\"")], true),
            // A weak tag never matches (RFC 9110 section 13.1.1).
            (&[(IF_MATCH, "W/\"a-1\"")], true),
            (&[(IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")], false),
            (&[(IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")], true),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], false),
            // The tag wins.
            (
                &[(IF_MATCH, "\"a-1\""), (IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")],
                false,
            ),
            (&[(IF_MATCH, "")], true),
        ];
        for (fields, want) in rows {
            assert_eq!(validators().is_refused(&headers(fields)), want, "{fields:?}");
        }
        let without_date = Validators { modified: None, ..validators() };
        let since = [(IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")];
        assert!(!without_date.is_refused(&headers(&since)));
    }

    #[test]
    fn a_range_is_a_part_of_the_bytes() {
        use Part::{Bytes, Outside, Whole};
        let rows = [
            ("bytes=0-0", Bytes(0..1)),
            ("bytes=0-99", Bytes(0..100)),
            ("bytes=10-", Bytes(10..100)),
            ("bytes=99-1000", Bytes(99..100)),
            ("bytes=-1", Bytes(99..100)),
            ("bytes=-1000", Bytes(0..100)),
            ("BYTES = 1 - 2", Bytes(1..3)),
            ("bytes=100-", Outside),
            ("bytes=100-200", Outside),
            ("bytes=99999999999999999999999-", Outside),
            ("bytes=-0", Outside),
            ("bytes=5-4", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1-2-3", Whole),
            ("bytes", Whole),
            ("frames=1-2", Whole),
            ("", Whole),
        ];
        for (range, want) in rows {
            let part = validators().part(&headers(&[(RANGE, range)]), 100);
            assert_eq!(part, want, "{range}");
        }
        assert_eq!(Part::read("bytes=0-", 0), Outside);
        assert_eq!(Part::read("bytes=-5", 0), Outside);
        assert_eq!(Part::read("bytes=0-", u64::MAX), Bytes(0..u64::MAX));
    }

    #[test]
    fn a_range_of_another_version_is_ignored() {
        let rows = [
            ("\"a-1\"", true),
            ("W/\"a-1\"", false),
            ("\"a-2\"", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
            ("", false),
        ];
        for (version, is_used) in rows {
            let fields = headers(&[(RANGE, "bytes=1-2"), (IF_RANGE, version)]);
            let want = if is_used { Part::Bytes(1..3) } else { Part::Whole };
            assert_eq!(validators().part(&fields, 100), want, "{version}");
        }
        let twice = [(RANGE, "bytes=1-2"), (IF_RANGE, "\"a-1\""), (IF_RANGE, "\"a-1\"")];
        assert_eq!(validators().part(&headers(&twice), 100), Part::Whole);
    }
}
