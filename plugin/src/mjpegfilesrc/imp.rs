// SPDX-License-Identifier: MIT OR Apache-2.0

use super::reader::{Reader, Stats};
use super::settings::{BadFrames, Settings};
use crate::jpeg;
use crate::movie::{BadSpan, FrameLocation, FrameRate, LikelyFormat, MAX_LISTED_BAD_SPANS};
use crate::movie_file::{Lookup, MovieFile};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "mjpegfilesrc",
        gst::DebugColorFlags::empty(),
        Some("Length-prefixed MJPEG movie source"),
    )
});

/// Frames that are looked at for a picture's size before the first buffer.
const FRAMES_FOR_SIZE: u64 = 64;

#[derive(Default)]
pub struct MjpegFileSrc {
    settings: Mutex<Settings>,
    state: Mutex<Option<Reader>>,
    flushing: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for MjpegFileSrc {
    const NAME: &'static str = "GstMjpegFileSrc";
    type Type = super::MjpegFileSrc;
    type ParentType = gst_base::PushSrc;
}

impl MjpegFileSrc {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, Option<Reader>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> gst::Structure {
        let (stats, movie) = match &*self.state() {
            Some(reader) => (reader.stats, Some(reader.movie.clone())),
            None => (Stats::default(), None),
        };
        let (bad_records, bad_bytes) = movie.map_or((0, 0), |movie| movie.bad());
        gst::Structure::builder("mjpegfilesrc-stats")
            .field("frames-pushed", stats.pushed)
            .field("bad-records", bad_records)
            .field("bytes-skipped", bad_bytes)
            .field("missing-eoi", stats.missing_eoi)
            .field("several-images", stats.several_images)
            .build()
    }

    /// Caps for pictures of this size; without one where no frame tells it.
    fn caps_for(size: Option<(u16, u16)>, rate: FrameRate) -> gst::Caps {
        let fraction = |part: u32| i32::try_from(part).unwrap_or(i32::MAX);
        let builder = gst::Caps::builder("image/jpeg").field("parsed", true).field(
            "framerate",
            gst::Fraction::new(fraction(rate.numerator()), fraction(rate.denominator())),
        );
        match size {
            Some((width, height)) => {
                builder.field("width", i32::from(width)).field("height", i32::from(height)).build()
            }
            None => builder.build(),
        }
    }

    /// Says each bad span that stands before `frame`, once; an error under that policy.
    fn report_bad_spans(&self, movie: &MovieFile, frame: u64) -> Result<(), gst::FlowError> {
        let policy = self.settings().bad_frames;
        loop {
            let found = {
                let mut state = self.state();
                let Some(reader) = state.as_mut() else { return Err(gst::FlowError::Flushing) };
                let found = movie.bad_span(reader.reported_spans, frame);
                reader.reported_spans += usize::from(found.is_some());
                found.map(|span| (span, reader.reported_spans))
            };
            let Some(((before, span), count)) = found else { return Ok(()) };
            let text = describe(movie, before, &span);
            if policy == BadFrames::Error {
                gst::element_imp_error!(self, gst::StreamError::Decode, ("{}", text));
                return Err(gst::FlowError::Error);
            }
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{}", text));
            if count == MAX_LISTED_BAD_SPANS {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Decode,
                    ("further bad records are counted (property stats), not reported")
                );
            }
        }
    }

