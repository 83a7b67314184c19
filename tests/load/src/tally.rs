// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts what viewers receive.

use gstmjpegfile::rtp::RtpHeader;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What all viewers together received.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Received {
    /// Viewers that received at least one packet.
    pub sessions: usize,
    /// Frames whose last packet arrived.
    pub frames: u64,
    /// Packets that arrived.
    pub packets: u64,
    /// Bytes of these packets.
    pub bytes: u64,
    /// Missing packets, from gaps in the sequence numbers.
    pub lost: u64,
    /// Difference between the gap of two frames of a stream and its period, in milliseconds: the 99th
    /// percentile.
    pub gap_error_ms: f64,
    /// The largest of these differences, in milliseconds.
    pub largest_gap_error_ms: f64,
    /// Seconds during which packets were counted.
    pub seconds: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Viewer {
    /// When the first packet arrived.
    first_packet: Option<Instant>,
    last_sequence_number: Option<u16>,
    /// When the last frame was complete.
    last_frame: Option<Duration>,
    counted: bool,
}

/// Counts the packets of all viewers.
#[derive(Debug)]
pub(crate) struct Tally {
    viewers: Vec<Viewer>,
    period: Duration,
    counting: bool,
    frames: u64,
    packets: u64,
    bytes: u64,
    lost: u64,
    /// Differences between the gap of two frames and the period, in seconds.
    gap_errors: Vec<f32>,
}

impl Tally {
    pub fn new(viewers: usize, period: Duration) -> Self {
        let viewers = vec![Viewer::default(); viewers];
        Self {
            viewers,
            period,
            counting: false,
            frames: 0,
            packets: 0,
            bytes: 0,
            lost: 0,
            gap_errors: Vec::new(),
        }
    }

    pub fn start_counting(&mut self) {
        self.counting = true;
    }

    /// Takes a packet that a viewer received. `at` is the time of its arrival on any clock, the same for
    /// all packets of the viewer.
    pub fn add_packet(&mut self, viewer: usize, packet: &[u8], at: Duration) {
        let Some(viewer) = self.viewers.get_mut(viewer) else { return };
        let Ok((header, _)) = RtpHeader::parse(packet) else { return };
        viewer.first_packet.get_or_insert_with(Instant::now);
        let before = viewer.last_sequence_number.replace(header.sequence_number);
        let last = if header.marker { viewer.last_frame.replace(at) } else { None };
        if !self.counting {
            return;
        }
        viewer.counted = true;
        self.packets += 1;
        self.bytes += packet.len() as u64;
        self.frames += u64::from(header.marker);
        let step = before.map_or(0, |before| header.sequence_number.wrapping_sub(before));
        // On loopback, packets are neither repeated nor reordered.
        self.lost += u64::from(step.saturating_sub(1));
        if let Some(last) = last {
            let gap = at.saturating_sub(last).as_secs_f32();
            self.gap_errors.push((gap - self.period.as_secs_f32()).abs());
        }
    }

    /// When the first packet of a viewer arrived.
    pub fn first_packet_of(&self, viewer: usize) -> Option<Instant> {
        self.viewers.get(viewer)?.first_packet
    }

    /// Stops counting; returns what the first `viewers` viewers received in the `time` since the start.
    pub fn stop_counting(&mut self, viewers: usize, time: Duration) -> Received {
        self.counting = false;
        let sessions = self.viewers.iter().take(viewers).filter(|viewer| viewer.counted).count();
        let errors = &mut self.gap_errors;
        errors.sort_unstable_by(f32::total_cmp);
        let gap_error = errors.get(errors.len() * 99 / 100).copied().unwrap_or(f32::NAN);
        let largest = errors.last().copied().unwrap_or(f32::NAN);
        Received {
            sessions,
            frames: self.frames,
            packets: self.packets,
            bytes: self.bytes,
            lost: self.lost,
            gap_error_ms: f64::from(gap_error) * 1000.0,
            largest_gap_error_ms: f64::from(largest) * 1000.0,
            seconds: time.as_secs_f64(),
        }
    }
}
