// SPDX-License-Identifier: MIT OR Apache-2.0

use super::read_ahead::Block;
use super::reader::{Next, ReadFrame, Reader, Stats, Stride};
use super::settings::{BadFrames, Settings};
use super::uri::{self, MovieUri, SCHEME};
use super::{properties, queries, reports};
use crate::border;
use crate::frame_time;
use crate::movie::{FrameLocation, FrameRate, MAX_LISTED_BAD_SPANS};
use crate::movie_file::{Lookup, MovieFile};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "mjpegfilesrc",
        gst::DebugColorFlags::empty(),
        Some("Length-prefixed MJPEG movie source"),
    )
});

/// How many frames are searched for a picture's size before the first buffer.
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
    type Interfaces = (gst::URIHandler,);
}

impl MjpegFileSrc {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, Option<Reader>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn movie(&self) -> Option<Arc<MovieFile>> {
        self.state().as_ref().map(|reader| reader.movie.clone())
    }

    fn duration(&self) -> Option<(u64, gst::ClockTime)> {
        self.state().as_ref()?.duration()
    }

    fn framerate(&self) -> FrameRate {
        let started = self.state().as_ref().map(|reader| reader.settings.framerate);
        started.unwrap_or_else(|| self.settings().framerate)
    }

    /// Takes the settings in a URI, which may contain any bytes.
    fn set_movie(&self, uri: &[u8]) -> Result<(), glib::Error> {
        let uri = std::str::from_utf8(uri)
            .map_err(|_| glib::Error::new(gst::URIError::BadUri, "the URI is not UTF-8"))?;
        let movie = MovieUri::parse(uri)
            .map_err(|error| glib::Error::new(gst::URIError::BadUri, &error.to_string()))?;
        if self.obj().current_state() > gst::State::Ready {
            let text = "the URI can be set only in the states NULL and READY";
            return Err(glib::Error::new(gst::URIError::BadState, text));
        }
        movie.apply(&mut self.settings());
        Ok(())
    }

    fn stats(&self) -> gst::Structure {
        let stats = self.state().as_ref().map_or_else(Stats::default, |reader| reader.stats);
        let (bad_records, bad_bytes) = self.movie().map_or((0, 0), |movie| movie.bad());
        gst::Structure::builder("mjpegfilesrc-stats")
            .field("frames-pushed", stats.pushed)
            .field("bad-records", bad_records)
            .field("bytes-skipped", bad_bytes)
            .field("missing-eoi", stats.missing_eoi)
            .field("several-images", stats.several_images)
            .build()
    }

    /// Waits for the index to reach the next frame and looks up its location and those of the frames
    /// after it. Starts the next pass if there is no next frame.
    fn look_up_next(&self) -> Result<(), gst::FlowError> {
        let (movie, frame) = match &*self.state() {
            Some(reader) => (reader.movie.clone(), reader.next),
            None => return Err(gst::FlowError::Flushing),
        };
        let found = movie.frame(frame, &self.flushing, None);
        if found == Lookup::Cancelled {
            return Err(gst::FlowError::Flushing);
        }
        self.announce_total();
        self.report_bad_spans(&movie, frame)?;
        if let Lookup::End(frames) = found {
            return self.end_of_pass(&movie, frames);
        }
        self.state().as_mut().ok_or(gst::FlowError::Flushing)?.look_up();
        Ok(())
    }

    /// Reports each bad span before `frame` once; returns an error if `bad-frames` says so.
    fn report_bad_spans(&self, movie: &MovieFile, frame: u64) -> Result<(), gst::FlowError> {
        loop {
            let (found, count, policy) = {
                let mut state = self.state();
                let reader = state.as_mut().ok_or(gst::FlowError::Flushing)?;
                let found = movie.bad_span(reader.reported_spans, frame);
                reader.reported_spans += usize::from(found.is_some());
                (found, reader.reported_spans, reader.settings.bad_frames)
            };
            let Some((before, span)) = found else { return Ok(()) };
            let text = movie.describe_bad_span(before, &span);
            if policy == BadFrames::Error {
                gst::element_imp_error!(self, gst::StreamError::Decode, ("{}", text));
                return Err(gst::FlowError::Error);
            }
            reports::bad_span(&self.obj(), &text, count == MAX_LISTED_BAD_SPANS);
        }
    }

