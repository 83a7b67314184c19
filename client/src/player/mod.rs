// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player: the only state machine of the client. Front ends emit its action signals.
//!
//! [`Command`] has the table of states and action signals. The state changes when the server's answer
//! arrives, not when a signal is emitted. Property: `state`. Signals: `error` ([`Failure`]),
//! `reconnecting` ([`Failure`], number of the attempt, wait before it in milliseconds), `refused` (text:
//! a command in the wrong state), `end-of-movie`.

mod border;
mod capture;
mod command;
mod connecting;
mod connections;
mod endless;
pub mod engine;
mod exchange;
mod explain;
mod failure;
mod frame_log;
mod history;
mod http_movies;
mod images;
mod imp;
mod interim;
mod keep_alive;
mod length;
mod lost_end;
mod machine;
pub mod movies;
mod packet_bytes;
mod packet_log;
mod packet_table;
mod packets;
mod pcapng;
mod pictures;
mod pipeline;
mod play_reply;
mod progress;
mod protocol_log;
mod reconnect;
mod recorder;
pub mod rtcp;
mod rtp_filter;
mod rtsp_monitor;
mod running_time;
mod seek_filter;
mod sink_probe;
mod sources;
mod statistics;

use anyhow::Context;
use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::prelude::*;
use machine::Input;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use border::Borders;
pub use capture::{Capture, PacketFormat, Snapshot};
pub use command::{Command, State};
pub use exchange::Exchange;
pub use explain::blank_password;
pub use failure::{Failure, FailureKind};
pub use gstmjpegfile::labrtspsrc::Dialect;
pub(crate) use history::INTERVAL as SAMPLE_INTERVAL;
pub use history::{History, Sample};
pub(crate) use length::OUR_SERVER;
pub use packet_log::{Analysis, Bundle, Order, PacketLog, Row, RtcpRecord, RtpRecord};
pub use packet_table::times as packet_times;
pub use packets::Packet;
pub use pictures::{LatestPicture, Picture, SaveError};
pub(crate) use pictures::{packed_rows, save_rgb};
pub use protocol_log::{Direction, ProtocolEntry, ProtocolLog};
pub use recorder::Recording;
pub use sources::Protocol;
pub use statistics::Statistics;

/// Transport of RTP.
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
    /// UDP datagrams.
    Udp,
    /// UDP datagrams that the server sends once for all viewers.
    Multicast,
    /// Interleaved in the RTSP connection (RFC 2326 section 10.12).
    Tcp,
    /// Interleaved in an RTSP connection that is tunnelled through HTTP.
    Http,
    /// UDP; TCP if no packets arrive.
    #[default]
    Auto,
}

/// How to receive a source.
#[derive(Debug, Clone)]
pub struct Options {
    /// Transport of RTP over standard RTSP.
    pub transport: Transport,
    /// Length of the jitter buffer in milliseconds.
    pub latency: u32,
    /// Form of lab requests, if the URI does not state one.
    pub dialect: Dialect,
    /// How long to wait for a server: for the answers to one command together, and for the first
    /// packet of a lab server.
    pub timeout: Duration,
    /// A PEM file of certificates that are trusted instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Accept every certificate of a server.
    pub insecure: bool,
    /// Open a lost session again.
    pub reconnect: bool,
    /// Play the movie again and again.
    pub repeat: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: Transport::default(),
            latency: 200,
            dialect: Dialect::default(),
            timeout: Duration::from_secs(5),
            tls_ca: None,
            insecure: false,
            reconnect: false,
            repeat: false,
        }
    }
}

/// Why a player was not made.
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
    #[error("the address {address} is wrong")]
    Lab {
        /// The URL.
        address: String,
        /// What is wrong.
        #[source]
        error: gstmjpegfile::labrtspsrc::LocationError,
    },
    /// GStreamer refuses an element of the player's own.
    #[error("cannot register the RTSP monitor")]
    Monitor(#[source] glib::BoolError),
    /// The file of trusted certificates cannot be read.
    #[error("cannot read the certificates in {}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: glib::Error,
    },
}

