// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player: the only state machine of the client. Faces emit its action signals and read
//! its properties.
//!
//! | action signal | allowed in | leads to |
//! |---|---|---|
//! | `setup` | INIT | READY |
//! | `play` | READY | PLAYING |
//! | `pause` | PLAYING | READY |
//! | `teardown` | any | INIT |
//!
//! The state changes when the server's answer has come, not when a signal is emitted. Signals:
//! `error` ([`Failure`]), `refused` (text: a command in the wrong state), `end-of-movie`.
//! Properties: `state`, `position` and `duration` in nanoseconds (-1: unknown), `latency` in
//! milliseconds, `statistics`.

mod border;
pub mod engine;
mod exchange;
mod explain;
pub use explain::password_blanked;
mod failure;
mod history;
mod imp;
pub mod movies;
mod packets;
mod pictures;
mod protocol_log;
mod recorder;
mod rtsp_tap;
mod sources;
mod statistics;
mod stepping;

use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::path::Path;
use std::time::Duration;

pub(crate) use border::Borders;
pub use exchange::Exchange;
pub use failure::{Failure, FailureKind};
pub use gstmjpegfile::labrtspsrc::Dialect;
pub use history::{History, Sample};
pub use packets::Packet;
pub(crate) use pictures::save_rgb;
pub use pictures::{Picture, Pictures, SaveError};
pub use protocol_log::{Direction, Entry, ProtocolLog};
pub use recorder::Recording;
pub use sources::Protocol;
pub use statistics::Statistics;

/// The lab's states.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "MjpegRtspPlayerState")]
#[repr(i32)]
pub enum State {
    /// Not set up.
    #[default]
    Init,
    /// Set up, not playing.
    Ready,
    /// Playing.
    Playing,
}

impl State {
    /// The lab's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Ready => "READY",
            Self::Playing => "PLAYING",
        }
    }
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Open the session.
    Setup,
    /// Send frames.
    Play,
    /// Stop sending, keep the place.
    Pause,
    /// End the session.
    Teardown,
}

impl Command {
    /// All, in the order in which a session uses them.
    pub const ALL: [Self; 4] = [Self::Setup, Self::Play, Self::Pause, Self::Teardown];

    /// Its action signal.
    pub fn signal(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Play => "play",
            Self::Pause => "pause",
            Self::Teardown => "teardown",
        }
    }

    /// The state that it needs; `None`: any but INIT.
    pub fn needs(self) -> Option<State> {
        match self {
            Self::Setup => Some(State::Init),
            Self::Play => Some(State::Ready),
            Self::Pause => Some(State::Playing),
            Self::Teardown => None,
        }
    }

    /// The state that its answer leads to.
    pub fn leads_to(self) -> State {
        match self {
            Self::Setup | Self::Pause => State::Ready,
            Self::Play => State::Playing,
            Self::Teardown => State::Init,
        }
    }

    /// Whether `state` allows it.
    pub fn allowed_in(self, state: State) -> bool {
        self.needs().map_or(state != State::Init, |needed| needed == state)
    }
}

/// How RTP is carried.
#[derive(
    Debug,
    Default,
    Clone,
    Copy,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum Transport {
    /// In datagrams.
    Udp,
    /// Interleaved in the RTSP connection.
    Tcp,
    /// Interleaved, through an HTTP tunnel.
    Http,
    /// UDP, then TCP.
    #[default]
    Auto,
}

/// How a source is received.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Over standard RTSP.
    pub transport: Transport,
    /// The jitter buffer, in milliseconds.
    pub latency: u32,
    /// In which form lab requests are written, where the URI does not say.
    pub dialect: Dialect,
    /// How long a lab server may take for an answer, and for its first packet.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: Transport::default(),
            latency: 200,
            dialect: Dialect::default(),
            timeout: Duration::from_secs(5),
        }
    }
}

/// Why there is no player.
#[derive(Debug, thiserror::Error)]
pub enum NewPlayerError {
    /// A GStreamer element is missing.
    #[error(
        "GStreamer's element {0} is missing: install gstreamer1.0-plugins-base and gstreamer1.0-plugins-good"
    )]
    Element(&'static str),
    /// The source is neither a URI nor a file.
    #[error("{0} is neither a URL (rtsp://HOST:PORT/MOVIE) nor a file")]
    Source(String),
    /// The URL of a lab server is wrong.
    #[error("{0}: {1}")]
    Lab(String, gstmjpegfile::labrtspsrc::LocationError),
}

glib::wrapper! {
    /// Plays one source. Its bus is watched in the thread's main context in which it is made.
    pub struct Player(ObjectSubclass<imp::Player>);
}

impl Player {
    /// A player in INIT. `source` is a URI or a file.
    ///
    /// # Errors
    /// See [`NewPlayerError`].
    pub fn new(source: &str, options: &Options) -> Result<Self, NewPlayerError> {
        let uri = uri_of(source, options.transport)?;
        for element in ["playbin", "rtspsrc", "fakesink", "videoconvert"] {
            if gst::ElementFactory::find(element).is_none() {
                return Err(NewPlayerError::Element(element));
            }
        }
        let player: Self = glib::Object::builder().property("latency", options.latency).build();
        player.imp().open(&uri, options);
        Ok(player)
    }

    /// Emits an action signal: `setup`, `play`, `pause` or `teardown`.
    pub fn command(&self, name: &str) {
        self.emit_by_name::<()>(name, &[]);
    }

    /// The present state.
    pub fn state(&self) -> State {
        self.property("state")
    }

