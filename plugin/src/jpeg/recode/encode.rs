// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes a baseline image that RTP/JPEG carries: 4:2:2 or 4:2:0, one scan, Annex K's tables.

use super::bits::BitWriter;
use super::coefficients::{Ac, Plane};
use super::huffman::{HuffmanEncoder, STANDARD};
use crate::jpeg::RtpParameters;
use crate::jpeg::segments::marker;
use crate::jpeg::tables::{STANDARD_AC, STANDARD_DC};

/// A written image.
#[derive(Debug)]
pub(crate) struct EncodedJpeg {
    /// From SOI to EOI.
    pub jpeg: Vec<u8>,
    /// What RTP/JPEG sends in place of its headers.
    pub parameters: RtpParameters,
}

/// An image whose headers are written and whose scan is not.
pub(crate) struct ScanWriter {
    pub bits: BitWriter,
    pub parameters: RtpParameters,
}

/// What the headers of a written image say.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// Width and height in pixels.
    pub size: (u16, u16),
    /// The vertical sampling factor of luma: 1 is 4:2:2, 2 is 4:2:0. The horizontal one is 2.
    pub vertical: u8,
    /// The tables of luma and of chroma, in zigzag order, with values from 1 to 255.
    pub quantization: [&'a [u16; 64]; 2],
    /// MCUs between restart markers; 0 if there are none.
    pub restart_interval: u16,
}

impl Frame<'_> {
    /// The number of MCUs in a row, and of rows of MCUs.
    pub fn mcus(&self) -> (usize, usize) {
        let (width, height) = (usize::from(self.size.0), usize::from(self.size.1));
        (width.div_ceil(16), height.div_ceil(8 * usize::from(self.vertical)))
    }

    /// Starts an image with everything before the scan's data.
    pub fn start(&self, capacity: usize) -> ScanWriter {
        let mut out = Vec::with_capacity(capacity);
        out.extend([0xff, marker::SOI]);
        for (destination, table) in (0_u8..).zip(self.quantization) {
            // Values are at most 255, as the field's comment says.
            let values = table.iter().map(|value| *value as u8);
            segment(&mut out, marker::DQT, |out| {
                out.push(destination);
                out.extend(values);
            });
        }
        segment(&mut out, marker::SOF0, |out| {
            out.push(8);
            out.extend(self.size.1.to_be_bytes());
            out.extend(self.size.0.to_be_bytes());
            out.extend([3, 1, 0x20 | self.vertical, 0, 2, 0x11, 1, 3, 0x11, 1]);
        });
        segment(&mut out, marker::DHT, |out| {
            for (class, tables) in [(0x00, STANDARD_DC), (0x10, STANDARD_AC)] {
                for (destination, table) in (0_u8..).zip(tables) {
                    out.push(class | destination);
                    out.extend(table.counts);
                    out.extend(table.values);
                }
            }
        });
        if self.restart_interval > 0 {
            let interval = self.restart_interval.to_be_bytes();
            segment(&mut out, marker::DRI, |out| out.extend(interval));
        }
        let scan = [3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0];
        segment(&mut out, marker::SOS, |out| out.extend(scan));
        let parameters = RtpParameters {
            type_: u8::from(self.vertical == 2),
            width: self.size.0,
            height: self.size.1,
            restart_interval: self.restart_interval,
            quantization: self.quantization.map(|table| table.map(|value| value as u8)),
            scan_data: out.len(),
        };
        ScanWriter { bits: BitWriter::new(out), parameters }
    }

    /// Writes an image; `None` if Annex K's tables have no code for a coefficient.
    pub fn encode(
        &self,
        luma: &Plane,
        chroma: [&Plane; 2],
        capacity: usize,
    ) -> Option<EncodedJpeg> {
        let ScanWriter { bits: mut out, parameters } = self.start(capacity);
        let [luma_tables, chroma_tables] = &*STANDARD;
        let (across, down) = self.mcus();
        let vertical = usize::from(self.vertical);
        let interval = u32::from(self.restart_interval);
        let (mut until_restart, mut restarts) = (interval, 0);
        let mut predictions = [0_i16; 3];
        for row in 0..down {
            for column in 0..across {
                if interval > 0 {
                    if until_restart == 0 {
                        out.restart(restarts);
                        restarts += 1;
                        until_restart = interval;
                        predictions = [0; 3];
                    }
                    until_restart -= 1;
                }
                let [luma_prediction, chroma_predictions @ ..] = &mut predictions;
                for y in 0..vertical {
                    for x in 0..2 {
                        let block = luma.block(row * vertical + y, column * 2 + x);
                        put_block(&mut out, luma_tables, luma_prediction, block)?;
                    }
                }
                for (plane, prediction) in chroma.iter().zip(chroma_predictions) {
                    put_block(&mut out, chroma_tables, prediction, plane.block(row, column))?;
                }
            }
        }
        Some(EncodedJpeg { jpeg: out.finish(), parameters })
    }
}

fn segment(out: &mut Vec<u8>, marker: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend([0xff, marker, 0, 0]);
    let start = out.len();
    body(out);
    // The bodies above are far shorter than 64 KB; the length counts its own two bytes.
    let length = ((out.len() - start + 2) as u16).to_be_bytes();
    if let Some(field) = out.get_mut(start - 2..start) {
        field.copy_from_slice(&length);
    }
}

#[inline]
fn put_block(
    out: &mut BitWriter,
    (dc_table, ac_table): &(HuffmanEncoder, HuffmanEncoder),
    prediction: &mut i16,
    (dc, rest): (i16, &[Ac]),
) -> Option<()> {
    let difference = i32::from(dc) - i32::from(*prediction);
    *prediction = dc;
    let (size, extra) = sized(difference);
    dc_table.put(out, size as u8, extra, size)?;
    let mut next = 1_u8;
    for ac in rest {
        let mut run = ac.position - next;
        while run > 15 {
            ac_table.put(out, 0xf0, 0, 0)?;
            run -= 16;
        }
        let (size, extra) = sized(i32::from(ac.value));
        // The size is at most 16.
        ac_table.put(out, (run << 4) | (size as u8 & 15), extra, size)?;
        next = ac.position + 1;
    }
    if next < 64 {
        ac_table.put(out, 0x00, 0, 0)?;
    }
    Some(())
}

/// The number of bits that represent a value, and these bits (T.81 figure F.12, table F.1).
#[inline]
fn sized(value: i32) -> (u32, u32) {
    let size = 32 - value.unsigned_abs().leading_zeros();
    let bits = if value < 0 { value - 1 } else { value };
    // The lowest `size` bits.
    (size, bits as u32 & ((1 << size) - 1))
}
