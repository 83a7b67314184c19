// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads and writes entropy-coded data bit by bit. Stuffed bytes (T.81 section F.1.2.3) are removed
//! and inserted.

use crate::jpeg::segments::marker;

/// Reads the bits of a scan, up to the next marker.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, starting with the highest one; zeros after them.
    bits: u64,
    have: u32,
}

/// Whether one of the four bytes is FF.
fn holds_ff(word: u32) -> bool {
    // The usual test for a zero byte, applied to the complement.
    let inverted = !word;
    inverted.wrapping_sub(0x0101_0101) & !inverted & 0x8080_8080 != 0
}

impl<'a> BitReader<'a> {
    /// Reads `data` starting at byte `at`.
    pub fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, bits: 0, have: 0 }
    }

    /// The number of bytes that have not been read.
    pub fn bytes_left(&self) -> usize {
        self.data.len().saturating_sub(self.at)
    }

    /// Loads bytes until at least 32 bits are available, unless a marker or the end comes first.
    #[inline]
    pub fn refill(&mut self) {
        while self.have <= 32 {
            let rest = self.data.get(self.at..).unwrap_or_default();
            if let Some(four) = rest.first_chunk::<4>() {
                let word = u32::from_be_bytes(*four);
                if !holds_ff(word) {
                    self.bits |= u64::from(word) << (32 - self.have);
                    self.have += 32;
                    self.at += 4;
                    continue;
                }
            }
            let (byte, length) = match rest {
                [0xff, 0x00, ..] => (0xff, 2),
                // A marker, or FF as the last byte: no more bits.
                [0xff, ..] | [] => return,
                [byte, ..] => (*byte, 1),
            };
            self.bits |= u64::from(byte) << (56 - self.have);
            self.have += 8;
            self.at += length;
        }
    }

    /// The next 16 bits; missing ones are zero.
    #[inline]
    pub fn peek16(&self) -> u16 {
        // The shift leaves 16 bits.
        (self.bits >> 48) as u16
    }

    /// Skips `count` bits, at most 16.
    #[inline]
    pub fn skip(&mut self, count: u32) -> Option<()> {
        self.have = self.have.checked_sub(count)?;
        self.bits <<= count;
        Some(())
    }

    /// Takes the next `count` bits as a number, at most 16; call [`Self::refill`] first.
    #[inline]
    pub fn take(&mut self, count: u32) -> Option<u32> {
        let value = (self.bits >> 32) as u32;
        self.skip(count)?;
        Some(if count == 0 { 0 } else { value >> (32 - count) })
    }

    /// Takes one bit.
    #[inline]
    pub fn bit(&mut self) -> Option<u32> {
        if self.have == 0 {
            self.refill();
        }
        self.take(1)
    }

    /// Skips the padding bits before restart marker `number`, which counts from 0, and the marker.
    /// Stray bytes before it are skipped as libjpeg does (`jpeg_resync_to_restart` in `jdmarker.c`).
    /// `None` if the marker is missing.
    pub fn restart(&mut self, number: u32) -> Option<()> {
        self.refill();
        (self.bits, self.have) = (0, 0);
        let mut is_next = true;
        loop {
            let rest = self.data.get(self.at..)?;
            let &[first, code] = rest.first_chunk()?;
            match (first, code) {
                (0xff, 0xff) => self.at += 1,
                (0xff, marker::RST0..=marker::RST7) => {
                    self.at += 2;
                    // The marker's number, counted from the expected one.
                    match u32::from(code - marker::RST0).wrapping_sub(number) % 8 {
                        // One of the last two markers: the expected one follows.
                        6 | 7 if !is_next => {}
                        // One of the next two: the expected one is missing.
                        1 | 2 if !is_next => return None,
                        _ => return Some(()),
                    }
                }
                // No marker that may follow a scan's data has such a code.
                (0xff, marker::SOF0..) => return None,
                _ => {
                    is_next = false;
                    // FF after a stray byte starts a marker or two stray bytes.
                    let skipped = if first == 0xff { 2 } else { 1 };
                    let after = rest.get(skipped..).unwrap_or_default();
                    self.at += skipped + memchr::memchr(0xff, after)?;
                }
            }
        }
    }

    /// Offset of the bytes between the last block of an interval and the restart marker after it, if
    /// there are any but fill bytes. `None` also at the end of the data.
    pub fn stray_before_restart(&mut self) -> Option<usize> {
        self.refill();
        let rest = self.data.get(self.at..)?;
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        let is_restart = matches!(rest.get(fill), Some(marker::RST0..=marker::RST7));
        if self.have < 8 && (is_restart || rest.is_empty()) {
            return None;
        }
        // Back over the whole bytes that were loaded; a stuffed FF has two.
        let mut offset = self.at;
        for _ in 0..self.have / 8 {
            let stuffed = self.data.get(..offset).is_some_and(|it| it.ends_with(&[0xff, 0]));
            offset = offset.saturating_sub(if stuffed { 2 } else { 1 });
        }
        Some(offset)
    }

    /// Offset of the next marker that is not a restart marker; the end of the data if there is none.
    pub fn next_marker(&self) -> usize {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let ends = |at: &usize| {
            let code = rest.get(at + 1);
            code.is_some_and(|code| !matches!(code, 0 | 0xff | marker::RST0..=marker::RST7))
        };
        let found = memchr::memchr_iter(0xff, rest).find(ends);
        found.map_or(self.data.len(), |found| self.at + found)
    }
}

/// Writes bits, with a zero byte after each FF.
#[derive(Debug)]
pub(crate) struct BitWriter {
    out: Vec<u8>,
    /// Bits that are not in `out` yet; the lowest one is the last.
    bits: u64,
    have: u32,
}

impl BitWriter {
    /// Appends to `out`.
    pub fn new(out: Vec<u8>) -> Self {
        Self { out, bits: 0, have: 0 }
    }

    /// Writes the `count` lowest bits of `value`, at most 32; its other bits must be zero.
    #[inline]
    pub fn put(&mut self, value: u32, count: u32) {
        self.bits = (self.bits << count) | u64::from(value);
        self.have += count;
        if self.have >= 32 {
            self.have -= 32;
            // The lowest 32 bits after the shift are the next ones; those above have been written.
            let word = (self.bits >> self.have) as u32;
            if holds_ff(word) {
                word.to_be_bytes().into_iter().for_each(|byte| self.byte(byte));
            } else {
                self.out.extend_from_slice(&word.to_be_bytes());
            }
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
        if byte == 0xff {
            self.out.push(0);
        }
    }

    /// Fills the last byte with ones, as T.81 section F.1.2.3 says, and writes it.
    fn pad(&mut self) {
        let missing = (8 - self.have % 8) % 8;
        self.bits = (self.bits << missing) | ((1 << missing) - 1);
        self.have += missing;
        while self.have > 0 {
            self.have -= 8;
            self.byte((self.bits >> self.have) as u8);
        }
    }

    /// Ends an interval with a restart marker; `number` counts them from 0.
    pub fn restart(&mut self, number: u32) {
        self.pad();
        // Three bits fit a byte.
        self.out.extend_from_slice(&[0xff, marker::RST0 + (number % 8) as u8]);
    }

    /// Ends the image with EOI.
    pub fn finish(mut self) -> Vec<u8> {
        self.pad();
        self.out.extend_from_slice(&[0xff, marker::EOI]);
        self.out
    }
}
