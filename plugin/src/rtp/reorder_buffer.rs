// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts packets in the order of their sequence numbers. A packet that overtook another one waits
//! for it until one more packet arrives; repeated and late packets are dropped, missing ones are
//! counted.
//!
//! It counts packets itself, since a [`SequenceCounter`](super::SequenceCounter) would be wrong for what lab
//! servers send:
//!
//! - The fragments of a frame may share one number. Only their bytes distinguish them from copies; a counter
//!   of numbers takes them for copies.
//! - A movie that starts over has its first numbers again, mostly within the latest 1024, which the counter
//!   takes for late or repeated packets. Here a number that is more than 16 away is a new numbering; over
//!   standard RTP it is a late packet.
//! - Many servers, ours too, continue with 1 after 65 535; the counter takes 0 for lost.
//! - Parity packets have numbers of their own, or take numbers of the stream.

use crate::movie::Nanoseconds;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

/// A larger difference between sequence numbers is a restart of the numbering, not reordering.
pub(super) const MAX_DISTANCE: u16 = 16;

/// The number of packets that may wait for one that they overtook. In the lab a packet is a frame,
/// so that waiting for one more packet takes one frame period.
const MAX_WAITING: usize = 1;

/// A packet and the arrival that the caller stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BufferedPacket {
    pub number: u16,
    pub arrival: Option<Nanoseconds>,
    pub bytes: Vec<u8>,
}

/// What happened to packets since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PacketCounts {
    /// Packets that arrived, repeated ones not counted.
    pub received: u64,
    /// Packets that are missing between them, by sequence number.
    pub lost: u64,
    /// Exact copies of a packet that arrived shortly before.
    pub repeated: u64,
    /// Packets that arrived after their successors had been released. They are not counted as lost.
    pub late: u64,
}

#[derive(Debug, Default)]
pub(super) struct ReorderBuffer {
    /// Sequence number of the packet that was released last.
    last: Option<u16>,
    /// Sequence numbers and hashes of the latest packets.
    recent: VecDeque<(u16, u64)>,
    /// Packets that wait for missing ones, in the order of their sequence numbers.
    waiting: VecDeque<BufferedPacket>,
    counts: PacketCounts,
}

impl ReorderBuffer {
    pub fn counts(&self) -> PacketCounts {
        self.counts
    }

    /// Whether a packet with this number would be one of the next in order.
    pub fn is_ahead(&self, number: u16) -> bool {
        self.last.is_some() && (1..=MAX_DISTANCE).contains(&self.distance(number))
    }

    /// Adds a packet; returns the packets that are next in order.
    pub fn push(&mut self, packet: BufferedPacket) -> Vec<BufferedPacket> {
        let key = (packet.number, hash(&packet.bytes));
        if self.recent.contains(&key) {
            self.counts.repeated += 1;
            return Vec::new();
        }
        self.counts.received += 1;
        let repeated_number = self.recent.iter().any(|(number, _)| *number == packet.number);
        self.recent.push_back(key);
        if self.recent.len() > usize::from(MAX_DISTANCE) {
            self.recent.pop_front();
        }
        let distance = self.distance(packet.number);
        if (2..=MAX_DISTANCE).contains(&distance) {
            let at =
                self.waiting.iter().take_while(|it| self.distance(it.number) <= distance).count();
            self.waiting.insert(at, packet);
            return self.take_ready(MAX_WAITING);
        }
        // Slightly late, and a new number: its successors no longer wait.
        if distance > u16::MAX - MAX_DISTANCE && !repeated_number {
            self.counts.late += 1;
            self.counts.lost = self.counts.lost.saturating_sub(1);
            return Vec::new();
        }
        // The next number, another fragment with the last number, or a restart.
        let mut ready = if distance <= 1 { Vec::new() } else { self.flush() };
        ready.push(self.release(packet));
        ready.extend(self.take_ready(MAX_WAITING));
        ready
    }

    /// Returns all packets that wait, at the end of the stream or after a pause.
    pub fn flush(&mut self) -> Vec<BufferedPacket> {
        self.take_ready(0)
    }

    /// Releases packets that are next in order. If more than `max_waiting` packets wait, the missing
    /// ones before them are counted as lost.
    fn take_ready(&mut self, max_waiting: usize) -> Vec<BufferedPacket> {
        let mut ready = Vec::new();
        while let Some(first) = self.waiting.pop_front() {
            if self.distance(first.number) > 1 && self.waiting.len() < max_waiting {
                self.waiting.push_front(first);
                break;
            }
            ready.push(self.release(first));
        }
        ready
    }

    fn release(&mut self, packet: BufferedPacket) -> BufferedPacket {
        let distance = self.distance(packet.number);
        if (2..=u16::MAX / 2).contains(&distance) {
            self.counts.lost += u64::from(distance - 1);
        }
        self.last = Some(packet.number);
        packet
    }

    /// Distance of a sequence number from the last one released; the next one has distance 1.
    fn distance(&self, number: u16) -> u16 {
        let Some(last) = self.last else { return 1 };
        let distance = number.wrapping_sub(last);
        // Our server and others continue with 1 after 65 535.
        let skipped_zero = number < last && number > 0 && (1..=u16::MAX / 2).contains(&distance);
        distance - u16::from(skipped_zero)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sequence numbers in the order of release, with those released at the end of the stream.
    fn order(numbers: &[u16]) -> (Vec<u16>, PacketCounts) {
        let mut order = ReorderBuffer::default();
        let mut out = Vec::new();
        for number in numbers {
            let bytes = number.to_be_bytes().to_vec();
            out.extend(order.push(BufferedPacket { number: *number, arrival: None, bytes }));
        }
        out.extend(order.flush());
        (out.iter().map(|packet| packet.number).collect(), order.counts())
    }

    #[test]
    fn packets_are_released_in_order() {
        // Sequence numbers in order of arrival and of release; numbers of lost, repeated, late ones.
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
            // The numbering restarts, with lower and with higher numbers.
            (&[100, 101, 1, 2], &[100, 101, 1, 2], [0; 3]),
            (&[1, 3, 40], &[1, 3, 40], [1 + 36, 0, 0]),
        ];
        for (arrived, want, [lost, repeated, late]) in rows {
            let (released, counts) = order(arrived);
            assert_eq!(released, *want, "{arrived:?}");
            assert_eq!((counts.lost, counts.repeated, counts.late), (*lost, *repeated, *late));
        }
    }

    #[test]
    fn a_movie_that_starts_over_is_not_late() {
        let mut order = ReorderBuffer::default();
        let mut released = Vec::new();
        for (byte, number) in (0..30).zip((1..=10).cycle()) {
            // The same numbers with other bytes.
            let packet = BufferedPacket { number, arrival: None, bytes: vec![byte] };
            released.extend(order.push(packet));
        }
        assert_eq!(released.len(), 30);
        assert_eq!(order.counts(), PacketCounts { received: 30, ..PacketCounts::default() });
    }

    #[test]
    fn fragments_of_one_number_keep_their_order() {
        let mut order = ReorderBuffer::default();
        let mut released = Vec::new();
        for (byte, number) in (0..).zip([1, 1, 1, 3, 3, 3, 4]) {
            let packet = BufferedPacket { number, arrival: None, bytes: vec![byte] };
            released.extend(order.push(packet));
        }
        let bytes: Vec<u8> = released.into_iter().flat_map(|packet| packet.bytes).collect();
        assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(order.counts().lost, 1);
    }
}
