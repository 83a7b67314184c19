// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seeks and single frames in READY.
//!
//! A server sends only while it plays. So a step to a frame is PLAY from the frame's position, then
//! PAUSE when the frame has arrived. GStreamer's pipeline needs these one after the other: after a
//! flush while rtspsrc is paused, the sink waits for a frame that arrives only after PLAY, and PLAY
//! is sent only when the sink has a frame; and a change of state before the last one has been
//! completed is lost. So each part of a step waits until the pipeline has settled.

use super::imp::Player;
use super::{Borders, Command, Protocol, State, lock};
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Name of the application message which reports that the awaited frame has reached the sink.
pub(super) const FRAME_ARRIVED: &str = "mjpeg-rtsp-frame-arrived";

/// Interval at which a step in progress is checked, in addition to the messages of the bus: the
/// pipeline may settle after its last message.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// After this number of checks a seek is sent even if the pipeline has not reached PLAYING.
const MAX_UNSETTLED_CHECKS: u32 = 3;

/// What the pad probe at the sink does with the next frame.
#[derive(Debug, Default)]
enum ProbeState {
    /// All frames pass.
    #[default]
    PassAll,
    /// The seek's flush has not arrived; frames before it belong to the old position.
    AwaitFlush,
    /// The frame at the new position has not arrived.
    AwaitFrame,
    /// The frame has arrived. It replaces each frame that the server sends until it is paused: a sink
    /// needs a frame to complete its change to PAUSED, and the pipeline waits for the sink.
    Hold(gst::Buffer),
}

/// Progress of a step to a frame.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum StepPhase {
    /// No step is in progress.
    #[default]
    Idle,
    /// The frame has not arrived.
    AwaitFrame,
    /// The frame has arrived; PAUSE is next.
    FrameArrived,
}

/// The seek that waits for PLAY's answer, and the step in progress.
#[derive(Debug, Default)]
pub(super) struct Stepper {
    start_position: Cell<Option<gst::ClockTime>>,
    phase: Cell<StepPhase>,
    /// Target of the step after the one in progress.
    next: Cell<Option<gst::ClockTime>>,
    /// Position of the frame on screen, from which playback continues.
    resume: Cell<Option<gst::ClockTime>>,
    /// A task checks the step in progress.
    checking: Cell<bool>,
    probe: Arc<Mutex<ProbeState>>,
}

impl Stepper {
    /// The position from which PLAY will start.
    pub fn start_position(&self) -> Option<gst::ClockTime> {
        self.start_position.get()
    }

    /// Sets the position from which PLAY will start.
    pub fn set_start_position(&self, position: gst::ClockTime) {
        self.start_position.set(Some(position));
    }

    /// Cancels the step in progress; the frame on screen stays.
    pub fn cancel(&self) {
        self.phase.set(StepPhase::Idle);
        let mut probe = lock(&self.probe);
        if !matches!(*probe, ProbeState::Hold(_)) {
            *probe = ProbeState::PassAll;
        }
    }

    /// Lets all frames pass again. Playback continues from the frame on screen: the server has sent
    /// more frames before it was paused.
    pub fn release(&self) {
        *lock(&self.probe) = ProbeState::PassAll;
        if let Some(resume) = self.resume.take()
            && self.start_position.get().is_none()
        {
            self.start_position.set(Some(resume));
        }
    }

    /// Cancels everything at the end of the session.
    pub fn reset(&self) {
        self.start_position.set(None);
        self.next.set(None);
        self.resume.set(None);
        self.phase.set(StepPhase::Idle);
        *lock(&self.probe) = ProbeState::PassAll;
    }

    /// Watches the frames that arrive at the sink's `pad`.
    pub fn watch_frames(&self, pad: &gst::Pad, bus: Option<gst::Bus>, borders: &Borders) {
        let probe = self.probe.clone();
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
        borders.on_pad(pad, mask, "step-frames", move |info| {
            let mut probe = lock(&probe);
            match (&mut info.data, &*probe) {
                (
                    Some(gst::PadProbeData::Event(event)),
                    ProbeState::AwaitFlush | ProbeState::Hold(_),
                ) if event.type_() == gst::EventType::FlushStop => {
                    *probe = ProbeState::AwaitFrame;
                }
                (Some(gst::PadProbeData::Buffer(frame)), ProbeState::Hold(held)) => {
                    *frame = held.clone();
                }
                (Some(gst::PadProbeData::Buffer(frame)), ProbeState::AwaitFrame) => {
                    *probe = ProbeState::Hold(frame.clone());
                    drop(probe);
                    if let Some(bus) = &bus {
                        let arrived = gst::Structure::new_empty(FRAME_ARRIVED);
                        let _ = bus.post(gst::message::Application::new(arrived));
                    }
                }
                _ => {}
            }
        });
    }
}

