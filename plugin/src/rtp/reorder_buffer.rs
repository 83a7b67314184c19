// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets in the order of their numbers: one that overtook another waits for it, one packet
//! long; repeated ones and ones that come too late are left out; what is missing is counted.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

/// Numbers further apart are another begin, not packets that changed places.
const MAX_DISTANCE: u16 = 16;

/// Packets that may wait for one that they overtook. In the lab a packet is a frame, so that one
/// is the time of a frame.
const MAX_WAITING: usize = 1;

/// A packet, with what the caller said of its arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BufferedPacket {
    pub number: u16,
    pub arrival: u64,
    pub bytes: Vec<u8>,
}

/// What has become of the packets since the begin.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PacketCounts {
    /// Packets that came, each once.
    pub received: u64,
    /// Packets that are missing between them, by their numbers.
    pub lost: u64,
    /// Exact copies of a packet that came shortly before.
    pub repeated: u64,
    /// Packets that came when those behind them had been passed on. They are not counted as lost.
    pub late: u64,
}

#[derive(Debug, Default)]
pub(super) struct ReorderBuffer {
    /// The number that was passed on last.
    last: Option<u16>,
    /// Numbers and digests of the last packets.
    recent: VecDeque<(u16, u64)>,
    /// By their numbers.
    waiting: VecDeque<BufferedPacket>,
    counts: PacketCounts,
}

impl ReorderBuffer {
    pub fn counts(&self) -> PacketCounts {
        self.counts
    }

    /// Takes in a packet; gives those that are due now.
    pub fn push(&mut self, packet: BufferedPacket) -> Vec<BufferedPacket> {
        let key = (packet.number, digest(&packet.bytes));
        if self.recent.contains(&key) {
            self.counts.repeated += 1;
            return Vec::new();
        }
        self.counts.received += 1;
        let seen = self.recent.iter().any(|(number, _)| *number == packet.number);
        self.recent.push_back(key);
        if self.recent.len() > usize::from(MAX_DISTANCE) {
            self.recent.pop_front();
        }
        let ahead = self.ahead(packet.number);
        if (2..=MAX_DISTANCE).contains(&ahead) {
            let at = self.waiting.iter().take_while(|it| self.ahead(it.number) <= ahead).count();
            self.waiting.insert(at, packet);
            return self.due(MAX_WAITING);
        }
        // Behind by a few and not seen before: what waited for it has been passed on.
        if ahead > u16::MAX - MAX_DISTANCE && !seen {
            self.counts.late += 1;
            self.counts.lost = self.counts.lost.saturating_sub(1);
            return Vec::new();
        }
        // The next one, another fragment of the last one's number, or another begin.
        let mut due = if ahead <= 1 { Vec::new() } else { self.flush() };
        due.push(self.pass(packet));
        due.extend(self.due(MAX_WAITING));
        due
    }

    /// What waits: at the end of the stream, or when nothing has come for a while.
    pub fn flush(&mut self) -> Vec<BufferedPacket> {
        self.due(0)
    }

    /// What need not wait, with those that wait in vain where more than `may_wait` do.
    fn due(&mut self, may_wait: usize) -> Vec<BufferedPacket> {
        let mut due = Vec::new();
        while let Some(first) = self.waiting.pop_front() {
            if self.ahead(first.number) > 1 && self.waiting.len() < may_wait {
                self.waiting.push_front(first);
                break;
            }
            due.push(self.pass(first));
        }
        due
    }

    fn pass(&mut self, packet: BufferedPacket) -> BufferedPacket {
        let ahead = self.ahead(packet.number);
        if (2..=u16::MAX / 2).contains(&ahead) {
            self.counts.lost += u64::from(ahead - 1);
        }
        self.last = Some(packet.number);
        packet
    }

