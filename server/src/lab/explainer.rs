// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--explain`: the exchange with a lab client, line by line, on standard error.

use gstmjpegfile::lab::{Method, explain_reply, explain_request, explain_rtp};
use gstmjpegfile::rtp::RtpHeader;
use std::net::SocketAddr;

/// Explains one connection, or nothing.
#[derive(Debug, Clone)]
pub(super) struct Explainer(Option<SocketAddr>);

impl Explainer {
    pub fn new(on: bool, peer: SocketAddr) -> Self {
        Self(on.then_some(peer))
    }

    /// A request as it came, with what is otherwise than the lab asks.
    pub fn request(&self, text: &str) {
        if let Some(peer) = self.0 {
            print(&format!("{peer} > server: {}", explain_request(text)));
        }
    }

    /// Our reply to it.
    pub fn reply(&self, text: &str, asked: Option<(Method, u64)>) {
        if let Some(peer) = self.0 {
            let mut explained = explain_reply(text, asked);
            // They are about the other end's programs.
            explained.remarks.clear();
            print(&format!("{peer} < server: {explained}"));
        }
    }

    /// The first packet of a PLAY.
    pub fn rtp(&self, header: &RtpHeader, payload: usize) {
        if let Some(peer) = self.0 {
            print(&format!("{peer} < server: {}", explain_rtp(header, payload)));
        }
    }
}

/// In one write, so that the explanations of two connections do not mix.
#[allow(clippy::print_stderr, reason = "what the flag is for")]
fn print(text: &str) {
    eprintln!("{text}");
}
