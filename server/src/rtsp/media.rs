// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one media that gst-rtsp-server has for all movies and viewers. Its pipeline stays at a first
//! frame that nobody sees: it makes sockets, and receives the viewers' RTCP, which keeps their
//! sessions alive. What viewers are sent comes from elsewhere (stream.rs).

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

/// The kernel's send buffer for all viewers by UDP: what a card takes a moment for.
const SEND_BUFFER: u32 = 4 * 1024 * 1024;

/// The pipeline: a payloader whose caps say what kind of RTP it is.
const PIPELINE: &str = "videotestsrc name=source ! video/x-raw,format=I420,width=16,height=16 ! jpegenc \
     ! rtpjpegpay name=pay0 pt=26";

/// The sockets that all viewers of an address family are sent to from.
#[derive(Debug)]
pub(super) struct Sockets {
    /// For RTP.
    pub rtp: OwnedFd,
    /// For RTCP.
    pub rtcp: OwnedFd,
}

impl Sockets {
    /// Those that gst-rtsp-server has opened for a stream.
    fn of(stream: &RTSPStream, ip: IpAddr) -> Option<Self> {
        let family = if ip.is_ipv4() { gio::SocketFamily::Ipv4 } else { gio::SocketFamily::Ipv6 };
        let own = |socket: gio::Socket| socket.as_fd().try_clone_to_owned().ok();
        Some(Self {
            rtp: own(stream.rtp_socket(family)?)?,
            rtcp: own(stream.rtcp_socket(family)?)?,
        })
    }
}

glib::wrapper! {
    /// Makes the media.
    pub struct MovieFactory(ObjectSubclass<imp::MovieFactory>)
        @extends gst_rtsp_server::RTSPMediaFactory;
}

glib::wrapper! {
    /// The media.
    pub struct MovieMedia(ObjectSubclass<imp::MovieMedia>) @extends gst_rtsp_server::RTSPMedia;
}

impl MovieMedia {
    /// That of a session.
    pub(super) fn of(session: &RTSPSessionMedia) -> Option<Self> {
        session.media()?.downcast().ok()
    }

    /// The sockets that viewers at such an address are sent to from.
    pub(super) fn sockets(&self, ip: IpAddr) -> Option<Arc<Sockets>> {
        let stream = self.stream(0)?;
        let mut sockets = self.imp().sockets();
        let place = if ip.is_ipv4() { &mut sockets.v4 } else { &mut sockets.v6 };
        if place.is_none() {
            *place = Sockets::of(&stream, ip).map(Arc::new);
        }
        place.clone()
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

    /// Lets the media go; whoever asks from now on gets another one.
    pub(super) fn replace(&self) {
        let media = {
            let mut kept = self.imp().kept();
            kept.generation += 1;
            kept.media.take()
        };
        if let Some(media) = media {
            let _ = media.unprepare();
        }
    }

    /// Keeps a media that has been prepared: otherwise it would end with its last session, and a
    /// request that finds it while it ends is refused by gst-rtsp-server 1.22.
    fn keep(&self, media: &MovieMedia) {
        // The lock is not held while the library takes its own: it calls `ends` with that.
        if self.imp().kept().media.as_ref() == Some(media) || media.prepare(None).is_err() {
            return;
        }
        let before = self.imp().kept().media.replace(media.clone());
        if let Some(before) = before {
            let _ = before.unprepare();
        }
    }

    /// The media is ending; whoever asks from now on gets another one.
    fn ends(&self, media: &MovieMedia) {
        let mut kept = self.imp().kept();
        if kept.media.as_ref().is_none_or(|it| it == media) {
            kept.generation += 1;
            kept.media = None;
        }
    }
}

/// Lets the first buffer through, from which the payloader's caps come, and holds the next one.
fn stay_at_first(pad: &gst::Pad) {
    let come = AtomicBool::new(false);
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BLOCK;
    pad.add_probe(what, move |_, _| {
        let is_next = come.swap(true, Ordering::Relaxed);
        if is_next { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Pass }
    });
}

/// Lets nothing through.
fn close(pad: &gst::Pad) {
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(what, |_, _| gst::PadProbeReturn::Drop);
}

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Kept {
        pub media: Option<super::MovieMedia>,
        pub generation: u64,
    }

    #[derive(Default)]
    pub struct MovieFactory {
        kept: Mutex<Kept>,
    }

    impl MovieFactory {
        pub fn kept(&self) -> MutexGuard<'_, Kept> {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for MovieFactory {
        const NAME: &'static str = "MjpegRtspMovieFactory";
        type Type = super::MovieFactory;
        type ParentType = gst_rtsp_server::RTSPMediaFactory;
    }

    impl ObjectImpl for MovieFactory {}

    /// The pipeline's bin, stopped at its first frame.
    fn pipeline() -> Option<gst::Element> {
        let bin = gst::parse::bin_from_description(PIPELINE, false);
        let bin = bin.inspect_err(|error| tracing::error!("no pipeline: {error}")).ok()?;
        let source = bin.by_name("source")?.static_pad("src")?;
        stay_at_first(&source);
        Some(bin.upcast())
    }

    impl RTSPMediaFactoryImpl for MovieFactory {
        fn gen_key(&self, _url: &gst_rtsp::RTSPUrl) -> Option<glib::GString> {
            guarded("media", || self.kept().generation.to_string().into()).ok()
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
            guarded("media", pipeline).ok().flatten()
        }
    }

    #[derive(Debug, Default)]
    pub struct Both {
        pub(super) v4: Option<Arc<Sockets>>,
        pub(super) v6: Option<Arc<Sockets>>,
    }

    #[derive(Default)]
    pub struct MovieMedia {
        sockets: Mutex<Both>,
        pub factory: glib::WeakRef<super::MovieFactory>,
    }

    impl MovieMedia {
        pub fn sockets(&self) -> MutexGuard<'_, Both> {
            self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for MovieMedia {
        const NAME: &'static str = "MjpegRtspMovieMedia";
        type Type = super::MovieMedia;
        type ParentType = gst_rtsp_server::RTSPMedia;
    }

    impl ObjectImpl for MovieMedia {}

    impl RTSPMediaImpl for MovieMedia {
        fn setup_rtpbin(&self, rtpbin: &gst::Element) -> Result<(), gst::LoggableError> {
            // Its own RTP and RTCP end here.
            rtpbin.connect_pad_added(|_, pad| {
                let _ = guarded("media", || {
                    let name = pad.name();
                    if name.starts_with("send_rtp_src") || name.starts_with("send_rtcp_src") {
                        close(pad);
                    }
                });
            });
            self.parent_setup_rtpbin(rtpbin)
        }

        fn prepared(&self) {
            self.parent_prepared();
            let _ = guarded("media", || {
                if let Some(factory) = self.factory.upgrade() {
                    factory.keep(&self.obj());
                }
            });
        }

        fn unprepare(&self) -> Result<(), gst::LoggableError> {
            let _ = guarded("media", || {
                if let Some(factory) = self.factory.upgrade() {
                    factory.ends(&self.obj());
                }
            });
            self.parent_unprepare()
        }

        fn unprepared(&self) {
            let _ = guarded("media", || *self.sockets() = Both::default());
            self.parent_unprepared();
        }
    }
}
