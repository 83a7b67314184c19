// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state machine of one connection: INIT, READY, PLAYING.

use super::Service;
use super::sender::{Position, Sender};
use crate::catalog::Mount;
use gstmjpegfile::lab::{Form, Method, Request, RequestError, Status};
use gstmjpegfile::movie_file::MovieFile;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Ports below are not a student's.
const LEAST_PORT: u16 = 1024;

/// How long DESCRIBE waits for the number of frames.
const INDEX: Duration = Duration::from_millis(100);

/// Six digits.
fn session_number() -> u32 {
    100_000 + random() % 900_000
}

fn random() -> u32 {
    // Without random numbers the system has worse problems than a session that can be guessed.
    getrandom::u32().unwrap_or(0x5eed)
}

/// A movie that is set up.
struct Stream {
    file: String,
    sender: Sender,
    /// The task that sends, in PLAYING.
    task: Option<JoinHandle<()>>,
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
    stream: Option<Stream>,
}

impl Session {
    pub fn new(service: Arc<Service>, peer: SocketAddr) -> Self {
        Self { service, peer, number: session_number(), stream: None }
    }

    /// The reply to what is no request.
    pub fn refuse(error: RequestError, form: Form, cseq: Option<u64>) -> String {
        tracing::debug!("lab: {error}");
        let status = match error {
            RequestError::Method => Status::NotImplemented,
            RequestError::SequenceNumber | RequestError::File | RequestError::Port => {
                Status::BadRequest
            }
        };
        status.write(cseq.unwrap_or(0), 0, form)
    }

    fn state(&self) -> State {
        match &self.stream {
            None => State::Init,
            // At the end of the movie the task has ended by itself.
            Some(stream) if stream.task.as_ref().is_some_and(|task| !task.is_finished()) => {
                State::Playing
            }
            Some(_) => State::Ready,
        }
    }

    /// Does what is asked; gives the reply.
    pub async fn answer(&mut self, request: &Request) -> String {
        let (status, body) = self.act(request).await;
        let mut reply = status.write(request.cseq, self.number, request.form);
        if let Some(body) = body.filter(|_| status == Status::Ok) {
            if !request.form.blank_line {
                reply.push_str(request.form.line_end.as_str());
            }
            reply.push_str(&body);
        }
        reply
    }

    async fn act(&mut self, request: &Request) -> (Status, Option<String>) {
        let state = self.state();
        let other = request.session.is_some_and(|session| session != u64::from(self.number));
        if other && state != State::Init {
            return (Status::SessionNotFound, None);
        }
        match request.method {
            Method::Describe => return self.describe(request),
            Method::List => return (Status::Ok, Some(self.list(request.form))),
            _ => {}
        }
        let status = match (request.method, state) {
            (Method::Setup, _) => self.set_up(request).await,
            (Method::Teardown, _) => {
                self.end();
                Status::Ok
            }
            // What leads to the state that there is changes nothing.
            (Method::Play, State::Playing)
            | (Method::Pause, State::Ready)
            | (Method::Options | Method::Describe | Method::List, _) => Status::Ok,
            (_, State::Init) => Status::MethodNotValidInThisState,
            (Method::Switch, _) => self.switch(request).await,
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
            (Method::Speed(halves), state) => {
                self.set_speed(halves, state);
                Status::Ok
            }
        };
        (status, None)
    }

    async fn set_up(&mut self, request: &Request) -> Status {
        let (Some(file), Some(port)) = (&request.file, request.rtp_port) else {
            return Status::BadRequest;
        };
        if port < LEAST_PORT {
            return Status::BadRequest;
        }
        let same = |stream: &Stream| stream.file == *file && stream.sender.to.port() == port;
        if self.stream.as_ref().is_some_and(same) {
            return Status::Ok;
        }
        self.open(file, port).await
    }

    async fn switch(&mut self, request: &Request) -> Status {
        let port = self.stream.as_ref().map(|stream| stream.sender.to.port());
        match (&request.file, port) {
            (Some(file), Some(port)) => self.open(file, port).await,
            _ => Status::BadRequest,
        }
    }

