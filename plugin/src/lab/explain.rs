// SPDX-License-Identifier: MIT OR Apache-2.0
//! Explains messages to the students who write lab clients and servers: a sentence for each line, and
//! remarks about how a message differs from what the lab asks for.

use super::request::{Request, integers, is_like_cseq, line_format_of};
use super::{Dialect, LineEnd, Method, Reply};
use crate::rtp::RtpHeader;
use std::fmt;

/// Explanation of a message or a header, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What the message is.
    pub title: String,
    /// Each line, with visible line ends, and what it means.
    pub lines: Vec<(String, String)>,
    /// The differences: what the lab asks for, and what was received.
    pub remarks: Vec<String>,
}

/// The column at which sentences start, unless a line is longer.
const COLUMN: usize = 46;

/// Several lines of text in two columns.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        for (line, sentence) in &self.lines {
            write!(f, "\n    {line:COLUMN$}  {sentence}")?;
        }
        for remark in &self.remarks {
            write!(f, "\n  ! {remark}")?;
        }
        Ok(())
    }
}

/// A line with visible line end and control characters, and with escapes for characters that change
/// the direction of text.
pub fn visible(line: &str) -> String {
    line.chars().fold(String::new(), |mut out, c| {
        match c {
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.extend(c.escape_default()),
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_default());
            }
            c => out.push(c),
        }
        out
    })
}

fn purpose(method: Method, file: Option<&str>) -> String {
    let file = file.unwrap_or("the movie");
    match method {
        Method::Setup => format!("open {file}: INIT to READY"),
        Method::Play => "send frames: READY to PLAYING".to_owned(),
        Method::Pause => "stop sending, keep the position: PLAYING to READY".to_owned(),
        Method::Teardown => "end the session: to INIT".to_owned(),
        Method::Describe => format!("describe {file}"),
        Method::Options => "list the methods".to_owned(),
        Method::Forward => "skip forward by a tenth of the movie".to_owned(),
        Method::Backward => "skip back by a tenth of the movie".to_owned(),
        Method::Seek => "go to the position in X-Seek".to_owned(),
        Method::Speed(1) => "half the frame rate".to_owned(),
        Method::Speed(4) => "twice the frame rate".to_owned(),
        Method::Speed(_) => "the normal frame rate".to_owned(),
        Method::List => "list the movies".to_owned(),
        Method::Switch => "list the movies, and switch to the named one".to_owned(),
    }
}

/// What a line after the first one means.
fn header_line(line: &str, reply: bool) -> String {
    let lower = line.to_ascii_lowercase();
    let value = line.split_once(':').map_or("", |(_, value)| value.trim());
    let number = |number: Option<u64>| number.map_or("none".to_owned(), |it| it.to_string());
    let digits = number(integers(line).next());
    if line.is_empty() {
        "a blank line ends the message, as in RFC 2326".to_owned()
    } else if lower.starts_with("session") && reply && value == "0" {
        "no session: the request failed".to_owned()
    } else if lower.starts_with("session") {
        if reply {
            format!("session {value}: the client repeats it in every request from now on")
        } else {
            format!("session {value}, which the reply to SETUP stated")
        }
    } else if lower.contains("client_port") {
        format!("RTP in UDP datagrams, to port {digits} of the client")
    } else if is_like_cseq(line) {
        if reply {
            format!("answers request {digits}")
        } else {
            format!("request number {digits}: the reply repeats it")
        }
    } else if lower.starts_with("rtsp/") {
        let port = number(integers(line).next_back());
        format!("RTP in UDP datagrams, to port {port} of the client")
    } else if !line.contains(|c: char| c.is_ascii_alphabetic()) && integers(line).next().is_some() {
        if reply {
            format!("the number {digits}, without a name: the size or the number of frames")
        } else {
            format!("request number {digits}, without a name, as in the course report")
        }
    } else if lower.starts_with("x-seek") {
        format!("the position in the movie, from 0 to 1: {value}")
    } else if lower.starts_with("startpoint") {
        format!("start with frame {digits}")
    } else if lower.contains("totalframe")
        || lower.contains("total-frames")
        || lower.starts_with("frames")
    {
        let noun = if digits == "1" { "frame" } else { "frames" };
        format!("the movie has {digits} {noun}")
    } else if lower.starts_with("totalsendpacketcount") {
        let noun = if digits == "1" { "packet" } else { "packets" };
        format!("the server has sent {digits} {noun}")
    } else if lower.starts_with("totaltime") {
        format!("the movie takes {value} s")
    } else if lower.starts_with("a=framerate") {
        format!("{value} frames per second")
    } else if lower.starts_with("m=video") {
        "video, over RTP, payload type 26 (SDP, RFC 4566)".to_owned()
    } else if lower.starts_with("a=rtpmap") {
        "payload type 26 is JPEG with a clock of 90 kHz".to_owned()
    } else if lower.starts_with("v=0") {
        "the start of a description of the movie (SDP, RFC 4566)".to_owned()
    } else {
        "not part of the lab; ignored".to_owned()
    }
}

