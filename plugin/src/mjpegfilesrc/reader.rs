// SPDX-License-Identifier: MIT OR Apache-2.0
//! The position of the source in its movie: which frame is next, what has been read, the counters.

use super::properties::fraction;
use super::read_ahead::{Block, ReadAhead};
use super::settings::Settings;
use crate::frame_time;
use crate::jpeg;
use crate::movie::{EOI, FrameLocation};
use crate::movie_file::{Lookup, MovieFile};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stats {
    pub pushed: u64,
    pub missing_eoi: u64,
    pub several_images: u64,
}

/// What the source needs to know about a frame's bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameFacts {
    /// Width and height in pixels, if the image has a frame header.
    size: Option<(u16, u16)>,
    several_images: bool,
    lacks_eoi: bool,
}

impl FrameFacts {
    pub fn of(bytes: &[u8]) -> Self {
        let several_images = jpeg::holds_second_image(bytes);
        Self {
            size: jpeg::frame_size(bytes),
            several_images,
            lacks_eoi: !several_images && !bytes.ends_with(&EOI),
        }
    }
}

/// What changes with a frame, and what is reported about it.
#[derive(Debug, Default)]
pub(super) struct FrameReport {
    /// New caps, if the picture has another size than the one before.
    pub caps: Option<gst::Caps>,
    /// This is the first frame without an end of image marker.
    pub first_lacks_eoi: bool,
    /// This is the first frame with several images.
    pub first_several: bool,
}

/// What to do to get the next frame.
#[derive(Debug)]
pub(super) enum Next {
    /// Push it: it has been read.
    Push(ReadFrame),
    /// Read these frames, of which it is the first: they have been looked up.
    Read {
        movie: Arc<MovieFile>,
        /// From 0.
        frame: u64,
        locations: Vec<FrameLocation>,
    },
    /// Look it up in the index.
    LookUp,
}

/// A frame that has been read and can be pushed.
#[derive(Debug)]
pub(super) struct ReadFrame {
    pub buffer: gst::Buffer,
    /// Frame number in the file, from 0.
    pub frame: u64,
    pub location: FrameLocation,
    pub facts: FrameFacts,
    /// Timestamp of this frame, then of the one after it.
    pub start: gst::ClockTime,
    pub end: gst::ClockTime,
}

/// In which direction and steps frames are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stride {
    pub backwards: bool,
    /// Distance from one frame to the next; above 1, frames are left out.
    pub step: u64,
}

impl Stride {
    pub const NORMAL: Self = Self { backwards: false, step: 1 };

    /// The stride for a segment. In trick mode frames are left out, so that about as many frames a
    /// second are shown as at the normal rate.
    pub fn of(rate: f64, flags: gst::SegmentFlags) -> Self {
        let trick = gst::SegmentFlags::TRICKMODE | gst::SegmentFlags::TRICKMODE_KEY_UNITS;
        let times = rate.abs().round().clamp(1.0, 1e6);
        // A whole number from 1 to a million.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let step = if flags.intersects(trick) { times as u64 } else { 1 };
        Self { backwards: rate < 0.0, step }
    }

    /// The frame to play after `frame`. Backwards, the base class ends at the segment's start.
    fn after(self, frame: u64) -> u64 {
        if self.backwards { frame.saturating_sub(self.step) } else { frame + self.step }
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    pub settings: Settings,
    pub movie: Arc<MovieFile>,
    /// The frame that is pushed next, from 0.
    pub next: u64,
    stride: Stride,
    /// Number of frames in the passes before this one.
    passed: u64,
    /// Locations of the frames from `run_start` on. They are looked up together, since other readers
    /// and the indexing thread take the index's lock too.
    run: Vec<FrameLocation>,
    run_start: u64,
    ahead: ReadAhead,
    block: Option<Block>,
    /// Width and height in pixels of the frames pushed last.
    size: Option<(u16, u16)>,
    pub stats: Stats,
    /// Number of bad spans that have been reported.
    pub reported_spans: usize,
    pub total_announced: bool,
}

impl Reader {
    pub fn new(movie: Arc<MovieFile>, settings: Settings) -> Self {
        Self {
            settings,
            movie,
            next: 0,
            stride: Stride::NORMAL,
            passed: 0,
            run: Vec::new(),
            run_start: 0,
            ahead: ReadAhead::default(),
            block: None,
            size: None,
            stats: Stats::default(),
            reported_spans: 0,
            total_announced: false,
        }
    }

