// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts of what was received, shown and lost.

use super::capture::Capture;
use super::connections::Connections;
use super::packet_log::{Analysis, Order};
use super::packets::{Packet, PacketTracker};
use super::play_reply::{PacketPositions, PlayReply};
use super::running_time::RunningTime;
use super::seek_filter::SeekFilter;
use super::{Borders, lock};
use gst::prelude::*;
use gstmjpegfile::movie_position;
use gstmjpegfile::rtp::{PacketCounts, RtpHeader};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The counts since SETUP.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Frames that the sink rendered.
    pub frames: u64,
    /// Frames that entered the decoder but did not leave it: damaged, or too late.
    pub undecoded: u64,
    /// RTP packets received.
    pub received: u64,
    /// RTP packets lost, by their sequence numbers (RFC 3550 appendix A.3).
    pub lost: u64,
    /// Copies of packets that had arrived.
    pub repeated: u64,
    /// Packets that arrived after a later one. They are not lost.
    pub late: u64,
    /// Inter-arrival jitter, in nanoseconds (RFC 3550 section 6.4.1).
    pub jitter: u64,
    /// RTP bytes received, headers included.
    pub bytes: u64,
    /// Bits received per second, averaged over the last second or two.
    pub bits_per_second: f64,
    /// Time from the last frame's arrival to its rendering, in nanoseconds. Only an [`Engine`]
    /// measures it.
    ///
    /// [`Engine`]: super::engine::Engine
    pub playout_delay: u64,
}

impl Statistics {
    /// Lost packets, as a fraction of all that were sent, 0 to 1.
    pub fn loss_ratio(&self) -> f64 {
        loss_ratio(self.lost, self.received)
    }
}

/// Lost packets, as a fraction of all that were sent, 0 to 1.
pub(super) fn loss_ratio(lost: u64, received: u64) -> f64 {
    let all = received + lost;
    // Counts of packets are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    if all == 0 { 0.0 } else { lost as f64 / all as f64 }
}

/// Collects the counts from the streaming threads.
#[derive(Debug, Default)]
pub(super) struct Collector {
    frames: AtomicU64,
    /// Frames that entered the decoder.
    pub into_decoder: AtomicU64,
    /// Frames that left the decoder.
    pub out_of_decoder: AtomicU64,
    bytes: AtomicU64,
    /// Complete replies of a server of standard RTSP.
    replies: AtomicU64,
    /// Bytes of packets that arrived in an RTSP connection, with their prefixes.
    interleaved_bytes: AtomicU64,
    /// How long to wait for a reply of a server that sends interim replies; unset for others.
    interim_timeout: OnceLock<Duration>,
    packets: Mutex<PacketTracker>,
    /// The connections of rtspsrc.
    connections: Arc<Connections>,
    /// What was exchanged with the server.
    capture: Arc<Capture>,
    positions: Mutex<PacketPositions>,
    /// Drops packets of the old position after a seek over RTSP.
    seek_filter: SeekFilter,
    /// The `labrtspsrc`, which knows the forms of the lab's packets and counts them.
    labrtspsrc: Mutex<glib::WeakRef<gst::Element>>,
    data_rate: Mutex<DataRate>,
}

/// The data rate, measured between updates that are a second or more apart.
#[derive(Debug, Default)]
struct DataRate {
    since: Option<(Instant, u64)>,
    bits_per_second: f64,
}

impl DataRate {
    const MIN_SPAN: Duration = Duration::from_secs(1);

    /// Updates the rate with the count of `bytes` so far, and returns it in bits per second.
    fn update(&mut self, bytes: u64) -> f64 {
        let now = Instant::now();
        let (start, before) = *self.since.get_or_insert((now, bytes));
        let span = now.duration_since(start);
        if span >= Self::MIN_SPAN {
            // Bytes of a few seconds are far below 2^52.
            #[allow(clippy::cast_precision_loss)]
            let bits = bytes.saturating_sub(before) as f64 * 8.0;
            self.bits_per_second = bits / span.as_secs_f64();
            self.since = Some((now, bytes));
        }
        self.bits_per_second
    }
}

