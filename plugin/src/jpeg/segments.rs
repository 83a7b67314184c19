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
    pub const DNL: u8 = 0xdc;
    pub const APP0: u8 = 0xe0;
    pub const APP14: u8 = 0xee;
    pub const APP15: u8 = 0xef;
    pub const COM: u8 = 0xfe;
    pub const TEM: u8 = 0x01;

    /// Whether the marker starts a frame header: SOF0 to SOF15, without the three codes in that
    /// range that have other meanings.
    pub fn is_sof(code: u8) -> bool {
        matches!(code, SOF0..=SOF15) && !matches!(code, DHT | JPG | DAC)
    }

    /// Whether `rtpjpegpay` 1.22 reads or skips the segment that the marker starts. Inside other
    /// segments it searches for markers.
    pub fn is_known_to_payloaders(code: u8) -> bool {
        matches!(code, DHT | JPG | SOS | DQT | DRI | APP0..=APP15 | 0xf0..=0xfd | COM)
            || is_sof(code)
    }

    /// Whether the marker starts a segment that may also occur between the scan and EOI: tables,
    /// comments, application data and the number of lines. Decoders read it and show the same.
    pub fn may_follow_scan(code: u8) -> bool {
        matches!(code, DHT | DAC | DQT | DRI | DNL | APP0..=APP15 | COM)
    }
}

/// The maximum number of stray bytes before a marker that are skipped. The limit keeps a search through bytes
/// that are not an image short.
const MAX_STRAY: usize = 64 * 1024;

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
    /// Offset of the first of the bytes before the marker that belong to no segment, if there are
    /// any.
    pub stray: Option<usize>,
    /// Whether there are fill bytes (T.81 B.1.1.2) before the marker.
    pub filled: bool,
}

/// Iterator over an image's segments, from SOI up to and including the first SOS.
///
/// Fill bytes (T.81 B.1.1.2) and stray bytes are skipped, as libjpeg does (`next_marker` in
/// `jdmarker.c`). The iterator ends after an error or SOS.
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

    /// Reads the segment whose marker is at `offset`, or after fill bytes and stray bytes.
    fn read(&self, mut offset: usize) -> Result<Segment<'a>, Damage> {
        let (mut stray, mut filled) = (None, false);
        let (at, marker) = loop {
            let next = next_marker(self.jpeg, offset)?;
            stray = stray.or(next.stray);
            filled |= next.filled;
            match next.marker {
                // They have no length and no body.
                marker::TEM | marker::RST0..=marker::RST7 => offset = next.offset + 2,
                marker::EOI => return Err(Damage::NoScan),
                marker::SOI => {
                    return Err(Damage::NotAMarker { offset: next.offset, found: marker::SOI });
                }
                code => break (next.offset, code),
            }
        };
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
        Ok(Segment { marker, offset: at, body, end, stray, filled })
    }
}

/// A marker, and what is before it.
pub(super) struct NextMarker {
    /// The byte after FF.
    pub marker: u8,
    /// Offset of the FF.
    pub offset: usize,
    /// Offset of the first of the bytes before it that are not fill bytes.
    pub stray: Option<usize>,
    /// Whether there are fill bytes before it.
    pub filled: bool,
}

/// Finds the first marker at `offset` or after it.
pub(super) fn next_marker(jpeg: &[u8], offset: usize) -> Result<NextMarker, Damage> {
    let rest = jpeg.get(offset..).unwrap_or_default();
    let near = rest.get(..MAX_STRAY).unwrap_or(rest);
    for at in memchr::memchr_iter(0xff, near) {
        match rest.get(at + 1) {
            None => return Err(Damage::NoScan),
            // A stuffed FF (T.81 B.1.1.5), which is not a marker, or a fill byte before one.
            Some(0x00 | 0xff) => {}
            Some(&marker) => {
                let before = near.get(..at).unwrap_or_default();
                let fill = before.iter().rev().take_while(|byte| **byte == 0xff).count();
                let stray = (fill < at).then_some(offset);
                return Ok(NextMarker { marker, offset: offset + at, stray, filled: fill > 0 });
            }
        }
    }
    match rest.first() {
        Some(found) if rest.len() > near.len() || *found != 0xff => {
            Err(Damage::NotAMarker { offset, found: *found })
        }
        _ => Err(Damage::NoScan),
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
        let segment = self.read(offset);
        if let Ok(segment) = &segment
            && segment.marker != marker::SOS
        {
            self.next = Some(segment.end);
        }
        Some(segment)
    }
}

/// The image without stray bytes and fill bytes between the segments before its first scan. `None` if
/// there are no stray bytes, or the image is damaged.
pub fn without_stray_bytes(jpeg: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut rest, mut found) = (Vec::with_capacity(jpeg.len()), 2, false);
    out.extend([0xff, marker::SOI]);
    for segment in Segments::new(jpeg) {
        let segment = segment.ok()?;
        found |= segment.stray.is_some();
        out.extend(jpeg.get(segment.offset..segment.end)?);
        rest = segment.end;
    }
    out.extend(jpeg.get(rest..)?);
    found.then_some(out)
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
