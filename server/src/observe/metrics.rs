// SPDX-License-Identifier: MIT OR Apache-2.0
//! The metrics of the server, for Prometheus. Most are computed when they are asked for, from numbers that
//! are there anyway. The others are atomic: no thread that sends waits for another one.

use super::Observatory;
use super::exposition::{Exposition, Kind};
use super::histogram::Histogram;
use super::sessions::Dialect;
use super::totals::{ClassTotals, MAX_MOUNTS, MountTotals, OTHER, Totals};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// The value of a sample of a mount.
type MountValue = fn(&MountTotals) -> u64;

/// The value of a sample of a language and a transport.
type ClassValue = fn(&ClassTotals) -> u64;

/// A counter of a language.
type Counter = fn(&DialectMetrics) -> &AtomicU64;

/// Upper bounds of the lateness of frames, in microseconds.
const LATENESS: &[u64; 13] = &[
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
];

/// Upper bounds of other times, in microseconds.
const TIMES: &[u64; 13] = &[
    250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// What other parts of the server count for the metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// How late frames were sent.
    pub lateness: Histogram<13>,
    /// The time from PLAY, or from the request for a stream, to the first packet.
    pub first_packet: Histogram<13>,
    /// The round trips that follow from the reports of receivers.
    pub round_trip: Histogram<13>,
    /// The jitter that receivers report.
    pub jitter: Histogram<13>,
    /// The number of reports of receivers.
    pub reports: AtomicU64,
    dialects: [DialectMetrics; 3],
    replies: Mutex<BTreeMap<(Dialect, u16), u64>>,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
}

/// The frames of one language.
#[derive(Debug, Default)]
struct DialectMetrics {
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    recoded: AtomicU64,
    /// The time for encoding again, in nanoseconds.
    recoding: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            lateness: Histogram::new(LATENESS),
            first_packet: Histogram::new(TIMES),
            round_trip: Histogram::new(TIMES),
            jitter: Histogram::new(TIMES),
            reports: AtomicU64::new(0),
            dialects: Default::default(),
            replies: Mutex::default(),
            dropped: Mutex::default(),
        }
    }
}

impl Metrics {
    fn dialect(&self, dialect: Dialect) -> &DialectMetrics {
        let [rtsp, lab, http] = &self.dialects;
        match dialect {
            Dialect::Rtsp => rtsp,
            Dialect::Lab => lab,
            Dialect::Http => http,
        }
    }

