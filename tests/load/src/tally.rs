// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each viewer has seen.

use gstmjpegfile::rtp::RtpHeader;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What viewers saw in all.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Seen {
    /// Viewers that saw something.
    pub sessions: usize,
    /// Frames whose last packet came.
    pub frames: u64,
    /// Packets that came.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packets missing, by sequence numbers.
    pub lost: u64,
    /// How far the gap between two frames of a stream is off its period, in milliseconds, at the
    /// 99th percentile.
    pub off: f64,
    /// Seconds watched.
    pub time: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Viewer {
    /// When the first packet came.
    first: Option<Instant>,
    number: Option<u16>,
    frame: Option<Duration>,
    seen: bool,
}

/// All viewers'.
#[derive(Debug)]
pub(crate) struct Tally {
    viewers: Vec<Viewer>,
    period: Duration,
    judged: bool,
    frames: u64,
    packets: u64,
    bytes: u64,
    lost: u64,
    /// How far gaps are off, in seconds.
    off: Vec<f32>,
}

impl Tally {
    pub fn new(viewers: usize, period: Duration) -> Self {
        let viewers = vec![Viewer::default(); viewers];
        let (frames, packets, bytes, lost) = (0, 0, 0, 0);
        Self { viewers, period, judged: false, frames, packets, bytes, lost, off: Vec::new() }
    }

    /// From now on it counts.
    pub fn begin(&mut self) {
        self.judged = true;
    }

    /// A packet has come to a viewer, at a time of any clock.
    pub fn packet(&mut self, which: usize, packet: &[u8], at: Duration) {
        let Some(viewer) = self.viewers.get_mut(which) else { return };
        let Ok((header, _)) = RtpHeader::parse(packet) else { return };
        viewer.first.get_or_insert_with(Instant::now);
        let before = viewer.number.replace(header.sequence_number);
        let last = if header.marker { viewer.frame.replace(at) } else { None };
        if !self.judged {
            return;
        }
        viewer.seen = true;
        self.packets += 1;
        self.bytes += packet.len() as u64;
        self.frames += u64::from(header.marker);
        let missing = before.map_or(0, |before| header.sequence_number.wrapping_sub(before));
        // What comes twice or late does not here.
        self.lost += u64::from(missing.saturating_sub(1));
        if let Some(last) = last {
            let gap = at.saturating_sub(last).as_secs_f32();
            self.off.push((gap - self.period.as_secs_f32()).abs());
        }
    }

    /// When the first packet of a viewer came.
    pub fn first_of(&self, which: usize) -> Option<Instant> {
        self.viewers.get(which)?.first
    }

    /// What the first so many viewers saw since the begin; then it counts no more.
    pub fn seen(&mut self, viewers: usize, time: Duration) -> Seen {
        self.judged = false;
        let sessions = self.viewers.iter().take(viewers).filter(|viewer| viewer.seen).count();
        self.off.sort_unstable_by(f32::total_cmp);
        let off = self.off.get(self.off.len() * 99 / 100).copied().unwrap_or(f32::NAN);
        Seen {
            sessions,
            frames: self.frames,
            packets: self.packets,
            bytes: self.bytes,
            lost: self.lost,
            off: f64::from(off) * 1000.0,
            time: time.as_secs_f64(),
        }
    }
}
