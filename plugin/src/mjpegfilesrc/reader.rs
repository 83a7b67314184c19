// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the stream is doing: which movie, which frame is next, what has been counted.

use super::properties::fraction;
use super::read_ahead::{Block, ReadAhead};
use super::settings::Settings;
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

/// What a frame's bytes tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The picture's width and height in pixels, if it tells them.
    size: Option<(u16, u16)>,
    several_images: bool,
    lacks_eoi: bool,
}

impl Seen {
    pub fn in_frame(bytes: &[u8]) -> Self {
        let several_images = jpeg::holds_second_image(bytes);
        Self {
            size: jpeg::frame_size(bytes),
            several_images,
            lacks_eoi: !several_images && !bytes.ends_with(&EOI),
        }
    }
}

/// What is to be said about a frame.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Of the frame, if its picture has another size than the one before.
    pub caps: Option<gst::Caps>,
    /// It is the first one that lacks its end of image.
    pub first_lacks_eoi: bool,
    /// It is the first one with several images.
    pub first_several: bool,
}

/// What is to be done for the next frame.
#[derive(Debug)]
pub(super) enum Next {
    /// It was read already: push it.
    Push(Ready),
    /// It was looked up already: read these frames, of which it is the first.
    Read {
        movie: Arc<MovieFile>,
        /// From 0.
        frame: u64,
        locations: Vec<FrameLocation>,
    },
    /// Look it up.
    LookUp,
}

/// A frame that can be pushed.
#[derive(Debug)]
pub(super) struct Ready {
    pub buffer: gst::Buffer,
    /// From 0, in the file.
    pub frame: u64,
    pub location: FrameLocation,
    pub seen: Seen,
    /// Its time, and that of the frame after it.
    pub start: gst::ClockTime,
    pub end: gst::ClockTime,
}

/// How frames follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stride {
    pub backwards: bool,
    /// 1, or more if frames between are left out.
    pub step: u64,
}

impl Stride {
    pub const NORMAL: Self = Self { backwards: false, step: 1 };

    /// Of a segment: in trick mode frames are left out, so that as many a second are shown as at
    /// the normal rate.
    pub fn of(rate: f64, flags: gst::SegmentFlags) -> Self {
        let trick = gst::SegmentFlags::TRICKMODE | gst::SegmentFlags::TRICKMODE_KEY_UNITS;
        let times = rate.abs().round().clamp(1.0, 1e6);
        // A whole number from 1 to a million.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let step = if flags.intersects(trick) { times as u64 } else { 1 };
        Self { backwards: rate < 0.0, step }
    }

    /// The frame behind one. Backwards the base class ends at the segment's start.
    fn after(self, frame: u64) -> u64 {
        if self.backwards { frame.saturating_sub(self.step) } else { frame + self.step }
    }
}

/// Timestamps of a rate that is applied here: they count from 0, so far apart each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied {
    spacing: gst::ClockTime,
    pushed: u64,
}

impl Applied {
    /// Frames of `period`, each `stride.step` of them at `rate`.
    pub fn new(period: gst::ClockTime, stride: Stride, rate: f64) -> Self {
        // A step is a million at the most.
        #[allow(clippy::cast_precision_loss)]
        let spacing = period.seconds_f64() * stride.step as f64 / rate.abs();
        Self { spacing: gst::ClockTime::from_seconds_f64(spacing), pushed: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    pub settings: Settings,
    pub movie: Arc<MovieFile>,
    /// The frame that is pushed next, from 0.
    pub next: u64,
    stride: Stride,
    applied: Option<Applied>,
    /// Frames of the passes before this one.
    passed: u64,
    /// Where the frames from `run_begin` on lie: looked up together, since other readers and the
    /// indexing thread take the index's lock too.
    run: Vec<FrameLocation>,
    run_begin: u64,
    ahead: ReadAhead,
    block: Option<Block>,
    /// Of the frames pushed last, in pixels.
    size: Option<(u16, u16)>,
    pub stats: Stats,
    /// Bad spans that were reported.
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
            applied: None,
            passed: 0,
            run: Vec::new(),
            run_begin: 0,
            ahead: ReadAhead::default(),
            block: None,
            size: None,
            stats: Stats::default(),
            reported_spans: 0,
            total_announced: false,
        }
    }

