// SPDX-License-Identifier: MIT OR Apache-2.0
//! Well-formed requests: standard RTSP (RFC 2326), the lab's dialect, and HTTP.

use super::random::Random;
use std::fmt::Write;

/// A request, stored as its parts so that a mutation can change a single one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub method: Vec<u8>,
    pub uri: Vec<u8>,
    pub version: Vec<u8>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    pub line_end: &'static str,
}

impl Request {
    fn new(method: &str, uri: String, version: &str) -> Self {
        Self {
            method: method.into(),
            uri: uri.into(),
            version: version.into(),
            line_end: "\r\n",
            ..Self::default()
        }
    }

    fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.headers.push((name.into(), value.into()));
    }

    /// The request with an empty line after its headers.
    pub fn to_bytes(&self) -> Vec<u8> {
        let end = self.line_end.as_bytes();
        let mut out = [&self.method[..], b" ", &self.uri, b" ", &self.version, end].concat();
        for (name, value) in &self.headers {
            out.extend([name, &b": "[..], value, end].concat());
        }
        out.extend_from_slice(end);
        out.extend_from_slice(&self.body);
        out
    }
}

/// The values that requests contain.
pub(crate) struct Target<'a> {
    /// The movie's path, without the first slash.
    pub movie: &'a str,
    /// The session of the connection, once it is known.
    pub session: Option<&'a str>,
    /// The UDP port that the server may send to.
    pub port: u16,
    /// Whether SETUP may ask for RTP over UDP.
    pub udp: bool,
}

const METHODS: [(usize, &str); 11] = [
    (40, "OPTIONS"),
    (24, "GET_PARAMETER"),
    (8, "SET_PARAMETER"),
    (4, "DESCRIBE"),
    (9, "PLAY"),
    (5, "PAUSE"),
    (1, "TEARDOWN"),
    (1, "RECORD"),
    (1, "ANNOUNCE"),
    (1, "REDIRECT"),
    (1, "FETCH"),
];

const RANGES: [&str; 16] = [
    "npt=0-",
    "npt=now-",
    "npt=1-",
    "npt=0.5-1.5",
    "npt=2-1",
    "npt=-1",
    "npt=0:00:01-",
    "npt=99-",
    "smpte=0:00:01-",
    "smpte-25=0:00:00:05-0:00:01:12.5",
    "smpte-30-drop=0:00:01:29-",
    "clock=19961108T143720.25Z-",
    "npt=nan-",
    "npt=1-;time=19970123T143720Z",
    "npt=-",
    "",
];

const RATES: [&str; 12] =
    ["1", "2", "0.5", "8", "100", "-1", "-4", "-0.01", "0", "nan", "1e300", "1.0000001"];

/// A well-formed request of standard RTSP. Without a session, it is SETUP more often.
pub(crate) fn standard(random: &mut Random, target: &Target, cseq: u32) -> Request {
    let is_setup = target.session.is_none() && random.chance(15) || random.chance(1);
    let method = if is_setup { "SETUP" } else { random.weighted(&METHODS, "OPTIONS") };
    let movie = target.movie;
    let uri = match random.below(20) {
        0 => "*".to_owned(),
        1 => "rtsp://127.0.0.1/none.mjpeg".to_owned(),
        2 => format!("RTSP://localhost/{}", movie.to_ascii_uppercase()),
        3 => format!("rtsp://user:word@127.0.0.1/{movie}?query#fragment"),
        4 => format!("rtsp://[::1]/%2e/{movie}"),
        _ if method == "SETUP" => format!("rtsp://127.0.0.1/{movie}/stream=0"),
        5 | 6 => format!("rtsp://127.0.0.1/{movie}"),
        _ => format!("rtsp://127.0.0.1/{movie}/"),
    };
    let mut request = Request::new(method, uri, "RTSP/1.0");
    request.add("CSeq", cseq.to_string());
    if method == "SETUP" {
        request.add("Transport", transport(random, target));
    }
    if let Some(session) = target.session
        && random.chance(if method == "SETUP" { 10 } else { 95 })
    {
        request.add("Session", session);
    }
    if method == "PLAY" {
        if random.chance(70) {
            request.add("Range", random.pick(&RANGES));
        }
        if random.chance(25) {
            request.add("Scale", random.pick(&RATES));
        }
        if random.chance(25) {
            request.add("Speed", random.pick(&RATES));
        }
    }
    if method.ends_with("_PARAMETER") && random.chance(20) {
        let body = "position\r\n".repeat(random.below(5));
        request.add("Content-Type", "text/parameters");
        request.add("Content-Length", body.len().to_string());
        request.body = body.into();
    }
    if random.chance(10) {
        let (name, value) = random.pick(&[
            ("Require", "implicit-play"),
            ("Proxy-Require", "a, b"),
            ("User-Agent", "fuzz"),
            ("Accept", "application/sdp"),
            ("Blocksize", "9"),
            ("If-Match", "x"),
        ]);
        request.add(name, value);
    }
    request
}