/// Explains a request.
pub fn explain_request(text: &str) -> Explanation {
    let parsed = Request::parse(text);
    let dialect = Dialect::of(text);
    let line_format = line_format_of(text);
    let mut remarks = Vec::new();
    let mut lines = Vec::new();
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let sentence = match (at, &parsed) {
            (0, Ok(request)) => purpose(request.method, request.file.as_deref()),
            (0, Err((error, ..))) => format!("not a request of the lab: {error}"),
            _ => header_line(line.trim(), false),
        };
        lines.push((visible(line), visible(&sentence)));
    }
    if let Err((error, ..)) = parsed {
        remarks.push(format!(
            "the lab asks for METHOD FILE RTSP/1.0, CSeq: N, then Transport: RTP/UDP; client_port= P \
             (SETUP) or Session: S; here: {error}"
        ));
    }
    let second = text.lines().nth(1).unwrap_or_default().trim();
    if dialect != Dialect::Seed && !second.to_ascii_lowercase().starts_with("cseq:") {
        remarks.push(format!(
            "the lab asks for \"CSeq: N\" in the second line, but received {second:?}"
        ));
    }
    if !line_format.blank_line {
        remarks.push(
            "RFC 2326 asks for a blank line at the end; like most lab clients, this one sends none, \
             so that a pause ends the request"
                .to_owned(),
        );
    }
    let word = match &parsed {
        Ok(request) => request.method.word(),
        Err(_) => "unknown",
    };
    let ends = match line_format.line_end {
        LineEnd::Lf => "LF",
        LineEnd::CrLf => "CRLF",
    };
    let writer = match dialect {
        Dialect::Textbook => "the textbook's client writes",
        Dialect::Java => "Java clients write",
        Dialect::Seed => "the course report's client writes",
    };
    let title = format!("request: {word}, as {writer}, with {ends}");
    Explanation { title, lines, remarks }
}

fn status(code: u16) -> &'static str {
    match code {
        200 => "OK_200: done",
        400 => "the server did not understand the request",
        404 => "FILE_NOT_FOUND_404: the server has no such movie",
        454 => "the session number is wrong",
        455 => "the state does not allow the method: PLAY and PAUSE need a SETUP before them",
        500 => "CON_ERR_500: the server cannot send RTP",
        501 => "the server does not support the method",
        100..=299 => "done",
        300..=399 => "redirected",
        _ => "refused",
    }
}

