// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log of the exchange with a server, for front ends to show as a table.

use super::exchange::Exchange;
use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

/// Number of entries that are kept; older ones are removed.
const MAX_ENTRIES: usize = 1000;

/// One step of the exchange, with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolEntry {
    /// The time since the source was opened.
    pub at: Duration,
    /// The step.
    pub exchange: Exchange,
}

/// The direction of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Sent,
    /// From the server to the client.
    Received,
    /// A note of the client about itself.
    Local,
}

impl ProtocolEntry {
    /// The time in seconds, with three digits after the point.
    pub fn seconds(&self) -> String {
        format!("{}.{:03}", self.at.as_secs(), self.at.subsec_millis())
    }

    /// The direction of the step.
    pub fn direction(&self) -> Direction {
        match &self.exchange {
            Exchange::RtspRequest(_) | Exchange::Request(_) => Direction::Sent,
            Exchange::RtspReply { .. }
            | Exchange::Reply { .. }
            | Exchange::FirstPacket { .. }
            | Exchange::Finding(_) => Direction::Received,
            Exchange::Note(_) => Direction::Local,
        }
    }

    /// Whether the step is a sentence already, and needs no explanation.
    pub fn is_sentence(&self) -> bool {
        matches!(self.exchange, Exchange::Finding(_) | Exchange::Note(_))
    }

