// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's RTP packets: each contains one whole JPEG, which standard RTP receivers do not support.

use super::{RtpHeader, Timestamp};
use crate::movie::Nanoseconds;

/// The largest JPEG that fits one UDP datagram with the RTP header, in bytes: 65 507 less 12.
pub const MAX_LAB_FRAME: usize = 65_495;

/// Makes the RTP headers of the frames of a session.
///
/// Sequence numbers start at 1, since clients never show frame 0, and continue with 1 after 65 535.
#[derive(Debug, Clone)]
pub struct LabPacketizer {
    ssrc: u32,
    next: u16,
}

impl LabPacketizer {
    /// Starts a session; `ssrc` should be random (RFC 3550 section 8.1).
    pub fn new(ssrc: u32) -> Self {
        Self { ssrc, next: 1 }
    }

    /// Takes the next sequence number.
    pub fn next_number(&mut self) -> u16 {
        let number = self.next;
        self.next = self.next.checked_add(1).unwrap_or(1);
        number
    }

    /// The header of the next frame, which is shown at `position` in the movie. The packet is the
    /// header and the JPEG of at most [`MAX_LAB_FRAME`] bytes.
    pub fn header(&mut self, position: Nanoseconds) -> RtpHeader {
        let sequence_number = self.next_number();
        // One packet is one frame. Simple clients ignore the marker; clients that reassemble
        // fragments need it.
        RtpHeader::jpeg(sequence_number, Timestamp::default().after(position), self.ssrc, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_start_at_1_and_are_never_0() {
        let mut packetizer = LabPacketizer::new(7);
        let mut numbers = (0..65_540_u32).map(|_| packetizer.header(Nanoseconds::ZERO));
        assert_eq!(
            numbers.by_ref().take(3).map(|h| h.sequence_number).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        let rest: Vec<u16> = numbers.map(|header| header.sequence_number).collect();
        assert!(!rest.contains(&0));
        assert!(rest.ends_with(&[65_534, 65_535, 1, 2, 3, 4, 5]));
    }

    #[test]
    fn timestamps_count_90_khz() {
        let mut packetizer = LabPacketizer::new(7);
        let mut at = |position| packetizer.header(Nanoseconds::new(position)).timestamp.ticks();
        assert_eq!([at(0), at(50_000_000), at(1_000_000_000)], [0, 4_500, 90_000]);
        // 2^32 ticks are over 13 hours.
        assert_eq!(at(47_721_858_844_445), 0);
        let header = packetizer.header(Nanoseconds::ZERO);
        assert_eq!((header.version, header.payload_type, header.marker), (2, 26, true));
        assert_eq!(header.ssrc, 7);
    }
}
