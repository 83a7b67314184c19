// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames read together. One read of half a megabyte costs the kernel half of what 32 reads of
//! 16 KB do; but a viewer that takes a frame now and then must not hold half a megabyte. So the
//! read grows while frames are taken much faster than they are shown, and else is of one frame.

use super::reader::Seen;
use crate::movie::{FrameLocation, FrameRate};
use crate::movie_file::MovieFile;
use std::io;
use std::time::{Duration, Instant};

/// The most bytes that are read at once, one frame excepted: more does not fit the second-level
/// cache of a core together with what was read before.
const MOST: u64 = 512 * 1024;

/// The first step beyond one frame.
const LEAST: u64 = 32 * 1024;

/// Frames are taken fast if it takes less than their time over this.
const FAST: u32 = 8;

/// How much is read next.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    bytes: u64,
    /// When frames were read last, and the time that they last.
    last: Option<(Instant, Duration)>,
}

impl ReadAhead {
    /// How many of the frames that lie at `run` are read now: at least one, if there is one.
    pub fn plan(&mut self, run: &[FrameLocation], rate: FrameRate) -> usize {
        let now = Instant::now();
        let fast = self.last.is_some_and(|(when, time)| now.duration_since(when) < time / FAST);
        self.bytes = if fast { (self.bytes * 2).clamp(LEAST, MOST) } else { 0 };
        let begin = run.first().map_or(0, |first| first.offset);
        let fits = |at: &&FrameLocation| at.offset + u64::from(at.length) <= begin + self.bytes;
        let count = run.iter().take_while(fits).count().max(1).min(run.len());
        self.last = Some((now, rate.start_of(count as u64).into()));
        count
    }

    /// Reads one frame the next time, as after a seek.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Frames that were read together.
#[derive(Debug)]
pub(super) struct Block {
    buffer: gst::Buffer,
    /// The number of the first one.
    first: u64,
    frames: Vec<(FrameLocation, Seen)>,
}

impl Block {
    /// Reads the frames at `run`, the first of which is number `first`. Those that the file has
    /// no more are missing at the end.
    pub fn read(movie: &MovieFile, first: u64, run: &[FrameLocation]) -> io::Result<Self> {
        let begin = run.first().map_or(0, |first| first.offset);
        let end = run.last().map_or(begin, |last| last.offset + u64::from(last.length));
        let size = usize::try_from(end - begin).map_err(io::Error::other)?;
        let mut buffer = gst::Buffer::with_size(size).map_err(io::Error::other)?;
        let mut frames = Vec::with_capacity(run.len());
        {
            let writable = buffer.get_mut().ok_or(io::ErrorKind::ResourceBusy)?;
            let mut map = writable.map_writable().map_err(io::Error::other)?;
            let have = movie.read_span(begin, &mut map)?;
            let whole = map.get(..have).unwrap_or_default();
            frames.extend(run.iter().map_while(|location| {
                Some((*location, Seen::in_frame(whole.get(within(begin, *location))?)))
            }));
        }
        Ok(Self { buffer, first, frames })
    }

    /// The bytes of `frame`, shared with the block, and what they tell.
    pub fn frame(&self, frame: u64) -> Option<(gst::Buffer, FrameLocation, Seen)> {
        let at = usize::try_from(frame.checked_sub(self.first)?).ok()?;
        let (location, seen) = *self.frames.get(at)?;
        let begin = self.frames.first()?.0.offset;
        let bytes = within(begin, location);
        let buffer = self.buffer.copy_region(gst::BufferCopyFlags::MEMORY, bytes).ok()?;
        Some((buffer, location, seen))
    }
}

fn within(begin: u64, location: FrameLocation) -> std::ops::Range<usize> {
    let start = usize::try_from(location.offset - begin).unwrap_or(usize::MAX);
    start..start.saturating_add(location.length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_grows_only_while_frames_are_taken_fast() {
        let run: Vec<FrameLocation> =
            (0..64).map(|n| FrameLocation { offset: 5 + n * 16_005, length: 16_000 }).collect();
        // Frames of one hour are always taken fast, those of a nanosecond never.
        let slow = FrameRate::new(1_000_000_000, 1).unwrap();
        let fast = FrameRate::new(1, 3600).unwrap();
        let mut ahead = ReadAhead::default();
        let counts: Vec<usize> = (0..7).map(|_| ahead.plan(&run, fast)).collect();
        assert_eq!(counts, [1, 2, 4, 8, 16, 32, 32]);
        assert_eq!(ahead.plan(&run[..3], fast), 3);
        assert_eq!(ahead.plan(&[], fast), 0);
        ahead.reset();
        assert_eq!(ahead.plan(&run, slow), 1);
        assert_eq!(ahead.plan(&run, slow), 1);
    }
}
