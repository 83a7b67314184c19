// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a movie can be shown, and how it gets onto RTP.

use gstmjpegfile::jpeg::{Conversion, ConversionReason, Unusable, prepare};
use gstmjpegfile::movie_file::{Lookup, MovieFile, OpenError};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Records that are looked at before a movie is refused, and how long that may take.
const FRAMES: u64 = 64;
const TIME: Duration = Duration::from_millis(100);

/// Why a movie cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum NotShown {
    /// It is gone or not readable.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No record of it is a frame.
    #[error("{path}: no frame in it{advice}")]
    NoFrame {
        /// The file.
        path: String,
        /// What it probably is, or nothing.
        advice: String,
    },
    /// None of its first frames can be shown.
    #[error(
        "{path}: none of the first {looked} frames can be shown; \
         frame 1 at byte {offset}: {reason}"
    )]
    NoUsableFrame {
        /// The file.
        path: String,
        /// How many were looked at.
        looked: u64,
        /// Byte offset of the first one.
        offset: u64,
        /// What is wrong with the first one.
        reason: Unusable,
    },
}

/// How a movie that can be shown gets onto RTP.
#[derive(Debug)]
pub struct Shown {
    /// How its first frames are carried that are not carried as they are.
    pub way: Conversion,
    /// Why: the first such frame's number from 0, and the reason.
    pub reason: Option<(u64, ConversionReason)>,
}

/// Looks at the first frames of a movie.
///
/// # Errors
/// See [`NotShown`]; within about 100 ms.
pub fn choose(movie: &MovieFile) -> Result<Shown, NotShown> {
    let end = Instant::now() + TIME;
    let never = AtomicBool::new(false);
    let (mut usable, mut other, mut refused) = (false, None, None);
    let mut bytes = Vec::new();
    let mut looked = 0;
    for frame in 0..FRAMES {
        let left = end.saturating_duration_since(Instant::now());
        let Lookup::Frame(location) = movie.frame(frame, &never, Some(left)) else { break };
        bytes.resize(location.length as usize, 0);
        if left.is_zero() || !movie.read(location, &mut bytes).unwrap_or(false) {
            break;
        }
        looked += 1;
        match prepare(&bytes, None) {
            Ok(prepared) => {
                usable = true;
                other = prepared.reason().map(|reason| (prepared.conversion(), frame, reason));
                // The others may be of another kind, but this one decides what is said.
                if other.is_some() {
                    break;
                }
            }
            Err(reason) => {
                refused.get_or_insert((location.offset, reason));
            }
        }
    }
    let path = movie.path().display().to_string();
    match (usable, other, refused) {
        (true, Some((way, frame, reason)), _) => Ok(Shown { way, reason: Some((frame, reason)) }),
        (true, None, _) => Ok(Shown { way: Conversion::AsIs, reason: None }),
        (false, _, Some((offset, reason))) => {
            Err(NotShown::NoUsableFrame { path, looked, offset, reason })
        }
        (false, _, None) => {
            let likely = movie.likely_format();
            let advice = likely.map_or_else(String::new, |it| format!(": {}", it.advice()));
            Err(NotShown::NoFrame { path, advice })
        }
    }
}
