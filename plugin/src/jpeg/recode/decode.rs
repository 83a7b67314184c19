// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes scans to coefficients: sequential Huffman coding (T.81 section F.2), in one interleaved
//! scan or several. `progressive.rs` decodes progressive images.

use super::bits::BitReader;
use super::coefficients::Plane;
use super::huffman::HuffmanDecoder;
use super::progressive::decode_progressive;
use crate::jpeg::QuantizationTable;
use crate::jpeg::header::{Component, Damage, Header, Process};
use crate::jpeg::tables::{STANDARD_AC, STANDARD_DC, given_or_standard};

/// Sizes that follow from a frame header (T.81 section A.1.1 and A.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// The largest horizontal and vertical sampling factor.
    pub most: (u32, u32),
    /// The number of MCUs in a row of an interleaved scan, and of rows of MCUs.
    pub mcus: (u32, u32),
    size: (u32, u32),
}

impl Geometry {
    pub fn of(header: &Header) -> Self {
        let all = header.components();
        let most = |factor: fn(&Component) -> u8| all.iter().map(factor).max().map_or(1, u32::from);
        let most = (most(|c| c.horizontal), most(|c| c.vertical));
        let size = (u32::from(header.width), u32::from(header.height));
        let mcus = (size.0.div_ceil(8 * most.0), size.1.div_ceil(8 * most.1));
        Self { most, mcus, size }
    }

    /// The number of blocks of a component across and down, without padding.
    pub fn needed(self, component: Component) -> (u32, u32) {
        let blocks = |size: u32, factor: u8, most: u32| {
            (size * u32::from(factor)).div_ceil(most).div_ceil(8)
        };
        (
            blocks(self.size.0, component.horizontal, self.most.0),
            blocks(self.size.1, component.vertical, self.most.1),
        )
    }

    /// The number of blocks of a component across and down, with the padding to whole MCUs.
    pub fn padded(self, component: Component) -> (u32, u32) {
        (self.mcus.0 * u32::from(component.horizontal), self.mcus.1 * u32::from(component.vertical))
    }
}

/// The blocks that a scan codes (T.81 section A.2).
#[derive(Debug)]
pub(crate) struct ScanGeometry {
    /// For each component of the scan: its index in the frame, and the number of blocks of an MCU
    /// across and down.
    pub components: Vec<(usize, (u32, u32))>,
    /// The number of MCUs in a row, and of rows of MCUs.
    pub mcus: (u32, u32),
}

impl ScanGeometry {
    /// `None` if a component of the scan is not in the frame.
    pub fn of(header: &Header, geometry: Geometry) -> Option<Self> {
        let (frame, scan) = (header.components(), header.scan.components());
        let components = scan.iter().map(|component| {
            let index = frame.iter().position(|it| it.id == component.id)?;
            let factors = frame.get(index).map(|it| (it.horizontal.into(), it.vertical.into()))?;
            Some((index, factors))
        });
        let mut components: Vec<(usize, (u32, u32))> = components.collect::<Option<_>>()?;
        // An MCU of a scan of one component is one of its blocks, without padding (T.81 A.2.2).
        let mcus = if let [(index, blocks)] = &mut components[..] {
            *blocks = (1, 1);
            geometry.needed(*frame.get(*index)?)
        } else {
            geometry.mcus
        };
        Some(Self { components, mcus })
    }
}

/// A component's quantization table as numbers, in zigzag order.
pub(crate) fn quantization(header: &Header, component: Component) -> Option<[u16; 64]> {
    let table: QuantizationTable =
        header.quantization.get(usize::from(component.quantization)).copied().flatten()?;
    let mut values = [0; 64];
    if table.wide {
        for (to, from) in values.iter_mut().zip(table.values.chunks_exact(2)) {
            *to = u16::from_be_bytes(*from.first_chunk()?);
        }
    } else {
        for (to, from) in values.iter_mut().zip(table.values) {
            *to = u16::from(*from);
        }
    }
    // T.81 B.2.4.1: no value is 0.
    (!values.contains(&0)).then_some(values)
}

/// Decodes the blocks of one component in a scan.
struct ComponentDecoder {
    /// Index of the component in the frame.
    index: usize,
    /// The number of blocks of an MCU across and down.
    blocks: (u32, u32),
    dc: HuffmanDecoder,
    ac: HuffmanDecoder,
    prediction: i32,
}

