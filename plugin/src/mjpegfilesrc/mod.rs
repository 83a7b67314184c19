// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpegfilesrc`: reads a movie file and pushes its frames as timed `image/jpeg` buffers.
//!
//! ```text
//! gst-launch-1.0 mjpegfilesrc location=movie.mjpeg ! jpegdec ! autovideosink
//! ```
//!
//! URI: `mjpegfile:///PATH?framerate=25&loop=true&bad-frames=error`; each parameter sets the property
//! of its name.
//!
//! | property | unit, default | |
//! |---|---|---|
//! | `location` | path | the movie; can be set only in NULL or READY |
//! | `framerate` | frames per second, 20/1 | can be set only in NULL or READY |
//! | `loop` | false | start again at the end, with timestamps that continue to rise; can be set only in NULL or READY |
//! | `bad-frames` | `skip` | what to do at a bad record: `skip` or `error`; can be set only in NULL or READY |
//! | `frames` | read-only | number of frames found so far; of the whole movie once it is indexed |
//! | `stats` | read-only | structure of counters |
//!
//! Seeks are exact in TIME and in DEFAULT (frames), with a stop position, at any rate, also
//! backwards. With the flag TRICKMODE or TRICKMODE_KEY_UNITS, frames are left out at rates above 1,
//! so that about as many frames a second are shown as at the normal rate.

mod imp;
pub(crate) mod properties;
mod queries;
mod read_ahead;
mod reader;
mod reports;
mod settings;
mod uri;

use gst::glib;
use gst::prelude::*;

pub use settings::BadFrames;

glib::wrapper! {
    /// The element `mjpegfilesrc`.
    pub struct MjpegFileSrc(ObjectSubclass<imp::MjpegFileSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object,
        @implements gst::URIHandler;
}

/// Registers the element, with a rank that lets playbin choose it for its URI scheme.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "mjpegfilesrc", gst::Rank::PRIMARY, MjpegFileSrc::static_type())
}
