// SPDX-License-Identifier: MIT OR Apache-2.0
//! Statistics of the received RTP packets: the last header, jitter, arrival times of frames.

use super::frame_log::FrameLog;
use super::packet_log::{Analysis, Order};
use gstmjpegfile::rtp::{PacketCounts, RtpHeader, SequenceCounter, VIDEO_CLOCK_RATE};
use std::fs::File;
use std::io::{self, BufWriter};
use std::time::{Duration, Instant};

/// An RTP packet without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The RTP header.
    pub header: RtpHeader,
    /// Bytes after the header.
    pub payload_len: usize,
}

/// The most packets that wait for the reply to PLAY. More than these are counted without it.
const MAX_HELD: usize = 4096;

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
    counter: SequenceCounter,
    /// The highest sequence number.
    highest: Option<u16>,
    /// Sequence numbers that have arrived between a PLAY request and its reply, which tells whether
    /// they belong to the new position.
    held: Option<Vec<u16>>,
    /// Whether the packets are a lab server's, whose fragments of a frame may share a number.
    pub is_lab: bool,
    /// The start of the last payload.
    last_payload: [u8; 32],
    frame_log: Option<FrameLog<BufWriter<File>>>,
    /// Why the log of frames ended early.
    frame_log_error: Option<io::Error>,
}

impl PacketTracker {
    /// Counts a packet that has arrived, and says what is known about it. Bytes that are not an RTP
    /// packet are ignored.
    pub fn push(&mut self, bytes: &[u8], now: Instant) -> Option<Analysis> {
        let (header, payload) = RtpHeader::parse(bytes).ok()?;
        let first_arrival = *self.first_arrival.get_or_insert(now);
        let since_previous = self.last_arrival.replace(now).map(|last| now - last);
        // RFC 3550 section 6.4.1 and appendix A.8. Timestamps wrap around, so their difference is
        // taken as a signed number.
        let arrival = (now - first_arrival).as_secs_f64() * f64::from(VIDEO_CLOCK_RATE);
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
        let starts_frame = next_frame || self.last.is_some_and(|last| last.header.marker);
        if starts_frame {
            if let Some(start) = self.frame_start {
                self.longest_gap = self.longest_gap.max(now - start);
            }
            self.frame_start = Some(now);
        }
        let previous = self.last.replace(Packet { header, payload_len: payload.len() });
        self.log_packet(&header, payload.len(), now);
        let is_fragment = self.is_lab && self.is_other_fragment(previous, &header, payload);
        let order = match &mut self.held {
            Some(held) if held.len() < MAX_HELD => {
                held.push(header.sequence_number);
                Order::Undecided
            }
            _ => match self.count(header.sequence_number) {
                Order::Repeated if is_fragment => Order::Fragment,
                order => order,
            },
        };
        Some(Analysis {
            header,
            payload_len: payload.len(),
            since_previous,
            jitter: self.jitter(),
            starts_frame,
            order,
        })
    }

    /// Whether a packet with the number and timestamp of the previous one has another payload.
    fn is_other_fragment(
        &mut self,
        previous: Option<Packet>,
        header: &RtpHeader,
        payload: &[u8],
    ) -> bool {
        let mut start = [0; 32];
        start.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        let differs = std::mem::replace(&mut self.last_payload, start) != start;
        let same = |it: Packet| {
            it.header.sequence_number == header.sequence_number
                && it.header.timestamp == header.timestamp
        };
        differs && previous.is_some_and(same)
    }

    fn log_packet(&mut self, header: &RtpHeader, payload_len: usize, now: Instant) {
        let Some(log) = &mut self.frame_log else { return };
        if let Err(error) = log.push(header, payload_len, now) {
            self.frame_log = None;
            self.frame_log_error = Some(error);
        }
    }

    /// Starts to write a line for each frame that arrives.
    pub fn start_frame_log(&mut self, file: File) -> io::Result<()> {
        self.frame_log = Some(FrameLog::start(BufWriter::new(file))?);
        Ok(())
    }

    /// Ends the log of frames.
    pub fn finish_frame_log(&mut self) -> io::Result<()> {
        if let Some(error) = self.frame_log_error.take() {
            return Err(error);
        }
        self.frame_log.take().map_or(Ok(()), |log| log.finish().map(drop))
    }

    /// Forgets all packets. The log of frames continues.
    pub fn reset(&mut self) {
        let (frame_log, frame_log_error) = (self.frame_log.take(), self.frame_log_error.take());
        *self = Self { frame_log, frame_log_error, is_lab: self.is_lab, ..Self::default() };
    }

