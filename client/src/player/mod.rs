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
//! `error` (text), `refused` (text: a command in the wrong state), `end-of-movie`.
//! Properties: `state`, `position` and `duration` in nanoseconds (-1: unknown), `latency` in
//! milliseconds, `statistics`.

mod exchange;
mod imp;
mod statistics;

use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::prelude::*;
use std::path::Path;
use std::time::Duration;

pub use exchange::Exchange;
pub use gstmjpegfile::labrtspsrc::Dialect;
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

/// How RTP is carried.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
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
    /// Plays one source.
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

    /// Where playback is.
    pub fn position(&self) -> Option<gst::ClockTime> {
        self.imp().playbin()?.query_position()
    }

    /// How long the movie is, if the source tells.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        self.imp().playbin()?.query_duration()
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

    /// Calls `f` at each error that ends the stream.
    pub fn connect_error(&self, f: impl Fn(&str) + 'static) {
        self.connect_text("error", f);
    }

    /// Calls `f` when a command is refused in the present state.
    pub fn connect_refused(&self, f: impl Fn(&str) + 'static) {
        self.connect_text("refused", f);
    }

    /// Calls `f` at the end of the movie.
    pub fn connect_end_of_movie(&self, f: impl Fn() + 'static) {
        self.connect_local("end-of-movie", false, move |_| {
            f();
            None
        });
    }

    /// Calls `f` at each step of the exchange with a lab server.
    pub fn connect_exchange(&self, f: impl Fn(&Exchange) + 'static) {
        self.imp().connect_exchange(Box::new(f));
    }

    fn connect_text(&self, signal: &str, f: impl Fn(&str) + 'static) {
        self.connect_local(signal, false, move |values| {
            let text = values.get(1).and_then(|value| value.get::<String>().ok());
            f(text.as_deref().unwrap_or_default());
            None
        });
    }
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