    async fn open(&mut self, file: &str, port: u16) -> Status {
        let Some((mount, movie)) = self.movie(file) else { return Status::NotFound };
        tracing::debug!(peer = %self.peer, mount = %mount.point, "lab set up");
        let wildcard: IpAddr = match self.peer.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = match UdpSocket::bind((wildcard, 0)).await {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                tracing::error!(peer = %self.peer, "no UDP socket: {error}");
                return Status::InternalServerError;
            }
        };
        self.end();
        let sender = Sender {
            position: Arc::new(Mutex::new(Position::new(movie, random()))),
            socket,
            to: SocketAddr::new(self.peer.ip(), port),
            framerate: self.service.framerate,
            looping: self.service.looping,
            oversize: self.service.oversize,
            fragments: self.service.fragments,
        };
        self.stream = Some(Stream { file: file.to_owned(), sender, task: None });
        Status::Ok
    }

    /// The movie of a name, opened; `None` if it is not there, or holds no frame.
    fn movie(&self, file: &str) -> Option<(Mount, Arc<MovieFile>)> {
        let mount = self.service.find(file)?.clone();
        let movie = MovieFile::open(&mount.file);
        let movie = movie.inspect_err(|error| tracing::warn!("{error}")).ok()?;
        let empty = movie.total_frames() == Some(0);
        if empty {
            tracing::warn!(path = %mount.file.display(), "no frame in it");
        }
        (!empty).then_some((mount, movie))
    }

    fn play(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.task = Some(tokio::spawn(stream.sender.clone().run()));
        }
    }

    fn stop(&mut self) {
        if let Some(task) = self.stream.as_mut().and_then(|stream| stream.task.take()) {
            task.abort();
        }
    }

    /// Ends what is set up: INIT.
    pub fn end(&mut self) {
        self.stop();
        self.stream = None;
    }

    /// Goes to the frame that `place` makes of the present one and the number of all.
    fn go_to(&mut self, place: impl FnOnce(u64, u64) -> u64) {
        if let Some(stream) = &self.stream {
            let mut position =
                stream.sender.position.lock().unwrap_or_else(PoisonError::into_inner);
            let frames = position.movie.frames();
            position.next = place(position.next, frames).min(frames.saturating_sub(1));
        }
    }

    fn set_speed(&mut self, halves: u8, state: State) {
        self.stop();
        if let Some(stream) = &self.stream {
            let mut position =
                stream.sender.position.lock().unwrap_or_else(PoisonError::into_inner);
            position.speed = halves;
        }
        if state == State::Playing {
            self.play();
        }
    }

    /// An SDP, as far as the lab's clients look at one.
    fn describe(&self, request: &Request) -> (Status, Option<String>) {
        let set_up = self.stream.as_ref().map(|stream| stream.file.clone());
        let Some((_, movie)) = request.file.clone().or(set_up).and_then(|file| self.movie(&file))
        else {
            return (Status::NotFound, None);
        };
        let port = self.stream.as_ref().map_or(0, |stream| stream.sender.to.port());
        let rate = self.service.framerate;
        let frames = movie.wait_total(INDEX).unwrap_or_else(|| movie.frames());
        let lines = [
            "v=0".to_owned(),
            format!("m=video {port} RTP/AVP 26"),
            "a=rtpmap:26 JPEG/90000".to_owned(),
            format!("a=framerate:{}", f64::from(rate.numerator()) / f64::from(rate.denominator())),
            format!("a=x-total-frames:{frames}"),
        ];
        (Status::Ok, Some(text_of(lines.into_iter(), request.form)))
    }

    fn list(&self, form: Form) -> String {
        let names = self.service.catalog.mounts().map(|mount| mount.point.trim_matches('/'));
        text_of(names.map(ToOwned::to_owned), form)
    }
}

/// The frame at a place from 0 to 1. A number of frames is far below 2^52.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn at_place(frames: u64, place: f64) -> u64 {
    (frames as f64 * place) as u64
}

fn text_of(lines: impl Iterator<Item = String>, form: Form) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a String does not fail.
        let _ = write!(text, "{line}{}", form.line_end.as_str());
    }
    text
}
