// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state machine of one connection: INIT, READY, PLAYING.

use super::Service;
use super::explainer::Explainer;
use super::outlet::LabOutlet;
use crate::mount::Mount;
use crate::random;
use crate::send::stream::Stream;
use crate::send::timeline::Plan;
use gstmjpegfile::lab::{LineFormat, Method, Request, RequestError, Status};
use gstmjpegfile::movie::Nanoseconds;
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Ports below are not a student's.
const LEAST_PORT: u16 = 1024;

/// What the kernel holds of packets that the network does not take: several of the largest.
const SEND_BUFFER: usize = 1024 * 1024;

/// How long DESCRIBE waits for the number of frames.
const INDEX: Duration = Duration::from_millis(100);

/// The usual speed, in halves of it.
const USUAL_SPEED: u8 = 2;

/// Six digits.
fn session_number() -> u32 {
    100_000 + random() % 900_000
}

/// A movie that is set up.
struct SetUp {
    file: String,
    to: SocketAddr,
    stream: Arc<Stream<LabOutlet>>,
    /// In halves of the usual frame rate.
    speed: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Init,
    Ready,
    Playing,
}

/// One connection's session.
pub(super) struct Session {
    service: Arc<Service>,
    peer: SocketAddr,
    number: u32,
    explainer: Explainer,
    set_up: Option<SetUp>,
}

impl Session {
    pub fn new(service: Arc<Service>, peer: SocketAddr, explainer: Explainer) -> Self {
        Self { service, peer, explainer, number: session_number(), set_up: None }
    }

    /// The reply to what is no request.
    pub fn refuse(error: RequestError, form: LineFormat, cseq: Option<u64>) -> String {
        tracing::debug!("lab: {error}");
        let status = match error {
            RequestError::Method => Status::NotImplemented,
            RequestError::SequenceNumber | RequestError::File | RequestError::Port => {
                Status::BadRequest
            }
        };
        status.write(cseq.unwrap_or(0), 0, form)
    }

    /// Whether frames are being sent.
    pub fn is_playing(&self) -> bool {
        self.state() == State::Playing
    }

    fn state(&self) -> State {
        match &self.set_up {
            None => State::Init,
            // At the end of the movie it has stopped by itself.
            Some(set_up) if set_up.stream.is_playing() => State::Playing,
            Some(_) => State::Ready,
        }
    }

    /// Does what is asked; gives the reply.
    pub fn answer(&mut self, request: &Request) -> String {
        let status = self.act(request);
        let blank = request.line_format.line_end.as_str();
        let lines = LineFormat { blank_line: false, ..request.line_format };
        let names = matches!(request.method, Method::List | Method::Switch);
        if names && status == Status::Ok {
            // The names follow the three lines.
            let reply = status.write(request.cseq, self.number, lines);
            let last = if request.line_format.blank_line { blank } else { "" };
            return reply + &self.list(request.line_format) + last;
        }
        if request.method == Method::Describe && status == Status::Ok {
            let Some(description) = self.describe(request) else {
                return Status::NotFound.write(request.cseq, self.number, request.line_format);
            };
            return status.write(request.cseq, self.number, lines) + blank + &description;
        }
        status.write(request.cseq, self.number, request.line_format)
    }

