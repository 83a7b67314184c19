// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts of what was received, shown and lost.

use super::packets::{Packet, PacketTracker};
use super::seek_filter::SeekFilter;
use super::{Borders, lock};
use gst::prelude::*;
use gstmjpegfile::rtp::RtpHeader;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The counts since SETUP.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Frames that the sink rendered.
    pub frames: u64,
    /// Frames that entered the decoder but did not leave it: damaged, or too late.
    pub undecoded: u64,
    /// RTP packets that the jitter buffer passed on.
    pub received: u64,
    /// RTP packets lost.
    pub lost: u64,
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

/// The element that counts received and lost packets.
#[derive(Debug, Default)]
enum PacketCounter {
    #[default]
    None,
    JitterBuffer(glib::WeakRef<gst::Element>),
    Lab(glib::WeakRef<gst::Element>),
}

/// Collects the counts from the streaming threads.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub frames: AtomicU64,
    /// Frames that entered the decoder.
    pub into_decoder: AtomicU64,
    /// Frames that left the decoder.
    pub out_of_decoder: AtomicU64,
    bytes: AtomicU64,
    packets: Mutex<PacketTracker>,
    /// Drops packets of the old position after a seek over RTSP.
    pub seek_filter: SeekFilter,
    packet_counter: Mutex<PacketCounter>,
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
    /// Watches the packets of rtspsrc, and takes the jitter buffer's counts.
    pub fn watch_jitter_buffer(
        collector: &Arc<Self>,
        borders: &Borders,
        jitter_buffer: &gst::Element,
    ) {
        *lock(&collector.packet_counter) = PacketCounter::JitterBuffer(jitter_buffer.downgrade());
        Self::filter_seeks(collector, borders, jitter_buffer);
        Self::watch_packets(collector, borders, jitter_buffer);
    }

    /// Watches the packets of `labrtspsrc`, and takes its counts.
    pub fn watch_labrtspsrc(collector: &Arc<Self>, borders: &Borders, source: &gst::Element) {
        *lock(&collector.packet_counter) = PacketCounter::Lab(source.downgrade());
        let Some(bin) = source.downcast_ref::<gst::Bin>() else { return };
        let depayloaders = bin.iterate_all_by_element_factory_name("rtplabdepay");
        for depayloader in depayloaders.into_iter().flatten() {
            Self::watch_packets(collector, borders, &depayloader);
        }
    }

    fn watch_packets(collector: &Arc<Self>, borders: &Borders, element: &gst::Element) {
        let Some(pad) = element.static_pad("sink") else { return };
        let collector = collector.clone();
        let data = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        borders.on_pad(&pad, data, "packets", move |info| match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => collector.count_packet(buffer.as_ref()),
            Some(gst::PadProbeData::BufferList(list)) => {
                list.iter().for_each(|buffer| collector.count_packet(buffer));
            }
            _ => {}
        });
    }

    fn filter_seeks(collector: &Arc<Self>, borders: &Borders, jitter_buffer: &gst::Element) {
        let Some(pad) = jitter_buffer.static_pad("sink") else { return };
        let collector = collector.clone();
        let mask = gst::PadProbeType::BUFFER
            | gst::PadProbeType::BUFFER_LIST
            | gst::PadProbeType::EVENT_FLUSH;
        let filter = move |info: &mut gst::PadProbeInfo| match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if event.type_() == gst::EventType::FlushStop {
                    collector.seek_filter.flushed();
                }
                true
            }
            Some(gst::PadProbeData::Buffer(buffer)) => collector.keeps(buffer),
            Some(gst::PadProbeData::BufferList(list)) => {
                list.iter().any(|packet| collector.keeps(packet))
            }
            _ => true,
        };
        borders.filter_pad(&pad, mask, "seek-filter", filter);
    }

    /// Whether a packet belongs to the position of the last seek.
    fn keeps(&self, packet: &gst::BufferRef) -> bool {
        let Ok(bytes) = packet.map_readable() else { return true };
        let header = RtpHeader::parse(&bytes).map(|(header, _)| header);
        header.is_ok_and(|header| self.seek_filter.keeps(header.sequence_number))
    }

    fn count_packet(&self, buffer: &gst::BufferRef) {
        self.bytes.fetch_add(buffer.size() as u64, Ordering::Relaxed);
        if let Ok(packet) = buffer.map_readable() {
            lock(&self.packets).push(&packet, Instant::now());
        }
    }

    /// Sets the counts to zero.
    pub fn reset(&self) {
        for count in [&self.frames, &self.bytes, &self.into_decoder, &self.out_of_decoder] {
            count.store(0, Ordering::Relaxed);
        }
        *lock(&self.data_rate) = DataRate::default();
        *lock(&self.packets) = PacketTracker::default();
    }

    /// See [`PacketTracker::pause`].
    pub fn pause(&self) {
        lock(&self.packets).pause();
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
        // The names of the counts in the property `stats` of each element.
        let (element, received, lost) = match &*lock(&self.packet_counter) {
            PacketCounter::JitterBuffer(it) => (it.upgrade(), "num-pushed", "num-lost"),
            PacketCounter::Lab(it) => (it.upgrade(), "packets", "lost"),
            PacketCounter::None => (None, "", ""),
        };
        let stats = element.and_then(|it| it.property::<Option<gst::Structure>>("stats"));
        let count = |name| stats.as_ref().and_then(|stats| stats.get::<u64>(name).ok());
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bytes = read(&self.bytes);
        // The decoder's output is read first: a frame that passes between the reads must not count
        // as undecoded.
        let (out, into) = (read(&self.out_of_decoder), read(&self.into_decoder));
        let jitter = lock(&self.packets).jitter();
        Statistics {
            frames: read(&self.frames),
            // One frame may be inside the decoder.
            undecoded: into.saturating_sub(out).saturating_sub(1),
            received: count(received).unwrap_or(0),
            lost: count(lost).unwrap_or(0),
            jitter: u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX),
            bytes,
            bits_per_second: lock(&self.data_rate).update(bytes),
            playout_delay: 0,
        }
    }
}
