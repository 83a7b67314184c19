// SPDX-License-Identifier: MIT OR Apache-2.0
//! The losses that viewers over UDP report by RTCP, which gst-rtsp-server receives.

use crate::send::counts::SendCounts;
use gst::prelude::*;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The number of entries from which on those of viewers that have gone are removed.
const CLEAN_UP_FROM: usize = 64;

/// The counts of each viewer over UDP, by the address that it sends RTCP from.
#[derive(Debug, Clone, Default)]
pub struct LossReports(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    counts: HashMap<SocketAddr, Weak<SendCounts>>,
    /// The number of entries that the last clean-up has left.
    kept: usize,
}

impl LossReports {
    /// Stores the losses that are reported from an address in these counts.
    pub(crate) fn add(&self, reporter: SocketAddr, counts: &Arc<SendCounts>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Each clean-up looks at twice as many entries as the last one has left.
        if all.counts.len() >= CLEAN_UP_FROM.max(2 * all.kept) {
            all.counts.retain(|_, counts| counts.strong_count() > 0);
            all.kept = all.counts.len();
        }
        all.counts.insert(reporter, Arc::downgrade(counts));
    }

    /// Stores a loss that was reported from an address.
    fn store(&self, reporter: SocketAddr, lost: i32) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = all.counts.get(&reporter).and_then(Weak::upgrade) {
            counts.set_lost(lost);
        }
    }

    /// Reads the last report of a source of a rtpbin, when the rtpbin has received one.
    pub fn read(&self, rtpbin: &gst::Element, session: u32, ssrc: u32) -> Option<()> {
        let session: Option<glib::Object> =
            rtpbin.emit_by_name("get-internal-session", &[&session]);
        let source: Option<glib::Object> = session?.emit_by_name("get-source-by-ssrc", &[&ssrc]);
        let stats: gst::Structure = source?.property("stats");
        if !stats.get::<bool>("have-rb").ok()? {
            return None;
        }
        let reporter = socket_address(stats.get::<&str>("rtcp-from").ok()?)?;
        self.store(reporter, stats.get("rb-packetslost").ok()?);
        Some(())
    }
}

/// An address and a port as GStreamer writes them: without brackets for IPv6.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.rsplit_once(':')?;
    let ip: IpAddr = ip.trim_matches(['[', ']']).parse().ok()?;
    Some(SocketAddr::new(ip.to_canonical(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_gstreamer_writes_them() {
        let rows = [
            ("127.0.0.1:5001", Some("127.0.0.1:5001")),
            ("::1:5001", Some("[::1]:5001")),
            ("[fe80::2]:5001", Some("[fe80::2]:5001")),
            ("::ffff:10.0.0.1:5001", Some("10.0.0.1:5001")),
            ("127.0.0.1", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(socket_address(text), want.map(|it| it.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn entries_of_viewers_that_have_gone_are_removed() {
        let reports = LossReports::default();
        let alive: Arc<SendCounts> = Arc::default();
        reports.add(([127, 0, 0, 1], 1).into(), &alive);
        for port in 2..5000 {
            reports.add(([127, 0, 0, 1], port).into(), &Arc::default());
        }
        reports.store(([127, 0, 0, 1], 1).into(), 7);
        assert_eq!(alive.lost(), Some(7));
        assert!(reports.0.lock().unwrap().counts.len() <= CLEAN_UP_FROM);
    }
}