    pub fn next(&mut self) -> Next {
        if let Some((buffer, location, seen)) =
            self.block.as_ref().and_then(|block| block.frame(self.next))
        {
            let (start, end) = self.times();
            return Next::Push(Ready { buffer, frame: self.next, location, seen, start, end });
        }
        let at = self.next.checked_sub(self.run_begin).and_then(|at| usize::try_from(at).ok());
        let run = at.and_then(|at| self.run.get(at..)).unwrap_or_default();
        if run.is_empty() {
            return Next::LookUp;
        }
        // What lies behind the next frame is not shown next, unless all frames are, in order.
        let count = match self.stride {
            Stride::NORMAL => self.ahead.plan(run, self.settings.framerate),
            _ => 1,
        };
        let locations = run.iter().copied().take(count).collect();
        // Freed before the next one is taken, so that the allocator gives the same bytes, which
        // are in the processor's cache.
        self.block = None;
        Next::Read { movie: self.movie.clone(), frame: self.next, locations }
    }

    /// When the next frame begins, and ends.
    fn times(&self) -> (gst::ClockTime, gst::ClockTime) {
        if let Some(Applied { spacing, pushed }) = self.applied {
            return (spacing * pushed, spacing * (pushed + 1));
        }
        let (rate, timeline) = (self.settings.framerate, self.passed + self.next);
        let time = |frame| gst::ClockTime::from_nseconds(rate.start_of(frame).get());
        (time(timeline), time(timeline + 1))
    }

    /// Takes in frames that were read; false if there is not one of them.
    pub fn has_read(&mut self, block: Block) -> bool {
        let block = self.block.insert(block);
        block.frame(self.next).is_some()
    }

    /// Looks up the next frame, which is in the index, and those that follow it.
    pub fn look_up(&mut self) {
        self.run_begin = self.next;
        self.movie.known_from(self.next, self.reported_spans, &mut self.run);
    }

    /// Continues at `frame` of the first pass.
    pub fn seek(&mut self, frame: u64, stride: Stride, applied: Option<Applied>) {
        self.next = frame;
        self.stride = stride;
        self.applied = applied;
        self.passed = 0;
        self.block = None;
        self.ahead.reset();
    }

    /// Begins the next pass after one of `frames` frames, of a file that may have grown.
    pub fn next_pass(&mut self, frames: u64, grown: Option<Arc<MovieFile>>) {
        self.passed += frames;
        self.next = 0;
        if let Some(movie) = grown {
            self.movie = movie;
            self.run.clear();
            self.block = None;
            self.total_announced = false;
        }
    }

    /// Counts a frame that is pushed now; gives what is new about it.
    pub fn pushed(&mut self, frame: u64, seen: Seen) -> News {
        self.next = self.stride.after(frame);
        if let Some(applied) = &mut self.applied {
            applied.pushed += 1;
        }
        self.stats.pushed += 1;
        self.stats.missing_eoi += u64::from(seen.lacks_eoi);
        self.stats.several_images += u64::from(seen.several_images);
        let changed = seen.size.is_some() && seen.size != self.size;
        if changed {
            self.size = seen.size;
        }
        News {
            caps: changed.then(|| self.caps()),
            first_lacks_eoi: seen.lacks_eoi && self.stats.missing_eoi == 1,
            first_several: seen.several_images && self.stats.several_images == 1,
        }
    }

    /// Caps of the frames pushed last; without a size where none tells it.
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

    /// All frames and their time, unless not known yet or without an end.
    pub fn duration(&self) -> Option<(u64, gst::ClockTime)> {
        let frames = self.movie.total_frames().filter(|_| !self.settings.looping)?;
        let time = self.settings.framerate.start_of(frames).get();
        Some((frames, gst::ClockTime::from_nseconds(time)))
    }

    /// Takes the picture's size from the first of `limit` frames that tells it; false if there
    /// is no frame at all.
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
