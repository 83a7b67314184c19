// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exchange of messages with a server, step by step, for front ends to show.

use super::explain::{blank_secrets, explain_rtsp_reply, explain_rtsp_request};
use super::{keep_alive, rtsp_monitor};
use gstmjpegfile::lab::{Explanation, Method, explain_reply, explain_request, explain_rtp};
use gstmjpegfile::rtp::RtpHeader;
use mjpeg_program::log::printable;
use std::fmt;

/// One step of the exchange with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// A standard RTSP request is about to be sent. CSeq, session and authorization are missing; the
    /// reply's step has them.
    RtspRequest(String),
    /// The reply to a standard RTSP request has arrived. Passwords are blanked.
    RtspReply {
        /// The request as it was sent.
        request: String,
        /// The reply, with the header names as RFC 2326 spells them.
        reply: String,
    },
    /// A request to a lab server was sent.
    Request(String),
    /// A lab server's reply has arrived.
    Reply {
        /// The reply as it was received.
        text: String,
        /// Method and CSeq of the request that waits for it, if any.
        request: Option<(Method, u64)>,
    },
    /// The first packet since PLAY has arrived.
    FirstPacket {
        /// Its header.
        header: RtpHeader,
        /// Bytes after the header.
        payload_len: usize,
    },
    /// The server's RTP differs from the lab's rules.
    Finding(String),
    /// What the client does, as a sentence.
    Note(String),
}

impl Exchange {
    /// Reads an element message of `labrtspsrc` or of the RTSP monitor; `None` for any other.
    pub(super) fn from_structure(structure: &gst::StructureRef) -> Option<Self> {
        let text = || structure.get::<&str>("text").ok().map(escape);
        Some(match structure.name().as_str() {
            rtsp_monitor::REQUEST_SENT | keep_alive::SENT => {
                Self::RtspRequest(escape(&blank_secrets(structure.get::<&str>("request").ok()?)))
            }
            rtsp_monitor::REPLY_RECEIVED | keep_alive::REPLIED => {
                let part = |name| {
                    let text = structure.get::<&str>(name).ok()?;
                    Some(escape(&blank_secrets(text)))
                };
                Self::RtspReply { request: part("request")?, reply: part("reply")? }
            }
            "labrtspsrc-request" => Self::Request(text()?),
            "labrtspsrc-reply" => {
                let method = structure.get::<String>("method").ok();
                let method = method.and_then(|word| Method::of(&word));
                let request = method.zip(structure.get::<u64>("cseq").ok());
                Self::Reply { text: text()?, request }
            }
            "labrtspsrc-rtp" => {
                let packet = structure.get::<gst::Buffer>("packet").ok()?;
                let packet = packet.map_readable().ok()?;
                let (header, payload) = RtpHeader::parse(&packet).ok()?;
                Self::FirstPacket { header, payload_len: payload.len() }
            }
            "labrtspsrc-finding" => Self::Finding(text()?),
            "labrtspsrc-note" => Self::Note(text()?),
            _ => return None,
        })
    }
}

impl Exchange {
    /// Explains a message line by line; `None` for findings and notes, which are sentences already.
    pub fn explanation(&self) -> Option<Explanation> {
        match self {
            Self::Finding(_) | Self::Note(_) => None,
            Self::RtspRequest(text) => Some(explain_rtsp_request(text)),
            Self::RtspReply { request, reply } => Some(explain_rtsp_reply(reply, request)),
            Self::Request(text) => {
                let mut explained = explain_request(text);
                // The remarks are about requests of other clients.
                explained.remarks.clear();
                Some(explained)
            }
            Self::Reply { text, request } => Some(explain_reply(text, *request)),
            Self::FirstPacket { header, payload_len } => Some(explain_rtp(header, *payload_len)),
        }
    }
}

/// Escapes what controls a terminal or changes the direction of text, except line ends.
fn escape(text: &str) -> String {
    text.split("\r\n").map(printable).collect::<Vec<_>>().join("\r\n")
}

/// Several lines of explanation; `!` marks where the server differs from the lab's rules. A standard
/// RTSP request is empty: its reply shows it.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::RtspReply { request, .. } = self {
            writeln!(f, "client > server: {}", explain_rtsp_request(request))?;
        }
        match (self, self.explanation()) {
            (Self::RtspRequest(_), _) => Ok(()),
            (Self::Finding(text), _) => write!(f, "  ! {text}"),
            (Self::Note(text), _) => write!(f, "client: {text}"),
            (Self::Request(_), Some(explained)) => write!(f, "client > server: {explained}"),
            (_, Some(explained)) => write!(f, "client < server: {explained}"),
            // Every other step has an explanation.
            (_, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_server_cannot_control_the_terminal() {
        gst::init().expect("GStreamer is installed");
        let reply = "RTSP/1.0 200 \u{1b}[2JOK\r\nCSeq: 1\rX\r\nServer: \u{9b}2J\u{202e}x\r\n\r\n\
                     v=0\r\ns=\u{1b}]0;t\u{7}\u{2067}\r\n";
        let request = "DESCRIBE rtsp://u:secret@h/m RTSP/1.0\r\nAuthorization: Basic eA==\r\n\r\n";
        let rows = [
            gst::Structure::builder(rtsp_monitor::REPLY_RECEIVED)
                .field("request", request)
                .field("reply", reply)
                .build(),
            gst::Structure::builder("labrtspsrc-reply").field("text", reply).build(),
            gst::Structure::builder("labrtspsrc-note").field("text", reply).build(),
            gst::Structure::builder("labrtspsrc-finding").field("text", reply).build(),
        ];
        for row in rows {
            let exchange = Exchange::from_structure(&row).expect("it is a step");
            let text = format!("{exchange}\n{exchange:?}");
            let raw = |c: char| {
                (c.is_control() && c != '\n' && c != '\r') || "\u{202e}\u{2067}".contains(c)
            };
            assert!(!text.contains(raw), "{text:?}");
            assert!(!text.contains("secret") && !text.contains("eA=="), "{text}");
            assert!(text.contains("\\u{1b}"), "{text}");
        }
    }
}
