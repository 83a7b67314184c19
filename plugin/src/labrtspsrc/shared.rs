// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state of a session, which its control thread and its receiver share.

use super::control::Command;
use super::wakeup::WakeUp;
use crate::rtp::{ReceivedFrame, RtpHeader, Timestamp};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a seek waits for the control thread.
const SEEK_LIMIT: Duration = Duration::from_secs(3);

/// How long packets that were sent before a seek may still arrive, after all that had arrived were read.
const IN_FLIGHT: Duration = Duration::from_millis(500);

/// The maximum time for which packets are dropped after a seek, from the first one on.
const MAX_DROPPED: Duration = Duration::from_secs(3);

/// More frames than this are not lost at once: the server has started its numbers again.
const MAX_LOST: u16 = 1000;

/// More frames than this are not lost before the first one that arrives.
const MAX_LOST_AT_START: u16 = 20;

/// Frames per second if the server does not say it: the lab's 20.
const FRAMERATE: f64 = 20.0;

/// What the server has said about the movie.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Movie {
    pub frames: Option<u64>,
    pub seconds: Option<f64>,
    pub framerate: Option<f64>,
    /// RTP timestamps are times in the movie, as mjpeg-rtsp-server sends them.
    pub timed: bool,
    pub seekable: bool,
}

// A number of frames is far below 2^52, and a time in a movie is not negative.
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

    /// The value of `X-Seek`, from 0 to 1, for a time: the middle of its frame, so that rounding
    /// cannot miss the frame.
    pub fn fraction_at(&self, time: gst::ClockTime) -> Option<f64> {
        let frames = self.frames.filter(|frames| *frames > 0)? as f64;
        let frame = (time.seconds_f64() * self.framerate() + 1e-6).floor();
        Some((frame.min(frames - 1.0) + 0.5) / frames)
    }

    /// Number of a packet's frame, from 0; `None` if timestamps are not times in the movie.
    pub fn frame_of(&self, header: &RtpHeader) -> Option<u64> {
        let frame = header.timestamp.as_secs_f64() * self.framerate();
        self.timed.then(|| frame.round() as u64)
    }

    /// The position of a frame: by its timestamp, or by its number at the frame rate.
    fn position_of(&self, timestamp: Timestamp, number: u64) -> Option<gst::ClockTime> {
        let by_number = || number as f64 / self.framerate();
        let seconds = if self.timed { timestamp.as_secs_f64() } else { by_number() };
        (0.0..1e9).contains(&seconds).then(|| gst::ClockTime::from_seconds_f64(seconds))
    }

    /// Number of the frame at a fraction of the movie from 0 to 1.
    pub fn frame_at(&self, fraction: f64) -> Option<u64> {
        Some((self.frames? as f64 * fraction) as u64)
    }

    /// Whether a packet belongs to the last frame; false if that is unknown.
    pub fn ends_with(&self, header: &RtpHeader) -> bool {
        let Some(frames) = self.frames else { return false };
        let numbered = u64::from(header.sequence_number);
        self.frame_of(header).map_or(numbered, |frame| frame + 1) >= frames
    }
}

/// The packets received since the last PLAY.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Arrived {
    pub packets: u64,
    /// Header and arrival of the last one.
    pub last: Option<(RtpHeader, Instant)>,
}

/// Numbers the frames of a movie, from 0, by the sequence numbers of their packets.
///
/// In the lab the first frame has number 1. After a pause some servers continue the numbers, and
/// others start again with 1 at the next frame. With fragments the numbers are not those of frames.
#[derive(Debug, Default)]
struct FrameNumbers {
    /// Sequence number of the last frame, and the number of the frame.
    last: Option<(u16, u64)>,
    /// PLAY has been sent after it.
    resumed: bool,
}

impl FrameNumbers {
    /// The number of a frame whose first packet has this sequence number.
    fn number(&mut self, sequence_number: u16, numbered: bool) -> u64 {
        let frame = match self.last {
            Some((last, frame)) => {
                let steps = sequence_number.wrapping_sub(last);
                let restarts = steps == 0 || steps > MAX_LOST;
                let is_next = !numbered || restarts && std::mem::take(&mut self.resumed);
                frame + if is_next { 1 } else { u64::from(steps) * u64::from(!restarts) }
            }
            // Frames before it are lost, or its server starts with another number.
            None if (1..=MAX_LOST_AT_START).contains(&sequence_number) => {
                u64::from(sequence_number) - 1
            }
            None => 0,
        };
        self.last = Some((sequence_number, frame));
        self.resumed = false;
        frame
    }
}

#[derive(Debug, Default)]
struct State {
    /// Commands that the control thread has not taken.
    commands: VecDeque<Command>,
    /// The control thread takes no further commands.
    closed: bool,
    /// The control thread must end its waits.
    cancelled: bool,
    /// The socket for RTP, and the server's address.
    socket: Option<(Arc<UdpSocket>, IpAddr)>,
    arrived: Arrived,
    /// Number of datagrams that were dropped: of other hosts, and from before a seek.
    ignored: u64,
    /// The stream has ended.
    ended: bool,
    movie: Movie,
    numbers: FrameNumbers,
    awaited: Option<AwaitedFrame>,
}