/// A value of the `Transport` header; a server accepts most of them.
fn transport(random: &mut Random, target: &Target) -> String {
    let (rtp, rtcp) = (target.port, target.port + 1);
    let first = random.below(6) * 2;
    match random.below(12) {
        0..4 if target.udp => format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}"),
        4 if target.udp => format!("RTP/AVP/UDP;unicast;client_port={rtp};mode=\"PLAY\""),
        5 if target.udp => format!("RTP/AVP;unicast;client_port={rtcp}-{rtp}"),
        6 => "RTP/AVP/TCP".to_owned(),
        7 => "RTP/SAVP;unicast,RTP/AVP;multicast,RTP/AVP/TCP;interleaved=254-255".to_owned(),
        8 => "RTP/AVP/TCP;unicast;interleaved=0-300".to_owned(),
        _ => format!("RTP/AVP/TCP;unicast;interleaved={first}-{}", first + 1),
    }
}

/// A request whose reply shows that all requests before it were read.
pub(crate) fn marker(cseq: u32) -> Vec<u8> {
    format!("OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n").into_bytes()
}

const LAB_METHODS: [(usize, &str); 16] = [
    (6, "SETUP"),
    (12, "PLAY"),
    (12, "PAUSE"),
    (3, "TEARDOWN"),
    (1, "STOP"),
    (8, "DESCRIBE"),
    (20, "OPTIONS"),
    (4, "FORWARD"),
    (4, "BACKWARD"),
    (8, "SEEK"),
    (1, "SPEED_0_5X"),
    (1, "SPEED_1X"),
    (1, "SPEED_2X"),
    (6, "LIST"),
    (3, "SWITCH"),
    (2, "FETCH"),
];

/// A request of the lab's dialect, in one of the forms that clients use. `unterminated` omits the empty
/// line, so that only a pause ends the request.
pub(crate) fn lab(random: &mut Random, target: &Target, cseq: u32, unterminated: bool) -> Vec<u8> {
    let method = match random.weighted(&LAB_METHODS, "OPTIONS") {
        // A pause ends only requests with a known method.
        "FETCH" if unterminated => "OPTIONS",
        method => method,
    };
    let (movie, end) = match random.below(20) {
        0 => ("none.Mjpeg", "\n"),
        // With CRLF it is standard RTSP.
        1 => ("rtsp://127.0.0.1/x", "\n"),
        _ => (target.movie, random.pick(&["\n", "\r\n"])),
    };
    let empty_line = if unterminated { "" } else { end };
    if random.chance(20) {
        // The course report's form: header values without names. As the second line does not start with
        // a method, the empty line ends the request.
        let third = match method {
            "SETUP" => format!("{end} RTSP/1.0 RTP/UDP {}", target.port),
            _ => String::new(),
        };
        return format!("{method} {movie}{end}{cseq}{third}{end}{empty_line}").into_bytes();
    }
    let mut text = format!("{method} {movie} RTSP/1.0{end}CSeq: {cseq}{end}");
    if method == "SETUP" {
        let _ = write!(text, "Transport: RTP/UDP; client_port= {}{end}", target.port);
    } else if let Some(session) = target.session.filter(|_| random.chance(80)) {
        let _ = write!(text, "Session: {session}{end}");
    }
    if method == "SEEK" {
        let _ = write!(text, "X-Seek: {}{end}", random.pick(&["0.42", "0", "1", "7", "-1", "nan"]));
    }
    if method == "PLAY" && random.chance(20) {
        let _ =
            write!(text, "Startpoint: {}{end}", random.pick(&["0", "57", "99999999999999999999"]));
    }
    (text + empty_line).into_bytes()
}

/// An HTTP request; one half of a tunnel if there is a cookie.
pub(crate) fn http(random: &mut Random, method: &str, cookie: Option<&str>) -> Request {
    let version = random.pick(&["HTTP/1.0", "HTTP/1.1", "HTTP/1.0"]);
    let mut request = Request::new(method, "/movie".to_owned(), version);
    request.add("Host", "127.0.0.1");
    if let Some(cookie) = cookie {
        request.add(random.pick(&["x-sessioncookie", "X-SessionCookie"]), cookie);
    }
    request.add("Accept", "application/x-rtsp-tunnelled");
    request
}
