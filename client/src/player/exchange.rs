// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a lab session says and hears, for faces to show.

use gstmjpegfile::lab::{Method, explain_reply, explain_request, explain_rtp};
use gstmjpegfile::rtp::RtpHeader;
use std::fmt;

/// One step of the exchange with a lab server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// A request was sent.
    Request(String),
    /// A reply has come; to which request, if one waits for it.
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
    /// Of an element message of `labrtspsrc`; `None` if it is another one.
    pub(super) fn of(structure: &gst::StructureRef) -> Option<Self> {
        let text = || structure.get::<String>("text").ok();
        Some(match structure.name().as_str() {
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

/// Explained, over several lines: what the server does otherwise than the lab asks is marked `!`.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(text) => {
                let mut explained = explain_request(text);
                // They are about the other end's programs.
                explained.remarks.clear();
                write!(f, "client > server: {explained}")
            }
            Self::Reply { text, asked } => {
                write!(f, "client < server: {}", explain_reply(text, *asked))
            }
            Self::FirstPacket { header, payload } => {
                write!(f, "client < server: {}", explain_rtp(header, *payload))
            }
            Self::Finding(text) => write!(f, "  ! {text}"),
            Self::Note(text) => write!(f, "client: {text}"),
        }
    }
}
