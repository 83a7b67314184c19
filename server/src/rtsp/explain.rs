// SPDX-License-Identifier: MIT OR Apache-2.0
//! Explains messages of standard RTSP (RFC 2326) to people who see them on a screen: a sentence for each
//! line.

use gstmjpegfile::lab::{Explanation, visible};

/// Explains a request.
pub(crate) fn explain_request(text: &str) -> Explanation {
    let first = text.lines().next().unwrap_or_default();
    let method = first.split(' ').next().unwrap_or_default();
    let lines = explain_lines(text, |line| request_line(line).to_owned(), false);
    Explanation { title: format!("request: {}", visible(method)), lines, remarks: Vec::new() }
}

/// Explains the reply to a request with a method; `None` if the request could not be read.
pub(crate) fn explain_reply(text: &str, method: Option<&str>) -> Explanation {
    let title = format!("reply to {}", method.unwrap_or("a request that could not be read"));
    let lines = explain_lines(text, |line| status_line(line, method), true);
    Explanation { title, lines, remarks: Vec::new() }
}

fn explain_lines(
    text: &str,
    first: impl Fn(&str) -> String,
    is_reply: bool,
) -> Vec<(String, String)> {
    let mut body = false;
    let lines = text.split_inclusive('\n').enumerate().map(|(at, line)| {
        let trimmed = line.trim_end_matches(['\r', '\n']);
        let sentence = if at == 0 {
            first(trimmed)
        } else if body {
            description_line(trimmed)
        } else if trimmed.is_empty() {
            body = true;
            "a blank line ends the headers".to_owned()
        } else {
            header_line(trimmed, is_reply)
        };
        (visible(line), visible(&sentence))
    });
    lines.collect()
}

/// What a request asks for.
fn request_line(line: &str) -> &'static str {
    match line.split(' ').next().unwrap_or_default() {
        "OPTIONS" => "asks which methods the server has",
        "DESCRIBE" => "asks for a description of the movie (SDP)",
        "SETUP" => "agrees on how packets are sent: INIT to READY",
        "PLAY" => "send frames: READY to PLAYING",
        "PAUSE" => "stop sending, keep the session and the position: PLAYING to READY",
        "TEARDOWN" => "end the session: to INIT",
        "GET_PARAMETER" => "without a body: keeps the session alive",
        "SET_PARAMETER" => "without a body: keeps the session alive, for some clients",
        "ANNOUNCE" | "RECORD" => "send a movie to the server, which this server does not accept",
        "REDIRECT" => "only servers send this",
        _ => "not a method of RTSP (RFC 2326)",
    }
}

/// What the status of a reply means.
fn status_line(line: &str, method: Option<&str>) -> String {
    let code = line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
    let sentence = match (code, method) {
        (Some(200), Some("OPTIONS")) => "done: the header Public lists the methods",
        (Some(200), Some("DESCRIBE")) => "done: the description follows the headers",
        (Some(200), Some("SETUP")) => "done: the session exists now, and waits for PLAY",
        (Some(200), Some("PLAY")) => "done: RTP packets follow",
        (Some(200), Some("PAUSE")) => "done: no packet follows",
        (Some(200), Some("TEARDOWN")) => "done: the session does not exist any more",
        (Some(400), _) => "the server cannot read the request",
        (Some(401), _) => "the client must log in, in one of the ways that WWW-Authenticate lists",
        (Some(404), _) => "the server has no such movie, or the client may not watch it",
        (Some(405), _) => "the server does not have this method for movies",
        (Some(408), _) => "the rest of the request did not arrive in time",
        (Some(413), _) => "the body of the request is too long",
        (Some(415), _) => "the file cannot be sent as JPEG over RTP",
        (Some(451), _) => "the server does not know the parameters in the body",
        (Some(453), _) => "there are as many viewers as there may be",
        (Some(454), _) => "there is no session with this identifier, or no more",
        (Some(455), _) => "the state of the session does not allow the method",
        (Some(457), _) => "the movie has no such position",
        (Some(459), _) => "the session is one of another movie",
        (Some(461), _) => "the server has none of the offered transports",
        (Some(500), _) => "the server has failed",
        (Some(501), _) => "the server does not have this method, or this unit of a Range",
        (Some(503), _) => "the server has as many clients or sessions as it may have",
        (Some(505), _) => "the server speaks RTSP 1.0 only",
        (Some(551), _) => "the server does not have the option that the client requires",
        (Some(100..=299), _) => "done",
        (Some(300..=399), _) => "the movie is elsewhere",
        (Some(_), _) => "refused",
        (None, _) => "not a status line",
    };
    sentence.to_owned()
}

