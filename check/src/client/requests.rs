// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requests of a client, as they arrived.

use gstmjpegfile::lab::{LineEnd, LineFormat, Method, Request};
use std::time::Duration;

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// When its last byte arrived.
    pub at: Duration,
    /// The number of its entry in the recording.
    pub entry: usize,
    /// The number of the connection.
    pub connection: usize,
    /// Its method; `None` if the first word is not a method.
    pub method: Option<Method>,
    /// Its sequence number.
    pub cseq: Option<u64>,
    /// Its bytes, as text.
    pub text: String,
    /// When it was answered 200.
    pub ok_at: Option<Duration>,
}

impl Received {
    /// A request of these bytes.
    pub fn new(at: Duration, connection: usize, text: String) -> Self {
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        let method = Method::of(word);
        let cseq = match Request::parse(&text) {
            Ok(request) => Some(request.cseq),
            Err((_, _, cseq)) => cseq,
        };
        Self { at, entry: 0, connection, method, cseq, text, ok_at: None }
    }

    /// The first word, as it is shown.
    pub fn word(&self) -> String {
        let word = self.text.split_ascii_whitespace().next().unwrap_or_default();
        mjpeg_program::log::printable(&word.chars().take(20).collect::<String>())
    }

    /// The name in sentences.
    pub fn named(&self) -> String {
        match self.cseq {
            Some(cseq) => format!("{} (CSeq {cseq})", self.word()),
            None => format!("{} (without a number)", self.word()),
        }
    }

    /// The lines, without their ends.
    pub fn lines(&self) -> Vec<&str> {
        self.text.lines().collect()
    }

    /// The value of a header, in upper or lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    /// The properties that the reply adopts.
    pub fn line_format(&self) -> LineFormat {
        let line_end = match self.text.split_once('\n') {
            Some((first, _)) if first.ends_with('\r') => LineEnd::CrLf,
            _ => LineEnd::Lf,
        };
        LineFormat {
            line_end,
            final_line_end: self.text.ends_with('\n'),
            blank_line: self.text.ends_with("\n\n") || self.text.ends_with("\n\r\n"),
        }
    }
}

/// The requests in a text. The lab's requests have no line end after the last line, so that two which
/// arrive together have the method of the second one in the middle of a line.
pub(super) fn split(text: &str) -> Vec<&str> {
    const METHODS: [&str; 4] = ["SETUP ", "PLAY ", "PAUSE ", "TEARDOWN "];
    let mut starts = vec![0];
    for (at, _) in text.char_indices().skip(1) {
        let (before, rest) = text.split_at(at);
        let after_number = before.ends_with(|it: char| it.is_ascii_digit());
        if after_number && METHODS.iter().any(|method| rest.starts_with(method)) {
            starts.push(at);
        }
    }
    starts.push(text.len());
    let pairs = starts.windows(2).filter_map(|pair| text.get(*pair.first()?..*pair.last()?));
    pairs.filter(|it| !it.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_arrive_together_are_separated() {
        let pause = "PAUSE movie.Mjpeg RTSP/1.0\nCSeq: 3\nSession: 123456";
        let teardown = "TEARDOWN movie.Mjpeg RTSP/1.0\nCSeq: 4\nSession: 123456";
        let rows: [(&str, &[&str]); 4] = [
            ("", &[]),
            (pause, &[pause]),
            (&format!("{pause}{teardown}"), &[pause, teardown]),
            ("PLAY PLAY RTSP/1.0\nCSeq: 1", &["PLAY PLAY RTSP/1.0\nCSeq: 1"]),
        ];
        for (text, want) in rows {
            assert_eq!(split(text), want, "{text:?}");
        }
    }
}