    /// Counts a frame that was in the cache of a language, or was not.
    pub fn add_cached(&self, dialect: Dialect, hit: bool) {
        let metrics = self.dialect(dialect);
        let counter = if hit { &metrics.cache_hits } else { &metrics.cache_misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a frame that was encoded again for a language.
    pub fn add_recoded(&self, dialect: Dialect, time: Duration) {
        let metrics = self.dialect(dialect);
        metrics.recoded.fetch_add(1, Ordering::Relaxed);
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        metrics.recoding.fetch_add(time, Ordering::Relaxed);
    }

    /// Counts a reply.
    pub fn add_reply(&self, dialect: Dialect, code: u16) {
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        *replies.entry((dialect, code)).or_default() += 1;
    }

    /// Counts a frame that was dropped because of a problem in the movie.
    pub fn add_dropped(&self, kind: &'static str) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        *dropped.entry(kind).or_default() += 1;
    }
}

impl Observatory {
    /// All metrics in the text format of Prometheus.
    pub(crate) fn exposition(&self) -> String {
        let mut out = Exposition::default();
        self.write_server(&mut out);
        let totals = self.registry.current_totals();
        write_classes(&mut out, &totals);
        self.write_mounts(&mut out, &totals);
        self.write_sending(&mut out);
        self.write_errors(&mut out);
        out.finish()
    }

    fn write_server(&self, out: &mut Exposition) {
        let version = env!("CARGO_PKG_VERSION");
        let (major, minor, micro, _) = gst::version();
        let gstreamer = format!("{major}.{minor}.{micro}");
        out.family("mjpeg_rtsp_build_info", Kind::Gauge, "Always 1. The labels state what runs.")
            .sample(&[("version", version), ("gstreamer", &gstreamer)], 1);
        let since = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.family(
            "mjpeg_rtsp_start_time_seconds",
            Kind::Gauge,
            "When the server has started, in seconds since 1970-01-01.",
        )
        .sample(&[], since.as_secs_f64());
        if let Some(sources) = self.sources.get() {
            out.family("mjpeg_rtsp_connections", Kind::Gauge, "Open connections.")
                .sample(&[], sources.open.count());
            out.family("mjpeg_rtsp_mounts", Kind::Gauge, "Movies that are served.")
                .sample(&[], sources.catalog.get().mounts().len());
        }
    }

    /// The metrics of mounts. Viewers are those of the mounts with the most viewers.
    fn write_mounts(&self, out: &mut Exposition, totals: &Totals) {
        let mut viewers: HashMap<String, u64> =
            totals.mounts.keys().map(|name| (name.to_string(), 0)).collect();
        if let Some(sources) = self.sources.get() {
            viewers.extend(
                sources
                    .viewers
                    .by_mount()
                    .into_iter()
                    .map(|(point, count)| (point.trim_matches('/').to_owned(), count as u64)),
            );
        }
        let mut viewers: Vec<(String, u64)> = viewers.into_iter().collect();
        viewers.sort_by(|(one, a), (two, b)| b.cmp(a).then_with(|| one.cmp(two)));
        let rest: u64 = viewers.iter().skip(MAX_MOUNTS).map(|(_, count)| count).sum();
        let is_full = viewers.len() > MAX_MOUNTS;
        let mut family = out.family(
            "mjpeg_rtsp_viewers",
            Kind::Gauge,
            "Viewers: sessions that have played and not ended.",
        );
        for (name, count) in viewers.iter().take(MAX_MOUNTS) {
            family.sample(&[("mount", mount_label(name))], count);
        }
        if is_full {
            family.sample(&[("mount", OTHER)], rest);
        }
        let mut mounts: Vec<_> = totals.mounts.iter().collect();
        mounts.sort_by_key(|(name, _)| *name);
        let has_other = totals.other != MountTotals::default();
        let families: [(&'static str, &str, MountValue); 3] = [
            ("mjpeg_rtsp_mount_frames_total", "Frames sent of a movie.", |it| it.counted.frames),
            ("mjpeg_rtsp_mount_packets_total", "RTP packets sent of a movie.", |it| {
                it.counted.packets
            }),
            (
                "mjpeg_rtsp_mount_bytes_total",
                "Bytes sent of a movie, RTP headers included.",
                |it| it.counted.bytes,
            ),
        ];
        for (name, help, value) in families {
            let mut family = out.family(name, Kind::Counter, help);
            for (mount, totals) in &mounts {
                family.sample(&[("mount", mount_label(mount))], value(totals));
            }
            if has_other {
                family.sample(&[("mount", OTHER)], value(&totals.other));
            }
        }
    }

    fn write_sending(&self, out: &mut Exposition) {
        let metrics = &self.metrics;
        let histograms = [
            (
                "mjpeg_rtsp_frame_lateness_seconds",
                "How late frames were sent. A frame of a live movie counts once for viewers that share its stream.",
                &metrics.lateness,
            ),
            (
                "mjpeg_rtsp_first_packet_seconds",
                "Time from PLAY to the first packet of the play.",
                &metrics.first_packet,
            ),
            (
                "mjpeg_rtsp_receiver_round_trip_seconds",
                "Round trip times that follow from the reports of receivers.",
                &metrics.round_trip,
            ),
            (
                "mjpeg_rtsp_receiver_jitter_seconds",
                "Jitter that receivers report.",
                &metrics.jitter,
            ),
        ];
        for (name, help, histogram) in histograms {
            out.histogram(name, help, &histogram.snapshot());
        }
        out.family("mjpeg_rtsp_receiver_reports_total", Kind::Counter, "Reports of receivers.")
            .sample(&[], metrics.reports.load(Ordering::Relaxed));
        self.write_frames(out);
    }

    fn write_frames(&self, out: &mut Exposition) {
        let metrics = &self.metrics;
        // The lab has no cache. Nothing is encoded again for HTTP.
        let (cached, encoded) = ([Dialect::Rtsp, Dialect::Http], [Dialect::Rtsp, Dialect::Lab]);
        let families: [(&'static str, &str, [Dialect; 2], Counter); 3] = [
            ("mjpeg_rtsp_cache_hits_total", "Frames that were in the cache.", cached, |it| {
                &it.cache_hits
            }),
            ("mjpeg_rtsp_cache_misses_total", "Frames that were not in the cache.", cached, |it| {
                &it.cache_misses
            }),
            (
                "mjpeg_rtsp_recoded_frames_total",
                "Frames that were encoded again because they cannot be sent as they are.",
                encoded,
                |it| &it.recoded,
            ),
        ];
        for (name, help, dialects, counter) in families {
            let mut family = out.family(name, Kind::Counter, help);
            for dialect in dialects {
                let count = counter(metrics.dialect(dialect)).load(Ordering::Relaxed);
                family.sample(&[("dialect", dialect.name())], count);
            }
        }
        let mut family = out.family(
            "mjpeg_rtsp_recoding_seconds_total",
            Kind::Counter,
            "Time that encoding again has taken, of all threads.",
        );
        for dialect in encoded {
            let time = metrics.dialect(dialect).recoding.load(Ordering::Relaxed);
            let time = Duration::from_nanos(time).as_secs_f64();
            family.sample(&[("dialect", dialect.name())], time);
        }
    }

    fn write_errors(&self, out: &mut Exposition) {
        let replies = self.metrics.replies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut family = out.family(
            "mjpeg_rtsp_replies_total",
            Kind::Counter,
            "Replies to requests of RTSP, by status code.",
        );
        for ((dialect, code), count) in replies {
            family.sample(&[("dialect", dialect.name()), ("code", &code.to_string())], count);
        }
        let dropped = self.metrics.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut family = out.family(
            "mjpeg_rtsp_dropped_frames_total",
            Kind::Counter,
            "Frames that were not sent because of a problem in the movie, by kind.",
        );
        for (kind, count) in dropped {
            family.sample(&[("kind", kind)], count);
        }
        let Some(sources) = self.sources.get() else { return };
        let mut family = out.family(
            "mjpeg_rtsp_errors_total",
            Kind::Counter,
            "What was refused or dropped, by the text of the log.",
        );
        for (kind, count) in sources.limit_log.totals() {
            family.sample(&[("kind", kind)], count);
        }
    }
}

fn write_classes(out: &mut Exposition, totals: &Totals) {
    let classes = &totals.classes;
    let families: [(&'static str, Kind, &str, ClassValue); 6] = [
        ("mjpeg_rtsp_sessions", Kind::Gauge, "Sessions for which a movie is set up.", |it| it.open),
        (
            "mjpeg_rtsp_sessions_total",
            Kind::Counter,
            "Movies that were set up by sessions.",
            |it| it.started,
        ),
        ("mjpeg_rtsp_frames_total", Kind::Counter, "Frames sent.", |it| it.counted.frames),
        ("mjpeg_rtsp_packets_total", Kind::Counter, "RTP packets sent.", |it| it.counted.packets),
        ("mjpeg_rtsp_bytes_total", Kind::Counter, "Bytes sent, RTP headers included.", |it| {
            it.counted.bytes
        }),
        (
            "mjpeg_rtsp_receiver_lost_packets_total",
            Kind::Counter,
            "Packets that receivers report as lost.",
            |it| it.counted.lost,
        ),
    ];
    for (name, kind, help, value) in families {
        let mut family = out.family(name, kind, help);
        for (class, totals) in classes {
            let labels = [("dialect", class.dialect.name()), ("transport", class.transport.name())];
            family.sample(&labels, value(totals));
        }
    }
}

/// The label of a mount. [`OTHER`] is that of all others, so a mount of this name has its slash.
fn mount_label(name: &str) -> &str {
    if name == OTHER { "/other" } else { name }
}
