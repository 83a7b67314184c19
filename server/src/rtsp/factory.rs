// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a mount to a pipeline, one for each viewer.

use super::last_frame;
use super::media::GuardedMedia;
use crate::carriage::{self, NotShown, Shown};
use crate::catalog::Mount;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_rtsp::RTSPLowerTrans;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gstmjpegfile::movie::FrameRate;
use gstmjpegfile::movie_file::MovieFile;
use std::sync::{Arc, OnceLock};

/// The kernel's send buffer for a viewer: a burst of one 99 999-byte frame, several times.
const SEND_BUFFER: u32 = 512 * 1024;

/// The names of a media's elements, by which its messages are told apart.
pub(super) const SOURCE: &str = "source";
pub(super) const PREPARE: &str = "prepare";

glib::wrapper! {
    /// Makes the media of one movie.
    pub struct MovieFactory(ObjectSubclass<imp::MovieFactory>)
        @extends gst_rtsp_server::RTSPMediaFactory;
}

impl MovieFactory {
    pub fn new(mount: &Mount, framerate: FrameRate, looping: bool) -> Self {
        let factory: Self = glib::Object::new();
        let movie = imp::Movie { mount: mount.clone(), framerate, looping, said: OnceLock::new() };
        // A new object's cell is empty.
        let _ = factory.imp().movie.set(movie);
        // Each viewer has a position of its own.
        factory.set_shared(false);
        factory.set_protocols(RTSPLowerTrans::UDP | RTSPLowerTrans::TCP);
        factory.set_buffer_size(SEND_BUFFER);
        factory.set_media_gtype(GuardedMedia::static_type());
        factory
    }

    /// Opens the movie and chooses the way for it; says once which way and why.
    pub fn choose(&self) -> Result<Shown, NotShown> {
        let movie = self.imp().movie();
        let shown = carriage::choose(&movie.mount.file)?;
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
        Ok(shown)
    }

    /// The opened movie, without a look at its frames.
    pub fn open(&self) -> Option<Arc<MovieFile>> {
        MovieFile::open(&self.imp().movie().mount.file).ok()
    }

    /// The movie's time if its end is known and it does not loop.
    pub fn duration(&self, opened: &MovieFile) -> Option<gst::ClockTime> {
        let movie = self.imp().movie();
        let frames = opened.total_frames().filter(|_| !movie.looping)?;
        Some(gst::ClockTime::from_nseconds(movie.framerate.start_of(frames)))
    }
}

mod imp {
    use super::*;

    pub struct Movie {
        pub mount: Mount,
        pub framerate: FrameRate,
        pub looping: bool,
        pub said: OnceLock<()>,
    }

    #[derive(Default)]
    pub struct MovieFactory {
        pub movie: OnceLock<Movie>,
    }

    impl MovieFactory {
        pub fn movie(&self) -> &Movie {
            self.movie.get().expect("set by MovieFactory::new")
        }

        fn pipeline(&self) -> Result<gst::Element, anyhow::Error> {
            let movie = self.movie();
            let shown = self.obj().choose()?;
            let bin = gst::Bin::new();
            let part = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
            let source = gst::ElementFactory::make("mjpegfilesrc")
                .name(SOURCE)
                .property("location", movie.mount.file.to_string_lossy().as_ref())
                .property(
                    "framerate",
                    gst::Fraction::new(
                        part(movie.framerate.numerator()),
                        part(movie.framerate.denominator()),
                    ),
                )
                .property("loop", movie.looping)
                .property("apply-scale", true)
                .build()?;
            let pay = gst::ElementFactory::make("rtpjpegpay")
                .name("pay0")
                // RFC 3551 table 5.
                .property("pt", 26_u32)
                .build()?;
            let prepare = gst::ElementFactory::make("rtpjpegprep")
                .name(PREPARE)
                .property("keep-size", true)
                .property("cache-key", shown.movie.identity())
                .build()?;
            bin.add_many([&source, &prepare, &pay])?;
            gst::Element::link_many([&source, &prepare, &pay])?;
            let pad = prepare.static_pad("src").ok_or_else(|| anyhow::anyhow!("no source pad"))?;
            last_frame::let_last(&pad);
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
