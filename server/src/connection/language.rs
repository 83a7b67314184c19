// SPDX-License-Identifier: MIT OR Apache-2.0
//! Detects the language of a connection from its first bytes.

/// The number of bytes after which the language is decided even if the first line, or the headers
/// that distinguish the languages, are not complete. All bytes are read again with each new piece.
const MAX_BYTES: usize = 8 * 1024;

/// The language of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Standard RTSP (RFC 2326).
    Rtsp,
    /// The lab's dialect.
    Lab,
    /// HTTP: RTSP through a tunnel, or any other HTTP request, which is refused.
    Http,
    /// TLS, with any language in it.
    Tls,
}

impl Language {
    /// The language of a connection that starts with these bytes; `None` if more bytes are needed.
    ///
    /// A standard request has an absolute URI or `*`, and its lines end with CRLF. The same is true
    /// of some lab clients, but their SETUP asks for the transport `RTP/UDP` instead of `RTP/AVP`.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        // RFC 2068 section 4.1: empty lines before a request are ignored.
        let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let bytes = bytes.get(start..)?;
        if bytes.first() == Some(&0x16) {
            return Some(Self::Tls);
        }
        let (line, rest) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => bytes.split_at_checked(end + 1)?,
            None if bytes.len() < MAX_BYTES => return None,
            None => (bytes, &[][..]),
        };
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let method = words.next().unwrap_or_default();
        let uri = words.next().unwrap_or_default().to_ascii_lowercase();
        let last = words.next_back().unwrap_or_default();
        if last.starts_with(b"HTTP/") {
            return Some(Self::Http);
        }
        let absolute = uri == b"*" || uri.starts_with(b"rtsp://") || uri.starts_with(b"rtsps://");
        let endless = !line.ends_with(b"\n");
        if !absolute || !(endless || line.ends_with(b"\r\n")) {
            return Some(Self::Lab);
        }
        if method != b"SETUP" || endless {
            return Some(Self::Rtsp);
        }
        language_of_setup(rest)
    }

    /// The language of a connection that is silent after these bytes, which do not decide it. Lab
    /// clients send requests of one line, and lines without an end. `None` if the bytes may still
    /// become a request of RTSP or HTTP.
    pub fn after_silence(bytes: &[u8]) -> Option<Self> {
        let line = bytes.trim_ascii_start();
        if line.contains(&b'\n') {
            return None;
        }
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let method = words.next()?;
        let starts_uri = |uri: &[u8]| {
            let uri = uri.to_ascii_lowercase();
            let schemes = [&b"rtsp://"[..], b"rtsps://"];
            uri.starts_with(b"/")
                || uri == b"*"
                || schemes.iter().any(|it| it.starts_with(&uri) || uri.starts_with(it))
        };
        let may_go_on = match words.next() {
            Some(uri) => starts_uri(uri),
            None if line.last().is_some_and(u8::is_ascii_whitespace) => METHODS.contains(&method),
            None => METHODS.iter().any(|it| it.starts_with(method)),
        };
        (!may_go_on).then_some(Self::Lab)
    }
}

/// The methods of RTSP and those of HTTP that are used.
const METHODS: [&[u8]; 14] = [
    b"OPTIONS",
    b"DESCRIBE",
    b"SETUP",
    b"PLAY",
    b"PAUSE",
    b"TEARDOWN",
    b"GET_PARAMETER",
    b"SET_PARAMETER",
    b"ANNOUNCE",
    b"RECORD",
    b"REDIRECT",
    b"GET",
    b"POST",
    b"HEAD",
];

