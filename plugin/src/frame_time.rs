// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frame numbers and GStreamer's clock times.

use crate::movie::{FrameRate, Nanoseconds};

/// The time at which a frame starts, at most [`gst::ClockTime::MAX`].
pub(crate) fn start_of(rate: FrameRate, frame: u64) -> gst::ClockTime {
    // u64::MAX is GStreamer's "no time", which from_nseconds refuses with a panic.
    gst::ClockTime::try_from(rate.start_of(frame).get()).unwrap_or(gst::ClockTime::MAX)
}

/// The frame that is shown at a time.
pub(crate) fn frame_at(rate: FrameRate, time: gst::ClockTime) -> u64 {
    rate.frame_at(Nanoseconds::new(time.nseconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_times_convert_at_the_limits() {
        let rate = FrameRate::new(20, 1).unwrap();
        let rows = [(0, 0), (1, 50_000_000), (u64::MAX, gst::ClockTime::MAX.nseconds())];
        for (frame, nanoseconds) in rows {
            assert_eq!(start_of(rate, frame).nseconds(), nanoseconds, "{frame}");
        }
        assert_eq!(frame_at(rate, gst::ClockTime::from_mseconds(99)), 1);
        assert_eq!(frame_at(rate, gst::ClockTime::MAX), 368_934_881_474);
    }
}
