// SPDX-License-Identifier: MIT OR Apache-2.0

use super::indexer::{AT_START, Indexer, PER_FRAME};
use crate::border;
use crate::frame_time;
use crate::jpeg::frame_size;
use crate::mjpegfilesrc::properties::{fraction, framerate_of, framerate_spec};
use crate::movie::{
    BadRecord, BadSpan, FrameIndex, FrameRate, LengthPrefix, MAX_FRAME_LEN, MAX_LISTED_BAD_SPANS,
    MovieBytes, PREFIX_LEN, RecordWalker, SOI, Step,
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

#[derive(Debug, Default)]
struct State {
    /// The first bytes have arrived, and the index has been started if there is one.
    started: bool,
    /// Indexes the rest of the movie; `None` after its end and without random access.
    indexer: Option<Indexer>,
    /// The frames found so far by the indexer.
    index: FrameIndex,
    /// The index has all frames of the movie.
    index_complete: bool,
    /// Number and offset of the next frame, if they are known.
    next: Option<(u64, u64)>,
    size: Option<(u16, u16)>,
    frames: u64,
    bad_spans: usize,
    bytes_skipped: u64,
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
    fn extend_index(&self) {
        let (obj, rate) = (self.obj(), self.framerate());
        let pad = obj.sink_pad();
        let is_start = !std::mem::replace(&mut self.state().started, true);
        let indexer = if is_start { Indexer::new(pad) } else { self.state().indexer.take() };
        let Some(mut indexer) = indexer else {
            if is_start {
                gst::debug!(CAT, imp = self, "no index: upstream does not support random access");
            }
            return;
        };
        let budget = if is_start { AT_START } else { PER_FRAME };
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
            for step in steps {
                let frame = state.index.frames();
                if let Step::Frame { offset, .. } = step
                    && (frame < DENSE || frame.is_multiple_of(SPARSE))
                {
                    entries.push((offset - PREFIX_LEN as u64, frame));
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
            _ => state.index.frame_at_offset(offset + PREFIX_LEN as u64),
        }
    }

    /// The offset of the record whose frame is shown at a time; past the movie's end, of the last one.
    fn record_at(&self, time: gst::ClockTime) -> Option<u64> {
        let frame = frame_time::frame_at(self.framerate(), time);
        let state = self.state();
        let last = state.index.frames().checked_sub(1)?;
        let frame = if state.index_complete { frame.min(last) } else { frame };
        Some(state.index.get(frame)?.offset - PREFIX_LEN as u64)
    }

    fn finish(
        &self,
        mut frame: BaseParseFrame,
        length: usize,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (obj, rate, offset) = (self.obj(), self.framerate(), frame.offset());
        let number = self.number_of(offset);
        let record = frame.buffer().ok_or(gst::FlowError::Error)?;
        let whole = PREFIX_LEN..PREFIX_LEN + length;
        let mut image = record
            .copy_region(gst::BufferCopyFlags::MEMORY, whole)
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
        let end = offset + (PREFIX_LEN + length) as u64;
        {
            let mut state = self.state();
            state.frames += 1;
            state.next = number.map(|number| (number + 1, end));
        }
        frame.set_output_buffer(image);
        obj.set_min_frame_size(u32::try_from(HEAD).unwrap_or(0));
        obj.finish_frame(frame, u32::try_from(PREFIX_LEN + length).unwrap_or(0))
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
            state.bad_spans += usize::from(first.is_some());
            (state.frames + 1, state.bad_spans <= MAX_LISTED_BAD_SPANS)
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
        self.extend_index();
        let obj = self.obj();
        let (next, offset) = {
            let buffer = frame.buffer().ok_or(gst::FlowError::Error)?;
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            (inspect(&map, obj.is_draining()), frame.offset())
        };
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
        if matches!(event.view(), gst::EventView::Eos(_)) && !self.state().started {
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
