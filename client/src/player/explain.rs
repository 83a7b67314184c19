// SPDX-License-Identifier: MIT OR Apache-2.0
//! Explanations of standard RTSP: one sentence for each line (RFC 2326, RFC 4566).

use gstmjpegfile::lab::Explanation;
use std::fmt::Write;

/// What a request with this method asks the server to do.
fn explain_method(method: &str) -> &'static str {
    match method {
        "OPTIONS" => "list the supported requests; also keeps the session alive",
        "DESCRIBE" => "describe the stream; the reply contains SDP",
        "SETUP" => "open the stream, and agree on the transport of RTP: INIT to READY",
        "PLAY" => "send frames: READY to PLAYING",
        "PAUSE" => "stop sending, keep the position: PLAYING to READY",
        "TEARDOWN" => "end the session: to INIT",
        "GET_PARAMETER" => "read a parameter; without one, keeps the session alive",
        "SET_PARAMETER" => "set a parameter",
        _ => "a method that RFC 2326 does not define",
    }
}

/// What a status code means.
fn explain_status(code: &str) -> &'static str {
    match code {
        "200" => "done",
        "301" | "302" | "303" => "the stream is at another address, which Location states",
        "400" => "the server did not understand the request",
        "401" => "a user and a password are required: WWW-Authenticate says in which form",
        "403" => "the server does not allow the request",
        "404" => "the server has no such stream",
        "405" => "the stream does not support this request",
        "415" => "the server does not serve this type of file",
        "453" => "there is not enough bandwidth",
        "454" => "the server does not know this session, or has ended it",
        "455" => "the session's state does not allow the request",
        "457" => "the stream does not have this range",
        "459" => "the request must name one stream, not all of them",
        "460" => "the request must name all streams together",
        "461" => "the server does not support the requested transport",
        "500" => "an error occurred in the server",
        "501" => "the server does not support this request",
        "503" => "the server cannot carry out the request now",
        "551" => "the server does not support a required option",
        _ => match code.bytes().next() {
            Some(b'2') => "done",
            Some(b'4') => "the request was refused",
            Some(b'5') => "the server failed",
            _ => "a status code that RFC 2326 does not define",
        },
    }
}

/// Which part of the movie the value of a Range header names.
fn explain_range(value: &str) -> String {
    let Some((start, end)) = value.strip_prefix("npt=").and_then(|it| it.split_once('-')) else {
        return format!("the part of the movie: {value}");
    };
    let start =
        if start == "now" { "the current position".to_owned() } else { format!("{start} s") };
    if end.is_empty() {
        format!("from {start} to the end (NPT is normal play time)")
    } else {
        format!("from {start} to {end} s (NPT is normal play time)")
    }
}

