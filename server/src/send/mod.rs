// SPDX-License-Identifier: MIT OR Apache-2.0
//! One sender for every outlet: a movie, a position in it, and frames sent at their times.
//!
//! - [`cursor`]: which frame of the file comes next: loops, growth, replacement, damage.
//! - [`timeline`]: which frame is sent at which tick, when, with which RTP timestamp.
//! - [`prefetch`]: frames that must be read from a disk or encoded, made elsewhere.
//! - [`stream`]: the three put together, on a pacer's thread.
//! - [`reports`]: what the log says of movies.
//!
//! An [`Outlet`] makes of each frame what is sent and sends it: RTP/JPEG to the viewers of standard
//! RTSP (`rtsp/outlet.rs`), one datagram a frame to a lab client (`lab/outlet.rs`).

pub(crate) mod cursor;
pub(crate) mod prefetch;
pub(crate) mod reports;
pub(crate) mod stream;
pub(crate) mod timeline;

use crate::connection::outbox::{Drained, Sent};
use gstmjpegfile::movie::FrameLocation;
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use std::io;
use std::time::{Duration, SystemTime};

/// A frame of a movie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameRef<'a> {
    /// The movie.
    pub movie: &'a MovieFile,
    /// Its number, from 0.
    pub number: u64,
    /// Where it lies in the file.
    pub location: FrameLocation,
}

/// What fetching a frame has come to.
#[derive(Debug)]
pub(crate) enum Fetched<F> {
    /// It can be sent.
    Ready(F),
    /// It has to be waited for, not on a thread that others' frames wait for.
    NotInMemory,
    /// It has to be encoded anew, not on that thread either.
    MustEncode,
    /// The file has become shorter: the movie ends before it.
    Shrunk,
}

/// Makes of a movie's frames what an outlet sends. Shared by threads; what differs from stream to
/// stream is in the options.
pub(crate) trait Frames: Send + Sync + 'static {
    /// A frame as it is sent.
    type Frame: Send + 'static;
    /// What frames are made for, such as a size in pixels.
    type Options: Copy + Send + 'static;

    /// Fetches a frame without waiting or encoding; `scratch` is memory for its bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn fetch_now(
        &self,
        frame: FrameRef,
        options: Self::Options,
        scratch: &mut Vec<u8>,
    ) -> io::Result<Fetched<Self::Frame>>;

    /// Fetches a frame that has to be waited for.
    ///
    /// # Errors
    /// What the operating system says.
    fn wait_for(&self, frame: FrameRef, options: Self::Options)
    -> io::Result<Fetched<Self::Frame>>;

    /// Fetches a frame that has to be encoded anew.
    ///
    /// # Errors
    /// What the operating system says.
    fn encode(&self, frame: FrameRef, options: Self::Options) -> io::Result<Fetched<Self::Frame>>;

    /// Whether the frames after this one are likely to take long, and are worth making ahead.
    fn is_slow(frame: &Self::Frame) -> bool;

    /// Gives back the memory of a frame that has been sent.
    fn recycle(_frame: Self::Frame, _scratch: &mut Vec<u8>) {}
}

/// Where a stream stands at a moment, for what reports it (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// On the wall clock.
    pub now: SystemTime,
    /// The RTP timestamp of that moment.
    pub rtptime: Timestamp,
}

/// Where a stream's frames go.
pub(crate) trait Outlet: Send + Sized + 'static {
    /// What makes its frames.
    type Frames: Frames;

    /// What frames are made for, from now on.
    fn options(&self) -> <Self::Frames as Frames>::Options;

    /// Whether anybody is sent anything. A stream that nobody watches stops.
    fn is_watched(&self) -> bool;

    /// Sends a frame, with the RTP timestamp of its time. [`Sent::Busy`] if it has to be sent again,
    /// once what `resume` gives has been called.
    fn send(
        &mut self,
        frame: &<Self::Frames as Frames>::Frame,
        of: FrameRef,
        rtptime: Timestamp,
        resume: &dyn Fn() -> Drained,
    ) -> Sent;

    /// How often it reports where the stream stands; `None` for never.
    const REPORT_INTERVAL: Option<Duration> = None;

    /// Reports where the stream stands.
    fn report(&mut self, _moment: Moment) {}

    /// A play begins.
    fn begin(&mut self) {}

    /// A play has come to its end by itself, or the server ends.
    fn end(&mut self, moment: Moment);
}
