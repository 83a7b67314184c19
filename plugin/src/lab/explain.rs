// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exchange explained: a plain sentence for each line, and for what a peer does otherwise than
//! the lab asks. Made for students, who write one of the two ends.

use super::request::{Request, integers, is_like_cseq, line_format_of};
use super::{Dialect, LineEnd, Method, Reply};
use crate::rtp::RtpHeader;
use std::fmt;

/// A message or a header, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What it is.
    pub title: String,
    /// Each line as it came, line ends visible, and what it says.
    pub lines: Vec<(String, String)>,
    /// What is otherwise than the lab asks: what it asks for, and what came.
    pub remarks: Vec<String>,
}

/// The column at which sentences begin, if lines are not longer.
const COLUMN: usize = 46;

/// As text of several lines, in two columns.
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

/// A line as it came, with its end and control characters visible.
fn visible(line: &str) -> String {
    line.chars().fold(String::new(), |mut out, c| {
        match c {
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.extend(c.escape_default()),
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
        Method::Pause => "stop sending, keep the place: PLAYING to READY".to_owned(),
        Method::Teardown => "end the session: to INIT".to_owned(),
        Method::Describe => format!("tell about {file}"),
        Method::Options => "tell which requests there are".to_owned(),
        Method::Forward => "skip a tenth of the movie".to_owned(),
        Method::Backward => "go back a tenth of the movie".to_owned(),
        Method::Seek => "go to the place that X-Seek says".to_owned(),
        Method::Speed(1) => "half the frame rate".to_owned(),
        Method::Speed(4) => "twice the frame rate".to_owned(),
        Method::Speed(_) => "the usual frame rate".to_owned(),
        Method::List => "tell which movies there are".to_owned(),
        Method::Switch => "tell which movies there are, and take the one that is named".to_owned(),
    }
}

/// What a line behind the first says, by its name.
fn header_line(line: &str, reply: bool) -> String {
    let lower = line.to_ascii_lowercase();
    let value = line.split_once(':').map_or("", |(_, value)| value.trim());
    let number = |number: Option<u64>| number.map_or("none".to_owned(), |it| it.to_string());
    let digits = number(integers(line).next());
    if line.is_empty() {
        "a blank line ends the message, as in RFC 2326".to_owned()
    } else if lower.starts_with("session") && reply && value == "0" {
        "no session: an error opens none".to_owned()
    } else if lower.starts_with("session") {
        if reply {
            format!("session {value}: the client repeats it in every request from now on")
        } else {
            format!("of session {value}, which SETUP's reply named")
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
            format!("the number {digits}, without a name: the size or the frames")
        } else {
            format!("request number {digits}, without a name, as in the course report")
        }
    } else if lower.starts_with("x-seek") {
        format!("the place in the movie, from 0 to 1: {value}")
    } else if lower.starts_with("startpoint") {
        format!("begin with frame {digits}")
    } else if lower.contains("totalframes") || lower.contains("total-frames") {
        format!("the movie has {digits} frames")
    } else if lower.starts_with("totaltime") {
        format!("the movie takes {value} s")
    } else if lower.starts_with("a=framerate") {
        format!("{value} frames a second")
    } else if lower.starts_with("m=video") {
        "video, over RTP, payload type 26 (SDP, RFC 4566)".to_owned()
    } else if lower.starts_with("a=rtpmap") {
        "payload type 26 is JPEG with a clock of 90 kHz".to_owned()
    } else if lower.starts_with("v=0") {
        "a description of the movie begins (SDP, RFC 4566)".to_owned()
    } else {
        "not of the lab; passed over".to_owned()
    }
}

/// A request, as it was sent or has come.
pub fn explain_request(text: &str) -> Explanation {
    let parsed = Request::parse(text);
    let dialect = Dialect::of(text);
    let line_format = line_format_of(text);
    let mut remarks = Vec::new();
    let mut lines = Vec::new();
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let sentence = match (at, &parsed) {
            (0, Ok(request)) => purpose(request.method, request.file.as_deref()),
            (0, Err((error, ..))) => format!("no request of the lab's: {error}"),
            _ => header_line(line.trim(), false),
        };
        lines.push((visible(line), sentence));
    }
    if let Err((error, ..)) = parsed {
        remarks.push(format!(
            "the lab asks for METHOD FILE RTSP/1.0, CSeq: N, then Transport: RTP/UDP; client_port= P \
             (SETUP) or Session: S; {error} in what came"
        ));
    }
    let second = text.lines().nth(1).unwrap_or_default().trim();
    if dialect != Dialect::Seed && !second.to_ascii_lowercase().starts_with("cseq:") {
        remarks.push(format!("the lab asks for \"CSeq: N\" in the second line; {second:?} came"));
    }
    if !line_format.blank_line {
        remarks.push(
            "RFC 2326 asks for a blank line at the end; none came, as from most lab clients, so \
             that silence ends the request"
                .to_owned(),
        );
    }
    let word = match &parsed {
        Ok(request) => request.method.word(),
        Err(_) => "something else",
    };
    let ends = match line_format.line_end {
        LineEnd::Lf => "LF",
        LineEnd::CrLf => "CRLF",
    };
    let whose = match dialect {
        Dialect::Textbook => "the textbook's client writes",
        Dialect::Java => "Java clients write",
        Dialect::Seed => "the course report's client writes",
    };
    let title = format!("request: {word}, as {whose}, with {ends}");
    Explanation { title, lines, remarks }
}

fn status(code: u16) -> &'static str {
    match code {
        200 => "OK_200: done",
        400 => "the request was not understood",
        404 => "FILE_NOT_FOUND_404: the server has no such movie",
        454 => "another session's number was stated",
        455 => "the state does not allow it: PLAY and PAUSE need a SETUP before them",
        500 => "CON_ERR_500: the server cannot send RTP",
        501 => "the server does not know this request",
        100..=299 => "done",
        300..=399 => "elsewhere",
        _ => "refused",
    }
}

