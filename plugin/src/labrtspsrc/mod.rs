// SPDX-License-Identifier: MIT OR Apache-2.0
//! `labrtspsrc`: plays a movie from a server of the networking course's lab. It does what the lab's
//! client does: SETUP, PLAY, PAUSE and TEARDOWN over TCP, RTP over UDP.
//!
//! ```text
//! gst-play-1.0 "labrtsp://127.0.0.1:8554/movie.mjpeg"
//! gst-launch-1.0 labrtspsrc location=labrtsp://127.0.0.1:8554/movie.mjpeg ! jpegdec ! autovideosink
//! ```
//!
//! URI: `labrtsp://HOST:PORT/FILE?rtp-port=N&dialect=NAME`; its parameters override the
//! properties. Pad: `src`, `image/jpeg, parsed=true`; live. Frames are as the server sends them, except
//! those that `jpegdec` of GStreamer 1.22 cannot show, such as CMYK: `rtpjpegprep` converts them.
//!
//! | property | unit, default | |
//! |---|---|---|
//! | `location` | URI | can be set only in NULL or READY, like all of them |
//! | `rtp-port` | 0 | UDP port to receive RTP on; 0 is a free one |
//! | `dialect` | `auto` | form of the requests: `auto` tries all until RTP arrives, and remembers the form for the server; `j`, `a`, `c`, `s`, `s1`, `s2` are fixed forms |
//! | `timeout` | ms, 5000 | how long to wait for the connection, a reply, the first packet; a silence of this length ends a movie |
//! | `latency` | ms, 100 | how long frames are held before they are shown, which evens out their arrival |
//! | `stats` | read-only | as `rtplabdepay`'s, and `ignored`: datagrams of other hosts, and packets from before a seek |
//!
//! | state change | request |
//! |---|---|
//! | READY to PAUSED | SETUP |
//! | PAUSED to PLAYING | PLAY |
//! | PLAYING to PAUSED | PAUSE |
//! | PAUSED to READY | TEARDOWN |
//!
//! PROGRESS messages report each request, with the code `open` for SETUP and `request` for the
//! others, like rtspsrc's. Element messages show the exchange: `labrtspsrc-connected` (the addresses
//! `client` and `server`), `labrtspsrc-request` (`method`, `cseq`, `dialect`, `text`),
//! `labrtspsrc-reply` (`text`; `method` and `cseq` of the request), `labrtspsrc-rtp` (`packet`, the
//! first one after PLAY; `sequence-number`, `from`), `labrtspsrc-finding` (`name`, `text`: how the RTP
//! deviates from the lab), `labrtspsrc-note` (`text`: what the element does about it).
//!
//! The error for an RTP port in use has the detail `free-port`, the one for a lost connection the
//! detail `connection-lost`.
//!
//! The movie's duration (in TIME, and in DEFAULT: frames) is known if the server sends it. Seeking
//! works if the server has the request SEEK, as mjpeg-rtsp-server has. The stream ends when packets
//! stop after the last frame or, if the number of frames is unknown, stop for `timeout`.

mod connection;
mod control;
mod imp;
mod location;
mod messages;
mod receiver;
mod shared;
mod wakeup;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

pub use location::{Dialect, Location, LocationError, SCHEME, rtp_port};

glib::wrapper! {
    /// The element `labrtspsrc`.
    pub struct LabRtspSrc(ObjectSubclass<imp::LabRtspSrc>)
        @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::URIHandler, gst::ChildProxy;
}

glib::wrapper! {
    /// The live source inside the bin.
    pub struct Receiver(ObjectSubclass<receiver::Receiver>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

impl LabRtspSrc {
    /// Posts that the movie's duration has become known.
    fn post_duration_changed(&self) {
        let _ = self.post_message(gst::message::DurationChanged::builder().src(self).build());
    }

    /// Resets the counters of packets, at PLAY.
    fn reset_counters(&self) {
        self.imp().reset_counters();
    }
}

/// Registers the element, with a rank that lets playbin choose it for its URI scheme.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "labrtspsrc", gst::Rank::PRIMARY, LabRtspSrc::static_type())
}
