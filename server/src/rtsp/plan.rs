// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which frames a PLAY sends, and when: RFC 2326's Range, Scale and Speed.

use gstmjpegfile::movie::FrameRate;

/// What is played from a PLAY on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub framerate: FrameRate,
    /// The frame that is sent first, from 0.
    pub first: u64,
    /// The place that ends it, in nanoseconds; backwards it lies before the begin.
    pub end: Option<u64>,
    pub backwards: bool,
    /// 1, or more if frames between are left out.
    pub step: u64,
    /// How many times as fast as usual frames follow one another, each counted that is left out.
    pub times: f64,
}

impl Plan {
    /// From a place in nanoseconds, at a Scale and a Speed.
    ///
    /// A Scale leaves frames out, so that about as many a second are sent as usual; a Speed, and
    /// backwards at -1, sends all.
    pub fn new(framerate: FrameRate, begin: u64, end: Option<u64>, scale: f64, speed: f64) -> Self {
        let backwards = scale < 0.0;
        // Backwards, what has been shown last by then comes first.
        let first = framerate.frame_at(if backwards { begin.saturating_sub(1) } else { begin });
        // Within 1 and 8.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let step = scale.abs().round().max(1.0) as u64;
        Self { framerate, first, end, backwards, step, times: scale.abs() * speed }
    }

    /// The frame that is sent at a tick, from 0; `None` if the plan has ended by then.
    pub fn frame(&self, tick: u64) -> Option<u64> {
        let way = tick.checked_mul(self.step)?;
        let start = |frame| self.framerate.start_of(frame);
        if self.backwards {
            let frame = self.first.checked_sub(way)?;
            self.end.is_none_or(|end| start(frame + 1) > end).then_some(frame)
        } else {
            let frame = self.first.checked_add(way)?;
            self.end.is_none_or(|end| start(frame) < end).then_some(frame)
        }
    }

    /// When a tick is due, in nanoseconds after the plan's begin.
    pub fn due(&self, tick: u64) -> u64 {
        let usual = self.framerate.start_of(tick.saturating_mul(self.step));
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

    /// The place from which playing goes on after so many ticks, in nanoseconds.
    pub fn place(&self, ticks: u64) -> u64 {
        let way = ticks.saturating_mul(self.step);
        if self.backwards {
            // What was shown last was shown from its end to its begin.
            self.framerate.start_of((self.first + 1).saturating_sub(way))
        } else {
            self.framerate.start_of(self.first.saturating_add(way))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn ranges_and_rates_choose_frames_and_times() {
        let plan = |begin: f64, end: Option<f64>, scale, speed| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let ns = |seconds: f64| (seconds * 1e9) as u64;
            Plan::new(FrameRate::DEFAULT, ns(begin), end.map(ns), scale, speed)
        };
        // The frames of the first four ticks, when the fourth is due in ms, and the place behind.
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
        for (plan, frames, due, place) in rows {
            assert_eq!([0, 1, 2, 3].map(|tick| plan.frame(tick)), frames, "{plan:?}");
            assert_eq!(plan.due(3), due * SECOND / 1000, "{plan:?}");
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let place = (place * 1000.0) as u64 * SECOND / 1000;
            assert_eq!(plan.place(4), place, "{plan:?}");
        }
    }
}
