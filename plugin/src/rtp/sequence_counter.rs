// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the packets of a stream by their sequence numbers.

use super::PacketCounts;

/// A larger step forward is a restart of the numbering if the next packet confirms it (RFC 3550
/// appendix A.1, `MAX_DROPOUT`).
const MAX_DROPOUT: u64 = 3000;

/// The latest sequence numbers that are remembered, to distinguish late packets from repeated ones.
const WINDOW: u64 = 1024;

/// What the sequence number of a packet says about it and about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketOrder {
    /// The next number, or the first of a numbering.
    Next,
    /// This many numbers were left out. Their packets are lost, unless they arrive later.
    AfterGap(u64),
    /// A number that had been left out.
    Late,
    /// A number that has arrived before.
    Repeated,
    /// Not counted: from before the first expected packet, or from another numbering.
    Foreign,
}

/// Counts received, lost, repeated and late packets, as RFC 3550 appendix A.3 does: the packets that
/// were expected, by the first and the highest sequence number, less those that were received.
///
/// Packets after the last one that arrived are not known to have been sent, so they do not count as
/// lost.
#[derive(Debug, Clone)]
pub struct SequenceCounter {
    /// Sequence number from which packets are expected, extended by the number of wraps; `None`: that
    /// of the next packet.
    start: Option<u64>,
    /// The highest sequence number that has arrived, plus 1; at first equal to `start`.
    end: u64,
    /// Which of the last [`WINDOW`] sequence numbers before `end` have arrived: bits, by the number
    /// modulo [`WINDOW`].
    arrived: [u64; (WINDOW / 64) as usize],
    /// Packets received since `start`, without repeated ones.
    received: u64,
    /// The number that confirms a restart of the numbering.
    restart: Option<u16>,
    /// The counts before `start`.
    before: PacketCounts,
    repeated: u64,
    late: u64,
}

impl Default for SequenceCounter {
    fn default() -> Self {
        Self {
            start: None,
            end: 0,
            arrived: [0; (WINDOW / 64) as usize],
            received: 0,
            restart: None,
            before: PacketCounts::default(),
            repeated: 0,
            late: 0,
        }
    }
}

impl SequenceCounter {
    /// Expects packets from this sequence number on; `None`: from that of the next packet. The counts
    /// until now are kept. For PLAY, whose reply states the number (RFC 2326 section 12.33).
    pub fn restart(&mut self, number: Option<u16>) {
        let counts = self.counts();
        *self = Self { before: counts, ..Self::default() };
        if let Some(number) = number {
            self.start_at(number);
        }
    }

    /// Counts a packet. Packets before the first expected one are ignored.
    pub fn push(&mut self, number: u16) -> PacketOrder {
        let Some(start) = self.start else {
            self.start_at(number);
            return self.push(number);
        };
        // The distance from the highest number, -32 768 to 32 767; 1 is the next packet.
        let highest = self.end.wrapping_sub(1);
        let distance = number.wrapping_sub(low_16_bits(highest)).cast_signed();
        let Some(extended) = highest.checked_add_signed(i64::from(distance)) else {
            return PacketOrder::Foreign;
        };
        // Far ahead, or too old to be distinguished from a repeated one: a stray number or another numbering.
        if extended > highest + MAX_DROPOUT || extended + WINDOW <= highest {
            if self.restart.replace(number.wrapping_add(1)) == Some(number) {
                // The numbering has restarted one packet ago.
                let first = number.wrapping_sub(1);
                self.restart(Some(first));
                self.push(first);
                return self.push(number);
            }
            return PacketOrder::Foreign;
        }
        let order = if extended >= self.end {
            let gap = extended - self.end;
            for number in self.end.max(extended.saturating_sub(WINDOW))..=extended {
                self.set_arrived(number, false);
            }
            self.end = extended + 1;
            if gap == 0 { PacketOrder::Next } else { PacketOrder::AfterGap(gap) }
        } else if extended < start {
            return PacketOrder::Foreign;
        } else if self.has_arrived(extended) {
            self.repeated += 1;
            return PacketOrder::Repeated;
        } else {
            self.late += 1;
            PacketOrder::Late
        };
        self.restart = None;
        self.set_arrived(extended, true);
        self.received += 1;
        order
    }

    /// The counts until now.
    pub fn counts(&self) -> PacketCounts {
        let expected = self.start.map_or(0, |start| self.end - start);
        PacketCounts {
            received: self.before.received + self.received,
            lost: self.before.lost + expected.saturating_sub(self.received),
            repeated: self.before.repeated + self.repeated,
            late: self.before.late + self.late,
        }
    }

    fn start_at(&mut self, number: u16) {
        // Numbers before the first one are above 0.
        let start = (1 << 16) + u64::from(number);
        self.start = Some(start);
        self.end = start;
    }