/// What a header means.
fn header_line(line: &str, is_reply: bool) -> String {
    let Some((name, value)) = line.split_once(':') else {
        return "not a header: the colon is missing".to_owned();
    };
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let sentence = match (name.as_str(), is_reply) {
        ("cseq", true) => return format!("answers request {value}"),
        ("cseq", false) => return format!("request number {value}: the reply repeats it"),
        ("session", true) => return session_line(value),
        ("session", false) => "the session that the reply to SETUP stated (not shown here)",
        ("transport", _) => return transport_line(value, is_reply),
        ("range", true) => return format!("the part of the movie that is sent: {}", range(value)),
        ("range", false) => return format!("the part of the movie to send: {}", range(value)),
        ("rtp-info", _) => return rtp_info_line(value),
        ("scale", _) => return scale_line(value),
        ("speed", _) => return format!("{value} times the normal data rate, no frame is left out"),
        ("user-agent", _) => "what the client calls itself",
        ("server", _) => "what the server calls itself",
        ("date", true) => "the time at the server",
        ("date", false) => "the time at the client",
        ("public" | "allow", _) => "the methods that the server has",
        ("accept", _) => "the formats of a description that the client reads",
        ("content-type", _) => "the format of the body",
        ("content-length", _) => return format!("the body has {value} bytes"),
        ("content-base", _) => "URLs in the description are relative to this one",
        ("cache-control", _) => "how long a description may be kept",
        ("authorization" | "proxy-authorization", _) => {
            "name and password, or their hash (not shown here)"
        }
        ("www-authenticate", _) => {
            "a way to log in; a nonce is used for one connection (not shown here)"
        }
        ("require" | "proxy-require", _) => "an extension that the client needs",
        ("unsupported", _) => "the extension that the server does not have",
        ("blocksize", _) => "the largest packet that the client wants",
        ("bandwidth", _) => "the data rate of the client's connection",
        ("connection", _) => "whether the connection is closed after the reply",
        ("retry-after", _) => return format!("the client may try again after {value} s"),
        ("supported", true) => "the extensions that the server has",
        ("supported", false) => "the extensions that the client has",
        ("x-dynamic-rate" | "x-accept-dynamic-rate", _) => "an extension that this server ignores",
        _ => "not needed here; ignored",
    };
    sentence.to_owned()
}

fn session_line(value: &str) -> String {
    let timeout = value.split(';').find_map(|part| part.trim().strip_prefix("timeout="));
    let repeats = "the client repeats the session in every request (not shown here)";
    match timeout {
        Some(seconds) => format!("{repeats}; it ends after {seconds} s without a sign of life"),
        None => repeats.to_owned(),
    }
}

/// The value of a parameter of a `Transport` header.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = value.split([';', ',']).filter_map(|part| part.trim().split_once('='));
    parts.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn transport_line(value: &str, is_reply: bool) -> String {
    let verb = if is_reply { "will be" } else { "may be" };
    let upper = value.to_ascii_uppercase();
    let how = if upper.contains("MULTICAST") {
        let group = parameter(value, "destination").map(|it| format!(" {it}")).unwrap_or_default();
        format!("RTP {verb} sent to a group{group} over UDP")
    } else if upper.contains("RTP/AVP/TCP") {
        match parameter(value, "interleaved") {
            Some(channels) => {
                format!("RTP and RTCP {verb} sent in this connection, on the channels {channels}")
            }
            None => format!("RTP and RTCP {verb} sent in this connection"),
        }
    } else {
        match parameter(value, "client_port") {
            Some(ports) => {
                format!("RTP and RTCP {verb} sent over UDP to the ports {ports} of the client")
            }
            None => format!("RTP and RTCP {verb} sent over UDP"),
        }
    };
    match parameter(value, "server_port") {
        Some(ports) => format!("{how}, from the ports {ports} of the server"),
        None => how,
    }
}

