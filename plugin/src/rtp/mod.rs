// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTP packets (RFC 3550): the header, RTCP reports, and two ways to send JPEG images: the payloads
//! of RFC 2435, and those of the course lab, where one packet contains one whole image.
//!
//! This code takes slices; it opens no sockets and reads no clocks.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod header;
mod header_audit;
mod header_fields;
mod jpeg_payloads;
mod lab_depacketizer;
mod lab_packetizer;
mod reorder_buffer;
mod rtcp;
mod sequence_counter;
mod timestamp;

pub use header::{FIXED_LEN, HeaderError, RtpHeader};
pub use header_audit::{Finding, HeaderAudit};
pub use header_fields::{HeaderField, JpegHeader};
pub use jpeg_payloads::JpegPayloads;
pub use lab_depacketizer::{LabDepacketizer, MAX_REASSEMBLED, PacketDetector, ReceivedFrame};
pub use lab_packetizer::{LabPacketizer, MAX_LAB_FRAME};
pub use reorder_buffer::PacketCounts;
pub use rtcp::{ReportBlock, SenderReport};
pub use sequence_counter::{PacketOrder, SequenceCounter};
pub use timestamp::{Timestamp, VIDEO_CLOCK_RATE};

/// The payload type of JPEG (RFC 3551 table 5).
pub const PAYLOAD_TYPE_JPEG: u8 = 26;
