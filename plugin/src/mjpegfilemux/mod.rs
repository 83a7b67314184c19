// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpegfilemux`: writes JPEG images as a movie, each after five digits with its length.
//!
//! ```text
//! gst-launch-1.0 videotestsrc num-buffers=100 ! video/x-raw,format=I420,width=384,height=288 ! jpegenc ! mjpegfilemux ! filesink location=movie.mjpeg
//! ```
//!
//! Pads: `sink`, `image/jpeg`; `src`, `application/x-mjpegfile`. What it writes, `mjpegfilesrc`
//! reads back byte for byte.
//!
//! | property | default | |
//! |---|---|---|
//! | `oversize` | `error` | what to do with an image over 99 999 bytes, whose length does not fit in five digits: `error` ends the stream with an error that has its number and size, `drop` drops it; changed only in NULL or READY |
//! | `bad-frames` | `error` | the same for images that are progressive, damaged or cut off |
//! | `stats` | read-only | structure of counters: `frames`, `bytes`, `dropped` |

mod imp;

use gst::glib;
use gst::prelude::*;

/// What to do with an image that cannot be written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstMjpegFileMuxRejectPolicy")]
#[repr(i32)]
pub enum RejectPolicy {
    /// End the stream with an error that names the image.
    #[default]
    #[enum_value(name = "End with an error", nick = "error")]
    Error,
    /// Drop the image, with a warning for the first one.
    #[enum_value(name = "Drop it", nick = "drop")]
    Drop,
}

glib::wrapper! {
    /// The element `mjpegfilemux`.
    pub struct MjpegFileMux(ObjectSubclass<imp::MjpegFileMux>)
        @extends gst::Element, gst::Object;
}

/// Registers the element, with a rank that lets encodebin choose it.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "mjpegfilemux", gst::Rank::PRIMARY, MjpegFileMux::static_type())
}
