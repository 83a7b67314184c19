// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was exchanged, in order, for a face to show as a table.

use super::exchange::Exchange;
use std::collections::VecDeque;
use std::fmt::Write;

/// As many entries are kept; older ones are forgotten.
const MOST: usize = 1000;

/// One step of the exchange, and when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds since the source was opened.
    pub at_ms: u64,
    /// The step.
    pub exchange: Exchange,
}

/// Where a step comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Out,
    /// From the server to the client.
    In,
    /// Of the client, about itself.
    Own,
}

impl Entry {
    /// Where it comes from.
    pub fn direction(&self) -> Direction {
        match &self.exchange {
            Exchange::RtspRequest(_) | Exchange::Request(_) => Direction::Out,
            Exchange::RtspReply { .. }
            | Exchange::Reply { .. }
            | Exchange::FirstPacket { .. }
            | Exchange::Finding(_) => Direction::In,
            Exchange::Note(_) => Direction::Own,
        }
    }

    /// Whether it is a sentence itself, with nothing to explain.
    pub fn is_sentence(&self) -> bool {
        matches!(self.exchange, Exchange::Finding(_) | Exchange::Note(_))
    }

    /// The message as it was, if it is one.
    pub fn message(&self) -> Option<&str> {
        match &self.exchange {
            Exchange::RtspRequest(text)
            | Exchange::Request(text)
            | Exchange::RtspReply { reply: text, .. }
            | Exchange::Reply { text, .. } => Some(text),
            _ => None,
        }
    }

    /// In one line.
    pub fn first_line(&self) -> String {
        match &self.exchange {
            Exchange::FirstPacket { payload, .. } => format!("first RTP packet, {payload} bytes"),
            Exchange::Finding(text) | Exchange::Note(text) => text.clone(),
            _ => self.message().and_then(|text| text.lines().next()).unwrap_or_default().to_owned(),
        }
    }

    /// What it means, in one line; empty for what is a sentence itself.
    pub fn summary(&self) -> String {
        let Some(explanation) = self.exchange.explanation() else { return String::new() };
        let mut lines = explanation.lines.iter();
        let Some((_, first)) = lines.next() else { return String::new() };
        let mut out = match &self.exchange {
            Exchange::FirstPacket { header, .. } => {
                return format!(
                    "sequence number {}, timestamp {}, payload type {}",
                    header.sequence_number, header.timestamp, header.payload_type
                );
            }
            _ => first.clone(),
        };
        if self.direction() == Direction::In {
            for (line, sentence) in lines {
                let name = line.split(':').next().unwrap_or_default();
                if name.eq_ignore_ascii_case("cseq") || name.eq_ignore_ascii_case("session") {
                    // Up to where the sentence goes into particulars.
                    let short = sentence.split([':', ';']).next().unwrap_or_default();
                    out = if name.eq_ignore_ascii_case("cseq") {
                        format!("{short}; {out}")
                    } else {
                        format!("{out}; {short}")
                    };
                }
            }
        }
        out
    }

    /// What in it breaks a rule.
    pub fn remarks(&self) -> Vec<String> {
        match &self.exchange {
            Exchange::Finding(text) => vec![text.clone()],
            exchange => exchange.explanation().map_or(Vec::new(), |it| it.remarks),
        }
    }
}

/// The entries of one source, oldest first.
#[derive(Debug, Default, Clone)]
pub struct ProtocolLog {
    entries: VecDeque<Entry>,
    forgotten: usize,
}

impl ProtocolLog {
    pub(crate) fn take(&mut self, at_ms: u64, exchange: &Exchange) {
        if let Exchange::RtspReply { request, .. } = exchange {
            let sent = self.entries.iter_mut().rev();
            let sent = sent
                .map(|entry| &mut entry.exchange)
                .find(|it| matches!(it, Exchange::RtspRequest(_) | Exchange::RtspReply { .. }));
            if let Some(sent @ Exchange::RtspRequest(_)) = sent {
                *sent = Exchange::RtspRequest(request.clone());
            }
        }
        if self.entries.len() == MOST {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.entries.push_back(Entry { at_ms, exchange: exchange.clone() });
    }

    /// The entries, and the number of each, from 0.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (usize, &Entry)> + ExactSizeIterator {
        let forgotten = self.forgotten;
        self.entries.iter().enumerate().map(move |(at, entry)| (at + forgotten, entry))
    }

    /// All of it, explained, as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for entry in &self.entries {
            let arrow = match entry.direction() {
                Direction::Out => ">",
                Direction::In => "<",
                Direction::Own => "-",
            };
            // Writing to a string does not fail.
            let _ = write!(out, "{:>5}.{:03} s {arrow} ", entry.at_ms / 1000, entry.at_ms % 1000);
            match entry.exchange.explanation() {
                Some(explanation) => {
                    let _ = writeln!(out, "{explanation}");
                }
                None => {
                    let _ = writeln!(out, "{}", entry.first_line());
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_when_its_reply_has_come() {
        let mut log = ProtocolLog::default();
        let request = "OPTIONS rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_owned();
        log.take(5, &Exchange::RtspRequest("OPTIONS rtsp://h/m RTSP/1.0\r\n\r\n".to_owned()));
        let reply = "RTSP/1.0 200 OK\r\n\r\n".to_owned();
        log.take(6, &Exchange::RtspReply { request: request.clone(), reply });
        log.take(7, &Exchange::Note("n".to_owned()));
        let entries: Vec<Entry> = log.entries().map(|(_, entry)| entry.clone()).collect();
        assert_eq!(entries[0].message(), Some(request.as_str()));
        assert_eq!(entries[0].at_ms, 5);
        let directions = entries.iter().map(Entry::direction).collect::<Vec<_>>();
        assert_eq!(directions, [Direction::Out, Direction::In, Direction::Own]);
        assert_eq!(entries[1].first_line(), "RTSP/1.0 200 OK");
        assert_eq!(
            (entries[1].summary(), entries[2].summary()),
            ("done".to_owned(), String::new())
        );
        assert!(entries[1].remarks()[0].contains("CSeq"));
        let text = log.text();
        assert!(
            text.contains("0.005 s > request: OPTIONS") && text.contains("0.007 s - n"),
            "{text}"
        );
    }

    #[test]
    fn a_reply_is_summed_up() {
        let rows = [
            (
                Exchange::RtspReply {
                    request: "SETUP rtsp://h/m RTSP/1.0\r\nCSeq: 3\r\n\r\n".to_owned(),
                    reply: "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 4821;timeout=60\r\n\r\n"
                        .to_owned(),
                },
                "answers request 3; done; session 4821",
            ),
            (
                Exchange::Reply {
                    text: "RTSP/1.0 404 Not Found\nCSeq: 1\nSession: 0\n".to_owned(),
                    asked: None,
                },
                "answers request 1; FILE_NOT_FOUND_404: the server has no such movie; no session",
            ),
            (
                Exchange::Request("PLAY m RTSP/1.0\nCSeq: 2\nSession: 1".to_owned()),
                "send frames: READY to PLAYING",
            ),
        ];
        for (exchange, want) in rows {
            assert_eq!(Entry { at_ms: 0, exchange }.summary(), want);
        }
    }

    #[test]
    fn old_entries_are_forgotten() {
        let mut log = ProtocolLog::default();
        for number in 0..MOST + 10 {
            log.take(0, &Exchange::Note(number.to_string()));
        }
        let first = log.entries().next().map(|(number, entry)| (number, entry.first_line()));
        assert_eq!((log.entries().len(), first), (MOST, Some((10, "10".to_owned()))));
    }
}
