// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTP as the course lab uses it: the fixed header of RFC 3550, and one whole JPEG behind it; and
//! the payloads of RFC 2435.
//!
//! Code in here takes slices; it opens no socket and asks no clock.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod header;
mod jpeg_payloads;
mod judge;
mod lab_depacketizer;
mod lab_packetizer;
mod packet_order;

pub use header::{FIXED_LEN, HeaderError, RtpHeader};
pub use jpeg_payloads::JpegPayloads;
pub use judge::{Field, Finding, Judge};
pub use lab_depacketizer::{LabDepacketizer, MAX_GATHERED, Received};
pub use lab_packetizer::{LabPacketizer, MAX_LAB_FRAME};
pub use packet_order::PacketCounts;

/// The payload type of JPEG (RFC 3551 table 5).
pub const PAYLOAD_TYPE_JPEG: u8 = 26;

/// Ticks of the RTP clock in a second for video (RFC 3551 section 5).
pub const VIDEO_CLOCK_RATE: u32 = 90_000;
