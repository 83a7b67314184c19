// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handles frames at the sink: holds one during a step, and detects the end of a section.

use super::machine::Frames;
use super::{Borders, lock};
use gst::prelude::*;
use gstmjpegfile::movie_position;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Name of the application message which reports that the frame of a step has reached the sink.
pub(super) const FRAME_ARRIVED: &str = "mjpeg-rtsp-frame-arrived";

/// Name of the application message which reports that a frame after the section has reached the sink.
pub(super) const SECTION_ENDED: &str = "mjpeg-rtsp-section-ended";

/// Positions from RTP are rounded to 1/90000 s.
const ROUNDING: Duration = Duration::from_millis(1);

/// What is done with the next frame.
#[derive(Debug, Default)]
enum Hold {
    /// All frames pass.
    #[default]
    None,
    /// The seek's flush has not arrived; frames before it belong to the old position.
    AwaitFlush,
    /// The frame at the new position has not arrived.
    AwaitFrame,
    /// The frame has arrived. It replaces each frame that the server sends until it is paused: a sink
    /// needs a frame to complete its change to PAUSED, and the pipeline waits for the sink.
    Frame(gst::Buffer),
}

#[derive(Debug, Default)]
struct ProbeState {
    hold: Hold,
    /// Position of the section's last frame.
    section_end: Option<Duration>,
    /// The last frame of the section that has passed since the last flush.
    in_section: Option<gst::Buffer>,
    /// The section's end has been reported, and no flush has followed.
    section_ended: bool,
}

/// The probe at the sink's pad.
#[derive(Debug, Default)]
pub(super) struct SinkProbe {
    state: Arc<Mutex<ProbeState>>,
}

impl SinkProbe {
    /// Sets what is done with the next frames.
    pub fn treat(&self, frames: Frames) {
        let mut state = lock(&self.state);
        match frames {
            Frames::PassUnlessHeld if matches!(state.hold, Hold::Frame(_)) => {}
            Frames::Pass | Frames::PassUnlessHeld => state.hold = Hold::None,
            Frames::HoldAfterFlush => state.hold = Hold::AwaitFlush,
        }
    }

    /// Reports each time a frame after this position arrives.
    pub fn set_section_end(&self, end: Option<Duration>) {
        let mut state = lock(&self.state);
        state.section_end = end;
        state.in_section = None;
        state.section_ended = false;
    }

    /// Watches the frames that arrive at the sink's `pad`.
    pub fn watch(&self, pad: &gst::Pad, bus: Option<gst::Bus>, borders: &Borders) {
        let (state, weak) = (self.state.clone(), pad.downgrade());
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
        borders.on_pad(pad, mask, "sink-frames", move |info| {
            let report = match &mut info.data {
                Some(gst::PadProbeData::Event(event))
                    if event.type_() == gst::EventType::FlushStop =>
                {
                    lock(&state).flushed();
                    None
                }
                Some(gst::PadProbeData::Buffer(frame)) => {
                    let mut state = lock(&state);
                    if state.frame_arrived(frame) {
                        Some(FRAME_ARRIVED)
                    } else {
                        let ended = state.leaves_section(frame, |it| position_of(&weak, it));
                        ended.then_some(SECTION_ENDED)
                    }
                }
                _ => None,
            };
            if let (Some(name), Some(bus)) = (report, &bus) {
                let structure = gst::Structure::new_empty(name);
                let _ = bus.post(gst::message::Application::new(structure));
            }
        });
    }
}

impl ProbeState {
    fn flushed(&mut self) {
        self.in_section = None;
        self.section_ended = false;
        if matches!(self.hold, Hold::AwaitFlush | Hold::Frame(_)) {
            self.hold = Hold::AwaitFrame;
        }
    }

    /// Returns whether `frame` is the awaited one; replaces it by the held one.
    fn frame_arrived(&mut self, frame: &mut gst::Buffer) -> bool {
        match &self.hold {
            Hold::Frame(held) => *frame = held.clone(),
            Hold::AwaitFrame => {
                self.hold = Hold::Frame(frame.clone());
                return true;
            }
            Hold::None | Hold::AwaitFlush => {}
        }
        false
    }

