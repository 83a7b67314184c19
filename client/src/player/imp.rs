// SPDX-License-Identifier: MIT OR Apache-2.0

use super::exchange::Exchange;
use super::statistics::{Collector, Statistics};
use super::{Options, State};
use glib::prelude::*;
use glib::subclass::Signal;
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// How long TEARDOWN may wait for its answer.
const TEARDOWN: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// A command whose answer has not come yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Setup,
    Play,
    Pause,
}

impl Pending {
    fn leads_to(self) -> State {
        match self {
            Self::Setup | Self::Pause => State::Ready,
            Self::Play => State::Playing,
        }
    }
}

/// What the source speaks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Rtsp,
    Lab,
    /// None: a file, or what else GStreamer plays.
    #[default]
    None,
}

impl Protocol {
    fn of(uri: &str) -> Self {
        match uri.split(':').next() {
            Some(gstmjpegfile::labrtspsrc::SCHEME) => Self::Lab,
            Some(scheme) if scheme.starts_with("rtsp") => Self::Rtsp,
            _ => Self::None,
        }
    }

    /// The source tells of each answer by a PROGRESS message.
    fn tells_progress(self) -> bool {
        self != Self::None
    }
}

type OnExchange = Box<dyn Fn(&Exchange)>;

#[derive(Default)]
pub struct Player {
    playbin: OnceCell<gst::Element>,
    watch: OnceCell<gst::bus::BusWatchGuard>,
    protocol: Cell<Protocol>,
    state: Cell<State>,
    pending: Cell<Option<Pending>>,
    /// The movie has ended: the next play starts from the first frame.
    ended: Cell<bool>,
    seeking: Cell<bool>,
    next_seek: Cell<Option<gst::ClockTime>>,
    latency: Cell<u32>,
    on_exchange: RefCell<Vec<OnExchange>>,
    collector: Arc<Collector>,
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
                        if let Some(player) =
                            values.first().and_then(|v| v.get::<super::Player>().ok())
                        {
                            handler(player.imp());
                        }
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
                text("error"),
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
        self.latency.set(value.get().unwrap_or_default());
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
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

    fn dispose(&self) {
        if let Some(playbin) = self.playbin.get() {
            let _ = playbin.set_state(gst::State::Null);
        }
    }
}

