// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the control thread and the receiver know of each other.

use super::control::Command;
use crate::rtp::RtpHeader;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a seek waits for the control thread.
const SEEK: Duration = Duration::from_secs(3);

/// How long packets that were sent before a seek may be under way.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// Frames a second where the server tells none, as the lab has it.
const FRAMERATE: f64 = 20.0;

/// What the server has told of the movie.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Movie {
    pub frames: Option<u64>,
    pub seconds: Option<f64>,
    pub framerate: Option<f64>,
    /// RTP timestamps are the movie's time: only our server's.
    pub timed: bool,
    pub seekable: bool,
}

/// A number of frames is far below 2^52, and a time within a movie is not negative.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
impl Movie {
    fn framerate(&self) -> f64 {
        self.framerate.unwrap_or(FRAMERATE)
    }

    pub fn duration(&self) -> Option<gst::ClockTime> {
        let of_frames = self.frames.map(|frames| frames as f64 / self.framerate());
        let seconds = self.seconds.or(of_frames)?;
        (0.0..1e9).contains(&seconds).then(|| gst::ClockTime::from_seconds_f64(seconds))
    }

    /// `X-Seek` for a time: the middle of its frame, so that rounding cannot miss it.
    pub fn place(&self, time: gst::ClockTime) -> Option<f64> {
        let frames = self.frames.filter(|frames| *frames > 0)? as f64;
        let frame = (time.seconds_f64() * self.framerate() + 1e-6).floor();
        Some((frame.min(frames - 1.0) + 0.5) / frames)
    }

    /// The frame of a packet, from 0, where timestamps tell it.
    pub fn frame_of(&self, header: &RtpHeader) -> Option<u64> {
        let frame = header.timestamp.as_secs_f64() * self.framerate();
        self.timed.then(|| frame.round() as u64)
    }

    /// The frame at a place from 0 to 1.
    pub fn frame_at(&self, place: f64) -> Option<u64> {
        Some((self.frames? as f64 * place) as u64)
    }

    /// Whether a packet is the last frame's, as far as that is known.
    pub fn ends_with(&self, header: &RtpHeader) -> bool {
        let Some(frames) = self.frames else { return false };
        let numbered = u64::from(header.sequence_number);
        self.frame_of(header).map_or(numbered, |frame| frame + 1) >= frames
    }
}

/// What has been received since the last PLAY.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Arrived {
    pub packets: u64,
    pub last: Option<(RtpHeader, Instant)>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Where RTP comes in, and from whom.
    socket: Mutex<Option<(Arc<UdpSocket>, IpAddr)>>,
    arrived: Mutex<Arrived>,
    movie: Mutex<Movie>,
    commands: Mutex<Option<Sender<Command>>>,
    /// After a seek, packets before this frame's are left out, until an instant.
    awaited: Mutex<Option<(u64, Instant)>>,
    /// The stream is over.
    pub ended: AtomicBool,
    /// The control thread shall wait for nothing any more.
    pub cancelled: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn socket(&self) -> Option<(Arc<UdpSocket>, IpAddr)> {
        lock(&self.socket).clone()
    }

    pub fn set_socket(&self, socket: Option<(Arc<UdpSocket>, IpAddr)>) {
        *lock(&self.socket) = socket;
    }

    pub fn arrived(&self) -> Arrived {
        *lock(&self.arrived)
    }

    /// After a seek, from which frame on packets are taken.
    pub fn await_frame(&self, frame: u64) {
        *lock(&self.awaited) = Some((frame, Instant::now() + UNDER_WAY));
    }

    /// Whether a packet was sent before a seek.
    pub fn is_before_seek(&self, header: &RtpHeader) -> bool {
        let mut awaited = lock(&self.awaited);
        let Some((frame, end)) = *awaited else { return false };
        let before = Instant::now() < end && self.movie().frame_of(header) != Some(frame);
        if !before {
            *awaited = None;
        }
        before
    }

    /// Counts a packet of the server's; true for the first one since PLAY.
    pub fn has_arrived(&self, header: RtpHeader) -> bool {
        let mut arrived = lock(&self.arrived);
        arrived.packets += 1;
        arrived.last = Some((header, Instant::now()));
        arrived.packets == 1
    }

    /// Counts afresh: at PLAY.
    pub fn expect_first(&self) {
        *lock(&self.arrived) = Arrived::default();
        self.ended.store(false, Ordering::SeqCst);
    }

    pub fn movie(&self) -> Movie {
        *lock(&self.movie)
    }

    pub fn set_movie(&self, movie: Movie) {
        *lock(&self.movie) = movie;
    }

    pub fn set_commands(&self, commands: Option<Sender<Command>>) {
        *lock(&self.commands) = commands;
    }

    /// Hands a command to the control thread; false without one.
    pub fn command(&self, command: Command) -> bool {
        lock(&self.commands).as_ref().is_some_and(|commands| commands.send(command).is_ok())
    }

    /// Asks the server to go to a time, and waits for its answer.
    pub fn seek(&self, time: gst::ClockTime) -> bool {
        let Some(place) = self.movie().place(time) else { return false };
        let (answer, answered) = sync_channel(1);
        self.command(Command::Seek { place, answer }) && answered.recv_timeout(SEEK) == Ok(true)
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Timestamp;

    #[test]
    fn places_are_the_middle_of_frames() {
        let movie = Movie { frames: Some(500), ..Movie::default() };
        let place = |ms| movie.place(gst::ClockTime::from_mseconds(ms)).map(|it| it * 500.0);
        assert_eq!(place(0), Some(0.5));
        assert_eq!(place(49), Some(0.5));
        assert_eq!(place(50), Some(1.5));
        assert_eq!(place(1_000_000), Some(499.5));
        assert_eq!(Movie::default().place(gst::ClockTime::ZERO), None);
        assert_eq!(movie.duration(), Some(gst::ClockTime::from_seconds(25)));
        let told = Movie { seconds: Some(12.5), ..movie };
        assert_eq!(told.duration(), Some(gst::ClockTime::from_mseconds(12_500)));
    }

    #[test]
    fn the_last_frame_is_known_by_its_number_or_time() {
        let header = |sequence_number, timestamp| {
            RtpHeader::jpeg(sequence_number, Timestamp::from_ticks(timestamp), 0, true)
        };
        let numbered = Movie { frames: Some(500), ..Movie::default() };
        let timed = Movie { timed: true, ..numbered };
        let rows = [
            (numbered, header(499, 0), false),
            (numbered, header(500, 0), true),
            (timed, header(700, 498 * 4500), false),
            (timed, header(10, 499 * 4500), true),
            (Movie::default(), header(500, 0), false),
        ];
        for (movie, header, want) in rows {
            assert_eq!(movie.ends_with(&header), want, "{movie:?} {header:?}");
        }
    }
}
