// SPDX-License-Identifier: MIT OR Apache-2.0

use super::indexer::{AT_START, Indexer, PER_FRAME};
use crate::border;
use crate::frame_time;
use crate::jpeg::{Damage, frame_size};
use crate::mjpegfilesrc::properties::{fraction, framerate_of, framerate_spec};
use crate::movie::{
    BadRecord, BadSpan, FrameIndex, FrameRate, LengthPrefix, MAX_FILLER, MAX_FRAME_LEN,
    MAX_IMAGE_LEN, MAX_LISTED_BAD_SPANS, MovieBytes, MovieForm, NextImage, PREFIX_LEN,
    RecordWalker, SOI, Step, is_filler, next_image,
};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::BaseParseFrame;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "mjpegfileparse",
        gst::DebugColorFlags::empty(),
        Some("Length-prefixed MJPEG movie parser"),
    )
});

/// A record's length field and the start of its image.
const HEAD: usize = PREFIX_LEN + SOI.len();

/// Number of frames that each have an entry in the base class's index, which it needs for accurate
/// seeks. After these, one frame of `SPARSE` has an entry.
const DENSE: u64 = 10_000;
const SPARSE: u64 = 16;

/// The most bytes held while searching for a good record.
const SEARCH: usize = 4 * MAX_FRAME_LEN;

/// How much more of an unfinished image without a length is waited for at least.
const MORE: usize = 16 * 1024;

#[derive(Debug, Default)]
struct State {
    /// The form of the movie; `None` until the first bytes have arrived.
    form: Option<MovieForm>,
    /// Indexes the rest of the movie; `None` after its end and without random access.
    indexer: Option<Indexer>,
    /// The frames found so far by the indexer.
    index: FrameIndex,
    /// The index contains all frames of the movie.
    index_complete: bool,
    /// Number and offset of the next frame, if they are known.
    next: Option<(u64, u64)>,
    size: Option<(u16, u16)>,
    /// Bytes of the image that was pushed last.
    last_length: usize,
    frames: u64,
    /// The bytes pushed last were bad: what is found bad directly after them is not reported again.
    in_bad_span: bool,
    bad_spans: usize,
    bytes_skipped: u64,
}

impl State {
    fn prefix_len(&self) -> usize {
        self.form.unwrap_or_default().prefix_len()
    }
}

#[derive(Default)]
pub struct MjpegFileParse {
    settings: Mutex<Option<FrameRate>>,
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for MjpegFileParse {
    const NAME: &'static str = "GstMjpegFileParse";
    type Type = super::MjpegFileParse;
    type ParentType = gst_base::BaseParse;
}

/// The bytes of the stream received so far, from the next record on.
struct Received<'a> {
    bytes: &'a [u8],
    is_all: bool,
}

impl MovieBytes for Received<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.bytes.read_at(buf, offset)
    }

    fn end(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn is_whole(&self) -> bool {
        self.is_all
    }
}

/// What the next bytes of the stream are.
#[derive(Debug)]
enum NextBytes {
    /// A record whose image has this many bytes.
    Frame(usize),
    Bad(BadSpan),
    /// Unknown: this many bytes are needed.
    NeedMore(usize),
    /// This many bytes in which no record starts.
    NoRecord(usize),
}