/// Explains a reply to the request with this method and number; `None` if no request waits for a
/// reply.
pub fn explain_reply(text: &str, request: Option<(Method, u64)>) -> Explanation {
    let parsed = Reply::parse(text);
    let mut remarks = Vec::new();
    let names = request.is_some_and(|(method, _)| matches!(method, Method::List | Method::Switch));
    let mut body = false;
    let mut lines = Vec::new();
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let trimmed = line.trim();
        let sentence = match (at, &parsed) {
            (0, Ok(Reply { code: 200, .. }))
                if request.is_some_and(|(method, _)| method == Method::Setup) =>
            {
                "OK_200; many lab servers send it for a missing movie too; only RTP proves that the movie exists"
                    .to_owned()
            }
            (0, Ok(reply)) => status(reply.code).to_owned(),
            (0, Err(error)) => format!("not a reply: {error}"),
            _ if names && at > 2 && !trimmed.is_empty() => "a movie of the server".to_owned(),
            _ if body && !trimmed.contains('=') => "a name or a value".to_owned(),
            _ => header_line(trimmed, true),
        };
        body |= trimmed.is_empty();
        lines.push((visible(line), visible(&sentence)));
    }
    match (&parsed, request) {
        (Ok(reply), Some((_, cseq))) => match reply.cseq {
            Some(number) if number == cseq => {}
            // The Java clients' errors have one line.
            None if reply.code != 200 && text.lines().count() == 1 => {}
            Some(number) => {
                remarks.push(format!(
                    "the lab asks that CSeq repeats that of the request, {cseq}, but received {number}"
                ));
            }
            None => {
                let line = text.lines().nth(1).unwrap_or_default().trim();
                remarks.push(format!("the lab asks for \"CSeq: {cseq}\", but received {line:?}"));
            }
        },
        (Ok(_), None) => remarks.push("no request waits for this reply".to_owned()),
        (Err(_), _) => {
            let line = text.lines().next().unwrap_or_default();
            remarks.push(format!(
                "the lab asks for \"RTSP/1.0 200 OK\" in the first line, but received {line:?}"
            ));
        }
    }
    if let Ok(reply) = &parsed
        && reply.code == 200
    {
        match &reply.session {
            Some(session) if !session.bytes().all(|byte| byte.is_ascii_digit()) => {
                remarks.push(format!(
                    "the lab asks for a session of digits, but received {session:?}"
                ));
            }
            None => remarks.push(
                "the lab asks for \"Session: S\" in the third line, but it is missing".to_owned(),
            ),
            Some(_) => {}
        }
    }
    let to = request.map_or("to no request".to_owned(), |(method, cseq)| {
        format!("to {} (request {cseq})", method.word())
    });
    Explanation { title: format!("reply {to}"), lines, remarks }
}

