// SPDX-License-Identifier: MIT OR Apache-2.0

use super::border::{self, Border, Borders};
use super::exchange::Exchange;
use super::failure::{Failure, FailureKind};
use super::recorder::Recorder;
use super::sources::{self, Protocol};
use super::statistics::{Collector, Statistics};
use super::stepping::{self, Stepper};
use super::{Command, Options, State};
use glib::prelude::*;
use glib::subclass::Signal;
use glib::subclass::prelude::*;
use gst::prelude::*;
use mjpeg_program::border::{Panicked, guarded};
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Above this rate frames may be left out.
const TRICK_MODE: f64 = 2.0;

/// How long TEARDOWN may wait for its answer.
const TEARDOWN: gst::ClockTime = gst::ClockTime::from_mseconds(500);

type OnExchange = Box<dyn Fn(&Exchange)>;

#[derive(Default)]
pub struct Player {
    playbin: OnceCell<gst::Element>,
    watch: OnceCell<gst::bus::BusWatchGuard>,
    protocol: Cell<Protocol>,
    state: Cell<State>,
    pending: Cell<Option<Command>>,
    /// The movie has ended: the next play starts from the first frame.
    ended: Cell<bool>,
    seeking: Cell<bool>,
    next_seek: Cell<Option<gst::ClockTime>>,
    latency: Cell<u32>,
    rate: Cell<Rate>,
    stepper: Stepper,
    on_exchange: RefCell<Vec<OnExchange>>,
    collector: Arc<Collector>,
    recorder: Arc<Recorder>,
    borders: Borders,
    property: OnceCell<Border>,
    /// A panic is ending the session.
    panicked: Cell<bool>,
}

/// How fast it plays.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate(f64);

impl Default for Rate {
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
                glib::ParamSpecInt64::builder("position").minimum(-1).read_only().build(),
                glib::ParamSpecInt64::builder("duration").minimum(-1).read_only().build(),
                glib::ParamSpecUInt::builder("latency").default_value(200).build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("statistics").read_only().build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
        self.at_property(|| self.latency.set(value.get().unwrap_or_default()));
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let mut value = pspec.default_value().clone();
        self.at_property(|| value = self.value_of(pspec));
        value
    }

    fn dispose(&self) {
        let _ = guarded("player-dispose", || {
            if let Some(playbin) = self.playbin.get() {
                let _ = playbin.set_state(gst::State::Null);
            }
        });
    }
}

impl Player {
    fn at_property(&self, work: impl FnOnce()) {
        let border = self.property.get_or_init(|| self.borders.border("player-property"));
        self.obj().run(border, work);
    }

    fn value_of(&self, pspec: &glib::ParamSpec) -> glib::Value {
        let nanoseconds = |time: Option<gst::ClockTime>| {
            time.and_then(|time| i64::try_from(time.nseconds()).ok()).unwrap_or(-1)
        };
        match pspec.name() {
            "state" => self.state.get().to_value(),
            "position" => nanoseconds(self.obj().position()).to_value(),
            "duration" => nanoseconds(self.obj().duration()).to_value(),
            "latency" => self.latency.get().to_value(),
            _ => {
                let statistics = self.statistics();
                gst::Structure::builder("statistics")
                    .field("frames", statistics.frames)
                    .field("received", statistics.received)
                    .field("lost", statistics.lost)
                    .field("loss-ratio", statistics.loss_ratio())
                    .field("jitter", statistics.jitter)
                    .field("bytes", statistics.bytes)
                    .field("bits-per-second", statistics.bits_per_second)
                    .build()
                    .to_value()
            }
        }
    }

    /// Builds the playbin; once.
    pub fn open(&self, uri: &str, options: &Options) {
        self.protocol.set(Protocol::of(uri));
        let Ok(playbin) = gst::ElementFactory::make("playbin").property("uri", uri).build() else {
            return;
        };
        let (options, collector, borders) =
            (*options, self.collector.clone(), self.borders.clone());
        self.borders.on_signal(&playbin, "source-setup", "source-setup", move |values| {
            let source = values.get(1)?.get::<gst::Element>().ok()?;
            sources::set_up(&source, &options, &collector, &borders);
            None
        });
        let (recorder, collector) = (self.recorder.clone(), self.collector.clone());
        let borders = self.borders.clone();
        self.borders.on_signal(&playbin, "deep-element-added", "element-added", move |values| {
            let element = values.get(2)?.get::<gst::Element>().ok()?;
            Recorder::watch(&recorder, &collector, &borders, &element);
            None
        });
        let watch = playbin.bus().and_then(|bus| {
            self.borders.set_bus(bus.clone());
            self.obj().on_message(&bus, |player, message| player.imp().message(message)).ok()
        });
        // Called once, so the cells are empty.
        let _ = self.playbin.set(playbin);
        if let Some(watch) = watch {
            let _ = self.watch.set(watch);
        }
    }

