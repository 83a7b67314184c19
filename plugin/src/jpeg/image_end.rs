// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the end of an image.

use super::segments::{Segments, marker, next_marker};
use super::{Damage, Header};
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// How a scan ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageEnd {
    /// With EOI; the image has this many bytes, EOI included.
    Eoi(usize),
    /// Without EOI: the bytes end first.
    Missing,
}

/// Finds the end of the only scan of `jpeg`, whose entropy-coded data starts at `scan_data`, and of
/// the image. Between the two there may be comments, application data, tables and DNL.
///
/// # Errors
/// [`Damage::MarkerInScan`] for another marker than RSTn.
pub fn first_image_end(jpeg: &[u8], scan_data: usize) -> Result<ImageEnd, Damage> {
    scan_end(jpeg, scan_data).map(|(_, end)| end)
}

/// As [`first_image_end`], with the offset of the first segment after the scan, if there is one.
pub(super) fn scan_end(jpeg: &[u8], scan_data: usize) -> Result<(Option<usize>, ImageEnd), Damage> {
    match marker_in_scan(jpeg, scan_data) {
        None => Ok((None, ImageEnd::Missing)),
        Some((marker::EOI, offset)) => Ok((None, ImageEnd::Eoi(offset + 2))),
        Some((marker, offset)) => {
            let end = end_after_segments(jpeg, offset);
            let end = end.ok_or(Damage::MarkerInScan { marker, offset })?;
            Ok((Some(offset), ImageEnd::Eoi(end)))
        }
    }
}

/// Finds the end of the image at the start of `jpeg`, of one scan or several.
///
/// # Errors
/// The first damage found after the header.
pub fn image_end(jpeg: &[u8], header: &Header) -> Result<ImageEnd, Damage> {
    if header.has_one_scan() {
        return first_image_end(jpeg, header.scan_data);
    }
    let mut scan_data = header.scan_data;
    loop {
        let Some((marker, offset)) = marker_in_scan(jpeg, scan_data) else {
            return Ok(ImageEnd::Missing);
        };
        if marker == marker::EOI {
            return Ok(ImageEnd::Eoi(offset + 2));
        }
        let mut end = offset;
        for segment in Segments::after_scan(jpeg, offset) {
            match segment {
                Ok(segment) => end = segment.end,
                // EOI, or the end of the bytes.
                Err(Damage::NoScan) => {
                    let next = next_marker(jpeg, end).ok();
                    let eoi = next.filter(|next| next.marker == marker::EOI);
                    return Ok(eoi.map_or(ImageEnd::Missing, |eoi| ImageEnd::Eoi(eoi.offset + 2)));
                }
                Err(damage) => return Err(damage),
            }
        }
        scan_data = end;
    }
}

/// The first image in `jpeg`, without what follows it. All of `jpeg` if that is damaged or lacks EOI.
pub fn first_image(jpeg: &[u8]) -> &[u8] {
    let end = Header::parse(jpeg).and_then(|header| image_end(jpeg, &header));
    match end {
        Ok(ImageEnd::Eoi(end)) => jpeg.get(..end).unwrap_or(jpeg),
        Ok(ImageEnd::Missing) | Err(_) => jpeg,
    }
}

/// The first marker other than RSTn in entropy-coded data that starts at `scan_data`: the byte after
/// FF, and the offset of the FF.
fn marker_in_scan(jpeg: &[u8], scan_data: usize) -> Option<(u8, usize)> {
    let data = jpeg.get(scan_data..).unwrap_or_default();
    for at in memchr::memchr_iter(0xff, data) {
        match data.get(at + 1) {
            // FF 00 is a stuffed FF (T.81 B.1.1.5); FF FF is a fill byte before a marker.
            Some(0x00 | 0xff | marker::RST0..=marker::RST7) => {}
            Some(&marker) => return Some((marker, scan_data + at)),
            None => return None,
        }
    }
    None
}

/// Length of an image whose scan ends at `offset` and that has more segments before EOI. `None` if
/// these are not complete, or end otherwise: a marker inside damaged data starts no segment, so that
/// the bytes at its end are not a marker.
fn end_after_segments(jpeg: &[u8], offset: usize) -> Option<usize> {
    let mut end = offset;
    for segment in Segments::after_scan(jpeg, offset).map_while(Result::ok) {
        if segment.stray.is_some() || !marker::may_follow_scan(segment.marker) {
            return None;
        }
        end = segment.end;
    }
    let eoi = next_marker(jpeg, end).ok()?;
    (eoi.marker == marker::EOI && eoi.stray.is_none()).then_some(eoi.offset + 2)
}

/// Whether a second image follows the first one in `jpeg`: EOI directly followed by SOI. The EOI of
/// a thumbnail inside a segment is not directly followed by SOI.
pub fn holds_second_image(jpeg: &[u8]) -> bool {
    static END_AND_START: LazyLock<Finder> =
        LazyLock::new(|| Finder::new(&[0xff, marker::EOI, 0xff, marker::SOI]));
    END_AND_START.find(jpeg).is_some()
}
