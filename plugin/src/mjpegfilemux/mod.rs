// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpegfilemux`: writes JPEG images as a movie, each behind the five digits of its length.
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
//! | `oversize` | `error` | what becomes of an image over 99 999 bytes, which five digits cannot say: `error` ends the stream with its number and size, `drop` leaves it out |
//! | `bad-frames` | `error` | the same for images that are progressive, damaged or cut |
//! | `stats` | read-only | structure of counters: `frames`, `bytes`, `dropped` |

mod imp;

use gst::glib;
use gst::prelude::*;

/// What becomes of an image that is not written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstMjpegFileMuxRefused")]
#[repr(i32)]
pub enum Refused {
    /// The stream ends with an error that names it.
    #[default]
    #[enum_value(name = "End with an error", nick = "error")]
    Error,
    /// It is left out, with a warning for the first one.
    #[enum_value(name = "Leave it out", nick = "drop")]
    Drop,
}

glib::wrapper! {
    /// The element `mjpegfilemux`.
    pub struct MjpegFileMux(ObjectSubclass<imp::MjpegFileMux>)
        @extends gst::Element, gst::Object;
}

/// Registers the element, with the rank of a muxer that profiles may choose.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "mjpegfilemux", gst::Rank::PRIMARY, MjpegFileMux::static_type())
}
