// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes progressive images (T.81 annex G): each scan adds coefficients, or bits of coefficients.

use super::bits::BitReader;
use super::coefficients::Plane;
use super::decode::{Geometry, ScanGeometry, extend, quantization};
use super::huffman::HuffmanDecoder;
use crate::jpeg::header::{Damage, Header};
use crate::jpeg::tables::{STANDARD_AC, STANDARD_DC, given_or_standard};

/// No encoder makes more scans than this. It limits the time, since each scan visits all blocks.
const MAX_SCANS: u32 = 100;

/// A component's coefficients while scans are being decoded.
struct DensePlane {
    across: usize,
    blocks: Vec<[i16; 64]>,
    quantization: [u16; 64],
}

pub(super) fn decode_progressive(jpeg: &[u8], header: &Header) -> Result<Vec<Plane>, Damage> {
    let mut header = *header;
    let geometry = Geometry::of(&header);
    // The first scan has at least one bit for each block of its components.
    let blocks: u64 = header
        .components()
        .iter()
        .map(|c| geometry.padded(*c))
        .map(|(x, y)| u64::from(x * y))
        .sum();
    if blocks > 8 * jpeg.len() as u64 {
        return Err(Damage::ScanCut);
    }
    let mut planes = Vec::with_capacity(header.components().len());
    for component in header.components() {
        let (across, down) = geometry.padded(*component);
        planes.push(DensePlane {
            across: across as usize,
            blocks: vec![[0; 64]; (across * down) as usize],
            quantization: quantization(&header, *component)
                .ok_or(Damage::NoQuantizationTable { table: component.quantization })?,
        });
    }
    for _ in 0..MAX_SCANS {
        let mut bits = BitReader::new(jpeg, header.scan_data);
        decode_scan(&mut bits, &header, geometry, &mut planes).ok_or(Damage::ScanCut)?;
        match header.next_scan(jpeg, bits.next_marker()) {
            Ok(()) => {}
            // EOI, or the end of the bytes; there may be segments before it.
            Err(Damage::NoScan) => {
                return Ok(planes.into_iter().map(DensePlane::into_plane).collect());
            }
            Err(damage) => return Err(damage),
        }
    }
    Err(Damage::ScanCut)
}

impl DensePlane {
    fn into_plane(self) -> Plane {
        let down = self.blocks.len() / self.across.max(1);
        let mut plane = Plane::new(self.across, down, self.quantization);
        for (index, block) in self.blocks.iter().enumerate() {
            let start = plane.len();
            let [dc, rest @ ..] = block;
            for (position, value) in (1..).zip(rest).filter(|(_, value)| **value != 0) {
                plane.push(position, *value);
            }
            // The loop stays inside the plane.
            let _ = plane.end_block(index / self.across, index % self.across, *dc, start);
        }
        plane
    }
}

/// Which bits of which coefficients a scan codes.
struct ProgressiveScan {
    first: usize,
    last: usize,
    /// Al: the lowest bit that the scan codes.
    low: u32,
    /// Whether the scan adds one bit to coefficients of earlier scans (Ah is not 0).
    refines: bool,
    /// The number of following blocks without further coefficients in this band (EOBRUN).
    end_run: u32,
}

