// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the stream is doing: which movie, which frame is next, what has been counted.

use crate::jpeg;
use crate::movie_file::{Lookup, MovieFile};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stats {
    pub pushed: u64,
    pub missing_eoi: u64,
    pub several_images: u64,
}

#[derive(Debug)]
pub(super) struct Reader {
    pub movie: Arc<MovieFile>,
    /// The frame that is pushed next, from 0.
    pub next: u64,
    /// Frames of the passes before this one.
    passed: u64,
    /// Of the frames pushed last, in pixels.
    pub size: Option<(u16, u16)>,
    pub stats: Stats,
    /// Bad spans that were reported.
    pub reported_spans: usize,
    pub total_announced: bool,
}

impl Reader {
    pub fn new(movie: Arc<MovieFile>) -> Self {
        Self {
            movie,
            next: 0,
            passed: 0,
            size: None,
            stats: Stats::default(),
            reported_spans: 0,
            total_announced: false,
        }
    }

    /// The next frame's place in time, counted in frames over all passes.
    pub fn timeline(&self) -> u64 {
        self.passed + self.next
    }

    /// Continues at `frame` of the first pass.
    pub fn seek(&mut self, frame: u64) {
        self.next = frame;
        self.passed = 0;
    }

    /// Begins the next pass after one of `frames` frames.
    pub fn next_pass(&mut self, frames: u64, grown: Option<Arc<MovieFile>>) {
        self.passed += frames;
        self.next = 0;
        if let Some(movie) = grown {
            self.movie = movie;
            self.total_announced = false;
        }
    }

    /// Takes the picture's size from the first of `limit` frames that tells it; the number of
    /// frames is the error if there is none at all.
    pub fn find_size(&mut self, cancelled: &AtomicBool, limit: u64) -> Result<(), u64> {
        let mut bytes = Vec::new();
        for frame in 0..limit {
            let Lookup::Frame(location) = self.movie.frame(frame, cancelled, None) else {
                return if frame == 0 { Err(frame) } else { Ok(()) };
            };
            bytes.resize(location.length as usize, 0);
            if self.movie.read(location, &mut bytes).unwrap_or(false) {
                self.size = jpeg::frame_size(&bytes);
                if self.size.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
