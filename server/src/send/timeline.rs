// SPDX-License-Identifier: MIT OR Apache-2.0
//! Computes which frame is sent at which tick, when, and with which RTP timestamp, from the Range,
//! Scale and Speed of RFC 2326, the speeds of the lab, or the position of a live movie.

use gstmjpegfile::movie::{FrameRate, Nanoseconds};
use gstmjpegfile::rtp::Timestamp;
use std::time::{Duration, Instant};

/// If a frame is later than this, the frames after it are sent later too. Otherwise they are sent
/// as fast as possible until they are on time.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// What one PLAY request plays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    framerate: FrameRate,
    /// The number of the frame that is sent first, from 0.
    first: u64,
    /// The position at which the plan ends, in nanoseconds; before the start if it is backwards.
    end: Option<u64>,
    backwards: bool,
    /// The distance between two frames that are sent: 1 if none is skipped.
    step: u64,
    /// Movie time that passes per second.
    rate: f64,
}

impl Plan {
    /// A plan that starts at a position in nanoseconds, at a Scale and a Speed.
    ///
    /// A Scale above 1 skips frames, so that the number of frames per second stays about the same.
    /// A Speed skips none.
    pub fn new(framerate: FrameRate, start: u64, end: Option<u64>, scale: f64, speed: f64) -> Self {
        let backwards = scale < 0.0;
        // Backwards, the frame before the start position comes first.
        let first =
            framerate.frame_at(Nanoseconds::new(start.saturating_sub(u64::from(backwards))));
        // Between 1 and 8.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let step = scale.abs().round().max(1.0) as u64;
        Self { framerate, first, end, backwards, step, rate: scale.abs() * speed }
    }

    /// The plan with another distance between two frames that are sent. The movie's speed stays.
    #[must_use]
    pub fn with_step(self, step: u64) -> Self {
        Self { step: step.max(1), ..self }
    }

    /// Whether frames are sent from last to first.
    pub fn is_backwards(&self) -> bool {
        self.backwards
    }

    /// Makes a plan that starts past the end of a movie start at the last of its frames.
    pub fn start_within(&mut self, frames: u64) {
        self.first = self.first.min(frames.saturating_sub(1));
    }

    /// The frame that is sent at a tick, counted from 0; `None` after the end of the plan.
    fn frame(&self, tick: u64) -> Option<u64> {
        let distance = tick.checked_mul(self.step)?;
        let start = |frame| self.framerate.start_of(frame).get();
        if self.backwards {
            let frame = self.first.checked_sub(distance)?;
            self.end.is_none_or(|end| start(frame + 1) > end).then_some(frame)
        } else {
            let frame = self.first.checked_add(distance)?;
            self.end.is_none_or(|end| start(frame) < end).then_some(frame)
        }
    }

    /// When a tick is due, in nanoseconds after the start of the plan.
    fn due(&self, tick: u64) -> u64 {
        let movie_time = self.framerate.start_of(tick.saturating_mul(self.step)).get();
        if (self.rate - 1.0).abs() < f64::EPSILON {
            return movie_time;
        }
        // Exact for 104 days of movie time; the error after years is a few nanoseconds.
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let due = (movie_time as f64 / self.rate) as u64;
        due
    }

    /// The position at which to continue after a number of ticks, in nanoseconds.
    pub fn position(&self, ticks: u64) -> u64 {
        let distance = ticks.saturating_mul(self.step);
        if self.backwards {
            // Each frame is played from its end to its start.
            self.framerate.start_of((self.first + 1).saturating_sub(distance)).get()
        } else {
            self.framerate.start_of(self.first.saturating_add(distance)).get()
        }
    }
}

/// The progress of a plan that is being played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    plan: Plan,
    /// When tick 0 is due.
    start: Instant,
    /// The number of ticks that are done.
    ticks: u64,
    /// When the next tick is due, in nanoseconds after `start`.
    due: u64,
    /// The RTP timestamp of tick 0.
    rtptime: Timestamp,
}

impl Timeline {
    /// A plan whose first frame is due at `start` and has the RTP timestamp `rtptime`.
    pub fn new(plan: Plan, start: Instant, rtptime: Timestamp) -> Self {
        Self { plan, start, ticks: 0, due: 0, rtptime }
    }

    /// The frame of the next tick; `None` at the end of the plan.
    pub fn frame(&self) -> Option<u64> {
        self.plan.frame(self.ticks)
    }

    /// Whether no tick is done.
    pub fn is_at_start(&self) -> bool {
        self.ticks == 0
    }

    /// Replaces the first frame; only before the first tick.
    pub fn start_at(&mut self, frame: u64) {
        self.plan.first = frame;
    }

