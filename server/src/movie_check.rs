// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether a movie can be played over RTP/JPEG, and whether its frames must be converted.

use gstmjpegfile::jpeg::{Conversion, ConversionReason, Unusable, prepare};
use gstmjpegfile::movie_file::{Lookup, MovieFile, OpenError};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The number of frames that are checked at most, and the time for that.
const MAX_FRAMES: u64 = 64;
const TIME_LIMIT: Duration = Duration::from_millis(100);

/// Why a movie cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum NotPlayable {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file contains no frame.
    #[error("{path} is not a movie: {why}")]
    NoFrame {
        /// The path of the file.
        path: String,
        /// What the file probably is.
        why: String,
    },
    /// None of the first frames can be played.
    #[error(
        "none of the first {checked} frames of {path} can be played; \
         frame 1 at byte {offset}: {reason}"
    )]
    NoUsableFrame {
        /// The path of the file.
        path: String,
        /// The number of frames that were checked.
        checked: u64,
        /// The byte offset of the first frame.
        offset: u64,
        /// The problem of the first frame.
        reason: Unusable,
    },
}

/// How the frames of a movie that can be played are sent.
#[derive(Debug)]
pub struct Playable {
    /// The picture size in pixels, that of the first frame that can be played. All frames are sent in
    /// it.
    pub size: (u16, u16),
    /// How the first frame is converted that cannot be sent as it is.
    pub conversion: Conversion,
    /// The number of that frame, from 0, and why it cannot be sent as it is; `None` if no frame that
    /// was checked must be converted.
    pub reason: Option<(u64, ConversionReason)>,
}

/// Checks the first frames of a movie. Takes about 100 ms at most.
///
/// # Errors
/// If none of the frames can be played.
pub fn check(movie: &MovieFile) -> Result<Playable, NotPlayable> {
    let deadline = Instant::now() + TIME_LIMIT;
    let not_cancelled = AtomicBool::new(false);
    let (mut size, mut converted, mut unusable) = (None, None, None);
    let mut bytes = Vec::new();
    let mut checked = 0;
    for frame in 0..MAX_FRAMES {
        let left = deadline.saturating_duration_since(Instant::now());
        let Lookup::Frame(location) = movie.frame(frame, &not_cancelled, Some(left)) else { break };
        bytes.resize(location.length as usize, 0);
        if left.is_zero() || !movie.read(location, &mut bytes).unwrap_or(false) {
            break;
        }
        checked += 1;
        match prepare(&bytes, size) {
            Ok(prepared) => {
                size.get_or_insert(prepared.image().size());
                converted = prepared.reason().map(|reason| (prepared.conversion(), frame, reason));
                // Later frames may have other reasons; the first one is reported.
                if converted.is_some() {
                    break;
                }
            }
            Err(reason) => {
                unusable.get_or_insert((location.offset, reason));
            }
        }
    }
    let path = movie.path().display().to_string();
    match (size, converted, unusable) {
        (Some(size), Some((conversion, frame, reason)), _) => {
            Ok(Playable { size, conversion, reason: Some((frame, reason)) })
        }
        (Some(size), None, _) => Ok(Playable { size, conversion: Conversion::AsIs, reason: None }),
        (None, _, Some((offset, reason))) => {
            Err(NotPlayable::NoUsableFrame { path, checked, offset, reason })
        }
        (None, _, None) => Err(NotPlayable::NoFrame { path, why: movie.why_not_a_movie() }),
    }
}
