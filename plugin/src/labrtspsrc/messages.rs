// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages on the bus: the exchange with the server, progress and errors.

use super::LabRtspSrc;
use super::connection::MAX_REPLY;
use crate::lab::{Method, RequestForm};
use crate::rtp::RtpHeader;
use gst::prelude::*;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a movie cannot be played.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot connect to {0}: {1}; is the server running there?")]
    Connect(String, io::Error),
    #[error("the host {host} has no known address ({error}): check the spelling of its name")]
    UnknownHost { host: String, error: io::Error },
    #[error("{why}, and {server} accepts no second connection to try another form: {error}")]
    ConnectAgain { server: String, why: String, error: io::Error },
    #[error("cannot open RTP port {port}: another program uses it; port {free} is free")]
    PortTaken { port: u16, free: u16 },
    #[error("cannot receive RTP on port {0}: {1}")]
    Socket(u16, io::Error),
    #[error("the server has no movie {file:?}: {status}")]
    NotFound { file: String, status: String },
    #[error("the server cannot send RTP: {0}")]
    ServerError(String),
    #[error("the server refuses {}: {status}", method.word())]
    Refused { method: Method, status: String },
    #[error(
        "the server does not reply to SETUP within {} s: it may not have the movie {file:?} (the \
         textbook's server does not reply then), or it may not speak the lab's dialect",
        limit.as_secs_f64()
    )]
    NoAnswer { file: String, limit: Duration },
    #[error(
        "the server closes the connection at SETUP: it may not have the movie {0:?}, or it may not speak \
         the lab's dialect"
    )]
    ClosedAtSetup(String),
    #[error(
        "no RTP arrived at port {port} within {} s: the server may not have the movie {file:?} (most lab \
         servers reply 200 then), or a firewall blocks UDP",
        limit.as_secs_f64()
    )]
    NoRtp { port: u16, file: String, limit: Duration },
    #[error("the connection to the server was lost")]
    Closed,
    #[error(
        "the server sends more than {} KiB in reply to a request: it does not speak the lab's dialect",
        MAX_REPLY >> 10
    )]
    ReplyTooLong,
    #[error("cannot wait for the server: {0}")]
    Wait(io::Error),
}

impl Failure {
    /// Posts it as an error of the element.
    pub fn post(&self, element: &LabRtspSrc) {
        let text = self.to_string();
        match self {
            Self::Connect(..) | Self::ConnectAgain { .. } => {
                gst::element_error!(element, gst::ResourceError::OpenReadWrite, ("{text}"));
            }
            Self::UnknownHost { .. } => {
                let details =
                    gst::Structure::builder("details").field("unknown-host", true).build();
                gst::element_error!(
                    element,
                    gst::ResourceError::OpenReadWrite,
                    ("{text}"),
                    details: details
                );
            }
            Self::PortTaken { free, .. } => {
                let details =
                    gst::Structure::builder("details").field("free-port", u32::from(*free)).build();
                gst::element_error!(element, gst::ResourceError::Busy, ("{text}"), details: details);
            }
            Self::Socket(..) | Self::Wait(_) => {
                gst::element_error!(element, gst::ResourceError::OpenRead, ("{text}"));
            }
            Self::NotFound { .. } => {
                gst::element_error!(element, gst::ResourceError::NotFound, ("{text}"));
            }
            Self::ServerError(_) | Self::Refused { .. } | Self::ReplyTooLong => {
                gst::element_error!(element, gst::ResourceError::Failed, ("{text}"));
            }
            Self::NoAnswer { .. } | Self::ClosedAtSetup(_) => {
                let details = gst::Structure::builder("details").field("no-reply", true).build();
                gst::element_error!(element, gst::ResourceError::Read, ("{text}"), details: details);
            }
            Self::NoRtp { .. } => {
                gst::element_error!(element, gst::ResourceError::Read, ("{text}"));
            }
            Self::Closed => {
                let details =
                    gst::Structure::builder("details").field("connection-lost", true).build();
                gst::element_error!(element, gst::ResourceError::Read, ("{text}"), details: details);
            }
        }
    }
}

fn post(element: &LabRtspSrc, structure: gst::Structure) {
    let message = gst::message::Element::builder(structure).src(element).build();
    let _ = element.post_message(message);
}

pub(super) fn connected(element: &LabRtspSrc, client: SocketAddr, server: SocketAddr) {
    let structure = gst::Structure::builder("labrtspsrc-connected")
        .field("client", client.to_string())
        .field("server", server.to_string())
        .build();
    post(element, structure);
}

pub(super) fn request(
    element: &LabRtspSrc,
    method: Method,
    cseq: u64,
    form: RequestForm,
    text: &str,
) {
    let structure = gst::Structure::builder("labrtspsrc-request")
        .field("method", method.word())
        .field("cseq", cseq)
        .field("dialect", form.name())
        .field("text", text)
        .build();
    post(element, structure);
}

/// `request` is the method and CSeq of the request; `None` for bytes that do not belong to a request.
pub(super) fn reply(element: &LabRtspSrc, request: Option<(Method, u64)>, text: &str) {
    let mut structure = gst::Structure::builder("labrtspsrc-reply").field("text", text).build();
    if let Some((method, cseq)) = request {
        structure.set("method", method.word());
        structure.set("cseq", cseq);
    }
    post(element, structure);
}

pub(super) fn first_packet(element: &LabRtspSrc, packet: &[u8], header: &RtpHeader, from: &str) {
    let structure = gst::Structure::builder("labrtspsrc-rtp")
        .field("packet", gst::Buffer::from_slice(packet.to_vec()))
        .field("sequence-number", u32::from(header.sequence_number))
        .field("from", from)
        .build();
    post(element, structure);
}

pub(super) fn finding(element: &LabRtspSrc, name: &str, text: &str) {
    let structure = gst::Structure::builder("labrtspsrc-finding")
        .field("name", name)
        .field("text", text)
        .build();
    post(element, structure);
}

pub(super) fn note(element: &LabRtspSrc, text: &str) {
    let structure = gst::Structure::builder("labrtspsrc-note").field("text", text).build();
    post(element, structure);
}

pub(super) fn progress(element: &LabRtspSrc, kind: gst::ProgressType, code: &str, text: &str) {
    let message = gst::message::Progress::builder(kind, code, text).src(element).build();
    let _ = element.post_message(message);
}