/// Explains the first packet of a stream: each field of its header.
pub fn explain_rtp(header: &RtpHeader, payload: usize) -> Explanation {
    let lines = header.explain_in_lab().into_iter().map(|field| {
        let bits = if field.bits == 1 { "bit" } else { "bits" };
        (format!("{} = {} ({} {bits})", field.name, field.value, field.bits), field.sentence)
    });
    Explanation {
        title: format!("first RTP packet: 12 bytes of header, {payload} bytes of payload"),
        lines: lines.collect(),
        remarks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply, its request, a part of each line's sentence, and a part of each remark.
    type Row<'a> = (&'a str, Option<(Method, u64)>, &'a [&'a str], &'a [&'a str]);

    const NO_BLANK: &str = "RFC 2326 asks for a blank line";

    #[test]
    fn every_line_of_a_request_is_explained() {
        // A request, a part of each line's sentence, and a part of each remark.
        let rows: [(&str, &[&str], &[&str]); 9] = [
            (
                "FASTFORWARD",
                &["unknown method"],
                &["here: unknown method", "received \"\"", NO_BLANK],
            ),
            (
                "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1",
                &["SETUP without an RTP port", "request number 1"],
                &["here: SETUP without an RTP port", NO_BLANK],
            ),
            (
                "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 70000",
                &["not from 1024 to 65535", "request number 1", "port 70000"],
                &["here: the RTP port in SETUP is not from 1024 to 65535", NO_BLANK],
            ),
            (
                "SETUP movie.Mjpeg RTSP/1.0\nTransport: RTP/UDP; client_port= 25000",
                &["no sequence number", "port 25000"],
                &["here: no sequence number", "\"CSeq: N\" in the second line", NO_BLANK],
            ),
            (
                "SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000",
                &["open movie.Mjpeg", "request number 1", "port 25000"],
                &[NO_BLANK],
            ),
            (
                "PLAY movie.Mjpeg RTSP/1.0\r\nCSeq: 2\r\nSession: 123456\r\n\r\n",
                &["READY to PLAYING", "request number 2", "session 123456", "blank line"],
                &[],
            ),
            (
                "SETUP movie.mjpeg\n1\n RTSP/1.0 RTP/UDP 5008",
                &["open movie.mjpeg", "number 1, without a name", "port 5008"],
                &[NO_BLANK],
            ),
            (
                "PAUSE m RTSP/1.0\nCseg: 3\nPrefer: SD\n\n",
                &["PLAYING to READY", "number 3", "not part of the lab", "blank line"],
                &["received \"Cseg: 3\""],
            ),
            (
                "JUMP m RTSP/1.0\nCSeq: 4\n\n",
                &["unknown method", "request number 4", "blank line"],
                &["unknown method"],
            ),
        ];
        for (text, sentences, remarks) in rows {
            check(&explain_request(text), sentences, remarks);
        }
    }

    #[test]
    fn every_line_of_a_reply_is_explained() {
        let ok = "RTSP/1.0 200 OK\nCSeq: 2\nSession: 123456\n";
        let done: &[&str] = &["OK_200", "answers request 2", "session 123456"];
        let play = Some((Method::Play, 2));
        let rows: [Row; 9] = [
            (
                "RTSP/1.0 455 Method Not Valid in This State\nCSeq: 2\nSession: 0\n",
                play,
                &["need a SETUP before", "answers request 2", "no session"],
                &[],
            ),
            (
                "RTSP/1.0 200 OK\nCSeq: 2\nSession: 123456\nmovie.Mjpeg\n",
                Some((Method::List, 2)),
                &[done[0], done[1], done[2], "a movie of the server"],
                &[],
            ),
            (ok, play, done, &[]),
            (ok, Some((Method::Setup, 2)), &["only RTP proves", done[1], done[2]], &[]),
            (ok, Some((Method::Play, 3)), done, &["that of the request, 3, but received 2"]),
            (ok, None, done, &["no request waits"]),
            (
                "RTSP/1.0 200 OK\nCSeq: CSeq:\nSession: ab\n",
                play,
                &["OK_200", "request none", "session ab"],
                &["\"CSeq: 2\", but received \"CSeq: CSeq:\"", "session of digits"],
            ),
            ("RTSP/1.0 404 Not Found\r\n", play, &["FILE_NOT_FOUND_404"], &[]),
            ("hello", play, &["not a reply"], &["received \"hello\""]),
        ];
        for (text, request, sentences, remarks) in rows {
            check(&explain_reply(text, request), sentences, remarks);
        }
    }

    fn check(got: &Explanation, sentences: &[&str], remarks: &[&str]) {
        assert_eq!(got.lines.len(), sentences.len(), "{got}");
        for ((_, got_sentence), want) in got.lines.iter().zip(sentences) {
            assert!(got_sentence.contains(want), "{want}: {got}");
        }
        assert_eq!(got.remarks.len(), remarks.len(), "{got}");
        for (got_remark, want) in got.remarks.iter().zip(remarks) {
            assert!(got_remark.contains(want), "{want}: {got}");
        }
    }

    #[test]
    fn frames_are_counted_in_every_spelling() {
        for (line, want) in [
            ("Frames: 60", "the movie has 60 frames"),
            ("TotalFrame: 1", "the movie has 1 frame"),
            ("X-TotalFrames: 2", "the movie has 2 frames"),
            ("TotalSendPacketCount: 7", "the server has sent 7 packets"),
        ] {
            assert_eq!(header_line(line, true), want, "{line}");
        }
    }

    #[test]
    fn no_text_of_a_peer_controls_the_terminal() {
        let evil = "\u{1b}[2J\u{9b}1m\u{7}\u{202e}\u{2066}\u{200f}";
        let request = format!(
            "SETUP {evil} RTSP/1.0{evil}\nCSeq: 1{evil}\nSession: {evil}\nX-Seek: {evil}\n"
        );
        let reply = format!(
            "RTSP/1.0 200 {evil}\nCSeq: {evil}\nSession: {evil}\nTotalTime: {evil}\n{evil}\n"
        );
        for explained in [
            explain_request(&request),
            explain_request(evil),
            explain_reply(&reply, Some((Method::Setup, 1))),
            explain_reply(evil, None),
        ] {
            let text = explained.to_string();
            let raw =
                |c: char| (c.is_control() && c != '\n') || evil[7..].contains(c) && !c.is_ascii();
            assert!(!text.contains(raw), "{text:?}");
        }
    }

    #[test]
    fn line_ends_are_visible() {
        let text = explain_request("PLAY \r\n2").to_string();
        assert!(text.contains("    PLAY \\r\\n ") && text.lines().count() == 4, "{text}");
    }
}
