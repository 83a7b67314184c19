// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes the Huffman tables of an image: replaces each code and copies the bits that follow it.
//! For images whose Huffman tables are the only reason that RTP/JPEG cannot carry them.

use super::bits::{BitReader, BitWriter};
use super::decode::Geometry;
use super::encode::{EncodedJpeg, Frame, ScanWriter};
use super::huffman::{HuffmanDecoder, HuffmanEncoder, STANDARD};
use crate::jpeg::header::Header;
use crate::jpeg::tables::{STANDARD_AC, STANDARD_DC, given_or_standard};

/// Why an image was not transcoded.
pub(super) enum TranscodeError {
    /// Blocks are missing.
    Damaged,
    /// Annex K's tables have no code for a coefficient.
    TooLarge,
}

/// Replaces the Huffman tables by those of Annex K. `header` must have one scan of three components
/// in the frame's order, with exactly the sampling factors of RTP's 4:2:2 or 4:2:0.
pub(super) fn transcode(
    jpeg: &[u8],
    header: &Header,
    frame: &Frame,
) -> Result<EncodedJpeg, TranscodeError> {
    let mut bits = BitReader::new(jpeg, header.scan_data);
    let ScanWriter { bits: mut out, parameters } = frame.start(jpeg.len() * 5 / 4 + 1024);
    let [luma, chroma] = &*STANDARD;
    let mut components = Vec::with_capacity(3);
    for (index, component) in header.scan.components().iter().enumerate() {
        let dc = given_or_standard(&header.dc, &STANDARD_DC, component.dc)
            .ok_or(TranscodeError::Damaged)?;
        let ac = given_or_standard(&header.ac, &STANDARD_AC, component.ac)
            .ok_or(TranscodeError::Damaged)?;
        let blocks = if index == 0 { 2 * u32::from(frame.vertical) } else { 1 };
        let tables = if index == 0 { luma } else { chroma };
        components.push((blocks, HuffmanDecoder::new(dc), HuffmanDecoder::new(ac), tables));
    }
    let (across, down) = Geometry::of(header).mcus;
    let interval = u32::from(header.restart_interval);
    let (mut until_restart, mut restarts) = (interval, 0);
    for _ in 0..u64::from(across) * u64::from(down) {
        if interval > 0 {
            if until_restart == 0 {
                bits.restart(restarts).ok_or(TranscodeError::Damaged)?;
                out.restart(restarts);
                restarts += 1;
                until_restart = interval;
            }
            until_restart -= 1;
        }
        for (blocks, dc, ac, tables) in &components {
            for _ in 0..*blocks {
                transcode_block(&mut bits, &mut out, dc, ac, tables)?;
            }
        }
    }
    Ok(EncodedJpeg { jpeg: out.finish(), parameters })
}

#[inline]
fn transcode_block(
    bits: &mut BitReader,
    out: &mut BitWriter,
    dc: &HuffmanDecoder,
    ac: &HuffmanDecoder,
    (dc_table, ac_table): &(HuffmanEncoder, HuffmanEncoder),
) -> Result<(), TranscodeError> {
    let size = dc.decode(bits).ok_or(TranscodeError::Damaged)?;
    let extra = bits.take(u32::from(size & 15)).ok_or(TranscodeError::Damaged)?;
    dc_table.put(out, size, extra, u32::from(size)).ok_or(TranscodeError::TooLarge)?;
    let mut position = 1;
    while position < 64 {
        let symbol = ac.decode(bits).ok_or(TranscodeError::Damaged)?;
        let size = u32::from(symbol & 15);
        let extra = bits.take(size).ok_or(TranscodeError::Damaged)?;
        // Runs without a value, other than ZRL, mean the same as EOB (T.81 figure F.13).
        let symbol = if size == 0 && symbol < 0xf0 { 0 } else { symbol };
        ac_table.put(out, symbol, extra, size).ok_or(TranscodeError::TooLarge)?;
        if symbol == 0 {
            return Ok(());
        }
        position += u32::from(symbol >> 4) + 1;
    }
    if position == 64 { Ok(()) } else { Err(TranscodeError::Damaged) }
}