    fn has_arrived(&self, number: u64) -> bool {
        let at = number % WINDOW;
        let word = usize::try_from(at / 64).ok().and_then(|index| self.arrived.get(index));
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    fn set_arrived(&mut self, number: u64, arrived: bool) {
        let at = number % WINDOW;
        let word = usize::try_from(at / 64).ok().and_then(|index| self.arrived.get_mut(index));
        if let Some(word) = word {
            let bit = 1 << (at % 64);
            *word = if arrived { *word | bit } else { *word & !bit };
        }
    }
}

fn low_16_bits(number: u64) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(received: u64, lost: u64, repeated: u64, late: u64) -> PacketCounts {
        PacketCounts { received, lost, repeated, late }
    }

    /// The counts after these packets, where `None` is a restart at the number after it.
    fn count(numbers: &[Option<u16>]) -> PacketCounts {
        let mut counter = SequenceCounter::default();
        let mut restarts = false;
        for number in numbers {
            match number {
                None => restarts = true,
                Some(number) if restarts => {
                    counter.restart(Some(*number));
                    restarts = false;
                }
                Some(number) => {
                    counter.push(*number);
                }
            }
        }
        counter.counts()
    }

    #[test]
    fn packets_are_counted_by_their_numbers() {
        type Row<'a> = (&'a str, &'a [Option<u16>], PacketCounts);
        let p = Some::<u16>;
        let rows: [Row; 12] = [
            ("none", &[], counts(0, 0, 0, 0)),
            ("in order", &[p(7), p(8), p(9)], counts(3, 0, 0, 0)),
            ("two lost", &[p(7), p(10)], counts(2, 2, 0, 0)),
            ("one late", &[p(7), p(9), p(8), p(10)], counts(4, 0, 0, 1)),
            ("repeated", &[p(7), p(7), p(8), p(7)], counts(2, 0, 2, 0)),
            ("over the wrap", &[p(65_534), p(1)], counts(2, 2, 0, 0)),
            ("before the first", &[p(7), p(6), p(8)], counts(2, 0, 0, 0)),
            ("the first are lost", &[None, p(5), p(7), p(8)], counts(2, 2, 0, 0)),
            // What was sent before a seek and not received is unknown.
            ("a restart", &[p(1), p(3), None, p(900), p(900), p(901)], counts(4, 1, 0, 0)),
            ("old ones after a restart", &[None, p(9), p(7), p(8), p(9)], counts(1, 0, 0, 0)),
            ("another numbering", &[p(1), p(2), p(40_000), p(40_001)], counts(4, 0, 0, 0)),
            ("one stray number", &[p(1), p(2), p(40_000), p(3)], counts(3, 0, 0, 0)),
        ];
        for (name, numbers, want) in rows {
            assert_eq!(count(numbers), want, "{name}");
        }
    }

    #[test]
    fn each_packet_is_told_its_order() {
        use PacketOrder::{AfterGap, Foreign, Late, Next, Repeated};
        let mut counter = SequenceCounter::default();
        counter.restart(Some(65_533));
        let rows = [
            (65_534, AfterGap(1)),
            (65_535, Next),
            (1, AfterGap(1)),
            (0, Late),
            (0, Repeated),
            (65_532, Foreign),
            (2, Next),
            (40_000, Foreign),
            // The numbering has restarted.
            (40_001, Next),
            (40_002, Next),
        ];
        for (number, want) in rows {
            assert_eq!(counter.push(number), want, "{number}");
        }
    }

    proptest! {
        #[test]
        fn any_loss_reordering_and_repetition_is_counted_exactly(
            start in any::<u16>(),
            fate in proptest::collection::vec(0_u8..8, 1..3000),
        ) {
            let mut counter = SequenceCounter::default();
            counter.restart(Some(start));
            let (mut received, mut repeated, mut highest) = (0, 0, None);
            let mut delayed = None;
            for (index, fate) in fate.iter().enumerate() {
                let number = start.wrapping_add(u16::try_from(index).unwrap());
                match fate {
                    0 => {}
                    1 if delayed.is_none() => delayed = Some((index, number)),
                    2 => {
                        counter.push(number);
                        counter.push(number);
                        (received, repeated, highest) = (received + 1, repeated + 1, Some(index));
                    }
                    _ => {
                        counter.push(number);
                        (received, highest) = (received + 1, Some(index));
                    }
                }
                if let Some((at, number)) = delayed.filter(|(at, _)| index > at + 5) {
                    counter.push(number);
                    (received, delayed) = (received + 1, None);
                    highest = highest.max(Some(at));
                }
            }
            let counts = counter.counts();
            let expected = highest.map_or(0, |highest| highest as u64 + 1);
            prop_assert_eq!(counts.received, received);
            prop_assert_eq!(counts.repeated, repeated);
            prop_assert_eq!(counts.lost, expected - received);
        }

        #[test]
        fn any_numbers_are_counted(numbers: Vec<u16>) {
            let mut counter = SequenceCounter::default();
            for number in &numbers {
                counter.push(*number);
            }
            let counts = counter.counts();
            prop_assert!(counts.received + counts.repeated <= 2 * numbers.len() as u64);
        }
    }
}