    fn count(&mut self, number: u16) -> Order {
        let order = self.counter.push(number);
        if self.highest.is_none_or(|highest| distance(highest, number) > 0) {
            self.highest = Some(number);
        }
        order.into()
    }

    /// Received, lost, repeated and late packets, by their sequence numbers.
    pub fn counts(&self) -> PacketCounts {
        self.counter.counts()
    }

    /// Notes that PLAY is sent. Packets that arrive before its reply may be those of either position.
    pub fn play_sent(&mut self) {
        self.held.get_or_insert_default();
        self.pause();
    }

    /// Notes that PLAY has been refused: the numbers go on. Returns the orders of the packets that were
    /// undecided.
    pub fn play_refused(&mut self) -> Vec<Order> {
        let held = self.held.take().unwrap_or_default();
        held.into_iter().map(|number| self.count(number)).collect()
    }

    /// Notes the reply to PLAY, with the sequence number of the first packet after it. What was sent
    /// before it and has not arrived is not counted as lost: a seek drops it. Returns the orders of the
    /// packets that were undecided.
    pub fn play_replied(&mut self, first: Option<u16>) -> Vec<Order> {
        let held = self.held.take().unwrap_or_default();
        let highest = self.highest;
        let is_new = |number: &u16| {
            first.is_none_or(|first| {
                let from_first = distance(first, *number);
                // Some servers number packets anew after each PLAY.
                let from_old = highest.map(|highest| distance(highest, *number).unsigned_abs());
                from_first >= 0
                    && from_old.is_none_or(|from_old| from_first.unsigned_abs() <= from_old)
            })
        };
        let is_new: Vec<bool> = held.iter().map(is_new).collect();
        let mut orders = vec![Order::Undecided; held.len()];
        let mut count = |tracker: &mut Self, new: bool| {
            for ((number, is_new), order) in held.iter().zip(&is_new).zip(&mut orders) {
                if *is_new == new {
                    *order = tracker.count(*number);
                }
            }
        };
        count(self, false);
        self.counter.restart(first);
        self.highest = None;
        count(self, true);
        if !is_new.contains(&true) {
            self.pause();
        }
        orders
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
        Duration::from_secs_f64(self.jitter / f64::from(VIDEO_CLOCK_RATE))
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

/// The steps from one sequence number to another, -32 768 to 32 767.
fn distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from).cast_signed()
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

    #[test]
    fn packets_around_the_reply_to_play_count_for_their_position() {
        enum Step {
            Packets(&'static [u16]),
            Play,
            Reply(Option<u16>),
        }
        use Step::{Packets, Play, Reply};
        type Row<'a> = (&'a str, &'a [Step], (u64, u64));
        let rows: [Row; 7] = [
            ("no reply seen", &[Packets(&[1, 2, 4])], (3, 1)),
            (
                "a seek drops 5 to 8",
                &[Packets(&[3, 4]), Play, Reply(Some(9)), Packets(&[9, 11])],
                (4, 1),
            ),
            (
                "before the reply",
                &[Packets(&[3, 4]), Play, Packets(&[5, 6, 7]), Reply(Some(6)), Packets(&[8])],
                (6, 0),
            ),
            (
                "the first is lost",
                &[Packets(&[3]), Play, Packets(&[5]), Reply(Some(4)), Packets(&[6])],
                (3, 1),
            ),
            (
                "a new numbering",
                &[Packets(&[100, 101]), Play, Packets(&[102, 0]), Reply(Some(0)), Packets(&[1])],
                (5, 0),
            ),
            (
                "no number in the reply",
                &[Packets(&[3]), Play, Packets(&[40]), Reply(None), Packets(&[42])],
                (3, 1),
            ),
            (
                "two requests",
                &[Play, Play, Reply(Some(1)), Packets(&[1]), Reply(Some(2)), Packets(&[2])],
                (2, 0),
            ),
        ];
        for (name, steps, want) in rows {
            let mut tracker = PacketTracker::default();
            for step in steps {
                match step {
                    Packets(numbers) => {
                        for number in *numbers {
                            tracker.push(&packet(*number, 0, true), Instant::now());
                        }
                    }
                    Play => tracker.play_sent(),
                    Reply(first) => drop(tracker.play_replied(*first)),
                }
            }
            let counts = tracker.counts();
            assert_eq!((counts.received, counts.lost), want, "{name}");
        }
    }
}
