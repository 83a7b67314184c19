// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a mount to what gst-rtsp-server knows of its movie.

use super::media::MovieMedia;
use super::stream::Manner;
use crate::carriage::{self, NotShown};
use crate::catalog::Mount;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_rtsp::RTSPLowerTrans;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gstmjpegfile::movie::FrameRate;
use gstmjpegfile::movie_file::MovieFile;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The kernel's send buffer for the viewers of a movie: what a card takes a moment for.
const SEND_BUFFER: u32 = 4 * 1024 * 1024;

/// A movie that nobody has asked for is kept ready for so long.
const IDLE: Duration = Duration::from_secs(10);

glib::wrapper! {
    /// Makes the media of one movie.
    pub struct MovieFactory(ObjectSubclass<imp::MovieFactory>)
        @extends gst_rtsp_server::RTSPMediaFactory;
}

impl MovieFactory {
    pub(super) fn new(mount: &Mount, framerate: FrameRate, manner: Manner) -> Self {
        let factory: Self = glib::Object::new();
        let (mount, Manner { looping, live }) = (mount.clone(), manner);
        let movie = imp::Movie {
            mount,
            framerate,
            endless: looping,
            live,
            said: OnceLock::new(),
            chosen: Mutex::default(),
        };
        // A new object's cell is empty.
        let _ = factory.imp().movie.set(movie);
        // Viewers have positions of their own, but not here.
        factory.set_shared(true);
        factory.set_protocols(RTSPLowerTrans::UDP | RTSPLowerTrans::TCP);
        factory.set_buffer_size(SEND_BUFFER);
        factory.set_media_gtype(MovieMedia::static_type());
        factory
    }

    /// The mount that it is of.
    pub fn mount(&self) -> &Mount {
        &self.imp().movie().mount
    }

    /// Frames a second of the movie.
    pub fn framerate(&self) -> FrameRate {
        self.imp().movie().framerate
    }

    /// Keeps a media that has been prepared, beside the sessions that do.
    ///
    /// Otherwise it would end with its last session, and a request that finds it while it ends is
    /// refused by gst-rtsp-server 1.22.
    pub(super) fn keep(&self, media: &MovieMedia) {
        // The lock is not held while the library takes its own: it calls `ends` with that.
        if self.imp().kept().media.as_ref() == Some(media) || media.prepare(None).is_err() {
            return;
        }
        let before = self.imp().kept().media.replace(media.clone());
        if let Some(before) = before {
            let _ = before.unprepare();
        }
    }

    /// Lets the media go if nobody has asked for it lately. Who asks from now on gets another one.
    pub(super) fn let_go(&self) {
        let media = {
            let mut kept = self.imp().kept();
            if kept.asked.is_some_and(|asked| asked.elapsed() < IDLE) {
                return;
            }
            let media = kept.media.take();
            kept.generation += u64::from(media.is_some());
            media
        };
        if let Some(media) = media {
            let _ = media.unprepare();
        }
    }

    /// The media is ending: who asks from now on gets another one.
    pub(super) fn ends(&self, media: &MovieMedia) {
        let mut kept = self.imp().kept();
        if kept.media.as_ref().is_none_or(|it| it == media) {
            kept.generation += 1;
            kept.media = None;
        }
    }

    /// The range of an SDP (RFC 2326 section C.1.5).
    pub(super) fn range(&self) -> String {
        let movie = self.imp().movie();
        if movie.live {
            return "npt=now-".to_owned();
        }
        let duration = self.open().and_then(|opened| self.duration(&opened));
        let end = duration.map_or_else(String::new, |it| it.seconds_f64().to_string());
        format!("npt=0-{end}")
    }

    /// Opens the movie and chooses the way for it, once for a file; says which way and why.
    pub fn choose(&self) -> Result<Arc<MovieFile>, NotShown> {
        let movie = self.imp().movie();
        let opened = MovieFile::open(&movie.mount.file)?;
        let mut chosen = movie.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if chosen.as_ref().is_some_and(|before| Arc::ptr_eq(before, &opened)) {
            return Ok(opened);
        }
        let shown = carriage::choose(&movie.mount.file)?;
        *chosen = Some(shown.movie.clone());
        drop(chosen);
        movie.said.get_or_init(|| {
            let mount = &movie.mount.point;
            let way = shown.way.describe();
            match &shown.reason {
                Some((frame, reason)) => {
                    tracing::info!(%mount, frame = frame + 1, "{way}: {reason}");
                }
                None => tracing::info!(%mount, "{way}"),
            }
        });
        Ok(shown.movie)
    }

