// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images in bytes that are no movie: wherever one begins, and ends.

use gstmjpegfile::jpeg::{Damage, Header, ImageEnd, Process, first_image_end, scan_is_complete};
use gstmjpegfile::movie::{EOI, PREFIX_LEN, SOI};
use memchr::memmem;

/// What was found from an offset on.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// An image, from `begin` to `end`; without its EOI, if it lacks that.
    Image { begin: usize, end: usize, lacks_eoi: bool },
    /// Bytes that begin like an image at `begin` and are none; the search goes on behind them.
    Damaged { begin: usize, damage: Damage },
    /// No image begins there.
    Nothing,
}

/// The next image in `bytes` at `from` or behind it.
pub fn next_image(bytes: &[u8], from: usize) -> Found {
    let rest = bytes.get(from..).unwrap_or_default();
    let Some(at) = memmem::find(rest, &SOI) else { return Found::Nothing };
    let begin = from + at;
    let image = bytes.get(begin..).unwrap_or_default();
    // What seems to go on into the next image may be nothing by itself.
    let judged = length_of(image).and_then(|(length, lacks_eoi)| {
        Header::parse(image.get(..length).unwrap_or_default()).map(|_| (length, lacks_eoi))
    });
    match judged {
        Ok((length, lacks_eoi)) => Found::Image { begin, end: begin + length, lacks_eoi },
        Err(damage) => Found::Damaged { begin, damage },
    }
}

/// Bytes of the image that begins here, and whether its EOI is missing.
fn length_of(image: &[u8]) -> Result<(usize, bool), Damage> {
    let header = Header::parse(image)?;
    let one_scan = matches!(header.process, Process::Baseline | Process::ExtendedSequential)
        && header.scan.components().len() == header.components().len();
    if !one_scan {
        // Its scans are not followed: it ends at the EOI before the next image's begin, or the last.
        let limit =
            memmem::find(image.get(2..).unwrap_or_default(), &SOI).map_or(image.len(), |at| at + 2);
        let part = image.get(..limit).unwrap_or_default();
        let end = memmem::rfind(part, &EOI).ok_or(Damage::ScanCut)?;
        return Ok((end + EOI.len(), false));
    }
    match first_image_end(image, header.scan_data) {
        Ok(ImageEnd::Eoi(end)) => Ok((end, false)),
        // The next image's begin is no part of the scan.
        Ok(ImageEnd::Missing) | Err(Damage::MarkerInScan { .. }) => {
            let scan = image.get(header.scan_data..).unwrap_or_default();
            let limit = memmem::find(scan, &SOI).map_or(image.len(), |at| header.scan_data + at);
            // The next record's length may stand before it.
            let short = limit.saturating_sub(PREFIX_LEN);
            let digits = image.get(short..limit).unwrap_or_default();
            let prefixed = limit < image.len() && digits.iter().all(u8::is_ascii_digit);
            let ends = [short, limit].into_iter().skip(usize::from(!prefixed));
            let whole =
                |end: &usize| scan_is_complete(image.get(..*end).unwrap_or_default(), &header);
            ends.into_iter().find(whole).map(|end| (end, true)).ok_or(Damage::ScanCut)
        }
        Err(damage) => Err(damage),
    }
}