    /// Reads one frame into a buffer; `None` if the file has shrunk.
    fn read(
        &self,
        movie: &MovieFile,
        location: FrameLocation,
    ) -> Result<Option<gst::Buffer>, gst::FlowError> {
        let size = location.length as usize;
        let mut buffer = gst::Buffer::with_size(size).map_err(|_| gst::FlowError::Error)?;
        let read = {
            let buffer = buffer.get_mut().ok_or(gst::FlowError::Error)?;
            let mut map = buffer.map_writable().map_err(|_| gst::FlowError::Error)?;
            movie.read(location, &mut map)
        };
        match read {
            Ok(whole) => Ok(whole.then_some(buffer)),
            Err(error) => {
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Read,
                    (
                        "cannot read {} at byte {}: {}",
                        movie.path().display(),
                        location.offset,
                        error
                    )
                );
                Err(gst::FlowError::Error)
            }
        }
    }

    /// The end of a pass: the end of the stream, or with `loop` the begin of the next one.
    fn end_of_pass(&self, movie: &MovieFile, frames: u64) -> Result<(), gst::FlowError> {
        let looping = self.settings().looping;
        // Growth is taken in between passes only, so that a pass has one length.
        let grown = if looping { movie.if_grown().ok().flatten() } else { None };
        let mut state = self.state();
        let reader = state.as_mut().ok_or(gst::FlowError::Flushing)?;
        if !looping || frames == 0 {
            return Err(gst::FlowError::Eos);
        }
        reader.next_pass(frames, grown);
        Ok(())
    }

    /// Tells the application once that the number of frames has become known.
    fn announce_total(&self) {
        let announce = {
            let mut state = self.state();
            let Some(reader) = state.as_mut().filter(|reader| !reader.total_announced) else {
                return;
            };
            reader.total_announced = reader.movie.total_frames().is_some();
            reader.total_announced
        };
        if announce {
            let obj = self.obj();
            obj.notify("frames");
            let _ = obj.post_message(gst::message::DurationChanged::builder().src(&*obj).build());
        }
    }

    /// Looks at a frame's bytes for what is reported, and for the size of its picture.
    fn inspect(&self, bytes: &[u8], frame: u64, offset: u64) -> Option<gst::Caps> {
        let size = jpeg::frame_size(bytes);
        let several = jpeg::holds_second_image(bytes);
        let lacks_eoi = !several && !bytes.ends_with(&crate::movie::EOI);
        let rate = self.settings().framerate;
        let (caps, first) = {
            let mut state = self.state();
            let reader = state.as_mut()?;
            reader.stats.pushed += 1;
            reader.stats.missing_eoi += u64::from(lacks_eoi);
            reader.stats.several_images += u64::from(several);
            let changed = size.is_some() && size != reader.size;
            if changed {
                reader.size = size;
            }
            let first_cut = lacks_eoi && reader.stats.missing_eoi == 1;
            let first_several = several && reader.stats.several_images == 1;
            (changed.then(|| Self::caps_for(size, rate)), (first_cut, first_several))
        };
        let number = frame + 1;
        if first.0 {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Decode,
                ("frame {number} at byte {offset} has bytes other than FF D9 at its end; it is passed on, others like it are only counted")
            );
        }
        if first.1 {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Decode,
                ("frame {number} at byte {offset} holds two or more images under one length; decoders show the first (mjpeg-movie repair will split them), others like it are only counted")
            );
        }
        caps
    }

    /// The segment's frame for a position, moved to the last one if it is past the end.
    fn frame_for(&self, position: gst::ClockTime) -> Option<u64> {
        let rate = self.settings().framerate;
        let movie = self.state().as_ref()?.movie.clone();
        let frame = rate.frame_at(position.nseconds());
        match movie.frame(frame, &self.flushing, None) {
            Lookup::Frame(_) => Some(frame),
            // A seek without a buffer after it would abort gst-rtsp-server 1.22.
            Lookup::End(frames) => frames.checked_sub(1),
            Lookup::Cancelled => None,
        }
    }

    /// All frames and their time, unless not known yet or without an end.
    fn duration(&self) -> Option<(u64, gst::ClockTime)> {
        let (looping, rate) = {
            let settings = self.settings();
            (settings.looping, settings.framerate)
        };
        let frames = self.state().as_ref()?.movie.total_frames()?;
        (!looping).then(|| (frames, gst::ClockTime::from_nseconds(rate.start_of(frames))))
    }
}

/// A bad span in words: what, where, how much.
fn describe(movie: &MovieFile, before: u64, span: &BadSpan) -> String {
    let records = match span.records {
        1 => String::new(),
        several => format!(" ({several} records)"),
    };
    format!(
        "{}: bad record before frame {} at byte {}: {}; {} bytes passed over{}",
        movie.path().display(),
        before + 1,
        span.offset,
        span.first,
        span.bytes,
        records
    )
}

