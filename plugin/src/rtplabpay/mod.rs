// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rtplabpay`: one JPEG, one RTP packet, as the networking course's lab sends it: the 12 bytes
//! of the fixed header (RFC 3550 section 5.1), then the image whole. Only lab clients understand
//! this; for all others there is `rtpjpegpay` (RFC 2435).
//!
//! ```text
//! gst-launch-1.0 mjpegfilesrc location=movie.mjpeg ! rtplabpay ! udpsink host=127.0.0.1 port=25000
//! ```
//!
//! Pads: `sink`, `image/jpeg`; `src`, `application/x-rtp, media=video, clock-rate=90000,
//! encoding-name=X-LAB-JPEG`. The name is ours: the lab has none, and `JPEG` would promise
//! RFC 2435.
//!
//! | property | default | |
//! |---|---|---|
//! | `pt` | 26 | payload type; changed only in NULL or READY |
//! | `ssrc` | random | synchronization source; changed only in NULL or READY |
//! | `oversize` | `shrink` | what becomes of a frame over 65 495 bytes, which no datagram holds: `shrink` encodes it again at lower quality, `drop` leaves it out |
//! | `seqnum`, `timestamp` | read-only | of the last packet |
//! | `stats` | read-only | structure of counters: `packets`, `bytes`, `shrunk`, `dropped` |
//!
//! Sequence numbers begin with 1 and go from 65 535 to 1, since lab clients never show 0; the
//! marker is set, as a packet ends its frame.

mod imp;

use gst::glib;
use gst::prelude::*;

/// What becomes of a frame that no datagram holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstRtpLabPayOversize")]
#[repr(i32)]
pub enum Oversize {
    /// Encoded again, at the best quality that fits.
    #[default]
    #[enum_value(name = "Encode it again at lower quality", nick = "shrink")]
    Shrink,
    /// Left out.
    #[enum_value(name = "Leave it out", nick = "drop")]
    Drop,
}

glib::wrapper! {
    /// The element `rtplabpay`.
    pub struct RtpLabPay(ObjectSubclass<imp::RtpLabPay>)
        @extends gst::Element, gst::Object;
}

/// Registers the element. It has no rank: its packets are for lab clients alone.
pub(crate) fn register(plugin: Option<&gst::Plugin>) -> Result<(), glib::BoolError> {
    gst::Element::register(plugin, "rtplabpay", gst::Rank::NONE, RtpLabPay::static_type())
}
