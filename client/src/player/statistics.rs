// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has been received and lost.

use super::Borders;
use super::packets::{Packet, Packets};
use gst::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts of the present set-up.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Frames that the sink rendered.
    pub frames: u64,
    /// Frames that no picture came of: damaged, or too late.
    pub undecoded: u64,
    /// RTP packets that the jitter buffer passed on.
    pub received: u64,
    /// RTP packets lost.
    pub lost: u64,
    /// Inter-arrival jitter, in nanoseconds (RFC 3550 section 6.4.1).
    pub jitter: u64,
    /// RTP bytes received, headers included.
    pub bytes: u64,
    /// Bits received a second, over the last second or so.
    pub bits_per_second: f64,
    /// From a frame's arrival to its rendering, in nanoseconds: the last one's, as an [`Engine`]
    /// measures it.
    ///
    /// [`Engine`]: super::engine::Engine
    pub playout_delay: u64,
}

impl Statistics {
    /// Lost packets of all that were sent, 0 to 1.
    pub fn loss_ratio(&self) -> f64 {
        loss_ratio(self.lost, self.received)
    }
}

/// Lost packets of all that were sent, 0 to 1.
pub(super) fn loss_ratio(lost: u64, received: u64) -> f64 {
    let all = received + lost;
    // Counts of packets are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    if all == 0 { 0.0 } else { lost as f64 / all as f64 }
}

/// Who counts packets.
#[derive(Debug, Default)]
enum Source {
    #[default]
    None,
    JitterBuffer(glib::WeakRef<gst::Element>),
    Lab(glib::WeakRef<gst::Element>),
}

/// Collects them from the streaming threads.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub frames: AtomicU64,
    /// Frames that went into the decoder, and came out.
    pub into_decoder: AtomicU64,
    pub out_of_decoder: AtomicU64,
    bytes: AtomicU64,
    packets: Mutex<Packets>,
    source: Mutex<Source>,
    rate: Mutex<Rate>,
}

/// The data rate, measured between reads that are a second or more apart.
#[derive(Debug, Default)]
struct Rate {
    since: Option<(Instant, u64)>,
    bits_per_second: f64,
}

impl Rate {
    const SPAN: Duration = Duration::from_secs(1);

    fn read(&mut self, bytes: u64) -> f64 {
        let now = Instant::now();
        let (begin, before) = *self.since.get_or_insert((now, bytes));
        let span = now.duration_since(begin);
        if span >= Self::SPAN {
            // Bytes of a few seconds are far below 2^52.
            #[allow(clippy::cast_precision_loss)]
            let bits = bytes.saturating_sub(before) as f64 * 8.0;
            self.bits_per_second = bits / span.as_secs_f64();
            self.since = Some((now, bytes));
        }
        self.bits_per_second
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// Follows the packets of rtspsrc.
    pub fn watch(collector: &Arc<Self>, borders: &Borders, jitter_buffer: &gst::Element) {
        *lock(&collector.source) = Source::JitterBuffer(jitter_buffer.downgrade());
        Self::watch_packets(collector, borders, jitter_buffer);
    }

    /// Follows the packets of a `labrtspsrc`, and takes its counts.
    pub fn watch_lab(collector: &Arc<Self>, borders: &Borders, source: &gst::Element) {
        *lock(&collector.source) = Source::Lab(source.downgrade());
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
            Some(gst::PadProbeData::Buffer(buffer)) => collector.arrive(buffer.as_ref()),
            Some(gst::PadProbeData::BufferList(list)) => {
                list.iter().for_each(|buffer| collector.arrive(buffer));
            }
            _ => {}
        });
    }

    fn arrive(&self, buffer: &gst::BufferRef) {
        self.bytes.fetch_add(buffer.size() as u64, Ordering::Relaxed);
        if let Ok(packet) = buffer.map_readable() {
            lock(&self.packets).arrive(&packet, Instant::now());
        }
    }

    pub fn reset(&self) {
        for count in [&self.frames, &self.bytes, &self.into_decoder, &self.out_of_decoder] {
            count.store(0, Ordering::Relaxed);
        }
        *lock(&self.rate) = Rate::default();
        *lock(&self.packets) = Packets::default();
    }

    /// The packets stop on purpose.
    pub fn pause(&self) {
        lock(&self.packets).pause();
    }

    /// The packet that arrived last.
    pub fn last_packet(&self) -> Option<Packet> {
        lock(&self.packets).last()
    }

    /// When the last packet arrived.
    pub fn arrived(&self) -> Option<Instant> {
        lock(&self.packets).arrived()
    }

    /// See [`Packets::take_longest_gap`].
    pub fn take_longest_gap(&self) -> Duration {
        lock(&self.packets).take_longest_gap()
    }

    pub fn read(&self) -> Statistics {
        // Where each count stands in the element's statistics.
        let (element, received, lost) = match &*lock(&self.source) {
            Source::JitterBuffer(it) => (it.upgrade(), "num-pushed", "num-lost"),
            Source::Lab(it) => (it.upgrade(), "packets", "lost"),
            Source::None => (None, "", ""),
        };
        let stats = element.and_then(|it| it.property::<Option<gst::Structure>>("stats"));
        let count = |name| stats.as_ref().and_then(|stats| stats.get::<u64>(name).ok());
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bytes = read(&self.bytes);
        // In this order: a frame in between is no loss.
        let (out, into) = (read(&self.out_of_decoder), read(&self.into_decoder));
        let jitter = lock(&self.packets).jitter();
        Statistics {
            frames: read(&self.frames),
            // One may be in the decoder.
            undecoded: into.saturating_sub(out).saturating_sub(1),
            received: count(received).unwrap_or(0),
            lost: count(lost).unwrap_or(0),
            jitter: u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX),
            bytes,
            bits_per_second: lock(&self.rate).read(bytes),
            playout_delay: 0,
        }
    }
}
