// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers the requests of one lab connection, by its state: INIT, READY or PLAYING.

use super::Service;
use super::explainer::Explainer;
use super::frame_sink::{LabFetcher, LabSink};
use crate::access::HIDDEN_FROM_NETWORK;
use crate::connection::limits::Origin;
use crate::mount::Mount;
use crate::observe::sessions::{self as observed, NewMedia, SessionGuard, Transport};
use crate::random;
use crate::send::counts::SendCounts;
use crate::send::stream::{Resources, Stream};
use crate::send::timeline::Plan;
use crate::send::{PlaybackMode, SendContext};
use crate::viewers::ViewerSlot;
use gstmjpegfile::lab::{FourthLine, LineFormat, MIN_PORT, Method, Request, RequestError, Status};
use gstmjpegfile::movie::Nanoseconds;
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The send buffer of a UDP socket in bytes: room for several of the largest packets.
const SEND_BUFFER: usize = 1024 * 1024;

/// How long a reply waits for the number of frames.
const INDEX_LIMIT: Duration = Duration::from_millis(100);

/// The normal speed, in half speeds.
const NORMAL_SPEED: u8 = 2;

/// A random session number of six digits.
fn session_number() -> u32 {
    100_000 + random() % 900_000
}

/// The movie that SETUP has opened.
struct OpenedMovie {
    mount: Arc<Mount>,
    file: String,
    /// The RTP port of the client.
    rtp_peer: SocketAddr,
    stream: Arc<Stream<LabSink>>,
    /// The speed in half speeds.
    speed: u8,
    /// Counts the viewer from the first PLAY on.
    viewer: Option<ViewerSlot>,
    /// What was sent.
    counts: Arc<SendCounts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Init,
    Ready,
    Playing,
}

/// The session of one connection.
pub(super) struct Session {
    service: Arc<Service>,
    peer: SocketAddr,
    origin: Origin,
    number: u32,
    explainer: Explainer,
    movie: Option<OpenedMovie>,
    /// The number of packets that have been sent since the last TEARDOWN, without those of the open movie.
    packets: u64,
    /// The name of the dialect of the last request.
    pub dialect: &'static str,
    /// What people can see of the session.
    pub observed: Option<SessionGuard>,
}

impl Session {
    pub fn new(
        service: Arc<Service>,
        peer: SocketAddr,
        origin: Origin,
        explainer: Explainer,
        observed: Option<SessionGuard>,
    ) -> Self {
        let (number, packets) = (session_number(), 0);
        let (movie, dialect) = (None, "");
        Self { service, peer, origin, number, explainer, movie, packets, dialect, observed }
    }

    /// The state, for people.
    pub fn observed_state(&self) -> observed::State {
        match self.state() {
            State::Init => observed::State::Init,
            State::Ready => observed::State::Ready,
            State::Playing => observed::State::Playing,
        }
    }

    /// The reply to bytes that cannot be read as a request.
    pub fn refuse(error: RequestError, form: LineFormat, cseq: Option<u64>) -> String {
        tracing::debug!("lab request refused: {error}");
        let status = match error {
            RequestError::Method => Status::NotImplemented,
            RequestError::SequenceNumber
            | RequestError::File
            | RequestError::NoPort
            | RequestError::Port => Status::BadRequest,
        };
        status.write(cseq.unwrap_or(0), 0, form)
    }

    /// Whether frames are being sent.
    pub fn is_playing(&self) -> bool {
        self.state() == State::Playing
    }

    fn state(&self) -> State {
        match &self.movie {
            None => State::Init,
            // At the end of the movie, the stream stops.
            Some(movie) if movie.stream.is_playing() => State::Playing,
            Some(_) => State::Ready,
        }
    }

