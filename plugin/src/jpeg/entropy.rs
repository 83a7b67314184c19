// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a sequential Huffman-coded scan (T.81 section F.2) for the one question whether all
//! of its blocks are there.

use super::segments::marker;
use super::tables::{STANDARD_AC, STANDARD_DC};
use super::{Component, Header, HuffmanTable};

/// Whether every block of `header`'s first scan is in `jpeg`. For images without EOI, which are
/// rare: the codes are read one by one.
pub fn scan_is_complete(jpeg: &[u8], header: &Header) -> bool {
    let data = jpeg.get(header.scan_data..).unwrap_or_default();
    read_blocks(Bits::new(data), header).is_some()
}

/// One component's part of an MCU: how many blocks, and the tables that they are coded with.
struct Part {
    blocks: u32,
    dc: Codes,
    ac: Codes,
}

/// `None` as soon as the data end or hold no code.
fn read_blocks(mut bits: Bits, header: &Header) -> Option<()> {
    let scan = header.scan.components();
    let all = header.components();
    let alone = scan.len() == 1;
    let mut parts = Vec::with_capacity(scan.len());
    for component in scan {
        let frame = all.iter().find(|frame| frame.id == component.id)?;
        parts.push(Part {
            blocks: if alone { 1 } else { u32::from(frame.horizontal) * u32::from(frame.vertical) },
            dc: Codes::new(pick(&header.dc, &STANDARD_DC, component.dc)?),
            ac: Codes::new(pick(&header.ac, &STANDARD_AC, component.ac)?),
        });
    }
    let most = |factor: fn(&Component) -> u8| all.iter().map(factor).max().map_or(1, u32::from);
    let (most_h, most_v) = (most(|c| c.horizontal), most(|c| c.vertical));
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    let mcus = if let [component] = scan {
        // A scan of one component has its own blocks only (T.81 A.2.2).
        let frame = all.iter().find(|frame| frame.id == component.id)?;
        let across = (width * u32::from(frame.horizontal)).div_ceil(most_h).div_ceil(8);
        across * (height * u32::from(frame.vertical)).div_ceil(most_v).div_ceil(8)
    } else {
        width.div_ceil(8 * most_h) * height.div_ceil(8 * most_v)
    };
    for mcu in 0..mcus {
        let interval = u32::from(header.restart_interval);
        if interval > 0 && mcu > 0 && mcu % interval == 0 {
            bits.restart()?;
        }
        for part in &parts {
            for _ in 0..part.blocks {
                read_block(&mut bits, part)?;
            }
        }
    }
    Some(())
}

fn read_block(bits: &mut Bits, part: &Part) -> Option<()> {
    let size = part.dc.decode(bits)?;
    bits.skip(size)?;
    let mut coefficient = 1_u32;
    while coefficient < 64 {
        let symbol = part.ac.decode(bits)?;
        let (run, size) = (u32::from(symbol >> 4), symbol & 15);
        if size == 0 && run < 15 {
            return Some(());
        }
        coefficient += run + 1;
        bits.skip(size)?;
    }
    (coefficient == 64).then_some(())
}

fn pick<'a>(
    given: &[Option<HuffmanTable<'a>>; 4],
    standard: &[HuffmanTable<'a>; 2],
    which: u8,
) -> Option<HuffmanTable<'a>> {
    let which = usize::from(which);
    given.get(which).copied().flatten().or_else(|| standard.get(which).copied())
}

/// A Huffman table ready for decoding (T.81 F.2.2.3): for each length the first code, the
/// number of codes and where their values begin.
struct Codes {
    lengths: Vec<(u32, u32, usize)>,
    values: Vec<u8>,
}

impl Codes {
    fn new(table: HuffmanTable) -> Self {
        let (mut code, mut start) = (0, 0);
        let lengths = table
            .counts
            .iter()
            .map(|count| {
                let entry = (code, u32::from(*count), start);
                code = (code + u32::from(*count)) << 1;
                start += usize::from(*count);
                entry
            })
            .collect();
        Self { lengths, values: table.values.to_vec() }
    }

    fn decode(&self, bits: &mut Bits) -> Option<u8> {
        let mut code = 0;
        for (first, count, start) in &self.lengths {
            code = (code << 1) | bits.bit()?;
            if let Some(index) = code.checked_sub(*first).filter(|index| index < count) {
                return self.values.get(start + index as usize).copied();
            }
        }
        None
    }
}

/// The scan's bits, with stuffed bytes taken out.
struct Bits<'a> {
    data: &'a [u8],
    current: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, current: 0, left: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            match self.data {
                [0xff, 0x00, rest @ ..] => (self.current, self.data) = (0xff, rest),
                // A marker, or FF cut from what follows it: no more bits here.
                [0xff, ..] | [] => return None,
                [byte, rest @ ..] => (self.current, self.data) = (*byte, rest),
            }
            self.left = 8;
        }
        self.left -= 1;
        Some(u32::from(self.current >> self.left) & 1)
    }

    fn skip(&mut self, bits: u8) -> Option<()> {
        (0..bits).try_for_each(|_| self.bit().map(|_| ()))
    }

    /// Passes over a restart marker, which stands on a byte's begin.
    fn restart(&mut self) -> Option<()> {
        self.left = 0;
        while self.data.starts_with(&[0xff, 0xff]) {
            self.data = self.data.get(1..)?;
        }
        match self.data {
            [0xff, marker::RST0..=marker::RST7, rest @ ..] => {
                self.data = rest;
                Some(())
            }
            _ => None,
        }
    }
}
