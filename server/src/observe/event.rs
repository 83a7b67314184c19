// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events of the exchange between clients and the server. What is kept is small; the explanations are
//! written for each reader when it reads.

use super::sessions::{Dialect, State};
use super::time::rfc3339;
use crate::access::redact;
use crate::rtsp::explain as rtsp;
use crate::send::counts::{FirstPacket, Progress};
use gstmjpegfile::lab::{self, Explanation};
use gstmjpegfile::rtp::{HeaderField, JpegHeader};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// The bytes of the first line and headers of a message that are kept.
const MAX_HEAD: usize = 8 * 1024;

/// The bytes of the body of a message that are kept.
const MAX_BODY: usize = 4 * 1024;

/// A text that a client or the server has sent, without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    text: Box<str>,
    /// The number of bytes that are not kept.
    cut: usize,
}

impl Message {
    /// A message of standard RTSP, without what gives access to anything: credentials, nonces, and session
    /// identifiers.
    pub fn rtsp(bytes: &[u8]) -> Self {
        let (head, body) = bytes.split_at(end_of_head(bytes));
        let (kept_head, kept_body) = (start(head, MAX_HEAD), start(body, MAX_BODY));
        let cut = bytes.len() - kept_head.len() - kept_body.len();
        let text = redact::rtsp_message(&String::from_utf8_lossy(kept_head));
        let body = String::from_utf8_lossy(kept_body);
        let text = format!("{text}{}", redact::redacted(&body)).into();
        Self { text, cut }
    }

    /// A message of the lab, which has no credentials. Requests have at most 4 KiB.
    pub fn lab(text: &str) -> Self {
        let kept = start(text.as_bytes(), MAX_HEAD);
        let cut = text.len() - kept.len();
        Self { text: redact::redacted(&String::from_utf8_lossy(kept)).into(), cut }
    }

    /// The first line without the version, such as `SETUP movie.Mjpeg` or `200 OK`.
    fn summary(&self) -> String {
        let first = self.text.lines().next().unwrap_or_default().trim();
        let words: Vec<&str> =
            first.split(' ').filter(|word| !word.starts_with("RTSP/")).take(20).collect();
        words.join(" ").chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

/// The length of the first line and headers, with the empty line after them.
fn end_of_head(bytes: &[u8]) -> usize {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    end.or_else(|| Some(bytes.windows(2).position(|two| two == b"\n\n")? + 2))
        .unwrap_or(bytes.len())
}

fn start(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

/// The request that a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// A request of standard RTSP; `None` if it could not be read.
    Rtsp(Option<&'static str>),
    /// A request of the lab, with its sequence number; `None` if it could not be read.
    Lab(Option<(lab::Method, u64)>),
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A connection has begun to speak.
    Session {
        /// The client.
        peer: SocketAddr,
        /// The name of the movie, if it is known.
        mount: Option<Arc<str>>,
    },
    /// A request has been received in this state.
    Request(Message, State),
    /// A reply is sent, which leads to this state.
    Reply(Message, Answered, State),
    /// The first packet of a play has been sent.
    Rtp(FirstPacket),
    /// The state has changed without a message.
    State(State),
    /// A movie has been closed.
    Sent {
        /// The number of the movie in the session, from 1.
        movie: u64,
        /// All that was sent of it.
        sent: Progress,
    },
    /// The session has ended.
    End {
        /// Why.
        reason: Box<str>,
    },
}

impl Kind {
    /// The memory for texts in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Request(message, _) | Self::Reply(message, ..) => message.text.len(),
            Self::End { reason } => reason.len(),
            Self::Session { .. } | Self::Rtp(_) | Self::State(_) | Self::Sent { .. } => 0,
        }
    }
}

/// Something that has happened in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Counts all events, from 1.
    pub number: u64,
    /// The session.
    pub session: u64,
    /// Its language.
    pub dialect: Dialect,
    /// When it has happened.
    pub time: SystemTime,
    /// What has happened.
    pub kind: Kind,
}