impl Player {
    /// Builds the playbin; once.
    pub fn open(&self, uri: &str, options: &Options) {
        self.protocol.set(Protocol::of(uri));
        let Ok(playbin) = gst::ElementFactory::make("playbin").property("uri", uri).build() else {
            return;
        };
        let (options, collector) = (*options, self.collector.clone());
        playbin.connect("source-setup", false, move |values| {
            let source = values.get(1)?.get::<gst::Element>().ok()?;
            match source.factory()?.name().as_str() {
                "rtspsrc" => set_up_rtsp(&source, &options, &collector),
                "labrtspsrc" => {
                    source.set_property("latency", options.latency);
                    source.set_property("dialect", options.dialect);
                    let timeout = u32::try_from(options.timeout.as_millis());
                    source.set_property("timeout", timeout.unwrap_or(u32::MAX).max(1));
                    collector.watch_lab(&source);
                }
                _ => {}
            }
            None
        });
        let weak = self.obj().downgrade();
        let watch = playbin.bus().and_then(|bus| {
            bus.add_watch_local(move |_, message| {
                if let Some(player) = weak.upgrade() {
                    player.imp().message(message);
                }
                glib::ControlFlow::Continue
            })
            .ok()
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
        if let Some(pad) = sink.static_pad("sink") {
            let collector = self.collector.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                collector.frames.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
    }

    fn setup(&self) {
        if self.allowed("setup", State::Init) {
            self.collector.reset();
            self.start(Pending::Setup, gst::State::Paused);
        }
    }

    fn play(&self) {
        if !self.allowed("play", State::Ready) {
            return;
        }
        if self.ended.replace(false)
            && let Some(playbin) = self.playbin()
        {
            // rtspsrc 1.22 has ended for good at the end of a stream: a seek would only bring the
            // end again. So the session is set up anew, and plays from the first frame.
            let _ = playbin.set_state(gst::State::Ready);
            self.tell_exchange();
            let _ = playbin.set_state(gst::State::Null);
        }
        self.start(Pending::Play, gst::State::Playing);
    }

    fn pause(&self) {
        if self.allowed("pause", State::Playing) {
            self.start(Pending::Pause, gst::State::Paused);
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
        if let Some(playbin) = self.playbin() {
            let _ = playbin.set_state(gst::State::Ready);
            self.tell_exchange();
            if let Some(bus) = playbin.bus().filter(|_| self.protocol.get() == Protocol::Rtsp) {
                let end = std::time::Instant::now() + Duration::from(TEARDOWN);
                while let Some(message) =
                    bus.timed_pop_filtered(TEARDOWN, &[gst::MessageType::Progress])
                {
                    let gst::MessageView::Progress(progress) = message.view() else { break };
                    let (kind, code, _) = progress.get();
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
        if self.protocol.get() != Protocol::Lab {
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

    fn start(&self, pending: Pending, target: gst::State) {
        self.pending.set(Some(pending));
        let Some(playbin) = self.playbin() else { return };
        if playbin.set_state(target).is_err() {
            // The reason is on the bus, if there is one.
            let text = playbin
                .bus()
                .and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]))
                .map_or_else(|| "the source cannot be opened".to_owned(), |m| error_text(&m));
            self.fail(&text);
        }
    }

    fn fail(&self, text: &str) {
        self.close();
        self.obj().emit_by_name::<()>("error", &[&text]);
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
        use gst::MessageView;
        match message.view() {
            MessageView::Progress(progress) => {
                let (kind, code, _) = progress.get();
                if kind == gst::ProgressType::Complete {
                    let awaited = match self.pending.get() {
                        Some(Pending::Setup) => code == "open",
                        Some(Pending::Play | Pending::Pause) => code == "request",
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
                    Some(Pending::Play) => changed.current() == gst::State::Playing,
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
                self.fail("the connection to the server was lost");
            }
            MessageView::Element(element) => {
                if let Some(exchange) = element.structure().and_then(Exchange::of) {
                    self.emit_exchange(&exchange);
                }
            }
            MessageView::Error(_) => self.fail(&error_text(message)),
            _ => {}
        }
    }

    pub fn seek(&self, position: gst::ClockTime) {
        if self.state.get() == State::Init {
            let why = "seek needs READY or PLAYING, the state is INIT".to_owned();
            self.obj().emit_by_name::<()>("refused", &[&why]);
        } else if self.seeking.get() {
            self.next_seek.set(Some(position));
        } else {
            self.ended.set(false);
            self.start_seek(position);
        }
    }

    fn start_seek(&self, position: gst::ClockTime) {
        let Some(playbin) = self.playbin() else { return };
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        self.seeking.set(playbin.seek_simple(flags, position).is_ok());
    }
}

fn set_up_rtsp(source: &gst::Element, options: &Options, collector: &Arc<Collector>) {
    source.set_property("latency", options.latency);
    source.set_property_from_str("protocols", options.transport.protocols());
    // Buffering by watermarks, which "auto" takes for movies, would stop and start.
    source.set_property_from_str("buffer-mode", "slave");
    let collector = collector.clone();
    source.connect("new-manager", false, move |values| {
        let manager = values.get(1)?.get::<gst::Element>().ok()?;
        let collector = collector.clone();
        manager.connect("new-jitterbuffer", false, move |values| {
            Collector::watch(&collector, &values.get(1)?.get::<gst::Element>().ok()?);
            None
        });
        None
    });
}

/// What happened, as one line for a person.
fn error_text(message: &gst::Message) -> String {
    let gst::MessageView::Error(error) = message.view() else { return "unknown error".to_owned() };
    let debug = error.debug().unwrap_or_default();
    // Behind the first line, which is a place in a source file, stands the server's or system's
    // own word.
    let detail = debug.lines().skip(1).last().unwrap_or_default().trim();
    let text = error.error().to_string();
    if detail.is_empty() || detail.starts_with('.') || detail.contains("gst_") {
        text
    } else {
        format!("{} ({detail})", text.trim_end_matches('.'))
    }
}