/// The frame that a seek led to. Packets of other frames are dropped until it arrives, or until no packet
/// from before the seek can be left. No clock runs while nothing is read, as in a pause.
#[derive(Debug)]
struct AwaitedFrame {
    frame: u64,
    /// [`IN_FLIGHT`] after the socket was empty for the first time.
    end: Option<Instant>,
    /// When the first packet was dropped.
    first_dropped: Option<Instant>,
}

impl AwaitedFrame {
    /// Whether a packet of this frame is dropped.
    fn drops(&mut self, frame: Option<u64>, now: Instant) -> bool {
        let first_dropped = *self.first_dropped.get_or_insert(now);
        frame != Some(self.frame)
            && self.end.is_none_or(|end| now < end)
            && now < first_dropped + MAX_DROPPED
    }
}

/// What the control thread and the receiver share. A change wakes the thread that waits for it.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the control thread.
    pub control: WakeUp,
    /// Wakes the receiver's streaming thread.
    pub receiver: WakeUp,
    /// There is a session for which TEARDOWN has not been sent.
    owes_teardown: AtomicBool,
}

impl Shared {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            state: Mutex::default(),
            control: WakeUp::new()?,
            receiver: WakeUp::new()?,
            owes_teardown: AtomicBool::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket for RTP, and the server's address.
    pub fn socket(&self) -> Option<(Arc<UdpSocket>, IpAddr)> {
        self.state().socket.clone()
    }

    pub fn set_socket(&self, socket: Option<(Arc<UdpSocket>, IpAddr)>) {
        self.state().socket = socket;
        self.receiver.wake();
    }

    pub fn arrived(&self) -> Arrived {
        self.state().arrived
    }

    /// Number of datagrams that were dropped: of other hosts, and from before a seek.
    pub fn ignored(&self) -> u64 {
        self.state().ignored
    }

    /// Counts datagrams that were dropped.
    pub fn count_ignored(&self, datagrams: u64) {
        self.state().ignored += datagrams;
    }

    /// Drops packets of other frames than `frame` until it arrives, after a seek.
    pub fn await_frame(&self, frame: u64) {
        self.state().awaited = Some(AwaitedFrame { frame, end: None, first_dropped: None });
    }

    /// The receiver has read all packets that had arrived.
    pub fn socket_is_empty(&self) {
        if let Some(awaited) = &mut self.state().awaited {
            awaited.end.get_or_insert_with(|| Instant::now() + IN_FLIGHT);
        }
    }

    /// Whether a packet was sent before the last seek.
    pub fn is_before_seek(&self, header: &RtpHeader) -> bool {
        let mut state = self.state();
        let frame = state.movie.frame_of(header);
        let before = state.awaited.as_mut().is_some_and(|it| it.drops(frame, Instant::now()));
        if !before {
            state.awaited = None;
        }
        before
    }

    /// Counts a packet from the server; true for the first one since PLAY.
    pub fn count_packet(&self, header: RtpHeader) -> bool {
        let (is_first, is_last) = {
            let mut state = self.state();
            state.arrived.packets += 1;
            state.arrived.last = Some((header, Instant::now()));
            (state.arrived.packets == 1, state.movie.ends_with(&header))
        };
        // Between these two, the control thread has nothing to do.
        if is_first || is_last {
            self.control.wake();
        }
        is_first
    }

    /// Resets the count of packets, at PLAY.
    pub fn reset_arrived(&self) {
        let mut state = self.state();
        state.arrived = Arrived::default();
        state.ended = false;
        state.numbers.resumed = true;
    }

    /// The position of a frame in the movie.
    pub fn position_of(&self, frame: &ReceivedFrame) -> Option<gst::ClockTime> {
        let mut state = self.state();
        let number = state.numbers.number(frame.sequence_number, frame.numbered);
        state.movie.position_of(frame.timestamp, number)
    }

    pub fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Ends the stream.
    pub fn end(&self) {
        self.state().ended = true;
        self.receiver.wake();
    }

    pub fn movie(&self) -> Movie {
        self.state().movie
    }

    pub fn set_movie(&self, movie: Movie) {
        self.state().movie = movie;
    }

    /// Hands a command to the control thread; false if that takes no further commands.
    pub fn command(&self, command: Command) -> bool {
        {
            let mut state = self.state();
            if state.closed {
                return false;
            }
            state.commands.push_back(command);
        }
        self.control.wake();
        true
    }

    /// The next command, for the control thread.
    pub fn next_command(&self) -> Option<Command> {
        self.state().commands.pop_front()
    }

