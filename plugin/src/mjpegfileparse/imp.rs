// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::border;
use crate::jpeg::frame_size;
use crate::mjpegfilesrc::properties::{fraction, framerate_of, framerate_spec};
use crate::movie::{
    BadRecord, BadSpan, FrameIndex, FrameRate, LengthPrefix, MAX_FRAME_LEN, MAX_LISTED_BAD_SPANS,
    MovieBytes, Nanoseconds, PREFIX_LEN, RecordWalker, SOI, Step,
};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::BaseParseFrame;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "mjpegfileparse",
        gst::DebugColorFlags::empty(),
        Some("Length-prefixed MJPEG movie parser"),
    )
});

/// A length and the begin of its image.
const HEAD: usize = PREFIX_LEN + SOI.len();

/// How long the first buffer waits for the index.
const INDEX: Duration = Duration::from_millis(500);

/// Entries of the base class's own index, for its seeks.
const ENTRIES: u64 = 10_000;

/// What is held at the most while a good record is searched for.
const SEARCH: usize = 4 * MAX_FRAME_LEN;

#[derive(Debug, Default)]
struct State {
    looked: bool,
    /// The whole movie, where it could be read ahead.
    index: Option<FrameIndex>,
    /// The frame that is expected next, and where, if that is known.
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

/// The movie, read through the sink pad.
struct Upstream<'a> {
    pad: &'a gst::Pad,
    length: u64,
}

impl MovieBytes for Upstream<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let wanted = u64::try_from(buf.len()).unwrap_or(0).min(self.length.saturating_sub(offset));
        if wanted == 0 {
            return Ok(0);
        }
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

/// What has come of the stream, from the next record on.
struct Come<'a> {
    bytes: &'a [u8],
    is_all: bool,
}

impl MovieBytes for Come<'_> {
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

/// What the bytes at hand are.
#[derive(Debug)]
enum Found {
    /// A record whose image has so many bytes.
    Frame(usize),
    Bad(BadSpan),
    /// A decision needs so many bytes.
    More(usize),
    /// So many bytes hold no record's begin.
    Nothing(usize),
}