/// What the bytes of a movie without lengths start with.
fn inspect_images(bytes: &[u8], is_all: bool) -> NextBytes {
    let (mut from, mut damaged) = (0, None);
    let skipped = |count: usize, damaged: Option<(u64, BadRecord)>| {
        let is_filler = damaged.is_none() && is_filler(bytes.get(..count).unwrap_or_default());
        let (records, first) = damaged.unwrap_or((1, BadRecord::NoImage));
        let span = BadSpan { offset: 0, bytes: count as u64, records, first };
        if is_filler { NextBytes::NoRecord(count) } else { NextBytes::Bad(span) }
    };
    loop {
        match next_image(bytes, from, is_all) {
            NextImage::Complete { start: 0, end, .. } => return NextBytes::Frame(end),
            NextImage::Complete { start, .. } | NextImage::Unfinished { start: start @ 1.. } => {
                return skipped(start, damaged);
            }
            NextImage::Unfinished { start: 0 } if bytes.len() < MAX_IMAGE_LEN => {
                return NextBytes::NeedMore(bytes.len() + MORE.max(bytes.len() / 4));
            }
            NextImage::Unfinished { start: 0 } => {
                // The base class ends a stream when many bytes are skipped at once.
                let (length, part) = (bytes.len(), bytes.len().min(MAX_FILLER));
                return skipped(part, Some((1, Damage::TooLong { length }.into())));
            }
            NextImage::Damaged { resume, damage, .. } => {
                damaged.get_or_insert((0, damage.into())).0 += 1;
                from = resume;
            }
            NextImage::NotFound if is_all => return skipped(bytes.len(), damaged),
            NextImage::NotFound if bytes.len() <= MAX_FILLER && damaged.is_none() => {
                return NextBytes::NeedMore(bytes.len() + MORE);
            }
            // The last byte may be the first half of an SOI.
            NextImage::NotFound => {
                return skipped(bytes.len().saturating_sub(1).max(1), damaged);
            }
        }
    }
}

fn inspect(bytes: &[u8], is_all: bool) -> NextBytes {
    if let Some((digits, rest)) = bytes.split_first_chunk::<PREFIX_LEN>()
        && rest.starts_with(&SOI)
        && let Ok(prefix) = LengthPrefix::parse(*digits)
    {
        let length = prefix.length() as usize;
        if length <= rest.len() {
            return NextBytes::Frame(length);
        }
        if !is_all {
            return NextBytes::NeedMore(PREFIX_LEN + length);
        }
    }
    if bytes.len() < HEAD && !is_all {
        return NextBytes::NeedMore(HEAD);
    }
    let mut walker = RecordWalker::new();
    let received = Received { bytes, is_all };
    loop {
        // Reading from memory does not fail.
        match walker.step(&received) {
            Ok(Step::Searching) => {}
            Ok(Step::Bad(span)) => return NextBytes::Bad(span),
            Ok(Step::NeedMore) if bytes.len() < SEARCH => {
                return NextBytes::NeedMore(bytes.len() + MAX_FRAME_LEN + HEAD);
            }
            Ok(Step::NeedMore) => {
                let settled = usize::try_from(walker.offset()).unwrap_or(bytes.len());
                return NextBytes::NoRecord(settled.clamp(1, bytes.len()));
            }
            Ok(Step::Frame { length, .. }) => return NextBytes::Frame(length as usize),
            Ok(Step::End) | Err(_) => return NextBytes::NoRecord(bytes.len()),
        }
    }
}

impl MjpegFileParse {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn framerate(&self) -> FrameRate {
        let set = *self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        set.unwrap_or(FrameRate::DEFAULT)
    }

    /// Indexes the movie ahead of the frames that are pushed, if upstream supports random access.
    fn extend_index(&self, form: MovieForm, is_start: bool) {
        let (obj, rate) = (self.obj(), self.framerate());
        let pad = obj.sink_pad();
        let indexer = if is_start { Indexer::new(pad, form) } else { self.state().indexer.take() };
        let Some(mut indexer) = indexer else {
            if is_start {
                gst::debug!(CAT, imp = self, "no index: upstream does not support random access");
            }
            return;
        };
        // Of a movie without lengths all bytes are read: the index must be faster than the frames.
        let last_length = self.state().last_length as u64;
        let budget = if is_start { AT_START } else { PER_FRAME.max(4 * last_length) };
        // No lock is held while upstream reads.
        let (steps, at_end) = match indexer.advance(pad, budget) {
            Ok(done) => done,
            Err(error) => {
                gst::debug!(CAT, imp = self, "no further index: {error}");
                return;
            }
        };
        let time = |frame| frame_time::start_of(rate, frame);
        let mut entries = Vec::new();
        let frames = {
            let mut state = self.state();
            if is_start {
                state.index = FrameIndex::new(form);
            }
            for step in steps {
                let frame = state.index.frames();
                if let Step::Frame { offset, .. } = step
                    && (frame < DENSE || frame.is_multiple_of(SPARSE))
                {
                    entries.push((offset - form.prefix_len() as u64, frame));
                }
                state.index.record(step);
            }
            state.index_complete = at_end;
            state.indexer = (!at_end).then_some(indexer);
            state.index.frames()
        };
        for (record, frame) in entries {
            obj.add_index_entry(record, time(frame), true, true);
        }
        if at_end {
            gst::debug!(CAT, imp = self, "the index is complete: {frames} frames");
            obj.set_duration(time(frames), 0);
        }
    }

