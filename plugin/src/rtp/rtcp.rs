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
        let mut out = vec![0x80, SENDER_REPORT, 0, 6];
        out.extend(self.ssrc.to_be_bytes());
        out.extend(ntp_time(self.now).to_be_bytes());
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

/// A report block: what a receiver reports on one source (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The fraction of the packets that were lost since the previous report, in parts of 256.
    pub fraction_lost: u8,
    /// The number of packets that were expected and not received, since the start. Negative if more
    /// packets were received than the receiver expected: it counts copies (appendix A.3). By its source,
    /// GStreamer's rtpbin with a probation of two packets can count one packet more than it expects too:
    /// it takes the second one for the start, and counts both (`init_seq` in `rtpsource.c`).
    pub cumulative_lost: i32,
    /// The highest sequence number that was received, with the number of wraps in the upper 16 bits.
    pub highest_sequence: u32,
    /// The interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report; 0 if none was received.
    pub last_sender_report: u32,
    /// The time between that sender report and this block, in parts of 65536 of a second.
    pub delay: u32,
}

/// The longest round trip that is accepted. A longer one comes from a receiver that has kept the report
/// of an earlier stream, or that reports invalid numbers.
const MAX_ROUND_TRIP: u32 = 60 * 65_536;

/// Both ends round times down to parts of 65536 of a second, and the delay may have been measured by
/// another clock. A round trip that is negative by less than this is 0.
const ROUNDING: u32 = 66;

impl ReportBlock {
    /// The last block on the source `ssrc` in a compound packet; `None` if it has none.
    pub fn last_of(mut compound: &[u8], ssrc: u32) -> Option<Self> {
        let mut last = None;
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
                last = Self::read(block, ssrc).or(last);
            }
        }
        last
    }

    /// Reads a block if it is about the source `ssrc`.
    fn read(block: &[u8], ssrc: u32) -> Option<Self> {
        let word = |at: usize| block.get(4 * at..)?.first_chunk().map(|it| u32::from_be_bytes(*it));
        if word(0)? != ssrc {
            return None;
        }
        let [fraction_lost, high, middle, low] = word(1)?.to_be_bytes();
        Some(Self {
            fraction_lost,
            // 24 bits with a sign.
            cumulative_lost: i32::from_be_bytes([high, middle, low, 0]) >> 8,
            highest_sequence: word(2)?,
            jitter: word(3)?,
            last_sender_report: word(4)?,
            delay: word(5)?,
        })
    }

    /// The round trip time of a block that arrives at `now`, by the clock of the sender reports: the
    /// time since the last one, without the time that the receiver has waited. `None` if the receiver
    /// has no sender report, or its numbers are impossible.
    pub fn round_trip(&self, now: SystemTime) -> Option<Duration> {
        if self.last_sender_report == 0 {
            return None;
        }
        let [_, _, a, b, c, d, _, _] = ntp_time(now).to_be_bytes();
        let now = u32::from_be_bytes([a, b, c, d]);
        let time = now.wrapping_sub(self.last_sender_report).wrapping_sub(self.delay);
        match time {
            0..=MAX_ROUND_TRIP => {
                Some(Duration::from_nanos((u64::from(time) * 1_000_000_000) >> 16))
            }
            _ if time.wrapping_neg() <= ROUNDING => Some(Duration::ZERO),
            _ => None,
        }
    }
}

/// A time in the format of NTP: seconds since 1900 in the upper 32 bits, the fraction in the lower ones.
fn ntp_time(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // The low 32 bits of the seconds, and the fraction in parts of 2^32.
    let seconds = since.as_secs().wrapping_add(NTP_EPOCH) & u64::from(u32::MAX);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_the_last_block_on_the_source() {
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
            let got = ReportBlock::last_of(&compound, 5).map(|block| block.cumulative_lost);
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn the_fields_of_a_block_are_where_the_standard_defines_them() {
        let packet = [
            0x81, 201, 0, 7, 9, 9, 9, 9, 1, 2, 3, 4, 5, 0, 0, 6, 0, 1, 0, 7, 0, 0, 0, 8, 1, 0, 0,
            9, 0, 1, 0, 10,
        ];
        let want = ReportBlock {
            fraction_lost: 5,
            cumulative_lost: 6,
            highest_sequence: 0x1_0007,
            jitter: 8,
            last_sender_report: 0x0100_0009,
            delay: 0x1_000a,
        };
        assert_eq!(ReportBlock::last_of(&packet, 0x0102_0304), Some(want));
    }

    /// The example of RFC 3550 figure 2, and numbers that no round trip can have.
    #[test]
    fn the_round_trip_is_the_time_that_the_receiver_did_not_wait() {
        // 10 Nov 1995 11:33:25.125 and 11:33:36.5 UTC.
        let at = |ms: u64| UNIX_EPOCH + Duration::from_millis(816_003_205_125 + ms);
        let block = |last_sender_report, delay| ReportBlock {
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence: 0,
            jitter: 0,
            last_sender_report,
            delay,
        };
        let rows = [
            ("the example", block(0xb705_2000, 0x0005_4000), 11_375, Some(6125)),
            ("no sender report", block(0, 0x0005_4000), 11_375, None),
            ("no delay", block(0xb705_2000, 0), 11_375, Some(11_375)),
            ("0 by rounding", block(0xb705_2000, 0x000b_6010), 11_375, Some(0)),
            ("negative", block(0xb705_2000, 0x000c_0000), 11_375, None),
            ("too long", block(0xb705_2000, 0), 61_000, None),
        ];
        for (name, block, now, want) in rows {
            let want = want.map(Duration::from_millis);
            assert_eq!(block.round_trip(at(now)), want, "{name}");
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
