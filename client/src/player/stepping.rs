// SPDX-License-Identifier: MIT OR Apache-2.0
//! Places and single frames in READY.
//!
//! A server sends only while it plays, so a frame is shown by PLAY from its place, and PAUSE when
//! it has come. GStreamer's pipeline wants one thing at a time: a flush while rtspsrc is paused
//! leaves the sink waiting for a frame that comes only with PLAY, which is sent only when that
//! frame has come; and a change of state before the last one has been completed is lost. So each
//! step waits until the pipeline has settled.

use super::imp::Player;
use super::{Borders, Command, Protocol, State};
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Name of the application message that the awaited frame has reached the sink.
pub(super) const SHOWN: &str = "mjpeg-rtsp-shown";

/// How often a step under way is looked at beside the bus: the pipeline may settle behind its last
/// message.
const LOOK: Duration = Duration::from_millis(50);

/// A pipeline that is still on its way to PLAYING after so many looks gets its seek all the same.
const PATIENCE: u32 = 3;

/// What the sink's pad waits for.
#[derive(Debug, Default)]
enum Watch {
    /// Nothing: all frames pass.
    #[default]
    Idle,
    /// The next flush; what comes before it is of the old place.
    Flush,
    /// The frame.
    Frame,
    /// It has come. In place of what the server sent before it was paused it is shown again: a sink
    /// takes a frame for its pause, and without one the pipeline could not go on.
    Hold(gst::Buffer),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// None is under way.
    #[default]
    None,
    /// The frame has not come.
    Coming,
    /// It has; PAUSE is next.
    Shown,
}

/// Where to go when PLAY has been answered, and the single frame that is under way.
#[derive(Debug, Default)]
pub(super) struct Stepper {
    place: Cell<Option<gst::ClockTime>>,
    phase: Cell<Phase>,
    next: Cell<Option<gst::ClockTime>>,
    /// The frame on show, from which playing goes on.
    resume: Cell<Option<gst::ClockTime>>,
    looking: Cell<bool>,
    watch: Arc<Mutex<Watch>>,
}

impl Stepper {
    /// Where playing will begin.
    pub fn place(&self) -> Option<gst::ClockTime> {
        self.place.get()
    }

    /// Playing will begin there.
    pub fn set_place(&self, position: gst::ClockTime) {
        self.place.set(Some(position));
    }

    /// No frame is waited for any more; the one on show stays.
    pub fn cancel(&self) {
        self.phase.set(Phase::None);
        let mut watch = lock(&self.watch);
        if !matches!(*watch, Watch::Hold(_)) {
            *watch = Watch::Idle;
        }
    }

    /// Frames are shown again. They go on from the one on show, since the server is ahead of it.
    pub fn release(&self) {
        *lock(&self.watch) = Watch::Idle;
        if let Some(resume) = self.resume.take()
            && self.place.get().is_none()
        {
            self.place.set(Some(resume));
        }
    }

    /// The session ends.
    pub fn reset(&self) {
        self.place.set(None);
        self.next.set(None);
        self.resume.set(None);
        self.phase.set(Phase::None);
        *lock(&self.watch) = Watch::Idle;
    }

    /// Follows the frames that come to the sink.
    pub fn watch(&self, pad: &gst::Pad, bus: Option<gst::Bus>, borders: &Borders) {
        let watch = self.watch.clone();
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
        borders.on_pad(pad, what, "step-frames", move |info| {
            let mut watch = lock(&watch);
            match (&mut info.data, &*watch) {
                (Some(gst::PadProbeData::Event(event)), Watch::Flush | Watch::Hold(_))
                    if event.type_() == gst::EventType::FlushStop =>
                {
                    *watch = Watch::Frame;
                }
                (Some(gst::PadProbeData::Buffer(frame)), Watch::Hold(shown)) => {
                    *frame = shown.clone();
                }
                (Some(gst::PadProbeData::Buffer(frame)), Watch::Frame) => {
                    *watch = Watch::Hold(frame.clone());
                    drop(watch);
                    if let Some(bus) = &bus {
                        let shown = gst::Structure::new_empty(SHOWN);
                        let _ = bus.post(gst::message::Application::new(shown));
                    }
                }
                _ => {}
            }
        });
    }
}

