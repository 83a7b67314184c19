// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only media of gst-rtsp-server, for all movies and viewers. It opens the UDP sockets, and
//! receives RTCP from viewers, which keeps their sessions alive. Its pipeline stops at its first frame,
//! which is sent to no viewer: the frames of movies are sent by `frame_sink.rs`.

use super::loss_reports::LossReports;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_rtsp::RTSPLowerTrans;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gst_rtsp_server::{RTSPSessionMedia, RTSPStream};
use mjpeg_program::border::guarded;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The send buffer in bytes for all viewers over UDP: as much as a network card sends in a moment.
const SEND_BUFFER: u32 = 4 * 1024 * 1024;

/// The pipeline of the media. The caps of its payloader describe RTP/JPEG.
const PIPELINE: &str = "videotestsrc name=source ! video/x-raw,format=I420,width=16,height=16 ! jpegenc \
     ! rtpjpegpay name=pay0 pt=26";

/// The sockets from which packets are sent to all viewers of an address family.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Sends RTP.
    pub rtp: OwnedFd,
    /// Sends RTCP.
    pub rtcp: OwnedFd,
}

impl Sockets {
    /// Duplicates the sockets that gst-rtsp-server has opened for viewers with addresses like `ip`.
    fn of(stream: &RTSPStream, ip: IpAddr) -> Option<Self> {
        let family = if ip.is_ipv4() { gio::SocketFamily::Ipv4 } else { gio::SocketFamily::Ipv6 };
        let duplicate = |socket: gio::Socket| socket.as_fd().try_clone_to_owned().ok();
        Some(Self {
            rtp: duplicate(stream.rtp_socket(family)?)?,
            rtcp: duplicate(stream.rtcp_socket(family)?)?,
        })
    }
}

glib::wrapper! {
    /// Creates the media.
    pub struct MovieFactory(ObjectSubclass<imp::MovieFactory>)
        @extends gst_rtsp_server::RTSPMediaFactory;
}

glib::wrapper! {
    /// The media, which all movies share.
    pub struct MovieMedia(ObjectSubclass<imp::MovieMedia>) @extends gst_rtsp_server::RTSPMedia;
}

impl MovieMedia {
    /// The media of a session.
    pub(super) fn of(session: &RTSPSessionMedia) -> Option<Self> {
        session.media()?.downcast().ok()
    }

    /// The sockets for viewers with addresses like `ip`.
    pub(super) fn sockets(&self, ip: IpAddr) -> Option<Arc<Sockets>> {
        let stream = self.stream(0)?;
        let mut sockets = self.imp().sockets();
        let sockets = if ip.is_ipv4() { &mut sockets.v4 } else { &mut sockets.v6 };
        if sockets.is_none() {
            *sockets = Sockets::of(&stream, ip).map(Arc::new);
        }
        sockets.clone()
    }
}

impl MovieFactory {
    pub(super) fn new() -> Self {
        let factory: Self = glib::Object::new();
        factory.set_shared(true);
        factory.set_protocols(RTSPLowerTrans::UDP | RTSPLowerTrans::TCP);
        factory.set_buffer_size(SEND_BUFFER);
        factory.set_media_gtype(MovieMedia::static_type());
        factory
    }

    /// The losses that viewers over UDP report.
    pub(super) fn loss_reports(&self) -> &LossReports {
        &self.imp().loss_reports
    }

    /// Releases the media. The next request gets a new one.
    pub(super) fn replace(&self) {
        let media = {
            let mut current = self.imp().current();
            current.generation += 1;
            current.media.take()
        };
        if let Some(media) = media {
            let _ = media.unprepare();
        }
    }

    /// Prepares a media once more, so that it stays prepared after its last session. Otherwise it
    /// would be unprepared then, and gst-rtsp-server 1.22 refuses requests meanwhile.
    fn keep_prepared(&self, media: &MovieMedia) {
        // The lock is released before gst-rtsp-server takes its own, with which it calls
        // `forget_media`.
        if self.imp().current().media.as_ref() == Some(media) || media.prepare(None).is_err() {
            return;
        }
        let previous = self.imp().current().media.replace(media.clone());
        if let Some(previous) = previous {
            let _ = previous.unprepare();
        }
    }

    /// Forgets a media that is being unprepared. The next request gets a new one.
    fn forget_media(&self, media: &MovieMedia) {
        let mut current = self.imp().current();
        if current.media.as_ref().is_none_or(|it| it == media) {
            current.generation += 1;
            current.media = None;
        }
    }
}

/// Lets the first buffer pass, from which the payloader sets its caps, and blocks at the second.
fn block_after_first_buffer(pad: &gst::Pad) {
    let passed = AtomicBool::new(false);
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BLOCK;
    pad.add_probe(types, move |_, _| {
        let block = passed.swap(true, Ordering::Relaxed);
        if block { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Pass }
    });
}

