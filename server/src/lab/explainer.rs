// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--explain`: the exchange with a lab client, line by line, on standard error.

use gstmjpegfile::lab::{Method, explain_reply, explain_request, explain_rtp};
use gstmjpegfile::rtp::RtpHeader;
use mjpeg_program::log::say as print;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Different remarks that are made of a connection: a program has few faults, and a stranger may make
/// any number.
const MAX_REMARKS: usize = 100;

/// Explains one connection, or nothing.
#[derive(Debug, Clone)]
pub(super) struct Explainer(Option<Arc<Connection>>);

#[derive(Debug)]
struct Connection {
    peer: SocketAddr,
    /// Remarks are made once: most requests have the same.
    remarked: Mutex<HashSet<String>>,
}

impl Explainer {
    pub fn new(on: bool, peer: SocketAddr) -> Self {
        Self(on.then(|| Arc::new(Connection { peer, remarked: Mutex::default() })))
    }

    /// A request as it came, with what is otherwise than the lab asks.
    pub fn request(&self, text: &str) {
        if let Some(Connection { peer, remarked }) = self.0.as_deref() {
            let mut explained = explain_request(text);
            let mut remarked = remarked.lock().unwrap_or_else(PoisonError::into_inner);
            explained
                .remarks
                .retain(|remark| remarked.len() < MAX_REMARKS && remarked.insert(remark.clone()));
            print(&format!("{peer} > server: {explained}"));
        }
    }

    /// Our reply to it.
    pub fn reply(&self, text: &str, asked: Option<(Method, u64)>) {
        if let Some(Connection { peer, .. }) = self.0.as_deref() {
            let mut explained = explain_reply(text, asked);
            // They are about the other end's programs.
            explained.remarks.clear();
            print(&format!("{peer} < server: {explained}"));
        }
    }

    /// The first packet of a PLAY.
    pub fn rtp(&self, header: &RtpHeader, payload: usize) {
        if let Some(Connection { peer, .. }) = self.0.as_deref() {
            print(&format!("{peer} < server: {}", explain_rtp(header, payload)));
        }
    }
}