    /// Carries out a request, and returns the reply.
    pub fn answer(&mut self, request: &Request) -> String {
        let status = self.execute(request);
        let format = request.line_format;
        let mut lines = status.lines(request.cseq, self.number, format);
        if status != Status::Ok {
            return format.join(&lines);
        }
        match request.method {
            Method::Setup => lines.extend(request.fourth_line.and_then(|it| self.setup_line(it))),
            Method::Teardown => {
                let packets = std::mem::take(&mut self.packets);
                lines.extend(request.fourth_line.and_then(|it| it.in_teardown(packets)));
            }
            // The names follow the three header lines without a blank line.
            Method::List | Method::Switch => lines.extend(self.names()),
            Method::Describe => {
                let Some(description) = self.describe(request) else {
                    return Status::NotFound.write(request.cseq, self.number, format);
                };
                lines.push(String::new());
                lines.extend(description);
                return LineFormat { blank_line: false, ..format }.join(&lines);
            }
            _ => {}
        }
        format.join(&lines)
    }

    /// The fourth line of the reply to SETUP.
    fn setup_line(&self, line: FourthLine) -> Option<String> {
        let OpenedMovie { stream, .. } = self.movie.as_ref()?;
        Some(line.in_setup(frames_of(&stream.movie())))
    }

    fn execute(&mut self, request: &Request) -> Status {
        let end_reason =
            |movie: &OpenedMovie| self.service.end_reason(&movie.mount, self.peer.ip());
        if let Some(reason) = self.movie.as_ref().and_then(end_reason) {
            self.end(reason);
        }
        let state = self.state();
        let is_other = request.session.is_some_and(|session| session != u64::from(self.number));
        if is_other && state != State::Init {
            return Status::SessionNotFound;
        }
        match (request.method, state) {
            (Method::Setup, _) => self.set_up(request),
            (Method::Teardown, _) => {
                self.end("TEARDOWN");
                Status::Ok
            }
            // Requests for the present state change nothing.
            (Method::Play, State::Playing)
            | (Method::Pause, State::Ready)
            | (Method::Options | Method::Describe | Method::List, _)
            | (Method::Switch, State::Init) => Status::Ok,
            (Method::Forward | Method::Backward | Method::Seek | Method::Speed(_), _)
                if self.movie.as_ref().is_some_and(|it| it.mount.mode().live_since.is_some()) =>
            {
                Status::MethodNotValidInThisState
            }
            (_, State::Init) => Status::MethodNotValidInThisState,
            (Method::Switch, _) => self.switch(request),
            (Method::Play, State::Ready) => {
                if !self.may_play() {
                    return Status::NotEnoughBandwidth;
                }
                if let Some(frame) = request.start_frame {
                    self.seek_to_frame(|_, _| frame);
                }
                self.play();
                Status::Ok
            }
            (Method::Pause, State::Playing) => {
                self.stop();
                Status::Ok
            }
            (Method::Forward, _) => {
                self.seek_to_frame(|frame, frames| frame + frames / 10);
                Status::Ok
            }
            (Method::Backward, _) => {
                self.seek_to_frame(|frame, frames| frame.saturating_sub(frames / 10));
                Status::Ok
            }
            (Method::Seek, _) => match request.seek {
                Some(fraction) => {
                    self.seek_to_frame(|_, frames| frame_at_fraction(frames, fraction));
                    Status::Ok
                }
                None => Status::BadRequest,
            },
            (Method::Speed(halves), _) => {
                self.set_speed(halves);
                Status::Ok
            }
        }
    }

    fn set_up(&mut self, request: &Request) -> Status {
        let (Some(file), Some(port)) = (&request.file, request.rtp_port) else {
            return Status::BadRequest;
        };
        if port < MIN_PORT {
            return Status::BadRequest;
        }
        let is_same = |it: &OpenedMovie| it.file == *file && it.rtp_peer.port() == port;
        if self.movie.as_ref().is_some_and(is_same) {
            return Status::Ok;
        }
        self.open(file, port)
    }

    /// Opens another movie, if the request names one. Otherwise it asks only for the names in the
    /// reply.
    fn switch(&mut self, request: &Request) -> Status {
        let present = self.movie.as_ref().map(|it| (it.file.clone(), it.rtp_peer.port()));
        match (&request.file, present) {
            (Some(file), Some((present, port))) if *file != present => self.open(file, port),
            _ => Status::Ok,
        }
    }

