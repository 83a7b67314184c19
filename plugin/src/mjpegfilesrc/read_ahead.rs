// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads several frames at once. One read of half a megabyte costs the kernel half of what 32 reads
//! of 16 KB cost, but a viewer at normal speed must not hold half a megabyte. So the read size grows
//! while frames are taken much faster than they are shown; otherwise one frame is read at a time.

use super::reader::FrameFacts;
use crate::movie::{FrameLocation, FrameRate};
use crate::movie_file::MovieFile;
use std::io;
use std::time::{Duration, Instant};

/// The largest read in bytes, unless a single frame is larger. A larger read and the one before it do
/// not fit in a core's second-level cache together.
const MAX_READ: u64 = 512 * 1024;

/// The first read size beyond one frame, in bytes.
const MIN_READ: u64 = 32 * 1024;

/// Frames are taken fast if they are taken in less than their duration divided by this.
const FAST: u32 = 8;

/// Decides how many frames the next read takes.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    bytes: u64,
    /// When frames were read last, and their duration.
    last: Option<(Instant, Duration)>,
}

impl ReadAhead {
    /// How many of the frames at `run` to read now: at least one, if there is one.
    pub fn plan(&mut self, run: &[FrameLocation], rate: FrameRate) -> usize {
        let now = Instant::now();
        let fast = self.last.is_some_and(|(when, time)| now.duration_since(when) < time / FAST);
        self.bytes = if fast { (self.bytes * 2).clamp(MIN_READ, MAX_READ) } else { 0 };
        let start = run.first().map_or(0, |first| first.offset);
        let fits = |at: &&FrameLocation| at.offset + u64::from(at.length) <= start + self.bytes;
        let count = run.iter().take_while(fits).count().max(1).min(run.len());
        self.last = Some((now, rate.start_of(count as u64).into()));
        count
    }

    /// Makes the next read one frame, as after a seek.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Frames that were read at once.
#[derive(Debug)]
pub(super) struct Block {
    buffer: gst::Buffer,
    /// Number of the first frame.
    first: u64,
    frames: Vec<(FrameLocation, FrameFacts)>,
}

impl Block {
    /// Reads the frames at `run`, the first of which is number `first`. Frames that the file no longer
    /// contains are missing at the end.
    pub fn read(movie: &MovieFile, first: u64, run: &[FrameLocation]) -> io::Result<Self> {
        let start = run.first().map_or(0, |first| first.offset);
        let end = run.last().map_or(start, |last| last.offset + u64::from(last.length));
        let size = usize::try_from(end - start).map_err(io::Error::other)?;
        let mut buffer = gst::Buffer::with_size(size).map_err(io::Error::other)?;
        let mut frames = Vec::with_capacity(run.len());
        {
            let writable = buffer.get_mut().ok_or(io::ErrorKind::ResourceBusy)?;
            let mut map = writable.map_writable().map_err(io::Error::other)?;
            let have = movie.read_span(start, &mut map)?;
            let whole = map.get(..have).unwrap_or_default();
            frames.extend(run.iter().map_while(|location| {
                Some((*location, FrameFacts::of(whole.get(within(start, *location))?)))
            }));
        }
        Ok(Self { buffer, first, frames })
    }

    /// The bytes of `frame`, which share the block's memory, and what is known of them.
    pub fn frame(&self, frame: u64) -> Option<(gst::Buffer, FrameLocation, FrameFacts)> {
        let at = usize::try_from(frame.checked_sub(self.first)?).ok()?;
        let (location, facts) = *self.frames.get(at)?;
        let start = self.frames.first()?.0.offset;
        let bytes = within(start, location);
        let buffer = self.buffer.copy_region(gst::BufferCopyFlags::MEMORY, bytes).ok()?;
        Some((buffer, location, facts))
    }
}

/// The bytes of a frame within a block that starts at `block`.
fn within(block: u64, location: FrameLocation) -> std::ops::Range<usize> {
    let start = usize::try_from(location.offset - block).unwrap_or(usize::MAX);
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
