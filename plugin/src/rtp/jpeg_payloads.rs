// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTP/JPEG payloads of a frame (RFC 2435). They are the same for all receivers; only the RTP headers
//! before them differ.

use super::FIXED_LEN;
use crate::jpeg::CheckedJpeg;
use crate::movie::EOI;

/// Added to the type if there are restart markers (RFC 2435 section 3.1.3).
const RESTARTS: u8 = 64;

/// Q: each frame's first packet contains the quantization tables (RFC 2435 section 4.2).
const TABLES_IN_BAND: u8 = 255;

/// F, L and a restart count of all ones: receivers decode the frame as a whole (RFC 2435 section
/// 3.1.7).
const WHOLE_FRAME: [u8; 2] = [0xff, 0xff];

/// The RTP/JPEG payloads of a frame. All but the last one have the same length, so that the kernel
/// can split them (UDP segmentation offload).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JpegPayloads {
    /// One payload after the other.
    bytes: Vec<u8>,
    /// Length of each payload but the last one, in bytes.
    length: usize,
}

impl JpegPayloads {
    /// Cuts an image into payloads for packets of at most `packet` bytes, RTP header included.
    pub fn new(image: &CheckedJpeg, packet: usize) -> Self {
        // At least enough for the headers and some data.
        let length = packet.saturating_sub(FIXED_LEN).max(256);
        let payloads = Self::with_length(image, length);
        let data = image.scan().len() + if image.lacks_eoi() { EOI.len() } else { 0 };
        if payloads.iter().len() > 1 || data < 2 {
            return payloads;
        }
        // Receivers accept a source after two packets in sequence (RFC 3550 appendix A.1), so a movie
        // of one frame needs two.
        Self::with_length(image, payloads.bytes.len() - data / 2)
    }

    fn with_length(image: &CheckedJpeg, length: usize) -> Self {
        let (scan, parameters) = (image.scan(), image.parameters());
        let end: &[u8] = if image.lacks_eoi() { &EOI } else { &[] };
        let restarts = parameters.restart_interval > 0;
        // 2040 pixels, the limit of a checked image, are 255 blocks.
        let blocks = |side: u16| u8::try_from(side.div_ceil(8)).unwrap_or(u8::MAX);
        let type_ = if restarts { parameters.type_ | RESTARTS } else { parameters.type_ };
        let fixed = [type_, TABLES_IN_BAND, blocks(parameters.width), blocks(parameters.height)];
        let [interval_high, interval_low] = parameters.restart_interval.to_be_bytes();
        let [all_high, all_low] = WHOLE_FRAME;
        let restart = [interval_high, interval_low, all_high, all_low];
        let restart = if restarts { restart.as_slice() } else { &[] };
        let mut bytes = Vec::with_capacity(scan.len() + scan.len() / 64 + 512);
        let mut offset = 0;
        while offset < scan.len() + end.len() {
            let payload_end = bytes.len() + length;
            let [_, high, middle, low] = u32::try_from(offset).unwrap_or(u32::MAX).to_be_bytes();
            bytes.extend([0, high, middle, low]);
            bytes.extend(fixed);
            bytes.extend(restart);
            if offset == 0 {
                bytes.extend([0, 0, 0, 128]);
                bytes.extend(parameters.quantization.as_flattened());
            }
            // What is left of the scan, then of EOI.
            for (data, start) in [(scan, 0), (end, scan.len())] {
                let left = data.get(offset.saturating_sub(start)..).unwrap_or_default();
                let fits = left.get(..payload_end - bytes.len()).unwrap_or(left);
                bytes.extend(fits);
                offset += fits.len();
            }
        }
        Self { bytes, length }
    }