    /// When the next tick is due.
    pub fn due(&self) -> Instant {
        self.start + Duration::from_nanos(self.due)
    }

    /// The RTP timestamp of the next tick.
    pub fn rtptime(&self) -> Timestamp {
        self.rtptime.after(Nanoseconds::new(self.due))
    }

    /// The RTP timestamp of an instant at or after the start.
    pub fn rtptime_at(&self, now: Instant) -> Timestamp {
        let elapsed = now.saturating_duration_since(self.start);
        self.rtptime.after(Nanoseconds::saturating_from(elapsed))
    }

    /// The position of the next tick in the movie, in nanoseconds.
    pub fn position(&self) -> u64 {
        self.plan.position(self.ticks)
    }

    /// Finishes the next tick, and returns when the one after it is due.
    pub fn advance(&mut self, now: Instant) -> Instant {
        self.ticks += 1;
        self.due = self.plan.due(self.ticks);
        let late = now.saturating_duration_since(self.due());
        if late > MAX_LATENESS {
            self.start += late;
        }
        self.due()
    }

    /// Makes the next tick due now if it is late, and delays all later ticks by the same time.
    pub fn delay_until(&mut self, now: Instant) {
        self.start += now.saturating_duration_since(self.due());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A plan, with positions in seconds.
    fn plan(start: f64, end: Option<f64>, scale: f64, speed: f64) -> Plan {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        Plan::new(FrameRate::DEFAULT, ns(start), end.map(ns), scale, speed)
    }

    #[test]
    fn a_plan_follows_from_range_scale_and_speed() {
        // The frames of the first four ticks, when the fourth is due in ms, the position after it.
        let rows = [
            (plan(0.0, None, 1.0, 1.0), [Some(0), Some(1), Some(2), Some(3)], 150, 0.2),
            (plan(1.01, None, 1.0, 1.0), [Some(20), Some(21), Some(22), Some(23)], 150, 1.2),
            (plan(1.0, Some(1.1), 1.0, 1.0), [Some(20), Some(21), None, None], 150, 1.2),
            (plan(1.0, None, 4.0, 1.0), [Some(20), Some(24), Some(28), Some(32)], 150, 1.8),
            (plan(1.0, None, 1.0, 2.0), [Some(20), Some(21), Some(22), Some(23)], 75, 1.2),
            (plan(1.0, None, 0.5, 1.0), [Some(20), Some(21), Some(22), Some(23)], 300, 1.2),
            (plan(1.0, None, -1.0, 1.0), [Some(19), Some(18), Some(17), Some(16)], 150, 0.8),
            (plan(1.0, Some(0.9), -1.0, 1.0), [Some(19), Some(18), None, None], 150, 0.8),
            (plan(0.1, None, -1.0, 1.0), [Some(1), Some(0), None, None], 150, 0.0),
            (plan(1.0, None, -4.0, 1.0), [Some(19), Some(15), Some(11), Some(7)], 150, 0.2),
        ];
        for (plan, frames, due, position) in rows {
            assert_eq!([0, 1, 2, 3].map(|tick| plan.frame(tick)), frames, "{plan:?}");
            assert_eq!(plan.due(3), due * SECOND / 1000, "{plan:?}");
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let position = (position * 1000.0) as u64 * SECOND / 1000;
            assert_eq!(plan.position(4), position, "{plan:?}");
        }
    }

    #[test]
    fn times_and_timestamps_do_not_drift() {
        let start = Instant::now();
        let mut timeline =
            Timeline::new(plan(1.0, None, 1.0, 1.0), start, Timestamp::from_ticks(u32::MAX - 4499));
        let ms = Duration::from_millis;
        assert_eq!((timeline.frame(), timeline.due()), (Some(20), start));
        assert_eq!((timeline.rtptime().ticks(), timeline.position()), (u32::MAX - 4499, SECOND));
        // A frame is 4500 ticks of RTP's clock. Lateness below a second does not move later frames.
        for (now, due) in [(0, 50), (51, 100), (900, 150)] {
            assert_eq!(timeline.advance(start + ms(now)), start + ms(due));
        }
        assert_eq!(
            [timeline.rtptime(), timeline.rtptime_at(start + ms(150))],
            [Timestamp::from_ticks(9000); 2]
        );
        // More lateness does.
        assert_eq!(timeline.advance(start + ms(1250)), start + ms(1250));
        assert_eq!(timeline.rtptime().ticks(), 13_500);
        timeline.delay_until(start + ms(1300));
        assert_eq!(timeline.due(), start + ms(1300));
        assert_eq!((timeline.frame(), timeline.is_at_start()), (Some(24), false));
    }
}
