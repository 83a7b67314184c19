// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player's state machine.

use super::border::{self, Border, Borders};
use super::endless;
use super::exchange::Exchange;
use super::failure::{Failure, FailureKind};
use super::http_movies;
use super::images;
use super::progress::Progress;
use super::recorder::Recorder;
use super::sources::{self, CertificateErrors, Protocol};
use super::statistics::{Collector, Statistics};
use super::stepping::{self, Stepper};
use super::{Command, Options, State};
use glib::prelude::*;
use glib::subclass::Signal;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gstmjpegfile::movie_position;
use mjpeg_program::border::{Panicked, guarded};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Above this rate the decoder may skip frames.
const TRICK_MODE_RATE: f64 = 2.0;

/// How long to wait for the pipeline's end. rtspsrc 1.22 cannot be interrupted in the middle of a reply,
/// so a server that sends one byte at a time can hold it for ever.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long to wait for TEARDOWN's answer.
const TEARDOWN_TIMEOUT: gst::ClockTime = gst::ClockTime::from_mseconds(500);

type ExchangeListener = Rc<dyn Fn(&Exchange)>;

#[derive(Default)]
pub struct Player {
    playbin: OnceCell<gst::Element>,
    bus_watch: OnceCell<gst::bus::BusWatchGuard>,
    protocol: Cell<Protocol>,
    state: Cell<State>,
    pending: Cell<Option<Command>>,
    /// The movie has ended: the next play starts from the first frame.
    ended: Cell<bool>,
    seeking: Cell<bool>,
    /// PAUSE is sent when the pipeline has reached PLAYING again after a seek.
    pause_waits: Cell<bool>,
    next_seek: Cell<Option<gst::ClockTime>>,
    /// Target of the last seek.
    sought: Cell<Option<gst::ClockTime>>,
    rate: Cell<PlaybackRate>,
    /// The element that shows the pictures.
    sink: glib::WeakRef<gst::Element>,
    stepper: Stepper,
    exchange_listeners: RefCell<Vec<ExchangeListener>>,
    /// How far the exchange with the server has got.
    progress: RefCell<Progress>,
    certificate_errors: Arc<CertificateErrors>,
    timeout: Cell<Duration>,
    /// Number of commands that have been started.
    commands: Cell<u64>,
    /// The thread that stops the pipeline, if that takes longer than [`CLOSE_TIMEOUT`]: disconnects at
    /// its end.
    closing: RefCell<Option<Receiver<()>>>,
    collector: Arc<Collector>,
    recorder: Arc<Recorder>,
    borders: Borders,
    property_border: OnceCell<Border>,
    /// A panic is ending the session.
    ending_after_panic: Cell<bool>,
}

/// Playback rate; 1 is normal speed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PlaybackRate(f64);

impl Default for PlaybackRate {
    fn default() -> Self {
        Self(1.0)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for Player {
    const NAME: &'static str = "MjpegRtspPlayer";
    type Type = super::Player;
}

impl ObjectImpl for Player {
    fn signals() -> &'static [Signal] {
        static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
            let action = |name, handler: fn(&Player)| {
                Signal::builder(name)
                    .run_last()
                    .action()
                    .class_handler(move |values| {
                        let player = values.first()?.get::<super::Player>().ok()?;
                        player.guarded("player-command", || handler(player.imp()));
                        None
                    })
                    .build()
            };
            let text = |name| Signal::builder(name).param_types([String::static_type()]).build();
            vec![
                action("setup", Player::setup),
                action("play", Player::play),
                action("pause", Player::pause),
                action("teardown", Player::teardown),
                Signal::builder("error").param_types([Failure::static_type()]).build(),
                text("refused"),
                Signal::builder("end-of-movie").build(),
            ]
        });
        &SIGNALS
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder_with_default("state", State::Init).read_only().build(),
            ]
        });
        &PROPERTIES
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let mut value = pspec.default_value().clone();
        let border = self.property_border.get_or_init(|| self.borders.border("player-property"));
        self.obj().run(border, || value = self.state.get().to_value());
        value
    }

    fn dispose(&self) {
        let _ = guarded("player-dispose", || {
            if let Some(playbin) = self.playbin.get().filter(|_| !self.is_closing()) {
                let _ = playbin.set_state(gst::State::Null);
            }
        });
    }
}

