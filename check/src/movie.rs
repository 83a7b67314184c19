// SPDX-License-Identifier: MIT OR Apache-2.0
//! The movie that the graded program sends or shows.

use anyhow::{Context, Result, bail};
use gstmjpegfile::movie::{MovieForm, MovieWalker, Step};
use std::collections::HashMap;
use std::path::Path;

/// The longest movie that is read, in bytes.
const MAX_LENGTH: u64 = 256 * 1024 * 1024;

/// A movie in memory.
#[derive(Debug, Clone)]
pub struct Movie {
    /// The name in requests.
    pub name: String,
    /// The JPEG images, in order.
    pub frames: Vec<Vec<u8>>,
    /// The frames, from 0, by the hash of their bytes.
    by_content: HashMap<u64, Vec<usize>>,
}

/// What a payload is, compared with the frames of the movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Exactly a frame, from 0.
    Frame(usize),
    /// The start of a frame, whose end is missing.
    Start(usize),
    /// The frame's length digits, then the frame.
    WithDigits(usize),
    /// Some bytes, then the frame.
    AfterBytes(usize, usize),
    /// The frame, then more bytes.
    WithMore(usize),
    /// No frame of the movie.
    Unknown,
}

fn hash(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The frame of a payload that is to be found near another one: of several equal frames, the one from
/// `near` on.
fn nearest(frames: &[usize], near: usize) -> Option<usize> {
    frames.iter().find(|frame| **frame >= near).or(frames.last()).copied()
}

impl Movie {
    /// Reads a movie. It is named by the last part of its path.
    ///
    /// # Errors
    /// If it cannot be read, is too long or is not a movie of records.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let length = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
        if !length.is_file() {
            bail!("{shown} is not a regular file: name a movie");
        }
        if length.len() > MAX_LENGTH {
            bail!("{shown} has over {MAX_LENGTH} bytes: use a shorter movie");
        }
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut walker = MovieWalker::new(MovieForm::of(&bytes));
        let mut frames = Vec::new();
        loop {
            match walker.step(bytes.as_slice())? {
                Step::Frame { offset, length } => {
                    let start = usize::try_from(offset)?;
                    let end = start.saturating_add(usize::try_from(length)?);
                    frames.push(bytes.get(start..end).unwrap_or_default().to_vec());
                }
                Step::Bad(span) => bail!(
                    "{shown}: bad bytes at offset {}: mjpeg-movie repair makes a good movie of it",
                    span.offset
                ),
                Step::End => break,
                Step::Searching | Step::NeedMore => {}
            }
        }
        if frames.is_empty() {
            bail!("{shown} has no frame");
        }
        Ok(Self::new(name.unwrap_or_default(), frames))
    }

    /// A movie of these images.
    pub fn new(name: String, frames: Vec<Vec<u8>>) -> Self {
        let mut by_content: HashMap<u64, Vec<usize>> = HashMap::new();
        for (number, frame) in frames.iter().enumerate() {
            by_content.entry(hash(frame)).or_default().push(number);
        }
        Self { name, frames, by_content }
    }

    /// A frame, from 0.
    pub fn frame(&self, number: usize) -> &[u8] {
        self.frames.get(number).map(Vec::as_slice).unwrap_or_default()
    }

    /// The frame that is exactly these bytes. Of several equal frames, the one from `near` on.
    pub fn find(&self, payload: &[u8], near: usize) -> Option<usize> {
        let candidates = self.by_content.get(&hash(payload))?;
        let equal: Vec<usize> =
            candidates.iter().copied().filter(|frame| self.frame(*frame) == payload).collect();
        nearest(&equal, near)
    }

    /// What these bytes are. Slow if they are not a frame.
    pub fn identify(&self, payload: &[u8], near: usize) -> Match {
        /// The most bytes of a header of its own before an image.
        const MAX_BEFORE: usize = 32;
        /// The fewest bytes that show which frame a start belongs to.
        const LEAST: usize = 16;
        if let Some(frame) = self.find(payload, near) {
            return Match::Frame(frame);
        }
        let all = |test: &dyn Fn(&[u8]) -> bool| {
            let found: Vec<usize> =
                (0..self.frames.len()).filter(|frame| test(self.frame(*frame))).collect();
            nearest(&found, near)
        };
        for before in 1..=MAX_BEFORE.min(payload.len()) {
            let rest = payload.get(before..).unwrap_or_default();
            if let Some(frame) = self.find(rest, near) {
                let digits = before == 5 && payload.iter().take(5).all(u8::is_ascii_digit);
                return if digits {
                    Match::WithDigits(frame)
                } else {
                    Match::AfterBytes(before, frame)
                };
            }
        }
        if payload.len() >= LEAST {
            if let Some(frame) = all(&|it| it.starts_with(payload)) {
                return Match::Start(frame);
            }
            if let Some(frame) = all(&|it| payload.starts_with(it)) {
                return Match::WithMore(frame);
            }
        }
        Match::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_identified() {
        let frame = |number: u8| [&[0xff, 0xd8, number], &[number; 40][..], &[0xff, 0xd9]].concat();
        let movie = Movie::new("m".to_owned(), vec![frame(1), frame(2), frame(1)]);
        let rows = [
            ("the frame", frame(2), 0, Match::Frame(1)),
            ("the second one of two equal ones", frame(1), 1, Match::Frame(2)),
            ("the last one of the equal ones", frame(1), 9, Match::Frame(2)),
            ("its start", frame(2)[..20].to_vec(), 0, Match::Start(1)),
            ("too short a start", frame(2)[..9].to_vec(), 0, Match::Unknown),
            ("digits", [b"00045".as_slice(), &frame(2)].concat(), 0, Match::WithDigits(1)),
            ("eight bytes", [[0; 8].as_slice(), &frame(2)].concat(), 0, Match::AfterBytes(8, 1)),
            ("more", [frame(2), vec![0; 3]].concat(), 0, Match::WithMore(1)),
            ("another", frame(3), 0, Match::Unknown),
            ("nothing", Vec::new(), 0, Match::Unknown),
        ];
        for (name, payload, near, want) in rows {
            assert_eq!(movie.identify(&payload, near), want, "{name}");
        }
    }
}
