// SPDX-License-Identifier: MIT OR Apache-2.0
//! A player on a thread of its own, for faces that must not wait for servers.

use super::border;
use super::history::{self, History};
use super::protocol_log::ProtocolLog;
use super::{Command, Failure, FailureKind, Options, Packet, Pictures, Player, Protocol};
use super::{Recording, State, Statistics};
use futures::StreamExt;
use futures::channel::mpsc as orders;
use mjpeg_program::border::{Panicked, guarded};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Without a packet for so long while playing, something is wrong.
pub const SILENCE: Duration = Duration::from_secs(3);

/// What has happened since the face looked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The stream ended by a failure.
    Failed(Failure),
    /// A command was refused in the present state, and why.
    Refused(String),
    /// The movie is over.
    EndOfMovie,
    /// A recording has ended.
    Recorded(Recording),
    /// Something is worth telling.
    Note(String),
}

/// What a face shows of the player.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// The source that is open; empty before the first one.
    pub source: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The lab's state.
    pub state: State,
    /// The command whose answer has not come.
    pub pending: Option<Command>,
    /// The movie's length, where the source tells.
    pub duration: Option<Duration>,
    /// The movie's frames, where the source tells.
    pub frames: Option<u64>,
    /// Whether the source can go to a place; `None` while it does not say.
    pub seekable: Option<bool>,
    /// How fast it plays.
    pub rate: f64,
    /// The counts.
    pub statistics: Statistics,
    /// The packet that arrived last.
    pub last_packet: Option<Packet>,
    /// The recording under way.
    pub recording: Option<Recording>,
    /// No packet has come for longer than [`SILENCE`].
    pub silent: bool,
}

/// What the engine's thread and the face share.
struct Shared {
    status: Mutex<Status>,
    history: Mutex<History>,
    log: Mutex<ProtocolLog>,
    pictures: Arc<Pictures>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("status", &self.status).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Order {
    Open {
        source: String,
        options: Options,
        play: bool,
    },
    Command(Command),
    /// Play, with what must come before it.
    SetUpAndPlay,
    Seek(Duration),
    Rate {
        rate: f64,
        position: Duration,
    },
    Record(PathBuf),
    StopRecording,
    Quit,
}

/// The thread and the way to it. Dropped, it tears the session down and waits for that.
#[derive(Debug)]
pub struct Engine {
    orders: orders::UnboundedSender<Order>,
    thread: Option<std::thread::JoinHandle<()>>,
    shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
}

impl Engine {
    /// Starts the thread. `wake` is called, from any thread, when there is something new to show.
    ///
    /// # Errors
    /// If the system has no thread.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let (orders, inbox) = orders::unbounded();
        let (outbox, events) = mpsc::channel();
        let shared = Arc::new(Shared {
            status: Mutex::new(Status { rate: 1.0, ..Status::default() }),
            history: Mutex::default(),
            log: Mutex::default(),
            pictures: Arc::default(),
            wake: Arc::new(wake),
        });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("player".to_owned()).spawn(move || {
            let context = glib::MainContext::new();
            // The player's bus is watched in the thread's own context.
            let ran = context.with_thread_default(|| {
                let session = Session::new(theirs, outbox);
                let run = || context.block_on(session.clone().run(inbox));
                if let Err(panicked) = guarded("engine-thread", run) {
                    session.end(panicked);
                }
            });
            if let Err(error) = ran {
                tracing::error!("the player's thread has no main context: {error}");
            }
        })?;
        Ok(Self { orders, thread: Some(thread), shared, events })
    }

    fn order(&self, order: Order) {
        // Only a thread that has ended does not take it.
        let _ = self.orders.unbounded_send(order);
    }

    /// Opens a source in place of the present one; `play` sets it up and plays it.
    pub fn open(&self, source: &str, options: Options, play: bool) {
        self.order(Order::Open { source: source.to_owned(), options, play });
    }

    /// Passes a command on.
    pub fn command(&self, command: Command) {
        self.order(Order::Command(command));
    }

    /// Plays, and sets up before if that is needed.
    pub fn set_up_and_play(&self) {
        self.order(Order::SetUpAndPlay);
    }

    /// Goes to a place, in READY to its single frame; of many that follow quickly only the last one
    /// counts.
    pub fn seek(&self, position: Duration) {
        self.order(Order::Seek(position));
    }

    /// Plays on from `position` at another rate, above 0.
    pub fn set_rate(&self, rate: f64, position: Duration) {
        self.order(Order::Rate { rate, position });
    }

    /// Records what is received into the movie `path`.
    pub fn record(&self, path: &Path) {
        self.order(Order::Record(path.to_owned()));
    }

