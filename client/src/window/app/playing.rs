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
        let target = frame.saturating_add_signed(i64::from(frames));
        self.engine.seek(position_of(target, rate));
    }

    /// Seeks to a frame number or a time, as typed.
    pub(super) fn go_to(&mut self, text: &str) {
        if !self.check_seekable() {
            return;
        }
        let end = self.model.status.duration.unwrap_or_default();
        match parse_target(text, self.model.frame_rate, end) {
            Ok(position) => self.seek(position),
            Err(reason) => self.notify_briefly(&reason),
        }
    }

    /// Marks the start of a section, then its end, then neither.
    pub(super) fn mark_section(&mut self) {
        if !self.check_seekable() {
            return;
        }
        let Some(position) = self.model.position else { return };
        if self.model.status.section.is_some() {
            self.engine.set_section(None);
            self.notify_briefly("The section is no longer repeated");
            return;
        }
        match self.model.section_start.take() {
            None => {
                self.model.section_start = Some(position);
                self.notify_briefly("The section starts here; press A at its end");
            }
            Some(start) if start == position => {
                self.model.section_start = Some(start);
                self.notify_briefly("The section's end must be another frame than its start");
            }
            Some(start) => {
                let section = (start.min(position), start.max(position));
                self.engine.set_section(Some(section));
                self.engine.seek(section.0);
                self.notify_briefly("The section is repeated; press A to end this");
            }
        }
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

/// The position to seek to for a frame: a quarter of a frame later than its start, since the position may
/// be rounded down later.
fn position_of(frame: u64, rate: f64) -> Duration {
    #[allow(clippy::cast_precision_loss)] // Frame numbers are far below 2^52.
    let seconds = (frame as f64 + 0.25) / rate;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// The position that is meant by a frame number, or by a time with colons or a decimal point.
fn parse_target(text: &str, rate: Option<f64>, end: Duration) -> Result<Duration, String> {
    const FORMS: &str = "Write a frame number, as 249, or a time, as 1:23.4";
    let position = if text.contains([':', '.']) {
        let number = |part: &str| part.parse::<f64>().ok().filter(|it| *it >= 0.0);
        let seconds = text.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + number(part)?));
        seconds.and_then(|it| Duration::try_from_secs_f64(it).ok()).ok_or(FORMS)?
    } else {
        let frame = text.parse().map_err(|_| FORMS)?;
        let unknown = "The source does not state a frame rate: write a time, as 1:23.4";
        position_of(frame, rate.ok_or(unknown)?)
    };
    if position > end {
        return Err(format!("The movie ends at {:.1} s", end.as_secs_f64()));
    }
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_or_a_time_is_a_position() {
        let forms = "Write a frame number, as 249, or a time, as 1:23.4";
        let rows = [
            ("0", Some(20.0), Ok(12_500_000)),
            ("249", Some(20.0), Ok(12_462_500_000)),
            ("1:23.4", None, Ok(83_400_000_000)),
            ("0:01:00.0", None, Ok(60_000_000_000)),
            ("5.5", None, Ok(5_500_000_000)),
            ("5", None, Err("The source does not state a frame rate: write a time, as 1:23.4")),
            ("2000", Some(20.0), Err("The movie ends at 90.0 s")),
            ("18446744073709551615", Some(20.0), Err("The movie ends at 90.0 s")),
            ("1:31.0", None, Err("The movie ends at 90.0 s")),
            ("-5", Some(20.0), Err(forms)),
            ("1:x", Some(20.0), Err(forms)),
            ("1e999.", Some(20.0), Err(forms)),
            ("", Some(20.0), Err(forms)),
        ];
        for (text, rate, want) in rows {
            let got = parse_target(text, rate, Duration::from_secs(90));
            let got = got.as_ref().map(Duration::as_nanos).map_err(String::as_str);
            assert_eq!(got, want, "{text}");
        }
    }
}
