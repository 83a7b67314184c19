// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a mount to a pipeline, one for each viewer.

use super::frame_gate::FrameGate;
use super::media::GuardedMedia;
use crate::carriage::{self, Carriage, NotShown, Shown};
use crate::catalog::Mount;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_rtsp::RTSPLowerTrans;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gstmjpegfile::movie::FrameRate;
use std::sync::{Arc, OnceLock};

/// High enough that encoding again is not seen: luma stays above 40 dB for camera pictures.
const QUALITY: i32 = 95;

/// The kernel's send buffer for a viewer: a burst of one 99 999-byte frame, several times.
const SEND_BUFFER: u32 = 512 * 1024;

glib::wrapper! {
    /// Makes the media of one movie.
    pub struct MovieFactory(ObjectSubclass<imp::MovieFactory>)
        @extends gst_rtsp_server::RTSPMediaFactory;
}

impl MovieFactory {
    pub fn new(mount: &Mount, framerate: FrameRate, looping: bool) -> Self {
        let factory: Self = glib::Object::new();
        let gate = Arc::new(FrameGate::new(&mount.point));
        let movie =
            imp::Movie { mount: mount.clone(), framerate, looping, gate, said: OnceLock::new() };
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
            match (&shown.carriage, &shown.reason) {
                (Carriage::Encoded { width, height }, Some((frame, reason))) => tracing::info!(
                    %mount, frame = frame + 1, width, height,
                    "decoded and encoded again as 4:2:2 on the way: {reason}"
                ),
                _ => tracing::info!(%mount, "sent as it is in the file"),
            }
        });
        Ok(shown)
    }

    /// The movie's time if its end is known and it does not loop.
    pub fn duration(&self, shown: &Shown) -> Option<gst::ClockTime> {
        let movie = self.imp().movie();
        let frames = shown.movie.total_frames().filter(|_| !movie.looping)?;
        Some(gst::ClockTime::from_nseconds(movie.framerate.start_of(frames)))
    }
}

mod imp {
    use super::*;

    pub struct Movie {
        pub mount: Mount,
        pub framerate: FrameRate,
        pub looping: bool,
        pub gate: Arc<FrameGate>,
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
                .property("location", movie.mount.file.to_string_lossy().as_ref())
                .property(
                    "framerate",
                    gst::Fraction::new(
                        part(movie.framerate.numerator()),
                        part(movie.framerate.denominator()),
                    ),
                )
                .property("loop", movie.looping)
                .build()?;
            let pay = gst::ElementFactory::make("rtpjpegpay")
                .name("pay0")
                // RFC 3551 table 5.
                .property("pt", 26_u32)
                .build()?;
            let mut chain = vec![source.clone()];
            if let Carriage::Encoded { width, height } = shown.carriage {
                let caps = gst::Caps::builder("video/x-raw")
                    .field("format", "Y42B")
                    .field("width", i32::from(width))
                    .field("height", i32::from(height))
                    .build();
                chain
                    .push(gst::ElementFactory::make("jpegdec").property("max-errors", -1).build()?);
                chain.push(gst::ElementFactory::make("videoconvert").build()?);
                chain.push(gst::ElementFactory::make("videoscale").build()?);
                chain.push(gst::ElementFactory::make("capsfilter").property("caps", caps).build()?);
                chain.push(
                    gst::ElementFactory::make("jpegenc").property("quality", QUALITY).build()?,
                );
            }
            chain.push(pay);
            bin.add_many(&chain)?;
            gst::Element::link_many(&chain)?;
            let pad = source.static_pad("src").ok_or_else(|| anyhow::anyhow!("no source pad"))?;
            movie.gate.attach(&pad, shown.carriage);
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