    /// Reports once that the number of frames has become known.
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

    /// Ends a pass: the stream ends or, with `loop`, the next pass starts.
    fn end_of_pass(&self, movie: &MovieFile, frames: u64) -> Result<(), gst::FlowError> {
        if let Some(kind) = movie.failure() {
            reports::unreadable(&self.obj(), movie.path(), frames, kind);
        }
        let looping = self.state().as_ref().is_some_and(|reader| reader.settings.looping);
        if !looping || frames == 0 {
            return Err(gst::FlowError::Eos);
        }
        // A changed file is read anew between passes only, so that a pass has one length.
        let changed = movie.reopen_if_changed().ok().flatten();
        self.state().as_mut().ok_or(gst::FlowError::Flushing)?.next_pass(frames, changed);
        Ok(())
    }

    /// Reads frames that were looked up. If the file has shrunk, the pass ends.
    fn read(
        &self,
        movie: &MovieFile,
        frame: u64,
        locations: &[FrameLocation],
    ) -> Result<(), gst::FlowError> {
        let offset = locations.first().map_or(0, |location| location.offset);
        let block = Block::read(movie, frame, locations).map_err(|error| {
            let text = format!("cannot read {} at byte {offset}: {error}", movie.path().display());
            gst::element_imp_error!(self, gst::ResourceError::Read, ("{}", text));
            gst::FlowError::Error
        })?;
        let has_next = self.state().as_mut().ok_or(gst::FlowError::Flushing)?.store(block);
        if !has_next {
            reports::shrunk(&self.obj(), movie.path(), frame, offset);
            self.end_of_pass(movie, frame)?;
        }
        Ok(())
    }

    /// Sets a frame's timestamps and reports its irregularities.
    fn push(&self, ready: ReadFrame) -> Result<gst::Buffer, gst::FlowError> {
        let ReadFrame { mut buffer, frame, location, facts, start, end } = ready;
        let report = match self.state().as_mut() {
            Some(reader) => reader.pushed(frame, facts),
            None => return Err(gst::FlowError::Flushing),
        };
        reports::frame(&self.obj(), &report, frame, location.offset);
        if let Some(caps) = report.caps {
            self.obj().set_caps(&caps).map_err(|_| gst::FlowError::NotNegotiated)?;
        }
        let stamped = buffer.make_mut();
        stamped.set_pts(start);
        stamped.set_dts(start);
        stamped.set_duration(end - start);
        stamped.set_offset(frame);
        stamped.set_offset_end(frame + 1);
        gst::log!(CAT, imp = self, "frame {frame}, {} bytes", location.length);
        Ok(buffer)
    }

    /// The frame at a position; past the end, the last frame.
    fn frame_for(&self, position: gst::ClockTime) -> Option<u64> {
        let frame = frame_time::frame_at(self.framerate(), position);
        match self.movie()?.frame(frame, &self.flushing, None) {
            Lookup::Frame(_) => Some(frame),
            // gst-rtsp-server 1.22 aborts after a seek that brings no buffer.
            Lookup::End(frames) => frames.checked_sub(1),
            Lookup::Cancelled => None,
        }
    }
}

