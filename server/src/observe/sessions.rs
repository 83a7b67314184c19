// SPDX-License-Identifier: MIT OR Apache-2.0
//! All sessions of all languages, for people who run the server. A session is a connection that has begun
//! to speak; a further session of standard RTSP in the same connection is another one.
//!
//! The sender does not know of any of this: it increments the numbers of [`SendCounts`], which are read
//! here.

mod view;

pub(crate) use view::SessionView;

use super::Observatory;
use super::event::Kind;
use super::totals::{Class, Counted, Slot};
use crate::send::counts::{FirstPacket, Progress, ReceiverReport, SendCounts};
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// Why a session ends that an operator has closed.
pub(crate) const CLOSED_BY_OPERATOR: &str = "closed by an operator";

/// Rates are those of the last seconds.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// The shortest time that a rate is computed over.
const MIN_RATE_WINDOW: Duration = Duration::from_millis(500);

/// The language of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    /// Standard RTSP.
    Rtsp,
    /// The lab's dialect of RTSP.
    Lab,
    /// HTTP, such as a stream in a browser.
    Http,
}

impl Dialect {
    /// The name in the API and in labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtsp => "rtsp",
            Self::Lab => "lab",
            Self::Http => "http",
        }
    }

    /// The dialect with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Rtsp, Self::Lab, Self::Http].into_iter().find(|dialect| dialect.name() == name)
    }
}

/// How frames reach the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// In UDP datagrams.
    Udp,
    /// In the connection of RTSP.
    Tcp,
    /// In datagrams to a group.
    Multicast,
    /// In the connection of RTSP through HTTP.
    Tunnel,
    /// In the reply to an HTTP request.
    Http,
}

impl Transport {
    /// The name in the API and in labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Multicast => "multicast",
            Self::Tunnel => "tunnel",
            Self::Http => "http",
        }
    }
}

/// The state of a session (RFC 2326 appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub(crate) enum State {
    /// No movie is set up.
    Init,
    /// A movie is set up, and nothing is sent.
    Ready,
    /// Frames are sent.
    Playing,
}

/// A connection that begins to speak.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    /// The language.
    pub dialect: Dialect,
    /// How frames will reach the viewer, to the extent that it is known.
    pub transport: Transport,
    /// The connection is encrypted.
    pub encrypted: bool,
    /// The client.
    pub peer: SocketAddr,
    /// What the client calls itself.
    pub agent: Option<String>,
}

/// A movie that a session has opened.
pub(crate) struct NewMedia {
    /// The mount point of the movie.
    pub mount: String,
    /// How frames reach the viewer.
    pub transport: Transport,
    /// The user who has logged in for it.
    pub user: Option<Arc<str>>,
    /// What is sent to the viewer.
    pub counts: Arc<SendCounts>,
}

/// Ends a session, when an operator asks for it. May wait, but not long.
pub(crate) type Closer = Arc<dyn Fn() + Send + Sync>;

/// Frames and bytes at an instant.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    frames: u64,
    bytes: u64,
}

impl Sample {
    fn of(counts: &SendCounts) -> Self {
        Self { at: Instant::now(), frames: counts.frames(), bytes: counts.bytes() }
    }
}

struct Media {
    mount: Arc<str>,
    counts: Arc<SendCounts>,
    /// Where the counts are added at the end.
    slot: Slot,
    /// The highest loss that was reported.
    lost: u64,
    /// The counts at the start of the play, and of each of the last seconds.
    samples: VecDeque<Sample>,
}

struct Info {
    transport: Transport,
    agent: Option<Arc<str>>,
    user: Option<Arc<str>>,
    media: Option<Media>,
    /// The number of movies that have been opened.
    movies: u64,
    closer: Option<Closer>,
    /// When the request was received that starts the present play.
    play_requested: Option<Instant>,
    ended: bool,
}

/// A session that people can see.
pub(crate) struct ObservedSession {
    /// The number by which people refer to it. It is not the identifier of the RTSP session, by which anyone
    /// could end that.
    pub id: u64,
    /// The language.
    pub dialect: Dialect,
    peer: SocketAddr,
    encrypted: bool,
    started: (SystemTime, Instant),
    state: AtomicU8,
    info: Mutex<Info>,
    observatory: Weak<Observatory>,
    /// Notified at the end.
    gone: Notify,
}

