// SPDX-License-Identifier: MIT OR Apache-2.0
//! The movie that a client is shown. Each frame is mostly one colour, so that it is recognised in a
//! screenshot of any window; its bytes differ from those of all other frames.

use crate::movie::Movie;
use jpeg_encoder::{ColorType, Encoder, EncodingError};
use std::sync::{LazyLock, OnceLock};

/// The size of the frames, that of the textbook's movie.
pub const WIDTH: u16 = 384;
/// Their height.
pub const HEIGHT: u16 = 288;

/// The number of frames.
pub const FRAMES: usize = 120;

/// The quality of the JPEG images.
const QUALITY: u8 = 75;

/// The last rows, which are noise: so the frames have several KiB, as those of a movie.
const NOISE_ROWS: u16 = 16;

/// How far the values of a colour may be off in a picture.
const TOLERANCE: u8 = 24;

/// The values of red, green and blue of which the colours are made.
const LEVELS: [u8; 3] = [40, 140, 240];

/// The colours, without the grey ones, which windows have.
static COLOURS: LazyLock<Vec<[u8; 3]>> = LazyLock::new(|| {
    let mut colours = Vec::new();
    for red in LEVELS {
        for green in LEVELS {
            for blue in LEVELS {
                if red != green || green != blue {
                    colours.push([red, green, blue]);
                }
            }
        }
    }
    // Neighbours in the movie differ much.
    (0..colours.len()).filter_map(|at| colours.get(at * 7 % colours.len()).copied()).collect()
});

/// The number of frames after which the colours repeat.
pub fn period() -> usize {
    COLOURS.len()
}

/// The colour of a frame, from 0.
pub fn colour(frame: usize) -> [u8; 3] {
    COLOURS.get(frame % COLOURS.len().max(1)).copied().unwrap_or_default()
}

/// The number of a colour, which is that of the first frame with it.
pub fn nearest(pixel: [u8; 3]) -> Option<usize> {
    let is_near = |colour: &[u8; 3]| {
        colour.iter().zip(pixel).all(|(want, have)| want.abs_diff(have) <= TOLERANCE)
    };
    COLOURS.iter().position(is_near)
}

/// Makes the movie.
///
/// # Errors
/// If a frame cannot be encoded, which does not happen with these sizes.
pub fn make(name: &str) -> Result<Movie, EncodingError> {
    static MADE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let frames = match MADE.get() {
        Some(frames) => frames.clone(),
        None => {
            let frames = (0..FRAMES).map(frame).collect::<Result<Vec<_>, _>>()?;
            MADE.get_or_init(|| frames).clone()
        }
    };
    Ok(Movie::new(name.to_owned(), frames))
}

fn frame(number: usize) -> Result<Vec<u8>, EncodingError> {
    let noise = usize::from(NOISE_ROWS) * usize::from(WIDTH);
    let plain = usize::from(HEIGHT) * usize::from(WIDTH) - noise;
    let mut pixels = colour(number).repeat(plain);
    // A linear congruential generator, which starts differently for each frame.
    let mut state = u32::try_from(number).unwrap_or(0).wrapping_mul(2_654_435_761);
    for _ in 0..noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [noise, ..] = state.to_be_bytes();
        pixels.extend([noise / 2; 3]);
    }
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, QUALITY).encode(&pixels, WIDTH, HEIGHT, ColorType::Rgb)?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn frames_differ_and_fit_the_labs_clients() {
        let movie = make("movie.Mjpeg").unwrap();
        let all: BTreeSet<&Vec<u8>> = movie.frames.iter().collect();
        assert_eq!((all.len(), period()), (FRAMES, 24));
        // The lab's clients receive at most 20 480 bytes, Java ones 15 000.
        let (least, most) =
            (all.iter().map(|it| it.len()).min(), all.iter().map(|it| it.len()).max());
        assert!(least > Some(3000) && most < Some(14_000), "{least:?} {most:?}");
    }

    #[test]
    fn colours_are_recognised() {
        for frame in 0..period() {
            let [red, green, blue] = colour(frame);
            assert_eq!(nearest([red + 5, green - 5, blue]), Some(frame));
        }
        for grey in [[0; 3], [40; 3], [140; 3], [217; 3], [240; 3], [255; 3]] {
            assert_eq!(nearest(grey), None);
        }
    }
}
