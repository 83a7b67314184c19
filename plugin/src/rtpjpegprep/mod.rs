// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rtpjpegprep`: stands before `rtpjpegpay` and makes every JPEG one that RTP/JPEG (RFC 2435)
//! carries. What it carries already passes as the same buffer. Damaged images, which would crash
//! or fool the payloader, are dropped; the stream goes on.
//!
//! ```text
//! gst-launch-1.0 mjpegfilesrc location=movie.mjpeg ! rtpjpegprep ! rtpjpegpay ! udpsink host=127.0.0.1 port=5004
//! ```
//!
//! Pads: `sink`, `image/jpeg`; `src`, `image/jpeg, parsed=true`, with the size that is sent.
//!
//! | property | default | |
//! |---|---|---|
//! | `keep-size` | false | scale later frames to the first one's size, as receivers of a session expect; changed only in NULL or READY |
//! | `cache-key` | none | frames of one offset under one key are the same: prepared once for all elements of the process; changed only in NULL or READY |
//! | `stats` | read-only | structure of counters: `as-is`, `exact`, `luma-exact`, `lossy`, `dropped` frames; `kinds`, a structure of frames by what is unlike RFC 2435 or damaged |
//!
//! The first frame of each kind is told on the bus by an element message `rtpjpegprep-kind` with
//! the fields `frame` (from 1), `kind`, `way` and `reason`, a dropped one by a warning too.

mod cache;
mod imp;

use gst::glib;
use gst::prelude::*;

pub use cache::set_capacity as set_cache_capacity;

glib::wrapper! {
    /// The element `rtpjpegprep`.
    pub struct RtpJpegPrep(ObjectSubclass<imp::RtpJpegPrep>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// Registers the element. It has no rank: it stands where a person or the server puts it.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "rtpjpegprep", gst::Rank::NONE, RtpJpegPrep::static_type())
}
