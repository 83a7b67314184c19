// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard RTSP explained: a plain sentence for each line (RFC 2326, RFC 4566).

use gstmjpegfile::lab::Explanation;
use std::fmt::Write;

/// What a method asks for.
fn purpose(method: &str) -> &'static str {
    match method {
        "OPTIONS" => "which requests does the server know? Also a sign of life",
        "DESCRIBE" => "what is in this stream? The answer is SDP",
        "SETUP" => "open the stream, and agree on how RTP is carried: INIT to READY",
        "PLAY" => "send frames: READY to PLAYING",
        "PAUSE" => "stop sending, keep the place: PLAYING to READY",
        "TEARDOWN" => "end the session: to INIT",
        "GET_PARAMETER" => "a value of the server's; without one a sign of life",
        "SET_PARAMETER" => "set a value of the server's",
        _ => "a request that RFC 2326 does not have",
    }
}

fn status(code: &str) -> &'static str {
    match code {
        "200" => "done",
        "301" | "302" | "303" => "the stream is elsewhere: Location says where",
        "400" => "the server did not understand the request",
        "401" => "a user and a password are wanted: WWW-Authenticate says how",
        "403" => "the server does not allow it",
        "404" => "the server has no such stream",
        "405" => "the stream does not know this request",
        "415" => "the server does not serve what this file is",
        "453" => "there is no bandwidth left",
        "454" => "the server does not know this session, or has ended it",
        "455" => "the session's state does not allow it",
        "457" => "the stream does not have this range",
        "459" => "the request must name one stream, not all of them",
        "460" => "the request must name all streams together",
        "461" => "the server does not carry RTP in the way that was asked for",
        "500" => "something went wrong in the server",
        "501" => "the server does not have this request",
        "503" => "the server cannot do it now",
        "551" => "an option that was required is unknown",
        _ => match code.bytes().next() {
            Some(b'2') => "done",
            Some(b'4') => "the request was refused",
            Some(b'5') => "the server failed",
            _ => "not a status of RFC 2326",
        },
    }
}

/// A place in the movie as a Range states it.
fn range(value: &str) -> String {
    let Some((begin, end)) = value.strip_prefix("npt=").and_then(|it| it.split_once('-')) else {
        return format!("the part of the movie: {value}");
    };
    let begin = if begin == "now" { "where it is".to_owned() } else { format!("{begin} s") };
    if end.is_empty() {
        format!("from {begin} to the end (NPT is normal play time)")
    } else {
        format!("from {begin} to {end} s (NPT is normal play time)")
    }
}

fn transport(value: &str) -> String {
    let part = |name: &str| value.split(';').find_map(|it| it.trim().strip_prefix(name));
    if let Some(channels) = part("interleaved=") {
        return format!(
            "RTP and RTCP in this TCP connection, as channels {channels}: a $, the channel, and \
             two bytes of length stand before each packet"
        );
    }
    // Writing to a string does not fail.
    let mut out = "RTP in UDP datagrams".to_owned();
    if let Some(ports) = part("client_port=") {
        let _ = write!(out, ", RTP and RTCP to ports {ports} of the client");
    }
    if let Some(ports) = part("server_port=") {
        let _ = write!(out, ", from ports {ports} of the server");
    }
    if let Some(ssrc) = part("ssrc=") {
        let _ = write!(out, "; the packets' SSRC is {ssrc}");
    }
    out
}

/// What a header says, by its name.
fn header(name: &str, value: &str, reply: bool) -> String {
    match name.to_ascii_lowercase().as_str() {
        "cseq" if reply => format!("answers request {value}"),
        "cseq" => format!("request number {value}: the reply repeats it"),
        "session" => {
            let (id, timeout) = value.split_once(';').unwrap_or((value, ""));
            let timeout = timeout.trim().strip_prefix("timeout=");
            match timeout {
                _ if !reply => format!("of session {id}, which SETUP's reply named"),
                Some(s) => format!("session {id}; {s} s without a sign of life end it"),
                None => format!("session {id}: the client repeats it from now on"),
            }
        }
        "transport" => transport(value),
        "range" => range(value),
        "rtp-info" => {
            "the first packet's sequence number and timestamp, for each stream".to_owned()
        }
        "scale" => format!("{value} times as fast as it was taken; below 0 backwards"),
        "speed" => format!("sent {value} times as fast as it is to be shown"),
        "public" | "allow" => "the requests that there are".to_owned(),
        "user-agent" => "the client's program".to_owned(),
        "server" => "the server's program".to_owned(),
        "accept" => "the client reads this kind of description".to_owned(),
        "content-type" => format!("what follows is {value}"),
        "content-length" => format!("{value} bytes follow the blank line"),
        "content-base" => "the description's relative names begin here".to_owned(),
        "date" => "when it was written".to_owned(),
        "authorization" => "who asks; the password is blanked here".to_owned(),
        "www-authenticate" => "how the client may say who it is".to_owned(),
        "connection" => format!("the connection: {value}"),
        "blocksize" => format!("packets of at most {value} bytes are wanted"),
        "accept-ranges" => "how places in the movie may be stated".to_owned(),
        "media-properties" => "what can be done with the movie (RFC 7826)".to_owned(),
        "require" | "supported" | "unsupported" => "options beyond RFC 2326".to_owned(),
        _ => "a header that this view has no sentence for".to_owned(),
    }
}

