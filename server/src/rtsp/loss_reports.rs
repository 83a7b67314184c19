// SPDX-License-Identifier: MIT OR Apache-2.0
//! What viewers over UDP report by RTCP, which gst-rtsp-server receives: loss, jitter and delays.

use crate::send::counts::SendCounts;
use gst::prelude::*;
use gstmjpegfile::rtp::ReportBlock;
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
    /// Stores what is reported from an address in these counts.
    pub(crate) fn add(&self, reporter: SocketAddr, counts: &Arc<SendCounts>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Each clean-up looks at twice as many entries as the last one has left.
        if all.counts.len() >= CLEAN_UP_FROM.max(2 * all.kept) {
            all.counts.retain(|_, counts| counts.strong_count() > 0);
            all.kept = all.counts.len();
        }
        all.counts.insert(reporter, Arc::downgrade(counts));
    }

    /// Stores what was reported from an address.
    fn store(&self, reporter: SocketAddr, block: ReportBlock) {
        let counts = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.counts.get(&reporter).and_then(Weak::upgrade)
        };
        if let Some(counts) = counts {
            counts.add_report(block);
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
        let number = |name: &str| stats.get::<u32>(name).ok();
        let block = ReportBlock {
            fraction_lost: u8::try_from(number("rb-fractionlost")?).unwrap_or(u8::MAX),
            cumulative_lost: stats.get("rb-packetslost").ok()?,
            highest_sequence: number("rb-exthighestseq")?,
            jitter: number("rb-jitter")?,
            last_sender_report: number("rb-lsr")?,
            delay: number("rb-dlsr")?,
        };
        self.store(reporter, block);
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
        let block = ReportBlock {
            fraction_lost: 0,
            cumulative_lost: 7,
            highest_sequence: 0,
            jitter: 0,
            last_sender_report: 0,
            delay: 0,
        };
        reports.store(([127, 0, 0, 1], 1).into(), block);
        assert_eq!(alive.lost(), Some(7));
        assert!(reports.0.lock().unwrap().counts.len() <= CLEAN_UP_FROM);
    }
}