    /// The text of a request or reply; `None` for other steps.
    pub fn message(&self) -> Option<&str> {
        match &self.exchange {
            Exchange::RtspRequest(text)
            | Exchange::Request(text)
            | Exchange::RtspReply { reply: text, .. }
            | Exchange::Reply { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The first line of a message, or the sentence of any other step.
    pub fn first_line(&self) -> String {
        match &self.exchange {
            Exchange::FirstPacket { payload_len, .. } => {
                format!("first RTP packet, {payload_len} bytes of payload")
            }
            Exchange::Finding(text) | Exchange::Note(text) => text.clone(),
            _ => self.message().and_then(|text| text.lines().next()).unwrap_or_default().to_owned(),
        }
    }

    /// What the step means, in one line; empty for a step that is a sentence already.
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
        if self.direction() == Direction::Received {
            for (line, sentence) in lines {
                let name = line.split(':').next().unwrap_or_default();
                if name.eq_ignore_ascii_case("cseq") || name.eq_ignore_ascii_case("session") {
                    // Without the details, which follow a colon or semicolon.
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

    /// Whether the other end refuses a request or breaks a rule.
    pub fn is_fault(&self) -> bool {
        let refused = |text: &str| {
            let code = text.split(' ').nth(1).and_then(|it| it.parse::<u16>().ok());
            text.starts_with("RTSP/") && code.is_some_and(|it| it >= 400)
        };
        self.message().is_some_and(refused) || !self.remarks().is_empty()
    }

    /// What in the step breaks a rule.
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
    entries: VecDeque<ProtocolEntry>,
    /// Entries that were removed.
    removed: usize,
}

impl ProtocolLog {
    /// The header Server of the last reply that has one.
    pub fn server(&self) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| {
            let Exchange::RtspReply { reply, .. } = &entry.exchange else { return None };
            let head = reply.split("\r\n\r\n").next().unwrap_or_default();
            head.lines().find_map(|line| line.strip_prefix("Server: "))
        })
    }

    /// Adds a step, and returns its number. A reply also completes the entry of its request, which lacks
    /// some headers.
    pub(crate) fn push(&mut self, at: Duration, exchange: &Exchange) -> usize {
        if let Exchange::RtspReply { request, .. } = exchange {
            let steps = self.entries.iter_mut().rev();
            let last = steps
                .map(|entry| &mut entry.exchange)
                .find(|it| matches!(it, Exchange::RtspRequest(_) | Exchange::RtspReply { .. }));
            if let Some(incomplete @ Exchange::RtspRequest(_)) = last {
                *incomplete = Exchange::RtspRequest(request.clone());
            }
        }
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
            self.removed += 1;
        }
        self.entries.push_back(ProtocolEntry { at, exchange: exchange.clone() });
        self.removed + self.entries.len() - 1
    }

    /// The entry with this number, if it has not been removed.
    pub fn get(&self, number: usize) -> Option<&ProtocolEntry> {
        self.entries.get(number.checked_sub(self.removed)?)
    }

    /// The entries with their sequence numbers, which start at 0.
    pub fn entries(
        &self,
    ) -> impl DoubleEndedIterator<Item = (usize, &ProtocolEntry)> + ExactSizeIterator {
        let removed = self.removed;
        self.entries.iter().enumerate().map(move |(at, entry)| (at + removed, entry))
    }

    /// The whole log as text, with explanations.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for entry in &self.entries {
            let arrow = match entry.direction() {
                Direction::Sent => ">",
                Direction::Received => "<",
                Direction::Local => "-",
            };
            // Writing to a string does not fail.
            let _ = write!(out, "{:>9} s {arrow} ", entry.seconds());
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

    fn ms(at: u64) -> Duration {
        Duration::from_millis(at)
    }

    #[test]
    fn a_reply_completes_the_entry_of_its_request() {
        let mut log = ProtocolLog::default();
        let request = "OPTIONS rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_owned();
        log.push(ms(5), &Exchange::RtspRequest("OPTIONS rtsp://h/m RTSP/1.0\r\n\r\n".to_owned()));
        let reply = "RTSP/1.0 200 OK\r\n\r\n".to_owned();
        log.push(ms(6), &Exchange::RtspReply { request: request.clone(), reply });
        log.push(ms(7), &Exchange::Note("n".to_owned()));
        let entries: Vec<ProtocolEntry> = log.entries().map(|(_, entry)| entry.clone()).collect();
        assert_eq!(entries[0].message(), Some(request.as_str()));
        assert_eq!(entries[0].at, ms(5));
        let directions = entries.iter().map(ProtocolEntry::direction).collect::<Vec<_>>();
        assert_eq!(directions, [Direction::Sent, Direction::Received, Direction::Local]);
        assert_eq!(entries[1].first_line(), "RTSP/1.0 200 OK");
        assert_eq!(
            (entries[1].summary(), entries[2].summary()),
            ("done".to_owned(), String::new())
        );
        assert_eq!(
            entries[1].remarks(),
            ["RFC 2326 section 12.17 requires the request's CSeq; it is missing"]
        );
        let want = "    0.005 s > request: OPTIONS
    OPTIONS rtsp://h/m RTSP/1.0                     list the supported requests; also keeps the session alive
    CSeq: 1                                         request number 1: the reply repeats it
                                                    a blank line ends the headers
    0.006 s < reply to OPTIONS
    RTSP/1.0 200 OK                                 done
                                                    a blank line ends the headers
  ! RFC 2326 section 12.17 requires the request's CSeq; it is missing
    0.007 s - n
";
        assert_eq!(log.text(), want);
    }

    #[test]
    fn a_step_is_summarized() {
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
                    request: None,
                },
                "answers request 1; FILE_NOT_FOUND_404: the server has no such movie; no session",
            ),
            (
                Exchange::Request("PLAY m RTSP/1.0\nCSeq: 2\nSession: 1".to_owned()),
                "send frames: READY to PLAYING",
            ),
        ];
        for (exchange, want) in rows {
            assert_eq!(ProtocolEntry { at: ms(0), exchange }.summary(), want);
        }
    }

    #[test]
    fn old_entries_are_removed() {
        let mut log = ProtocolLog::default();
        for number in 0..MAX_ENTRIES + 10 {
            log.push(ms(0), &Exchange::Note(number.to_string()));
        }
        let first = log.entries().next().map(|(number, entry)| (number, entry.first_line()));
        assert_eq!((log.entries().len(), first), (MAX_ENTRIES, Some((10, "10".to_owned()))));
    }
}
