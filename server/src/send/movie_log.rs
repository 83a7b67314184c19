// SPDX-License-Identifier: MIT OR Apache-2.0
//! Logs each problem of a movie once, although the streams of all its viewers find it.

use super::FrameRef;
use gstmjpegfile::jpeg::{Conversion, ConversionReason, Unusable};
use gstmjpegfile::movie::MAX_LISTED_BAD_SPANS;
use gstmjpegfile::movie_file::MovieFile;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The maximum number of remembered problems. An older one may be logged again.
const REMEMBERED: usize = 256;

/// Calls `log`, unless the same problem is among the last [`REMEMBERED`] ones.
fn once(problem: &str, log: impl FnOnce()) {
    static LOGGED: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    if !logged.iter().any(|it| it == problem) {
        logged.truncate(REMEMBERED - 1);
        logged.push_front(problem.to_owned());
        drop(logged);
        log();
    }
}

/// Logs that a frame is dropped because it is damaged or not supported.
pub(crate) fn dropped(source: FrameRef, problem: &Unusable) {
    let (path, kind) = (source.movie.path().display(), problem.kind());
    once(&format!("{path}\0{kind}\0dropped"), || {
        let (frame, offset) = (source.number + 1, source.location.offset);
        tracing::warn!(%path, frame, offset, kind, "frame dropped (further ones of this kind are counted): {problem}");
    });
}

/// Logs that a frame is converted because RTP/JPEG cannot carry it as it is.
pub(crate) fn converted(source: FrameRef, conversion: Conversion, reason: &ConversionReason) {
    if matches!(reason, ConversionReason::OtherSize { .. }) {
        return other_size(source.movie, source.number, reason);
    }
    let (path, kind) = (source.movie.path().display(), reason.kind());
    let conversion = conversion.describe();
    once(&format!("{path}\0{kind}\0{conversion}"), || {
        tracing::debug!(%path, frame = source.number + 1, kind, "{conversion}: {reason}");
    });
}

/// Logs that the size of a frame differs from that of the first frame, and how it is sent.
pub(crate) fn other_size(movie: &MovieFile, frame: u64, reason: &ConversionReason) {
    let path = movie.path().display();
    once(&format!("{path}\0size"), || {
        tracing::info!(%path, frame = frame + 1, "frames of another size follow: {reason}");
    });
}

/// Logs that a frame is too large for a datagram, so that lab clients get it in fewer bytes or not at all.
pub(crate) fn too_large(source: FrameRef, bytes: usize, what: &str) {
    let path = source.movie.path().display();
    once(&format!("{path}\0large\0{what}"), || {
        let frame = source.number + 1;
        tracing::warn!(
            %path, frame, bytes,
            "frame {what} (logged once for each movie): larger than a datagram can be"
        );
    });
}

/// Logs that the file ends before a frame that it had when it was opened.
pub(crate) fn shrunk(movie: &MovieFile, frame: u64, offset: u64) {
    let path = movie.path().display();
    once(&format!("{path}\0shrunk\0{offset}"), || {
        let frame = frame + 1;
        tracing::warn!(%path, frame, offset, "the file has shrunk: the movie ends before this frame");
    });
}

/// Logs that the frames of a movie have been overwritten. `movie` has the new frames.
pub(crate) fn overwritten(movie: &MovieFile, frame: u64) {
    let path = movie.path().display();
    once(&format!("{path}\0overwritten\0{}", movie.number()), || {
        tracing::warn!(%path, frame = frame + 1, "the file was overwritten: playback continues with its present frames");
    });
}

/// Logs that a frame cannot be read.
pub(crate) fn unreadable(movie: &MovieFile, frame: u64, error: &std::io::Error) {
    let path = movie.path().display();
    once(&format!("{path}\0unreadable\0{}", error.kind()), || {
        tracing::warn!(%path, frame = frame + 1, "cannot read the file: the movie ends before this frame: {error}");
    });
}

/// Logs if the file could not be indexed to its end: the movie then ends where the index ends.
pub(crate) fn index_failed(movie: &MovieFile) {
    if let Some(kind) = movie.failure() {
        let path = movie.path().display();
        once(&format!("{path}\0index"), || {
            let frames = movie.frames();
            tracing::warn!(%path, frames, "cannot read the file to its end: the movie ends after these frames: {kind}");
        });
    }
}

/// Logs the bad records before `frame`, starting with the bad span numbered `next`. Returns the
/// number of the next span to log.
pub(crate) fn bad_spans(movie: &MovieFile, mut next: usize, frame: u64) -> usize {
    while let Some((before, span)) = movie.bad_span(next, frame) {
        next += 1;
        let text = movie.describe_bad_span(before, &span);
        once(&text, || tracing::warn!("{text}"));
        if next == MAX_LISTED_BAD_SPANS {
            let path = movie.path().display();
            let text =
                format!("{path}: further bad records are not logged; mjpeg-movie check lists them");
            once(&text, || tracing::warn!("{text}"));
        }
    }
    next
}