impl Event {
    /// The name and the data for readers.
    pub fn to_json(&self) -> (&'static str, Value) {
        let (session, time) = (self.session.to_string(), rfc3339(self.time));
        match &self.kind {
            Kind::Session { peer, mount } => (
                "session",
                json!({ "session": session, "time": time, "peer": peer.to_string(),
                        "dialect": self.dialect, "mount": mount.as_deref() }),
            ),
            Kind::Request(message, state) => {
                let explanation = match self.dialect {
                    Dialect::Lab => lab::explain_request(&message.text),
                    Dialect::Rtsp | Dialect::Http => rtsp::explain_request(&message.text),
                };
                ("request", message_json(&session, &time, message, explanation, *state))
            }
            Kind::Reply(message, answered, state) => {
                let mut explanation = match answered {
                    Answered::Lab(request) => lab::explain_reply(&message.text, *request),
                    Answered::Rtsp(method) => rtsp::explain_reply(&message.text, *method),
                };
                // Remarks on a reply are meant for the authors of servers.
                explanation.remarks.clear();
                ("reply", message_json(&session, &time, message, explanation, *state))
            }
            Kind::Rtp(FirstPacket { header, payload, jpeg_header }) => {
                let fields = match self.dialect {
                    Dialect::Lab => header.explain_in_lab(),
                    Dialect::Rtsp | Dialect::Http => header.explain(),
                };
                let jpeg_fields = jpeg_header.map(JpegHeader::explain);
                (
                    "rtp",
                    json!({ "session": session, "time": time, "fields": fields_json(&fields),
                            "jpeg_fields": jpeg_fields.map(|it| fields_json(&it)),
                            "payload_bytes": payload }),
                )
            }
            Kind::State(state) => {
                ("state", json!({ "session": session, "time": time, "state": state }))
            }
            Kind::Sent { sent, .. } => {
                packets_json(self.session, self.time, Progress::default(), *sent)
            }
            Kind::End { reason } => {
                ("end", json!({ "session": session, "time": time, "reason": reason }))
            }
        }
    }
}

/// The fields of a header.
fn fields_json(fields: &[HeaderField]) -> Vec<Value> {
    let field = |field: &HeaderField| {
        let bits = usize::from(field.bits);
        json!({ "name": field.name, "bits": format!("{:0bits$b}", field.value),
                "value": field.value.to_string(), "explanation": field.sentence })
    };
    fields.iter().map(field).collect()
}

/// The data of a message. Its lines are shown without their line ends.
fn message_json(
    session: &str,
    time: &str,
    message: &Message,
    explanation: Explanation,
    state: State,
) -> Value {
    let ends = message.text.split_inclusive('\n').map(|line| match line {
        line if line.ends_with("\r\n") => "\\r\\n",
        line if line.ends_with('\n') => "\\n",
        _ => "",
    });
    let lines: Vec<Value> = explanation
        .lines
        .iter()
        .zip(ends)
        .map(|((text, sentence), end)| {
            let text = text.strip_suffix(end).unwrap_or(text);
            let sentence = Some(sentence).filter(|sentence| !sentence.is_empty());
            json!({ "text": text, "explanation": sentence })
        })
        .collect();
    let mut remarks = explanation.remarks;
    if message.cut > 0 {
        remarks.push(format!("{} more bytes of this message are not shown", message.cut));
    }
    json!({ "session": session, "time": time, "summary": message.summary(), "lines": lines,
            "remarks": remarks, "state": state })
}

/// The data of an event about the frames that were sent since `before`, and its name.
pub(crate) fn packets_json(
    session: u64,
    time: SystemTime,
    before: Progress,
    now: Progress,
) -> (&'static str, Value) {
    let packets = now.packets.saturating_sub(before.packets);
    let first = match before.packets {
        0 => now.sequence_number.wrapping_sub(u16::try_from(packets).unwrap_or(0)),
        _ => before.sequence_number,
    };
    let data = json!({
        "session": session.to_string(),
        "time": rfc3339(time),
        "frames": now.frames.saturating_sub(before.frames),
        "packets": packets,
        "bytes": now.bytes.saturating_sub(before.bytes),
        "from_sequence": first.wrapping_add(1),
        "to_sequence": now.sequence_number,
        "frame": now.frame,
    });
    ("packets", data)
}