/// Which transport the value of a Transport header names.
fn explain_transport(value: &str) -> String {
    let part = |name: &str| value.split(';').find_map(|it| it.trim().strip_prefix(name));
    if let Some(channels) = part("interleaved=") {
        return format!(
            "RTP and RTCP in this TCP connection, on channels {channels}; before each packet come a \
             $, the channel, and the length in two bytes"
        );
    }
    // Writing to a string does not fail.
    let mut out = "RTP in UDP datagrams".to_owned();
    if let (Some(group), Some(ports)) = (part("destination="), part("port=")) {
        let _ = write!(
            out,
            ", which the server sends once for all viewers, to ports {ports} of the multicast group {group}"
        );
        if let Some(ttl) = part("ttl=") {
            let _ = write!(out, "; they pass at most {ttl} networks");
        }
    } else if value.split(';').any(|it| it.trim() == "multicast") {
        out += ", to a multicast group that the server chooses";
    }
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

/// What a header means.
fn explain_header(name: &str, value: &str, reply: bool) -> String {
    match name.to_ascii_lowercase().as_str() {
        "cseq" if reply => format!("answers request {value}"),
        "cseq" => format!("request number {value}: the reply repeats it"),
        "session" => {
            let (id, timeout) = value.split_once(';').unwrap_or((value, ""));
            let timeout = timeout.trim().strip_prefix("timeout=");
            match timeout {
                _ if !reply => format!("session {id}, which SETUP's reply named"),
                Some(s) => format!("session {id}; it ends after {s} s without a request"),
                None => format!("session {id}: the client repeats it in every request"),
            }
        }
        "transport" => explain_transport(value),
        "range" => explain_range(value),
        "rtp-info" => {
            "the first packet's sequence number and timestamp, for each stream".to_owned()
        }
        "scale" => format!("playback rate {value}; a negative rate plays backwards"),
        "speed" => format!("sent at {value} times the playback rate"),
        "public" | "allow" => "the supported requests".to_owned(),
        "user-agent" => "the client's program".to_owned(),
        "server" => "the server's program".to_owned(),
        "accept" => "the format of description that the client reads".to_owned(),
        "content-type" => format!("the format of the body: {value}"),
        "content-length" => format!("{value} bytes follow the blank line"),
        "content-base" => "the base of relative URLs in the description".to_owned(),
        "date" => "when the message was written".to_owned(),
        "authorization" => "the user and the password, which is blanked here".to_owned(),
        "www-authenticate" => "how the client can send a user and a password".to_owned(),
        "connection" => format!("the connection: {value}"),
        "blocksize" => format!("requests packets of at most {value} bytes"),
        "accept-ranges" => "the units in which positions can be stated".to_owned(),
        "media-properties" => "the operations that the movie supports (RFC 7826)".to_owned(),
        "require" | "supported" | "unsupported" => "options beyond RFC 2326".to_owned(),
        _ => "a header without an explanation".to_owned(),
    }
}

/// What a line of the description means.
fn explain_sdp(line: &str) -> String {
    let (kind, value) = line.split_once('=').unwrap_or((line, ""));
    match kind {
        "v" => "the version of SDP (RFC 4566)".to_owned(),
        "o" => "the author of the description, and its version".to_owned(),
        "s" => format!("the name of the stream: \"{value}\""),
        "i" => "information about the stream".to_owned(),
        "c" => "the address for RTP; SETUP decides it".to_owned(),
        "t" => "when the stream is available; 0 0 means always".to_owned(),
        "m" => {
            let mut words = value.split(' ');
            let media = words.next().unwrap_or_default();
            let pt = words.nth(2).unwrap_or_default();
            format!("a stream of {media}, payload type {pt}")
        }
        "b" => "the bandwidth".to_owned(),
        "a" => match value.split_once(':') {
            Some(("rtpmap", it)) => {
                let (pt, codec) = it.split_once(' ').unwrap_or((it, ""));
                let (codec, clock) = codec.split_once('/').unwrap_or((codec, "?"));
                format!("payload type {pt} is {codec} with a clock rate of {clock} Hz")
            }
            Some(("control", _)) => "the address of the stream in SETUP".to_owned(),
            Some(("framerate" | "x-framerate", rate)) => format!("{rate} frames per second"),
            Some(("range", it)) => format!("the movie plays {}", explain_range(it)),
            Some(("x-dimensions" | "framesize", it)) => format!("the picture's size: {it}"),
            Some(("tool", _)) => "the program that made the description".to_owned(),
            Some(("type", _)) => "the type of session".to_owned(),
            Some(("ssrc", _)) => "the packets' SSRC, and their sender's name".to_owned(),
            _ => "an attribute".to_owned(),
        },
        _ => "a line of SDP".to_owned(),
    }
}

/// Each line of a message with its explanation; `first` explains the first line.
fn explain_lines(text: &str, reply: bool, first: &str) -> Vec<(String, String)> {
    let mut body = false;
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let sentence = if at == 0 {
            first.to_owned()
        } else if body {
            explain_sdp(line)
        } else if line.is_empty() {
            body = true;
            "a blank line ends the headers".to_owned()
        } else {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            explain_header(name, value.trim(), reply)
        };
        out.push((line.to_owned(), sentence));
    }
    out
}

