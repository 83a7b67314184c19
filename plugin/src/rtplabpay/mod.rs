// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rtplabpay`: one JPEG, one RTP packet, as the networking course's lab sends it: the 12 bytes
//! of the fixed header (RFC 3550 section 5.1), then the whole image. Only lab clients understand
//! such packets; for other receivers use `rtpjpegpay` (RFC 2435).
//!
//! ```text
//! gst-launch-1.0 mjpegfilesrc location=movie.mjpeg ! rtplabpay ! udpsink host=127.0.0.1 port=25000
//! ```
//!
//! Pads: `sink`, `image/jpeg`; `src`, `application/x-rtp, media=video, clock-rate=90000,
//! encoding-name=X-LAB-JPEG`. The encoding name is this project's own: the lab has none, and `JPEG`
//! means RFC 2435.
//!
//! | property | default | |
//! |---|---|---|
//! | `pt` | 26 | payload type; changed only in NULL or READY |
//! | `ssrc` | random | synchronization source; changed only in NULL or READY |
//! | `oversize` | `shrink` | what to do with a frame over 65 495 bytes, which is too large for a datagram: `shrink` encodes it again, with 4:2:0 chroma, at lower quality, then as fewer pixels, until it fits, and cuts it off if it cannot be decoded; `drop` drops it; changed only in NULL or READY |
//! | `seqnum`, `timestamp` | read-only | sequence number and RTP timestamp of the last packet |
//! | `stats` | read-only | structure of counters: `packets`, `bytes`, `shrunk`, `dropped` |
//!
//! Sequence numbers start at 1 and go from 65 535 to 1, since lab clients never show 0. The marker
//! bit is set, since each packet ends a frame.

mod imp;

use gst::glib;
use gst::prelude::*;

/// What to do with a frame that is too large for a datagram.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstRtpLabPayOversize")]
#[repr(i32)]
pub enum Oversize {
    /// Encode it again, at the best quality that fits, then as fewer pixels.
    #[default]
    #[enum_value(name = "Encode it again so that it fits", nick = "shrink")]
    Shrink,
    /// Drop it.
    #[enum_value(name = "Drop it", nick = "drop")]
    Drop,
}

glib::wrapper! {
    /// The element `rtplabpay`.
    pub struct RtpLabPay(ObjectSubclass<imp::RtpLabPay>)
        @extends gst::Element, gst::Object;
}

/// Registers the element. It has no rank: only lab clients understand its packets.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "rtplabpay", gst::Rank::NONE, RtpLabPay::static_type())
}
