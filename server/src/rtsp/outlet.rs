// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie as RTP/JPEG (RFC 2435), with RTCP, to one viewer on demand or to many of a live movie.

use super::delivery::Delivery;
use super::frames::{PayloadCache, Prepared};
use crate::connection::outbox::{Drained, Sent};
use crate::send::{FrameRef, Moment, Outlet, reports};
use crate::udp::Datagrams;
use gstmjpegfile::rtp::{FIXED_LEN, JpegPayloads, RtpHeader, SenderReport, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A viewer's session, and the way to it.
struct Viewer {
    session: String,
    delivery: Arc<Delivery>,
}

/// Sends RTP/JPEG.
pub(super) struct RtspOutlet {
    /// The synchronization source.
    ssrc: u32,
    /// The CNAME of RTCP (RFC 7022: random, for as long as the server runs).
    cname: Arc<str>,
    /// Many viewers see the same; one that is slow loses frames. Otherwise the one is waited for.
    live: bool,
    viewers: Vec<Viewer>,
    sequence_number: u16,
    /// Packets and bytes of payload that were sent, for reports.
    packets: u32,
    octets: u32,
    /// The size of the first frame that was sent, in pixels: the others get it too.
    size: Option<(u16, u16)>,
    /// Frames that were left out, by what is wrong with them, and of which movie.
    dropped: BTreeMap<&'static str, u64>,
    path: PathBuf,
    /// Why frames were made anew, to the extent that it was logged.
    made: BTreeSet<&'static str>,
    /// Memory for the headers of a frame's packets.
    headers: Vec<[u8; FIXED_LEN]>,
}

impl RtspOutlet {
    /// An outlet without viewers.
    pub fn new(ssrc: u32, cname: Arc<str>, live: bool) -> Self {
        let [high, low, ..] = crate::random().to_be_bytes();
        Self {
            ssrc,
            cname,
            live,
            viewers: Vec::new(),
            // Not near the end: some players take a wrap for a loss.
            sequence_number: u16::from_be_bytes([high & 0x7f, low]),
            packets: 0,
            octets: 0,
            size: None,
            dropped: BTreeMap::new(),
            path: PathBuf::new(),
            made: BTreeSet::new(),
            headers: Vec::new(),
        }
    }

    /// The sequence number of the next packet.
    pub fn sequence_number(&self) -> u16 {
        self.sequence_number
    }

    /// Sends to a viewer too, instead of in the way that it was sent to before.
    pub fn join(&mut self, session: &str, delivery: Arc<Delivery>) {
        self.leave(session);
        self.viewers.push(Viewer { session: session.to_owned(), delivery });
    }

    /// Sends to that viewer no more.
    pub fn leave(&mut self, session: &str) {
        self.viewers.retain(|viewer| viewer.session != session);
    }

    fn send_payloads(
        &mut self,
        payloads: &JpegPayloads,
        rtptime: Timestamp,
        resume: Option<&dyn Fn() -> Drained>,
    ) -> Sent {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        let mut header = RtpHeader::jpeg(self.sequence_number, rtptime, self.ssrc, false);
        let count = payloads.iter().len();
        for packet in 1..=count {
            header.marker = packet == count;
            headers.push(header.to_bytes());
            header.sequence_number = header.sequence_number.wrapping_add(1);
        }
        let datagrams = Datagrams::new(&headers, payloads);
        let mut sent = Sent::Done;
        for viewer in &self.viewers {
            let of_viewer = viewer.delivery.send(&datagrams, &headers, payloads, resume);
            if resume.is_some() && of_viewer == Sent::Busy {
                sent = Sent::Busy;
            }
        }
        if sent == Sent::Done {
            let wrapping = |number: usize| u32::try_from(number).unwrap_or(0);
            self.sequence_number = header.sequence_number;
            self.packets = self.packets.wrapping_add(wrapping(count));
            self.octets = self.octets.wrapping_add(wrapping(payloads.bytes()));
        }
        drop(datagrams);
        self.headers = headers;
        sent
    }

    fn send_report(&self, moment: Moment, goodbye: bool) {
        let Moment { now, rtptime } = moment;
        let (ssrc, packets, octets) = (self.ssrc, self.packets, self.octets);
        let report = SenderReport { ssrc, now, timestamp: rtptime, packets, octets };
        let packet = report.packet(&self.cname, goodbye);
        for viewer in &self.viewers {
            viewer.delivery.report(&packet);
        }
    }
}

impl Outlet for RtspOutlet {
    type Frames = PayloadCache;

    /// RFC 3550 section 6.2 has 5 s as the least for few members.
    const REPORT_INTERVAL: Option<Duration> = Some(Duration::from_secs(5));

    fn options(&self) -> Option<(u16, u16)> {
        self.size
    }

    fn is_watched(&self) -> bool {
        !self.viewers.is_empty()
    }

    fn send(
        &mut self,
        frame: &Arc<Prepared>,
        of: FrameRef,
        rtptime: Timestamp,
        resume: &dyn Fn() -> Drained,
    ) -> Sent {
        match &**frame {
            Prepared::Dropped(why) => {
                let count = self.dropped.entry(why.kind()).or_default();
                *count += 1;
                if *count == 1 {
                    reports::dropped(of.movie, of.number, of.location.offset, why);
                    of.movie.path().clone_into(&mut self.path);
                }
                Sent::Done
            }
            Prepared::Payloads { payloads, size, conversion, reason } => {
                if let Some(reason) = reason
                    && self.made.insert(reason.kind())
                {
                    reports::made(of.movie, of.number, *conversion, reason);
                }
                // A live movie waits for nobody.
                let resume = (!self.live).then_some(resume);
                let sent = self.send_payloads(payloads, rtptime, resume);
                if sent == Sent::Done {
                    self.size = self.size.or(*size);
                }
                sent
            }
        }
    }

    fn report(&mut self, moment: Moment) {
        self.send_report(moment, false);
    }

    fn end(&mut self, moment: Moment) {
        self.send_report(moment, true);
    }
}

impl Drop for RtspOutlet {
    fn drop(&mut self) {
        if !self.dropped.is_empty() {
            let (path, kinds) = (self.path.display(), &self.dropped);
            let dropped = kinds.values().sum::<u64>();
            tracing::info!(%path, dropped, ?kinds, "frames dropped in all for a viewer");
        }
    }
}
