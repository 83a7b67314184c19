// SPDX-License-Identifier: MIT OR Apache-2.0
//! Statistics of the received RTP packets: the last header, jitter, arrival times of frames.

use gstmjpegfile::rtp::RtpHeader;
use std::time::{Duration, Instant};

/// Ticks per second of RTP timestamps of video (RFC 2435 section 3; the lab uses the same).
const CLOCK_RATE: f64 = 90_000.0;

/// An RTP packet without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The RTP header.
    pub header: RtpHeader,
    /// Bytes after the header.
    pub payload_len: usize,
}

/// Collects the statistics from the packets of one stream, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct PacketTracker {
    last: Option<Packet>,
    first_arrival: Option<Instant>,
    last_arrival: Option<Instant>,
    /// Arrival of the previous packet in ticks after the first.
    previous_ticks: Option<f64>,
    /// In ticks.
    jitter: f64,
    /// Arrival of the current frame's first packet.
    frame_start: Option<Instant>,
    longest_gap: Duration,
}

impl PacketTracker {
    /// Counts a packet that has arrived. Bytes that are not an RTP packet are ignored.
    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        let Ok((header, payload)) = RtpHeader::parse(bytes) else { return };
        let first_arrival = *self.first_arrival.get_or_insert(now);
        self.last_arrival = Some(now);
        // RFC 3550 section 6.4.1 and appendix A.8. Timestamps wrap around, so their difference is
        // taken as a signed number.
        let arrival = (now - first_arrival).as_secs_f64() * CLOCK_RATE;
        let ticks = self
            .last
            .map_or(0, |last| header.timestamp.ticks_since(last.header.timestamp).cast_signed());
        if let Some(previous) = self.previous_ticks {
            let difference = arrival - previous - f64::from(ticks);
            self.jitter += (difference.abs() - self.jitter) / 16.0;
        }
        self.previous_ticks = Some(arrival);
        let next_frame = self.last.is_none_or(|last| last.header.timestamp != header.timestamp);
        // Textbook servers send timestamps in whole seconds, so the marker bit ends a frame as well.
        if next_frame || self.last.is_some_and(|last| last.header.marker) {
            if let Some(start) = self.frame_start {
                self.longest_gap = self.longest_gap.max(now - start);
            }
            self.frame_start = Some(now);
        }
        self.last = Some(Packet { header, payload_len: payload.len() });
    }

    /// The last packet that arrived.
    pub fn last(&self) -> Option<Packet> {
        self.last
    }

    /// When the last packet arrived.
    pub fn last_arrival(&self) -> Option<Instant> {
        self.last_arrival
    }

    /// Inter-arrival jitter (RFC 3550 section 6.4.1).
    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter / CLOCK_RATE)
    }

    /// The longest time between the starts of two frames since the last call.
    pub fn take_longest_gap(&mut self) -> Duration {
        std::mem::take(&mut self.longest_gap)
    }

    /// Excludes the time until the next packet from jitter and gaps, since playback is paused.
    pub fn pause(&mut self) {
        self.previous_ticks = None;
        self.frame_start = None;
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
    fn jitter_is_computed_as_in_rfc_3550() {
        // Arrivals in ms, timestamps in ticks, and the jitter in ms after the last one.
        type Row<'a> = (&'a str, &'a [(u64, u32)], f64);
        let rows: [Row; 4] = [
            ("even", &[(0, 0), (50, 4500), (100, 9000)], 0.0),
            ("one is 16 ms late", &[(0, 0), (66, 4500)], 1.0),
            ("late, then even", &[(0, 0), (66, 4500), (116, 9000)], 1.0 - 1.0 / 16.0),
            ("over the wrap", &[(0, u32::MAX - 4499), (50, 0)], 0.0),
        ];
        for (name, arrivals, want) in rows {
            let start = Instant::now();
            let mut packets = PacketTracker::default();
            for (at, timestamp) in arrivals {
                packets.push(&packet(1, *timestamp, true), start + Duration::from_millis(*at));
            }
            let got = packets.jitter().as_secs_f64() * 1000.0;
            assert!((got - want).abs() < 1e-6, "{name}: {got}");
        }
    }

    #[test]
    fn a_gap_is_measured_between_frames_but_not_across_a_pause() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut packets = PacketTracker::default();
        packets.push(&packet(1, 0, false), at(0));
        packets.push(&packet(2, 0, true), at(30));
        packets.push(&packet(3, 4500, true), at(50));
        packets.push(&packet(4, 4500, true), at(90));
        assert_eq!(packets.take_longest_gap(), Duration::from_millis(50));
        packets.pause();
        packets.push(&packet(5, 9000, true), at(5000));
        assert_eq!(packets.take_longest_gap(), Duration::ZERO);
        packets.push(b"short", at(6000));
        let last = packets.last().expect("a packet was pushed");
        assert_eq!((last.header.sequence_number, last.payload_len), (5, 3));
        assert_eq!(packets.last_arrival(), Some(at(5000)));
    }
}