/// A line of the description.
fn sdp(line: &str) -> String {
    let (kind, value) = line.split_once('=').unwrap_or((line, ""));
    match kind {
        "v" => "SDP begins (RFC 4566)".to_owned(),
        "o" => "who made the description, and its version".to_owned(),
        "s" => format!("the stream is called {value:?}"),
        "i" => "about the stream".to_owned(),
        "c" => "the address; SETUP decides it".to_owned(),
        "t" => "when the stream is there; 0 0 is always".to_owned(),
        "m" => {
            let mut words = value.split(' ');
            let media = words.next().unwrap_or_default();
            let pt = words.nth(2).unwrap_or_default();
            format!("a stream of {media}, payload type {pt}")
        }
        "b" => "its bandwidth".to_owned(),
        "a" => match value.split_once(':') {
            Some(("rtpmap", it)) => {
                let (pt, codec) = it.split_once(' ').unwrap_or((it, ""));
                let (codec, clock) = codec.split_once('/').unwrap_or((codec, "?"));
                format!("payload type {pt} is {codec}, its clock ticks {clock} times a second")
            }
            Some(("control", _)) => "SETUP names the stream by this".to_owned(),
            Some(("framerate" | "x-framerate", rate)) => format!("{rate} frames a second"),
            Some(("range", it)) => format!("the movie goes {}", range(it)),
            Some(("x-dimensions" | "framesize", it)) => format!("the picture's size: {it}"),
            Some(("tool", _)) => "the program that made the description".to_owned(),
            Some(("type", _)) => "what kind of session it is".to_owned(),
            Some(("ssrc", _)) => "the packets' SSRC, and their sender's name".to_owned(),
            _ => "an attribute".to_owned(),
        },
        _ => "a line of SDP".to_owned(),
    }
}

fn lines(text: &str, reply: bool, first: &str) -> Vec<(String, String)> {
    let mut body = false;
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let sentence = if at == 0 {
            first.to_owned()
        } else if body {
            sdp(line)
        } else if line.is_empty() {
            body = true;
            "a blank line ends the headers".to_owned()
        } else {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            header(name, value.trim(), reply)
        };
        out.push((line.to_owned(), sentence));
    }
    out
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A request, line by line.
pub(super) fn explain_rtsp_request(text: &str) -> Explanation {
    let method = text.split(' ').next().unwrap_or_default();
    Explanation {
        title: format!("request: {method}"),
        lines: lines(text, false, purpose(method)),
        remarks: Vec::new(),
    }
}

/// A reply to `request`, line by line, and what in it breaks RFC 2326.
pub(super) fn explain_rtsp_reply(text: &str, request: &str) -> Explanation {
    let method = request.split(' ').next().unwrap_or_default();
    let code = text.split(' ').nth(1).unwrap_or_default();
    let mut remarks = Vec::new();
    let cseq = value(text, "CSeq");
    if cseq.is_none() {
        remarks.push("RFC 2326 section 12.17 asks for the request's CSeq; none came".to_owned());
    }
    if method == "SETUP" && code == "200" {
        for (name, section) in [("Session", "12.37"), ("Transport", "12.39")] {
            if value(text, name).is_none() {
                remarks.push(format!(
                    "RFC 2326 section {section} asks for {name} in SETUP's reply; none came"
                ));
            }
        }
    }
    if let (Some(asked), Some(answered)) = (value(request, "Session"), value(text, "Session")) {
        let id = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
        if id(asked) != id(answered) {
            remarks.push(format!(
                "the request was of session {}, the reply is of {}",
                id(asked),
                id(answered)
            ));
        }
    }
    let to = cseq.map_or(String::new(), |cseq| format!(" (request {cseq})"));
    Explanation {
        title: format!("reply to {method}{to}"),
        lines: lines(text, true, status(code)),
        remarks,
    }
}