    pub fn playbin(&self) -> Option<&gst::Element> {
        self.playbin.get()
    }

    pub fn statistics(&self) -> Statistics {
        self.collector.read()
    }

    pub fn set_video_sink(&self, sink: &gst::Element) {
        if let Some(playbin) = self.playbin() {
            playbin.set_property("video-sink", sink);
        }
        let Some(pad) = sink.static_pad("sink") else { return };
        let collector = self.collector.clone();
        self.borders.on_pad(&pad, gst::PadProbeType::BUFFER, "shown-frames", move |_| {
            collector.frames.fetch_add(1, Ordering::Relaxed);
        });
        self.stepper.watch(&pad, self.playbin().and_then(gst::Element::bus), &self.borders);
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
        if self.allowed("setup", State::Init) {
            self.borders.start_session();
            self.collector.reset();
            self.rate.set(Rate::default());
            self.start(Command::Setup, gst::State::Paused);
        }
    }

    fn play(&self) {
        if self.allowed("play", State::Ready) {
            self.start_playing();
        }
    }

    /// Asks for frames; anew, if the movie has ended.
    pub fn start_playing(&self) {
        self.stepper.release();
        self.look_after();
        if self.ended.replace(false)
            && let Some(playbin) = self.playbin()
        {
            // rtspsrc 1.22 has ended for good at the end of a stream: a seek would only bring the
            // end again. So the session is set up anew, and plays from the first frame.
            let _ = playbin.set_state(gst::State::Ready);
            self.tell_exchange();
            let _ = playbin.set_state(gst::State::Null);
            self.rate.set(Rate::default());
        }
        self.start(Command::Play, gst::State::Playing);
    }

    pub fn pause(&self) {
        if self.allowed("pause", State::Playing) {
            self.seeking.set(false);
            self.collector.pause();
            self.stepper.cancel();
            self.start(Command::Pause, gst::State::Paused);
        }
    }

    fn teardown(&self) {
        if self.state.get() == State::Init && self.pending.get().is_none() {
            return;
        }
        self.close();
    }

    /// Ends the session: TEARDOWN, and its answer, but not for ever.
    fn close(&self) {
        self.pending.set(None);
        self.seeking.set(false);
        self.next_seek.set(None);
        self.ended.set(false);
        self.stepper.reset();
        if let Some(playbin) = self.playbin() {
            let _ = playbin.set_state(gst::State::Ready);
            self.tell_exchange();
            if let Some(bus) = playbin.bus().filter(|_| self.protocol.get() == Protocol::Rtsp) {
                let end = std::time::Instant::now() + Duration::from(TEARDOWN);
                while let Some(message) = bus.timed_pop_filtered(
                    TEARDOWN,
                    &[gst::MessageType::Progress, gst::MessageType::Element],
                ) {
                    if let Some(exchange) = message.structure().and_then(Exchange::of) {
                        self.emit_exchange(&exchange);
                    }
                    let Some((kind, code)) = progress_of(&message) else { continue };
                    let ended =
                        kind != gst::ProgressType::Start && kind != gst::ProgressType::Continue;
                    if (code == "close" && ended) || std::time::Instant::now() > end {
                        break;
                    }
                }
            }
            let _ = playbin.set_state(gst::State::Null);
        }
        self.set_state(State::Init);
    }

    pub fn connect_exchange(&self, f: OnExchange) {
        self.on_exchange.borrow_mut().push(f);
    }

    fn emit_exchange(&self, exchange: &Exchange) {
        for f in self.on_exchange.borrow().iter() {
            f(exchange);
        }
    }

    /// Tells what was exchanged while the source went to READY; the bus forgets it after that.
    fn tell_exchange(&self) {
        let Some(bus) = self.playbin().and_then(gst::Element::bus) else { return };
        if !self.protocol.get().tells_progress() {
            return;
        }
        while let Some(message) = bus.pop_filtered(&[gst::MessageType::Element]) {
            if let Some(exchange) = message.structure().and_then(Exchange::of) {
                self.emit_exchange(&exchange);
            }
        }
    }

    fn allowed(&self, command: &str, from: State) -> bool {
        let state = self.state.get();
        let why = match self.pending.get() {
            Some(pending) => {
                format!("{command}: {pending:?} is still waiting for the server's answer")
            }
            None if state == from => return true,
            None => format!("{command} needs {}, the state is {}", from.name(), state.name()),
        };
        self.obj().emit_by_name::<()>("refused", &[&why]);
        false
    }

