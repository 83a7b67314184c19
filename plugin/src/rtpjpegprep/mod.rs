// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rtpjpegprep`: converts every JPEG into one that RTP/JPEG (RFC 2435) carries. Put it before
//! `rtpjpegpay`. An image that RFC 2435 carries already passes as the same buffer. Legal forms of
//! segments that `rtpjpegpay` does not read are written anew. Stray bytes, which decoders skip, are
//! removed. Damaged images, which `rtpjpegpay` does not detect, are dropped, and the stream goes on.
//!
//! ```text
//! gst-launch-1.0 mjpegfilesrc location=movie.mjpeg ! rtpjpegprep ! rtpjpegpay ! udpsink host=127.0.0.1 port=5004
//! ```
//!
//! Pads: `sink`, `image/jpeg`; `src`, `image/jpeg, parsed=true`, with the size that is sent.
//!
//! | property | default | |
//! |---|---|---|
//! | `keep-size` | false | fit later frames into the size of the first one, as receivers of an RTP session expect; black bars keep the aspect ratio; changed only in NULL or READY |
//! | `for-decoder` | false | before `jpegdec` instead of `rtpjpegpay`: only images that `jpegdec` of GStreamer 1.22 cannot show, such as CMYK, are converted, in their size; all others pass, also damaged ones; changed only in NULL or READY |
//! | `stats` | read-only | structure of counters: `as-is`, `exact`, `luma-exact`, `lossy`, `dropped` frames; `kinds`, a structure that counts the frames that were not carried as they are, by reason (`repaired` counts images with stray bytes between segments) |
//!
//! The first frame of each kind is reported on the bus by an element message `rtpjpegprep-kind`
//! with the fields `frame` (from 1), `kind`, `conversion` and `reason`, and, if it was dropped, also
//! by a warning.

mod imp;

pub use imp::for_jpegdec;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element `rtpjpegprep`.
    pub struct RtpJpegPrep(ObjectSubclass<imp::RtpJpegPrep>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element. It has no rank: applications put it where they need it.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "rtpjpegprep", gst::Rank::NONE, RtpJpegPrep::static_type())
}
