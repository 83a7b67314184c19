// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends the frames of movies, each at its time, in standard RTSP, in the lab's dialect and over HTTP.
//!
//! What happens to a frame, in this order:
//!
//! - [`pacer`]: a thread wakes up when the next frame of a stream is due.
//! - [`stream`]: does all that follows for one stream.
//! - [`timeline`]: which frame is due, with which RTP timestamp.
//! - [`cursor`]: where the frame is in the file; the movie may repeat, grow or be replaced.
//! - [`FrameFetcher`]: reads the frame and prepares it: `rtsp/payload_cache.rs`,
//!   `lab/frame_sink.rs`, `http/frame_cache.rs`.
//! - [`workers`] and [`prefetch`]: read or encode a frame on another thread if that takes long.
//! - [`FrameSink`]: sends the frame to the viewers: RTP/JPEG in `rtsp/frame_sink.rs`, one datagram a
//!   frame in `lab/frame_sink.rs`, one part of a multipart body in `http/frame_sink.rs`.
//! - [`datagrams`]: sends the packets of a frame with few system calls.
//! - [`live`]: the streams of live movies, which their viewers share.
//! - [`movie_log`]: logs what is wrong with a movie, once.
//!
//! [`frame_cache`] makes the caches of frames. [`clock`] is the clock for all of them. [`counts`] has what
//! was sent to each viewer.

pub(crate) mod clock;
pub(crate) mod counts;
pub(crate) mod cursor;
pub(crate) mod datagrams;
pub(crate) mod frame_cache;
pub(crate) mod live;
pub(crate) mod movie_log;
pub(crate) mod pacer;
pub(crate) mod prefetch;
pub(crate) mod stream;
pub(crate) mod timeline;
pub(crate) mod workers;

use crate::config::{MountKind, MountSettings, SharedLimits};
use crate::connection::outbox::{OnDrained, SendOutcome};
use crate::limit_log::LimitLog;
use crate::observe::Observatory;
use crate::viewers::Viewers;
use gstmjpegfile::movie::{FrameLocation, FrameRate};
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use pacer::Pacers;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use workers::Workers;

/// How a movie is played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlaybackMode {
    /// Frames per second.
    pub framerate: FrameRate,
    /// Whether the movie starts again at its end.
    pub looping: bool,
    /// When the live movie started; `None` if the movie is played on demand.
    pub live_since: Option<Instant>,
}

impl PlaybackMode {
    /// The mode of a mount. A live movie starts now.
    pub fn new(settings: &MountSettings) -> Self {
        let live = settings.kind == MountKind::Live;
        Self {
            framerate: settings.framerate,
            looping: settings.looping || live,
            live_since: live.then(Instant::now),
        }
    }
}

/// What the services of both languages send frames with.
#[derive(Clone)]
pub(crate) struct SendContext {
    pub pacers: Arc<Pacers>,
    pub workers: Workers,
    pub limits: SharedLimits,
    /// Counts the viewers of both languages.
    pub viewers: Viewers,
    /// Counts the frames and packets that are dropped.
    pub limit_log: Arc<LimitLog>,
    /// What people can see of the server; `None` if it serves no HTTP.
    pub observatory: Option<Arc<Observatory>>,
}

/// A frame of a movie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameRef<'a> {
    /// The movie.
    pub movie: &'a MovieFile,
    /// The number of the frame in the file, from 0.
    pub number: u64,
    /// The position of the frame in the file.
    pub location: FrameLocation,
}

/// A frame that is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DueFrame<'a> {
    /// The frame in the movie.
    pub source: FrameRef<'a>,
    /// The RTP timestamp to send it with.
    pub rtptime: Timestamp,
}

/// Returns a function that schedules a stream again.
pub(crate) type Resume<'a> = &'a dyn Fn() -> OnDrained;

/// The result of fetching a frame.
#[derive(Debug)]
pub(crate) enum FetchOutcome<F> {
    /// The frame, ready to be sent.
    Ready(F),
    /// The frame must be read from a disk. A pacer's thread must not wait for that.
    NotInMemory,
    /// The frame must be encoded again. A pacer's thread must not do that.
    MustEncode,
    /// The file has become shorter and ends before this frame.
    Shrunk,
}

/// Reads frames of movies and prepares them for a kind of [`FrameSink`]. One fetcher serves all
/// streams, on several threads; what differs between streams is in the options.
pub(crate) trait FrameFetcher: Send + Sync + 'static {
    /// A frame as the sink sends it.
    type Frame: Send + 'static;
    /// What the frame must be like, such as its size in pixels.
    type Options: Copy + Send + 'static;

    /// Fetches a frame without waiting for a disk and without encoding. `scratch` is memory for the
    /// bytes of the frame.
    ///
    /// # Errors
    /// If the operating system cannot read the file.
    fn fetch_now(
        &self,
        frame: FrameRef,
        options: Self::Options,
        scratch: &mut Vec<u8>,
    ) -> io::Result<FetchOutcome<Self::Frame>>;

    /// Fetches a frame, and waits for the disk.
    ///
    /// # Errors
    /// If the operating system cannot read the file.
    fn fetch_waiting(
        &self,
        frame: FrameRef,
        options: Self::Options,
    ) -> io::Result<FetchOutcome<Self::Frame>>;

    /// Fetches a frame, waits for the disk, and encodes the frame again.
    ///
    /// # Errors
    /// If the operating system cannot read the file.
    fn fetch_encoded(
        &self,
        frame: FrameRef,
        options: Self::Options,
    ) -> io::Result<FetchOutcome<Self::Frame>>;

    /// Whether the frames after this one probably take long too, so that each should be prepared
    /// before it is due.
    fn is_slow(frame: &Self::Frame) -> bool;

    /// Returns the memory of a frame that has been sent to `scratch`.
    fn recycle(_frame: Self::Frame, _scratch: &mut Vec<u8>) {}
}

/// One instant on the wall clock and on the RTP clock, for a sender report (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportTime {
    /// The date and time.
    pub wall_clock: SystemTime,
    /// The RTP timestamp of the same instant.
    pub rtptime: Timestamp,
}

/// Sends the frames of a stream to its viewers.
pub(crate) trait FrameSink: Send + Sized + 'static {
    /// Prepares the frames that this sink sends.
    type Fetcher: FrameFetcher;

    /// What the next frames must be like.
    fn options(&self) -> <Self::Fetcher as FrameFetcher>::Options;

    /// Whether there is a viewer. A stream without viewers stops.
    fn is_watched(&self) -> bool;

    /// Sends a frame. On [`SendOutcome::Busy`] the frame must be sent again once the function that
    /// `resume` returns has been called.
    fn send(
        &mut self,
        frame: &<Self::Fetcher as FrameFetcher>::Frame,
        due: DueFrame,
        resume: Resume,
    ) -> SendOutcome;

    /// Whether the frames of other sinks that are due are sent first.
    const YIELDS: bool = false;

    /// The time between two calls of [`Self::report`]; `None` for no reports.
    const REPORT_INTERVAL: Option<Duration> = None;

    /// Sends a report on the stream, such as an RTCP sender report.
    fn report(&mut self, _time: ReportTime) {}

    /// Called when a play starts.
    fn play_started(&mut self) {}

    /// The least time between the last frame of a play and the call of [`Self::play_ended`], for viewers that may
    /// read the end before the frame.
    fn end_delay(&self) -> Duration {
        Duration::ZERO
    }

    /// Called when a play reaches its end, when sending fails, and when the server exits during a
    /// play; not when a viewer stops it.
    fn play_ended(&mut self, time: ReportTime);
}