    pub fn start(&self, pending: Command, target: gst::State) {
        self.pending.set(Some(pending));
        let Some(playbin) = self.playbin() else { return };
        if playbin.set_state(target).is_err() {
            // The reason is on the bus, if there is one.
            let message =
                playbin.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
            let failure = match message.as_ref().map(|message| message.view()) {
                Some(gst::MessageView::Error(error)) => Failure::of(error),
                _ => Failure::new(FailureKind::Other, "the source cannot be opened"),
            };
            self.fail(&failure);
        }
    }

    fn fail(&self, failure: &Failure) {
        self.close();
        self.obj().emit_by_name::<()>("error", &[failure]);
    }

    /// Ends the session after a panic.
    pub fn panicked(&self, panicked: Panicked) {
        // What panics while the session ends is in the log.
        if !self.panicked.replace(true) {
            let _ = guarded("player-end", || self.fail(&border::failure(panicked)));
            self.panicked.set(false);
        }
    }

    fn set_state(&self, state: State) {
        if self.state.replace(state) != state {
            self.obj().notify("state");
        }
    }

    /// The answer to the pending command has come.
    fn answered(&self) {
        if let Some(pending) = self.pending.take() {
            self.set_state(pending.leads_to());
        }
    }

    fn message(&self, message: &gst::Message) {
        self.take_in(message);
        self.advance();
    }

    fn take_in(&self, message: &gst::Message) {
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
                        self.answered();
                    }
                }
            }
            MessageView::StateChanged(changed) if !self.protocol.get().tells_progress() => {
                let ours = self.playbin().is_some_and(|p| message.src() == Some(p.upcast_ref()));
                let there = match self.pending.get() {
                    Some(Command::Play) => changed.current() == gst::State::Playing,
                    Some(_) => changed.current() == gst::State::Paused,
                    None => false,
                };
                if ours && there {
                    self.answered();
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
                self.stepper.cancel();
                self.ended.set(true);
                if let Some(playbin) = self.playbin() {
                    let _ = playbin.set_state(gst::State::Paused);
                }
                self.set_state(State::Ready);
                self.obj().emit_by_name::<()>("end-of-movie", &[]);
            }
            // rtspsrc warns of a closed connection, then ends the stream as if it were over.
            MessageView::Warning(warning)
                if warning.error().matches(gst::ResourceError::Read)
                    && self.protocol.get() == Protocol::Rtsp =>
            {
                let text = "the connection to the server was lost";
                self.fail(&Failure::new(FailureKind::Lost, text));
            }
            MessageView::Element(element) => {
                if let Some(exchange) = element.structure().and_then(Exchange::of) {
                    self.emit_exchange(&exchange);
                }
            }
            MessageView::Application(application)
                if application.structure().is_some_and(|it| it.name() == stepping::SHOWN) =>
            {
                self.shown();
            }
            MessageView::Error(error) => self.fail(&Failure::of(error)),
            _ => {}
        }
    }

    pub fn seek(&self, position: gst::ClockTime) {
        if self.state.get() == State::Init {
            let why = "seek needs READY or PLAYING, the state is INIT".to_owned();
            self.obj().emit_by_name::<()>("refused", &[&why]);
        } else if self.protocol.get() != Protocol::None
            && (self.state.get() == State::Ready || self.stepper.place().is_some())
        {
            // The last one counts, also of those that wait for PLAY's answer.
            self.stepper.set_place(position);
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
        if rate > TRICK_MODE {
            flags |= gst::SeekFlags::TRICKMODE;
        }
        let none = gst::ClockTime::NONE;
        let (set, keep) = (gst::SeekType::Set, gst::SeekType::None);
        let sought = playbin.seek(rate, flags, set, Some(position), keep, none);
        self.seeking.set(sought.is_ok());
    }

    /// Plays on at `rate`, from where it is.
    pub fn set_rate(&self, rate: f64, position: gst::ClockTime) {
        self.rate.set(Rate(rate));
        self.seek(position);
    }
}

/// The type and code of a PROGRESS message. [`gst::message::Progress::get`] also reads the text,
/// which is missing if a peer's bytes in it are not UTF-8, and crashes then.
fn progress_of(message: &gst::MessageRef) -> Option<(gst::ProgressType, &str)> {
    let structure =
        message.structure().filter(|_| message.type_() == gst::MessageType::Progress)?;
    Some((structure.get("type").ok()?, structure.get("code").ok()?))
}