    /// Where playback is, or will be when it goes on.
    pub fn position(&self) -> Option<gst::ClockTime> {
        self.imp().stepper().place().or_else(|| self.imp().playbin()?.query_position())
    }

    /// How long the movie is, if the source tells.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        self.imp().playbin()?.query_duration()
    }

    /// How many frames the movie has, if the source tells.
    pub fn frames(&self) -> Option<u64> {
        let frames = self.imp().playbin()?.query_duration::<gst::format::Default>();
        frames.map(|frames| *frames).filter(|frames| *frames > 0)
    }

    /// What has been received and lost.
    pub fn statistics(&self) -> Statistics {
        self.imp().statistics()
    }

    /// Sets the element that shows the pictures; before `setup`.
    pub fn set_video_sink(&self, sink: &gst::Element) {
        self.imp().set_video_sink(sink);
    }

    /// Goes to `position`, to the frame. While one seek is under way only the last target of
    /// those that follow is kept.
    pub fn seek(&self, position: gst::ClockTime) {
        self.imp().seek(position);
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.imp().protocol()
    }

    /// The command whose answer has not come yet.
    pub fn pending(&self) -> Option<Command> {
        self.imp().pending()
    }

    /// Whether the source can go to a place; `None` while it does not say.
    pub fn seekable(&self) -> Option<bool> {
        let mut query = gst::query::Seeking::new(gst::Format::Time);
        self.imp().playbin()?.query(&mut query).then(|| query.result().0)
    }

    /// How fast it plays: 1 is as it was taken.
    pub fn rate(&self) -> f64 {
        self.imp().rate()
    }

    /// Plays on at `rate`, above 0, from `position`.
    pub fn set_rate(&self, rate: f64, position: gst::ClockTime) {
        self.imp().set_rate(rate, position);
    }

    /// It shows one frame, or will: in READY, on the way there, and during a step.
    pub fn is_still(&self) -> bool {
        self.imp().is_still()
    }

    /// In READY: shows the frame at `position` and stays there. While one is under way only the
    /// last target of those that follow is kept.
    pub fn step_to(&self, position: gst::ClockTime) {
        self.imp().step_to(position);
    }

    /// Records the frames as they are received into the movie `path`.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn start_recording(&self, path: &Path) -> std::io::Result<()> {
        self.imp().recorder().start(path)
    }

    /// Ends the recording.
    pub fn stop_recording(&self) -> Option<Recording> {
        self.imp().recorder().stop()
    }

    /// The recording under way.
    pub fn recording(&self) -> Option<Recording> {
        self.imp().recorder().state()
    }

    /// The packet that arrived last.
    pub fn last_packet(&self) -> Option<Packet> {
        self.imp().collector().last_packet()
    }

    /// When the last packet arrived.
    pub fn last_arrival(&self) -> Option<std::time::Instant> {
        self.imp().collector().arrived()
    }

    /// The longest time between two frames' arrivals since this was asked last.
    pub fn longest_gap(&self) -> Duration {
        self.imp().collector().take_longest_gap()
    }

    /// Calls `f` at each failure that ends the stream.
    pub fn connect_error(&self, f: impl Fn(&Failure) + 'static) {
        self.on_signal("error", "player-error", move |values| {
            if let Some(failure) = values.get(1).and_then(|value| value.get::<&Failure>().ok()) {
                f(failure);
            }
        });
    }

    /// Calls `f` when a command is refused in the present state.
    pub fn connect_refused(&self, f: impl Fn(&str) + 'static) {
        self.on_signal("refused", "player-refused", move |values| {
            let text = values.get(1).and_then(|value| value.get::<String>().ok());
            f(text.as_deref().unwrap_or_default());
        });
    }

    /// Calls `f` at the end of the movie.
    pub fn connect_end_of_movie(&self, f: impl Fn() + 'static) {
        self.on_signal("end-of-movie", "player-end-of-movie", move |_| f());
    }

    /// Calls `f` at each step of the exchange with a server.
    pub fn connect_exchange(&self, f: impl Fn(&Exchange) + 'static) {
        self.imp().connect_exchange(Box::new(self.listener("player-exchange", f)));
    }

    pub(crate) fn borders(&self) -> &Borders {
        self.imp().borders()
    }
}

/// Lets players tell of standard RTSP's exchange too; before the process's first rtspsrc.
///
/// # Errors
/// If GStreamer refuses the listening element.
pub fn listen_to_rtsp() -> Result<(), glib::BoolError> {
    rtsp_tap::register()
}

fn uri_of(source: &str, transport: Transport) -> Result<String, NewPlayerError> {
    if let Some(rest) = source.strip_prefix("rtsp://") {
        // The scheme is what makes rtspsrc tunnel through HTTP.
        let scheme = if transport == Transport::Http { "rtsph" } else { "rtsp" };
        return Ok(format!("{scheme}://{rest}"));
    }
    if source.starts_with(gstmjpegfile::labrtspsrc::SCHEME) && source.contains("://") {
        let location = gstmjpegfile::labrtspsrc::Location::parse(source);
        let wrong = |error| NewPlayerError::Lab(source.to_owned(), error);
        return Ok(location.map_err(wrong)?.to_string());
    }
    if source.contains("://") {
        return Ok(source.to_owned());
    }
    let none = || NewPlayerError::Source(source.to_owned());
    let path = Path::new(source).canonicalize().map_err(|_| none())?;
    Ok(gst::glib::filename_to_uri(path, None).map_err(|_| none())?.into())
}