    /// Ends the recording: [`Event::Recorded`] tells of it.
    pub fn stop_recording(&self) {
        self.order(Order::StopRecording);
    }

    /// What is to be shown now.
    pub fn status(&self) -> Status {
        lock(&self.shared.status).clone()
    }

    /// Looks at the statistics over time.
    pub fn with_history<R>(&self, f: impl FnOnce(&History) -> R) -> R {
        f(&lock(&self.shared.history))
    }

    /// Looks at the exchange.
    pub fn with_log<R>(&self, f: impl FnOnce(&ProtocolLog) -> R) -> R {
        f(&lock(&self.shared.log))
    }

    /// The decoded pictures.
    pub fn pictures(&self) -> &Pictures {
        &self.shared.pictures
    }

    /// What has happened since the last time.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.events.try_iter()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.order(Order::Quit);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The engine's side of it.
struct Session {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    player: RefCell<Option<Player>>,
    opened: Cell<Instant>,
    /// When the stream was set up; statistics begin then.
    set_up: Cell<Option<Instant>>,
    playing: Cell<Option<Instant>>,
    /// READY is to be followed by PLAY.
    play_when_ready: Cell<bool>,
    /// Why there is no player.
    not_opened: RefCell<Option<Failure>>,
}

impl Session {
    fn new(shared: Arc<Shared>, events: mpsc::Sender<Event>) -> Rc<Self> {
        Rc::new(Self {
            shared,
            events,
            player: RefCell::default(),
            opened: Cell::new(Instant::now()),
            set_up: Cell::default(),
            playing: Cell::default(),
            play_when_ready: Cell::default(),
            not_opened: RefCell::default(),
        })
    }

    async fn run(self: Rc<Self>, mut inbox: orders::UnboundedReceiver<Order>) {
        let ticking = self.clone();
        let ticks = glib::MainContext::ref_thread_default().spawn_local(async move {
            loop {
                glib::timeout_future(history::INTERVAL).await;
                if let Err(panicked) = guarded("engine-tick", || ticking.tick()) {
                    ticking.end(panicked);
                }
            }
        });
        while let Some(order) = inbox.next().await {
            if matches!(order, Order::Quit) {
                break;
            }
            if let Err(panicked) = guarded("engine-order", || self.take(order)) {
                self.end(panicked);
            }
        }
        ticks.abort();
        self.close();
    }

    fn take(self: &Rc<Self>, order: Order) {
        match order {
            Order::Open { source, options, play } => self.open(&source, &options, play),
            order => self.act(order),
        }
        self.publish();
    }

    /// Ends the session after a panic.
    fn end(&self, panicked: Panicked) {
        let _ = guarded("engine-end", || self.close());
        let failure = border::failure(panicked);
        self.not_opened.replace(Some(failure.clone()));
        let source = lock(&self.shared.status).source.clone();
        *lock(&self.shared.status) = Status { source, rate: 1.0, ..Status::default() };
        self.tell(Event::Failed(failure));
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
        (self.shared.wake)();
    }

    /// The player, for what may come back here by its signals.
    fn player(&self) -> Option<Player> {
        self.player.borrow().clone()
    }

    fn close(&self) {
        self.stop_recording();
        self.play_when_ready.set(false);
        if let Some(player) = self.player.take() {
            player.command("teardown");
        }
    }

    fn open(self: &Rc<Self>, source: &str, options: &Options, play: bool) {
        self.close();
        self.opened.set(Instant::now());
        self.set_up.set(None);
        self.playing.set(None);
        *lock(&self.shared.history) = History::default();
        *lock(&self.shared.log) = ProtocolLog::default();
        self.shared.pictures.clear();
        *lock(&self.shared.status) =
            Status { source: source.to_owned(), rate: 1.0, ..Status::default() };
        match self.new_player(source, options) {
            Ok(player) => {
                self.not_opened.replace(None);
                self.player.replace(Some(player));
                if play {
                    self.set_up_and_play();
                }
            }
            Err(error) => {
                let failure = Failure::new(FailureKind::Other, &format!("{error:#}"));
                self.not_opened.replace(Some(failure.clone()));
                self.tell(Event::Failed(failure));
            }
        }
    }

