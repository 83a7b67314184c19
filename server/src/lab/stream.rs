// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a session is sent: its movie from a place on, each frame at the begin plus n periods, so
//! that nothing drifts.

use super::explainer::Explainer;
use crate::config::{Fragments, Oversize};
use crate::pacer::{Paced, Pacer, new_id};
use crate::workers::Workers;
use gstmjpegfile::jpeg::encode_within;
use gstmjpegfile::movie::{FrameLocation, FrameRate};
use gstmjpegfile::movie_file::{Lookup, MovieFile};
use gstmjpegfile::rtp::{LabPacketizer, MAX_LAB_FRAME, RtpHeader};
use socket2::{SockAddr, Socket};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Payload of a fragment, in bytes: with the headers it fits Ethernet's 1500.
const FRAGMENT: usize = 1400;

/// Until the index has got further.
const INDEX: Duration = Duration::from_millis(10);

/// Later than this, a frame's lateness is forgiven: the frames behind it are not sent in a rush.
const LATE: Duration = Duration::from_secs(1);

/// Clients cut what is longer than their buffer of 20 480 bytes.
const CLIENT_BUFFER: usize = 20_480 - 12;

/// How all sessions are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub framerate: FrameRate,
    pub looping: bool,
    /// When the movies began, if they are live: all see the same of them.
    pub live: Option<Instant>,
    pub oversize: Oversize,
    pub fragments: Fragments,
}

/// Where the sending stands.
#[derive(Debug)]
struct Position {
    /// The frame that is sent next, from 0.
    next: u64,
    packetizer: LabPacketizer,
    /// In halves of the usual frame rate.
    speed: u8,
    /// Which play is under way; `None` when it is stopped.
    playing: Option<Play>,
    plays: u64,
    said: Said,
}

/// What the log has said of this session.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is said once, by itself")]
struct Said {
    large: bool,
    oversize: bool,
    wrap: bool,
    not_sent: bool,
}

#[derive(Debug, Clone, Copy)]
struct Play {
    number: u64,
    /// When frame 0 of this play was due, and how many were sent since.
    begin: Instant,
    ticks: u64,
    /// The first packet has been explained.
    explained: bool,
}

/// A session's RTP.
pub(super) struct Stream {
    id: u64,
    pub movie: Arc<MovieFile>,
    pub to: SocketAddr,
    address: SockAddr,
    socket: Socket,
    manner: Manner,
    pacer: Pacer,
    workers: Workers,
    explainer: Explainer,
    position: Mutex<Position>,
}

/// What is to be sent next.
enum Next {
    /// This frame, which lies there.
    Frame(u64, FrameLocation),
    NotYet,
    Stopped,
}