    /// How far a number is from the last one that was passed on: 1 is the next.
    fn ahead(&self, number: u16) -> u16 {
        let Some(last) = self.last else { return 1 };
        let ahead = number.wrapping_sub(last);
        // Our server and others go from 65 535 to 1.
        let skipped_zero = number < last && number > 0 && (1..=u16::MAX / 2).contains(&ahead);
        ahead - u16::from(skipped_zero)
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which numbers are passed on, what is left at the end behind them.
    fn order(numbers: &[u16]) -> (Vec<u16>, PacketCounts) {
        let mut order = ReorderBuffer::default();
        let mut out = Vec::new();
        for (arrival, number) in (0..).zip(numbers) {
            let bytes = number.to_be_bytes().to_vec();
            out.extend(order.push(BufferedPacket { number: *number, arrival, bytes }));
        }
        out.extend(order.flush());
        (out.iter().map(|packet| packet.number).collect(), order.counts())
    }

    #[test]
    fn packets_are_put_in_order() {
        // Numbers as they come, as they are passed on, how many are lost, repeated, late.
        let rows: &[(&[u16], &[u16], [u64; 3])] = &[
            (&[], &[], [0; 3]),
            (&[1, 2, 3], &[1, 2, 3], [0; 3]),
            (&[7, 8], &[7, 8], [0; 3]),
            (&[1, 3, 2, 4], &[1, 2, 3, 4], [0; 3]),
            (&[1, 4, 2, 3, 5], &[1, 2, 3, 4, 5], [0; 3]),
            (&[1, 3, 4], &[1, 3, 4], [1, 0, 0]),
            (&[1, 3], &[1, 3], [1, 0, 0]),
            (&[1, 3, 5, 7], &[1, 3, 5, 7], [3, 0, 0]),
            (&[1, 3, 4, 2, 5], &[1, 3, 4, 5], [0, 0, 1]),
            (&[1, 2, 2, 2, 3], &[1, 2, 3], [0, 2, 0]),
            (&[1, 2, 1, 3], &[1, 2, 3], [0, 1, 0]),
            (&[65_534, 65_535, 1, 2], &[65_534, 65_535, 1, 2], [0; 3]),
            (&[65_534, 65_535, 0, 1], &[65_534, 65_535, 0, 1], [0; 3]),
            (&[65_535, 2, 1, 3], &[65_535, 1, 2, 3], [0; 3]),
            (&[65_534, 2, 3], &[65_534, 2, 3], [2, 0, 0]),
            // Another begin, back and ahead.
            (&[100, 101, 1, 2], &[100, 101, 1, 2], [0; 3]),
            (&[1, 3, 40], &[1, 3, 40], [1 + 36, 0, 0]),
        ];
        for (came, want, [lost, repeated, late]) in rows {
            let (passed, counts) = order(came);
            assert_eq!(passed, *want, "{came:?}");
            assert_eq!((counts.lost, counts.repeated, counts.late), (*lost, *repeated, *late));
        }
    }

    #[test]
    fn a_movie_that_starts_over_is_not_late() {
        let mut order = ReorderBuffer::default();
        let mut passed = Vec::new();
        for (arrival, number) in (0..30).zip((1..=10).cycle()) {
            // The same numbers with other bytes.
            let bytes = vec![u8::try_from(arrival).unwrap_or(0)];
            passed.extend(order.push(BufferedPacket { number, arrival, bytes }));
        }
        assert_eq!(passed.len(), 30);
        assert_eq!(order.counts(), PacketCounts { received: 30, ..PacketCounts::default() });
    }

    #[test]
    fn fragments_of_one_number_keep_their_order() {
        let mut order = ReorderBuffer::default();
        let mut passed = Vec::new();
        for (arrival, number) in (0..).zip([1, 1, 1, 3, 3, 3, 4]) {
            let bytes = vec![u8::try_from(arrival).unwrap_or(0)];
            passed.extend(order.push(BufferedPacket { number, arrival, bytes }));
        }
        let arrivals: Vec<u64> = passed.iter().map(|packet| packet.arrival).collect();
        assert_eq!(arrivals, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(order.counts().lost, 1);
    }
}
