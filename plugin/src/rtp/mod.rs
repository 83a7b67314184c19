// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTP as the course lab uses it: the fixed header of RFC 3550, and one whole JPEG behind it; and
//! the payloads of RFC 2435.
//!
//! Code in here takes slices; it opens no socket and asks no clock.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod header;
mod header_audit;
mod jpeg_payloads;
mod lab_depacketizer;
mod lab_packetizer;
mod reorder_buffer;
mod rtcp;

pub use header::{FIXED_LEN, HeaderError, RtpHeader};
pub use header_audit::{Finding, HeaderAudit, HeaderField};
pub use jpeg_payloads::JpegPayloads;
pub use lab_depacketizer::{LabDepacketizer, MAX_REASSEMBLED, ReceivedFrame};
pub use lab_packetizer::{LabPacketizer, MAX_LAB_FRAME};
pub use reorder_buffer::PacketCounts;
pub use rtcp::SenderReport;

/// The payload type of JPEG (RFC 3551 table 5).
pub const PAYLOAD_TYPE_JPEG: u8 = 26;

/// Ticks of the RTP clock in a second for video (RFC 3551 section 5).
pub const VIDEO_CLOCK_RATE: u32 = 90_000;

/// Nanoseconds as an RTP timestamp of video that starts at 0; wraps, as timestamps do.
pub fn rtp_timestamp(nanoseconds: u64) -> u32 {
    let ticks = u128::from(nanoseconds) * u128::from(VIDEO_CLOCK_RATE) / 1_000_000_000;
    u32::try_from(ticks & u128::from(u32::MAX)).unwrap_or(0)
}