glib::wrapper! {
    /// Plays one source. Messages of its bus are handled in the default main context of the thread
    /// that makes it.
    pub struct Player(ObjectSubclass<imp::Player>);
}

impl Player {
    /// Makes a player, which is in INIT. `source` is a URI or a file. A transport that an RTSP URL asks for
    /// wins over that of the options.
    ///
    /// # Errors
    /// See [`NewPlayerError`].
    pub fn new(source: &str, options: &Options) -> Result<Self, NewPlayerError> {
        let (source, transport) = movies::split_transport(source);
        let transport = transport.unwrap_or(options.transport);
        let (source, options) = (&*source, &Options { transport, ..options.clone() });
        let uri = uri_of(source, options.transport)?;
        for element in ["playbin", "rtspsrc", "fakesink", "videoconvert"] {
            if gst::ElementFactory::find(element).is_none() {
                return Err(NewPlayerError::Element(element));
            }
        }
        if let Some(path) = &options.tls_ca {
            gio::TlsFileDatabase::new(path)
                .map_err(|error| NewPlayerError::Certificates { path: path.clone(), error })?;
        }
        rtsp_monitor::register().map_err(NewPlayerError::Monitor)?;
        connections::watch();
        let player: Self = glib::Object::new();
        player.imp().open(&uri, options);
        player.set_repeat(options.repeat);
        endless::watch(&player);
        reconnect::watch_silence(&player, options.timeout);
        lost_end::watch(&player);
        Ok(player)
    }

    /// Emits an action signal: `setup`, `play`, `pause` or `teardown`.
    pub fn command(&self, name: &str) {
        self.emit_by_name::<()>(name, &[]);
    }

    /// The current state.
    pub fn state(&self) -> State {
        self.property("state")
    }

    /// The position in the movie of the frame on screen; during a seek, its target.
    pub fn position(&self) -> Option<gst::ClockTime> {
        self.imp().position()
    }