/// The value of the header `name` in a message.
fn header_value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Explains a request line by line.
pub(super) fn explain_rtsp_request(text: &str) -> Explanation {
    let method = text.split(' ').next().unwrap_or_default();
    Explanation {
        title: format!("request: {method}"),
        lines: explain_lines(text, false, explain_method(method)),
        remarks: Vec::new(),
    }
}

/// Explains a reply to `request` line by line, and remarks on violations of RFC 2326.
pub(super) fn explain_rtsp_reply(text: &str, request: &str) -> Explanation {
    let method = request.split(' ').next().unwrap_or_default();
    let code = text.split(' ').nth(1).unwrap_or_default();
    let mut remarks = Vec::new();
    let cseq = header_value(text, "CSeq");
    if cseq.is_none() {
        remarks
            .push("RFC 2326 section 12.17 requires the request's CSeq; it is missing".to_owned());
    }
    if method == "SETUP" && code == "200" {
        for (name, section) in [("Session", "12.37"), ("Transport", "12.39")] {
            if header_value(text, name).is_none() {
                remarks.push(format!(
                    "RFC 2326 section {section} requires {name} in SETUP's reply; it is missing"
                ));
            }
        }
    }
    let sessions = (header_value(request, "Session"), header_value(text, "Session"));
    if let (Some(requested), Some(replied)) = sessions {
        let id = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
        if id(requested) != id(replied) {
            remarks.push(format!(
                "the request is of session {}, the reply of session {}",
                id(requested),
                id(replied)
            ));
        }
    }
    let to = cseq.map_or(String::new(), |cseq| format!(" (request {cseq})"));
    Explanation {
        title: format!("reply to {method}{to}"),
        lines: explain_lines(text, true, explain_status(code)),
        remarks,
    }
}

/// Replaces the passwords in URIs and the credentials in Authorization headers by three asterisks.
pub(super) fn blank_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let end = if line.ends_with("\r\n") { "\r\n" } else { "" };
        if lower.starts_with("authorization:") || lower.starts_with("proxy-authorization:") {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let scheme = value.split_whitespace().next().unwrap_or_default();
            let _ = write!(out, "{name}: {scheme} ***{end}");
        } else {
            out += &blank_password(line);
        }
    }
    out
}