impl Stream {
    pub fn new(
        movie: Arc<MovieFile>,
        socket: Socket,
        to: SocketAddr,
        manner: Manner,
        pacer: Pacer,
        workers: Workers,
        explainer: Explainer,
    ) -> Self {
        let position = Position {
            next: 0,
            packetizer: LabPacketizer::new(crate::random()),
            speed: 2,
            playing: None,
            plays: 0,
            said: Said::default(),
        };
        Self {
            id: new_id(),
            movie,
            to,
            address: to.into(),
            socket,
            manner,
            pacer,
            workers,
            explainer,
            position: Mutex::new(position),
        }
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_playing(&self) -> bool {
        self.position().playing.is_some()
    }

    /// Begins to send, from where it stands.
    pub fn play(self: &Arc<Self>) {
        let begin = self.pacer.next_slot(self.manner.framerate);
        let number = {
            let mut position = self.position();
            if let Some(begin) = self.manner.live {
                // Behind the movie's end, `next` takes the passes off.
                position.next = self.live_frame(begin);
            }
            position.plays += 1;
            let number = position.plays;
            position.playing = Some(Play { number, begin, ticks: 0, explained: false });
            number
        };
        self.pacer.send_at(begin, number, self.clone());
    }

    /// The frame that a live movie is at, if it had no end.
    fn live_frame(&self, begin: Instant) -> u64 {
        let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.manner.framerate.frame_at(elapsed)
    }

    /// Sends no more.
    pub fn stop(&self) {
        self.position().playing = None;
    }

    /// Goes to the frame that `place` makes of the present one and the number of all.
    pub fn go_to(&self, place: impl FnOnce(u64, u64) -> u64) {
        let frames = self.movie.frames();
        let mut position = self.position();
        position.next = place(position.next, frames).min(frames.saturating_sub(1));
    }

    /// Goes on at another speed, in halves of the usual frame rate.
    pub fn set_speed(&self, halves: u8) {
        let mut position = self.position();
        position.speed = halves.max(1);
        if let Some(play) = &mut position.playing {
            (play.begin, play.ticks) = (self.pacer.next_slot(self.manner.framerate), 0);
        }
    }

    /// When the frame behind the present one is due.
    fn due(&self, play: u64) -> Option<Instant> {
        let now = Instant::now();
        let mut position = self.position();
        let halves = u64::from(position.speed);
        let play = position.playing.as_mut().filter(|it| it.number == play)?;
        play.ticks += 1;
        let due = Duration::from_nanos(self.manner.framerate.start_of(play.ticks) * 2 / halves);
        let late = now.saturating_duration_since(play.begin + due);
        if late > LATE {
            play.begin += late;
        }
        Some(play.begin + due)
    }

    fn next(&self, play: u64) -> Next {
        let mut position = self.position();
        if position.playing.is_none_or(|it| it.number != play) {
            return Next::Stopped;
        }
        let look = |number| self.movie.frame(number, &AtomicBool::new(false), Some(Duration::ZERO));
        let mut found = look(position.next);
        if let Lookup::End(frames @ 1..) = found
            && self.manner.looping
        {
            position.next %= frames;
            found = look(position.next);
        }
        match found {
            Lookup::Frame(location) => Next::Frame(position.next, location),
            Lookup::Cancelled => Next::NotYet,
            Lookup::End(_) => {
                self.end(&mut position);
                Next::Stopped
            }
        }
    }

    fn end(&self, position: &mut Position) {
        position.next = 0;
        position.playing = None;
        tracing::info!(to = %self.to, "end of the movie");
    }

    fn header(&self, position: &mut Position, number: u64) -> RtpHeader {
        let header = position.packetizer.header(self.manner.framerate.start_of(number));
        self.say_wrap(position, header.sequence_number);
        header
    }

    fn say_wrap(&self, position: &mut Position, number: u16) {
        if number == u16::MAX && !std::mem::replace(&mut position.said.wrap, true) {
            tracing::info!(
                to = %self.to,
                "sequence numbers go on with 1 behind 65535: clients that do not expect it freeze"
            );
        }
    }

    fn say_large(&self, said: &mut Said, frame: u64, bytes: usize) {
        let (path, number) = (self.movie.path().display(), frame + 1);
        if !std::mem::replace(&mut said.large, true) {
            tracing::warn!(%path, frame = number, bytes, "most clients cut frames over 20468 bytes");
        }
        let whole = self.manner.fragments == Fragments::Off;
        if whole && bytes > MAX_LAB_FRAME && !std::mem::replace(&mut said.oversize, true) {
            let what = match self.manner.oversize {
                Oversize::Shrink => "encoded again at lower quality",
                Oversize::Drop => "dropped",
            };
            tracing::warn!(%path, frame = number, bytes, "over what a datagram holds: {what}");
        }
    }

    /// Encodes a frame smaller, which takes as long as many frames of other sessions, elsewhere;
    /// then the stream goes on.
    fn send_smaller(self: Arc<Self>, play: u64, number: u64, jpeg: &[u8]) -> Option<Instant> {
        if self.manner.oversize == Oversize::Drop {
            return self.due(play);
        }
        let (jpeg, workers) = (jpeg.to_vec(), self.workers.clone());
        workers.encode(self.clone(), move || {
            if let Some(smaller) = encode_within(&jpeg, MAX_LAB_FRAME) {
                let header = {
                    let mut position = self.position();
                    let on = position.playing.is_some_and(|it| it.number == play);
                    on.then(|| self.header(&mut position, number))
                };
                if let Some(header) = header {
                    self.send(header, &smaller);
                }
            }
            if let Some(at) = self.due(play) {
                self.pacer.clone().send_at(at, play, self);
            }
        });
        None
    }

    /// Waits for a frame elsewhere; then the stream goes on with it.
    fn fetch(self: Arc<Self>, play: u64, number: u64, location: FrameLocation) {
        self.workers.clone().read(self.clone(), move || {
            let mut frame = vec![0; location.length as usize];
            let read = self.movie.read(location, &mut frame).unwrap_or(false);
            if let Some(at) = self.clone().send_read(play, number, read, &frame) {
                self.pacer.clone().send_at(at, play, self);
            }
        });
    }

    /// Numbers and sends the frame that has been read, unless that has failed; gives the time of
    /// the next one.
    fn send_read(
        self: Arc<Self>,
        play: u64,
        number: u64,
        read: bool,
        frame: &[u8],
    ) -> Option<Instant> {
        let (header, explainer) = {
            let mut position = self.position();
            if position.playing.is_none_or(|it| it.number != play) {
                return None;
            }
            if position.next != number {
                // Another place has been chosen since.
                return Some(Instant::now());
            }
            if !read {
                self.end(&mut position);
                return None;
            }
            position.next += 1;
            if frame.len() > CLIENT_BUFFER {
                self.say_large(&mut position.said, number, frame.len());
            }
            if frame.len() > MAX_LAB_FRAME && self.manner.fragments == Fragments::Off {
                drop(position);
                return self.send_smaller(play, number, frame);
            }
            let header = self.header(&mut position, number);
            let explainer = position.playing.as_mut().and_then(|playing| {
                let first = !std::mem::replace(&mut playing.explained, true);
                first.then(|| self.explainer.clone())
            });
            (header, explainer)
        };
        if let Some(explainer) = explainer {
            explainer.rtp(&header, frame.len());
        }
        self.send(header, frame);
        self.due(play)
    }

    fn send(&self, mut header: RtpHeader, jpeg: &[u8]) {
        if self.manner.fragments == Fragments::Off {
            self.send_one(header, jpeg);
            return;
        }
        let mut parts = jpeg.chunks(FRAGMENT).peekable();
        let mut first = true;
        while let Some(part) = parts.next() {
            if !first && self.manner.fragments == Fragments::NextSeq {
                let mut position = self.position();
                header.sequence_number = position.packetizer.next_number();
                self.say_wrap(&mut position, header.sequence_number);
            }
            first = false;
            header.marker = parts.peek().is_none();
            self.send_one(header, part);
        }
    }

    /// One datagram, gathered by the kernel.
    fn send_one(&self, header: RtpHeader, payload: &[u8]) {
        let header = header.to_bytes();
        let parts = [IoSlice::new(&header), IoSlice::new(payload)];
        if let Err(error) = self.socket.send_to_vectored(&parts, &self.address) {
            let said = std::mem::replace(&mut self.position().said.not_sent, true);
            if said {
                tracing::debug!(to = %self.to, "not sent: {error}");
            } else {
                tracing::warn!(to = %self.to, "packet not sent (further failures are not logged): {error}");
            }
        }
    }
}

impl Paced for Stream {
    fn id(&self) -> u64 {
        self.id
    }

    fn fail(&self) {
        self.stop();
    }

    fn send_next(self: Arc<Self>, play: u64, frame: &mut Vec<u8>) -> Option<Instant> {
        let (number, location) = match self.next(play) {
            Next::Frame(number, location) => (number, location),
            Next::NotYet => return Some(Instant::now() + INDEX),
            Next::Stopped => return None,
        };
        frame.resize(location.length as usize, 0);
        match self.movie.read_at_once(location, frame) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.fetch(play, number, location);
                None
            }
            read => self.send_read(play, number, read.unwrap_or(false), frame),
        }
    }
}
