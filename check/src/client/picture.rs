// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client shows.

use super::film;
use super::sender::SentFrame;
use crate::movie::{Match, Movie};
use std::time::Duration;

/// A picture as a driver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// When it was shown.
    pub at: Duration,
    /// What is known of it.
    pub content: Content,
}

/// What is known of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes of its file.
    Bytes(Vec<u8>),
    /// The number of its colour.
    Colour(usize),
    /// A colour that no frame has.
    OtherColour([u8; 3]),
    /// Nothing is shown any more.
    Blank,
}

/// A picture, compared with the frames that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// When it was shown.
    pub at: Duration,
    /// What it is.
    pub kind: PictureKind,
    /// The first bytes of a picture that is not a frame.
    pub bytes: Vec<u8>,
    /// The number of its bytes.
    pub length: usize,
}

/// What a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureKind {
    /// A frame, from 0.
    Frame(usize),
    /// No frame of the movie.
    Wrong(Match),
    /// Another colour than those of the movie, in a window.
    OtherColour([u8; 3]),
    /// Nothing.
    Blank,
}

/// The bytes that are kept of a picture that is not a frame.
const KEPT: usize = 200;

/// Compares a picture with the frames that were sent before.
pub fn identify(picture: Picture, movie: &Movie, sent: &[SentFrame]) -> Shown {
    let at = picture.at;
    // Frames that were sent before, the last one first.
    let before = || sent.iter().rev().filter(|it| it.at <= at).map(|it| it.frame);
    let (kind, bytes) = match picture.content {
        Content::Blank => (PictureKind::Blank, Vec::new()),
        Content::OtherColour(colour) => (PictureKind::OtherColour(colour), Vec::new()),
        Content::Colour(colour) => {
            // Colours repeat: of the frames with this one, the last that was sent.
            let of_colour = |frame: &usize| frame % film::period() == colour;
            let kind = before()
                .find(of_colour)
                .map_or(PictureKind::OtherColour(film::colour(colour)), PictureKind::Frame);
            (kind, Vec::new())
        }
        Content::Bytes(bytes) => match movie.identify(&bytes, 0) {
            Match::Frame(frame) => (PictureKind::Frame(frame), Vec::new()),
            other => (PictureKind::Wrong(other), bytes),
        },
    };
    let length = bytes.len();
    let bytes = bytes.get(..KEPT).unwrap_or(&bytes).to_vec();
    Shown { at, kind, bytes, length }
}