    fn open(&mut self, file: &str, port: u16) -> Status {
        let Some((mount, movie)) = self.open_file(file) else { return Status::NotFound };
        tracing::debug!(peer = %self.peer, mount = %mount.point, "lab movie opened");
        // With the scope of a link-local address.
        let mut rtp_peer = self.peer;
        rtp_peer.set_port(port);
        let socket = match rtp_socket(rtp_peer) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(peer = %self.peer, "cannot open a UDP socket: {error}");
                return Status::InternalServerError;
            }
        };
        let SendContext { pacers, limit_log, workers, observatory, .. } = &self.service.context;
        let (mode, settings) = (mount.mode(), &mount.settings);
        let Some(pacer) = pacers.pick() else { return Status::InternalServerError };
        let (oversize, fragments) = (settings.lab_oversize, settings.lab_fragment);
        let metrics = observatory.as_ref().map(|observatory| observatory.metrics.clone());
        let fetcher = LabFetcher { oversize, fragments, metrics };
        let counts: Arc<SendCounts> = Arc::default();
        let sink = LabSink::new(
            socket,
            rtp_peer,
            mode.framerate,
            &fetcher,
            self.explainer.clone(),
            limit_log.clone(),
            counts.clone(),
        );
        let resources = Arc::new(Resources { fetcher, workers: workers.clone() });
        let stream = Stream::new(movie, mode, Timestamp::default(), resources, pacer, sink);
        self.end("another movie was opened");
        self.service.add_stream(&stream, &mount, self.peer.ip());
        if let Some(observed) = &self.observed {
            let (mount, counts) = (mount.point.clone(), counts.clone());
            observed.open_media(NewMedia { mount, transport: Transport::Udp, user: None, counts });
        }
        let (file, speed) = (file.to_owned(), NORMAL_SPEED);
        self.movie =
            Some(OpenedMovie { mount, file, rtp_peer, stream, speed, viewer: None, counts });
        Status::Ok
    }

    /// Opens a movie by its name; `None` if there is no such movie or it has no frame.
    fn open_file(&self, file: &str) -> Option<(Arc<Mount>, Arc<MovieFile>)> {
        let mount = self.service.catalog.get().find_file_name(file)?.clone();
        if !self.may_watch(&mount) {
            if !self.service.access.get().is_visible(&mount, self.peer.ip()) {
                self.service.context.limit_log.count(HIDDEN_FROM_NETWORK, self.peer);
            }
            // As if there were no such movie.
            return None;
        }
        let movie = mount.open();
        let movie = movie.inspect_err(|error| tracing::warn!("{error}")).ok()?;
        let empty = movie.total_frames() == Some(0);
        if empty {
            tracing::warn!(path = %mount.file.display(), "the movie has no frame");
        }
        (!empty).then_some((mount, movie))
    }

    /// Whether this client may watch a movie, although it cannot log in.
    fn may_watch(&self, mount: &Mount) -> bool {
        self.service.access.get().may_watch_in_lab(mount, self.peer.ip())
    }

    /// Counts the viewer, unless it has been counted. Returns `false` if the limit of viewers is
    /// reached.
    fn may_play(&mut self) -> bool {
        let Some(movie) = self.movie.as_mut().filter(|movie| movie.viewer.is_none()) else {
            return true;
        };
        let SendContext { viewers, limits, limit_log, .. } = &self.service.context;
        match viewers.admit(&movie.mount, self.origin, &limits.get()) {
            Ok(slot) => movie.viewer = Some(slot),
            Err(limit) => limit_log.count(limit.kind(), self.peer),
        }
        movie.viewer.is_some()
    }

    /// Plays from the present position; a live movie from its live position.
    fn play(&self) {
        let Some(movie) = &self.movie else { return };
        let mode = movie.mount.mode();
        let start = match mode.live_since {
            Some(since) => u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX),
            None => movie.stream.position().nanoseconds,
        };
        let speed = f64::from(movie.speed) / f64::from(NORMAL_SPEED);
        if let Some(observed) = &self.observed {
            observed.play_starts(Instant::now());
        }
        movie.stream.play(Plan::new(mode.framerate, start, None, 1.0, speed));
    }

    fn stop(&self) {
        if let Some(movie) = &self.movie {
            movie.stream.stop();
        }
    }

    /// Stops and closes the movie: the state becomes INIT. Logs what was sent, and why it ended.
    pub fn end(&mut self, reason: &str) {
        self.stop();
        let Some(OpenedMovie { mount, counts, .. }) = self.movie.take() else { return };
        if let Some(observed) = &self.observed {
            observed.close_media();
        }
        let (frames, packets) = (counts.frames(), counts.packets());
        self.packets += packets;
        let (peer, mount, dialect) = (self.peer, &mount.point, self.dialect);
        tracing::info!(%peer, %mount, dialect, frames, packets, "session ended: {reason}");
    }

    /// Seeks to the frame that `choose` returns for the present frame and the number of all frames.
    fn seek_to_frame(&self, choose: impl FnOnce(u64, u64) -> u64) {
        let Some(OpenedMovie { mount, stream, .. }) = &self.movie else { return };
        let frames = stream.movie().frames().max(1);
        let rate = mount.mode().framerate;
        // The position in a looping movie counts on over its passes.
        let present = rate.frame_at(Nanoseconds::new(stream.position().nanoseconds)) % frames;
        let playing = stream.is_playing();
        stream.seek(rate.start_of(choose(present, frames).min(frames - 1)).get());
        if playing {
            self.play();
        }
    }

    fn set_speed(&mut self, halves: u8) {
        let Some(movie) = &mut self.movie else { return };
        movie.speed = halves.max(1);
        if movie.stream.is_playing() {
            movie.stream.stop();
            self.play();
        }
    }

    /// The lines of an SDP that the lab's clients read; `None` without a movie.
    fn describe(&self, request: &Request) -> Option<Vec<String>> {
        let opened = self.movie.as_ref().map(|it| it.file.clone());
        let (mount, movie) = self.open_file(&request.file.clone().or(opened)?)?;
        let port = self.movie.as_ref().map_or(0, |it| it.rtp_peer.port());
        let PlaybackMode { framerate: rate, live_since, .. } = *mount.mode();
        let mut lines = vec![
            "v=0".to_owned(),
            format!("m=video {port} RTP/AVP 26"),
            "a=rtpmap:26 JPEG/90000".to_owned(),
            format!("a=framerate:{}", rate.frames_per_second()),
        ];
        // Clients cannot seek in a live movie.
        if live_since.is_none() {
            lines.push(format!("a=x-total-frames:{}", frames_of(&movie)));
        }
        Some(lines)
    }

    /// The names of all movies.
    fn names(&self) -> Vec<String> {
        let catalog = self.service.catalog.get();
        let mounts = catalog.mounts().filter(|mount| self.may_watch(mount));
        mounts.map(|mount| mount.point.trim_matches('/').to_owned()).collect()
    }
}

/// The number of frames of a movie, to the extent that it is known after a short wait.
fn frames_of(movie: &MovieFile) -> u64 {
    movie.wait_total(INDEX_LIMIT).unwrap_or_else(|| movie.frames())
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end("closed for a new connection");
    }
}

/// Opens the socket from which RTP is sent to a client. It is non-blocking, since a pacer sends for many sessions,
/// and connected: the kernel finds the route once, and not for each packet.
fn rtp_socket(peer: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The system may allow less.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.connect(&peer.into())?;
    Ok(socket)
}

/// The frame at a fraction of the movie, from 0 to 1. The number of frames is far below 2^52.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn frame_at_fraction(frames: u64, fraction: f64) -> u64 {
    (frames as f64 * fraction) as u64
}