fn decode_scan(
    bits: &mut BitReader,
    header: &Header,
    geometry: Geometry,
    planes: &mut [DensePlane],
) -> Option<()> {
    let (high, low) = (header.scan.approximation >> 4, header.scan.approximation & 15);
    let (first, last) = (header.scan.spectral_start, header.scan.spectral_end);
    let mut scan = ProgressiveScan {
        first: usize::from(first),
        last: usize::from(last),
        low: u32::from(low),
        refines: high > 0,
        end_run: 0,
    };
    // T.81 G.1.1.1: either DC only, or a band of AC coefficients of one component.
    let listed = header.scan.components();
    let valid =
        if first == 0 { last == 0 } else { first <= last && last < 64 && listed.len() == 1 };
    if !valid || low > 13 {
        return None;
    }
    let ScanGeometry { components, mcus } = ScanGeometry::of(header, geometry)?;
    let mut component_decoders = Vec::with_capacity(listed.len());
    for ((index, blocks), component) in components.iter().zip(listed) {
        let table = if first == 0 {
            (!scan.refines).then(|| given_or_standard(&header.dc, &STANDARD_DC, component.dc))
        } else {
            Some(given_or_standard(&header.ac, &STANDARD_AC, component.ac))
        };
        let decoder = match table {
            Some(table) => Some(HuffmanDecoder::new(table?)),
            None => None,
        };
        component_decoders.push((*index, *blocks, decoder, 0_i32));
    }
    let interval = u64::from(header.restart_interval);
    for mcu in 0..u64::from(mcus.0) * u64::from(mcus.1) {
        if interval > 0 && mcu > 0 && mcu % interval == 0 {
            // Markers are numbered modulo 8.
            bits.restart((mcu / interval - 1) as u32)?;
            scan.end_run = 0;
            for (.., prediction) in &mut component_decoders {
                *prediction = 0;
            }
        }
        let (row, column) = (mcu / u64::from(mcus.0), mcu % u64::from(mcus.0));
        for (index, blocks, decoder, prediction) in &mut component_decoders {
            let plane = planes.get_mut(*index)?;
            for y in 0..blocks.1 {
                for x in 0..blocks.0 {
                    let row = (row * u64::from(blocks.1) + u64::from(y)) as usize;
                    let column = (column * u64::from(blocks.0) + u64::from(x)) as usize;
                    let block = plane.blocks.get_mut(row * plane.across + column)?;
                    match (decoder.as_ref(), scan.first, scan.refines) {
                        (Some(decoder), 0, _) => {
                            let size = u32::from(decoder.decode(bits)?);
                            if size > 15 {
                                return None;
                            }
                            *prediction += extend(bits.take(size)?, size);
                            let dc = i16::try_from(*prediction << scan.low).ok()?;
                            *block.first_mut()? = dc;
                        }
                        (None, ..) => *block.first_mut()? |= (bits.bit()? << scan.low) as i16,
                        (Some(decoder), _, false) => scan.first_ac(bits, decoder, block)?,
                        (Some(decoder), _, true) => scan.refine_ac(bits, decoder, block)?,
                    }
                }
            }
        }
    }
    Some(())
}

impl ProgressiveScan {
    /// Decodes a block in the first scan of its coefficients (T.81 G.1.2.2).
    fn first_ac(
        &mut self,
        bits: &mut BitReader,
        decoder: &HuffmanDecoder,
        block: &mut [i16; 64],
    ) -> Option<()> {
        if self.end_run > 0 {
            self.end_run -= 1;
            return Some(());
        }
        let mut position = self.first;
        while position <= self.last {
            let symbol = u32::from(decoder.decode(bits)?);
            let (run, size) = (symbol >> 4, symbol & 15);
            if size == 0 {
                if run < 15 {
                    self.end_run = (1 << run) - 1 + bits.take(run)?;
                    return Some(());
                }
                position += 16;
                continue;
            }
            position += run as usize;
            let value = extend(bits.take(size)?, size) << self.low;
            *block.get_mut(position).filter(|_| position <= self.last)? =
                i16::try_from(value).ok()?;
            position += 1;
        }
        Some(())
    }

    /// Decodes a block in a scan that adds bits (T.81 G.1.2.3).
    fn refine_ac(
        &mut self,
        bits: &mut BitReader,
        decoder: &HuffmanDecoder,
        block: &mut [i16; 64],
    ) -> Option<()> {
        let one = 1_i16 << self.low;
        let mut position = self.first;
        while self.end_run == 0 && position <= self.last {
            let symbol = u32::from(decoder.decode(bits)?);
            let (mut run, size) = (symbol >> 4, symbol & 15);
            let new = match size {
                0 if run < 15 => {
                    self.end_run = (1 << run) + bits.take(run)?;
                    break;
                }
                0 => 0,
                1 => {
                    if bits.bit()? == 1 {
                        one
                    } else {
                        -one
                    }
                }
                _ => return None,
            };
            // Skips `run` zeros; each coefficient that is not zero has a bit of its own here.
            while position <= self.last {
                let value = block.get_mut(position)?;
                if *value != 0 {
                    refine(value, bits, one)?;
                } else if run == 0 {
                    *value = new;
                    position += 1;
                    break;
                } else {
                    run -= 1;
                }
                position += 1;
            }
        }
        if self.end_run > 0 {
            let rest = block.get_mut(position..=self.last).unwrap_or_default();
            for value in rest.iter_mut().filter(|value| **value != 0) {
                refine(value, bits, one)?;
            }
            self.end_run -= 1;
        }
        Some(())
    }
}

fn refine(value: &mut i16, bits: &mut BitReader, one: i16) -> Option<()> {
    if bits.bit()? == 1 && *value & one == 0 {
        *value = value.checked_add(if *value > 0 { one } else { -one })?;
    }
    Some(())
}
