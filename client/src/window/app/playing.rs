// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's commands, seeks, steps by single frames, and speeds.

use super::App;
use crate::player::{Command, State};
use crate::window::model::SPEEDS;
use std::time::Duration;

impl App {
    pub(super) fn command(&mut self, command: Command) {
        if let Some(reason) = self.model.refusal(command) {
            self.notify_briefly(&reason);
            return;
        }
        if command == Command::Setup {
            self.model.failure = None;
        }
        self.engine.command(command);
    }

    /// Whether the source is seekable; if not, shows why.
    pub(super) fn check_seekable(&mut self) -> bool {
        let reason = self.model.why_not_seekable();
        if let Some(reason) = reason {
            self.notify_briefly(reason);
        }
        reason.is_none()
    }

    pub(super) fn seek(&mut self, position: Duration) {
        if self.check_seekable() {
            self.seek_target = Some(position);
            self.engine.seek(position);
        }
    }

    pub(super) fn skip(&mut self, seconds: i8) {
        let end = self.model.status.duration.unwrap_or_default();
        let by = Duration::from_secs(u64::from(seconds.unsigned_abs()));
        let from = self.seek_target.or(self.model.position).unwrap_or_default();
        let to = if seconds < 0 { from.saturating_sub(by) } else { (from + by).min(end) };
        self.seek(to);
    }

    pub(super) fn step(&mut self, frames: i8) {
        if self.model.status.state == State::Playing {
            self.command(Command::Pause);
            return;
        }
        if !self.check_seekable() {
            return;
        }
        let (Some(frame), Some(rate)) = (self.model.frame(), self.model.frame_rate) else {
            self.notify_briefly("Cannot step by frames: the source does not state a frame rate");
            return;
        };
        // A quarter of a frame later than its start: the position may be rounded down later.
        #[allow(clippy::cast_precision_loss)] // Frame numbers are far below 2^52.
        let at = frame.saturating_add_signed(i64::from(frames)) as f64 + 0.25;
        self.engine.seek(Duration::from_secs_f64(at / rate));
    }

    pub(super) fn change_speed(&mut self, steps: isize) {
        let rate = self.model.status.rate;
        let now = SPEEDS.iter().position(|it| *it >= rate).unwrap_or(SPEEDS.len() - 1);
        let next = now.saturating_add_signed(steps).min(SPEEDS.len() - 1);
        self.set_speed(SPEEDS.get(next).copied().unwrap_or(1.0));
    }

    pub(super) fn set_speed(&mut self, speed: f64) {
        if let Some(reason) = self.model.why_no_speed() {
            self.notify_briefly(reason);
        } else if (speed - self.model.status.rate).abs() > f64::EPSILON {
            self.engine.set_rate(speed, self.model.position.unwrap_or_default());
        }
    }
}