    /// The number of the frame whose record starts at `offset`; `None` after a seek to a position
    /// that the index has not reached.
    fn number_of(&self, offset: u64) -> Option<u64> {
        let state = self.state();
        match state.next {
            Some((frame, at)) if at == offset => Some(frame),
            _ if offset == 0 => Some(0),
            _ => state.index.frame_at_offset(offset + state.prefix_len() as u64),
        }
    }

    /// The offset of the record whose frame is shown at a time; past the movie's end, of the last one.
    fn record_at(&self, time: gst::ClockTime) -> Option<u64> {
        let frame = frame_time::frame_at(self.framerate(), time);
        let state = self.state();
        let last = state.index.frames().checked_sub(1)?;
        let frame = if state.index_complete { frame.min(last) } else { frame };
        Some(state.index.get(frame)?.offset - state.prefix_len() as u64)
    }

    fn finish(
        &self,
        mut frame: BaseParseFrame,
        length: usize,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (obj, rate, offset) = (self.obj(), self.framerate(), frame.offset());
        let number = self.number_of(offset);
        let prefix = self.state().prefix_len();
        let record = frame.buffer().ok_or(gst::FlowError::Error)?;
        let mut image = record
            .copy_region(gst::BufferCopyFlags::MEMORY, prefix..prefix + length)
            .map_err(|_| gst::FlowError::Error)?;
        let caps = {
            let map = image.map_readable().map_err(|_| gst::FlowError::Error)?;
            self.new_caps(frame_size(&map), rate)
        };
        if let Some(caps) = caps {
            obj.src_pad().push_event(gst::event::Caps::new(&caps));
            obj.set_frame_rate(fraction(rate), 0, 0);
        }
        let stamped = image.make_mut();
        if let Some(number) = number {
            let time = |frame| frame_time::start_of(rate, frame);
            stamped.set_pts(time(number));
            stamped.set_dts(time(number));
            stamped.set_duration(time(number + 1) - time(number));
            stamped.set_offset(number);
            stamped.set_offset_end(number + 1);
        }
        let end = offset + (prefix + length) as u64;
        {
            let mut state = self.state();
            state.frames += 1;
            state.last_length = length;
            state.in_bad_span = false;
            state.next = number.map(|number| (number + 1, end));
        }
        frame.set_output_buffer(image);
        obj.set_min_frame_size(u32::try_from(HEAD).unwrap_or(0));
        obj.finish_frame(frame, u32::try_from(prefix + length).unwrap_or(0))
    }

    /// New caps, if the picture has another size than the one before.
    fn new_caps(&self, size: Option<(u16, u16)>, rate: FrameRate) -> Option<gst::Caps> {
        let mut state = self.state();
        let first = state.frames == 0;
        if !first && (size.is_none() || size == state.size) {
            return None;
        }
        state.size = size.or(state.size);
        let builder = gst::Caps::builder("image/jpeg")
            .field("parsed", true)
            .field("framerate", fraction(rate));
        Some(match state.size {
            Some((width, height)) => {
                builder.field("width", i32::from(width)).field("height", i32::from(height)).build()
            }
            None => builder.build(),
        })
    }

    fn skip(&self, offset: u64, bytes: usize, first: Option<BadRecord>) {
        let (frame, report) = {
            let mut state = self.state();
            state.bytes_skipped += bytes as u64;
            // The frame after it has the same number as without it.
            if let Some((_, at)) = state.next.as_mut().filter(|(_, at)| *at == offset) {
                *at += bytes as u64;
            } else if offset == 0 && state.frames == 0 {
                state.next = Some((0, bytes as u64));
            }
            // Of a movie without lengths, a long bad span is passed in parts.
            let is_part = state.in_bad_span && state.prefix_len() == 0;
            state.in_bad_span |= first.is_some();
            state.bad_spans += usize::from(first.is_some() && !is_part);
            (state.frames + 1, !is_part && state.bad_spans <= MAX_LISTED_BAD_SPANS)
        };
        if let Some(first) = first.filter(|_| report) {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Decode,
                ("byte {offset}, before frame {frame}: {first}; {bytes} bytes skipped")
            );
        }
    }
}

