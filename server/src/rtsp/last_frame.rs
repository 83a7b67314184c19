// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lets the last frame last: RTP packets have no duration, so that the end of the stream, and
//! with it RTCP BYE, would follow the last packet at once, and ffmpeg 5.1 drops what it has not
//! read by then. A sink waits for the time of a gap before it takes what comes after it.

use gst::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Puts a gap between the last frame's end and the end of the stream that leaves `pad`.
pub(super) fn let_last(pad: &gst::Pad) {
    let end = Mutex::new(None);
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(types, move |pad, info| {
        let set_end = |to| {
            let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *end, to)
        };
        if let Some(buffer) = info.buffer() {
            set_end(buffer.pts().zip(buffer.duration()).map(|(pts, duration)| pts + duration));
        } else if info.event().is_some_and(|event| event.type_() == gst::EventType::Eos)
            && let Some(end) = set_end(None)
        {
            pad.push_event(gst::event::Gap::new(end, gst::ClockTime::ZERO));
        }
        gst::PadProbeReturn::Ok
    });
}
