// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether a movie can be played over RTP/JPEG, and whether its frames must be converted.

use gstmjpegfile::jpeg::{Conversion, ConversionReason, Unusable, prepare};
use gstmjpegfile::movie_file::{Lookup, MovieFile, OpenError};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The number of frames that are checked at most.
const MAX_FRAMES: u64 = 64;

/// How long frames are checked once one of them can be played, and until then.
const TIME_LIMIT: Duration = Duration::from_millis(100);
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(2);

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
    /// The search for the first frame takes too long.
    #[error(
        "no frame of {path} was found within {limit:?}; the search goes on, so try again later"
    )]
    NotFound {
        /// The path of the file.
        path: String,
        /// How long the frame was searched for.
        limit: Duration,
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

/// Checks the first frames of a movie. Takes about 100 ms at most once a frame can be played, and 2 s
/// otherwise: a slow machine must not make a movie look like one that cannot be played.
///
/// # Errors
/// If none of the frames can be played, or none is found in time.
pub fn check(movie: &MovieFile) -> Result<Playable, NotPlayable> {
    check_within(movie, FIRST_FRAME_LIMIT, TIME_LIMIT)
}

/// Checks the first frames of a movie for at most `limit` after a frame that can be played, and
/// `first_limit` otherwise.
fn check_within(
    movie: &MovieFile,
    first_limit: Duration,
    limit: Duration,
) -> Result<Playable, NotPlayable> {
    let start = Instant::now();
    let not_cancelled = AtomicBool::new(false);
    let (mut size, mut converted, mut unusable) = (None, None, None);
    let mut bytes = Vec::new();
    let (mut checked, mut timed_out) = (0, false);
    for frame in 0..MAX_FRAMES {
        let limit = if size.is_none() { first_limit } else { limit };
        let left = limit.saturating_sub(start.elapsed());
        let location = match movie.frame(frame, &not_cancelled, Some(left)) {
            Lookup::Frame(location) if !left.is_zero() => location,
            Lookup::End(_) => break,
            Lookup::Frame(_) | Lookup::Cancelled => {
                timed_out = true;
                break;
            }
        };
        bytes.resize(location.length as usize, 0);
        if !movie.read(location, &mut bytes).unwrap_or(false) {
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
        (None, _, None) if timed_out => Err(NotPlayable::NotFound { path, limit: first_limit }),
        (None, _, None) => Err(NotPlayable::NoFrame { path, why: movie.why_not_a_movie() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_card;
    use gstmjpegfile::movie::FrameRate;

    const LONG: Duration = Duration::from_mins(1);
    /// A record with an image that has only a start and an end.
    const DAMAGED: &[u8] = b"00004\xff\xd8\xff\xd9";

    #[test]
    fn only_a_movie_that_can_be_played_is_checked_for_a_short_time() {
        gst::init().unwrap();
        let card = test_card::make(FrameRate::DEFAULT).unwrap();
        let card = std::fs::read(card.path()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("movie.mjpeg");
        let damaged = DAMAGED.repeat(3);
        let after_damaged = [&damaged, &card[..]].concat();
        let none = Duration::ZERO;
        let shown = path.display();
        let not_found = format!(
            "no frame of {shown} was found within 0ns; the search goes on, so try again later"
        );
        let not_usable = format!(
            "none of the first 3 frames of {shown} can be played; frame 1 at byte 5: damaged: no scan (SOS)"
        );
        for (name, bytes, limits, want) in [
            ("no time after the first frame", &card, (LONG, none), Ok((384, 288))),
            ("the same after damaged frames", &after_damaged, (LONG, none), Ok((384, 288))),
            ("no time", &card, (none, none), Err(not_found)),
            ("damaged frames only", &damaged, (LONG, LONG), Err(not_usable)),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let movie = MovieFile::open(&path).unwrap();
            let got = check_within(&movie, limits.0, limits.1);
            assert_eq!(got.map(|it| it.size).map_err(|it| it.to_string()), want, "{name}");
        }
    }
}