/// How fast the movie passes (RFC 2326 section 12.34).
fn scale_line(value: &str) -> String {
    let Ok(scale) = value.parse::<f64>() else {
        return "how fast the movie passes: 1 is its own rate".to_owned();
    };
    let backwards = if scale < 0.0 { ", backwards" } else { "" };
    let left_out = if scale.abs() >= 1.5 { "; frames are left out" } else { "" };
    format!("{} seconds of the movie pass in a second{backwards}{left_out}", scale.abs())
}

/// A range of normal play time.
fn range(value: &str) -> String {
    let Some(range) = value.trim().strip_prefix("npt=") else {
        return format!("{value} (only npt, normal play time, is served)");
    };
    let range = range.split(';').next().unwrap_or_default();
    match range.split_once('-') {
        Some(("now", "")) => "from the live position on".to_owned(),
        Some((start, "")) => format!("from {start} s to the end"),
        Some(("", end)) => format!("from the present position to {end} s"),
        Some((start, end)) => format!("from {start} s to {end} s"),
        None => value.to_owned(),
    }
}

fn rtp_info_line(value: &str) -> String {
    let sequence = parameter(value, "seq").map(|it| format!("sequence number {it}"));
    let timestamp = parameter(value, "rtptime").map(|it| format!("timestamp {it}"));
    match (sequence, timestamp) {
        (Some(sequence), Some(timestamp)) => {
            format!(
                "the first packet has the {sequence}, and the start of the range the {timestamp}"
            )
        }
        (None, Some(timestamp)) => format!("the start of the range has the {timestamp}"),
        _ => "where the packets of the range start".to_owned(),
    }
}

/// What a line of a description means (RFC 4566, RFC 2326 appendix C).
fn description_line(line: &str) -> String {
    let Some((key, value)) = line.split_once('=') else {
        return if line.is_empty() { String::new() } else { "a line of the body".to_owned() };
    };
    let attribute = value.split(':').next().unwrap_or_default();
    let content = value.split_once(':').map_or("", |(_, content)| content);
    let sentence = match (key, attribute) {
        ("v", _) => "the start of a description of the movie (SDP, RFC 4566)",
        ("o", _) => "who has made the description",
        ("s", _) => "the name of the movie",
        ("i" | "u" | "e" | "p", _) => "about the movie, for people",
        ("c", _) => "the address that packets are sent to; SETUP decides it",
        ("t", _) => "when the movie can be watched: always",
        ("m", _) => return media_line(value),
        ("b", _) => "the data rate",
        ("a", "control") if content == "*" => "the URL of the movie is that of the request",
        ("a", "control") => "the end of the URL for SETUP",
        ("a", "range") => return format!("the length of the movie: {}", range(content)),
        ("a", "rtpmap") => "the payload type of JPEG, and its clock of 90 kHz",
        ("a", "framerate") => return format!("{content} frames per second"),
        ("a", "framesize" | "x-dimensions") => "width and height in pixels",
        ("a", "tool") => "the program that has made the description",
        ("a", "type") => "the kind of the session",
        _ => "not needed here; ignored",
    };
    sentence.to_owned()
}