impl ObjectImpl for MjpegFileParse {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                framerate_spec(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counters: frames, bad-spans, bytes-skipped")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        border::set_property(self, pspec, || {
            let mut rate = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            *rate = framerate_of(value).or(*rate);
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        border::guarded(self, pspec.default_value().clone(), || {
            if pspec.name() == "framerate" {
                return fraction(self.framerate()).to_value();
            }
            let state = self.state();
            gst::Structure::builder("mjpegfileparse-stats")
                .field("frames", state.frames)
                .field("bad-spans", state.bad_spans as u64)
                .field("bytes-skipped", state.bytes_skipped)
                .build()
                .to_value()
        })
    }
}

impl GstObjectImpl for MjpegFileParse {}

impl ElementImpl for MjpegFileParse {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Length-prefixed MJPEG movie parser",
                "Codec/Parser/Video",
                "Frames of a movie of five-digit lengths and JPEG images, from any source",
                "The mjpeg-rtsp authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let jpeg = gst::Caps::builder("image/jpeg").field("parsed", true).build();
            let movie = crate::typefind::movie_caps();
            crate::pads::templates(&movie, &jpeg)
        });
        &TEMPLATES
    }
}

impl BaseParseImpl for MjpegFileParse {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *self.state() = State::default();
        let obj = self.obj();
        obj.set_min_frame_size(u32::try_from(HEAD).unwrap_or(0));
        obj.set_syncable(true);
        obj.set_infer_ts(true);
        obj.set_pts_interpolation(true);
        Ok(())
    }

    fn handle_frame(
        &self,
        frame: BaseParseFrame,
    ) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        let obj = self.obj();
        let (next, form, is_start) = {
            let buffer = frame.buffer().ok_or(gst::FlowError::Error)?;
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let known = self.state().form;
            let form = known.unwrap_or_else(|| MovieForm::of(&map));
            let next = match form {
                MovieForm::Records => inspect(&map, obj.is_draining()),
                MovieForm::Images | MovieForm::Multipart => inspect_images(&map, obj.is_draining()),
            };
            (next, form, known.is_none())
        };
        self.state().form = Some(form);
        self.extend_index(form, is_start);
        let offset = frame.offset();
        let (bytes, first) = match next {
            NextBytes::Frame(length) => return Ok((self.finish(frame, length)?, 0)),
            NextBytes::NeedMore(bytes) => {
                obj.set_min_frame_size(u32::try_from(bytes).unwrap_or(u32::MAX));
                return Ok((gst::FlowSuccess::Ok, 0));
            }
            NextBytes::Bad(span) => {
                (usize::try_from(span.bytes).unwrap_or(0).max(1), Some(span.first))
            }
            NextBytes::NoRecord(bytes) => (bytes.max(1), None),
        };
        self.skip(offset, bytes, first);
        obj.set_min_frame_size(u32::try_from(HEAD).unwrap_or(0));
        Ok((gst::FlowSuccess::Ok, u32::try_from(bytes).unwrap_or(1)))
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        // The base class reports a stream without a frame, but not a stream without bytes.
        if matches!(event.view(), gst::EventView::Eos(_)) && self.state().form.is_none() {
            gst::element_imp_error!(
                self,
                gst::StreamError::WrongType,
                ("the stream holds no movie: it ends before its first record")
            );
        }
        self.parent_sink_event(event)
    }

    /// Converts times to bytes by the index, so that a seek starts with its frame.
    fn convert(
        &self,
        src: impl gst::format::FormattedValue,
        dest: gst::Format,
    ) -> Option<gst::GenericFormattedValue> {
        let value: gst::GenericFormattedValue = src.into();
        if let (gst::GenericFormattedValue::Time(Some(time)), gst::Format::Bytes) = (value, dest)
            && let Some(bytes) = self.record_at(time)
        {
            return Some(gst::format::Bytes::from_u64(bytes).into());
        }
        self.parent_convert(src, dest)
    }
}