impl ObjectImpl for MjpegFileSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("location")
                    .nick("File location")
                    .blurb("Path of the movie: records of five ASCII digits and one JPEG")
                    .mutable_ready()
                    .build(),
                gst::ParamSpecFraction::builder("framerate")
                    .nick("Frame rate")
                    .blurb("Frames a second; the file does not tell")
                    .minimum(gst::Fraction::new(1, i32::MAX))
                    .maximum(gst::Fraction::new(i32::MAX, 1))
                    .default_value(gst::Fraction::new(20, 1))
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("loop")
                    .nick("Loop")
                    .blurb("Start over at the end of the movie, with timestamps that go on rising")
                    .default_value(false)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("bad-frames", BadFrames::Skip)
                    .nick("Bad frames")
                    .blurb("What to do at a record that holds no frame")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("frames")
                    .nick("Frames")
                    .blurb("Frames found so far; all of the movie, once it is indexed")
                    .read_only()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Counters: frames-pushed, bad-records, bytes-skipped, missing-eoi, several-images")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings();
        match pspec.name() {
            "location" => {
                settings.location = value.get::<Option<String>>().ok().flatten().map(PathBuf::from);
            }
            "framerate" => {
                let rate = value.get::<gst::Fraction>().ok().and_then(|fraction| {
                    let part = |part: i32| u32::try_from(part).ok();
                    FrameRate::new(part(fraction.numer())?, part(fraction.denom())?)
                });
                if let Some(rate) = rate {
                    settings.framerate = rate;
                }
            }
            "loop" => settings.looping = value.get().unwrap_or_default(),
            "bad-frames" => settings.bad_frames = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "location" => {
                let location = self.settings().location.clone();
                location.map(|path| path.to_string_lossy().into_owned()).to_value()
            }
            "framerate" => {
                let rate = self.settings().framerate;
                let part = |part: u32| i32::try_from(part).unwrap_or(i32::MAX);
                gst::Fraction::new(part(rate.numerator()), part(rate.denominator())).to_value()
            }
            "loop" => self.settings().looping.to_value(),
            "bad-frames" => self.settings().bad_frames.to_value(),
            "frames" => {
                let movie = self.state().as_ref().map(|reader| reader.movie.clone());
                movie.map_or(0, |movie| movie.frames()).to_value()
            }
            _ => self.stats().to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.obj().set_format(gst::Format::Time);
    }
}

impl GstObjectImpl for MjpegFileSrc {}