impl fmt::Debug for ObservedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedSession").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ObservedSession {
    pub(super) fn new(id: u64, new: NewSession, observatory: Weak<Observatory>) -> Self {
        let NewSession { dialect, transport, encrypted, peer, agent } = new;
        let info = Info {
            transport,
            agent: agent.map(|agent| limited(&agent).into()),
            user: None,
            media: None,
            movies: 0,
            closer: None,
            play_requested: None,
            ended: false,
        };
        Self {
            id,
            dialect,
            peer,
            encrypted,
            started: (SystemTime::now(), Instant::now()),
            state: AtomicU8::new(State::Init as u8),
            info: Mutex::new(info),
            observatory,
            gone: Notify::new(),
        }
    }

    fn info(&self) -> MutexGuard<'_, Info> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present state.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Init,
            1 => State::Ready,
            _ => State::Playing,
        }
    }

    /// Sets the state that a reply leads to, which the event of the reply states.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Sets the state that the session gets without a message, such as at the end of the movie.
    pub fn change_state(&self, state: State) {
        let previous = self.state.swap(state as u8, Ordering::Relaxed);
        if previous != state as u8 {
            self.record(Kind::State(state));
        }
    }

    /// Records an event of this session.
    pub fn record(&self, kind: Kind) {
        if let Some(observatory) = self.observatory.upgrade() {
            observatory.exchange.record(self.id, self.dialect, kind);
        }
    }

    /// What the exchange of this session is recorded in.
    pub fn observatory(&self) -> Option<Arc<Observatory>> {
        self.observatory.upgrade()
    }

    /// Stores what the client calls itself.
    pub fn set_agent(&self, agent: &str) {
        let mut info = self.info();
        if info.agent.is_none() {
            info.agent = Some(limited(agent).into());
        }
    }

    /// Sets what ends the session when an operator asks for it.
    pub fn set_closer(&self, closer: impl Fn() + Send + Sync + 'static) {
        self.info().closer = Some(Arc::new(closer));
    }

    /// Whether a movie is set up.
    pub fn has_media(&self) -> bool {
        self.info().media.is_some()
    }

    /// Whether the session has ended.
    pub fn has_ended(&self) -> bool {
        self.info().ended
    }

    /// Notes that a movie has been set up. The state becomes READY.
    pub fn open_media(self: &Arc<Self>, new: NewMedia) {
        let Some(observatory) = self.observatory() else { return };
        self.close_media();
        new.counts.set_observer(self);
        let name = new.mount.trim_matches('/').to_owned();
        let class = Class { dialect: self.dialect, transport: new.transport };
        let mut totals = observatory.registry.totals();
        let mut info = self.info();
        if info.ended {
            return;
        }
        let (mount, slot) = totals.open(class, &name);
        info.transport = new.transport;
        info.user = new.user.or(info.user.take());
        let samples = VecDeque::from([Sample::of(&new.counts)]);
        info.media = Some(Media { mount, counts: new.counts, slot, lost: 0, samples });
        info.movies += 1;
        drop(info);
        drop(totals);
        self.set_state(State::Ready);
    }

    /// Notes that the movie has been closed, after its last frame has been sent. The state becomes INIT.
    pub fn close_media(&self) {
        let Some(observatory) = self.observatory() else { return };
        // Both are locked, so that a reader of all counts finds these in one of the two.
        let mut totals = observatory.registry.totals();
        let mut info = self.info();
        let movie = info.movies;
        if let Some(media) = info.media.take() {
            let class = Class { dialect: self.dialect, transport: info.transport };
            totals.close(class, &media.slot, media.counted());
            drop(totals);
            // Readers know only what was sent until they looked last. The session is locked, so that nobody
            // finds the movie closed before this is recorded.
            let sent = media.counts.sent();
            if sent.frames > 0 {
                let closed = Kind::Sent { movie, sent };
                observatory.exchange.record(self.id, self.dialect, closed);
            }
        }
        drop(info);
        self.set_state(State::Init);
    }

    /// Notes that a play starts, which was requested at an instant. Its first packet is an event.
    pub fn play_starts(&self, requested: Instant) {
        let mut info = self.info();
        info.play_requested = Some(requested);
        if let Some(media) = &mut info.media {
            media.samples = VecDeque::from([Sample::of(&media.counts)]);
            media.counts.expect_first();
        }
        drop(info);
        self.set_state(State::Playing);
    }

    /// Notes that the first frame of a play has been sent, and its first packet, if it is sent in packets.
    pub fn first_packet(&self, packet: Option<FirstPacket>) {
        let requested = self.info().play_requested.take();
        let Some(observatory) = self.observatory() else { return };
        if let Some(requested) = requested {
            observatory.metrics.first_packet.add(requested.elapsed());
        }
        if let Some(packet) = packet {
            observatory.exchange.record(self.id, self.dialect, Kind::Rtp(packet));
        }
    }

    /// Notes a report of the receiver.
    pub fn reported(&self, report: &ReceiverReport) {
        if let Some(media) = &mut self.info().media {
            media.lost = media.lost.max(report.lost().into());
        }
        let Some(observatory) = self.observatory() else { return };
        let metrics = &observatory.metrics;
        metrics.reports.fetch_add(1, Ordering::Relaxed);
        metrics.jitter.add(view::jitter(report.block.jitter));
        if let Some(round_trip) = report.round_trip {
            metrics.round_trip.add(round_trip);
        }
    }

    /// Ends the session. Only the first reason counts.
    pub fn end(&self, reason: &str) {
        if std::mem::replace(&mut self.info().ended, true) {
            return;
        }
        self.close_media();
        self.info().closer = None;
        if let Some(observatory) = self.observatory() {
            let reason = limited(reason).into();
            observatory.exchange.record(self.id, self.dialect, Kind::End { reason });
            // A session that is not there any more has recorded its end.
            observatory.registry.remove(self.id);
        }
        self.gone.notify_waiters();
    }

    /// Asks the owner of the session to end it.
    pub fn close(&self) {
        let closer = self.info().closer.clone();
        if let Some(closer) = closer {
            closer();
        }
    }

    /// Waits until the session has ended.
    pub async fn gone(&self) {
        let gone = self.gone.notified();
        if !self.has_ended() {
            gone.await;
        }
    }

    /// Samples the counts, from which rates follow.
    pub(super) fn sample(&self) {
        if let Some(media) = &mut self.info().media {
            let sample = Sample::of(&media.counts);
            media.samples.push_back(sample);
            while media.samples.len() > 1
                && media.samples.front().is_some_and(|it| sample.at - it.at > RATE_WINDOW)
            {
                media.samples.pop_front();
            }
        }
    }

    /// The number of the present movie in the session, from 1, and what was sent of it so far; `None` while a
    /// frame is being counted.
    pub fn progress(&self) -> Option<(u64, Option<Progress>)> {
        let info = self.info();
        let progress = info.media.as_ref()?.counts.progress();
        Some((info.movies, progress))
    }

    /// The counts of the present movie, what they belong to, and the slot of the mount.
    pub(super) fn counted(&self) -> Option<(Class, Slot, Counted)> {
        let info = self.info();
        let media = info.media.as_ref()?;
        let class = Class { dialect: self.dialect, transport: info.transport };
        Some((class, media.slot.clone(), media.counted()))
    }
}

impl Media {
    fn counted(&self) -> Counted {
        let counts = &self.counts;
        Counted {
            frames: counts.frames(),
            packets: counts.packets(),
            bytes: counts.bytes(),
            lost: self.lost,
        }
    }

    /// Frames and bits per second.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn rates(&self) -> (f64, f64) {
        let Some(first) = self.samples.front() else { return (0.0, 0.0) };
        let now = Sample::of(&self.counts);
        let seconds = (now.at - first.at).max(MIN_RATE_WINDOW).as_secs_f64();
        let rate = |count: u64| (count as f64 / seconds * 100.0).round() / 100.0;
        (rate(now.frames - first.frames), rate((now.bytes - first.bytes) * 8))
    }
}

/// The longest text of a peer that is kept, in characters.
const MAX_TEXT: usize = 200;

/// The start of a text of a peer, without control characters.
fn limited(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

/// A session that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct SessionGuard(pub Arc<ObservedSession>);

impl std::ops::Deref for SessionGuard {
    type Target = Arc<ObservedSession>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.end("connection closed");
    }
}