/// Drops all buffers of a pad.
fn drop_buffers(pad: &gst::Pad) {
    let types = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(types, |_, _| gst::PadProbeReturn::Drop);
}

mod imp {
    use super::*;

    /// The media that new sessions get.
    #[derive(Default)]
    pub struct CurrentMedia {
        pub media: Option<super::MovieMedia>,
        /// The key of the media in gst-rtsp-server; incremented for each new media.
        pub generation: u64,
    }

    #[derive(Default)]
    pub struct MovieFactory {
        current: Mutex<CurrentMedia>,
        pub loss_reports: LossReports,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for MovieFactory {
        const NAME: &'static str = "MjpegRtspMovieFactory";
        type Type = super::MovieFactory;
        type ParentType = gst_rtsp_server::RTSPMediaFactory;
    }

    impl ObjectImpl for MovieFactory {}

    impl MovieFactory {
        pub fn current(&self) -> MutexGuard<'_, CurrentMedia> {
            self.current.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Creates the pipeline, which blocks after its first frame.
    fn create_pipeline() -> Option<gst::Element> {
        let bin = gst::parse::bin_from_description(PIPELINE, false).inspect_err(|error| {
            tracing::error!("cannot create the pipeline of gst-rtsp-server: {error}");
        });
        let bin = bin.ok()?;
        let source = bin.by_name("source")?.static_pad("src")?;
        block_after_first_buffer(&source);
        Some(bin.upcast())
    }

    impl RTSPMediaFactoryImpl for MovieFactory {
        fn gen_key(&self, _url: &gst_rtsp::RTSPUrl) -> Option<glib::GString> {
            guarded("media", || self.current().generation.to_string().into()).ok()
        }

        fn configure(&self, media: &gst_rtsp_server::RTSPMedia) {
            let _ = guarded("media", || {
                self.parent_configure(media);
                if let Some(media) = media.downcast_ref::<super::MovieMedia>() {
                    media.imp().factory.set(Some(&*self.obj()));
                }
            });
        }

        fn create_element(&self, _url: &gst_rtsp::RTSPUrl) -> Option<gst::Element> {
            guarded("media", create_pipeline).ok().flatten()
        }
    }

    #[derive(Debug, Default)]
    pub struct SocketsByFamily {
        pub(super) v4: Option<Arc<Sockets>>,
        pub(super) v6: Option<Arc<Sockets>>,
    }

    #[derive(Default)]
    pub struct MovieMedia {
        sockets: Mutex<SocketsByFamily>,
        pub factory: glib::WeakRef<super::MovieFactory>,
    }

    impl MovieMedia {
        pub fn sockets(&self) -> MutexGuard<'_, SocketsByFamily> {
            self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for MovieMedia {
        const NAME: &'static str = "MjpegRtspMovieMedia";
        type Type = super::MovieMedia;
        type ParentType = gst_rtsp_server::RTSPMedia;
    }

    impl RTSPMediaImpl for MovieMedia {
        fn setup_rtpbin(&self, rtpbin: &gst::Element) -> Result<(), gst::LoggableError> {
            // The media sends nothing itself.
            rtpbin.connect_pad_added(|_, pad| {
                let _ = guarded("media", || {
                    let name = pad.name();
                    if name.starts_with("send_rtp_src") || name.starts_with("send_rtcp_src") {
                        drop_buffers(pad);
                    }
                });
            });
            if let Some(factory) = self.factory.upgrade() {
                let reports = factory.loss_reports().clone();
                rtpbin.connect("on-ssrc-active", false, move |values| {
                    let _ = guarded("media", || {
                        let rtpbin: gst::Element = values.first()?.get().ok()?;
                        let [session, ssrc] = [1, 2].map(|at| values.get(at)?.get().ok());
                        reports.read(&rtpbin, session?, ssrc?)
                    });
                    None
                });
            }
            self.parent_setup_rtpbin(rtpbin)
        }

        fn prepared(&self) {
            self.parent_prepared();
            let _ = guarded("media", || {
                if let Some(factory) = self.factory.upgrade() {
                    factory.keep_prepared(&self.obj());
                }
            });
        }

        fn unprepare(&self) -> Result<(), gst::LoggableError> {
            let _ = guarded("media", || {
                if let Some(factory) = self.factory.upgrade() {
                    factory.forget_media(&self.obj());
                }
            });
            self.parent_unprepare()
        }

        fn unprepared(&self) {
            let _ = guarded("media", || *self.sockets() = SocketsByFamily::default());
            self.parent_unprepared();
        }
    }

    impl ObjectImpl for MovieMedia {}
}
