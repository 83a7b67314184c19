// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's requests, seeks, single frames and speeds.

use super::App;
use crate::player::{Command, Protocol, State};
use std::time::Duration;

/// The speeds that plus and minus go through.
const SPEEDS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

impl App {
    pub(super) fn command(&mut self, command: Command) {
        if let Some(why) = self.model.refusal(command) {
            self.pass_on(&why);
            return;
        }
        if command == Command::Setup {
            self.model.failure = None;
        }
        self.engine.command(command);
    }

    /// Says why not, if the source cannot be sought in.
    pub(super) fn can_seek(&mut self) -> bool {
        let why = self.model.no_seeking();
        if let Some(why) = why {
            self.pass_on(why);
        }
        why.is_none()
    }

    pub(super) fn seek(&mut self, position: Duration) {
        if self.can_seek() {
            self.target = Some(position);
            self.engine.seek(position);
        }
    }

    pub(super) fn skip(&mut self, seconds: i8) {
        let whole = self.model.status.duration.unwrap_or_default();
        let by = Duration::from_secs(u64::from(seconds.unsigned_abs()));
        let at = self.target.or(self.model.position).unwrap_or_default();
        let to = if seconds < 0 { at.saturating_sub(by) } else { (at + by).min(whole) };
        self.seek(to);
    }

    pub(super) fn step(&mut self, frames: i8) {
        if self.model.status.state == State::Playing {
            self.command(Command::Pause);
            return;
        }
        if !self.can_seek() {
            return;
        }
        let (Some(frame), Some(rate)) = (self.model.frame(), self.model.frame_rate) else {
            self.pass_on("There are no single frames: the source does not state a frame rate");
            return;
        };
        // A quarter into the frame: places are rounded on the way to the server.
        #[allow(clippy::cast_precision_loss)] // Frame numbers are far below 2^52.
        let at = frame.saturating_add_signed(i64::from(frames)) as f64 + 0.25;
        self.engine.seek(Duration::from_secs_f64(at / rate));
    }

    pub(super) fn speed(&mut self, steps: isize) {
        if self.model.status.protocol == Protocol::Lab {
            self.pass_on("A lab server plays at its own speed");
            return;
        }
        if !self.can_seek() {
            return;
        }
        let rate = self.model.status.rate;
        let now = SPEEDS.iter().position(|it| *it >= rate).unwrap_or(SPEEDS.len() - 1);
        let next = now.saturating_add_signed(steps).min(SPEEDS.len() - 1);
        if let Some(next) = SPEEDS.get(next).filter(|_| next != now) {
            self.engine.set_rate(*next, self.model.position.unwrap_or_default());
        }
    }
}
