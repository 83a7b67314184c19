// SPDX-License-Identifier: MIT OR Apache-2.0
//! Indexes a movie ahead of the parser, where upstream supports random access.
//!
//! How far the index goes depends on the movie's bytes alone, not on how fast they are read: so a
//! movie is seekable in the same way on each machine.

use crate::movie::{MovieBytes, MovieForm, MovieWalker, Step};
use gst::prelude::*;
use std::cell::Cell;
use std::io;

/// What is read before the first frame is pushed, in bytes: 16 384 records of a movie without
/// damage, which are 14 minutes at 20 frames per second. Of a movie without lengths, all bytes are read.
pub(super) const AT_START: u64 = 64 * 1024 * 1024;

/// What is read with each frame after that, in bytes: 16 records.
pub(super) const PER_FRAME: u64 = 64 * 1024;

/// The least that a read counts: a disk reads whole pages.
const PAGE: u64 = 4096;

/// The movie, read through the sink pad.
struct Upstream<'a> {
    pad: &'a gst::Pad,
    length: u64,
    /// Bytes read so far, in whole pages.
    read: Cell<u64>,
}

impl MovieBytes for Upstream<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let wanted = u64::try_from(buf.len()).unwrap_or(0).min(self.length.saturating_sub(offset));
        if wanted == 0 {
            return Ok(0);
        }
        self.read.update(|read| read + wanted.next_multiple_of(PAGE));
        let count = u32::try_from(wanted).map_err(io::Error::other)?;
        let bytes = self.pad.pull_range(offset, count).map_err(io::Error::other)?;
        let map = bytes.map_readable().map_err(io::Error::other)?;
        let have = map.len().min(buf.len());
        buf.iter_mut().zip(map.iter()).for_each(|(to, from)| *to = *from);
        Ok(have)
    }

    fn end(&self) -> u64 {
        self.length
    }

    fn is_whole(&self) -> bool {
        true
    }
}

/// Walks the movie's frames through the sink pad.
#[derive(Debug)]
pub(super) struct Indexer {
    walker: MovieWalker,
    /// Bytes in the movie.
    length: u64,
}

impl Indexer {
    /// An indexer of what `pad` receives; `None` if upstream does not support random access.
    pub fn new(pad: &gst::Pad, form: MovieForm) -> Option<Self> {
        let length = pad.peer_query_duration::<gst::format::Bytes>()?;
        let random_access = pad.mode() == gst::PadMode::Pull;
        random_access.then(|| Self { walker: MovieWalker::new(form), length: *length })
    }

    /// Reads up to `budget` bytes. Returns the steps, and whether the end has been reached.
    ///
    /// # Errors
    /// If upstream does not provide the bytes.
    pub fn advance(&mut self, pad: &gst::Pad, budget: u64) -> io::Result<(Vec<Step>, bool)> {
        let movie = Upstream { pad, length: self.length, read: Cell::new(0) };
        let mut steps = Vec::new();
        while movie.read.get() < budget {
            match self.walker.step(&movie)? {
                Step::End => return Ok((steps, true)),
                Step::Searching => {}
                step => steps.push(step),
            }
        }
        Ok((steps, false))
    }
}