    /// Length of the movie, if the source states it.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        self.imp().playbin()?.query_duration()
    }

    /// Number of frames in the movie, if the source states it.
    pub fn frames(&self) -> Option<u64> {
        let frames = self.imp().playbin()?.query_duration::<gst::format::Default>();
        frames.map(|frames| *frames).filter(|frames| *frames > 0)
    }

    /// Counts of what was received, shown and lost since SETUP.
    pub fn statistics(&self) -> Statistics {
        self.imp().statistics()
    }

    /// Sets the element that shows the pictures. Call this before `setup`.
    pub fn set_video_sink(&self, sink: &gst::Element) {
        self.imp().set_video_sink(sink);
    }

    /// Seeks to the frame at `position`. Of the seeks that are requested while one is in progress
    /// only the last is carried out.
    pub fn seek(&self, position: gst::ClockTime) {
        self.imp().apply(Input::Seek(position.into()));
    }

    /// Protocol of the source.
    pub fn protocol(&self) -> Protocol {
        self.imp().protocol()
    }

    /// The command that waits for its answer.
    pub fn pending(&self) -> Option<Command> {
        self.imp().pending()
    }

    /// Whether the source is seekable; `None` while this is unknown.
    pub fn seekable(&self) -> Option<bool> {
        let mut query = gst::query::Seeking::new(gst::Format::Time);
        self.imp().playbin()?.query(&mut query).then(|| query.result().0)
    }

    /// Playback rate; 1 is normal speed.
    pub fn rate(&self) -> f64 {
        self.imp().machine().rate()
    }

    /// Continues to play from `position` at `rate`, which must be above 0.
    pub fn set_rate(&self, rate: f64, position: gst::ClockTime) {
        self.imp().apply(Input::SetRate(rate, position.into()));
    }

    /// Whether it shows a single frame, or soon will: in READY, while PAUSE waits for its answer,
    /// and during a step.
    pub fn shows_still_picture(&self) -> bool {
        self.imp().machine().shows_still_picture()
    }

    /// Shows the frame at `position` and stays in READY. Of the steps that are requested while one
    /// is in progress only the last is carried out.
    pub fn step_to(&self, position: gst::ClockTime) {
        self.imp().apply(Input::StepTo(position.into()));
    }

    /// Whether the movie is played again and again.
    pub fn repeats(&self) -> bool {
        self.imp().machine().repeats()
    }

    /// The section that is played again and again.
    pub fn section(&self) -> Option<(Duration, Duration)> {
        self.imp().machine().section()
    }

    /// Sets whether the movie is played again and again.
    pub fn set_repeat(&self, repeat: bool) {
        self.imp().apply(Input::SetRepeat(repeat));
    }

    /// Plays the section from the first position to the second, the frames at both included, again and
    /// again; `None` ends this.
    pub fn set_section(&self, section: Option<(Duration, Duration)>) {
        self.imp().set_section(section);
    }

    /// Whether a session that is lost is opened again.
    pub fn set_reconnect(&self, reconnect: bool) {
        self.imp().set_reconnect(reconnect);
    }

    /// Whether a lost session is about to be opened again.
    pub fn reconnects(&self) -> bool {
        self.imp().machine().reconnects()
    }

    /// Starts to record the received frames into the movie file `path`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn start_recording(&self, path: &Path) -> std::io::Result<()> {
        self.imp().recorder().start(path)
    }

    /// Stops the recording; `None` if there is none.
    pub fn stop_recording(&self) -> Option<Recording> {
        self.imp().recorder().stop()
    }

    /// The recording in progress.
    pub fn recording(&self) -> Option<Recording> {
        self.imp().recorder().recording()
    }

    /// Starts to write a line of comma-separated values for each frame that arrives.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn start_frame_log(&self, path: &Path) -> std::io::Result<()> {
        self.imp().collector().start_frame_log(std::fs::File::create(path)?)
    }

    /// Ends the log of frames.
    ///
    /// # Errors
    /// If the file could not be written.
    pub fn finish_frame_log(&self) -> std::io::Result<()> {
        self.imp().collector().finish_frame_log()
    }

    /// Starts to record packets in the capture, which takes up to 80 MiB.
    pub fn record_packets(&self) {
        self.imp().collector().capture().record_packets();
    }

    /// What was exchanged with the server.
    pub fn capture(&self) -> Arc<Capture> {
        self.imp().collector().capture().clone()
    }

    /// Starts to record packets if there are files to save them in, and creates the files.
    pub(crate) fn start_capture(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        for path in files {
            // An error is reported before the play.
            std::fs::File::create(path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            self.record_packets();
        }
        Ok(())
    }

    /// Saves the capture in each of these files, in the format that the ending of its name states.
    pub(crate) fn save_packets(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        for path in files {
            let saved = self.capture().snapshot().save(path);
            saved.with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// The last packet that arrived.
    pub fn last_packet(&self) -> Option<Packet> {
        self.imp().collector().last_packet()
    }

    /// When the last packet arrived.
    pub fn last_arrival(&self) -> Option<std::time::Instant> {
        self.imp().collector().last_arrival()
    }

    /// The longest time between the arrivals of two frames since the last call.
    pub fn longest_gap(&self) -> Duration {
        self.imp().collector().take_longest_gap()
    }

    /// The failure that the server's silence for `limit` is.
    pub(crate) fn silence(&self, limit: Duration) -> Failure {
        self.imp().silence(limit)
    }

    /// Calls `f` at each failure that ends the stream.
    pub fn connect_error(&self, f: impl Fn(&Failure) + 'static) {
        self.on_signal("error", "player-error", move |values| {
            if let Some(failure) = values.get(1).and_then(|value| value.get::<&Failure>().ok()) {
                f(failure);
            }
        });
    }

    /// Calls `f` when a lost session is to be opened again: why it was lost, the number of the attempt from
    /// 1, and the wait before it.
    pub fn connect_reconnecting(&self, f: impl Fn(&Failure, u32, Duration) + 'static) {
        self.on_signal("reconnecting", "player-reconnecting", move |values| {
            let failure = values.get(1).and_then(|value| value.get::<&Failure>().ok());
            let attempt = values.get(2).and_then(|value| value.get::<u32>().ok());
            let wait = values.get(3).and_then(|value| value.get::<u64>().ok());
            if let (Some(failure), Some(attempt), Some(wait)) = (failure, attempt, wait) {
                f(failure, attempt, Duration::from_millis(wait));
            }
        });
    }

    /// Calls `f` when a command is refused in the current state.
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
        self.imp().connect_exchange(Rc::new(self.listener("player-exchange", f)));
    }

    /// Plays as soon as the first `setup` has been answered.
    pub(crate) fn play_when_first_ready(&self) {
        let first = Cell::new(true);
        self.connect_state(move |player| {
            if player.state() == State::Ready && first.replace(false) {
                player.command("play");
            }
        });
    }

    pub(crate) fn borders(&self) -> &Borders {
        self.imp().borders()
    }
}

/// Locks `mutex`, also after a panic of another holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn uri_of(source: &str, transport: Transport) -> Result<String, NewPlayerError> {
    for secure in ["", "s"] {
        if let Some(rest) = source.strip_prefix(&format!("rtsp{secure}://")) {
            // rtspsrc tunnels through HTTP if the scheme ends with h.
            let tunnel = if transport == Transport::Http { "h" } else { "" };
            return Ok(format!("rtsp{secure}{tunnel}://{}", encode_credentials(rest)));
        }
    }
    if source.starts_with(gstmjpegfile::labrtspsrc::SCHEME) && source.contains("://") {
        let location = gstmjpegfile::labrtspsrc::Location::parse(source);
        let lab_error = |error| NewPlayerError::Lab { address: blank_password(source), error };
        return Ok(location.map_err(lab_error)?.to_string());
    }
    if source.contains("://") {
        return Ok(source.to_owned());
    }
    let source_error = || NewPlayerError::Source(blank_password(source));
    let path = Path::new(source).canonicalize().map_err(|_| source_error())?;
    Ok(gst::glib::filename_to_uri(path, None).map_err(|_| source_error())?.into())
}

