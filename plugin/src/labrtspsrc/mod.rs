// SPDX-License-Identifier: MIT OR Apache-2.0
//! `labrtspsrc`: plays a movie from a server of the networking course's lab. It is the client of
//! the lab: SETUP, PLAY, PAUSE, TEARDOWN over TCP, RTP over UDP.
//!
//! ```text
//! gst-play-1.0 "labrtsp://127.0.0.1:8554/movie.mjpeg"
//! gst-launch-1.0 labrtspsrc location=labrtsp://127.0.0.1:8554/movie.mjpeg ! jpegdec ! autovideosink
//! ```
//!
//! URI: `labrtsp://HOST:PORT/FILE?rtp-port=N&dialect=NAME`; what it states goes before the
//! properties. Pad: `src`, `image/jpeg, parsed=true`; live.
//!
//! | property | unit, default | |
//! |---|---|---|
//! | `location` | URI | changed only in NULL or READY, as all of them |
//! | `rtp-port` | 0 | UDP port that the server sends to; 0 takes a free one |
//! | `dialect` | `auto` | in which form requests are written: `auto` tries until RTP comes, and remembers it for the server; `j`, `a`, `c`, `s`, `s1`, `s2` fix one |
//! | `timeout` | ms, 5000 | how long to wait for the connection, an answer, the first packet; silence of this length ends a movie |
//! | `latency` | ms, 100 | how long frames are kept before they are shown, so that they come evenly |
//! | `stats` | read-only | as `rtplabdepay`'s |
//!
//! | state change | request |
//! |---|---|
//! | READY to PAUSED | SETUP |
//! | PAUSED to PLAYING | PLAY |
//! | PLAYING to PAUSED | PAUSE |
//! | PAUSED to READY | TEARDOWN |
//!
//! Each request's success is told by a PROGRESS message, code `open` for SETUP and `request` for
//! the others, as rtspsrc does. Element messages show the exchange: `labrtspsrc-request` (`method`,
//! `cseq`, `dialect`, `text`), `labrtspsrc-reply` (`text`; `method` and `cseq` of the request),
//! `labrtspsrc-rtp` (`packet`, the first one after PLAY; `sequence-number`, `from`),
//! `labrtspsrc-finding` (`name`, `text`: what is unlike the lab in the RTP), `labrtspsrc-note`
//! (`text`: what the element does about it).
//!
//! The error about an RTP port that is taken has the detail `free-port`, that about a connection
//! that was lost `connection-lost`.
//!
//! The movie's duration (TIME, and DEFAULT: frames) is known where the server tells it. Seeking works where the server has
//! the request SEEK, as ours does. The stream ends when packets stop after the last frame, or,
//! where its number is unknown, stop for `timeout`.

mod connection;
mod control;
mod imp;
mod location;
mod messages;
mod receiver;
mod shared;

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
    /// The server has told how long the movie is.
    fn duration_is_known(&self) {
        let _ = self.post_message(gst::message::DurationChanged::builder().src(self).build());
    }

    /// A PLAY begins: loss is counted afresh.
    fn count_afresh(&self) {
        self.imp().count_afresh();
    }
}

/// Registers the element. It has the rank to be taken for its scheme, which nobody else has.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "labrtspsrc", gst::Rank::PRIMARY, LabRtspSrc::static_type())
}
