// SPDX-License-Identifier: MIT OR Apache-2.0
//! A player on a thread of its own, for front ends that must not wait for servers.

use super::border;
use super::history::{self, History};
use super::length::LengthProbe;
use super::{
    Capture, Command, Failure, FailureKind, LatestPicture, NewPlayerError, Options, Packet, Player,
    ProtocolLog,
};
use super::{Protocol, Recording, State, Statistics, lock};
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use mjpeg_program::border::{Panicked, guarded};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Time without a packet, while playing, after which the stream counts as silent.
pub const SILENCE: Duration = Duration::from_secs(3);

/// Something that happened, for the front end to show. A status that is read after the event includes
/// its effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A failure ended the stream.
    Failed(Failure),
    /// A command was refused in the current state, for this reason.
    Refused(String),
    /// The movie has ended.
    EndOfMovie,
    /// A recording has ended.
    Recorded(Recording),
    /// A message for the user.
    Note(String),
}

/// The player's status as a front end shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// The source that is open; empty before the first one.
    pub source: String,
    /// Protocol of the source.
    pub protocol: Protocol,
    /// The lab's state.
    pub state: State,
    /// The command that waits for its answer.
    pub pending: Option<Command>,
    /// Length of the movie, if the source states it.
    pub duration: Option<Duration>,
    /// Number of frames in the movie, if the source states it.
    pub frames: Option<u64>,
    /// Whether the source is seekable; `None` while this is unknown.
    pub seekable: Option<bool>,
    /// Playback rate; 1 is normal speed.
    pub rate: f64,
    /// Counts of what was received, shown and lost.
    pub statistics: Statistics,
    /// The last packet that arrived.
    pub last_packet: Option<Packet>,
    /// The recording in progress.
    pub recording: Option<Recording>,
    /// No packet has arrived for longer than [`SILENCE`].
    pub silent: bool,
    /// Whether the movie is played again and again.
    pub repeat: bool,
    /// The section that is played again and again.
    pub section: Option<(Duration, Duration)>,
    /// The attempt to open a lost session again, while it is due or under way.
    pub reconnection: Option<Reconnection>,
}

/// An attempt to open a lost session again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnection {
    /// Why the session, or the last attempt, failed.
    pub failure: Failure,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// When it starts.
    pub due: Instant,
}

/// Shared by the engine's thread and the front end.
struct Shared {
    status: Mutex<Status>,
    history: Mutex<History>,
    capture: Mutex<Arc<Capture>>,
    picture: Arc<LatestPicture>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A message from the front end to the engine's thread.
enum EngineMessage {
    Open {
        source: String,
        options: Options,
        play: bool,
        record: bool,
    },
    Command(Command),
    /// Play, after a setup if one is needed.
    SetUpAndPlay,
    Seek(Duration),
    Rate {
        rate: f64,
        position: Duration,
    },
    Repeat(bool),
    Section(Option<(Duration, Duration)>),
    Reconnect(bool),
    Record(PathBuf),
    StopRecording,
    Quit,
}

/// The thread and the channels to it. When dropped, it tears the session down and waits for the
/// thread.
#[derive(Debug)]
pub struct Engine {
    messages: UnboundedSender<EngineMessage>,
    thread: Option<std::thread::JoinHandle<()>>,
    shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
}

impl Engine {
    /// Starts the thread. `wake` is called, from any thread, when there is something new to show.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let (messages, received_messages) = unbounded();
        let (event_sender, events) = mpsc::channel();
        let shared = Arc::new(Shared {
            status: Mutex::new(Status { rate: 1.0, ..Status::default() }),
            history: Mutex::default(),
            capture: Mutex::default(),
            picture: Arc::default(),
            wake: Arc::new(wake),
        });
        let shared_with_thread = shared.clone();
        let thread = std::thread::Builder::new().name("player".to_owned()).spawn(move || {
            let context = glib::MainContext::new();
            // The player handles its bus in the thread's default context.
            let result = context.with_thread_default(|| {
                let session = Session::new(shared_with_thread, event_sender);
                let run = || context.block_on(session.clone().run(received_messages));
                if let Err(panicked) = guarded("engine-thread", run) {
                    session.end_after_panic(panicked);
                }
            });
            if let Err(error) = result {
                tracing::error!("cannot set the main context of the player's thread: {error}");
            }
        })?;
        Ok(Self { messages, thread: Some(thread), shared, events })
    }

    fn send(&self, message: EngineMessage) {
        // This fails only after the thread has ended.
        let _ = self.messages.unbounded_send(message);
    }