    /// The opened movie, without a look at its frames.
    pub fn open(&self) -> Option<Arc<MovieFile>> {
        MovieFile::open(&self.imp().movie().mount.file).ok()
    }

    /// The movie's time if its end is known and it does not loop.
    pub fn duration(&self, opened: &MovieFile) -> Option<gst::ClockTime> {
        let movie = self.imp().movie();
        let frames = opened.total_frames().filter(|_| !movie.endless)?;
        Some(gst::ClockTime::from_nseconds(movie.framerate.start_of(frames)))
    }
}

/// Lets the first frame through, which tells what the movie is, and holds the next one.
fn stay_at_first(pad: &gst::Pad) {
    let come = AtomicBool::new(false);
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BLOCK;
    pad.add_probe(what, move |_, _| {
        let is_next = come.swap(true, Ordering::Relaxed);
        if is_next { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Pass }
    });
}

mod imp {
    use super::*;

    pub struct Movie {
        pub mount: Mount,
        pub framerate: FrameRate,
        /// It has no end: it starts over.
        pub endless: bool,
        /// All viewers see the same of it.
        pub live: bool,
        pub said: OnceLock<()>,
        /// The file that was chosen a way for.
        pub chosen: Mutex<Option<Arc<MovieFile>>>,
    }

    #[derive(Default)]
    pub struct Kept {
        pub media: Option<MovieMedia>,
        /// When somebody asked for it last.
        pub asked: Option<Instant>,
        pub generation: u64,
    }

    #[derive(Default)]
    pub struct MovieFactory {
        pub movie: OnceLock<Movie>,
        kept: Mutex<Kept>,
    }

    impl MovieFactory {
        pub fn kept(&self) -> MutexGuard<'_, Kept> {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn movie(&self) -> &Movie {
            self.movie.get().expect("set by MovieFactory::new")
        }

        fn pipeline(&self) -> Result<gst::Element, anyhow::Error> {
            let movie = self.movie();
            self.obj().choose()?;
            let bin = gst::Bin::new();
            let part = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
            let source = gst::ElementFactory::make("mjpegfilesrc")
                .property("location", movie.mount.file.to_string_lossy().as_ref())
                .property(
                    "framerate",
                    gst::Fraction::new(
                        part(movie.framerate.numerator()),
                        part(movie.framerate.denominator()),
                    ),
                )
                .property("loop", movie.endless)
                .build()?;
            let pay = gst::ElementFactory::make("rtpjpegpay")
                .name("pay0")
                // RFC 3551 table 5.
                .property("pt", 26_u32)
                .build()?;
            let prepare = gst::ElementFactory::make("rtpjpegprep").build()?;
            bin.add_many([&source, &prepare, &pay])?;
            gst::Element::link_many([&source, &prepare, &pay])?;
            let pad = prepare.static_pad("src").ok_or_else(|| anyhow::anyhow!("no source pad"))?;
            stay_at_first(&pad);
            Ok(bin.upcast())
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for MovieFactory {
        const NAME: &'static str = "MjpegRtspMovieFactory";
        type Type = super::MovieFactory;
        type ParentType = gst_rtsp_server::RTSPMediaFactory;
    }

    impl ObjectImpl for MovieFactory {}

    impl RTSPMediaFactoryImpl for MovieFactory {
        /// Another file in its place is another movie.
        fn gen_key(&self, _url: &gst_rtsp::RTSPUrl) -> Option<glib::GString> {
            let movie = MovieFile::open(&self.movie().mount.file).ok()?;
            let mut kept = self.kept();
            kept.asked = Some(Instant::now());
            Some(format!("{} {}", kept.generation, movie.identity()).into())
        }

        fn configure(&self, media: &gst_rtsp_server::RTSPMedia) {
            self.parent_configure(media);
            if let Some(media) = media.downcast_ref::<MovieMedia>() {
                media.is_of(&self.obj());
            }
        }

        fn create_element(&self, _url: &gst_rtsp::RTSPUrl) -> Option<gst::Element> {
            match self.pipeline() {
                Ok(element) => Some(element),
                Err(error) => {
                    tracing::error!(mount = %self.movie().mount.point, "no pipeline: {error:#}");
                    None
                }
            }
        }
    }
}
