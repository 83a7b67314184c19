// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie as gst-rtsp-server sees it: what DESCRIBE tells of it, and the sockets of its viewers.
//! Its pipeline stays at the first frame. RTP and RTCP to the viewers come from elsewhere
//! (stream.rs); what they send is received here, and keeps their sessions alive.

use super::delivery::Sockets;
use super::factory::MovieFactory;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_rtsp_server::RTSPStream;
use gst_rtsp_server::gst_sdp::SDPMessageRef;
use gst_rtsp_server::subclass::SDPInfo;
use gst_rtsp_server::subclass::prelude::*;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

glib::wrapper! {
    /// A movie's media, shared by all of its viewers.
    pub struct MovieMedia(ObjectSubclass<imp::MovieMedia>) @extends gst_rtsp_server::RTSPMedia;
}

impl MovieMedia {
    /// Tells whose it is.
    pub(super) fn is_of(&self, factory: &MovieFactory) {
        self.imp().factory.set(Some(factory));
    }

    /// The sockets that viewers at such an address are sent to from.
    pub(super) fn sockets(&self, stream: &RTSPStream, ip: IpAddr) -> Option<Arc<Sockets>> {
        let mut all = self.imp().sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let place = if ip.is_ipv4() { &mut all.v4 } else { &mut all.v6 };
        if place.is_none() {
            *place = Sockets::of(stream, ip).map(Arc::new);
        }
        place.clone()
    }
}

/// Lets nothing through.
fn close(pad: &gst::Pad) {
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(what, |_, _| gst::PadProbeReturn::Drop);
}

mod imp {
    use super::*;

    #[derive(Debug, Default)]
    pub struct Both {
        pub v4: Option<Arc<Sockets>>,
        pub v6: Option<Arc<Sockets>>,
    }

    #[derive(Default)]
    pub struct MovieMedia {
        pub(super) sockets: Mutex<Both>,
        pub factory: glib::WeakRef<MovieFactory>,
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
            rtpbin.connect_pad_added(|_, pad| {
                let name = pad.name();
                if name.starts_with("send_rtp_src") || name.starts_with("send_rtcp_src") {
                    close(pad);
                }
            });
            self.parent_setup_rtpbin(rtpbin)
        }

        /// The range is the movie's, wherever its viewers are.
        fn setup_sdp(
            &self,
            sdp: &mut SDPMessageRef,
            info: &SDPInfo,
        ) -> Result<(), gst::LoggableError> {
            self.parent_setup_sdp(sdp, info)?;
            let range = (0..sdp.attributes_len())
                .find(|at| sdp.attribute(*at).is_some_and(|it| it.key() == "range"));
            if let Some(at) = range {
                let _ = sdp.remove_attribute(at);
            }
            if let Some(factory) = self.factory.upgrade() {
                sdp.add_attribute("range", Some(&factory.range()));
            }
            Ok(())
        }

        fn prepared(&self) {
            self.parent_prepared();
            if let Some(factory) = self.factory.upgrade() {
                factory.keep(&self.obj());
            }
        }

        fn unprepare(&self) -> Result<(), gst::LoggableError> {
            if let Some(factory) = self.factory.upgrade() {
                factory.ends(&self.obj());
            }
            self.parent_unprepare()
        }

        fn unprepared(&self) {
            *self.sockets.lock().unwrap_or_else(PoisonError::into_inner) = Both::default();
            self.parent_unprepared();
        }
    }
}
