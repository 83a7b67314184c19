// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends frames as RTP/JPEG (RFC 2435), with RTCP: to the viewer of a session, to many viewers of a live
//! movie, or to a multicast group once for all of them.

use super::delivery::Delivery;
use super::multicast::Group;
use super::payload_cache::{PayloadCache, PreparedFrame};
use crate::connection::outbox::SendOutcome;
use crate::limit_log::LimitLog;
use crate::observe::metrics::Metrics;
use crate::observe::sessions::State;
use crate::send::datagrams::Datagrams;
use crate::send::{DueFrame, FrameSink, ReportTime, Resume, movie_log};
use gstmjpegfile::rtp::{FIXED_LEN, JpegPayloads, RtpHeader, SenderReport, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The least time between the last frame and RTCP BYE if they are sent in datagrams, to two ports. ffmpeg reads from
/// the port of RTCP first and drops all frames that wait when it finds BYE there, as on a busy machine.
const UDP_END_DELAY: Duration = Duration::from_millis(500);

/// The session of a viewer, and the delivery to it.
struct Viewer {
    session: String,
    delivery: Arc<Delivery>,
}

/// Sends RTP/JPEG to the viewers of a stream.
pub(super) struct RtspSink {
    /// The synchronization source.
    ssrc: u32,
    /// The CNAME of RTCP (RFC 7022): random, the same for as long as the server runs.
    cname: Arc<str>,
    /// The movie is live: a slow viewer loses frames. Otherwise the stream waits for its viewer.
    live: bool,
    /// The multicast group that packets are sent to; `None` to send them to each viewer.
    group: Option<Arc<Group>>,
    viewers: Vec<Viewer>,
    sequence_number: u16,
    /// The packets, and the bytes of their payloads, that have been sent, for sender reports.
    packets: u32,
    octets: u32,
    /// The size of the movie's first frame in pixels, or that of the first one that was sent. All others
    /// are fitted into it.
    size: Option<(u16, u16)>,
    /// The number of frames that were dropped because of a problem in the movie, by its kind.
    dropped: BTreeMap<&'static str, u64>,
    /// The file of the movie that the dropped frames are from.
    path: PathBuf,
    /// The reasons for conversions that have been logged.
    conversions_logged: BTreeSet<&'static str>,
    /// Counts the frames that slow viewers lose.
    limit_log: Arc<LimitLog>,
    /// Counts the frames that were dropped.
    metrics: Option<Arc<Metrics>>,
}

impl RtspSink {
    /// A sink without viewers. `size` is that of the movie's first frame, if it is known.
    pub fn new(
        ssrc: u32,
        cname: Arc<str>,
        live: bool,
        size: Option<(u16, u16)>,
        limit_log: Arc<LimitLog>,
    ) -> Self {
        let [high, low, ..] = crate::random().to_be_bytes();
        Self {
            ssrc,
            cname,
            live,
            group: None,
            viewers: Vec::new(),
            // In the lower half: some players take the wrap from 65535 to 0 for packet loss.
            sequence_number: u16::from_be_bytes([high & 0x7f, low]),
            packets: 0,
            octets: 0,
            size,
            dropped: BTreeMap::new(),
            path: PathBuf::new(),
            conversions_logged: BTreeSet::new(),
            limit_log,
            metrics: None,
        }
    }

    /// Counts the frames that were dropped in `metrics` too.
    #[must_use]
    pub fn observed(mut self, metrics: Option<Arc<Metrics>>) -> Self {
        self.metrics = metrics;
        self
    }

    /// A sink that sends each packet once, to a multicast group, while it has viewers.
    #[must_use]
    pub fn with_group(mut self, group: Arc<Group>) -> Self {
        self.group = Some(group);
        self
    }

    /// The sequence number of the next packet.
    pub fn sequence_number(&self) -> u16 {
        self.sequence_number
    }

    /// Adds a viewer, or replaces the delivery to it.
    pub fn add_viewer(&mut self, session: &str, delivery: Arc<Delivery>) {
        self.remove_viewer(session);
        self.viewers.push(Viewer { session: session.to_owned(), delivery });
    }

    /// Removes a viewer.
    pub fn remove_viewer(&mut self, session: &str) {
        self.viewers.retain(|viewer| viewer.session != session);
    }

    /// Removes a viewer, and reports the end to it if a play is under way.
    pub fn dismiss_viewer(&mut self, session: &str, time: Option<ReportTime>) {
        let viewer = self.viewers.iter().find(|viewer| viewer.session == session);
        if let (Some(viewer), Some(time)) = (viewer, time) {
            self.report_end_to(&viewer.delivery, time);
        }
        self.remove_viewer(session);
    }

    /// Reports the end to one that is a viewer, or would have been.
    pub fn report_end_to(&self, viewer: &Delivery, time: ReportTime) {
        viewer.send_rtcp(&self.report_packet(time, true));
    }

    fn send_payloads(
        &mut self,
        payloads: &JpegPayloads,
        (number, rtptime): (u64, Timestamp),
        resume: Option<Resume>,
    ) -> SendOutcome {
        let mut header = RtpHeader::jpeg(self.sequence_number, rtptime, self.ssrc, false);
        let count = payloads.iter().len();
        // New memory is that of the last frame of another stream, which is in the processor's cache.
        let mut headers: Vec<[u8; FIXED_LEN]> = Vec::with_capacity(count);
        for packet in 1..=count {
            header.marker = packet == count;
            headers.push(header.to_bytes());
            header.sequence_number = header.sequence_number.wrapping_add(1);
        }
        let datagrams = Datagrams::new(&headers, payloads);
        let mut sent = SendOutcome::Accepted;
        // A frame that the kernel does not take is not counted.
        let is_sent = self.group.as_ref().is_none_or(|group| group.send(&datagrams));
        for Viewer { delivery, .. } in self.viewers.iter().filter(|_| is_sent) {
            if delivery.send(&datagrams, (number, &headers), payloads, resume) == SendOutcome::Busy
            {
                if resume.is_some() {
                    sent = SendOutcome::Busy;
                } else {
                    self.limit_log.count(
                        "live frame dropped: the viewer has not received the frame before it",
                        delivery.peer(),
                    );
                }
            }
        }
        if sent == SendOutcome::Accepted {
            let wrapping = |number: usize| u32::try_from(number).unwrap_or(0);
            self.sequence_number = header.sequence_number;
            self.packets = self.packets.wrapping_add(wrapping(count));
            self.octets = self.octets.wrapping_add(wrapping(payloads.bytes()));
        }
        sent
    }

    fn report_packet(&self, time: ReportTime, goodbye: bool) -> Vec<u8> {
        let ReportTime { wall_clock, rtptime } = time;
        let (ssrc, packets, octets) = (self.ssrc, self.packets, self.octets);
        let report = SenderReport { ssrc, now: wall_clock, timestamp: rtptime, packets, octets };
        report.packet(&self.cname, goodbye)
    }

    fn send_report(&self, time: ReportTime, goodbye: bool) {
        let packet = self.report_packet(time, goodbye);
        if let Some(group) = &self.group {
            group.send_rtcp(&packet);
        }
        for viewer in &self.viewers {
            viewer.delivery.send_rtcp(&packet);
        }
    }
}

impl FrameSink for RtspSink {
    type Fetcher = PayloadCache;

    /// The minimum of RFC 3550 section 6.2 for sessions with few members.
    const REPORT_INTERVAL: Option<Duration> = Some(Duration::from_secs(5));

    fn options(&self) -> Option<(u16, u16)> {
        self.size
    }

    fn is_watched(&self) -> bool {
        !self.viewers.is_empty()
    }

    fn send(&mut self, frame: &Arc<PreparedFrame>, due: DueFrame, resume: Resume) -> SendOutcome {
        let DueFrame { source, rtptime } = due;
        match &**frame {
            PreparedFrame::Dropped(problem) => {
                let count = self.dropped.entry(problem.kind()).or_default();
                *count += 1;
                if let Some(metrics) = &self.metrics {
                    metrics.add_dropped(problem.kind());
                }
                if *count == 1 {
                    movie_log::dropped(source, problem);
                    source.movie.path().clone_into(&mut self.path);
                }
                SendOutcome::Accepted
            }
            PreparedFrame::Payloads { payloads, size, conversion, reason, .. } => {
                if let Some(reason) = reason
                    && self.conversions_logged.insert(reason.kind())
                {
                    movie_log::converted(source, *conversion, reason);
                }
                // A live movie does not wait for slow viewers.
                let resume = (!self.live).then_some(resume);
                let sent = self.send_payloads(payloads, (source.number, rtptime), resume);
                if sent == SendOutcome::Accepted {
                    self.size = self.size.or(*size);
                }
                sent
            }
        }
    }

    fn report(&mut self, time: ReportTime) {
        self.send_report(time, false);
    }

    fn end_delay(&self) -> Duration {
        let in_order = |viewer: &Viewer| viewer.delivery.rtcp_channel().is_some();
        if self.viewers.iter().all(in_order) { Duration::ZERO } else { UDP_END_DELAY }
    }

    fn play_ended(&mut self, time: ReportTime) {
        // Before BYE, which a viewer may answer with TEARDOWN at once.
        for viewer in &self.viewers {
            if let Some(observer) = viewer.delivery.counts().observer() {
                observer.change_state(State::Ready);
            }
        }
        self.send_report(time, true);
    }
}

impl Drop for RtspSink {
    fn drop(&mut self) {
        if !self.dropped.is_empty() {
            let (path, kinds) = (self.path.display(), &self.dropped);
            let dropped = kinds.values().sum::<u64>();
            tracing::info!(%path, dropped, ?kinds, "frames dropped in total by this stream");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::outbox::Outbox;
    use crate::connection::wire::Wire;
    use crate::rtsp::gst_media::Sockets;
    use crate::send::datagrams::test_payloads;
    use std::net::SocketAddr;

    /// Calls a function with the outbox and the address of a viewer that never reads.
    fn with_silent_viewer(test: impl FnOnce(&Arc<Outbox>, SocketAddr)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let _viewer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, peer) = listener.accept().await.unwrap();
            test(&Outbox::new(Arc::new(Wire::plain(socket)), 1024 * 1024), peer);
        });
    }

    #[test]
    fn the_end_is_delayed_for_viewers_that_get_datagrams() {
        with_silent_viewer(|outbox, peer| {
            let limit_log = Arc::new(LimitLog::default());
            let interleaved = || Delivery::interleaved(outbox.clone(), peer, (0, 1));
            let udp = || {
                let socket = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into();
                let sockets = Arc::new(Sockets { rtp: socket(), rtcp: socket() });
                Delivery::udp(sockets, peer, peer.port(), false, limit_log.clone())
            };
            let rows = [
                (vec![], Duration::ZERO),
                (vec![interleaved(), interleaved()], Duration::ZERO),
                (vec![udp()], UDP_END_DELAY),
                (vec![interleaved(), udp()], UDP_END_DELAY),
            ];
            for (deliveries, delay) in rows {
                let mut sink = RtspSink::new(1, "cname".into(), false, None, limit_log.clone());
                let number = deliveries.len();
                for delivery in deliveries {
                    sink.add_viewer("session", Arc::new(delivery));
                }
                assert_eq!(sink.end_delay(), delay, "{number} viewers");
            }
        });
    }

    #[test]
    fn frames_that_a_slow_viewer_of_a_live_movie_loses_are_counted() {
        with_silent_viewer(|outbox, peer| {
            let limit_log = Arc::new(LimitLog::default());
            let mut sink = RtspSink::new(1, "cname".into(), true, None, limit_log.clone());
            let delivery = Delivery::interleaved(outbox.clone(), peer, (0, 1));
            sink.add_viewer("session", Arc::new(delivery));
            let payloads = test_payloads(60_000);
            let mut send = || sink.send_payloads(&payloads, (0, Timestamp::default()), None);
            while outbox.waits_since().is_none() {
                assert_eq!(send(), SendOutcome::Accepted);
            }
            assert!(limit_log.kinds().is_empty());
            assert_eq!(send(), SendOutcome::Accepted);
            let kind = "live frame dropped: the viewer has not received the frame before it";
            assert_eq!(limit_log.kinds(), [kind]);
        });
    }
}
