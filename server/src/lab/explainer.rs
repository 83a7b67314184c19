// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--explain`: explains the exchange with a lab client, line by line, on standard error.

use gstmjpegfile::lab::{Method, explain_reply, explain_request, explain_rtp};
use gstmjpegfile::rtp::RtpHeader;
use mjpeg_program::log::say as print;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of different remarks that are printed for a connection. A student's client has few
/// faults, but a malicious one could have any number.
const MAX_REMARKS: usize = 100;

/// Explains the exchange of one connection, if it is switched on.
#[derive(Debug, Clone)]
pub(super) struct Explainer(Option<Arc<ExplainedConnection>>);

#[derive(Debug)]
struct ExplainedConnection {
    peer: SocketAddr,
    remarks: Mutex<Remarks>,
}

/// The remarks on the requests of a connection. Each is printed once: most requests have the same.
#[derive(Debug, Default)]
struct Remarks {
    printed: HashSet<String>,
    /// The number of remarks over [`MAX_REMARKS`], which are not printed.
    dropped: u64,
}

impl Remarks {
    /// Whether to print a remark.
    fn is_new(&mut self, remark: &str) -> bool {
        if self.printed.contains(remark) {
            return false;
        }
        let fits = self.printed.len() < MAX_REMARKS;
        if fits {
            self.printed.insert(remark.to_owned());
        } else {
            self.dropped += 1;
        }
        fits
    }
}

impl Explainer {
    pub fn new(on: bool, peer: SocketAddr) -> Self {
        Self(on.then(|| Arc::new(ExplainedConnection { peer, remarks: Mutex::default() })))
    }

    /// Explains a request, and remarks on what differs from the lab's instructions.
    pub fn explain_request(&self, text: &str) {
        if let Some(ExplainedConnection { peer, remarks }) = self.0.as_deref() {
            let mut explained = explain_request(text);
            {
                let mut remarks = remarks.lock().unwrap_or_else(PoisonError::into_inner);
                explained.remarks.retain(|remark| remarks.is_new(remark));
            }
            print(&format!("{peer} > server: {explained}"));
        }
    }

    /// Explains the reply to a request, whose method and sequence number are known if it could be
    /// read.
    pub fn explain_reply(&self, text: &str, request: Option<(Method, u64)>) {
        if let Some(ExplainedConnection { peer, .. }) = self.0.as_deref() {
            let mut explained = explain_reply(text, request);
            // Remarks on a reply are meant for the authors of servers.
            explained.remarks.clear();
            print(&format!("{peer} < server: {explained}"));
        }
    }

    /// Explains the first packet of a play.
    pub fn explain_rtp(&self, header: &RtpHeader, payload: usize) {
        if let Some(ExplainedConnection { peer, .. }) = self.0.as_deref() {
            print(&format!("{peer} < server: {}", explain_rtp(header, payload)));
        }
    }
}

impl Drop for ExplainedConnection {
    fn drop(&mut self) {
        let remarks = self.remarks.get_mut().unwrap_or_else(PoisonError::into_inner);
        if remarks.dropped > 0 {
            let (peer, dropped) = (self.peer, remarks.dropped);
            print(&format!(
                "{peer} > server: {dropped} remarks after the first {MAX_REMARKS} were not printed"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_printed_once_and_those_over_the_limit_are_counted() {
        let mut remarks = Remarks::default();
        for number in 0..MAX_REMARKS {
            assert!(remarks.is_new(&number.to_string()), "{number}");
        }
        assert!(!remarks.is_new("0"));
        assert_eq!(remarks.dropped, 0);
        for remark in ["one more", "another", "0"] {
            assert!(!remarks.is_new(remark), "{remark}");
        }
        assert_eq!(remarks.dropped, 2);
    }
}
