// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpegfileparse`: extracts frames from a movie's bytes, from any source: files, HTTP, pipes. With
//! this element and the type finder, everything that autoplugs (playbin, decodebin, gst-play-1.0)
//! plays movies.
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
//! | `framerate` | 20/1 | frames per second, which the movie does not contain; changed only in NULL or READY |
//! | `stats` | read-only | structure of counters: `frames`, `bad-spans`, `bytes-skipped` |
//!
//! If the source supports random access, the movie is indexed ahead of the frames: the first 16 384
//! records before the first frame, 16 records with each frame after that. Seeks to indexed frames are
//! exact, and once the index has reached the end, the duration is exact. Without an index, both are
//! estimated. Bad records are skipped with a warning that has their frame number and byte offset.

mod imp;
mod indexer;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element `mjpegfileparse`.
    pub struct MjpegFileParse(ObjectSubclass<imp::MjpegFileParse>)
        @extends gst_base::BaseParse, gst::Element, gst::Object;
}

/// Registers the element, with a rank that lets decodebin choose it.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    let rank = gst::Rank::PRIMARY;
    gst::Element::register(plugin, "mjpegfileparse", rank, MjpegFileParse::static_type())
}