impl Collector {
    /// Watches the packets of rtspsrc at a jitter buffer.
    pub fn watch_jitter_buffer(
        collector: &Arc<Self>,
        borders: &Borders,
        jitter_buffer: &gst::Element,
    ) {
        let Some(pad) = jitter_buffer.static_pad("sink") else { return };
        let collector = collector.clone();
        let mask = gst::PadProbeType::BUFFER
            | gst::PadProbeType::BUFFER_LIST
            | gst::PadProbeType::EVENT_FLUSH;
        let is_video = video_check(&pad);
        let running_time = RunningTime::new(jitter_buffer);
        borders.filter_pad(&pad, mask, "packets", move |info| {
            if !is_video() {
                return true;
            }
            match &mut info.data {
                Some(gst::PadProbeData::Event(event)) => {
                    match event.type_() {
                        gst::EventType::FlushStart => collector.seek_filter.flush_started(),
                        gst::EventType::FlushStop => collector.seek_filter.flushed(),
                        _ => {}
                    }
                    true
                }
                Some(gst::PadProbeData::Buffer(packet)) => {
                    running_time.correct(packet);
                    collector.receive(packet)
                }
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.iter().filter(|packet| collector.receive(packet)).count() > 0
                }
                _ => true,
            }
        });
    }

    /// Watches the packets of `labrtspsrc`, and takes its counts.
    pub fn watch_labrtspsrc(collector: &Arc<Self>, borders: &Borders, source: &gst::Element) {
        *lock(&collector.labrtspsrc) = source.downgrade();
        lock(&collector.packets).is_lab = true;
        let Some(bin) = source.downcast_ref::<gst::Bin>() else { return };
        let depayloaders = bin.iterate_all_by_element_factory_name("rtplabdepay");
        for depayloader in depayloaders.into_iter().flatten() {
            let Some(pad) = depayloader.static_pad("sink") else { continue };
            let collector = collector.clone();
            borders.on_pad(&pad, gst::PadProbeType::BUFFER, "packets", move |info| {
                if let Some(packet) = info.buffer().and_then(|it| it.map_readable().ok()) {
                    collector.count_packet(&packet, Instant::now());
                }
            });
        }
    }

    /// Attaches to the frames of rtspsrc their positions in the movie, if `element` makes frames of
    /// packets.
    pub fn watch_depayloader(collector: &Arc<Self>, borders: &Borders, element: &gst::Element) {
        let depayloads = element.factory().is_some_and(|factory| {
            factory.has_type(gst::ElementFactoryType::DEPAYLOADER)
                && factory.name() != "rtplabdepay"
        });
        let (Some(sink), Some(src)) = (element.static_pad("sink"), element.static_pad("src"))
        else {
            return;
        };
        if !depayloads {
            return;
        }
        // A frame is pushed while its last packet is taken, by the same thread.
        let position = Arc::new(Mutex::new(None));
        let (collector, last) = (collector.clone(), position.clone());
        let is_video = video_check(&sink);
        borders.on_pad(&sink, gst::PadProbeType::BUFFER, "packet-positions", move |info| {
            let Some(packet) = info.buffer().filter(|_| is_video()) else { return };
            let header = packet
                .map_readable()
                .ok()
                .and_then(|bytes| RtpHeader::parse(&bytes).ok().map(|(header, _)| header));
            *lock(&last) = header.and_then(|header| lock(&collector.positions).of(&header));
        });
        borders.on_pad(&src, gst::PadProbeType::BUFFER, "frame-positions", move |info| {
            if let (Some(frame), Some(position)) = (info.buffer_mut(), *lock(&position)) {
                movie_position::set(frame.make_mut(), position);
            }
        });
    }

    /// Counts a reply.
    pub fn count_reply(&self) {
        self.replies.fetch_add(1, Ordering::Relaxed);
    }

    /// Complete replies so far.
    pub fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Notes that the server sends interim replies. False if that is known already.
    pub fn expect_interim_replies(&self, timeout: Duration) -> bool {
        self.interim_timeout.set(timeout).is_ok()
    }

    /// How long to wait for a reply of a server that sends interim replies; `None` for others.
    pub fn interim_timeout(&self) -> Option<Duration> {
        self.interim_timeout.get().copied()
    }

    /// Counts a packet of this length in an RTSP connection.
    pub fn count_interleaved(&self, length: usize) {
        // RFC 2326 section 10.12: "$", the channel and the length precede it.
        self.interleaved_bytes.fetch_add(4 + length as u64, Ordering::Relaxed);
    }

    /// Bytes of packets in RTSP connections so far.
    pub fn interleaved_bytes(&self) -> u64 {
        self.interleaved_bytes.load(Ordering::Relaxed)
    }

    /// Notes that rtspsrc sends a PLAY request.
    pub fn play_sent(&self) {
        lock(&self.packets).play_sent();
        self.seek_filter.play_sent();
    }

    /// Lets no packet wait for a reply: the session ends.
    pub fn end_session(&self) {
        self.seek_filter.end();
    }

    /// Counts packets on, in a session whose numbers start anew.
    pub fn restart_numbers(&self) {
        lock(&self.packets).play_replied(None);
        *lock(&self.positions) = PacketPositions::default();
    }

    /// Notes the reply to PLAY; `None` if the server has refused it.
    pub fn play_replied(&self, reply: Option<PlayReply>) {
        match reply {
            Some(reply) => {
                let mut packets = lock(&self.packets);
                self.capture.decide(&packets.play_replied(reply.sequence_number));
                drop(packets);
                lock(&self.positions).replied(reply);
            }
            None => {
                let mut packets = lock(&self.packets);
                self.capture.decide(&packets.play_refused());
            }
        }
        // Last, since it lets packets pass.
        self.seek_filter.play_replied(reply.and_then(|reply| reply.sequence_number));
    }

    /// Counts a packet, unless it is one from before the last seek, or none; whether it has been counted.
    fn receive(&self, packet: &gst::BufferRef) -> bool {
        // The filter may wait for the reply to PLAY.
        let now = Instant::now();
        let Ok(bytes) = packet.map_readable() else { return true };
        let Ok((header, payload)) = RtpHeader::parse(&bytes) else { return false };
        let kept = self.seek_filter.keeps(header.sequence_number);
        if kept {
            self.count_packet(&bytes, now);
        } else {
            let analysis = Analysis {
                header,
                payload_len: payload.len(),
                since_previous: None,
                jitter: Duration::ZERO,
                starts_frame: false,
                order: Order::OldPosition,
            };
            self.capture.push_rtp(now, analysis, &bytes);
        }
        kept
    }

    fn count_packet(&self, packet: &[u8], now: Instant) {
        self.bytes.fetch_add(packet.len() as u64, Ordering::Relaxed);
        // Locked until it is recorded: a reply to PLAY may decide its order.
        let mut packets = lock(&self.packets);
        if let Some(analysis) = packets.push(packet, now) {
            self.capture.push_rtp(now, analysis, packet);
        }
    }

    /// The connections of rtspsrc to its server.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// What was exchanged with the server.
    pub fn capture(&self) -> &Arc<Capture> {
        &self.capture
    }

    /// Counts a frame that is shown.
    pub fn frame_shown(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the counts to zero.
    pub fn reset(&self) {
        for count in [&self.frames, &self.bytes, &self.into_decoder, &self.out_of_decoder] {
            count.store(0, Ordering::Relaxed);
        }
        *lock(&self.data_rate) = DataRate::default();
        lock(&self.packets).reset();
        self.capture.start_session();
        *lock(&self.positions) = PacketPositions::default();
    }

    /// See [`PacketTracker::pause`].
    pub fn pause(&self) {
        lock(&self.packets).pause();
    }

    /// See [`PacketTracker::start_frame_log`].
    pub fn start_frame_log(&self, file: File) -> io::Result<()> {
        lock(&self.packets).start_frame_log(file)
    }

    /// See [`PacketTracker::finish_frame_log`].
    pub fn finish_frame_log(&self) -> io::Result<()> {
        lock(&self.packets).finish_frame_log()
    }

    /// The last packet that arrived.
    pub fn last_packet(&self) -> Option<Packet> {
        lock(&self.packets).last()
    }

    /// When the last packet arrived.
    pub fn last_arrival(&self) -> Option<Instant> {
        lock(&self.packets).last_arrival()
    }

    /// See [`PacketTracker::take_longest_gap`].
    pub fn take_longest_gap(&self) -> Duration {
        lock(&self.packets).take_longest_gap()
    }

    /// The counts until now.
    pub fn statistics(&self) -> Statistics {
        let (jitter, mut counts) = {
            let packets = lock(&self.packets);
            (packets.jitter(), packets.counts())
        };
        let labrtspsrc = lock(&self.labrtspsrc).upgrade();
        // The numbers of the lab's packets have rules of their own, which only rtplabdepay knows
        // (`plugin/src/rtp/reorder_buffer.rs`).
        if let Some(source) = labrtspsrc {
            let stats = source.property::<Option<gst::Structure>>("stats");
            let count = |name| stats.as_ref().and_then(|it| it.get::<u64>(name).ok()).unwrap_or(0);
            counts = PacketCounts {
                received: count("packets"),
                lost: count("lost"),
                repeated: count("repeated"),
                // The element counts those that its buffer could not put in order.
                late: counts.late.max(count("late")),
            };
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bytes = read(&self.bytes);
        // The decoder's output is read first: a frame that passes between the reads must not count
        // as undecoded.
        let (out, into) = (read(&self.out_of_decoder), read(&self.into_decoder));
        Statistics {
            frames: read(&self.frames),
            // One frame may be inside the decoder.
            undecoded: into.saturating_sub(out).saturating_sub(1),
            received: counts.received,
            lost: counts.lost,
            repeated: counts.repeated,
            late: counts.late,
            jitter: u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX),
            bytes,
            bits_per_second: lock(&self.data_rate).update(bytes),
            playout_delay: 0,
        }
    }
}

/// Makes a check of whether the stream at a pad is video. rtspsrc gives its pads caps before the first
/// packet, and each stream a pad of its own.
fn video_check(pad: &gst::Pad) -> impl Fn() -> bool + Send + Sync + 'static {
    let (pad, is_video) = (pad.downgrade(), OnceLock::new());
    move || {
        *is_video.get_or_init(|| {
            let caps = pad.upgrade().and_then(|pad| pad.current_caps());
            let media = caps.and_then(|it| it.structure(0)?.get::<String>("media").ok());
            media.is_none_or(|media| media == "video")
        })
    }
}
