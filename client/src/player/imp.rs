// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player's object: gives inputs to the state machine, and carries out its effects.

use super::border::{self, Border, Borders};
use super::connections::Connections;
use super::endless;
use super::exchange::Exchange;
use super::failure::Failure;
use super::http_movies;
use super::images;
use super::keep_alive;
use super::machine::{Effect, Input, Machine, Pipeline, Reconnect, Target};
use super::pipeline::progress_of;
use super::progress::Progress;
use super::recorder::Recorder;
use super::sink_probe::SinkProbe;
use super::sources::{self, CertificateErrors, Protocol};
use super::statistics::{Collector, Statistics};
use super::{Command, Options, State};
use glib::prelude::*;
use glib::subclass::Signal;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gstmjpegfile::movie_position;
use mjpeg_program::border::{Panicked, guarded};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Above this rate the decoder may skip frames.
const TRICK_MODE_RATE: f64 = 2.0;

/// Interval of [`Input::Tick`]: the pipeline may settle after its last message.
const TICK: Duration = Duration::from_millis(50);

type ExchangeListener = Rc<dyn Fn(&Exchange)>;

#[derive(Default)]
pub struct Player {
    machine: RefCell<Machine>,
    playbin: OnceCell<gst::Element>,
    bus_watch: OnceCell<gst::bus::BusWatchGuard>,
    protocol: Cell<Protocol>,
    /// The element that shows the pictures.
    sink: glib::WeakRef<gst::Element>,
    sink_probe: SinkProbe,
    exchange_listeners: RefCell<Vec<ExchangeListener>>,
    /// How far the exchange with the server has got.
    pub(super) progress: RefCell<Progress>,
    certificate_errors: Arc<CertificateErrors>,
    timeout: Cell<Duration>,
    /// A lost session is opened again.
    reconnect: Cell<bool>,
    /// Number of commands that have been started.
    commands: Cell<u64>,
    /// Sends [`Input::Tick`].
    ticking: Cell<bool>,
    /// The failure that is being reported.
    failure: RefCell<Option<Failure>>,
    /// The thread that stops the pipeline, if that takes long: disconnects at its end.
    pub(super) closing: RefCell<Option<Receiver<()>>>,
    collector: Arc<Collector>,
    recorder: Arc<Recorder>,
    borders: Borders,
    property_border: OnceCell<Border>,
    /// A panic is ending the session.
    ending_after_panic: Cell<bool>,
}

#[glib::object_subclass]
impl ObjectSubclass for Player {
    const NAME: &'static str = "MjpegRtspPlayer";
    type Type = super::Player;
}

