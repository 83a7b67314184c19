// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a movie gets onto RTP: as it is, or decoded and encoded again.

use gstmjpegfile::jpeg::{Refusal, check};
use gstmjpegfile::movie_file::{Lookup, MovieFile, OpenError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Records that are looked at before a movie is refused, and how long that may take.
const FRAMES: u64 = 64;
const TIME: Duration = Duration::from_millis(100);

/// The largest side of a picture in RTP/JPEG (RFC 2435 section 3.1.5), in pixels.
const MAX_SIDE: u32 = 2040;

/// How a movie is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// Its JPEGs go to the payloader as they are.
    AsIs,
    /// They are decoded and encoded again as 4:2:2 of this size, in pixels.
    Encoded {
        /// At most 2040.
        width: u16,
        /// At most 2040.
        height: u16,
    },
}

/// Why a movie cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum NotShown {
    /// It is gone or not readable.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No record of it is a frame.
    #[error("no frame in it{0}")]
    NoFrame(String),
    /// None of its first frames can be shown.
    #[error("none of the first {looked} frames can be shown; frame 1 at byte {offset}: {refusal}")]
    NoUsableFrame {
        /// How many were looked at.
        looked: u64,
        /// Byte offset of the first one.
        offset: u64,
        /// What is wrong with the first one.
        refusal: Refusal,
    },
}

/// A movie that can be shown.
#[derive(Debug)]
pub struct Shown {
    /// The opened movie.
    pub movie: Arc<MovieFile>,
    /// How it is carried.
    pub carriage: Carriage,
    /// Why it is not carried as it is: the frame's number from 0, and the reason.
    pub reason: Option<(u64, Refusal)>,
}

/// Opens a movie and chooses the way for it from its first usable frames: as it is if all of
/// them pass the check.
///
/// # Errors
/// See [`NotShown`]; within about 100 ms.
pub fn choose(path: &Path) -> Result<Shown, NotShown> {
    let end = Instant::now() + TIME;
    let movie = MovieFile::open(path)?;
    let never = AtomicBool::new(false);
    let (mut carried, mut encoded, mut refused) = (0_u64, None, None);
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
        match check(&bytes) {
            Ok(_) => carried += 1,
            Err(refusal) if refusal.is_decodable() && encoded.is_none() => {
                encoded = gstmjpegfile::jpeg::frame_size(&bytes).map(|size| (frame, refusal, size));
            }
            Err(refusal) => {
                refused.get_or_insert((location.offset, refusal));
            }
        }
    }
    if let Some((frame, refusal, (width, height))) = encoded {
        let (width, height) = fit(width, height);
        let carriage = Carriage::Encoded { width, height };
        return Ok(Shown { movie, carriage, reason: Some((frame, refusal)) });
    }
    if carried > 0 {
        return Ok(Shown { movie, carriage: Carriage::AsIs, reason: None });
    }
    Err(match refused {
        Some((offset, refusal)) => NotShown::NoUsableFrame { looked, offset, refusal },
        None => {
            let likely = movie.likely_format();
            NotShown::NoFrame(likely.map_or_else(String::new, |it| format!(": {}", it.advice())))
        }
    })
}

/// The size scaled down to what RTP/JPEG can say, with the same shape.
fn fit(width: u16, height: u16) -> (u16, u16) {
    let longest = u32::from(width.max(height));
    if longest <= MAX_SIDE {
        return (width, height);
    }
    let scaled = |side: u16| {
        let side = u32::from(side) * MAX_SIDE / longest;
        u16::try_from(side.max(1)).unwrap_or(1)
    };
    (scaled(width), scaled(height))
}
