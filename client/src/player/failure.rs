// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a stream ended, told so that a face can offer what helps.

use std::fmt;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The port that RTP is to come to belongs to another program.
    PortTaken {
        /// A port that is free.
        free: Option<u16>,
    },
    /// No connection: nobody listens there, or the host is unknown or silent.
    NoConnection,
    /// The server has no such movie.
    NotFound,
    /// The server wants a user and a password, or others.
    NotAuthorized,
    /// The server refuses.
    Refused,
    /// No packet or no answer has come.
    Silent,
    /// The connection was lost in the middle.
    Lost,
    /// Something else.
    Other,
}

/// A failure that ended the stream.
#[derive(Debug, Clone, PartialEq, Eq, glib::Boxed)]
#[boxed_type(name = "MjpegRtspFailure")]
pub struct Failure {
    /// What it is.
    pub kind: FailureKind,
    /// What happened, as one line for a person.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    pub(super) fn new(kind: FailureKind, text: &str) -> Self {
        Self { kind, text: text.to_owned() }
    }

    /// Of an error message on the bus.
    pub(super) fn of(message: &gst::message::Error) -> Self {
        Self { kind: kind(message), text: text(message) }
    }
}

fn kind(message: &gst::message::Error) -> FailureKind {
    let error = message.error();
    // labrtspsrc states that a connection was lost, and which port is free.
    if message.details().is_some_and(|it| it.get::<bool>("connection-lost") == Ok(true)) {
        return FailureKind::Lost;
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
    // Behind the first line, which is a place in a source file, stands the server's or system's
    // own word.
    let detail = debug.lines().skip(1).last().unwrap_or_default().trim();
    let text = message.error().to_string();
    if detail.is_empty() || detail.starts_with('.') || detail.contains("gst_") {
        text
    } else {
        format!("{} ({detail})", text.trim_end_matches('.'))
    }
}