impl ObjectImpl for Player {
    fn signals() -> &'static [Signal] {
        static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
            let action = |command: Command| {
                Signal::builder(command.signal_name())
                    .run_last()
                    .action()
                    .class_handler(move |values| {
                        let player = values.first()?.get::<super::Player>().ok()?;
                        let apply = || player.imp().apply(Input::Command(command));
                        player.guarded("player-command", apply);
                        None
                    })
                    .build()
            };
            let failure = Failure::static_type();
            let mut signals = Vec::from(Command::ALL.map(action));
            signals.extend([
                Signal::builder("error").param_types([failure]).build(),
                Signal::builder("reconnecting")
                    .param_types([failure, u32::static_type(), u64::static_type()])
                    .build(),
                Signal::builder("refused").param_types([String::static_type()]).build(),
                Signal::builder("end-of-movie").build(),
            ]);
            signals
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
        self.obj().run(border, || value = self.state().to_value());
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
        self.machine.replace(Machine::new(self.protocol.get() != Protocol::None));
        self.timeout.set(options.timeout);
        self.reconnect.set(options.reconnect);
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
            self.capture_exchange(&bus);
            self.obj().on_message(&bus, |player, message| player.imp().on_bus_message(message)).ok()
        });
        // Called once, so the cells are empty.
        let _ = self.playbin.set(playbin);
        if let Some(watch) = watch {
            let _ = self.bus_watch.set(watch);
        }
    }

    /// Adds the steps of the exchange to the capture, when they are posted.
    fn capture_exchange(&self, bus: &gst::Bus) {
        let capture = self.collector.capture().clone();
        let connections = self.collector.connections().clone();
        self.borders.on_posted(bus, "exchange", move |message| {
            // rtspsrc posts this in the thread that connects next.
            if progress_of(message) == Some((gst::ProgressType::Continue, "connect")) {
                Connections::claim_thread(&connections);
            }
            let structure =
                message.structure().filter(|_| message.type_() == gst::MessageType::Element);
            let Some(structure) = structure else { return };
            let address = |name| structure.get::<&str>(name).ok()?.parse().ok();
            if let Some(source) = address("from") {
                capture.set_source(source);
            }
            if let Some(addresses) = address("client").zip(address("server")) {
                capture.set_connection(addresses);
            }
            let Some(exchange) = Exchange::from_structure(structure) else { return };
            if matches!(exchange, Exchange::RtspReply { .. })
                && !capture.knows_connection()
                && let Some(addresses) = connections.addresses()
            {
                capture.set_connection(addresses);
            }
            capture.push_exchange(Instant::now(), &exchange);
        });
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
            collector.frame_shown();
        });
        let bus = self.playbin().and_then(gst::Element::bus);
        self.sink_probe.watch(&pad, bus, &self.borders);
    }

    /// See [`super::Player::position`].
    pub fn position(&self) -> Option<gst::ClockTime> {
        let (start, sought) = {
            let machine = self.machine.borrow();
            (machine.start_position().map(clock_time), machine.seek_target().map(clock_time))
        };
        let shown = || self.sink.upgrade().and_then(|sink| shown_position(&sink));
        let asked = || self.playbin()?.query_position();
        // A seek removes the frame on screen until the next one arrives.
        start.or_else(shown).or(sought).or_else(asked)
    }

    pub(crate) fn borders(&self) -> &Borders {
        &self.borders
    }

    pub fn state(&self) -> State {
        self.machine.borrow().state()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    pub fn pending(&self) -> Option<Command> {
        self.machine.borrow().pending()
    }

    pub(super) fn machine(&self) -> std::cell::Ref<'_, Machine> {
        self.machine.borrow()
    }

    pub(super) fn collector(&self) -> &Arc<Collector> {
        &self.collector
    }

    pub(super) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Passes an input to the machine, and carries out its effects.
    pub(super) fn apply(&self, input: Input) {
        let pipeline = self.pipeline();
        let effects = self.machine.borrow_mut().handle(input, pipeline);
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::StartSession => {
                self.borders.start_session();
                self.collector.reset();
                self.start_exchange();
            }
            Effect::ContinueSession => {
                self.borders.start_session();
                self.collector.restart_numbers();
                self.start_exchange();
            }
            Effect::AwaitAnswer => self.await_answer(),
            Effect::Change(Target::Paused) => self.change_state(gst::State::Paused),
            Effect::Change(Target::Playing) => self.change_state(gst::State::Playing),
            Effect::Reopen => self.end_source_session(),
            Effect::Close => {
                self.close_pipeline();
                self.apply(Input::Closed);
            }
            Effect::Seek { position, rate } => self.send_seek(clock_time(position), rate),
            Effect::Frames(frames) => self.sink_probe.treat(frames),
            Effect::CountPause => self.collector.pause(),
            Effect::Watch => self.tick_until_idle(),
            Effect::ReportState => self.obj().notify("state"),
            Effect::Refuse(reason) => self.obj().emit_by_name::<()>("refused", &[&reason]),
            Effect::ReportEnd => self.obj().emit_by_name::<()>("end-of-movie", &[]),
            Effect::ReportFailure => {
                if let Some(failure) = self.failure.take() {
                    self.obj().emit_by_name::<()>("error", &[&failure]);
                }
            }
            Effect::RetryAfter { attempt, wait } => {
                let Some(failure) = self.failure.take() else { return };
                let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let values: [&dyn ToValue; 3] = [&failure, &attempt, &milliseconds];
                self.obj().emit_by_name::<()>("reconnecting", &values);
                self.obj().after(wait, "reconnect", |player| player.imp().apply(Input::Retry));
            }
        }
    }

    fn start_exchange(&self) {
        // rtspsrc still has the connections of a session that is not closed yet.
        if !self.is_closing() {
            self.collector.connections().start_session();
        }
        self.progress.borrow_mut().start();
        self.certificate_errors.set(gio::TlsCertificateFlags::empty());
    }

    /// What the pipeline has reached.
    fn pipeline(&self) -> Pipeline {
        let Some(playbin) = self.playbin() else { return Pipeline::default() };
        let (_, current, pending) = playbin.state(gst::ClockTime::ZERO);
        let settled = pending == gst::State::VoidPending;
        Pipeline {
            plays: settled && current == gst::State::Playing,
            is_paused: settled && current == gst::State::Paused,
        }
    }

    /// Starts a task that sends [`Input::Tick`] until the machine is idle.
    fn tick_until_idle(&self) {
        if self.ticking.replace(true) {
            return;
        }
        self.obj().every(TICK, "player-tick", |player| {
            let player = player.imp();
            // Also after a panic in the tick the next task is started.
            player.ticking.set(false);
            player.apply(Input::Tick);
            let goes_on = player.machine.borrow().is_busy() && !player.ticking.replace(true);
            if goes_on { glib::ControlFlow::Continue } else { glib::ControlFlow::Break }
        });
    }

    pub fn connect_exchange(&self, listener: ExchangeListener) {
        self.exchange_listeners.borrow_mut().push(listener);
    }

    /// Calls the listeners, if `message` reports a step of the exchange.
    pub(super) fn emit_exchange(&self, message: &gst::MessageRef) {
        let Some(exchange) = message.structure().and_then(Exchange::from_structure) else { return };
        let is_keep_alive = message.structure().is_some_and(keep_alive::is_report);
        if !is_keep_alive {
            self.progress.borrow_mut().update(&exchange);
        }
        self.report(&exchange);
    }

    /// Calls the listeners.
    pub(super) fn report(&self, exchange: &Exchange) {
        let listeners = self.exchange_listeners.borrow().clone();
        for listener in listeners {
            listener(exchange);
        }
    }

    /// Fails if the server does not answer the pending command in time.
    fn await_answer(&self) {
        self.commands.set(self.commands.get() + 1);
        endless::watch_command(&self.obj());
        if self.protocol.get() == Protocol::Rtsp {
            // labrtspsrc has this timeout itself, rtspsrc one for each of its requests.
            let number = self.commands.get();
            self.obj().after(self.timeout.get(), "answer-timeout", move |player| {
                let player = player.imp();
                if player.commands.get() == number && player.pending().is_some() {
                    player.fail(player.silence(player.timeout.get()));
                }
            });
        }
    }

    /// The failure that an error message of the bus reports.
    pub(super) fn failure_of(&self, message: &gst::message::Error) -> Failure {
        let certificate = self.certificate_errors.get();
        let explained = self.progress.borrow().explain(message, certificate);
        explained.unwrap_or_else(|| Failure::from_message(message))
    }

    /// The failure that a server's silence for `limit` is.
    pub fn silence(&self, limit: Duration) -> Failure {
        let has_packets = self.statistics().received > 0;
        self.progress.borrow().silence(limit, has_packets)
    }

    /// Ends the session.
    pub(super) fn fail(&self, failure: Failure) {
        let reconnect = if self.reconnect.get()
            && failure.kind.may_pass(self.machine().reconnects())
        {
            let seekable = self.obj().seekable() == Some(true) && self.obj().duration().is_some();
            Reconnect::From(self.position().filter(|_| seekable).map(Duration::from))
        } else {
            Reconnect::No
        };
        self.failure.replace(Some(failure));
        self.apply(Input::Failed(reconnect));
    }

    /// Whether a session that has failed is opened again.
    pub(super) fn reconnects(&self) -> bool {
        self.reconnect.get()
    }

    /// See [`super::Player::set_reconnect`].
    pub fn set_reconnect(&self, reconnect: bool) {
        self.reconnect.set(reconnect);
    }

    /// Ends the session after a panic.
    pub fn end_after_panic(&self, panicked: Panicked) {
        // A panic while the session ends is only logged.
        if !self.ending_after_panic.replace(true) {
            let _ = guarded("player-end", || self.fail(border::failure(panicked)));
            self.ending_after_panic.set(false);
        }
    }

    fn send_seek(&self, position: gst::ClockTime, rate: f64) {
        let Some(playbin) = self.playbin() else { return };
        let mut flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        if rate > TRICK_MODE_RATE {
            flags |= gst::SeekFlags::TRICKMODE;
        }
        let none = gst::ClockTime::NONE;
        let (set, keep) = (gst::SeekType::Set, gst::SeekType::None);
        if playbin.seek(rate, flags, set, Some(position), keep, none).is_err() {
            self.apply(Input::SeekRefused);
        }
    }

    /// See [`super::Player::set_section`].
    pub fn set_section(&self, section: Option<(Duration, Duration)>) {
        self.sink_probe.set_section_end(section.map(|(_, end)| end));
        self.apply(Input::SetSection(section));
    }
}

/// Nanoseconds as GStreamer counts them.
pub(super) fn clock_time(time: Duration) -> gst::ClockTime {
    gst::ClockTime::try_from(time).unwrap_or(gst::ClockTime::MAX)
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
