// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reason why a stream ended, by which a front end chooses its advice.

use super::blank_password;
use mjpeg_program::log::printable;
use std::fmt;

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Another program uses the UDP port on which RTP was to be received.
    PortTaken {
        /// A port that is free.
        free: Option<u16>,
    },
    /// There is no connection: no server listens there, or the host does not answer.
    NoConnection,
    /// The host's name has no known address.
    UnknownHost,
    /// The server has no such movie, or there is no such file.
    NotFound,
    /// The server requires a user and a password, or refuses the given ones.
    NotAuthorized,
    /// The server's certificate is not trusted.
    Untrusted,
    /// The server refused a request.
    Refused,
    /// The server did not reply to a request in time.
    NoReply,
    /// No packet arrived in time.
    Silent,
    /// The connection was lost.
    Lost,
    /// Any other failure.
    Other,
}

/// A failure that ended the stream.
#[derive(Debug, Clone, PartialEq, Eq, glib::Boxed)]
#[boxed_type(name = "MjpegRtspFailure")]
pub struct Failure {
    /// The kind, by which a front end chooses its advice.
    pub kind: FailureKind,
    /// What happened, in one line.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    /// Passwords in `text` are blanked, and characters that control a terminal are escaped.
    pub(super) fn new(kind: FailureKind, text: &str) -> Self {
        Self { kind, text: printable(&blank_password(text)).replace('\n', " ") }
    }

    /// Reads an error message of the bus.
    pub(super) fn from_message(message: &gst::message::Error) -> Self {
        Self::new(kind(message), &text(message))
    }
}

fn kind(message: &gst::message::Error) -> FailureKind {
    let error = message.error();
    // labrtspsrc states its causes, and which port is free.
    let has = |name| message.details().is_some_and(|it| it.get::<bool>(name) == Ok(true));
    for (name, kind) in [
        ("connection-lost", FailureKind::Lost),
        ("unknown-host", FailureKind::UnknownHost),
        ("no-reply", FailureKind::NoReply),
    ] {
        if has(name) {
            return kind;
        }
    }
    let free = message.details().and_then(|it| it.get::<u32>("free-port").ok());
    // rtspsrc states the server's answer.
    match message.details().and_then(|it| it.get::<u32>("rtsp-status-code").ok()) {
        Some(404) => return FailureKind::NotFound,
        Some(401) => return FailureKind::NotAuthorized,
        Some(_) => return FailureKind::Refused,
        None => {}
    }
    match error.kind::<gst::ResourceError>() {
        Some(gst::ResourceError::Busy) => {
            FailureKind::PortTaken { free: free.and_then(|port| u16::try_from(port).ok()) }
        }
        Some(gst::ResourceError::OpenRead | gst::ResourceError::OpenReadWrite) => {
            FailureKind::NoConnection
        }
        Some(gst::ResourceError::NotFound) => FailureKind::NotFound,
        Some(gst::ResourceError::NotAuthorized) => FailureKind::NotAuthorized,
        Some(gst::ResourceError::Failed | gst::ResourceError::Settings) => FailureKind::Refused,
        Some(gst::ResourceError::Read) => FailureKind::Silent,
        Some(gst::ResourceError::Write) => FailureKind::Lost,
        _ => FailureKind::Other,
    }
}

fn text(message: &gst::message::Error) -> String {
    let debug = message.debug().unwrap_or_default();
    // The first line is a position in a source file. The last one after it is the text of the
    // server or the system.
    let detail = debug.lines().skip(1).last().unwrap_or_default().trim();
    let text = message.error().to_string();
    if detail.is_empty() || detail.starts_with('.') || detail.contains("gst_") {
        text
    } else {
        format!("{} ({detail})", text.trim_end_matches('.'))
    }
}
