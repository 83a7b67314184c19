// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpegfileparse`: frames out of a movie's bytes, from any source: files, HTTP, pipes. With the
//! type finder beside it, whatever autoplugs (playbin, decodebin, gst-play-1.0) plays movies by
//! itself.
//!
//! ```text
//! gst-play-1.0 movie.mjpeg
//! gst-launch-1.0 filesrc location=movie.mjpeg ! mjpegfileparse ! jpegdec ! autovideosink
//! ```
//!
//! Pads: `sink`, `application/x-mjpegfile`; `src`, `image/jpeg, parsed=true` with width, height and
//! framerate.
//!
//! | property | default | |
//! |---|---|---|
//! | `framerate` | 20/1 | frames a second, which the movie does not tell; changed only in NULL or READY |
//! | `stats` | read-only | structure of counters: `frames`, `bad-spans`, `bytes-skipped` |
//!
//! Where the source can be read at any place, the lengths are followed to the end first, for at
//! most half a second: then the duration is exact, and seeks find their frame. Otherwise both are
//! estimated. Bad records are passed over with a warning that names frame and byte.

mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element `mjpegfileparse`.
    pub struct MjpegFileParse(ObjectSubclass<imp::MjpegFileParse>)
        @extends gst_base::BaseParse, gst::Element, gst::Object;
}

/// Registers the element, with the rank of what is autoplugged.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    let rank = gst::Rank::PRIMARY;
    gst::Element::register(plugin, "mjpegfileparse", rank, MjpegFileParse::static_type())
}