impl Player {
    /// Shows the frame at `position` and stays in READY.
    pub fn step_to(&self, position: gst::ClockTime) {
        let stepper = self.stepper();
        if !self.shows_still_picture() {
            return;
        }
        if stepper.phase.get() != StepPhase::Idle || self.pending().is_some() {
            stepper.next.set(Some(position));
            return;
        }
        self.seek(position);
        // For a file the seek alone shows the frame.
        if self.protocol() != Protocol::None {
            stepper.phase.set(StepPhase::AwaitFrame);
            self.start_playing();
        }
    }

    /// Starts a task that checks the step in progress until it is done.
    pub(super) fn watch_step(&self) {
        let is_busy = |player: &Player| {
            let stepper = player.stepper();
            let waits = stepper.start_position.get().is_some() || stepper.next.get().is_some();
            let steps = waits || stepper.phase.get() != StepPhase::Idle;
            player.state() != State::Init && (steps || player.pause_waits())
        };
        if !is_busy(self) || self.stepper().checking.replace(true) {
            return;
        }
        let weak = self.obj().downgrade();
        // In the player's own context: glib's local timers run in the global default context.
        glib::MainContext::ref_thread_default().spawn_local(async move {
            let mut unsettled = 0;
            loop {
                glib::timeout_future(CHECK_INTERVAL).await;
                let Some(player) = weak.upgrade() else { return };
                let checked = player.guarded("step", || {
                    let player = player.imp();
                    player.restart_if_paused();
                    player.pause_if_settled();
                    player.advance_step();
                    let hangs = player.state() == State::Playing
                        && player.pending().is_none()
                        && player.stepper().start_position.get().is_some();
                    unsettled = if hangs { unsettled + 1 } else { 0 };
                    if unsettled > MAX_UNSETTLED_CHECKS {
                        player.seek_to_start_position();
                    }
                });
                if checked.is_none() || !is_busy(player.imp()) {
                    player.imp().stepper().checking.set(false);
                    return;
                }
            }
        });
    }

    /// Requests PLAYING again, if the pipeline has stopped in PAUSED. This happens if a flush arrives
    /// just as a change to PLAYING is completed.
    fn restart_if_paused(&self) {
        let Some(playbin) = self.playbin() else { return };
        let (_, current, pending) = playbin.state(gst::ClockTime::ZERO);
        let stopped = current == gst::State::Paused && pending == gst::State::VoidPending;
        if stopped && self.state() == State::Playing && self.pending().is_none() {
            let _ = playbin.set_state(gst::State::Playing);
        }
    }

    /// See [`super::Player::shows_still_picture`].
    pub fn shows_still_picture(&self) -> bool {
        match self.state() {
            State::Init => false,
            State::Ready => true,
            State::Playing => {
                self.stepper().phase.get() != StepPhase::Idle
                    || self.pending() == Some(Command::Pause)
            }
        }
    }

    /// Notes that the awaited frame has reached the sink.
    pub(super) fn frame_arrived(&self) {
        if self.stepper().phase.get() == StepPhase::AwaitFrame {
            self.stepper().phase.set(StepPhase::FrameArrived);
        }
    }

    /// Does the next part of a step, if the pipeline is ready for it. Called at each message of the
    /// bus.
    pub(super) fn advance_step(&self) {
        let stepper = self.stepper();
        match self.state() {
            State::Playing if self.is_settled() => {
                if stepper.start_position.get().is_some() {
                    self.seek_to_start_position();
                } else if stepper.phase.get() == StepPhase::FrameArrived {
                    self.pause();
                }
            }
            State::Ready if self.pending().is_none() && stepper.phase.get() == StepPhase::Idle => {
                if let Some(position) = stepper.next.take() {
                    self.step_to(position);
                }
            }
            _ => {}
        }
    }

    fn seek_to_start_position(&self) {
        let stepper = self.stepper();
        let Some(position) = stepper.start_position.take() else { return };
        let stepping = stepper.phase.get() == StepPhase::AwaitFrame;
        let next = if stepping { ProbeState::AwaitFlush } else { ProbeState::PassAll };
        *lock(&stepper.probe) = next;
        stepper.resume.set(stepping.then_some(position));
        self.start_seek(position);
    }

    /// Whether no command and no change of state is in progress. Then no seek is either: a flush takes
    /// the sink, and with it the pipeline, out of PLAYING at once. The seek's ASYNC_DONE may be missing.
    fn is_settled(&self) -> bool {
        self.has_reached(gst::State::Playing) && self.pending().is_none()
    }
}
