// SPDX-License-Identifier: MIT OR Apache-2.0
//! The statistics over time, which are plotted, copied and saved.

use super::statistics::{Statistics, loss_ratio};
use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

/// Interval between samples.
pub const INTERVAL: Duration = Duration::from_millis(250);

/// Rates are averages over this number of samples, which take a second.
const RATE_WINDOW: usize = 4;

/// Samples of an hour; older ones are removed.
const MAX_SAMPLES: usize = 4 * 3600;

/// The rates and delays at one time.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Seconds since the session was set up.
    pub at: f64,
    /// Bits received per second, averaged over the last second.
    pub bits_per_second: f64,
    /// Frames shown per second, averaged over the last second.
    pub frames_per_second: f64,
    /// Lost packets, as a fraction of the last second's, 0 to 1.
    pub loss: f64,
    /// Lost packets, as a fraction of all since SETUP, 0 to 1.
    pub total_loss: f64,
    /// Inter-arrival jitter in milliseconds (RFC 3550 section 6.4.1).
    pub jitter_ms: f64,
    /// The longest time between the arrivals of two frames since the previous sample, in
    /// milliseconds.
    pub inter_arrival_ms: f64,
    /// From a frame's arrival to its rendering, in milliseconds.
    pub playout_delay_ms: f64,
}

/// The samples of a session.
#[derive(Debug, Default, Clone)]
pub struct History {
    samples: VecDeque<Sample>,
    /// The counts of the last second, with their times.
    counts: VecDeque<(f64, Statistics)>,
}

impl History {
    /// Adds a sample from the counts at `at`, in seconds after the setup, and the longest gap between
    /// two frames since the last call.
    pub(crate) fn push(&mut self, at: f64, now: Statistics, longest_gap: Duration) {
        if self.counts.len() > RATE_WINDOW {
            self.counts.pop_front();
        }
        self.counts.push_back((at, now));
        let Some((start, before)) = self.counts.front().filter(|_| self.counts.len() > 1) else {
            return;
        };
        let rate = |now: u64, before: u64| {
            // Counts of a second are far below 2^52.
            #[allow(clippy::cast_precision_loss)]
            let difference = now.saturating_sub(before) as f64;
            difference / (at - start).max(f64::EPSILON)
        };
        let lost = now.lost.saturating_sub(before.lost);
        let received = now.received.saturating_sub(before.received);
        let sample = Sample {
            at,
            bits_per_second: rate(now.bytes, before.bytes) * 8.0,
            frames_per_second: rate(now.frames, before.frames),
            loss: loss_ratio(lost, received),
            total_loss: now.loss_ratio(),
            jitter_ms: milliseconds(now.jitter),
            inter_arrival_ms: longest_gap.as_secs_f64() * 1000.0,
            playout_delay_ms: milliseconds(now.playout_delay),
        };
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Excludes the time until the next sample from the rates, since playback is paused.
    pub(super) fn pause(&mut self) {
        self.counts.clear();
    }

    /// All samples, oldest first.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.samples.iter()
    }

    /// The newest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// The samples as comma-separated values (RFC 4180), with a header line.
    pub fn csv(&self) -> String {
        let mut out = String::from(
            "seconds,bits_per_second,frames_per_second,loss_percent,total_loss_percent,\
             jitter_ms,inter_arrival_ms,playout_delay_ms\r\n",
        );
        for sample in &self.samples {
            // Writing to a string does not fail.
            let _ = write!(
                out,
                "{:.3},{:.0},{:.2},{:.3},{:.3},{:.3},{:.3},{:.3}\r\n",
                sample.at,
                sample.bits_per_second,
                sample.frames_per_second,
                sample.loss * 100.0,
                sample.total_loss * 100.0,
                sample.jitter_ms,
                sample.inter_arrival_ms,
                sample.playout_delay_ms
            );
        }
        out
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(frames: u64, received: u64, lost: u64) -> Statistics {
        Statistics { frames, received, lost, bytes: received * 1000, ..Statistics::default() }
    }

    #[test]
    fn rates_are_averages_of_the_last_second() {
        let mut history = History::default();
        for (at, frames, received, lost) in
            [(0.0, 0, 0, 0), (0.5, 10, 100, 0), (1.0, 20, 190, 10), (1.5, 30, 290, 10)]
        {
            history.push(at, counts(frames, received, lost), Duration::from_millis(51));
        }
        assert_eq!(history.samples().len(), 3);
        let last = history.last().expect("three samples");
        assert!((last.frames_per_second - 20.0).abs() < 1e-9);
        assert!((last.bits_per_second - 290.0 * 8000.0 / 1.5).abs() < 1e-6);
        assert!(
            (last.loss - 10.0 / 300.0).abs() < 1e-9 && (last.inter_arrival_ms - 51.0).abs() < 1e-9
        );

        history.pause();
        history.push(60.0, counts(30, 290, 10), Duration::ZERO);
        assert_eq!(history.samples().len(), 3, "a single count after a pause gives no sample");
        history.push(60.5, counts(40, 390, 10), Duration::ZERO);
        let last = history.last().expect("four samples");
        assert!((last.frames_per_second - 20.0).abs() < 1e-9 && last.loss < 1e-9);

        let csv = history.csv();
        let rows: Vec<&str> = csv.split_terminator("\r\n").collect();
        assert_eq!(rows.len(), 5);
        assert_eq!(rows[4], "60.500,1600000,20.00,0.000,2.500,0.000,0.000,0.000");
    }

    #[test]
    fn samples_of_one_hour_are_kept() {
        let mut history = History::default();
        for at in 0..=2 * u32::try_from(MAX_SAMPLES).expect("small") {
            history.push(f64::from(at) / 4.0, Statistics::default(), Duration::ZERO);
        }
        assert_eq!(history.samples().len(), MAX_SAMPLES);
    }
}