impl ObjectImpl for MjpegFileSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties::specs);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        border::set_property(self, pspec, || {
            self.settings().set(pspec.name(), value);
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        border::guarded(self, pspec.default_value().clone(), || {
            let setting = self.settings().get(pspec.name());
            setting.unwrap_or_else(|| match pspec.name() {
                "frames" => self.movie().map_or(0, |movie| movie.frames()).to_value(),
                _ => self.stats().to_value(),
            })
        })
    }

    fn constructed(&self) {
        self.parent_constructed();
        border::guarded(self, (), || {
            self.obj().set_format(gst::Format::Time);
        });
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
            crate::pads::source_template(&caps)
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for MjpegFileSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings().clone();
        let location = settings.location.clone().ok_or_else(|| {
            gst::error_msg!(
                gst::ResourceError::NotFound,
                ("no movie is set: set the property location")
            )
        })?;
        let movie = MovieFile::open(&location)
            .map_err(|error| gst::error_msg!(gst::ResourceError::OpenRead, ("{}", error)))?;
        let mut reader = Reader::new(movie, settings);
        if !reader.find_size(&self.flushing, FRAMES_FOR_SIZE) {
            let path = location.display();
            let text = format!("{path} is not a movie: {}", reader.movie.why_not_a_movie());
            return Err(gst::error_msg!(gst::StreamError::WrongType, ("{}", text)));
        }
        reader.total_announced = reader.movie.total_frames().is_some();
        gst::info!(CAT, imp = self, "opened {}, {}", location.display(), reader.caps());
        if let Some(advice) = reader.movie.form().advice(&location) {
            gst::info!(CAT, imp = self, "{advice}");
        }
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
        // BaseSrc negotiates again after a seek: it needs the full caps here, not only in create.
        let caps = self.state().as_ref().map(Reader::caps);
        let caps = caps.unwrap_or_else(|| self.obj().src_pad().pad_template_caps());
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        })
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(true, Ordering::SeqCst);
        if let Some(movie) = self.movie() {
            movie.wake();
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        let answered = queries::answer(query, self.framerate(), || self.duration());
        answered.unwrap_or_else(|| BaseSrcImplExt::parent_query(self, query))
    }

    /// BaseSrc also calls this before the first buffer, for the initial segment.
    fn do_seek(&self, segment: &mut gst::Segment) -> bool {
        let Some(segment) = segment.downcast_mut::<gst::ClockTime>() else { return false };
        let stride = Stride::of(segment.rate(), segment.flags());
        let rate = self.framerate();
        let time = |frame| frame_time::start_of(rate, frame);
        // Backwards, the segment's end is played first; it is at most the movie's end.
        let first = if stride.backwards {
            segment.stop().unwrap_or(gst::ClockTime::MAX).saturating_sub(gst::ClockTime::NSECOND)
        } else {
            segment.start().unwrap_or_default()
        };
        let Some(frame) = self.frame_for(first) else { return false };
        if stride.backwards {
            let end = time(frame + 1);
            // gst-rtsp-server 1.22 aborts after a seek that brings no buffer.
            let least = segment.start().unwrap_or_default() + gst::ClockTime::NSECOND;
            let stop = segment.stop().map_or(end, |stop| stop.min(end)).max(least);
            segment.set_stop(stop);
            segment.set_time(segment.start());
            segment.set_position(stop);
        } else {
            segment.set_start(time(frame));
            segment.set_time(time(frame));
            segment.set_position(time(frame));
        }
        segment.set_duration(self.duration().map(|(_, time)| time));
        gst::debug!(CAT, imp = self, "seek to frame {frame}, {stride:?}, {segment:?}");
        if let Some(reader) = self.state().as_mut() {
            reader.seek(frame, stride);
        }
        true
    }
}

impl URIHandlerImpl for MjpegFileSrc {
    const URI_TYPE: gst::URIType = gst::URIType::Src;

    fn protocols() -> &'static [&'static str] {
        &[SCHEME]
    }

    fn uri(&self) -> Option<String> {
        border::guarded(self, None, || uri::uri(&self.settings()))
    }

    fn set_uri(&self, uri: &str) -> Result<(), glib::Error> {
        let panicked = Err(glib::Error::new(gst::URIError::BadState, border::INTERNAL));
        // gstreamer-rs has not checked that it is UTF-8.
        border::guarded(self, panicked, || self.set_movie(uri.as_bytes()))
    }
}

impl PushSrcImpl for MjpegFileSrc {
    fn create(&self, _: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        loop {
            let next = match self.state().as_mut() {
                Some(reader) => reader.next(),
                None => return Err(gst::FlowError::Flushing),
            };
            match next {
                Next::Push(ready) => return self.push(ready).map(CreateSuccess::NewBuffer),
                Next::Read { movie, frame, locations } => self.read(&movie, frame, &locations)?,
                Next::LookUp => self.look_up_next()?,
            }
        }
    }
}
