// SPDX-License-Identifier: MIT OR Apache-2.0
//! One frame as RTP/JPEG payloads (RFC 2435), for any number of receivers: only the RTP header in
//! front of a payload differs between them.

use super::FIXED_LEN;
use crate::jpeg::{Damage, Header};

/// The type that 4:2:2 and 4:2:0 have (RFC 2435 section 4.1).
const TYPE_422: u8 = 0;
const TYPE_420: u8 = 1;

/// Added to the type if there are restart markers (section 3.1.3).
const RESTARTS: u8 = 64;

/// The tables are in each frame's first packet (section 4.2).
const TABLES_IN_BAND: u8 = 255;

/// F, L and a count of all ones: the frame is decoded as a whole (section 3.1.7).
const WHOLE_FRAME: [u8; 2] = [0xff, 0xff];

/// A frame's RTP/JPEG payloads. All but the last one have one length, so that the kernel can cut
/// them (UDP segmentation offload).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JpegPayloads {
    /// One behind the other.
    bytes: Vec<u8>,
    /// Bytes of each but the last.
    length: usize,
}

impl JpegPayloads {
    /// Cuts an image that [`check`](crate::jpeg::check) lets pass into payloads for packets of at
    /// most `packet` bytes, their RTP header included.
    ///
    /// # Errors
    /// If the image's header cannot be read, or has none of what RFC 2435 says.
    pub fn cut(jpeg: &[u8], packet: usize) -> Result<Self, Damage> {
        let header = Header::parse(jpeg)?;
        let &[luma, chroma, _] = header.components() else {
            return Err(Damage::NoFrameHeader);
        };
        let scan = jpeg.get(header.scan_data..).unwrap_or_default();
        let kind = if luma.vertical == 2 { TYPE_420 } else { TYPE_422 };
        let restarts = header.restart_interval > 0;
        let table = |destination: u8| {
            let table = header.quantization.get(usize::from(destination)).copied().flatten();
            table.ok_or(Damage::NoQuantizationTable { table: destination })
        };
        let (luma, chroma) = (table(luma.quantization)?, table(chroma.quantization)?);
        // 2040 pixels are 255 blocks, which check sees to.
        let blocks = |side: u16| u8::try_from(side.div_ceil(8)).unwrap_or(u8::MAX);
        let kind = if restarts { kind | RESTARTS } else { kind };
        let fixed = [kind, TABLES_IN_BAND, blocks(header.width), blocks(header.height)];
        let [interval_high, interval_low] = header.restart_interval.to_be_bytes();
        let [all_high, all_low] = WHOLE_FRAME;
        let restart = [interval_high, interval_low, all_high, all_low];
        let restart = if restarts { restart.as_slice() } else { &[] };
        let tables = [&[0, 0, 0, 128], luma.values, chroma.values].concat();
        // Room for the headers and some data, whatever is asked for.
        let length = packet.saturating_sub(FIXED_LEN).max(256);
        let mut bytes = Vec::with_capacity(scan.len() + scan.len() / 64 + 512);
        let mut offset = 0;
        while offset < scan.len() {
            let end = bytes.len() + length;
            let [_, high, middle, low] = u32::try_from(offset).unwrap_or(u32::MAX).to_be_bytes();
            bytes.extend([0, high, middle, low]);
            bytes.extend(fixed);
            bytes.extend(restart);
            if offset == 0 {
                bytes.extend(&tables);
            }
            let room = end - bytes.len();
            let data = scan.get(offset..).unwrap_or_default();
            let data = data.get(..room).unwrap_or(data);
            bytes.extend(data);
            offset += data.len();
        }
        Ok(Self { bytes, length })
    }

    /// The payloads in order.
    pub fn iter(&self) -> std::slice::Chunks<'_, u8> {
        self.bytes.chunks(self.length)
    }

    /// Bytes of each payload but the last one, which has as many or fewer.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Bytes of all payloads.
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

    /// An image of 20x10 pixels, as far as it is looked at.
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
    fn fields_lie_where_the_standard_has_them() {
        let scan: Vec<u8> = (0..700_u16).map(|at| at.to_be_bytes()[1]).collect();
        // Main header and restart header of each packet: type, Q, width and height in blocks.
        let rows: [(u8, u16, &[u8]); 3] = [
            (1, 0, &[0, 255, 3, 2]),
            (2, 0, &[1, 255, 3, 2]),
            (2, 0x102, &[65, 255, 3, 2, 1, 2, 0xff, 0xff]),
        ];
        for (vertical, restarts, fixed) in rows {
            let payloads = JpegPayloads::cut(&image(vertical, restarts, &scan), 412).unwrap();
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
    fn what_has_no_three_components_is_refused() {
        assert!(JpegPayloads::cut(b"", 1400).is_err());
        assert!(JpegPayloads::cut(&[0xff, 0xd8], 1400).is_err());
    }
}
