// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds bytes before a restart marker that belong to no block. Only decoding shows them, so this reads
//! each code of a scan.

use super::bits::BitReader;
use super::decode::Geometry;
use super::huffman::HuffmanDecoder;
use crate::jpeg::header::Header;
use crate::jpeg::tables::{STANDARD_AC, STANDARD_DC};
use std::sync::LazyLock;

/// Annex K's tables: DC and AC of luminance, DC and AC of chrominance.
static DECODERS: LazyLock<[(HuffmanDecoder, HuffmanDecoder); 2]> = LazyLock::new(|| {
    let [dc_luma, dc_chroma] = STANDARD_DC.map(HuffmanDecoder::new);
    let [ac_luma, ac_chroma] = STANDARD_AC.map(HuffmanDecoder::new);
    [(dc_luma, ac_luma), (dc_chroma, ac_chroma)]
});

/// Offset of the first stray bytes before a restart marker of an image that RTP/JPEG carries. `None` if
/// there are none, or if the scan cannot be decoded up to them.
pub(crate) fn stray_bytes_in_scan(jpeg: &[u8], header: &Header, vertical: u8) -> Option<usize> {
    let interval = u32::from(header.restart_interval);
    if interval == 0 {
        return None;
    }
    let [luma, chroma] = &*DECODERS;
    let blocks = [(2 * vertical, luma), (2, chroma)];
    let (across, down) = Geometry::of(header).mcus;
    let mut bits = BitReader::new(jpeg, header.scan_data);
    for mcu in 0..across * down {
        if mcu > 0 && mcu % interval == 0 {
            if let Some(offset) = bits.stray_before_restart() {
                return Some(offset);
            }
            bits.restart(mcu / interval - 1)?;
        }
        for (count, (dc, ac)) in blocks {
            for _ in 0..count {
                skip_block(&mut bits, dc, ac)?;
            }
        }
    }
    None
}

#[inline]
fn skip_block(bits: &mut BitReader, dc: &HuffmanDecoder, ac: &HuffmanDecoder) -> Option<()> {
    let size = dc.decode(bits)?;
    bits.skip(u32::from(size & 15))?;
    let mut position = 1;
    while position < 64 {
        let symbol = ac.decode(bits)?;
        let (run, size) = (symbol >> 4, symbol & 15);
        if size == 0 && run < 15 {
            break;
        }
        position += run + 1;
        bits.skip(u32::from(size))?;
    }
    Some(())
}
