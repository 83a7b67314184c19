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

/// The first line and headers of a message of standard RTSP without what gives access to anything:
/// credentials, nonces, and the identifiers of sessions, by which anyone could end them.
pub(crate) fn rtsp_message(head: &str) -> String {
    let mut hides = false;
    let lines = head.split_inclusive('\n').enumerate().map(|(at, line)| {
        let body = line.trim_end_matches(['\r', '\n']);
        let end = line.get(body.len()..).unwrap_or_default();
        // A line that starts with a space continues the one before it.
        if hides && body.starts_with([' ', '\t']) {
            return format!("{HIDDEN}{end}");
        }
        let lower = body.to_ascii_lowercase();
        let name = lower.split(':').next().unwrap_or_default();
        let value = || body.split_once(':').map_or("", |(_, value)| value);
        hides = at > 0
            && ["authorization", "authentication", "cookie"].iter().any(|it| lower.contains(it));
        if hides {
            let name = body.split([':', ' ', '\t']).next().unwrap_or_default();
            return format!("{name}: {HIDDEN}{end}");
        }
        if at > 0 && name.contains("session") {
            // Also without a colon. Parameters such as the time limit are shown.
            hides = true;
            let parameters = value().split_once(';').map_or("", |(_, rest)| rest);
            let parameters = if parameters.is_empty() { "" } else { &format!(";{parameters}") };
            let name = body.split([':', ' ', '\t']).next().unwrap_or_default();
            return format!("{name}: {HIDDEN}{parameters}{end}");
        }
        if at > 0 && name.contains("authenticate") {
            return without_nonces(body) + end;
        }
        redacted_line(line)
    });
    lines.collect()
}

/// A challenge without its nonces.
fn without_nonces(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut out = String::new();
    let mut rest = 0;
    while let Some((start, word)) = ["nonce", "opaque"]
        .iter()
        .filter_map(|word| Some((rest + lower.get(rest..)?.find(word)?, word.len())))
        .min()
    {
        let value = line.get(start + word..).unwrap_or_default();
        let Some(equals) =
            value.find(|c: char| !c.is_whitespace()).filter(|at| value[*at..].starts_with('='))
        else {
            out.push_str(line.get(rest..start + word).unwrap_or_default());
            rest = start + word;
            continue;
        };
        out.push_str(line.get(rest..=start + word + equals).unwrap_or_default());
        let value = value.get(equals + 1..).unwrap_or_default();
        let length = match value.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let before = value.len() - quoted.len();
                quoted.find('"').map_or(value.len(), |end| before + end + 1)
            }
            None => value.find(',').unwrap_or(value.len()),
        };
        out.extend(["\"", HIDDEN, "\""]);
        rest = start + word + equals + 1 + length;
    }
    out + line.get(rest..).unwrap_or_default()
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
    fn readers_of_the_exchange_get_no_credentials_nonces_or_sessions() {
        let first = "PLAY rtsp://h/m RTSP/1.0\r\n";
        let rows = [
            ("CSeq: 2\r\nRange: npt=0-\r\n\r\n", "CSeq: 2\r\nRange: npt=0-\r\n\r\n"),
            ("Session: abcdef;timeout=60\r\n", "Session: ***;timeout=60\r\n"),
            ("session :a b\n", "session: ***\n"),
            ("Session abcdef\r\n", "Session: ***\r\n"),
            ("Authorization: Digest username=\"u\"\r\n", "Authorization: ***\r\n"),
            ("Authorization:\r\n Basic eDp5\r\n", "Authorization: ***\r\n***\r\n"),
            ("Authorization Basic eDp5\r\n", "Authorization: ***\r\n"),
            ("Authentication-Info: nextnonce=\"n\"\r\n", "Authentication-Info: ***\r\n"),
            ("x-sessioncookie: abc\r\n", "x-sessioncookie: ***\r\n"),
            (
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n,m\", opaque=\"o\", qop=\"auth\"\r\n",
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"***\", opaque=\"***\", qop=\"auth\"\r\n",
            ),
            (
                "WWW-Authenticate: Digest nonce=\"n\", realm=\"r, s\"\r\n",
                "WWW-Authenticate: Digest nonce=\"***\", realm=\"r, s\"\r\n",
            ),
            ("WWW-Authenticate: Basic realm=\"r\"\r\n", "WWW-Authenticate: Basic realm=\"r\"\r\n"),
            ("Referer: rtsp://u:p@h/m\r\n", "Referer: rtsp://***@h/m\r\n"),
        ];
        for (headers, want) in rows {
            assert_eq!(
                rtsp_message(&format!("{first}{headers}")),
                format!("{first}{want}"),
                "{headers}"
            );
        }
        let url = rtsp_message("PLAY rtsp://u:p@h/session RTSP/1.0\r\n");
        assert_eq!(url, "PLAY rtsp://***@h/session RTSP/1.0\r\n");
    }

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