fn look(bytes: &[u8], is_all: bool) -> Found {
    if let Some((digits, rest)) = bytes.split_first_chunk::<PREFIX_LEN>()
        && rest.starts_with(&SOI)
        && let Ok(prefix) = LengthPrefix::parse(*digits)
    {
        let length = prefix.length() as usize;
        if length <= rest.len() {
            return Found::Frame(length);
        }
        if !is_all {
            return Found::More(PREFIX_LEN + length);
        }
    }
    if bytes.len() < HEAD && !is_all {
        return Found::More(HEAD);
    }
    let mut walker = RecordWalker::new();
    let come = Come { bytes, is_all };
    loop {
        // Reading from memory does not fail.
        match walker.step(&come) {
            Ok(Step::Searching) => {}
            Ok(Step::Bad(span)) => return Found::Bad(span),
            Ok(Step::NeedMore) if bytes.len() < SEARCH => {
                return Found::More(bytes.len() + MAX_FRAME_LEN + HEAD);
            }
            Ok(Step::NeedMore) => {
                let settled = usize::try_from(walker.offset()).unwrap_or(bytes.len());
                return Found::Nothing(settled.clamp(1, bytes.len()));
            }
            Ok(Step::Frame { length, .. }) => return Found::Frame(length as usize),
            Ok(Step::End) | Err(_) => return Found::Nothing(bytes.len()),
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

    /// Follows the lengths to the movie's end, where upstream can be read at any place.
    fn look_ahead(&self) {
        if std::mem::replace(&mut self.state().looked, true) {
            return;
        }
        let (obj, rate) = (self.obj(), self.framerate());
        let pad = obj.sink_pad();
        let length = pad.peer_query_duration::<gst::format::Bytes>();
        let (gst::PadMode::Pull, Some(length)) = (pad.mode(), length) else {
            gst::debug!(CAT, imp = self, "no index: upstream cannot be read at any place");
            return;
        };
        let movie = Upstream { pad, length: *length };
        let (mut walker, mut index) = (RecordWalker::new(), FrameIndex::new());
        let begin = Instant::now();
        loop {
            match walker.step(&movie) {
                Ok(Step::End) => break,
                Ok(step) => index.record(step),
                Err(error) => {
                    gst::debug!(CAT, imp = self, "no index: {error}");
                    return;
                }
            }
            if begin.elapsed() > INDEX {
                gst::debug!(CAT, imp = self, "no index: {} frames are not all", index.frames());
                return;
            }
        }
        let frames = index.frames();
        gst::debug!(CAT, imp = self, "{frames} frames in {:?}", begin.elapsed());
        let time = |frame| gst::ClockTime::from_nseconds(rate.start_of(frame).get());
        let step = frames.div_ceil(ENTRIES).max(1);
        for frame in (0..frames).step_by(usize::try_from(step).unwrap_or(1)) {
            if let Some(location) = index.get(frame) {
                let record = location.offset - PREFIX_LEN as u64;
                obj.add_index_entry(record, time(frame), true, true);
            }
        }
        obj.set_duration(time(frames), 0);
        self.state().index = Some(index);
    }

    /// The number of the frame whose record begins at `offset`; `None` after a jump in a movie
    /// without an index.
    fn number_of(&self, offset: u64) -> Option<u64> {
        let state = self.state();
        match (state.next, &state.index) {
            (Some((frame, at)), _) if at == offset => Some(frame),
            (_, Some(index)) => index.frame_at_offset(offset + PREFIX_LEN as u64),
            (None, None) => (offset == 0).then_some(0),
            _ => None,
        }
    }

    /// Where the record begins whose frame is shown at a time in nanoseconds; past the end, the
    /// last one.
    fn record_at(&self, nanoseconds: u64) -> Option<u64> {
        let frame = self.framerate().frame_at(Nanoseconds::new(nanoseconds));
        let state = self.state();
        let index = state.index.as_ref()?;
        let location = index.get(frame.min(index.frames().checked_sub(1)?))?;
        Some(location.offset - PREFIX_LEN as u64)
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
            let time = |frame| gst::ClockTime::from_nseconds(rate.start_of(frame).get());
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

    /// Caps, if the picture has another size than the one before.
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
        let (frame, say) = {
            let mut state = self.state();
            state.bytes_skipped += bytes as u64;
            // The frame behind it is the next one all the same.
            if let Some((_, at)) = state.next.as_mut().filter(|(_, at)| *at == offset) {
                *at += bytes as u64;
            } else if offset == 0 && state.frames == 0 {
                state.next = Some((0, bytes as u64));
            }
            state.bad_spans += usize::from(first.is_some());
            (state.frames + 1, state.bad_spans <= MAX_LISTED_BAD_SPANS)
        };
        if let Some(first) = first.filter(|_| say) {
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

    fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
        border::guarded(self, (), || {
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
        self.look_ahead();
        let obj = self.obj();
        let (found, offset) = {
            let buffer = frame.buffer().ok_or(gst::FlowError::Error)?;
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            (look(&map, obj.is_draining()), frame.offset())
        };
        let (bytes, first) = match found {
            Found::Frame(length) => return Ok((self.finish(frame, length)?, 0)),
            Found::More(bytes) => {
                obj.set_min_frame_size(u32::try_from(bytes).unwrap_or(u32::MAX));
                return Ok((gst::FlowSuccess::Ok, 0));
            }
            Found::Bad(span) => (usize::try_from(span.bytes).unwrap_or(0).max(1), Some(span.first)),
            Found::Nothing(bytes) => (bytes.max(1), None),
        };
        self.skip(offset, bytes, first);
        obj.set_min_frame_size(u32::try_from(HEAD).unwrap_or(0));
        Ok((gst::FlowSuccess::Ok, u32::try_from(bytes).unwrap_or(1)))
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        // The base class tells of bytes without a frame, not of no bytes.
        if matches!(event.view(), gst::EventView::Eos(_)) && !self.state().looked {
            gst::element_imp_error!(
                self,
                gst::StreamError::WrongType,
                ("the stream ends before the first frame: it holds no movie")
            );
        }
        self.parent_sink_event(event)
    }

    /// Times to bytes by the index: what is sought then begins with its frame.
    fn convert(
        &self,
        src: impl gst::format::FormattedValue,
        dest: gst::Format,
    ) -> Option<gst::GenericFormattedValue> {
        let value: gst::GenericFormattedValue = src.into();
        if let (gst::GenericFormattedValue::Time(Some(time)), gst::Format::Bytes) = (value, dest)
            && let Some(bytes) = self.record_at(time.nseconds())
        {
            return Some(gst::format::Bytes::from_u64(bytes).into());
        }
        self.parent_convert(src, dest)
    }
}
