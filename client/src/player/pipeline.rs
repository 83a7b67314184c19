// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player's pipeline: its changes of state, and what it reports on its bus.

use super::endless::ClosingWatch;
use super::exchange::Exchange;
use super::failure::{Failure, FailureKind};
use super::imp::Player;
use super::machine::Input;
use super::{Command, Protocol, State, rtsp_monitor, sink_probe};
use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::prelude::*;
use mjpeg_program::border::guarded;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant};

/// How long to wait for the pipeline's change to READY. The elements change from the sink on, which first
/// ends the frame that it shows or saves; the source, which sends TEARDOWN, comes last.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for the pipeline's end. rtspsrc 1.22 cannot be interrupted in the middle of a reply,
/// so a server that sends one byte at a time can hold it for ever.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long to wait until rtspsrc sends TEARDOWN, which it does in a thread of its own.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait for TEARDOWN's answer.
const TEARDOWN_TIMEOUT: Duration = Duration::from_millis(500);

impl Player {
    pub(super) fn change_state(&self, target: gst::State) {
        if self.is_closing() {
            let text = "the server still holds the last connection: open the address again";
            self.fail(Failure::new(FailureKind::Silent, text));
            return;
        }
        let Some(playbin) = self.playbin() else { return };
        if playbin.set_state(target).is_err() {
            // The reason, if there is one, is on the bus.
            let message =
                playbin.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
            let failure = match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Error(error)) => self.failure_of(error),
                _ => Failure::new(FailureKind::Other, "the source cannot be opened"),
            };
            self.fail(failure);
        } else if target == gst::State::Playing {
            start_source(playbin);
        }
    }

    /// Ends the session: sends TEARDOWN, and waits a limited time for its answer.
    pub(super) fn close_pipeline(&self) {
        if let Some(playbin) = self.playbin().filter(|_| !self.is_closing())
            && self.lower_state(playbin, gst::State::Ready, READY_TIMEOUT)
        {
            if self.protocol() == Protocol::Rtsp {
                self.await_teardown(playbin);
            } else {
                self.report_exchange();
            }
            self.lower_state(playbin, gst::State::Null, CLOSE_TIMEOUT);
        }
    }

    /// Ends the session at the source, without waiting for TEARDOWN's answer.
    pub(super) fn end_source_session(&self) {
        let Some(playbin) = self.playbin() else { return };
        if self.lower_state(playbin, gst::State::Ready, READY_TIMEOUT) {
            self.report_exchange();
            self.lower_state(playbin, gst::State::Null, CLOSE_TIMEOUT);
        }
    }

    /// Reports the exchange up to TEARDOWN's answer, for a limited time.
    fn await_teardown(&self, playbin: &gst::Element) {
        let Some(bus) = playbin.bus() else { return };
        // Without a session, rtspsrc may have nothing to send.
        let has_session = self.state() != State::Init;
        let mut deadline =
            Instant::now() + if has_session { SEND_TIMEOUT } else { TEARDOWN_TIMEOUT };
        let types = [gst::MessageType::Progress, gst::MessageType::Element];
        let mut watch = ClosingWatch::new(self.collector(), playbin);
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let wait = gst::ClockTime::try_from(left.min(ClosingWatch::INTERVAL));
            let wait = wait.unwrap_or(gst::ClockTime::ZERO);
            let Some(message) = bus.timed_pop_filtered(wait, &types) else {
                watch.check();
                continue;
            };
            self.emit_exchange(&message);
            if rtsp_monitor::is_sent(&message, "TEARDOWN") {
                deadline = Instant::now() + TEARDOWN_TIMEOUT;
            }
            let Some((kind, code)) = progress_of(&message) else { continue };
            if code == "close"
                && kind != gst::ProgressType::Start
                && kind != gst::ProgressType::Continue
            {
                break;
            }
        }
    }

    /// Takes the pipeline to READY or NULL. If that does not end within `limit`, a thread completes
    /// the change, and the result is false.
    fn lower_state(&self, playbin: &gst::Element, state: gst::State, limit: Duration) -> bool {
        // The source waits for the thread of a packet that waits.
        self.collector().end_session();
        let (ended, end) = channel();
        let mut watch = ClosingWatch::new(self.collector(), playbin);
        let (element, is_late) = (playbin.clone(), Arc::new(AtomicBool::new(false)));
        let of_thread = is_late.clone();
        let lower = move || {
            let _ = guarded("player-close", || element.set_state(state));
            // The player has stopped waiting for the change, so nothing else stops the pipeline.
            if of_thread.load(Ordering::SeqCst) {
                let _ = guarded("player-close", || element.set_state(gst::State::Null));
            }
            drop(ended);
        };
        let thread = std::thread::Builder::new().name("player-close".to_owned()).spawn(lower);
        if thread.is_err() {
            let _ = playbin.set_state(state);
            return true;
        }
        let deadline = Instant::now() + limit;
        while end.recv_timeout(ClosingWatch::INTERVAL) == Err(RecvTimeoutError::Timeout) {
            watch.check();
            if Instant::now() < deadline {
                continue;
            }
            is_late.store(true, Ordering::SeqCst);
            self.collector().connections().shut_down();
            if let Some(bus) = playbin.bus() {
                bus.set_flushing(true);
            }
            self.closing.replace(Some(end));
            return false;
        }
        true
    }

    /// Whether the pipeline is still being stopped: it cannot be used then.
    pub(super) fn is_closing(&self) -> bool {
        let mut closing = self.closing.borrow_mut();
        let ended = closing.as_ref().is_none_or(|end| end.try_recv() != Err(TryRecvError::Empty));
        if ended
            && closing.take().is_some()
            && let Some(bus) = self.playbin().and_then(gst::Element::bus)
        {
            bus.set_flushing(false);
        }
        !ended
    }

    /// Reports the exchange that took place while the source went to READY. A change to NULL
    /// removes its messages from the bus.
    fn report_exchange(&self) {
        let Some(bus) = self.playbin().and_then(gst::Element::bus) else { return };
        if !self.protocol().posts_progress() {
            return;
        }
        while let Some(message) = bus.pop_filtered(&[gst::MessageType::Element]) {
            self.emit_exchange(&message);
        }
    }

    pub(super) fn on_bus_message(&self, message: &gst::Message) {
        self.handle_message(message);
        self.apply(Input::Checked);
    }

    fn handle_message(&self, message: &gst::Message) {
        use gst::MessageView;
        match message.view() {
            MessageView::Progress(_) => match progress_of(message) {
                Some((gst::ProgressType::Complete, "open")) => self.apply(Input::Opened),
                Some((gst::ProgressType::Complete, "request")) => self.apply(Input::Answered),
                _ => {}
            },
            MessageView::StateChanged(changed) if !self.protocol().posts_progress() => {
                let playbin = self.playbin();
                if playbin.is_none_or(|playbin| message.src() != Some(playbin.upcast_ref())) {
                    return;
                }
                match changed.current() {
                    gst::State::Paused => self.apply(Input::Paused),
                    gst::State::Playing => self.apply(Input::Playing),
                    _ => {}
                }
            }
            MessageView::AsyncDone(_) => self.apply(Input::SeekDone),
            MessageView::Eos(_) if self.is_endless() && self.reconnects() => {
                let text = "the server has ended the stream";
                self.fail(Failure::new(FailureKind::Lost, text));
            }
            MessageView::Eos(_) => self.apply(Input::EndOfMovie),
            // rtspsrc warns of a closed connection, then ends the stream as at the movie's end. It
            // has the same warning for a packet of no bytes, which it ignores, and before it tries
            // TCP because no packet has arrived over UDP.
            MessageView::Warning(warning)
                if warning.error().matches(gst::ResourceError::Read)
                    && self.protocol() == Protocol::Rtsp
                    && warning.debug().is_some_and(|it| it.contains("closed the connection")) =>
            {
                let failure = self.progress.borrow().connection_closed();
                self.fail(failure);
            }
            MessageView::Element(_) => self.emit_exchange(message),
            MessageView::Application(application) => match application.structure() {
                Some(it) if it.name() == sink_probe::FRAME_ARRIVED => {
                    self.apply(Input::FrameArrived);
                }
                Some(it) if it.name() == sink_probe::SECTION_ENDED => {
                    self.apply(Input::SectionEnded);
                }
                _ => {}
            },
            MessageView::Error(error) if !self.connects_again() => {
                let failure = self.failure_of(error);
                self.fail(failure);
            }
            _ => {}
        }
    }

    /// Connects again, once, if the server has sent an interim reply, which rtspsrc takes for the reply.
    fn connects_again(&self) -> bool {
        let is_interim = self.progress.borrow().replied_interim();
        let waits = matches!(self.pending(), Some(Command::Setup | Command::Play));
        if !waits || !is_interim || !self.collector().expect_interim_replies(self.timeout()) {
            return false;
        }
        let note = "the server sends an interim reply before its reply, which GStreamer's rtspsrc does \
                    not expect: connecting again";
        tracing::warn!("{note}");
        self.report(&Exchange::Note(note.to_owned()));
        self.apply(Input::ConnectAgain);
        true
    }

    /// Whether the source is a live stream, whose length is not known.
    fn is_endless(&self) -> bool {
        self.protocol() == Protocol::Rtsp && self.obj().duration().is_none()
    }
}

/// Starts the source, if the pipeline waits in PAUSED for a frame that only the source's PLAY brings:
/// if it was paused when the sink had no frame.
fn start_source(playbin: &gst::Element) {
    let (_, _, pending) = playbin.state(gst::ClockTime::ZERO);
    let source = playbin.property::<Option<gst::Element>>("source");
    let Some(source) = source.filter(|_| pending == gst::State::Playing) else { return };
    let (_, current, pending) = source.state(gst::ClockTime::ZERO);
    if current == gst::State::Paused && pending == gst::State::VoidPending {
        let _ = source.set_state(gst::State::Playing);
    }
}

/// The type and code of a PROGRESS message. [`gst::message::Progress::get`] also reads the text,
/// and crashes if it is missing. GStreamer leaves it out if a peer's bytes in it are not UTF-8.
pub(super) fn progress_of(message: &gst::MessageRef) -> Option<(gst::ProgressType, &str)> {
    let structure =
        message.structure().filter(|_| message.type_() == gst::MessageType::Progress)?;
    Some((structure.get("type").ok()?, structure.get("code").ok()?))
}
