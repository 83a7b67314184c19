// SPDX-License-Identifier: MIT OR Apache-2.0
//! The RTP header, each field by its name in RFC 3550 section 5.1.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           timestamp                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           synchronization source (SSRC) identifier            |
//! +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
//! |            contributing source (CSRC) identifiers             |
//! |                             ....                              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use super::{PAYLOAD_TYPE_JPEG, Timestamp};

/// Length of the fixed part of the header, in bytes.
pub const FIXED_LEN: usize = 12;

/// The header of an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// V, two bits: 2. Some lab servers send 0.
    pub version: u8,
    /// P: the payload ends with padding, whose last byte is the length of the padding.
    pub padding: bool,
    /// X: one header extension follows the CSRC list.
    pub extension: bool,
    /// CC, four bits: the number of CSRC identifiers that follow.
    pub csrc_count: u8,
    /// M: for video, the last packet of a frame.
    pub marker: bool,
    /// PT, seven bits: 26 is JPEG.
    pub payload_type: u8,
    /// Increases by one for each packet; wraps.
    pub sequence_number: u16,
    /// When the payload was sampled.
    pub timestamp: Timestamp,
    /// The identifier of the synchronization source, which sends this stream.
    pub ssrc: u32,
}

/// Why bytes are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than the fixed header with the CSRC identifiers and the extension that it announces.
    #[error("the RTP header needs {need} bytes, the packet has {have}")]
    Truncated {
        /// Bytes of the announced header.
        need: usize,
        /// Bytes of the packet.
        have: usize,
    },
    /// The padding has length 0, or is longer than the payload.
    #[error("the RTP packet announces {padding} bytes of padding in a payload of {payload} bytes")]
    Padding {
        /// Length of the padding: the last byte.
        padding: usize,
        /// Bytes after the header.
        payload: usize,
    },
}

impl RtpHeader {
    /// The header of a JPEG packet without padding, extension and contributing sources.
    pub const fn jpeg(sequence_number: u16, timestamp: Timestamp, ssrc: u32, marker: bool) -> Self {
        Self {
            version: 2,
            padding: false,
            extension: false,
            csrc_count: 0,
            marker,
            payload_type: PAYLOAD_TYPE_JPEG,
            sequence_number,
            timestamp,
            ssrc,
        }
    }

    /// The fixed header as bytes. The caller appends CSRC identifiers and extension.
    pub fn to_bytes(self) -> [u8; FIXED_LEN] {
        let flags = (self.version & 3) << 6
            | u8::from(self.padding) << 5
            | u8::from(self.extension) << 4
            | (self.csrc_count & 15);
        let kind = u8::from(self.marker) << 7 | (self.payload_type & 127);
        let [s1, s0] = self.sequence_number.to_be_bytes();
        let [t3, t2, t1, t0] = self.timestamp.ticks().to_be_bytes();
        let [i3, i2, i1, i0] = self.ssrc.to_be_bytes();
        [flags, kind, s1, s0, t3, t2, t1, t0, i3, i2, i1, i0]
    }

