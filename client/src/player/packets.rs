// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the RTP packets themselves tell: the last header, jitter, how frames arrive.

use gstmjpegfile::rtp::RtpHeader;
use std::time::{Duration, Instant};

/// Ticks a second of video over RTP (RFC 2435 section 3; the lab's as well).
const CLOCK_RATE: f64 = 90_000.0;

/// The header of a packet, and how much stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its header.
    pub header: RtpHeader,
    /// Bytes behind it.
    pub payload: usize,
}

/// Follows the packets of one stream in the order in which they arrive.
#[derive(Debug, Default)]
pub(super) struct Packets {
    last: Option<Packet>,
    begin: Option<Instant>,
    arrived: Option<Instant>,
    /// Arrival less timestamp of the packet before, in ticks.
    transit: Option<f64>,
    jitter: f64,
    frame: Option<Instant>,
    longest_gap: Duration,
}

impl Packets {
    /// A packet has arrived; bytes that are none are passed over.
    pub fn arrive(&mut self, bytes: &[u8], now: Instant) {
        let Ok((header, payload)) = RtpHeader::parse(bytes) else { return };
        let begin = *self.begin.get_or_insert(now);
        self.arrived = Some(now);
        // RFC 3550 section 6.4.1 and appendix A.8. Timestamps wrap: the difference to the packet
        // before is taken as a signed number.
        let arrival = (now - begin).as_secs_f64() * CLOCK_RATE;
        let ticks = self
            .last
            .map_or(0, |last| header.timestamp.ticks_since(last.header.timestamp).cast_signed());
        if let Some(before) = self.transit {
            let difference = arrival - before - f64::from(ticks);
            self.jitter += (difference.abs() - self.jitter) / 16.0;
        }
        self.transit = Some(arrival);
        let next_frame = self.last.is_none_or(|last| last.header.timestamp != header.timestamp);
        // Textbook servers' timestamps are whole seconds: the marker ends a frame too.
        if next_frame || self.last.is_some_and(|last| last.header.marker) {
            if let Some(frame) = self.frame {
                self.longest_gap = self.longest_gap.max(now - frame);
            }
            self.frame = Some(now);
        }
        self.last = Some(Packet { header, payload: payload.len() });
    }

    /// The packet that arrived last.
    pub fn last(&self) -> Option<Packet> {
        self.last
    }

    /// When the last packet arrived.
    pub fn arrived(&self) -> Option<Instant> {
        self.arrived
    }

    /// Inter-arrival jitter.
    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter / CLOCK_RATE)
    }

    /// The longest time between the beginnings of two frames since this was asked last.
    pub fn take_longest_gap(&mut self) -> Duration {
        std::mem::take(&mut self.longest_gap)
    }

    /// A pause is no gap: what comes next has nothing to be compared with.
    pub fn pause(&mut self) {
        self.transit = None;
        self.frame = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstmjpegfile::rtp::Timestamp;

    fn packet(sequence_number: u16, timestamp: u32, marker: bool) -> Vec<u8> {
        let header = RtpHeader::jpeg(sequence_number, Timestamp::from_ticks(timestamp), 7, marker);
        [&header.to_bytes()[..], b"xyz"].concat()
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        // Arrivals in ms, timestamps in ticks, and the jitter in ms after the last one.
        type Row<'a> = (&'a str, &'a [(u64, u32)], f64);
        let rows: [Row; 4] = [
            ("even", &[(0, 0), (50, 4500), (100, 9000)], 0.0),
            ("one is 16 ms late", &[(0, 0), (66, 4500)], 1.0),
            ("late, then even", &[(0, 0), (66, 4500), (116, 9000)], 1.0 - 1.0 / 16.0),
            ("over the wrap", &[(0, u32::MAX - 4499), (50, 0)], 0.0),
        ];
        for (name, arrivals, want) in rows {
            let begin = Instant::now();
            let mut packets = Packets::default();
            for (at, timestamp) in arrivals {
                packets.arrive(&packet(1, *timestamp, true), begin + Duration::from_millis(*at));
            }
            let got = packets.jitter().as_secs_f64() * 1000.0;
            assert!((got - want).abs() < 1e-6, "{name}: {got}");
        }
    }

    #[test]
    fn a_gap_is_between_frames_and_not_over_a_pause() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut packets = Packets::default();
        packets.arrive(&packet(1, 0, false), at(0));
        packets.arrive(&packet(2, 0, true), at(30));
        packets.arrive(&packet(3, 4500, true), at(50));
        packets.arrive(&packet(4, 4500, true), at(90));
        assert_eq!(packets.take_longest_gap(), Duration::from_millis(50));
        packets.pause();
        packets.arrive(&packet(5, 9000, true), at(5000));
        assert_eq!(packets.take_longest_gap(), Duration::ZERO);
        packets.arrive(b"short", at(6000));
        let last = packets.last().expect("it has come");
        assert_eq!((last.header.sequence_number, last.payload), (5, 3));
        assert_eq!(packets.arrived(), Some(at(5000)));
    }
}
