// SPDX-License-Identifier: MIT OR Apache-2.0
//! Queries in TIME and in DEFAULT, which counts frames.

use crate::frame_time;
use crate::movie::FrameRate;
use gst::format::{Default as Frames, GenericFormattedValue};

/// Answers a query; `None` leaves it to the base class. `duration` returns the number of frames
/// and their time.
pub(super) fn answer(
    query: &mut gst::QueryRef,
    rate: FrameRate,
    duration: impl Fn() -> Option<(u64, gst::ClockTime)>,
) -> Option<bool> {
    match query.view_mut() {
        gst::QueryViewMut::Duration(query) => match (query.format(), duration()) {
            (gst::Format::Time, Some((_, time))) => query.set(time),
            (gst::Format::Default, Some((frames, _))) => query.set(Frames::try_from(frames).ok()?),
            (gst::Format::Time | gst::Format::Default, None) => return Some(false),
            _ => return None,
        },
        gst::QueryViewMut::Seeking(query) => match query.format() {
            gst::Format::Time => {
                query.set(true, gst::ClockTime::ZERO, duration().map(|(_, time)| time));
            }
            gst::Format::Default => {
                let end = duration().and_then(|(frames, _)| Frames::try_from(frames).ok());
                query.set(true, Frames::ZERO, end);
            }
            _ => return None,
        },
        gst::QueryViewMut::Convert(query) => {
            let (from, to) = query.get();
            let converted = convert(from, to, rate)?;
            query.set(from, converted);
        }
        _ => return None,
    }
    Some(true)
}

fn convert(
    from: GenericFormattedValue,
    to: gst::Format,
    rate: FrameRate,
) -> Option<GenericFormattedValue> {
    match (from, to) {
        (GenericFormattedValue::Default(frames), gst::Format::Time) => {
            let time = frames.map(|frames| frame_time::start_of(rate, *frames));
            Some(time.into())
        }
        (GenericFormattedValue::Time(time), gst::Format::Default) => {
            let frames = time.map(|time| Frames::try_from(frame_time::frame_at(rate, time)));
            Some(frames.transpose().ok()?.into())
        }
        (same, to) => (same.format() == to).then_some(same),
    }
}
