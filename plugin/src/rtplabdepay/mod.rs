// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rtplabdepay`: frames from what servers of the networking course's lab send, in each form that
//! is in use: whole JPEGs or fragments, with version 0, prefixes or headers of their own.
//!
//! ```text
//! gst-launch-1.0 udpsrc port=25000 buffer-size=1048576 mtu=65536 ! application/x-rtp,media=video,clock-rate=90000,encoding-name=X-LAB-JPEG ! rtplabdepay ! jpegdec ! autovideosink
//! ```
//!
//! Pads: `sink`, `application/x-rtp, media=video, clock-rate=90000, encoding-name=X-LAB-JPEG`;
//! `src`, `image/jpeg, parsed=true` with width and height.
//!
//! A frame has the timestamp of its first packet's buffer, since most servers' RTP timestamps are
//! whole seconds. A packet that overtook another waits for it until the next one comes; on a GAP
//! event it waits no longer. Frames without a readable header, and fragmented ones whose end is
//! missing, are left out and counted.
//!
//! | property | |
//! |---|---|
//! | `stats` | read-only: structure of counters: `frames`, `packets`, `bytes`, `lost`, `repeated`, `late`, `damaged`, and the last packet's `sequence-number` and `timestamp` |

mod imp;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element `rtplabdepay`.
    pub struct RtpLabDepay(ObjectSubclass<imp::RtpLabDepay>)
        @extends gst::Element, gst::Object;
}

impl RtpLabDepay {
    /// Counts afresh, as at each PLAY.
    pub(crate) fn reset(&self) {
        gst::subclass::prelude::ObjectSubclassIsExt::imp(self).reset();
    }
}

/// What lab packets are called in caps. The name is ours.
pub(crate) fn rtp_caps() -> gst::Caps {
    gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("clock-rate", 90_000)
        .field("encoding-name", "X-LAB-JPEG")
        .build()
}

/// Registers the element. It has no rank: nothing announces such packets in caps but ours.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "rtplabdepay", gst::Rank::NONE, RtpLabDepay::static_type())
}