/// A reply to the request of a method and number; without one, to none that is waited for.
pub fn explain_reply(text: &str, asked: Option<(Method, u64)>) -> Explanation {
    let parsed = Reply::parse(text);
    let mut remarks = Vec::new();
    let names = asked.is_some_and(|(method, _)| matches!(method, Method::List | Method::Switch));
    let mut body = false;
    let mut lines = Vec::new();
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let trimmed = line.trim();
        let sentence = match (at, &parsed) {
            (0, Ok(Reply { code: 200, .. }))
                if asked.is_some_and(|(method, _)| method == Method::Setup) =>
            {
                "OK_200; many lab servers say so of a missing movie too, only RTP proves it"
                    .to_owned()
            }
            (0, Ok(reply)) => status(reply.code).to_owned(),
            (0, Err(error)) => format!("no reply: {error}"),
            _ if names && at > 2 && !trimmed.is_empty() => "a movie of the server's".to_owned(),
            _ if body && !trimmed.contains('=') => "a name or a value".to_owned(),
            _ => header_line(trimmed, true),
        };
        body |= trimmed.is_empty();
        lines.push((visible(line), sentence));
    }
    match (&parsed, asked) {
        (Ok(reply), Some((_, cseq))) => match reply.cseq {
            Some(number) if number == cseq => {}
            // The Java clients' errors have one line.
            None if reply.code != 200 && text.lines().count() == 1 => {}
            Some(number) => {
                remarks.push(format!(
                    "the lab asks that CSeq repeats the request's, {cseq}; {number} came"
                ));
            }
            None => {
                let line = text.lines().nth(1).unwrap_or_default().trim();
                remarks.push(format!("the lab asks for \"CSeq: {cseq}\"; {line:?} came"));
            }
        },
        (Ok(_), None) => remarks.push("no request waits for this reply".to_owned()),
        (Err(_), _) => {
            let line = text.lines().next().unwrap_or_default();
            remarks.push(format!(
                "the lab asks for \"RTSP/1.0 200 OK\" in the first line; {line:?} came"
            ));
        }
    }
    if let Ok(reply) = &parsed
        && reply.code == 200
    {
        match &reply.session {
            Some(session) if !session.bytes().all(|byte| byte.is_ascii_digit()) => {
                remarks.push(format!("the lab asks for a session of digits; {session:?} came"));
            }
            None => remarks
                .push("the lab asks for \"Session: S\" in the third line; none came".to_owned()),
            Some(_) => {}
        }
    }
    let to = asked.map_or("to nothing".to_owned(), |(method, cseq)| {
        format!("to {} (request {cseq})", method.word())
    });
    Explanation { title: format!("reply {to}"), lines, remarks }
}

/// The first packet of a stream: each field of its header.
pub fn explain_rtp(header: &RtpHeader, payload: usize) -> Explanation {
    let lines = header.explain().into_iter().map(|field| {
        let bits = if field.bits == 1 { "bit" } else { "bits" };
        (format!("{} = {} ({} {bits})", field.name, field.value, field.bits), field.sentence)
    });
    Explanation {
        title: format!("first RTP packet: a header of 12 bytes, {payload} bytes of payload"),
        lines: lines.collect(),
        remarks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply, what it answers, what each line's sentence holds, and each remark.
    type Row<'a> = (&'a str, Option<(Method, u64)>, &'a [&'a str], &'a [&'a str]);

    const NO_BLANK: &str = "RFC 2326 asks for a blank line";

    #[test]
    fn every_line_of_a_request_has_its_sentence() {
        // The request, what each line's sentence holds, and each remark.
        let rows: [(&str, &[&str], &[&str]); 5] = [
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
                &["PLAYING to READY", "number 3", "not of the lab", "blank line"],
                &["\"Cseg: 3\" came"],
            ),
            (
                "JUMP m RTSP/1.0\nCSeq: 4\n\n",
                &["no method that is known", "request number 4", "blank line"],
                &["no method that is known"],
            ),
        ];
        for (text, sentences, remarks) in rows {
            check(&explain_request(text), sentences, remarks);
        }
    }

    #[test]
    fn every_line_of_a_reply_has_its_sentence() {
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
                &[done[0], done[1], done[2], "a movie of the server's"],
                &[],
            ),
            (ok, play, done, &[]),
            (ok, Some((Method::Setup, 2)), &["only RTP proves it", done[1], done[2]], &[]),
            (ok, Some((Method::Play, 3)), done, &["the request's, 3; 2 came"]),
            (ok, None, done, &["no request waits"]),
            (
                "RTSP/1.0 200 OK\nCSeq: CSeq:\nSession: ab\n",
                play,
                &["OK_200", "request none", "session ab"],
                &["\"CSeq: 2\"; \"CSeq: CSeq:\" came", "session of digits"],
            ),
            ("RTSP/1.0 404 Not Found\r\n", play, &["FILE_NOT_FOUND_404"], &[]),
            ("hello", play, &["no reply"], &["\"hello\" came"]),
        ];
        for (text, asked, sentences, remarks) in rows {
            check(&explain_reply(text, asked), sentences, remarks);
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
    fn line_ends_are_visible() {
        let text = explain_request("PLAY \r\n2").to_string();
        assert!(text.contains("    PLAY \\r\\n ") && text.lines().count() == 4, "{text}");
    }
}