impl ElementImpl for MjpegFileSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Length-prefixed MJPEG movie source",
                "Source/File/Video",
                "Reads a movie of five-digit lengths and JPEG images, with timestamps and seeking",
                "The mjpeg-rtsp authors",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("image/jpeg")
                .field("parsed", true)
                .field("width", gst::IntRange::new(1, 65_535))
                .field("height", gst::IntRange::new(1, 65_535))
                .field(
                    "framerate",
                    gst::FractionRange::new(
                        gst::Fraction::new(0, 1),
                        gst::Fraction::new(i32::MAX, 1),
                    ),
                )
                .build();
            gst::PadTemplate::new("src", gst::PadDirection::Src, gst::PadPresence::Always, &caps)
                .into_iter()
                .collect()
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for MjpegFileSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let location = self.settings().location.clone().ok_or_else(|| {
            gst::error_msg!(gst::ResourceError::NotFound, ("no movie: set the property location"))
        })?;
        let movie = MovieFile::open(&location)
            .map_err(|error| gst::error_msg!(gst::ResourceError::OpenRead, ("{}", error)))?;
        let mut reader = Reader::new(movie);
        reader.find_size(&self.flushing, FRAMES_FOR_SIZE).map_err(|frames| {
            let path = location.display();
            let advice = reader.movie.likely_format().map_or_else(
                || "it holds no record of five digits and a JPEG".to_owned(),
                LikelyFormat::advice,
            );
            debug_assert_eq!(frames, 0);
            gst::error_msg!(gst::StreamError::WrongType, ("{path} is not a movie: {advice}"))
        })?;
        reader.total_announced = reader.movie.total_frames().is_some();
        gst::info!(CAT, imp = self, "opened {}, size {:?}", location.display(), reader.size);
        *self.state() = Some(reader);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state() = None;
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let rate = self.settings().framerate;
        let size = self.state().as_ref().map(|reader| reader.size);
        // BaseSrc negotiates anew after a seek: the full caps must be here, not only in create.
        let caps = match size {
            Some(size) => Self::caps_for(size, rate),
            None => self.obj().src_pad().pad_template_caps(),
        };
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        })
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(true, Ordering::SeqCst);
        let movie = self.state().as_ref().map(|reader| reader.movie.clone());
        if let Some(movie) = movie {
            movie.wake();
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        // Bound first: a guard in the expression would live through parent_query, which calls caps.
        let rate = self.settings().framerate;
        let answered = super::queries::answer(query, rate, || self.duration());
        answered.unwrap_or_else(|| BaseSrcImplExt::parent_query(self, query))
    }

    /// Also called before the first buffer, for the segment that playback starts with.
    fn do_seek(&self, segment: &mut gst::Segment) -> bool {
        let Some(segment) = segment.downcast_mut::<gst::ClockTime>() else { return false };
        if segment.rate() <= 0.0 {
            gst::warning!(CAT, imp = self, "rate {} is not supported", segment.rate());
            return false;
        }
        let Some(frame) = self.frame_for(segment.start().unwrap_or_default()) else {
            return false;
        };
        let rate = self.settings().framerate;
        let start = gst::ClockTime::from_nseconds(rate.start_of(frame));
        segment.set_start(start);
        segment.set_time(start);
        segment.set_position(start);
        segment.set_duration(self.duration().map(|(_, time)| time));
        gst::debug!(CAT, imp = self, "seek to frame {frame}, {segment:?}");
        if let Some(reader) = self.state().as_mut() {
            reader.seek(frame);
        }
        true
    }
}

impl PushSrcImpl for MjpegFileSrc {
    fn create(&self, _: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        loop {
            let (movie, frame, timeline) = match &*self.state() {
                Some(reader) => (reader.movie.clone(), reader.next, reader.timeline()),
                None => return Err(gst::FlowError::Flushing),
            };
            let found = movie.frame(frame, &self.flushing, None);
            if found != Lookup::Cancelled {
                self.announce_total();
                self.report_bad_spans(&movie, frame)?;
            }
            let location = match found {
                Lookup::Cancelled => return Err(gst::FlowError::Flushing),
                Lookup::Frame(location) => location,
                Lookup::End(frames) => {
                    self.end_of_pass(&movie, frames)?;
                    continue;
                }
            };
            let Some(mut buffer) = self.read(&movie, location)? else {
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Read,
                    (
                        "{} has shrunk: the movie ends before frame {} at byte {}",
                        movie.path().display(),
                        frame + 1,
                        location.offset
                    )
                );
                self.end_of_pass(&movie, frame)?;
                continue;
            };
            let caps = {
                let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
                self.inspect(&map, frame, location.offset)
            };
            if let Some(caps) = caps {
                self.obj().set_caps(&caps).map_err(|_| gst::FlowError::NotNegotiated)?;
            }
            let rate = self.settings().framerate;
            let (start, end) = (rate.start_of(timeline), rate.start_of(timeline + 1));
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(gst::ClockTime::from_nseconds(start));
                buffer.set_dts(gst::ClockTime::from_nseconds(start));
                buffer.set_duration(gst::ClockTime::from_nseconds(end - start));
                buffer.set_offset(frame);
                buffer.set_offset_end(frame + 1);
            }
            if let Some(reader) = self.state().as_mut() {
                reader.next = frame + 1;
            }
            gst::log!(CAT, imp = self, "frame {frame}, {} bytes", location.length);
            return Ok(CreateSuccess::NewBuffer(buffer));
        }
    }
}