    /// Reads a packet. Returns the header, and the payload without CSRC identifiers, extension and
    /// padding. The version is not checked.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn parse(packet: &[u8]) -> Result<(Self, &[u8]), HeaderError> {
        let truncated = |need| HeaderError::Truncated { need, have: packet.len() };
        let (fixed, rest) = packet.split_first_chunk().ok_or(truncated(FIXED_LEN))?;
        let &[flags, kind, s1, s0, t3, t2, t1, t0, i3, i2, i1, i0]: &[u8; FIXED_LEN] = fixed;
        let header = Self {
            version: flags >> 6,
            padding: flags & 0x20 != 0,
            extension: flags & 0x10 != 0,
            csrc_count: flags & 15,
            marker: kind & 0x80 != 0,
            payload_type: kind & 127,
            sequence_number: u16::from_be_bytes([s1, s0]),
            timestamp: Timestamp::from_ticks(u32::from_be_bytes([t3, t2, t1, t0])),
            ssrc: u32::from_be_bytes([i3, i2, i1, i0]),
        };
        let csrc = 4 * usize::from(header.csrc_count);
        let mut payload = rest.get(csrc..).ok_or(truncated(FIXED_LEN + csrc))?;
        if header.extension {
            // RFC 3550 section 5.3.1: two bytes that the profile defines, then the length in words.
            let start = FIXED_LEN + csrc;
            let (&[_, _, high, low], rest) =
                payload.split_first_chunk().ok_or(truncated(start + 4))?;
            let words = 4 * usize::from(u16::from_be_bytes([high, low]));
            payload = rest.get(words..).ok_or(truncated(start + 4 + words))?;
        }
        if header.padding {
            let padding = payload.last().copied().map_or(0, usize::from);
            let error = HeaderError::Padding { padding, payload: payload.len() };
            let length = payload.len().checked_sub(padding).filter(|_| padding > 0).ok_or(error)?;
            payload = payload.get(..length).unwrap_or_default();
        }
        Ok((header, payload))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Payload = Result<&'static [u8], HeaderError>;

    const HEADER: RtpHeader =
        RtpHeader::jpeg(0x1234, Timestamp::from_ticks(0x5678_9abc), 0xdef0_1122, true);

    const BYTES: [u8; 12] =
        [0x80, 0x9a, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x11, 0x22];

    #[test]
    fn fields_are_where_the_diagram_shows_them() {
        assert_eq!(HEADER.to_bytes(), BYTES);
        let packet = [&BYTES[..], b"jpeg"].concat();
        assert_eq!(RtpHeader::parse(&packet), Ok((HEADER, &b"jpeg"[..])));
        // Lab servers send version 2; some send version 0.
        let mut zero = BYTES;
        zero[0] = 0;
        assert_eq!(RtpHeader::parse(&zero), Ok((RtpHeader { version: 0, ..HEADER }, &[][..])));
    }

    #[test]
    fn csrc_extension_and_padding_are_removed() {
        let packet = |flags: u8, rest: &[u8]| {
            let mut packet = BYTES.to_vec();
            packet[0] |= flags;
            packet.extend(rest);
            packet
        };
        let cut = |need, have| Err(HeaderError::Truncated { need, have });
        let rows: Vec<(&str, Vec<u8>, Payload)> = vec![
            ("empty", vec![], cut(12, 0)),
            ("eleven bytes", BYTES[..11].to_vec(), cut(12, 11)),
            ("no payload", packet(0, b""), Ok(b"")),
            ("two CSRC", packet(2, b"aaaabbbbx"), Ok(b"x")),
            ("CSRC cut", packet(2, b"aaaabbb"), cut(20, 19)),
            ("extension of one word", packet(0x10, b"\xbe\xde\0\x01wordx"), Ok(b"x")),
            ("extension cut", packet(0x10, b"\xbe\xde\0\x02word"), cut(24, 20)),
            ("extension header cut", packet(0x10, b"\xbe\xde\0"), cut(16, 15)),
            ("padding", packet(0x20, b"xy\0\0\x03"), Ok(b"xy")),
            ("all padding", packet(0x20, b"\0\0\x03"), Ok(b"")),
            (
                "padding too long",
                packet(0x20, b"x\x03"),
                Err(HeaderError::Padding { padding: 3, payload: 2 }),
            ),
            (
                "padding of length 0",
                packet(0x20, b"x\0"),
                Err(HeaderError::Padding { padding: 0, payload: 2 }),
            ),
            (
                "padding without payload",
                packet(0x20, b""),
                Err(HeaderError::Padding { padding: 0, payload: 0 }),
            ),
        ];
        for (name, packet, want) in rows {
            assert_eq!(RtpHeader::parse(&packet).map(|(_, payload)| payload), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok((header, payload)) = RtpHeader::parse(&bytes) {
                prop_assert_eq!(&header.to_bytes()[..], &bytes[..12]);
                prop_assert!(payload.len() + 12 <= bytes.len());
            }
        }
    }
}