    /// Takes no further commands. Those that have not been taken are dropped, which ends the wait of
    /// a seek.
    pub fn close(&self) {
        let commands = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.commands)
        };
        drop(commands);
    }

    /// Ends the session: the control thread ends its waits and sends TEARDOWN.
    pub fn cancel(&self) {
        {
            let mut state = self.state();
            state.cancelled = true;
            state.commands.clear();
            state.commands.push_back(Command::Teardown);
            state.closed = true;
        }
        self.control.wake();
    }

    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Sets whether there is a session for which TEARDOWN has not been sent.
    pub fn set_owes_teardown(&self, owes: bool) {
        self.owes_teardown.store(owes, Ordering::Relaxed);
    }

    pub fn owes_teardown(&self) -> bool {
        self.owes_teardown.load(Ordering::Relaxed)
    }

    /// Asks the server to seek to a time, and waits for its reply.
    pub fn seek(&self, time: gst::ClockTime) -> bool {
        let Some(fraction) = self.movie().fraction_at(time) else { return false };
        let (reply, replied) = sync_channel(1);
        self.command(Command::Seek { fraction, reply })
            && replied.recv_timeout(SEEK_LIMIT) == Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seek_goes_to_the_middle_of_a_frame() {
        let movie = Movie { frames: Some(500), ..Movie::default() };
        let fraction =
            |ms| movie.fraction_at(gst::ClockTime::from_mseconds(ms)).map(|it| it * 500.0);
        assert_eq!(fraction(0), Some(0.5));
        assert_eq!(fraction(49), Some(0.5));
        assert_eq!(fraction(50), Some(1.5));
        assert_eq!(fraction(1_000_000), Some(499.5));
        assert_eq!(Movie::default().fraction_at(gst::ClockTime::ZERO), None);
        assert_eq!(movie.duration(), Some(gst::ClockTime::from_seconds(25)));
        let described = Movie { seconds: Some(12.5), ..movie };
        assert_eq!(described.duration(), Some(gst::ClockTime::from_mseconds(12_500)));
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

    #[test]
    fn frames_are_numbered_by_their_packets() {
        enum Step {
            Frames(&'static [u16]),
            Play,
        }
        use Step::{Frames, Play};
        type Row<'a> = (&'a str, &'a [Step], bool, &'a [u64]);
        let rows: [Row; 7] = [
            ("in order", &[Frames(&[1, 2, 3])], true, &[0, 1, 2]),
            ("lost frames", &[Frames(&[3, 7])], true, &[2, 6]),
            ("numbers from 0", &[Frames(&[0, 1, 2])], true, &[0, 1, 2]),
            ("another start", &[Frames(&[500, 501])], true, &[0, 1]),
            (
                "numbers go on after PLAY",
                &[Frames(&[1, 2]), Play, Frames(&[3, 4])],
                true,
                &[0, 1, 2, 3],
            ),
            ("and start again", &[Frames(&[1, 2]), Play, Frames(&[1, 2])], true, &[0, 1, 2, 3]),
            ("fragments", &[Frames(&[1, 5, 9])], false, &[0, 1, 2]),
        ];
        for (name, steps, numbered, want) in rows {
            let mut numbers = FrameNumbers::default();
            let mut got = Vec::new();
            for step in steps {
                match step {
                    Frames(frames) => {
                        got.extend(frames.iter().map(|it| numbers.number(*it, numbered)));
                    }
                    Play => numbers.resumed = true,
                }
            }
            assert_eq!(got, want, "{name}");
        }
        let over_the_wrap = [65_535, 0, 1].map(|number| {
            let mut numbers = FrameNumbers { last: Some((65_534, 65_533)), resumed: false };
            numbers.number(number, true)
        });
        assert_eq!(over_the_wrap, [65_534, 65_535, 65_536]);
    }

    #[test]
    fn packets_from_before_a_seek_are_dropped_however_late_they_are_read() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        // When the socket was empty for the first time; time of reading, frame and whether it is dropped.
        let rows = [
            (None, vec![(0, Some(41), true), (2900, Some(42), true), (2950, Some(39), false)]),
            (None, vec![(100, None, true), (3099, Some(42), true), (3100, Some(43), false)]),
            (Some(10_000), vec![(10_499, Some(41), true), (10_500, Some(42), false)]),
            (Some(10_000), vec![(10_100, Some(39), false)]),
            (Some(0), vec![(20_000, Some(40), false)]),
        ];
        for (at, (empty, packets)) in rows.iter().enumerate() {
            let end = empty.map(|at| start + ms(at) + IN_FLIGHT);
            let mut awaited = AwaitedFrame { frame: 39, end, first_dropped: None };
            for (time, frame, dropped) in packets {
                let drops = awaited.drops(*frame, start + ms(*time));
                assert_eq!(drops, *dropped, "row {at}, {time} ms");
            }
        }
    }

    #[test]
    fn a_closed_queue_takes_no_command_and_ends_a_seek() {
        let shared = Shared::new().unwrap();
        let (reply, replied) = sync_channel(1);
        assert!(shared.command(Command::Seek { fraction: 0.5, reply }));
        shared.close();
        assert!(replied.recv().is_err());
        assert!(shared.next_command().is_none());
        assert!(!shared.command(Command::Play));
        shared.cancel();
        assert!(matches!(shared.next_command(), Some(Command::Teardown)));
    }
}