impl Player {
    /// Makes the playbin. Called once.
    pub fn open(&self, uri: &str, options: &Options) {
        self.protocol.set(Protocol::from_uri(uri));
        self.timeout.set(options.timeout);
        self.progress.replace(Progress::new(uri, options.transport));
        let Ok(playbin) = gst::ElementFactory::make("playbin").property("uri", uri).build() else {
            return;
        };
        let (options, collector, borders) =
            (options.clone(), self.collector.clone(), self.borders.clone());
        let certificate_errors = self.certificate_errors.clone();
        self.borders.on_signal(&playbin, "source-setup", "source-setup", move |values| {
            let source = values.get(1)?.get::<gst::Element>().ok()?;
            sources::set_up(&source, &options, &certificate_errors, &collector, &borders);
            None
        });
        let (recorder, collector) = (self.recorder.clone(), self.collector.clone());
        let borders = self.borders.clone();
        self.borders.on_signal(&playbin, "deep-element-added", "element-added", move |values| {
            let element = values.get(2)?.get::<gst::Element>().ok()?;
            Recorder::watch_decoder(&recorder, &collector, &borders, &element);
            Collector::watch_depayloader(&collector, &borders, &element);
            images::watch(&element, &borders);
            http_movies::watch(&element, &borders);
            None
        });
        let watch = playbin.bus().and_then(|bus| {
            self.borders.set_bus(bus.clone());
            self.obj().on_message(&bus, |player, message| player.imp().on_bus_message(message)).ok()
        });
        // Called once, so the cells are empty.
        let _ = self.playbin.set(playbin);
        if let Some(watch) = watch {
            let _ = self.bus_watch.set(watch);
        }
    }

    pub fn playbin(&self) -> Option<&gst::Element> {
        self.playbin.get()
    }

    pub fn statistics(&self) -> Statistics {
        self.collector.statistics()
    }

    pub fn set_video_sink(&self, sink: &gst::Element) {
        if let Some(playbin) = self.playbin() {
            playbin.set_property("video-sink", sink);
        }
        self.sink.set(Some(sink));
        let Some(pad) = sink.static_pad("sink") else { return };
        let collector = self.collector.clone();
        self.borders.on_pad(&pad, gst::PadProbeType::BUFFER, "shown-frames", move |_| {
            collector.frames.fetch_add(1, Ordering::Relaxed);
        });
        self.stepper.watch_frames(&pad, self.playbin().and_then(gst::Element::bus), &self.borders);
    }

    /// See [`super::Player::position`].
    pub fn position(&self) -> Option<gst::ClockTime> {
        let target = self.stepper.start_position();
        let shown = || self.sink.upgrade().and_then(|sink| shown_position(&sink));
        // A seek removes the frame on screen until the next one arrives.
        let sought = || self.sought.get().filter(|_| self.seeking.get());
        let asked = || self.playbin()?.query_position();
        target.or_else(shown).or_else(sought).or_else(asked)
    }

    pub(crate) fn borders(&self) -> &Borders {
        &self.borders
    }

    pub fn state(&self) -> State {
        self.state.get()
    }