/// Decodes the coefficients of all components of an image, in the frame's order.
///
/// # Errors
/// [`Damage::ScanCut`] if coefficients are missing or the data is not a code.
pub(crate) fn decode(jpeg: &[u8], header: &Header) -> Result<Vec<Plane>, Damage> {
    if header.process == Process::Progressive {
        return decode_progressive(jpeg, header);
    }
    let mut header = *header;
    let geometry = Geometry::of(&header);
    let mut planes: Vec<Option<Plane>> = vec![None; header.components().len()];
    loop {
        let mut bits = BitReader::new(jpeg, header.scan_data);
        decode_scan(&mut bits, &header, geometry, &mut planes).ok_or(Damage::ScanCut)?;
        if planes.iter().all(Option::is_some) {
            break;
        }
        header.next_scan(jpeg, bits.next_marker())?;
    }
    Ok(planes.into_iter().flatten().collect())
}

fn component_decoders(header: &Header, scan: &ScanGeometry) -> Option<Vec<ComponentDecoder>> {
    let mut decoders = Vec::with_capacity(scan.components.len());
    for ((index, blocks), component) in scan.components.iter().zip(header.scan.components()) {
        decoders.push(ComponentDecoder {
            index: *index,
            blocks: *blocks,
            dc: HuffmanDecoder::new(given_or_standard(&header.dc, &STANDARD_DC, component.dc)?),
            ac: HuffmanDecoder::new(given_or_standard(&header.ac, &STANDARD_AC, component.ac)?),
            prediction: 0,
        });
    }
    Some(decoders)
}

/// `None` if the data ends too early or contains what is not a code.
fn decode_scan(
    bits: &mut BitReader,
    header: &Header,
    geometry: Geometry,
    planes: &mut [Option<Plane>],
) -> Option<()> {
    let scan = ScanGeometry::of(header, geometry)?;
    let mut decoders = component_decoders(header, &scan)?;
    let mcus = scan.mcus;
    // A block takes at least two bits. No memory is allocated for blocks that cannot be present.
    let blocks: u64 =
        decoders.iter().map(|decoder| u64::from(decoder.blocks.0 * decoder.blocks.1)).sum();
    if blocks * u64::from(mcus.0) * u64::from(mcus.1) > 4 * bits.bytes_left() as u64 {
        return None;
    }
    for decoder in &decoders {
        let frame = header.components().get(decoder.index)?;
        let slot = planes.get_mut(decoder.index)?;
        if slot.is_some() {
            return None;
        }
        let (across, down) = (mcus.0 * decoder.blocks.0, mcus.1 * decoder.blocks.1);
        *slot = Some(Plane::new(across as usize, down as usize, quantization(header, *frame)?));
    }
    let interval = u32::from(header.restart_interval);
    let (mut until_restart, mut restarts) = (interval, 0);
    for row in 0..mcus.1 {
        for column in 0..mcus.0 {
            if interval > 0 {
                if until_restart == 0 {
                    bits.restart(restarts)?;
                    restarts += 1;
                    for decoder in &mut decoders {
                        decoder.prediction = 0;
                    }
                    until_restart = interval;
                }
                until_restart -= 1;
            }
            for decoder in &mut decoders {
                let plane = planes.get_mut(decoder.index)?.as_mut()?;
                for y in 0..decoder.blocks.1 {
                    for x in 0..decoder.blocks.0 {
                        let row = (row * decoder.blocks.1 + y) as usize;
                        let column = (column * decoder.blocks.0 + x) as usize;
                        decode_block(bits, decoder, plane, row, column)?;
                    }
                }
            }
        }
    }
    Some(())
}

#[inline]
fn decode_block(
    bits: &mut BitReader,
    decoder: &mut ComponentDecoder,
    plane: &mut Plane,
    row: usize,
    column: usize,
) -> Option<()> {
    let start = plane.len();
    let size = u32::from(decoder.dc.decode(bits)?);
    if size > 15 {
        return None;
    }
    let difference = extend(bits.take(size)?, size);
    decoder.prediction += difference;
    let dc = i16::try_from(decoder.prediction).ok()?;
    let mut position = 1_u32;
    while position < 64 {
        let symbol = u32::from(decoder.ac.decode(bits)?);
        let (run, size) = (symbol >> 4, symbol & 15);
        if size == 0 {
            if run < 15 {
                return plane.end_block(row, column, dc, start);
            }
            position += 16;
            continue;
        }
        position += run;
        let value = extend(bits.take(size)?, size);
        if position > 63 {
            return None;
        }
        // The position is below 64, and the value has at most 15 bits.
        plane.push(position as u8, value as i16);
        position += 1;
    }
    (position == 64).then_some(())?;
    plane.end_block(row, column, dc, start)
}

/// The value that a number of `size` bits represents (T.81 figure F.12).
#[inline]
pub(crate) fn extend(bits: u32, size: u32) -> i32 {
    if size == 0 {
        return 0;
    }
    // Less than 2^16.
    let bits = bits as i32;
    if bits < 1 << (size - 1) { bits - (1 << size) + 1 } else { bits }
}
