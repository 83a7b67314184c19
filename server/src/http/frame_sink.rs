// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends frames as the parts of a multipart body (RFC 2046 section 5.1): to the viewer of a movie, or to many
//! viewers of a live movie.

use super::frame_cache::FrameCache;
use super::viewer::Viewer;
use crate::connection::outbox::SendOutcome;
use crate::send::{DueFrame, FrameSink, ReportTime, Resume};
use bytes::Bytes;
use gstmjpegfile::movie::FrameRate;
use std::io::{IoSlice, Write};
use std::sync::{Arc, LazyLock};

/// The line between two parts. Random, so that no movie contains it.
static BOUNDARY: LazyLock<String> =
    LazyLock::new(|| format!("frame-{:08x}{:08x}", crate::random(), crate::random()));

/// The end of each part. Browsers show a part when they have read the line after it, so that line is sent
/// with it, and not with the next part.
static END_OF_PART: LazyLock<String> = LazyLock::new(|| format!("\r\n--{}\r\n", *BOUNDARY));

/// The media type of a stream.
pub(super) fn media_type() -> String {
    format!("multipart/x-mixed-replace; boundary={}", *BOUNDARY)
}

/// The line before the first part.
pub(super) fn start_of_stream() -> Bytes {
    Bytes::from(format!("--{}\r\n", *BOUNDARY))
}

/// A viewer, and which frames it gets.
struct Subscription {
    viewer: Arc<Viewer>,
    /// One of this many frames is sent.
    step: u64,
    /// The number of frames until the next one that is sent.
    wait: u64,
}

/// Sends the parts of a stream to its viewers.
pub(super) struct HttpSink {
    framerate: FrameRate,
    viewers: Vec<Subscription>,
    /// Memory for the header of a part.
    header: Vec<u8>,
}

impl HttpSink {
    /// A sink without viewers, for a movie of a frame rate.
    pub fn new(framerate: FrameRate) -> Self {
        Self { framerate, viewers: Vec::new(), header: Vec::new() }
    }

    /// Adds a viewer, which gets each `step`-th frame of those that are sent.
    pub fn add_viewer(&mut self, viewer: Arc<Viewer>, step: u64) {
        self.viewers.push(Subscription { viewer, step: step.max(1), wait: 0 });
    }

    /// Removes a viewer.
    pub fn remove_viewer(&mut self, viewer: &Arc<Viewer>) {
        self.viewers.retain(|watching| !Arc::ptr_eq(&watching.viewer, viewer));
    }
}

/// The time of a frame in seconds, with microseconds.
pub(super) fn seconds(framerate: FrameRate, number: u64) -> String {
    let microseconds = framerate.start_of(number).get() / 1000;
    format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

impl FrameSink for HttpSink {
    type Fetcher = FrameCache;

    /// Browsers buffer, and their frames are large: those of RTSP come first.
    const YIELDS: bool = true;

    fn options(&self) {}

    fn is_watched(&self) -> bool {
        !self.viewers.is_empty()
    }

    /// Sends a frame to the viewers that have received the one before it. A slow viewer skips frames, and goes on
    /// with the newest.
    fn send(&mut self, jpeg: &Bytes, due: DueFrame, _resume: Resume) -> SendOutcome {
        if jpeg.is_empty() {
            return SendOutcome::Accepted;
        }
        let number = due.source.number;
        self.header.clear();
        // Writing to memory does not fail.
        let _ = write!(
            self.header,
            "Content-Type: image/jpeg\r\nContent-Length: {}\r\nX-Frame-Number: {number}\r\n\
             X-Timestamp: {}\r\n\r\n",
            jpeg.len(),
            seconds(self.framerate, number)
        );
        let parts = [&self.header[..], jpeg, END_OF_PART.as_bytes()].map(IoSlice::new);
        let bytes = parts.iter().map(|part| part.len()).sum();
        for Subscription { viewer, step, wait } in &mut self.viewers {
            if *wait > 0 {
                *wait -= 1;
                continue;
            }
            if viewer.send(&parts, bytes, number) {
                *wait = *step - 1;
            }
        }
        SendOutcome::Accepted
    }

    fn play_ended(&mut self, _time: ReportTime) {
        for Subscription { viewer, .. } in &self.viewers {
            viewer.end("end of the movie");
        }
    }
}