    /// Closes the current source and opens another, whose packets are recorded; `play` sets it up and
    /// plays it.
    pub fn open(&self, source: &str, options: Options, play: bool) {
        let source = source.to_owned();
        self.send(EngineMessage::Open { source, options, play, record: true });
    }

    /// Closes the current source and sets another one up, whose packets are not recorded.
    pub fn set_up_unrecorded(&self, source: &str, options: Options) {
        let source = source.to_owned();
        self.send(EngineMessage::Open { source, options, play: false, record: false });
        self.command(Command::Setup);
    }

    /// Passes a command to the player.
    pub fn command(&self, command: Command) {
        self.send(EngineMessage::Command(command));
    }

    /// Plays, after a setup if one is needed.
    pub fn set_up_and_play(&self) {
        self.send(EngineMessage::SetUpAndPlay);
    }

    /// Seeks to `position`; in READY shows the frame there. Of the seeks that are requested while one
    /// is in progress only the last is carried out.
    pub fn seek(&self, position: Duration) {
        self.send(EngineMessage::Seek(position));
    }

    /// Continues to play from `position` at `rate`, which must be above 0.
    pub fn set_rate(&self, rate: f64, position: Duration) {
        self.send(EngineMessage::Rate { rate, position });
    }

    /// Sets whether the movie is played again and again.
    pub fn set_repeat(&self, repeat: bool) {
        self.send(EngineMessage::Repeat(repeat));
    }

    /// Plays a section again and again, the frames at both positions included; `None` ends this.
    pub fn set_section(&self, section: Option<(Duration, Duration)>) {
        self.send(EngineMessage::Section(section));
    }

    /// Sets whether a session that is lost is opened again.
    pub fn set_reconnect(&self, reconnect: bool) {
        self.send(EngineMessage::Reconnect(reconnect));
    }

    /// Starts to record the received frames into the movie file `path`.
    pub fn record(&self, path: &Path) {
        self.send(EngineMessage::Record(path.to_owned()));
    }

    /// Stops the recording; [`Event::Recorded`] has its result.
    pub fn stop_recording(&self) {
        self.send(EngineMessage::StopRecording);
    }

    /// The current status.
    pub fn status(&self) -> Status {
        lock(&self.shared.status).clone()
    }

    /// Calls `f` with the statistics over time.
    pub fn with_history<R>(&self, f: impl FnOnce(&History) -> R) -> R {
        f(&lock(&self.shared.history))
    }

    /// Calls `f` with the log of the exchange.
    pub fn with_log<R>(&self, f: impl FnOnce(&ProtocolLog) -> R) -> R {
        self.capture().with_log(f)
    }

    /// What was exchanged with the server.
    pub fn capture(&self) -> Arc<Capture> {
        lock(&self.shared.capture).clone()
    }

    /// The latest decoded picture.
    pub fn picture(&self) -> &LatestPicture {
        &self.shared.picture
    }

    /// The events since the last call.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.events.try_iter()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.send(EngineMessage::Quit);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The engine's side of the channels, and its player.
struct Session {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    player: RefCell<Option<Player>>,
    /// Statistics start when the stream is set up.
    set_up_at: Cell<Option<Instant>>,
    playing_since: Cell<Option<Instant>>,
    /// Play as soon as the state is READY.
    play_when_ready: Cell<bool>,
    /// Why there is no player.
    open_failure: RefCell<Option<Failure>>,
    reconnection: RefCell<Option<Reconnection>>,
    /// How the source was opened.
    options: RefCell<Options>,
    length: LengthProbe,
}

impl Session {
    fn new(shared: Arc<Shared>, events: mpsc::Sender<Event>) -> Rc<Self> {
        Rc::new(Self {
            shared,
            events,
            player: RefCell::default(),
            set_up_at: Cell::default(),
            playing_since: Cell::default(),
            play_when_ready: Cell::default(),
            open_failure: RefCell::default(),
            reconnection: RefCell::default(),
            options: RefCell::default(),
            length: LengthProbe::default(),
        })
    }

    async fn run(self: Rc<Self>, mut messages: UnboundedReceiver<EngineMessage>) {
        let ticking = self.clone();
        let ticks = glib::MainContext::ref_thread_default().spawn_local(async move {
            loop {
                glib::timeout_future(history::INTERVAL).await;
                if let Err(panicked) = guarded("engine-tick", || ticking.tick()) {
                    ticking.end_after_panic(panicked);
                }
            }
        });
        while let Some(message) = messages.next().await {
            if matches!(message, EngineMessage::Quit) {
                break;
            }
            if let Err(panicked) = guarded("engine-message", || self.handle(message)) {
                self.end_after_panic(panicked);
            }
        }
        ticks.abort();
        self.close();
    }

