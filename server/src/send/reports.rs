// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the log says of movies, each thing once, since each viewer's stream finds it again.

use gstmjpegfile::jpeg::{Conversion, ConversionReason, Unusable};
use gstmjpegfile::movie::MAX_LISTED_BAD_SPANS;
use gstmjpegfile::movie_file::MovieFile;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// What was said last is not said again.
const KEPT: usize = 256;

fn once(text: &str, log: impl FnOnce()) {
    static LOGGED: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    if !logged.iter().any(|it| it == text) {
        logged.truncate(KEPT - 1);
        logged.push_front(text.to_owned());
        drop(logged);
        log();
    }
}

/// A frame is not sent.
pub(crate) fn dropped(movie: &MovieFile, frame: u64, offset: u64, why: &Unusable) {
    let (path, kind) = (movie.path().display(), why.kind());
    once(&format!("{path}\0{kind}\0dropped"), || {
        let frame = frame + 1;
        tracing::warn!(%path, frame, offset, kind, "dropped, further ones of this kind are counted: {why}");
    });
}

/// A frame was made, since RTP cannot carry it as it is.
pub(crate) fn made(movie: &MovieFile, frame: u64, way: Conversion, reason: &ConversionReason) {
    let (path, kind, way) = (movie.path().display(), reason.kind(), way.describe());
    once(&format!("{path}\0{kind}\0{way}"), || {
        tracing::debug!(%path, frame = frame + 1, kind, "{way}: {reason}");
    });
}

/// The file ends before a frame that it had when it was opened.
pub(crate) fn shrunk(movie: &MovieFile, frame: u64, offset: u64) {
    let path = movie.path().display();
    once(&format!("{path}\0shrunk\0{offset}"), || {
        let frame = frame + 1;
        tracing::warn!(%path, frame, offset, "has shrunk: the movie ends before this frame");
    });
}

/// A frame could not be read.
pub(crate) fn unreadable(movie: &MovieFile, frame: u64, error: &std::io::Error) {
    let path = movie.path().display();
    once(&format!("{path}\0unreadable\0{}", error.kind()), || {
        tracing::warn!(%path, frame = frame + 1, "cannot be read, the movie ends here: {error}");
    });
}

/// The movie ends where its index ends, if that could not be made to the end.
pub(crate) fn index_failed(movie: &MovieFile) {
    if let Some(kind) = movie.failure() {
        let path = movie.path().display();
        once(&format!("{path}\0index"), || {
            let frames = movie.frames();
            tracing::warn!(%path, frames, "the file cannot be read to its end: {kind}");
        });
    }
}

/// Bad records before `frame`, from the bad span numbered `next` on; gives the next number.
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
