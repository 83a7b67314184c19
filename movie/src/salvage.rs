// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds JPEG images in any bytes, without record lengths.

use gstmjpegfile::jpeg::{Damage, Header, ImageEnd, Process, first_image_end, scan_is_complete};
use gstmjpegfile::movie::{EOI, PREFIX_LEN, SOI};
use memchr::memmem;

/// The result of a search for an image.
#[derive(Debug, PartialEq, Eq)]
pub enum NextImage {
    /// A complete image from `start` to `end`, except for its EOI if `lacks_eoi` is set.
    Complete { start: usize, end: usize, lacks_eoi: bool },
    /// An SOI at `start` that no complete image follows; the search continues after the SOI.
    Damaged { start: usize, damage: Damage },
    /// There is no further SOI.
    NotFound,
}

/// Finds the first image that starts at `from` or later.
pub fn next_image(bytes: &[u8], from: usize) -> NextImage {
    let rest = bytes.get(from..).unwrap_or_default();
    let Some(at) = memmem::find(rest, &SOI) else { return NextImage::NotFound };
    let start = from + at;
    let image = bytes.get(start..).unwrap_or_default();
    // Without the bytes of the next image, the header may turn out incomplete.
    let checked = length_of(image).and_then(|(length, lacks_eoi)| {
        Header::parse(image.get(..length).unwrap_or_default()).map(|_| (length, lacks_eoi))
    });
    match checked {
        Ok((length, lacks_eoi)) => NextImage::Complete { start, end: start + length, lacks_eoi },
        Err(damage) => NextImage::Damaged { start, damage },
    }
}

/// Length of the image at the start of `image`, and whether its EOI is missing.
fn length_of(image: &[u8]) -> Result<(usize, bool), Damage> {
    let header = Header::parse(image)?;
    let one_scan = matches!(header.process, Process::Baseline | Process::ExtendedSequential)
        && header.scan.components().len() == header.components().len();
    if !one_scan {
        // Several scans are not searched: the image ends at the last EOI before the next SOI.
        let limit =
            memmem::find(image.get(2..).unwrap_or_default(), &SOI).map_or(image.len(), |at| at + 2);
        let part = image.get(..limit).unwrap_or_default();
        let end = memmem::rfind(part, &EOI).ok_or(Damage::ScanCut)?;
        return Ok((end + EOI.len(), false));
    }
    match first_image_end(image, header.scan_data) {
        Ok(ImageEnd::Eoi(end)) => Ok((end, false)),
        // A scan ends before the next image's SOI.
        Ok(ImageEnd::Missing) | Err(Damage::MarkerInScan { .. }) => {
            let scan = image.get(header.scan_data..).unwrap_or_default();
            let limit = memmem::find(scan, &SOI).map_or(image.len(), |at| header.scan_data + at);
            // The five digits before that SOI may be the next record's length.
            let without_prefix = limit.saturating_sub(PREFIX_LEN);
            let digits = image.get(without_prefix..limit).unwrap_or_default();
            let prefixed = limit < image.len() && digits.iter().all(u8::is_ascii_digit);
            let ends = [without_prefix, limit].into_iter().skip(usize::from(!prefixed));
            let complete =
                |end: &usize| scan_is_complete(image.get(..*end).unwrap_or_default(), &header);
            ends.into_iter().find(complete).map(|end| (end, true)).ok_or(Damage::ScanCut)
        }
        Err(damage) => Err(damage),
    }
}