/// What a media line means.
fn media_line(value: &str) -> String {
    match *value.split(' ').collect::<Vec<_>>().as_slice() {
        ["video", "0", "RTP/AVP", kind] => {
            format!("video over RTP, payload type {kind}; SETUP decides the port")
        }
        ["video", port, "RTP/AVP", kind] => {
            format!("video over RTP, payload type {kind}, port {port}")
        }
        _ => "what is sent, and how".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(explanation: &Explanation) -> Vec<&str> {
        explanation.lines.iter().map(|(_, sentence)| sentence.as_str()).collect()
    }

    #[test]
    fn every_line_of_a_request_is_explained() {
        let text = "SETUP rtsp://h/m/stream=0 RTSP/1.0\r\nCSeq: 3\r\nUser-Agent: VLC\r\n\
                    Transport: RTP/AVP;unicast;client_port=5000-5001\r\nX: y\r\nbad\r\n\r\n";
        let got = explain_request(text);
        assert_eq!(got.title, "request: SETUP");
        let want = [
            "agrees on how packets are sent: INIT to READY",
            "request number 3: the reply repeats it",
            "what the client calls itself",
            "RTP and RTCP may be sent over UDP to the ports 5000-5001 of the client",
            "not needed here; ignored",
            "not a header: the colon is missing",
            "a blank line ends the headers",
        ];
        assert_eq!(sentences(&got), want);
        assert_eq!(got.lines[0].0, "SETUP rtsp://h/m/stream=0 RTSP/1.0\\r\\n");
    }

    #[test]
    fn every_line_of_a_reply_is_explained() {
        let text = "RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: ***;timeout=60\r\n\
                    RTP-Info: url=rtsp://h/m/stream=0;seq=7;rtptime=9\r\nRange: npt=1.5-\r\n\
                    Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=1\r\n\r\nv=0\r\n\
                    m=video 0 RTP/AVP 26\r\na=control:*\r\na=control:stream=0\r\na=range:npt=0-25\r\n\
                    a=framerate:20\r\n";
        let got = explain_reply(text, Some("PLAY"));
        let want = [
            "done: RTP packets follow",
            "answers request 4",
            "the client repeats the session in every request (not shown here); it ends after 60 s without a sign of life",
            "the first packet has the sequence number 7, and the start of the range the timestamp 9",
            "the part of the movie that is sent: from 1.5 s to the end",
            "RTP and RTCP will be sent in this connection, on the channels 0-1",
            "a blank line ends the headers",
            "the start of a description of the movie (SDP, RFC 4566)",
            "video over RTP, payload type 26; SETUP decides the port",
            "the URL of the movie is that of the request",
            "the end of the URL for SETUP",
            "the length of the movie: from 0 s to 25 s",
            "20 frames per second",
        ];
        assert_eq!(sentences(&got), want);
        assert_eq!(got.title, "reply to PLAY");
    }

    #[test]
    fn every_status_of_the_server_has_a_sentence() {
        for status in super::super::reply::Status::ALL {
            let (code, reason) = status.code_and_reason();
            let sentence = status_line(&format!("RTSP/1.0 {code} {reason}"), None);
            assert!(!["refused", "not a status line"].contains(&sentence.as_str()), "{code}");
        }
    }

    #[test]
    fn headers_are_explained_by_their_values() {
        let rows = [
            ("Range: npt=now-", false, "the part of the movie to send: from the live position on"),
            (
                "Range: npt=-5",
                false,
                "the part of the movie to send: from the present position to 5 s",
            ),
            ("Range: npt=2-5", true, "the part of the movie that is sent: from 2 s to 5 s"),
            (
                "Range: clock=1-",
                false,
                "the part of the movie to send: clock=1- (only npt, normal play time, is served)",
            ),
            (
                "Transport: RTP/AVP;unicast;client_port=1-2;server_port=3-4",
                true,
                "RTP and RTCP will be sent over UDP to the ports 1-2 of the client, from the ports 3-4 of the server",
            ),
            (
                "Transport: RTP/AVP;multicast;destination=239.1.1.1;port=1-2",
                true,
                "RTP will be sent to a group 239.1.1.1 over UDP",
            ),
            ("RTP-Info: url=x;rtptime=9", true, "the start of the range has the timestamp 9"),
            ("Date: Thu, 01 Jan 1970 00:00:00 GMT", true, "the time at the server"),
            ("Date: Thu, 01 Jan 1970 00:00:00 GMT", false, "the time at the client"),
            ("Retry-After: 1", true, "the client may try again after 1 s"),
            ("Scale: 2.000", true, "2 seconds of the movie pass in a second; frames are left out"),
            ("Scale: 0.5", false, "0.5 seconds of the movie pass in a second"),
            (
                "Scale: -1.5",
                false,
                "1.5 seconds of the movie pass in a second, backwards; frames are left out",
            ),
            ("Scale: fast", false, "how fast the movie passes: 1 is its own rate"),
            ("Speed: 2", true, "2 times the normal data rate, no frame is left out"),
        ];
        for (line, is_reply, want) in rows {
            assert_eq!(header_line(line, is_reply), want, "{line}");
        }
    }

    #[test]
    fn no_text_of_a_peer_controls_the_screen() {
        let evil = "\u{1b}[2J\u{9b}1m\u{202e}";
        let text =
            format!("SETUP {evil} {evil}\r\nCSeq: {evil}\r\nTransport: interleaved={evil}\r\n");
        for explanation in [explain_request(&text), explain_reply(&text, None)] {
            for (line, sentence) in explanation.lines {
                let raw = |c: char| c.is_control() || c == '\u{202e}';
                assert!(!line.contains(raw) && !sentence.contains(raw), "{line:?} {sentence:?}");
            }
        }
    }
}