/// Writes the user and the password before the host as GStreamer reads them: with a colon between
/// them, and `@` only before the host.
fn encode_credentials(rest: &str) -> String {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((credentials, host)) = authority.rsplit_once('@') else { return rest.to_owned() };
    if credentials.contains('@') {
        tracing::warn!(
            "the address has more than one @: the last one ends the password. Write @ in a password \
             as %40"
        );
    }
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let encoded = |text: &str| text.replace('@', "%40");
    format!("{}:{}@{host}{path}", encoded(user), encoded(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_errors_states_the_cause_once() {
        let error = uri_of("labrtsp://127.0.0.1:1025/", Transport::Auto);
        let error = anyhow::Error::from(error.expect_err("the URL has no movie"));
        let cause = gstmjpegfile::labrtspsrc::LocationError::File;
        let want = format!("the address labrtsp://127.0.0.1:1025/ is wrong: {cause}");
        assert_eq!(format!("{error:#}"), want);
    }
    #[test]
    fn users_and_passwords_are_written_as_gstreamer_reads_them() {
        let rows = [
            ("rtsp://h/m", Transport::Auto, "rtsp://h/m"),
            ("rtsp://u:p@h/m@2", Transport::Auto, "rtsp://u:p@h/m@2"),
            ("rtsp://u@h:8554/m", Transport::Auto, "rtsp://u:@h:8554/m"),
            ("rtsp://u:p@ss@h/m", Transport::Auto, "rtsp://u:p%40ss@h/m"),
            ("rtsp://u:a:b@[::1]:1/m?x", Transport::Tcp, "rtsp://u:a:b@[::1]:1/m?x"),
            ("rtsp://u:p@h/m", Transport::Http, "rtsph://u:p@h/m"),
            ("rtsps://u@h", Transport::Http, "rtspsh://u:@h"),
        ];
        for (source, transport, want) in rows {
            assert_eq!(uri_of(source, transport).ok().as_deref(), Some(want), "{source}");
        }
    }
}
