// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes credentials from what is logged or explained: the values of `Authorization` headers, and the
//! user and password in URLs.

use std::borrow::Cow;

/// What credentials are replaced by.
const HIDDEN: &str = "***";

/// A text without credentials.
pub(crate) fn redacted(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let may_have_url = text.contains("//") && text.contains('@');
    if !lower.contains("authorization") && !may_have_url {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_inclusive('\n').map(redacted_line).collect())
}

fn redacted_line(line: &str) -> String {
    let body = line.trim_end_matches(['\r', '\n']);
    let end = line.get(body.len()..).unwrap_or_default();
    if let Some(at) = body.to_ascii_lowercase().find("authorization") {
        // Also before the colon: it may be missing.
        let name = body.get(..at + "authorization".len()).unwrap_or_default();
        return format!("{name}: {HIDDEN}{end}");
    }
    let words: Vec<Cow<str>> = body.split(' ').map(redacted_url).collect();
    words.join(" ") + end
}

/// A word without the part between `//` and `@`.
fn redacted_url(word: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = word.split_once("//") else { return Cow::Borrowed(word) };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may contain a slash that is not encoded.
    match rest.rfind('@') {
        Some(at) if at < authority || rest.get(..at).is_some_and(|user| user.contains(':')) => {
            let rest = rest.get(at..).unwrap_or_default();
            Cow::Owned(format!("{scheme}//{HIDDEN}{rest}"))
        }
        _ => Cow::Borrowed(word),
    }
}

/// The URI of a request without credentials, in printable characters.
pub(crate) fn uri(uri: &[u8]) -> String {
    redacted_url(&uri.escape_ascii().to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_logged() {
        let rows = [
            ("SETUP movie RTSP/1.0\nCSeq: 1\n", "SETUP movie RTSP/1.0\nCSeq: 1\n"),
            ("A: 1\r\nAuthorization: Basic eDp5\r\nB: 2", "A: 1\r\nAuthorization: ***\r\nB: 2"),
            ("proxy-authorization :Digest x=\"y\"\n", "proxy-authorization: ***\n"),
            ("Authorization Basic eDp5", "Authorization: ***"),
            ("PLAY rtsp://u:p@h/m RTSP/1.0\n", "PLAY rtsp://***@h/m RTSP/1.0\n"),
            ("PLAY rtsp://u:p/q@h/m RTSP/1.0", "PLAY rtsp://***@h/m RTSP/1.0"),
            ("PLAY rtsp://u@h:1/m@n RTSP/1.0", "PLAY rtsp://***@n RTSP/1.0"),
            ("PLAY rtsp://h/m@n RTSP/1.0", "PLAY rtsp://h/m@n RTSP/1.0"),
            ("x@y // z", "x@y // z"),
        ];
        for (text, want) in rows {
            assert_eq!(redacted(text), want, "{text}");
        }
        assert_eq!(uri(b"rtsp://u:p\xff@h/m"), "rtsp://***@h/m");
    }
}
