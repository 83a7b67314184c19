// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has been received and lost.

use gst::prelude::*;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts of the present set-up.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Frames that the sink rendered.
    pub frames: u64,
    /// RTP packets that the jitter buffer passed on.
    pub received: u64,
    /// RTP packets lost.
    pub lost: u64,
    /// Inter-arrival jitter, in nanoseconds.
    pub jitter: u64,
    /// RTP bytes received, headers included.
    pub bytes: u64,
    /// Bits received a second, over the last second or so.
    pub bits_per_second: f64,
}

impl Statistics {
    /// Lost packets of all that were sent, 0 to 1.
    pub fn loss_ratio(&self) -> f64 {
        let all = self.received + self.lost;
        // Counts of packets are far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        if all == 0 { 0.0 } else { self.lost as f64 / all as f64 }
    }
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
    bytes: AtomicU64,
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

impl Collector {
    pub fn watch(collector: &std::sync::Arc<Self>, jitter_buffer: &gst::Element) {
        collector.set_source(Source::JitterBuffer(jitter_buffer.downgrade()));
        let Some(pad) = jitter_buffer.static_pad("sink") else { return };
        let collector = collector.clone();
        let data = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(data, move |_, info| {
            let bytes = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => buffer.size(),
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.iter().map(gst::BufferRef::size).sum()
                }
                _ => 0,
            };
            collector.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }

    /// Takes the counts of a `labrtspsrc`.
    pub fn watch_lab(&self, source: &gst::Element) {
        self.set_source(Source::Lab(source.downgrade()));
    }

    fn set_source(&self, source: Source) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }

    pub fn reset(&self) {
        self.frames.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner) = Rate::default();
    }

    pub fn read(&self) -> Statistics {
        // Where each count stands in the element's statistics; a lab session's jitter in none.
        let (element, [received, lost, jitter, bytes]) =
            match &*self.source.lock().unwrap_or_else(PoisonError::into_inner) {
                Source::JitterBuffer(it) => {
                    (it.upgrade(), ["num-pushed", "num-lost", "avg-jitter", ""])
                }
                Source::Lab(it) => (it.upgrade(), ["packets", "lost", "", "bytes"]),
                Source::None => (None, [""; 4]),
            };
        let stats = element.map(|element| element.property::<gst::Structure>("stats"));
        let count = |name| stats.as_ref().and_then(|stats| stats.get::<u64>(name).ok());
        let bytes = count(bytes).unwrap_or_else(|| self.bytes.load(Ordering::Relaxed));
        let [received, lost, jitter] = [received, lost, jitter].map(|it| count(it).unwrap_or(0));
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        Statistics {
            frames: self.frames.load(Ordering::Relaxed),
            received,
            lost,
            jitter,
            bytes,
            bits_per_second: rate.read(bytes),
        }
    }
}
