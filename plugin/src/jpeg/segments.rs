// SPDX-License-Identifier: MIT OR Apache-2.0
//! The marker segments of an image (T.81 section B.1.1).

use super::Damage;

/// Marker codes, the byte after FF (T.81 table B.1).
pub(super) mod marker {
    pub const SOF0: u8 = 0xc0;
    pub const SOF15: u8 = 0xcf;
    pub const DHT: u8 = 0xc4;
    pub const JPG: u8 = 0xc8;
    pub const DAC: u8 = 0xcc;
    pub const RST0: u8 = 0xd0;
    pub const RST7: u8 = 0xd7;
    pub const SOI: u8 = 0xd8;
    pub const EOI: u8 = 0xd9;
    pub const SOS: u8 = 0xda;
    pub const DQT: u8 = 0xdb;
    pub const DRI: u8 = 0xdd;
    pub const APP14: u8 = 0xee;
    pub const TEM: u8 = 0x01;

    /// Whether the marker starts a frame header: SOF0 to SOF15, without the three codes in that
    /// range that have other meanings.
    pub fn is_sof(code: u8) -> bool {
        matches!(code, SOF0..=SOF15) && !matches!(code, DHT | JPG | DAC)
    }
}

/// One marker segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The byte after FF.
    pub marker: u8,
    /// Offset of the FF, in bytes from the start of the image.
    pub offset: usize,
    /// What follows the length field.
    pub body: &'a [u8],
    /// Offset of the first byte after the segment.
    pub end: usize,
}

/// Iterator over an image's segments, from SOI up to and including the first SOS.
///
/// Fill bytes (T.81 B.1.1.2) are skipped. The iterator ends after an error or SOS.
#[derive(Debug, Clone)]
pub struct Segments<'a> {
    jpeg: &'a [u8],
    next: Option<usize>,
}

impl<'a> Segments<'a> {
    /// Starts at the SOI of `jpeg`.
    pub fn new(jpeg: &'a [u8]) -> Self {
        Self { jpeg, next: Some(0) }
    }

    /// Continues at `offset`, after a scan's data, up to and including the next SOS.
    pub fn after_scan(jpeg: &'a [u8], offset: usize) -> Self {
        Self { jpeg, next: Some(offset) }
    }

    fn read(&self, offset: usize) -> Result<Segment<'a>, Damage> {
        let mut at = offset;
        match self.jpeg.get(at) {
            Some(0xff) => {}
            Some(found) => return Err(Damage::NotAMarker { offset: at, found: *found }),
            None => return Err(Damage::NoScan),
        }
        while self.jpeg.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let marker = *self.jpeg.get(at + 1).ok_or(Damage::NoScan)?;
        let body_start = at + 4;
        let cut = Damage::SegmentCut { marker, offset: at };
        let Some(&[high, low]) = self.jpeg.get(at + 2..body_start) else {
            return Err(cut);
        };
        // The length counts its own two bytes (T.81 B.1.1.4).
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body_length =
            length.checked_sub(2).ok_or(Damage::SegmentTooShort { marker, offset: at })?;
        let end = body_start + body_length;
        let body = self.jpeg.get(body_start..end).ok_or(cut)?;
        Ok(Segment { marker, offset: at, body, end })
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Segment<'a>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut offset = self.next.take()?;
        if offset == 0 {
            if !self.jpeg.starts_with(&[0xff, marker::SOI]) {
                return Some(Err(Damage::NoSoi));
            }
            offset = 2;
        }
        // TEM and RSTn have no length and no body.
        while let Some(&[0xff, code]) = self.jpeg.get(offset..offset + 2) {
            match code {
                marker::TEM | marker::RST0..=marker::RST7 => offset += 2,
                marker::EOI => return Some(Err(Damage::NoScan)),
                marker::SOI => return Some(Err(Damage::NotAMarker { offset, found: code })),
                _ => break,
            }
        }
        let segment = self.read(offset);
        if let Ok(segment) = &segment
            && segment.marker != marker::SOS
        {
            self.next = Some(segment.end);
        }
        Some(segment)
    }
}

/// Width and height in pixels from the first frame header; nothing after it is read. `None` if
/// there is no frame header or one of them is 0.
pub fn frame_size(jpeg: &[u8]) -> Option<(u16, u16)> {
    let sof =
        Segments::new(jpeg).map_while(Result::ok).find(|segment| marker::is_sof(segment.marker))?;
    let &[_, y1, y0, x1, x0, ..] = sof.body else {
        return None;
    };
    let (width, height) = (u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]));
    (width > 0 && height > 0).then_some((width, height))
}