    pub fn next(&mut self) -> Next {
        if let Some((buffer, location, facts)) =
            self.block.as_ref().and_then(|block| block.frame(self.next))
        {
            let (start, end) = self.times();
            return Next::Push(ReadFrame { buffer, frame: self.next, location, facts, start, end });
        }
        let at = self.next.checked_sub(self.run_start).and_then(|at| usize::try_from(at).ok());
        let run = at.and_then(|at| self.run.get(at..)).unwrap_or_default();
        if run.is_empty() {
            return Next::LookUp;
        }
        // Frames are read together only if they are played one after the other.
        let count = match self.stride {
            Stride::NORMAL => self.ahead.plan(run, self.settings.framerate),
            _ => 1,
        };
        let locations = run.iter().copied().take(count).collect();
        // The old block is freed before the next one is allocated, so that the allocator gives the
        // same memory, which is in the processor's cache.
        self.block = None;
        Next::Read { movie: self.movie.clone(), frame: self.next, locations }
    }

    /// The next frame's start and end time.
    fn times(&self) -> (gst::ClockTime, gst::ClockTime) {
        let (rate, timeline) = (self.settings.framerate, self.passed + self.next);
        let time = |frame| frame_time::start_of(rate, frame);
        (time(timeline), time(timeline + 1))
    }

    /// Stores frames that were read; false if the next one is not among them.
    pub fn store(&mut self, block: Block) -> bool {
        let block = self.block.insert(block);
        block.frame(self.next).is_some()
    }

    /// Looks up the locations of the next frame, which is in the index, and of those after it.
    pub fn look_up(&mut self) {
        self.run_start = self.next;
        self.movie.known_from(self.next, self.reported_spans, &mut self.run);
    }

    /// Continues at `frame` of the first pass.
    pub fn seek(&mut self, frame: u64, stride: Stride) {
        self.next = frame;
        self.stride = stride;
        self.passed = 0;
        self.block = None;
        self.ahead.reset();
    }

    /// Starts the next pass after one of `frames` frames; of `changed`, if the file has changed.
    pub fn next_pass(&mut self, frames: u64, changed: Option<Arc<MovieFile>>) {
        self.passed += frames;
        self.next = 0;
        if let Some(movie) = changed {
            self.movie = movie;
            self.run.clear();
            self.block = None;
            self.total_announced = false;
        }
    }

    /// Counts a frame that is pushed, and moves to the next one.
    pub fn pushed(&mut self, frame: u64, facts: FrameFacts) -> FrameReport {
        self.next = self.stride.after(frame);
        self.stats.pushed += 1;
        self.stats.missing_eoi += u64::from(facts.lacks_eoi);
        self.stats.several_images += u64::from(facts.several_images);
        let changed = facts.size.is_some() && facts.size != self.size;
        if changed {
            self.size = facts.size;
        }
        FrameReport {
            caps: changed.then(|| self.caps()),
            first_lacks_eoi: facts.lacks_eoi && self.stats.missing_eoi == 1,
            first_several: facts.several_images && self.stats.several_images == 1,
        }
    }

    /// Caps of the frames pushed last; without width and height if no frame header states them.
    pub fn caps(&self) -> gst::Caps {
        let builder = gst::Caps::builder("image/jpeg")
            .field("parsed", true)
            .field("framerate", fraction(self.settings.framerate));
        match self.size {
            Some((width, height)) => {
                builder.field("width", i32::from(width)).field("height", i32::from(height)).build()
            }
            None => builder.build(),
        }
    }

    /// Number of frames and duration; `None` while they are not known, and for a loop.
    pub fn duration(&self) -> Option<(u64, gst::ClockTime)> {
        let frames = self.movie.total_frames().filter(|_| !self.settings.looping)?;
        Some((frames, frame_time::start_of(self.settings.framerate, frames)))
    }

    /// Takes the picture's size from the first of `limit` frames that has a frame header; false if
    /// there is no frame at all.
    pub fn find_size(&mut self, cancelled: &AtomicBool, limit: u64) -> bool {
        let mut bytes = Vec::new();
        for frame in 0..limit {
            let Lookup::Frame(location) = self.movie.frame(frame, cancelled, None) else {
                return frame > 0;
            };
            bytes.resize(location.length as usize, 0);
            if self.movie.read(location, &mut bytes).unwrap_or(false) {
                self.size = jpeg::frame_size(&bytes);
                if self.size.is_some() {
                    return true;
                }
            }
        }
        true
    }
}
