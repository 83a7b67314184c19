// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the API shows of a session.

use super::{Dialect, Media, ObservedSession, State, Transport};
use crate::observe::time::rfc3339;
use crate::send::counts::ReceiverReport;
use gstmjpegfile::rtp::VIDEO_CLOCK_RATE;
use std::time::Duration;

impl ObservedSession {
    /// What the API shows of the session.
    pub fn view(&self) -> SessionView {
        let info = self.info();
        let (started, since) = self.started;
        let media = info.media.as_ref();
        let counts = media.map(|media| &media.counts);
        let rates = media.map(Media::rates).unwrap_or_default();
        let receiver = counts.and_then(|counts| counts.report());
        SessionView {
            id: self.id.to_string(),
            dialect: self.dialect,
            transport: info.transport,
            encrypted: self.encrypted,
            peer: self.peer.to_string(),
            agent: info.agent.as_deref().map(str::to_owned),
            user: info.user.as_deref().map(str::to_owned),
            mount: media.map(|media| media.mount.to_string()),
            state: self.state(),
            started: rfc3339(started),
            duration_seconds: milliseconds(since.elapsed()),
            frame: counts.and_then(|counts| counts.frame()),
            frames: counts.map_or(0, |counts| counts.frames()),
            packets: counts.map_or(0, |counts| counts.packets()),
            bytes: counts.map_or(0, |counts| counts.bytes()),
            frames_per_second: rates.0,
            bits_per_second: rates.1,
            receiver: receiver.as_ref().map(ReceiverView::of),
        }
    }
}

/// A duration in seconds, rounded to milliseconds.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The jitter of a report as a time.
pub(super) fn jitter(ticks: u32) -> Duration {
    Duration::from_secs(1) * ticks / VIDEO_CLOCK_RATE
}

/// What the API shows of a session.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct SessionView {
    pub id: String,
    dialect: Dialect,
    transport: Transport,
    encrypted: bool,
    peer: String,
    agent: Option<String>,
    user: Option<String>,
    mount: Option<String>,
    state: State,
    started: String,
    duration_seconds: f64,
    frame: Option<u64>,
    frames: u64,
    packets: u64,
    bytes: u64,
    frames_per_second: f64,
    bits_per_second: f64,
    receiver: Option<ReceiverView>,
}

/// What the receiver of a session has last reported.
#[derive(Debug, Clone, Copy, serde::Serialize)]
struct ReceiverView {
    lost: u32,
    fraction_lost: f64,
    jitter_ms: f64,
    round_trip_ms: Option<f64>,
    age_seconds: f64,
}

impl ReceiverView {
    fn of(report: &ReceiverReport) -> Self {
        let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1000.0;
        Self {
            lost: report.lost(),
            fraction_lost: f64::from(report.block.fraction_lost) / 256.0,
            jitter_ms: ms(jitter(report.block.jitter)),
            round_trip_ms: report.round_trip.map(ms),
            age_seconds: milliseconds(report.received.elapsed()),
        }
    }
}
