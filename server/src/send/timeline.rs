// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which frame is sent at which tick, when, and with which RTP timestamp: RFC 2326's Range, Scale
//! and Speed, the lab's speeds, and the position of live movies.

use gstmjpegfile::movie::{FrameRate, Nanoseconds};
use gstmjpegfile::rtp::Timestamp;
use std::time::{Duration, Instant};

/// Later than this, a frame's lateness is forgiven: the frames after it are not sent in a rush.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// What is played from a PLAY on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    framerate: FrameRate,
    /// The frame that is sent first, from 0.
    first: u64,
    /// The position that ends it, in nanoseconds; backwards it lies before the start.
    end: Option<u64>,
    backwards: bool,
    /// 1, or more if frames between are left out.
    step: u64,
    /// How many times as fast as usual frames follow one another, each counted that is left out.
    times: f64,
}

impl Plan {
    /// From a position in nanoseconds, at a Scale and a Speed.
    ///
    /// A Scale leaves frames out, so that about as many a second are sent as usual; a Speed, and
    /// backwards at -1, sends all.
    pub fn new(framerate: FrameRate, start: u64, end: Option<u64>, scale: f64, speed: f64) -> Self {
        let backwards = scale < 0.0;
        // Backwards, what has been shown last by then comes first.
        let first =
            framerate.frame_at(Nanoseconds::new(start.saturating_sub(u64::from(backwards))));
        // Within 1 and 8.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let step = scale.abs().round().max(1.0) as u64;
        Self { framerate, first, end, backwards, step, times: scale.abs() * speed }
    }

    /// Whether frames are sent from last to first.
    pub fn is_backwards(&self) -> bool {
        self.backwards
    }

    /// Starts no later than a movie's last frame.
    pub fn start_within(&mut self, frames: u64) {
        self.first = self.first.min(frames.saturating_sub(1));
    }

    /// The frame that is sent at a tick, from 0; `None` if the plan has ended by then.
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

    /// When a tick is due, in nanoseconds after the plan's start.
    fn due(&self, tick: u64) -> u64 {
        let usual = self.framerate.start_of(tick.saturating_mul(self.step)).get();
        if (self.times - 1.0).abs() < f64::EPSILON {
            return usual;
        }
        // A play of years at 52 bits is to the nanosecond or nearly so.
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let due = (usual as f64 / self.times) as u64;
        due
    }

    /// The position from which playing goes on after so many ticks, in nanoseconds.
    pub fn position(&self, ticks: u64) -> u64 {
        let distance = ticks.saturating_mul(self.step);
        if self.backwards {
            // What was shown last was shown from its end to its start.
            self.framerate.start_of((self.first + 1).saturating_sub(distance)).get()
        } else {
            self.framerate.start_of(self.first.saturating_add(distance)).get()
        }
    }
}

/// A plan under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    plan: Plan,
    /// When tick 0 is due.
    start: Instant,
    /// Ticks that are over.
    ticks: u64,
    /// The RTP timestamp of tick 0.
    rtptime: Timestamp,
}

impl Timeline {
    /// A plan whose first frame is due at `start`, with an RTP timestamp.
    pub fn new(plan: Plan, start: Instant, rtptime: Timestamp) -> Self {
        Self { plan, start, ticks: 0, rtptime }
    }

    /// The frame of the next tick; `None` at the plan's end.
    pub fn frame(&self) -> Option<u64> {
        self.plan.frame(self.ticks)
    }

    /// Whether no tick is over yet.
    pub fn is_at_start(&self) -> bool {
        self.ticks == 0
    }

    /// Starts at another frame, before the first tick.
    pub fn start_at(&mut self, frame: u64) {
        self.plan.first = frame;
    }

    /// When the next tick is due.
    pub fn due(&self) -> Instant {
        self.start + Duration::from_nanos(self.plan.due(self.ticks))
    }

    /// The RTP timestamp of the next tick.
    pub fn rtptime(&self) -> Timestamp {
        self.rtptime.after(Nanoseconds::new(self.plan.due(self.ticks)))
    }

    /// The RTP timestamp of a moment that is not before the start.
    pub fn rtptime_at(&self, now: Instant) -> Timestamp {
        let elapsed = now.saturating_duration_since(self.start);
        self.rtptime.after(Nanoseconds::saturating_from(elapsed))
    }

    /// The position from which playing goes on, in nanoseconds.
    pub fn position(&self) -> u64 {
        self.plan.position(self.ticks)
    }

    /// The next tick is over; gives the time of the one after it.
    pub fn advance(&mut self, now: Instant) -> Instant {
        self.ticks += 1;
        let late = now.saturating_duration_since(self.due());
        if late > MAX_LATENESS {
            self.start += late;
        }
        self.due()
    }

    /// The next tick could not be done until now: all that follows is later by as much.
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
    fn ranges_and_rates_choose_frames_and_times() {
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
    fn ticks_have_times_and_timestamps_that_do_not_drift() {
        let start = Instant::now();
        let mut timeline =
            Timeline::new(plan(1.0, None, 1.0, 1.0), start, Timestamp::from_ticks(u32::MAX - 4499));
        let ms = Duration::from_millis;
        assert_eq!((timeline.frame(), timeline.due()), (Some(20), start));
        assert_eq!((timeline.rtptime().ticks(), timeline.position()), (u32::MAX - 4499, SECOND));
        // A frame is 4500 ticks of RTP's clock. What is late by less than a second stays due.
        for (now, due) in [(0, 50), (51, 100), (900, 150)] {
            assert_eq!(timeline.advance(start + ms(now)), start + ms(due));
        }
        assert_eq!(
            [timeline.rtptime(), timeline.rtptime_at(start + ms(150))],
            [Timestamp::from_ticks(9000); 2]
        );
        // By more than that, it is forgiven.
        assert_eq!(timeline.advance(start + ms(1250)), start + ms(1250));
        assert_eq!(timeline.rtptime().ticks(), 13_500);
        timeline.delay_until(start + ms(1300));
        assert_eq!(timeline.due(), start + ms(1300));
        assert_eq!((timeline.frame(), timeline.is_at_start()), (Some(24), false));
    }
}
