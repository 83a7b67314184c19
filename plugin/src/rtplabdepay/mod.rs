// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rtplabdepay`: extracts frames from the RTP packets of the networking course's lab servers, in
//! each form that such servers use: whole JPEGs or fragments, RTP version 0, length prefixes or
//! extra headers.
//!
//! ```text
//! gst-launch-1.0 udpsrc port=25000 buffer-size=1048576 mtu=65536 ! application/x-rtp,media=video,clock-rate=90000,encoding-name=X-LAB-JPEG ! rtplabdepay ! jpegdec ! autovideosink
//! ```
//!
//! Pads: `sink`, `application/x-rtp, media=video, clock-rate=90000, encoding-name=X-LAB-JPEG`;
//! `src`, `image/jpeg, parsed=true` with width and height.
//!
//! A frame has the timestamp of its first packet's buffer, since the RTP timestamps of most lab
//! servers are whole seconds. A packet that arrives early waits for the missing one until the next
//! packet or a GAP event. Frames without a readable header, fragmented frames without their last
//! fragment, and fragmented frames of more than 4 MiB are dropped and counted as `damaged`.
//!
//! | property | |
//! |---|---|
//! | `stats` | read-only: structure of counters: `frames`, `packets`, `bytes`, `lost`, `repeated`, `late`, `damaged`, and the last packet's `sequence-number` and `timestamp` |

mod imp;

use crate::rtp::VIDEO_CLOCK_RATE;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

glib::wrapper! {
    /// The element `rtplabdepay`.
    pub struct RtpLabDepay(ObjectSubclass<imp::RtpLabDepay>)
        @extends gst::Element, gst::Object;
}

impl RtpLabDepay {
    /// Resets the counters, as at each PLAY.
    pub(crate) fn reset(&self) {
        self.imp().reset();
    }

    /// Attaches to each frame the position that `position_of` returns.
    pub(crate) fn set_positions(&self, position_of: imp::PositionOf) {
        self.imp().set_positions(position_of);
    }
}

/// Caps of lab packets. The encoding name is this project's own: the lab has none.
pub(crate) fn rtp_caps() -> gst::Caps {
    gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("clock-rate", i32::try_from(VIDEO_CLOCK_RATE).unwrap_or(i32::MAX))
        .field("encoding-name", "X-LAB-JPEG")
        .build()
}

/// Registers the element. It has no rank: only `rtplabpay` and `labrtspsrc` have such caps.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "rtplabdepay", gst::Rank::NONE, RtpLabDepay::static_type())
}