    /// Whether `frame` is the first one after the section. Until the flush of the seek to the section's
    /// start, each frame after it is replaced by the section's last one: the sink is not left waiting.
    fn leaves_section(
        &mut self,
        frame: &mut gst::Buffer,
        position_of: impl FnOnce(&gst::Buffer) -> Option<Duration>,
    ) -> bool {
        let Some(end) = self.section_end.filter(|_| matches!(self.hold, Hold::None)) else {
            return false;
        };
        if position_of(frame).is_none_or(|position| position <= end + ROUNDING) {
            self.in_section = Some(frame.clone());
            return false;
        }
        if let Some(last) = &self.in_section {
            let pts = frame.pts();
            *frame = last.clone();
            frame.make_mut().set_pts(pts);
        }
        !std::mem::replace(&mut self.section_ended, true)
    }
}

/// Position of a frame in the movie.
fn position_of(pad: &glib::WeakRef<gst::Pad>, frame: &gst::Buffer) -> Option<Duration> {
    let by_time = || {
        let event = pad.upgrade()?.sticky_event::<gst::event::Segment>(0)?;
        event.segment().downcast_ref::<gst::ClockTime>()?.to_stream_time(frame.pts())
    };
    movie_position::of(frame).or_else(by_time).map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_after_a_flush_is_held_and_replaces_the_next_ones() {
        gst::init().expect("GStreamer");
        let frame = |byte: u8| gst::Buffer::from_slice([byte]);
        let byte = |frame: &gst::Buffer| frame.map_readable().map(|map| map[0]).ok();
        let probe = SinkProbe::default();
        probe.treat(Frames::HoldAfterFlush);
        let mut state = lock(&probe.state);
        let arrive = |state: &mut ProbeState, of: u8| {
            let mut frame = frame(of);
            (state.frame_arrived(&mut frame), byte(&frame))
        };
        assert_eq!(arrive(&mut state, 1), (false, Some(1)), "before the flush");
        state.flushed();
        assert_eq!(arrive(&mut state, 2), (true, Some(2)));
        assert_eq!(arrive(&mut state, 3), (false, Some(2)));
        drop(state);
        probe.treat(Frames::PassUnlessHeld);
        assert_eq!(arrive(&mut lock(&probe.state), 4), (false, Some(2)));
        lock(&probe.state).flushed();
        assert_eq!(arrive(&mut lock(&probe.state), 5), (true, Some(5)), "the next step");
        probe.treat(Frames::Pass);
        assert_eq!(arrive(&mut lock(&probe.state), 6), (false, Some(6)));
    }

    #[test]
    fn the_end_of_a_section_is_noticed_once_until_a_flush_and_no_frame_after_it_is_shown() {
        gst::init().expect("GStreamer");
        let seconds = Duration::from_secs;
        let mut state = ProbeState { section_end: Some(seconds(2)), ..ProbeState::default() };
        // Positions of frames, `None` for a flush; whether the end is noticed; what is shown.
        let rows = [
            (Some(1), false, 1),
            (Some(2), false, 2),
            (Some(3), true, 2),
            (Some(4), false, 2),
            (None, false, 0),
            // A seek to what is after the section.
            (Some(3), true, 3),
            (Some(1), false, 1),
            (Some(3), false, 1),
        ];
        for (at, (position, noticed, shown)) in rows.into_iter().enumerate() {
            let Some(position) = position else {
                state.flushed();
                continue;
            };
            let mut frame = gst::Buffer::from_slice([position]);
            let got = state.leaves_section(&mut frame, |_| Some(seconds(u64::from(position))));
            let byte = frame.map_readable().map(|map| map[0]).ok();
            assert_eq!((got, byte), (noticed, Some(shown)), "{at}");
        }
        let mut frame = gst::Buffer::from_slice([9]);
        state.section_end = None;
        assert!(!state.leaves_section(&mut frame, |_| Some(seconds(9))));
    }
}