    pub(super) fn stepper(&self) -> &Stepper {
        &self.stepper
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    pub fn pending(&self) -> Option<Command> {
        self.pending.get()
    }

    pub(super) fn collector(&self) -> &Arc<Collector> {
        &self.collector
    }

    pub(super) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    pub fn rate(&self) -> f64 {
        self.rate.get().0
    }

    fn setup(&self) {
        if self.check_allowed("setup", State::Init) {
            self.borders.start_session();
            self.collector.reset();
            self.progress.borrow_mut().start();
            self.certificate_errors.set(gio::TlsCertificateFlags::empty());
            self.rate.set(PlaybackRate::default());
            self.start(Command::Setup, gst::State::Paused);
        }
    }

    fn play(&self) {
        if self.check_allowed("play", State::Ready) {
            self.start_playing();
        }
    }

    /// Requests PLAY; if the movie has ended, sets up a new session first.
    pub fn start_playing(&self) {
        self.stepper.release();
        self.watch_step();
        if self.ended.replace(false)
            && let Some(playbin) = self.playbin()
        {
            // rtspsrc 1.22 does not restart after the end of a stream: a seek would only bring the
            // end again. So a new session is set up, and plays from the first frame.
            if self.lower_state(playbin, gst::State::Ready) {
                self.report_exchange();
                self.lower_state(playbin, gst::State::Null);
            }
            self.rate.set(PlaybackRate::default());
        }
        self.start(Command::Play, gst::State::Playing);
    }

    pub fn pause(&self) {
        if self.check_allowed("pause", State::Playing) {
            self.seeking.set(false);
            self.collector.pause();
            self.stepper.cancel();
            if self.protocol.get() != Protocol::None && !self.has_reached(gst::State::Playing) {
                // During a change of state to PLAYING, one to PAUSED would only end it: the source would
                // not be paused.
                self.announce(Command::Pause);
                self.pause_waits.set(true);
                self.watch_step();
            } else {
                self.start(Command::Pause, gst::State::Paused);
            }
        }
    }

    /// Pauses, if that waits and the pipeline has settled.
    pub(super) fn pause_if_settled(&self) {
        if self.pause_waits.get() && self.has_reached(gst::State::Playing) {
            self.pause_waits.set(false);
            self.change_state(gst::State::Paused);
        }
    }

    /// Whether a pause waits for the pipeline.
    pub(super) fn pause_waits(&self) -> bool {
        self.pause_waits.get()
    }

    /// Whether the pipeline is in this state and no change of state is in progress.
    pub(super) fn has_reached(&self, state: gst::State) -> bool {
        self.playbin().is_some_and(|playbin| {
            let (_, current, pending) = playbin.state(gst::ClockTime::ZERO);
            current == state && pending == gst::State::VoidPending
        })
    }

    fn teardown(&self) {
        if self.state.get() == State::Init && self.pending.get().is_none() {
            return;
        }
        self.close();
    }

    /// Ends the session: sends TEARDOWN, and waits a limited time for its answer.
    fn close(&self) {
        self.pending.set(None);
        self.pause_waits.set(false);
        self.seeking.set(false);
        self.next_seek.set(None);
        self.ended.set(false);
        self.stepper.reset();
        if let Some(playbin) = self.playbin().filter(|_| !self.is_closing())
            && self.lower_state(playbin, gst::State::Ready)
        {
            self.report_exchange();
            self.await_teardown(playbin);
            self.lower_state(playbin, gst::State::Null);
        }
        self.set_state(State::Init);
    }

    /// Reports the exchange up to TEARDOWN's answer, for a limited time.
    fn await_teardown(&self, playbin: &gst::Element) {
        let bus = playbin.bus().filter(|_| self.protocol.get() == Protocol::Rtsp);
        let Some(bus) = bus else { return };
        let deadline = std::time::Instant::now() + Duration::from(TEARDOWN_TIMEOUT);
        while let Some(message) = bus.timed_pop_filtered(
            TEARDOWN_TIMEOUT,
            &[gst::MessageType::Progress, gst::MessageType::Element],
        ) {
            self.emit_exchange(&message);
            let Some((kind, code)) = progress_of(&message) else { continue };
            let done = kind != gst::ProgressType::Start && kind != gst::ProgressType::Continue;
            if (code == "close" && done) || std::time::Instant::now() > deadline {
                break;
            }
        }
    }

    /// Takes the pipeline to READY or NULL. If that does not end in time, a thread is left behind with
    /// it, and the result is false.
    fn lower_state(&self, playbin: &gst::Element, state: gst::State) -> bool {
        let (ended, end) = channel();
        let (element, is_late) = (playbin.clone(), Arc::new(AtomicBool::new(false)));
        let of_thread = is_late.clone();
        let lower = move || {
            let _ = guarded("player-close", || element.set_state(state));
            // Nobody else stops a pipeline that is left behind.
            if of_thread.load(Ordering::SeqCst) {
                let _ = guarded("player-close", || element.set_state(gst::State::Null));
            }
            drop(ended);
        };
        let thread = std::thread::Builder::new().name("player-close".to_owned()).spawn(lower);
        if thread.is_err() {
            let _ = playbin.set_state(state);
        } else if end.recv_timeout(CLOSE_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            is_late.store(true, Ordering::SeqCst);
            endless::shut_down(playbin);
            if let Some(bus) = playbin.bus() {
                bus.set_flushing(true);
            }
            self.closing.replace(Some(end));
            return false;
        }
        true
    }

    /// Whether the pipeline is still being stopped: it cannot be used then.
    fn is_closing(&self) -> bool {
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

    pub fn connect_exchange(&self, listener: ExchangeListener) {
        self.exchange_listeners.borrow_mut().push(listener);
    }

    /// Calls the listeners, if `message` reports a step of the exchange.
    fn emit_exchange(&self, message: &gst::MessageRef) {
        let Some(exchange) = message.structure().and_then(Exchange::from_structure) else { return };
        self.progress.borrow_mut().update(&exchange);
        self.report(&exchange);
    }

    /// Calls the listeners.
    fn report(&self, exchange: &Exchange) {
        let listeners = self.exchange_listeners.borrow().clone();
        for listener in listeners {
            listener(exchange);
        }
    }

    /// Reports the exchange that took place while the source went to READY. A change to NULL
    /// removes its messages from the bus.
    fn report_exchange(&self) {
        let Some(bus) = self.playbin().and_then(gst::Element::bus) else { return };
        if !self.protocol.get().posts_progress() {
            return;
        }
        while let Some(message) = bus.pop_filtered(&[gst::MessageType::Element]) {
            self.emit_exchange(&message);
        }
    }

    /// Whether `command` is allowed now; otherwise emits `refused`.
    fn check_allowed(&self, command: &str, required: State) -> bool {
        let state = self.state.get();
        let reason = match self.pending.get() {
            Some(pending) => format!(
                "{command} is refused: {} is waiting for the server's answer",
                pending.signal_name()
            ),
            None if state == required => return true,
            None => format!("{command} needs {}, the state is {}", required.name(), state.name()),
        };
        self.obj().emit_by_name::<()>("refused", &[&reason]);
        false
    }

    /// Starts the change of state that carries out `pending`.
    pub fn start(&self, pending: Command, target: gst::State) {
        if self.is_closing() {
            let text = "the server still holds the last connection: open the address again";
            self.fail(&Failure::new(FailureKind::Silent, text));
            return;
        }
        self.announce(pending);
        self.change_state(target);
    }

    /// Notes that `pending` is being carried out. It fails if the server does not answer in time.
    fn announce(&self, pending: Command) {
        self.pending.set(Some(pending));
        self.commands.set(self.commands.get() + 1);
        endless::watch_command(&self.obj());
        if self.protocol.get() == Protocol::Rtsp {
            // labrtspsrc has this timeout itself, rtspsrc one for each of its requests.
            let number = self.commands.get();
            self.obj().after(self.timeout.get(), "answer-timeout", move |player| {
                let player = player.imp();
                if player.commands.get() == number && player.pending.get().is_some() {
                    let failure = player.silence(player.timeout.get());
                    player.fail(&failure);
                }
            });
        }
    }

    fn change_state(&self, target: gst::State) {
        let Some(playbin) = self.playbin() else { return };
        if playbin.set_state(target).is_err() {
            // The reason, if there is one, is on the bus.
            let message =
                playbin.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
            let failure = match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Error(error)) => self.failure_of(error),
                _ => Failure::new(FailureKind::Other, "the source cannot be opened"),
            };
            self.fail(&failure);
        } else if target == gst::State::Playing {
            Self::start_source(playbin);
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

    /// Connects again, once, if the server has sent an interim reply, which rtspsrc takes for the reply.
    fn connects_again(&self) -> bool {
        let is_interim = self.progress.borrow().replied_interim();
        let command = self.pending.get().filter(|it| matches!(it, Command::Setup | Command::Play));
        let Some(command) = command
            .filter(|_| is_interim && self.collector.expect_interim_replies(self.timeout.get()))
        else {
            return false;
        };
        let note = "the server sends an interim reply before its reply, which GStreamer's rtspsrc does \
                    not expect: connecting again";
        tracing::warn!("{note}");
        self.report(&Exchange::Note(note.to_owned()));
        self.close();
        self.progress.borrow_mut().start();
        let target =
            if command == Command::Setup { gst::State::Paused } else { gst::State::Playing };
        self.start(command, target);
        true
    }

    /// The failure that an error message of the bus reports.
    fn failure_of(&self, message: &gst::message::Error) -> Failure {
        let certificate = self.certificate_errors.get();
        let explained = self.progress.borrow().explain(message, certificate);
        explained.unwrap_or_else(|| Failure::from_message(message))
    }

    /// The failure that a server's silence for `limit` is.
    pub fn silence(&self, limit: Duration) -> Failure {
        let has_packets = self.statistics().received > 0;
        self.progress.borrow().silence(limit, has_packets)
    }

    fn fail(&self, failure: &Failure) {
        self.close();
        self.obj().emit_by_name::<()>("error", &[failure]);
    }

    /// Ends the session after a panic.
    pub fn end_after_panic(&self, panicked: Panicked) {
        // A panic while the session ends is only logged.
        if !self.ending_after_panic.replace(true) {
            let _ = guarded("player-end", || self.fail(&border::failure(panicked)));
            self.ending_after_panic.set(false);
        }
    }

    fn set_state(&self, state: State) {
        if self.state.replace(state) != state {
            self.obj().notify("state");
        }
    }

    /// Changes the state when the answer to the pending command has arrived.
    fn complete_pending(&self) {
        if let Some(pending) = self.pending.take() {
            self.set_state(pending.resulting_state());
        }
    }

    fn on_bus_message(&self, message: &gst::Message) {
        self.handle_message(message);
        self.pause_if_settled();
        self.advance_step();
    }

    fn handle_message(&self, message: &gst::Message) {
        use gst::MessageView;
        match message.view() {
            MessageView::Progress(_) => {
                if let Some((gst::ProgressType::Complete, code)) = progress_of(message) {
                    let awaited = match self.pending.get() {
                        Some(Command::Setup) => code == "open",
                        Some(_) => code == "request",
                        None => false,
                    };
                    if awaited {
                        self.complete_pending();
                    }
                }
            }
            MessageView::StateChanged(changed) if !self.protocol.get().posts_progress() => {
                let from_playbin =
                    self.playbin().is_some_and(|p| message.src() == Some(p.upcast_ref()));
                let reached = match self.pending.get() {
                    Some(Command::Play) => changed.current() == gst::State::Playing,
                    Some(_) => changed.current() == gst::State::Paused,
                    None => false,
                };
                if from_playbin && reached {
                    self.complete_pending();
                }
            }
            MessageView::AsyncDone(_) => {
                self.seeking.set(false);
                if let Some(target) = self.next_seek.take() {
                    self.seek(target);
                }
            }
            MessageView::Eos(_) => {
                self.pending.set(None);
                self.pause_waits.set(false);
                self.stepper.cancel();
                self.ended.set(true);
                if let Some(playbin) = self.playbin() {
                    let _ = playbin.set_state(gst::State::Paused);
                }
                self.set_state(State::Ready);
                self.obj().emit_by_name::<()>("end-of-movie", &[]);
            }
            // rtspsrc warns of a closed connection, then ends the stream as at the movie's end. It
            // has the same warning for a packet of no bytes, which it ignores, and before it tries
            // TCP because no packet has arrived over UDP.
            MessageView::Warning(warning)
                if warning.error().matches(gst::ResourceError::Read)
                    && self.protocol.get() == Protocol::Rtsp
                    && warning.debug().is_some_and(|it| it.contains("closed the connection")) =>
            {
                let failure = self.progress.borrow().connection_closed();
                self.fail(&failure);
            }
            MessageView::Element(_) => self.emit_exchange(message),
            MessageView::Application(application)
                if application
                    .structure()
                    .is_some_and(|it| it.name() == stepping::FRAME_ARRIVED) =>
            {
                self.frame_arrived();
            }
            MessageView::Error(error) if !self.connects_again() => {
                let failure = self.failure_of(error);
                self.fail(&failure);
            }
            _ => {}
        }
    }

    pub fn seek(&self, position: gst::ClockTime) {
        if self.state.get() == State::Init {
            let reason = "seek needs READY or PLAYING, the state is INIT".to_owned();
            self.obj().emit_by_name::<()>("refused", &[&reason]);
        } else if self.protocol.get() != Protocol::None
            && (self.state.get() == State::Ready || self.stepper.start_position().is_some())
        {
            // Until PLAY has been answered, a later seek replaces an earlier one.
            self.stepper.set_start_position(position);
        } else if self.seeking.get() {
            self.next_seek.set(Some(position));
        } else {
            self.ended.set(false);
            self.start_seek(position);
        }
    }

    pub fn start_seek(&self, position: gst::ClockTime) {
        let Some(playbin) = self.playbin() else { return };
        let rate = self.rate.get().0;
        let mut flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        if rate > TRICK_MODE_RATE {
            flags |= gst::SeekFlags::TRICKMODE;
        }
        let none = gst::ClockTime::NONE;
        let (set, keep) = (gst::SeekType::Set, gst::SeekType::None);
        self.sought.set(Some(position));
        let accepted = playbin.seek(rate, flags, set, Some(position), keep, none);
        self.seeking.set(accepted.is_ok());
    }

    /// Continues to play from `position` at `rate`.
    pub fn set_rate(&self, rate: f64, position: gst::ClockTime) {
        self.rate.set(PlaybackRate(rate));
        self.seek(position);
    }
}

/// The position of the frame that a sink shows, if the sink keeps it.
fn shown_position(sink: &gst::Element) -> Option<gst::ClockTime> {
    let bin = sink.downcast_ref::<gst::Bin>();
    // autovideosink is a bin around the sink that shows the pictures.
    let inner = bin.and_then(|bin| bin.iterate_sinks().into_iter().flatten().next());
    if let Some(inner) = inner {
        return shown_position(&inner);
    }
    sink.find_property("last-sample")?;
    let sample = sink.property::<Option<gst::Sample>>("last-sample")?;
    let buffer = sample.buffer()?;
    let by_time = || {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        segment.to_stream_time(buffer.pts())
    };
    movie_position::of(buffer).or_else(by_time)
}

/// The type and code of a PROGRESS message. [`gst::message::Progress::get`] also reads the text,
/// and crashes if it is missing. GStreamer leaves it out if a peer's bytes in it are not UTF-8.
fn progress_of(message: &gst::MessageRef) -> Option<(gst::ProgressType, &str)> {
    let structure =
        message.structure().filter(|_| message.type_() == gst::MessageType::Progress)?;
    Some((structure.get("type").ok()?, structure.get("code").ok()?))
}