    fn handle(self: &Rc<Self>, message: EngineMessage) {
        match message {
            EngineMessage::Open { source, options, play, record } => {
                self.open(&source, &options, play, record);
            }
            message => self.control_player(message),
        }
        self.publish();
    }

    /// Ends the session after a panic.
    fn end_after_panic(&self, panicked: Panicked) {
        let _ = guarded("engine-end", || self.close());
        let source = lock(&self.shared.status).source.clone();
        *lock(&self.shared.status) = Status { source, rate: 1.0, ..Status::default() };
        self.report_open_failure(border::failure(panicked));
    }

    /// Reports a failure now, and again at each command until a source has been opened.
    fn report_open_failure(&self, failure: Failure) {
        self.open_failure.replace(Some(failure.clone()));
        self.report(Event::Failed(failure));
    }

    /// Publishes the status, then reports the event: a front end must not see an event with a status
    /// from before it.
    fn report(&self, event: Event) {
        self.publish();
        let _ = self.events.send(event);
        (self.shared.wake)();
    }

    /// The player. It is cloned because its signals call back into the session.
    fn player(&self) -> Option<Player> {
        self.player.borrow().clone()
    }

    fn close(&self) {
        self.stop_recording();
        self.play_when_ready.set(false);
        self.length.reset();
        if let Some(player) = self.player.take() {
            player.command("teardown");
        }
    }

    fn open(self: &Rc<Self>, source: &str, options: &Options, play: bool, record: bool) {
        self.close();
        self.set_up_at.set(None);
        self.playing_since.set(None);
        self.reconnection.replace(None);
        self.options.replace(options.clone());
        *lock(&self.shared.history) = History::default();
        *lock(&self.shared.capture) = Arc::default();
        self.shared.picture.clear();
        *lock(&self.shared.status) =
            Status { source: source.to_owned(), rate: 1.0, ..Status::default() };
        match self.new_player(source, options) {
            Ok(player) => {
                self.open_failure.replace(None);
                if record {
                    player.record_packets();
                }
                *lock(&self.shared.capture) = player.capture();
                self.player.replace(Some(player));
                if play {
                    self.set_up_and_play();
                }
            }
            Err(error) => {
                let kind = match error.downcast_ref() {
                    Some(NewPlayerError::Source(_)) => FailureKind::NotFound,
                    _ => FailureKind::Other,
                };
                let failure = Failure::new(kind, &format!("{error:#}"));
                self.report_open_failure(failure);
            }
        }
    }

    fn new_player(self: &Rc<Self>, source: &str, options: &Options) -> anyhow::Result<Player> {
        let player = Player::new(source, options)?;
        let (picture, wake) = (&self.shared.picture, self.shared.wake.clone());
        player.set_video_sink(&LatestPicture::sink(picture, player.borders(), wake)?);
        // The session owns the player, so its callbacks hold weak references.
        let this = Rc::downgrade(self);
        player.connect_error(move |failure| {
            let Some(this) = this.upgrade() else { return };
            this.play_when_ready.set(false);
            this.stop_recording();
            this.reconnection.replace(None);
            this.report(Event::Failed(failure.clone()));
        });
        let this = Rc::downgrade(self);
        player.connect_reconnecting(move |failure, attempt, wait| {
            let Some(this) = this.upgrade() else { return };
            let (failure, due) = (failure.clone(), Instant::now() + wait);
            this.reconnection.replace(Some(Reconnection { failure, attempt, due }));
            this.publish();
        });
        let this = Rc::downgrade(self);
        player.connect_refused(move |reason| {
            if let Some(this) = this.upgrade() {
                this.report(Event::Refused(reason.to_owned()));
            }
        });
        let this = Rc::downgrade(self);
        player.connect_end_of_movie(move || {
            if let Some(this) = this.upgrade() {
                this.report(Event::EndOfMovie);
            }
        });
        let this = Rc::downgrade(self);
        player.connect_exchange(move |_| {
            if let Some(this) = this.upgrade() {
                (this.shared.wake)();
            }
        });
        let this = Rc::downgrade(self);
        player.connect_state(move |player| {
            if let Some(this) = this.upgrade() {
                this.state_changed(player);
            }
        });
        Ok(player)
    }

    fn state_changed(&self, player: &Player) {
        match player.state() {
            State::Init => {
                self.set_up_at.set(None);
                self.playing_since.set(None);
                self.length.reset();
                self.shared.picture.clear();
            }
            State::Ready => {
                self.playing_since.set(None);
                if self.set_up_at.get().is_none() {
                    self.set_up_at.set(Some(Instant::now()));
                    *lock(&self.shared.history) = History::default();
                }
                lock(&self.shared.history).pause();
                if self.play_when_ready.take() {
                    player.command("play");
                }
            }
            State::Playing => self.playing_since.set(Some(Instant::now())),
        }
        self.publish();
    }