    fn new_player(self: &Rc<Self>, source: &str, options: &Options) -> anyhow::Result<Player> {
        let player = Player::new(source, options)?;
        let (pictures, wake) = (&self.shared.pictures, self.shared.wake.clone());
        player.set_video_sink(&Pictures::sink(pictures, player.borders(), wake)?);
        // The player is the session's: a strong reference here would be a circle.
        let this = Rc::downgrade(self);
        player.connect_error(move |failure| {
            let Some(this) = this.upgrade() else { return };
            this.play_when_ready.set(false);
            this.stop_recording();
            this.tell(Event::Failed(failure.clone()));
        });
        let this = Rc::downgrade(self);
        player.connect_refused(move |why| {
            if let Some(this) = this.upgrade() {
                this.tell(Event::Refused(why.to_owned()));
            }
        });
        let this = Rc::downgrade(self);
        player.connect_end_of_movie(move || {
            if let Some(this) = this.upgrade() {
                this.tell(Event::EndOfMovie);
            }
        });
        let this = Rc::downgrade(self);
        player.connect_exchange(move |exchange| {
            let Some(this) = this.upgrade() else { return };
            let at = u64::try_from(this.opened.get().elapsed().as_millis()).unwrap_or(u64::MAX);
            lock(&this.shared.log).take(at, exchange);
            (this.shared.wake)();
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
                self.set_up.set(None);
                self.playing.set(None);
            }
            State::Ready => {
                self.playing.set(None);
                if self.set_up.get().is_none() {
                    self.set_up.set(Some(Instant::now()));
                    *lock(&self.shared.history) = History::default();
                }
                lock(&self.shared.history).pause();
                if self.play_when_ready.take() {
                    player.command("play");
                }
            }
            State::Playing => self.playing.set(Some(Instant::now())),
        }
        self.publish();
    }

    fn act(&self, order: Order) {
        let Some(player) = self.player() else {
            if let Some(failure) = self.not_opened.borrow().clone() {
                self.tell(Event::Failed(failure));
            }
            return;
        };
        match order {
            Order::Command(command) => player.command(command.signal()),
            Order::SetUpAndPlay => self.set_up_and_play(),
            // What was paused shows the frame of the new place too.
            Order::Seek(position) if player.is_still() => {
                player.step_to(clock(position));
            }
            Order::Seek(position) => player.seek(clock(position)),
            Order::Rate { rate, position } => player.set_rate(rate, clock(position)),
            Order::Record(path) => match player.start_recording(&path) {
                Ok(()) => {}
                Err(error) => {
                    let text = format!("cannot record into {}: {error}", path.display());
                    self.tell(Event::Note(text));
                }
            },
            Order::StopRecording => self.stop_recording(),
            Order::Open { .. } | Order::Quit => {}
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
            self.tell(Event::Recorded(recording));
        }
    }

    /// Takes a sample while playing; a still movie costs nothing but this look.
    fn tick(&self) {
        let Some(player) = self.player() else { return };
        if let (State::Playing, Some(set_up)) = (player.state(), self.set_up.get()) {
            let gap = player.longest_gap();
            let at = set_up.elapsed().as_secs_f64();
            let statistics = self.statistics(&player);
            lock(&self.shared.history).take(at, statistics, gap);
        }
        self.publish();
    }

    fn statistics(&self, player: &Player) -> Statistics {
        let newest = self.shared.pictures.newest().filter(|_| player.protocol() != Protocol::None);
        let delay = newest.map(|(_, picture)| picture.playout_delay.nseconds());
        Statistics { playout_delay: delay.unwrap_or(0), ..player.statistics() }
    }

    /// Whether packets should come and do not.
    fn is_silent(&self, player: &Player) -> bool {
        let Some(playing) = self.playing.get() else { return false };
        let last = player.last_arrival().map_or(playing, |last| last.max(playing));
        player.protocol() != Protocol::None && last.elapsed() > SILENCE
    }

    fn publish(&self) {
        let Some(player) = self.player() else { return };
        // The face must not wait for GStreamer's queries; nobody but this thread writes.
        let before = lock(&self.shared.status).clone();
        // Queries find no answer while the pipeline is flushed; the movie is the same.
        let known = if player.state() == State::Init { Status::default() } else { before.clone() };
        let now = Status {
            source: before.source.clone(),
            protocol: player.protocol(),
            state: player.state(),
            pending: player.pending(),
            duration: player.duration().map(Duration::from).or(known.duration),
            frames: player.frames().or(known.frames),
            seekable: player.seekable().or(known.seekable),
            rate: player.rate(),
            statistics: self.statistics(&player),
            last_packet: player.last_packet(),
            recording: player.recording(),
            silent: self.is_silent(&player),
        };
        let changed = before != now;
        *lock(&self.shared.status) = now;
        if changed {
            (self.shared.wake)();
        }
    }
}

fn clock(time: Duration) -> gst::ClockTime {
    gst::ClockTime::try_from(time).unwrap_or(gst::ClockTime::MAX)
}