    /// The payloads in order.
    pub fn iter(&self) -> std::slice::Chunks<'_, u8> {
        self.bytes.chunks(self.length)
    }

    /// Length of each payload but the last one, in bytes; the last one may be shorter.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Length of all payloads together, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> IntoIterator for &'a JpegPayloads {
    type Item = &'a [u8];
    type IntoIter = std::slice::Chunks<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::jpeg::check;

    /// An image of 20x10 pixels whose scan is not decoded.
    fn image(vertical: u8, restarts: u16, scan: &[u8]) -> Vec<u8> {
        let mut jpeg = vec![0xff, 0xd8];
        for (table, value) in [(0, 7), (1, 9)] {
            jpeg.extend([0xff, 0xdb, 0, 67, table]);
            jpeg.extend([value; 64]);
        }
        let luma = 0x20 | vertical;
        jpeg.extend([0xff, 0xc0, 0, 17, 8, 0, 10, 0, 20, 3, 1, luma, 0, 2, 0x11, 1, 3, 0x11, 1]);
        if restarts > 0 {
            jpeg.extend([0xff, 0xdd, 0, 4]);
            jpeg.extend(restarts.to_be_bytes());
        }
        jpeg.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
        jpeg.extend(scan);
        jpeg
    }

    #[test]
    fn fields_are_where_the_standard_defines_them() {
        let mut scan: Vec<u8> = (0..700_u16).map(|at| at.to_be_bytes()[1]).collect();
        scan.extend(EOI);
        // Main header and restart header of each packet: type, Q, width and height in blocks.
        let rows: [(u8, u16, &[u8]); 3] = [
            (1, 0, &[0, 255, 3, 2]),
            (2, 0, &[1, 255, 3, 2]),
            (2, 0x102, &[65, 255, 3, 2, 1, 2, 0xff, 0xff]),
        ];
        for (vertical, restarts, fixed) in rows {
            let image = image(vertical, restarts, &scan);
            let payloads = JpegPayloads::new(&check(&image).unwrap(), 412);
            let tables = [&[0, 0, 0, 128][..], &[7; 64], &[9; 64]].concat();
            let mut got: Vec<u8> = Vec::new();
            for (number, payload) in payloads.iter().enumerate() {
                let offset = u16::try_from(got.len()).unwrap().to_be_bytes();
                let want = [&[0, 0, offset[0], offset[1]], fixed].concat();
                let want = if number == 0 { [want, tables.clone()].concat() } else { want };
                assert!(payload.starts_with(&want), "{number}: {payload:?}");
                got.extend(&payload[want.len()..]);
                let last = number + 1 == payloads.iter().len();
                assert!(payload.len() == 400 || last, "{number}: {}", payload.len());
            }
            assert!(got == scan);
            assert_eq!(payloads.iter().map(<[u8]>::len).sum::<usize>(), payloads.bytes());
        }
    }

    #[test]
    fn a_small_frame_has_two_payloads() {
        for length in [3, 4, 100, 1000] {
            let mut scan = vec![0; length - 2];
            scan.extend(EOI);
            let image = image(2, 0, &scan);
            let payloads = JpegPayloads::new(&check(&image).unwrap(), 1400);
            let [first, second] = payloads.iter().collect::<Vec<_>>()[..] else {
                panic!("{length}: {} payloads", payloads.iter().len());
            };
            // After 8 bytes of header and 132 of tables, and after 8 bytes of header.
            assert_eq!([&first[140..], &second[8..]].concat(), scan, "{length}");
            assert!(second.len() <= first.len() && first.len() == payloads.length(), "{length}");
        }
    }

    #[test]
    fn a_missing_end_of_image_is_sent() {
        // Payloads of 256 bytes: EOI within the first one, on both sides of a cut, after a cut.
        for (vertical, mcus) in [(1, 45), (1, 46), (2, 29)] {
            // Blocks without a coefficient: 00 1010 of luma, 00 00 of chroma.
            let mcu = "001010".repeat(2 * usize::from(vertical)) + "00000000";
            let mut bits = mcu.repeat(usize::from(mcus));
            while !bits.len().is_multiple_of(8) {
                bits.push('1');
            }
            let byte = |bits: &[u8]| u8::from_str_radix(str::from_utf8(bits).unwrap(), 2).unwrap();
            let scan: Vec<u8> = bits.as_bytes().chunks(8).map(byte).collect();
            let mut cut = image(vertical, 0, &scan);
            let size = [[0, 8 * vertical], (16_u16 * mcus).to_be_bytes()].concat();
            let sof = cut.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
            cut[sof + 5..sof + 9].copy_from_slice(&size);
            let whole = [&cut[..], &EOI].concat();
            let (cut, whole) = (check(&cut).unwrap(), check(&whole).unwrap());
            assert!(cut.lacks_eoi() && !whole.lacks_eoi());
            assert_eq!(JpegPayloads::new(&cut, 0), JpegPayloads::new(&whole, 0), "{mcus} MCUs");
        }
    }
}