    fn act(&mut self, request: &Request) -> Status {
        let state = self.state();
        let other = request.session.is_some_and(|session| session != u64::from(self.number));
        if other && state != State::Init {
            return Status::SessionNotFound;
        }
        match (request.method, state) {
            (Method::Setup, _) => self.answer_setup(request),
            (Method::Teardown, _) => {
                self.end();
                Status::Ok
            }
            // What leads to the state that there is changes nothing.
            (Method::Play, State::Playing)
            | (Method::Pause, State::Ready)
            | (Method::Options | Method::Describe | Method::List, _)
            | (Method::Switch, State::Init) => Status::Ok,
            (Method::Forward | Method::Backward | Method::Seek | Method::Speed(_), _)
                if self.service.mode.live_since.is_some() =>
            {
                Status::MethodNotValidInThisState
            }
            (_, State::Init) => Status::MethodNotValidInThisState,
            (Method::Switch, _) => self.switch(request),
            (Method::Play, State::Ready) => {
                if let Some(frame) = request.start_frame {
                    self.go_to(|_, _| frame);
                }
                self.play();
                Status::Ok
            }
            (Method::Pause, State::Playing) => {
                self.stop();
                Status::Ok
            }
            (Method::Forward, _) => {
                self.go_to(|frame, frames| frame + frames / 10);
                Status::Ok
            }
            (Method::Backward, _) => {
                self.go_to(|frame, frames| frame.saturating_sub(frames / 10));
                Status::Ok
            }
            (Method::Seek, _) => match request.seek {
                Some(place) => {
                    self.go_to(|_, frames| at_place(frames, place));
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

    fn answer_setup(&mut self, request: &Request) -> Status {
        let (Some(file), Some(port)) = (&request.file, request.rtp_port) else {
            return Status::BadRequest;
        };
        if port < LEAST_PORT {
            return Status::BadRequest;
        }
        let same = |it: &SetUp| it.file == *file && it.to.port() == port;
        if self.set_up.as_ref().is_some_and(same) {
            return Status::Ok;
        }
        self.open(file, port)
    }

    /// Another movie, where one is named; otherwise its reply's names are what is asked for.
    fn switch(&mut self, request: &Request) -> Status {
        let present = self.set_up.as_ref().map(|it| (it.file.clone(), it.to.port()));
        match (&request.file, present) {
            (Some(file), Some((present, port))) if *file != present => self.open(file, port),
            _ => Status::Ok,
        }
    }

    fn open(&mut self, file: &str, port: u16) -> Status {
        let Some((mount, movie)) = self.movie(file) else { return Status::NotFound };
        tracing::debug!(peer = %self.peer, mount = %mount.point, "lab set up");
        let socket = match rtp_socket(self.peer.ip()) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(peer = %self.peer, "no UDP socket: {error}");
                return Status::InternalServerError;
            }
        };
        let Some(pacer) = self.service.pacers.pick() else { return Status::InternalServerError };
        self.end();
        let to = SocketAddr::new(self.peer.ip(), port);
        let (mode, resources) = (self.service.mode, self.service.resources.clone());
        let explainer = self.explainer.clone();
        let outlet = LabOutlet::new(socket, to, mode.framerate, resources.frames, explainer);
        let played = (mode.framerate, mode.looping);
        let stream = Stream::new(movie, played, Timestamp::default(), resources, pacer, outlet);
        self.set_up = Some(SetUp { file: file.to_owned(), to, stream, speed: USUAL_SPEED });
        Status::Ok
    }

    /// The movie of a name, opened; `None` if it is not there, or holds no frame.
    fn movie(&self, file: &str) -> Option<(Arc<Mount>, Arc<MovieFile>)> {
        let mount = self.service.catalog.find_base_name(file)?.clone();
        let movie = mount.open();
        let movie = movie.inspect_err(|error| tracing::warn!("{error}")).ok()?;
        let empty = movie.total_frames() == Some(0);
        if empty {
            tracing::warn!(path = %mount.file.display(), "no frame in it");
        }
        (!empty).then_some((mount, movie))
    }

    /// Plays from where it stands; a live movie from where that is.
    fn play(&self) {
        let Some(set_up) = &self.set_up else { return };
        let start = match self.service.mode.live_since {
            Some(since) => u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX),
            None => set_up.stream.position().nanoseconds,
        };
        let speed = f64::from(set_up.speed) / f64::from(USUAL_SPEED);
        set_up.stream.play(Plan::new(self.service.mode.framerate, start, None, 1.0, speed));
    }

    fn stop(&self) {
        if let Some(set_up) = &self.set_up {
            set_up.stream.stop();
        }
    }

    /// Ends what is set up: INIT.
    pub fn end(&mut self) {
        self.stop();
        self.set_up = None;
    }

    /// Goes to the frame that `choose` makes of the present one and the number of all.
    fn go_to(&self, choose: impl FnOnce(u64, u64) -> u64) {
        let Some(SetUp { stream, .. }) = &self.set_up else { return };
        let frames = stream.movie().frames().max(1);
        let rate = self.service.mode.framerate;
        // A looping movie counts on over its passes.
        let present = rate.frame_at(Nanoseconds::new(stream.position().nanoseconds)) % frames;
        let playing = stream.is_playing();
        stream.go_to(rate.start_of(choose(present, frames).min(frames - 1)).get());
        if playing {
            self.play();
        }
    }

    fn set_speed(&mut self, halves: u8) {
        let Some(set_up) = &mut self.set_up else { return };
        set_up.speed = halves.max(1);
        if set_up.stream.is_playing() {
            set_up.stream.stop();
            self.play();
        }
    }

    /// An SDP, as far as the lab's clients look at one; `None` without a movie.
    fn describe(&self, request: &Request) -> Option<String> {
        let set_up = self.set_up.as_ref().map(|it| it.file.clone());
        let (_, movie) = self.movie(&request.file.clone().or(set_up)?)?;
        let port = self.set_up.as_ref().map_or(0, |it| it.to.port());
        let rate = self.service.mode.framerate;
        let live = self.service.mode.live_since.is_some();
        let frames = movie.wait_total(INDEX).unwrap_or_else(|| movie.frames());
        let lines = [
            "v=0".to_owned(),
            format!("m=video {port} RTP/AVP 26"),
            "a=rtpmap:26 JPEG/90000".to_owned(),
            format!("a=framerate:{}", rate.frames_per_second()),
        ];
        // Nobody seeks in what is live.
        let frames = (!live).then(|| format!("a=x-total-frames:{frames}"));
        Some(text_of(lines.into_iter().chain(frames), request.line_format))
    }

    fn list(&self, form: LineFormat) -> String {
        let names = self.service.catalog.mounts().map(|mount| mount.point.trim_matches('/'));
        text_of(names.map(ToOwned::to_owned), form)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // However its connection has ended.
        self.end();
    }
}

/// The socket that a session's RTP is sent from. It never blocks who sends for many sessions.
fn rtp_socket(peer: IpAddr) -> std::io::Result<Socket> {
    let (domain, wildcard): (_, IpAddr) = match peer {
        IpAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The system may allow less.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.bind(&SocketAddr::new(wildcard, 0).into())?;
    Ok(socket)
}

/// The frame at a place from 0 to 1. A number of frames is far below 2^52.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn at_place(frames: u64, place: f64) -> u64 {
    (frames as f64 * place) as u64
}

fn text_of(lines: impl Iterator<Item = String>, form: LineFormat) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a String does not fail.
        let _ = write!(text, "{line}{}", form.line_end.as_str());
    }
    text
}