/// The message with passwords blanked: of URIs, and what authorization is made of.
pub(super) fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let end = if line.ends_with("\r\n") { "\r\n" } else { "" };
        if lower.starts_with("authorization:") || lower.starts_with("proxy-authorization:") {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let scheme = value.split_whitespace().next().unwrap_or_default();
            let _ = write!(out, "{name}: {scheme} ***{end}");
        } else {
            out += &password_blanked(line);
        }
    }
    out
}

/// `scheme://user:password@host` with three asterisks for the password.
pub fn password_blanked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.find(['/', ' ', '?', '\r', '\n']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority);
    match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:***@{host}{path}"),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_sentence() {
        // The message, what it answers, what each line's sentence holds, each remark.
        type Row<'a> = (&'a str, Option<&'a str>, &'a [&'a str], &'a [&'a str]);
        let setup = "SETUP rtsp://h/m/stream=0 RTSP/1.0\r\nCSeq: 3\r\n\
                     Transport: RTP/AVP;unicast;client_port=5000-5001\r\n\r\n";
        let play = "PLAY rtsp://h/m RTSP/1.0\r\nCSeq: 4\r\nRange: npt=2.5-\r\nSession: 12\r\n\r\n";
        let rows: [Row; 6] = [
            (setup, None, &["INIT to READY", "number 3", "ports 5000-5001", "blank line"], &[]),
            (
                play,
                None,
                &["READY to PLAYING", "number 4", "from 2.5 s to the end", "session 12", "blank"],
                &[],
            ),
            (
                "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 12;timeout=60\r\n\
                 Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
                Some(setup),
                &["done", "answers request 3", "session 12; 60 s", "channels 0-1", "blank line"],
                &[],
            ),
            (
                "RTSP/1.0 200 OK\r\nSession: 12\r\n\r\n",
                Some(setup),
                &["done", "session 12", "blank line"],
                &["12.17", "12.39"],
            ),
            (
                "RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 13\r\n\r\n",
                Some(play),
                &["done", "request 4", "session 13", "blank line"],
                &["of session 12, the reply is of 13"],
            ),
            (
                "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\
                 m=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\na=range:npt=0-2\r\n",
                Some("DESCRIBE rtsp://h/m RTSP/1.0\r\nCSeq: 2\r\n\r\n"),
                &[
                    "done",
                    "request 2",
                    "application/sdp",
                    "blank line",
                    "SDP begins",
                    "payload type 26",
                    "JPEG, its clock ticks 90000",
                    "from 0 s to 2 s",
                ],
                &[],
            ),
        ];
        for (text, asked, sentences, remarks) in rows {
            let got = match asked {
                Some(request) => explain_rtsp_reply(text, request),
                None => explain_rtsp_request(text),
            };
            assert_eq!(got.lines.len(), sentences.len(), "{got}");
            for ((_, sentence), want) in got.lines.iter().zip(sentences) {
                assert!(sentence.contains(want), "{want}: {got}");
            }
            assert_eq!(got.remarks.len(), remarks.len(), "{got}");
            for (remark, want) in got.remarks.iter().zip(remarks) {
                assert!(remark.contains(want), "{want}: {got}");
            }
        }
    }

    #[test]
    fn passwords_are_blanked() {
        let rows = [
            (
                "OPTIONS rtsp://u:secret@h:554/m RTSP/1.0\r\n",
                "OPTIONS rtsp://u:***@h:554/m RTSP/1.0\r\n",
            ),
            ("Authorization: Basic dTpzZWNyZXQ=\r\n", "Authorization: Basic ***\r\n"),
            ("Authorization: Digest response=\"12\"", "Authorization: Digest ***"),
            ("PLAY rtsp://u@h/m RTSP/1.0\r\n", "PLAY rtsp://u@h/m RTSP/1.0\r\n"),
            ("PLAY rtsp://h/a@b:c RTSP/1.0\r\n", "PLAY rtsp://h/a@b:c RTSP/1.0\r\n"),
        ];
        for (text, want) in rows {
            assert_eq!(without_secrets(text), want);
        }
    }
}