/// The language of a SETUP request from the headers that have been received.
fn language_of_setup(headers: &[u8]) -> Option<Language> {
    for line in headers.split_inclusive(|byte| *byte == b'\n') {
        let upper = line.trim_ascii().to_ascii_uppercase();
        let whole = line.ends_with(b"\n");
        if upper.starts_with(b"TRANSPORT") && upper.windows(7).any(|part| part == b"RTP/UDP") {
            return Some(Language::Lab);
        }
        if whole && (upper.is_empty() || upper.starts_with(b"TRANSPORT")) {
            return Some(Language::Rtsp);
        }
    }
    (headers.len() > MAX_BYTES).then_some(Language::Rtsp)
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_decides_for_the_lab_what_cannot_become_rtsp_or_http() {
        let rows: [(&[u8], bool); 22] = [
            (b"FASTFORWARD", true),
            (b"FASTFORWARD ", true),
            (b"SETUPP", true),
            (b"\nSETUPP movie", true),
            (b"SETUP movie.Mjpeg RTSP/1.0", true),
            (b"PLAY movie", true),
            (b"get_list", true),
            (b"LIST rtspmovie", true),
            (b"SETUP", false),
            (b"SET", false),
            (b"SETUP ", false),
            (b"SETUP r", false),
            (b"SETUP rtsp://h/m RTSP/1.0\r", false),
            (b"SETUP RTSP://h/m", false),
            (b"SETUP rtsp://h/m RTSP/1.0\r\nTransport: RTP", false),
            (b"OPTIONS *", false),
            (b"GET", false),
            (b"GET /m HT", false),
            (b"LIST rtsp", false),
            (b"", false),
            (b"\r\n", false),
            (b"\n \n", false),
        ];
        for (bytes, lab) in rows {
            let want = lab.then_some(Language::Lab);
            assert_eq!(Language::after_silence(bytes), want, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_first_line_or_the_transport_decides_the_language() {
        use Language::{Http, Lab, Rtsp, Tls};
        let long = vec![b'A'; MAX_BYTES];
        let long_url = [b"DESCRIBE rtsp://h/m?", &[b'x'; 2000][..], b" RTSP/1.0\r\n"].concat();
        let endless_url = [b"DESCRIBE rtsp://h/m?", &long[..]].concat();
        let rows: [(&[u8], Option<Language>); 28] = [
            (b"OPTIONS * RTSP/1.0\r\n", Some(Rtsp)),
            (b"OPTIONS * RTSP/1.0\r", None),
            (b"\r\nOPTIONS * RTSP/1.0\r\n", Some(Rtsp)),
            (b"DESCRIBE  rtsp://h/m  RTSP/1.0\r\nCSeq: 1\r\n", Some(Rtsp)),
            (b"DESCRIBE rtsps://h/m RTSP/1.0\r\n", Some(Rtsp)),
            (&long_url, Some(Rtsp)),
            (&endless_url, Some(Rtsp)),
            (b"SETUP rtsp://h/m RTSP/1.0\r\n", None),
            (b"SETUP rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\n\r\n", Some(Rtsp)),
            (b"SETUP rtsp://h/m RTSP/1.0\r\nTransport: RTP/AVP;client_port=1-2\r\n", Some(Rtsp)),
            (b"SETUP rtsp://h/m RTSP/1.0\r\nTransport: RTP/A", None),
            (b"SETUP rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/UDP;cl", Some(Lab)),
            (
                b"SETUP rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\ntransport:rtp/udp; client_port= 9\r\n",
                Some(Lab),
            ),
            (b"GET /m HTTP/1.0\r\n", Some(Http)),
            (b"POST /m HTTP/1.0\r\n", Some(Http)),
            (b"HEAD / HTTP/1.1\r\n", Some(Http)),
            (b"GET movie RTSP/1.0\n", Some(Lab)),
            (b"SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1", Some(Lab)),
            (b"SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\n", Some(Lab)),
            (b"SETUP rtsp://127.0.0.1/movie.Mjpeg RTSP/1.0\n", Some(Lab)),
            (b"PLAY \n2", Some(Lab)),
            (b"SETUP movie.Mjp", None),
            (b"\x16\x03\x01", Some(Tls)),
            (b"", None),
            (b"\n", None),
            (b"\r\n\r\n", None),
            (&long, Some(Lab)),
            (b"\xff\xfe\n", Some(Lab)),
        ];
        for (bytes, want) in rows {
            let printable = bytes.get(..60).unwrap_or(bytes).escape_ascii();
            assert_eq!(Language::of(bytes), want, "{printable}");
        }
    }
}