/// Replaces the password in each `scheme://user:password@host` by three asterisks.
pub fn blank_password(text: &str) -> String {
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "://";
        let url = part.find(|c: char| c.is_whitespace() || "\"'<>".contains(c));
        let (url, rest) = part.split_at(url.unwrap_or(part.len()));
        let (authority, path) = url.split_at(url.find(['/', '?']).unwrap_or(url.len()));
        // A password with a slash that is not encoded: what looks like a port is not a number.
        let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let hidden = match authority.rsplit_once('@') {
            Some((credentials, host)) => credentials.split_once(':').map(|it| (it.0, host, path)),
            None => authority.split_once(':').filter(|it| !is_port(it.1)).and_then(|(user, _)| {
                // An IPv6 address also contains colons.
                let (_, host) = url.rsplit_once('@').filter(|_| !user.starts_with('['))?;
                Some((user, host, ""))
            }),
        };
        match hidden {
            Some((user, host, path)) => {
                let _ = write!(out, "{user}:***@{host}{path}");
            }
            None => out += url,
        }
        out += rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multicast_transport_is_explained() {
        let rows = [
            (
                "RTP/AVP/UDP;multicast",
                "RTP in UDP datagrams, to a multicast group that the server chooses",
            ),
            (
                "RTP/AVP;multicast;destination=239.1.2.3;port=5004-5005;ttl=4;ssrc=0000ABCD",
                "RTP in UDP datagrams, which the server sends once for all viewers, to ports 5004-5005 of \
                 the multicast group 239.1.2.3; they pass at most 4 networks; the packets' SSRC is \
                 0000ABCD",
            ),
        ];
        for (value, want) in rows {
            assert_eq!(explain_transport(value), want);
        }
    }

    #[test]
    fn each_line_has_an_explanation() {
        // The message, the request that it answers, the explanation of each line, each remark.
        type Row<'a> = (&'a str, Option<&'a str>, &'a [&'a str], &'a [&'a str]);
        let setup = "SETUP rtsp://h/m/stream=0 RTSP/1.0\r\nCSeq: 3\r\n\
                     Transport: RTP/AVP;unicast;client_port=5000-5001\r\n\r\n";
        let play = "PLAY rtsp://h/m RTSP/1.0\r\nCSeq: 4\r\nRange: npt=2.5-\r\nSession: 12\r\n\r\n";
        let blank_line = "a blank line ends the headers";
        let rows: [Row; 6] = [
            (
                setup,
                None,
                &[
                    "open the stream, and agree on the transport of RTP: INIT to READY",
                    "request number 3: the reply repeats it",
                    "RTP in UDP datagrams, RTP and RTCP to ports 5000-5001 of the client",
                    blank_line,
                ],
                &[],
            ),
            (
                play,
                None,
                &[
                    "send frames: READY to PLAYING",
                    "request number 4: the reply repeats it",
                    "from 2.5 s to the end (NPT is normal play time)",
                    "session 12, which SETUP's reply named",
                    blank_line,
                ],
                &[],
            ),
            (
                "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 12;timeout=60\r\n\
                 Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
                Some(setup),
                &[
                    "done",
                    "answers request 3",
                    "session 12; it ends after 60 s without a request",
                    "RTP and RTCP in this TCP connection, on channels 0-1; before each packet come \
                     a $, the channel, and the length in two bytes",
                    blank_line,
                ],
                &[],
            ),
            (
                "RTSP/1.0 200 OK\r\nSession: 12\r\n\r\n",
                Some(setup),
                &["done", "session 12: the client repeats it in every request", blank_line],
                &[
                    "RFC 2326 section 12.17 requires the request's CSeq; it is missing",
                    "RFC 2326 section 12.39 requires Transport in SETUP's reply; it is missing",
                ],
            ),
            (
                "RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 13\r\n\r\n",
                Some(play),
                &[
                    "done",
                    "answers request 4",
                    "session 13: the client repeats it in every request",
                    blank_line,
                ],
                &["the request is of session 12, the reply of session 13"],
            ),
            (
                "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\
                 m=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\na=range:npt=0-2\r\n",
                Some("DESCRIBE rtsp://h/m RTSP/1.0\r\nCSeq: 2\r\n\r\n"),
                &[
                    "done",
                    "answers request 2",
                    "the format of the body: application/sdp",
                    blank_line,
                    "the version of SDP (RFC 4566)",
                    "a stream of video, payload type 26",
                    "payload type 26 is JPEG with a clock rate of 90000 Hz",
                    "the movie plays from 0 s to 2 s (NPT is normal play time)",
                ],
                &[],
            ),
        ];
        for (text, request, sentences, remarks) in rows {
            let explanation = match request {
                Some(request) => explain_rtsp_reply(text, request),
                None => explain_rtsp_request(text),
            };
            let got: Vec<&str> = explanation.lines.iter().map(|(_, it)| it.as_str()).collect();
            assert_eq!(got, sentences, "{text}");
            assert_eq!(explanation.remarks, remarks, "{text}");
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
            ("rtsp://h:554/a@b", "rtsp://h:554/a@b"),
            ("rtsp://[::1]:554/a@b", "rtsp://[::1]:554/a@b"),
            ("rtsp://u:p@ss@h/m", "rtsp://u:***@h/m"),
            ("rtsp://u:p/secret@h/m", "rtsp://u:***@h/m"),
            (
                "from <rtsp://a:secret@h/m> to rtsps://b:secret@h/n?x",
                "from <rtsp://a:***@h/m> to rtsps://b:***@h/n?x",
            ),
        ];
        for (text, want) in rows {
            assert_eq!(blank_secrets(text), want);
        }
    }
}
