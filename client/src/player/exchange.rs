// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a session says and hears, for faces to show.

use super::explain::{explain_rtsp_reply, explain_rtsp_request, without_secrets};
use super::rtsp_tap;
use gstmjpegfile::lab::{Explanation, Method, explain_reply, explain_request, explain_rtp};
use gstmjpegfile::rtp::RtpHeader;
use std::fmt;

/// One step of the exchange with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// A request of standard RTSP goes out; CSeq, session and authorization are known with the
    /// reply.
    RtspRequest(String),
    /// Its reply has come. Passwords are blanked.
    RtspReply {
        /// The request as it went out.
        request: String,
        /// The reply, its headers in the RFC's spelling.
        reply: String,
    },
    /// A request to a lab server was sent.
    Request(String),
    /// A lab server's reply has come; to which request, if one waits for it.
    Reply {
        /// As it came.
        text: String,
        /// The request's method and number.
        asked: Option<(Method, u64)>,
    },
    /// The first packet since PLAY has come.
    FirstPacket {
        /// Its header.
        header: RtpHeader,
        /// Bytes behind it.
        payload: usize,
    },
    /// Something about the RTP is otherwise than the lab asks.
    Finding(String),
    /// What the client does about something.
    Note(String),
}

impl Exchange {
    /// Of an element message of `labrtspsrc`, or of what listens to rtspsrc; `None` if it is another one.
    pub(super) fn of(structure: &gst::StructureRef) -> Option<Self> {
        let text = || structure.get::<String>("text").ok();
        Some(match structure.name().as_str() {
            rtsp_tap::SENT => {
                Self::RtspRequest(without_secrets(structure.get::<&str>("request").ok()?))
            }
            rtsp_tap::ANSWERED => {
                let part = |name| structure.get::<&str>(name).ok().map(without_secrets);
                Self::RtspReply { request: part("request")?, reply: part("reply")? }
            }
            "labrtspsrc-request" => Self::Request(text()?),
            "labrtspsrc-reply" => {
                let method = structure.get::<String>("method").ok();
                let method = method.and_then(|word| Method::of(&word));
                let asked = method.zip(structure.get::<u64>("cseq").ok());
                Self::Reply { text: text()?, asked }
            }
            "labrtspsrc-rtp" => {
                let packet = structure.get::<gst::Buffer>("packet").ok()?;
                let packet = packet.map_readable().ok()?;
                let (header, payload) = RtpHeader::parse(&packet).ok()?;
                Self::FirstPacket { header, payload: payload.len() }
            }
            "labrtspsrc-finding" => Self::Finding(text()?),
            "labrtspsrc-note" => Self::Note(text()?),
            _ => return None,
        })
    }
}

impl Exchange {
    /// A message, line by line; `None` for what is a sentence itself.
    pub fn explanation(&self) -> Option<Explanation> {
        match self {
            Self::Finding(_) | Self::Note(_) => None,
            Self::RtspRequest(text) => Some(explain_rtsp_request(text)),
            Self::RtspReply { request, reply } => Some(explain_rtsp_reply(reply, request)),
            Self::Request(text) => {
                let mut explained = explain_request(text);
                // They are about the other end's programs.
                explained.remarks.clear();
                Some(explained)
            }
            Self::Reply { text, asked } => Some(explain_reply(text, *asked)),
            Self::FirstPacket { header, payload } => Some(explain_rtp(header, *payload)),
        }
    }
}

/// Explained, over several lines: what the server does otherwise than the lab asks is marked `!`.
/// Nothing for a request of standard RTSP, which its reply shows.
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
            // All that is left is explained.
            (_, None) => Ok(()),
        }
    }
}
