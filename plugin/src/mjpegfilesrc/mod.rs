// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpegfilesrc`: reads a movie file and pushes its frames as timed `image/jpeg` buffers.
//!
//! ```text
//! gst-launch-1.0 mjpegfilesrc location=movie.mjpeg ! jpegdec ! autovideosink
//! ```
//!
//! | property | unit, default | |
//! |---|---|---|
//! | `location` | path | the movie; changed only in NULL or READY |
//! | `framerate` | frames a second, 20/1 | changed only in NULL or READY |
//! | `loop` | false | start over at the end, with timestamps that go on rising |
//! | `bad-frames` | `skip` | what to do at a bad record: `skip` or `error` |
//! | `apply-scale` | false | in trick mode go at the rate here, with a segment of rate 1 and the rate as applied rate, as RTSP's Scale asks |
//! | `frames` | read-only | frames found so far; all, once the file is indexed |
//! | `stats` | read-only | structure of counters |
//!
//! Seeks are exact, in TIME and in DEFAULT (frames), with a stop, at any rate, backwards too. With
//! the flag TRICKMODE or TRICKMODE_KEY_UNITS frames are left out at rates above 1, so that about
//! as many a second are shown as at the normal rate.

mod imp;
pub(crate) mod properties;
mod queries;
mod read_ahead;
mod reader;
mod reports;
mod settings;

use gst::glib;
use gst::prelude::*;

pub use settings::BadFrames;

glib::wrapper! {
    /// The element `mjpegfilesrc`.
    pub struct MjpegFileSrc(ObjectSubclass<imp::MjpegFileSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

/// Registers the element. It has no rank: nothing autoplugs a source without a URI.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "mjpegfilesrc", gst::Rank::NONE, MjpegFileSrc::static_type())
}
