// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the RTCP packets of a sender, and reads the reports of its receivers (RFC 3550 section 6).

use super::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const NTP_EPOCH: u64 = 2_208_988_800;

/// A sender report: the state of a stream at an instant (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy)]
pub struct SenderReport {
    /// The identifier of the synchronization source that sends the stream.
    pub ssrc: u32,
    /// The instant, as wall clock time.
    pub now: SystemTime,
    /// The same instant as an RTP timestamp.
    pub timestamp: Timestamp,
    /// RTP packets sent since the start.
    pub packets: u32,
    /// Payload bytes sent since the start.
    pub octets: u32,
}

impl SenderReport {
    /// A compound packet (section 6.1) of the report, the CNAME `name`, and a BYE if `goodbye` is
    /// set.
    pub fn packet(&self, name: &str, goodbye: bool) -> Vec<u8> {
        let since = self.now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        // The low 32 bits of the seconds, and the fraction in parts of 2^32.
        let seconds = since.as_secs().wrapping_add(NTP_EPOCH) & u64::from(u32::MAX);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        let mut out = vec![0x80, SENDER_REPORT, 0, 6];
        out.extend(self.ssrc.to_be_bytes());
        out.extend(((seconds << 32) | fraction).to_be_bytes());
        for field in [self.timestamp.ticks(), self.packets, self.octets] {
            out.extend(field.to_be_bytes());
        }
        // One chunk: SSRC, the item CNAME, and one to four zeros up to a multiple of four bytes.
        let name = name.as_bytes().get(..usize::from(u8::MAX)).unwrap_or(name.as_bytes());
        let mut chunk = self.ssrc.to_be_bytes().to_vec();
        chunk.extend([1, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
        chunk.extend(name);
        chunk.resize((chunk.len() / 4 + 1) * 4, 0);
        out.extend([0x81, SOURCE_DESCRIPTION]);
        out.extend(u16::try_from(chunk.len() / 4).unwrap_or(0).to_be_bytes());
        out.extend(chunk);
        if goodbye {
            out.extend([0x81, GOODBYE, 0, 1]);
            out.extend(self.ssrc.to_be_bytes());
        }
        out
    }
}

/// The number of packets that a receiver has lost, of the source `ssrc`, as its last report block in a
/// compound packet states it (RFC 3550 section 6.4.1). Negative if it got copies. `None` if no packet
/// of the compound has such a block.
pub fn reported_loss(mut compound: &[u8], ssrc: u32) -> Option<i32> {
    let mut lost = None;
    while let Some((&[first, kind, high, low], rest)) = compound.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])) * 4;
        let (packet, next) = rest.split_at_checked(length)?;
        compound = next;
        // The blocks follow the SSRC of the sender of the packet, and its sender information.
        let start = match kind {
            SENDER_REPORT => 24,
            RECEIVER_REPORT => 4,
            _ => continue,
        };
        let blocks = packet.get(start..).unwrap_or_default();
        for block in blocks.chunks_exact(24).take(usize::from(first & 0x1f)) {
            if let [a, b, c, d, _fraction, high, middle, low, ..] = *block
                && u32::from_be_bytes([a, b, c, d]) == ssrc
            {
                // 24 bits with a sign.
                lost = Some(i32::from_be_bytes([high, middle, low, 0]) >> 8);
            }
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_that_of_the_last_block_of_the_source() {
        let block = |ssrc: u8, lost: [u8; 3]| {
            let mut block = vec![0, 0, 0, ssrc, 9];
            block.extend(lost);
            block.resize(24, 7);
            block
        };
        let packet = |kind: u8, count: u8, before: usize, blocks: &[Vec<u8>]| {
            let length = u8::try_from((before + 24 * blocks.len()) / 4).unwrap();
            [&[0x80 | count, kind, 0, length][..], &vec![1; before], &blocks.concat()].concat()
        };
        let one = packet(201, 1, 4, &[block(5, [0, 1, 2])]);
        let negative = packet(200, 1, 24, &[block(5, [0xff, 0xff, 0xfe])]);
        let description = [0x81, 202, 0, 1, 0, 0, 0, 9];
        let rows: [(&str, Vec<u8>, Option<i32>); 10] = [
            ("receiver report", one.clone(), Some(258)),
            ("sender report, negative", negative.clone(), Some(-2)),
            ("two blocks", packet(201, 2, 4, &[block(4, [1; 3]), block(5, [0, 0, 3])]), Some(3)),
            ("another source", packet(201, 1, 4, &[block(4, [1; 3])]), None),
            ("after a description", [&description[..], &one].concat(), Some(258)),
            ("the last one", [&one[..], &negative].concat(), Some(-2)),
            ("fewer blocks than bytes", packet(201, 0, 4, &[block(5, [0, 0, 3])]), None),
            ("more blocks than bytes", packet(201, 9, 4, &[block(5, [0, 0, 3])]), Some(3)),
            ("cut off", one[..one.len() - 1].to_vec(), None),
            ("empty", Vec::new(), None),
        ];
        for (name, compound, want) in rows {
            assert_eq!(reported_loss(&compound, 5), want, "{name}");
        }
    }

    #[test]
    fn fields_are_where_the_standard_defines_them() {
        let now = UNIX_EPOCH + Duration::from_millis(1_500);
        let report = SenderReport {
            ssrc: 0x0102_0304,
            now,
            timestamp: Timestamp::from_ticks(0x0506_0708),
            packets: 9,
            octets: 0x0a0b,
        };
        let sender = [
            0x80, 200, 0, 6, 1, 2, 3, 4, 0x83, 0xaa, 0x7e, 0x81, 0x80, 0, 0, 0, 5, 6, 7, 8, 0, 0,
            0, 9, 0, 0, 0x0a, 0x0b,
        ];
        let rows: [(&str, &[u8]); 3] = [
            ("ab", &[0x81, 202, 0, 3, 1, 2, 3, 4, 1, 2, b'a', b'b', 0, 0, 0, 0]),
            ("abc", &[0x81, 202, 0, 3, 1, 2, 3, 4, 1, 3, b'a', b'b', b'c', 0, 0, 0]),
            ("", &[0x81, 202, 0, 2, 1, 2, 3, 4, 1, 0, 0, 0]),
        ];
        for (name, description) in rows {
            assert_eq!(report.packet(name, false), [&sender, description].concat(), "{name}");
            let bye = [0x81, 203, 0, 1, 1, 2, 3, 4];
            assert_eq!(report.packet(name, true), [&sender, description, &bye].concat(), "{name}");
        }
    }
}