fn lock(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Player {
    /// Shows the frame at `position` and stays there, in READY.
    pub fn step_to(&self, position: gst::ClockTime) {
        let stepper = self.stepper();
        if !self.is_still() {
            return;
        }
        if stepper.phase.get() != Phase::None || self.pending().is_some() {
            stepper.next.set(Some(position));
            return;
        }
        self.seek(position);
        // A file's frame comes by the seek.
        if self.protocol() != Protocol::None {
            stepper.phase.set(Phase::Coming);
            self.start_playing();
        }
    }

    /// Looks after a step until it is done.
    pub(super) fn look_after(&self) {
        let is_busy = |player: &Player| {
            let stepper = player.stepper();
            let waits = stepper.place.get().is_some() || stepper.next.get().is_some();
            player.state() != State::Init && (waits || stepper.phase.get() != Phase::None)
        };
        if !is_busy(self) || self.stepper().looking.replace(true) {
            return;
        }
        let weak = self.obj().downgrade();
        // The player's own context; glib's local timers are the program's default one's.
        glib::MainContext::ref_thread_default().spawn_local(async move {
            let mut unsettled = 0;
            loop {
                glib::timeout_future(LOOK).await;
                let Some(player) = weak.upgrade() else { return };
                let looked = player.guarded("step", || {
                    let player = player.imp();
                    player.nudge();
                    player.advance();
                    let hangs = player.state() == State::Playing
                        && player.pending().is_none()
                        && player.stepper().place.get().is_some();
                    unsettled = if hangs { unsettled + 1 } else { 0 };
                    if unsettled > PATIENCE {
                        player.go();
                    }
                });
                if looked.is_none() || !is_busy(player.imp()) {
                    player.imp().stepper().looking.set(false);
                    return;
                }
            }
        });
    }

    /// A flush that meets the end of a change to PLAYING leaves the pipeline at rest in PAUSED, with
    /// the frame in its sink: it is asked for PLAYING again.
    fn nudge(&self) {
        let Some(playbin) = self.playbin() else { return };
        let (_, current, pending) = playbin.state(gst::ClockTime::ZERO);
        let rests = current == gst::State::Paused && pending == gst::State::VoidPending;
        if rests && self.state() == State::Playing && self.pending().is_none() {
            let _ = playbin.set_state(gst::State::Playing);
        }
    }

    /// It shows one frame, or will: in READY, on the way there, and during a step.
    pub fn is_still(&self) -> bool {
        match self.state() {
            State::Init => false,
            State::Ready => true,
            State::Playing => {
                self.stepper().phase.get() != Phase::None || self.pending() == Some(Command::Pause)
            }
        }
    }

    /// The awaited frame has come.
    pub(super) fn shown(&self) {
        if self.stepper().phase.get() == Phase::Coming {
            self.stepper().phase.set(Phase::Shown);
        }
    }

    /// Does what was waiting for the pipeline; at each of its messages.
    pub(super) fn advance(&self) {
        let stepper = self.stepper();
        match self.state() {
            State::Playing if self.is_settled() => {
                if stepper.place.get().is_some() {
                    self.go();
                } else if stepper.phase.get() == Phase::Shown {
                    self.pause();
                }
            }
            State::Ready if self.pending().is_none() && stepper.phase.get() == Phase::None => {
                if let Some(position) = stepper.next.take() {
                    self.step_to(position);
                }
            }
            _ => {}
        }
    }

    /// Seeks to the place that waits for the pipeline.
    fn go(&self) {
        let stepper = self.stepper();
        let Some(place) = stepper.place.take() else { return };
        let stepping = stepper.phase.get() == Phase::Coming;
        *lock(&stepper.watch) = if stepping { Watch::Flush } else { Watch::Idle };
        stepper.resume.set(stepping.then_some(place));
        self.start_seek(place);
    }

    /// No command and no change of state is under way; so no seek either, since a flush takes the
    /// sink, and with it the pipeline, out of PLAYING at once. Its ASYNC_DONE may be missing.
    fn is_settled(&self) -> bool {
        let settled = self.playbin().is_some_and(|playbin| {
            let (_, current, pending) = playbin.state(gst::ClockTime::ZERO);
            current == gst::State::Playing && pending == gst::State::VoidPending
        });
        settled && self.pending().is_none()
    }
}
