// SPDX-License-Identifier: MIT OR Apache-2.0
//! Huffman tables prepared for decoding (T.81 section F.2.2.3) and for encoding (C.2).

use super::bits::{BitReader, BitWriter};
use crate::jpeg::HuffmanTable;
use crate::jpeg::tables::{STANDARD_AC, STANDARD_DC};
use std::sync::LazyLock;

/// Codes of at most this many bits are decoded by one look-up.
const FAST_BITS: u32 = 9;

/// Decodes the codes of one table.
#[derive(Debug, Clone)]
pub(crate) struct HuffmanDecoder {
    /// Indexed by the next nine bits: the code's length in the upper byte, its value in the lower
    /// byte; 0 for longer codes.
    fast: [u16; 1 << FAST_BITS],
    /// For each length: the next 16 bits are below the first number if the code has at most that
    /// length; a code plus the second number is the index of its value.
    longer: [(u32, i32); 17],
    values: [u8; 256],
}

impl HuffmanDecoder {
    /// Prepares a table of at most 256 values, which [`Header::parse`](crate::jpeg::Header::parse)
    /// guarantees.
    pub fn new(table: HuffmanTable) -> Self {
        let mut decoder =
            Self { fast: [0; 1 << FAST_BITS], longer: [(0, 0); 17], values: [0; 256] };
        for (to, from) in decoder.values.iter_mut().zip(table.values) {
            *to = *from;
        }
        let (mut code, mut index) = (0_u32, 0_u32);
        for (length, count) in (1..=16_u32).zip(table.counts) {
            for _ in 0..*count {
                let value = table.values.get(index as usize).copied().unwrap_or_default();
                if length <= FAST_BITS {
                    let spread = FAST_BITS - length;
                    let start = (code << spread) as usize;
                    let entries = decoder.fast.iter_mut().skip(start).take(1 << spread);
                    // The length is below 16.
                    entries.for_each(|entry| *entry = ((length as u16) << 8) | u16::from(value));
                }
                code += 1;
                index += 1;
            }
            if let Some(entry) = decoder.longer.get_mut(length as usize) {
                // There are at most 256 values, and codes have at most 16 bits.
                *entry = (code << (16 - length), index as i32 - code as i32);
            }
            code <<= 1;
        }
        decoder
    }

    /// The value of the next code. Refills `bits` first, so that 32 bits less those of the code are
    /// available afterwards, unless the scan ends.
    #[inline]
    pub fn decode(&self, bits: &mut BitReader) -> Option<u8> {
        bits.refill();
        let peek = bits.peek16();
        let entry = self.fast.get(usize::from(peek >> (16 - FAST_BITS))).copied().unwrap_or(0);
        if entry != 0 {
            bits.skip(u32::from(entry >> 8))?;
            return Some(entry as u8);
        }
        let peek = u32::from(peek);
        for length in FAST_BITS + 1..=16 {
            let (limit, offset) = *self.longer.get(length as usize)?;
            if peek < limit {
                bits.skip(length)?;
                let index = (peek >> (16 - length)) as i32 + offset;
                return self.values.get(usize::try_from(index).ok()?).copied();
            }
        }
        None
    }
}

/// Encodes values with one table.
#[derive(Debug)]
pub(crate) struct HuffmanEncoder {
    /// Indexed by value: the length of its code in the lowest byte, the code above it; 0 if the value
    /// has no code.
    codes: [u32; 256],
}

impl HuffmanEncoder {
    fn new(table: HuffmanTable) -> Self {
        let mut encoder = Self { codes: [0; 256] };
        let (mut code, mut values) = (0_u32, table.values.iter());
        for (length, count) in (1..=16_u32).zip(table.counts) {
            for value in values.by_ref().take(usize::from(*count)) {
                if let Some(entry) = encoder.codes.get_mut(usize::from(*value)) {
                    *entry = (code << 8) | length;
                }
                code += 1;
            }
            code <<= 1;
        }
        encoder
    }

    /// Writes the code of `value`, then the `count` bits of `extra`. `None` if there is no code.
    #[inline]
    pub fn put(&self, out: &mut BitWriter, value: u8, extra: u32, count: u32) -> Option<()> {
        let entry = self.codes.get(usize::from(value)).copied().filter(|entry| *entry != 0)?;
        let (code, length) = (entry >> 8, entry & 0xff);
        // A code has at most 16 bits, and the standard tables have codes for at most 11 more bits.
        out.put((code << count) | extra, length + count);
        Some(())
    }
}

/// Annex K's tables for encoding: DC and AC of luminance, DC and AC of chrominance.
pub(crate) static STANDARD: LazyLock<[(HuffmanEncoder, HuffmanEncoder); 2]> = LazyLock::new(|| {
    let [dc_luma, dc_chroma] = STANDARD_DC;
    let [ac_luma, ac_chroma] = STANDARD_AC;
    [
        (HuffmanEncoder::new(dc_luma), HuffmanEncoder::new(ac_luma)),
        (HuffmanEncoder::new(dc_chroma), HuffmanEncoder::new(ac_chroma)),
    ]
});