    /// Handles a message to an open player.
    fn control_player(&self, message: EngineMessage) {
        let Some(player) = self.player() else {
            let failure = self.open_failure.borrow().clone();
            if let Some(failure) = failure {
                self.report(Event::Failed(failure));
            }
            return;
        };
        match message {
            EngineMessage::Command(command) => player.command(command.signal_name()),
            EngineMessage::SetUpAndPlay => self.set_up_and_play(),
            // A paused player shows the frame at the new position.
            EngineMessage::Seek(position) if player.shows_still_picture() => {
                player.step_to(clock_time(position));
            }
            EngineMessage::Seek(position) => player.seek(clock_time(position)),
            EngineMessage::Rate { rate, position } => player.set_rate(rate, clock_time(position)),
            EngineMessage::Repeat(repeat) => player.set_repeat(repeat),
            EngineMessage::Section(section) => player.set_section(section),
            EngineMessage::Reconnect(reconnect) => player.set_reconnect(reconnect),
            EngineMessage::Record(path) => {
                if let Err(error) = player.start_recording(&path) {
                    let text = format!("cannot record into {}: {error}", path.display());
                    self.report(Event::Note(text));
                }
            }
            EngineMessage::StopRecording => self.stop_recording(),
            EngineMessage::Open { .. } | EngineMessage::Quit => {}
        }
    }

    fn set_up_and_play(&self) {
        let Some(player) = self.player() else { return };
        if player.state() == State::Init {
            self.play_when_ready.set(true);
            player.command("setup");
        } else {
            player.command("play");
        }
    }

    fn stop_recording(&self) {
        if let Some(recording) = self.player().and_then(|player| player.stop_recording()) {
            self.report(Event::Recorded(recording));
        }
    }

    /// Takes a sample while playing, and updates the status.
    fn tick(&self) {
        let Some(player) = self.player() else { return };
        if let (State::Playing, Some(set_up)) = (player.state(), self.set_up_at.get()) {
            let gap = player.longest_gap();
            let at = set_up.elapsed().as_secs_f64();
            let statistics = self.statistics(&player);
            lock(&self.shared.history).push(at, statistics, gap);
        }
        if player.state() != State::Init && player.protocol() == Protocol::Rtsp {
            let source = lock(&self.shared.status).source.clone();
            self.length.tick(&player, &source, &self.options.borrow());
        }
        self.publish();
    }

    fn statistics(&self, player: &Player) -> Statistics {
        let latest = self.shared.picture.get().filter(|_| player.protocol() != Protocol::None);
        let delay = latest.map(|(_, picture)| picture.playout_delay.nseconds());
        Statistics { playout_delay: delay.unwrap_or(0), ..player.statistics() }
    }

    /// Whether packets are expected, but none arrives.
    fn is_silent(&self, player: &Player) -> bool {
        let Some(playing) = self.playing_since.get() else { return false };
        let last = player.last_arrival().map_or(playing, |last| last.max(playing));
        player.protocol() != Protocol::None && last.elapsed() > SILENCE
    }

    fn publish(&self) {
        let Some(player) = self.player() else { return };
        // The lock is not held during the queries, so that the front end does not wait for them. Only
        // this thread changes the status.
        let before = lock(&self.shared.status).clone();
        // Queries fail while the pipeline is flushed; the last answers are still true.
        let last = if player.state() == State::Init { Status::default() } else { before.clone() };
        let length = self.length.found();
        let now = Status {
            source: before.source.clone(),
            protocol: player.protocol(),
            state: player.state(),
            pending: player.pending(),
            duration: player.duration().or(length).map(Duration::from).or(last.duration),
            frames: player.frames().or(last.frames),
            // rtspsrc takes a movie without a length for one without seeking.
            seekable: length.map(|_| true).or(player.seekable()).or(last.seekable),
            rate: player.rate(),
            statistics: self.statistics(&player),
            last_packet: player.last_packet(),
            recording: player.recording(),
            silent: self.is_silent(&player),
            repeat: player.repeats(),
            section: player.section(),
            reconnection: self.reconnection.borrow().clone().filter(|_| player.reconnects()),
        };
        let changed = before != now;
        *lock(&self.shared.status) = now;
        if changed {
            (self.shared.wake)();
        }
    }
}

fn clock_time(time: Duration) -> gst::ClockTime {
    gst::ClockTime::try_from(time).unwrap_or(gst::ClockTime::MAX)
}
