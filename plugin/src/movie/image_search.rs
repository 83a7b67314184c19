// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds JPEG images in any bytes, without record lengths.

use super::{PREFIX_LEN, SOI};
use crate::jpeg::{Damage, Header, ImageEnd, Segments, image_end, scan_is_complete};
use memchr::memmem;

/// The most that segments between a scan and EOI take. Within this distance of the end of the bytes,
/// a marker after the scan may be the start of such a segment.
const MAX_TRAILER: usize = 64 * 1024 + 4;

/// The maximum number of stray bytes before a marker that are skipped.
const MAX_STRAY: usize = 64 * 1024;

/// The result of a search for an image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextImage {
    /// A complete image from `start` to `end`, except for its EOI if `lacks_eoi` is set.
    Complete { start: usize, end: usize, lacks_eoi: bool },
    /// An SOI at `start` that no complete image follows; the search continues at `resume`.
    Damaged { start: usize, resume: usize, damage: Damage },
    /// An image that starts at `start` continues after the bytes.
    Unfinished { start: usize },
    /// There is no further SOI.
    NotFound,
}

/// Finds the first image that starts at `from` or later. `last` says that nothing follows `bytes`.
///
/// The search resumes after what was recognised of a damaged image, so its time is linear in the
/// number of bytes.
pub(crate) fn next_image(bytes: &[u8], from: usize, last: bool) -> NextImage {
    let rest = bytes.get(from..).unwrap_or_default();
    let Some(at) = memmem::find(rest, &SOI) else { return NextImage::NotFound };
    let start = from + at;
    let image = bytes.get(start..).unwrap_or_default();
    match Candidate::of(image, last) {
        Candidate::Complete { length, lacks_eoi } => {
            NextImage::Complete { start, end: start + length, lacks_eoi }
        }
        Candidate::Unfinished => NextImage::Unfinished { start },
        Candidate::Damaged { resume, damage } => {
            NextImage::Damaged { start, resume: start + resume.max(SOI.len()), damage }
        }
    }
}

/// What starts with an SOI.
enum Candidate {
    Complete { length: usize, lacks_eoi: bool },
    Damaged { resume: usize, damage: Damage },
    Unfinished,
}

impl Candidate {
    fn of(image: &[u8], last: bool) -> Self {
        let header = match Header::parse(image) {
            Ok(header) => header,
            Err(damage) => return Self::of_bad_header(image, last, damage),
        };
        let found = image_end(image, &header);
        let limit = match found {
            // Without the bytes of the next image, the header may turn out incomplete.
            Ok(ImageEnd::Eoi(length)) => {
                return match Header::parse(image.get(..length).unwrap_or_default()) {
                    Ok(_) => Self::Complete { length, lacks_eoi: false },
                    Err(damage) => Self::Damaged { resume: length, damage },
                };
            }
            Ok(ImageEnd::Missing) | Err(Damage::SegmentCut { .. }) if !last => {
                return Self::Unfinished;
            }
            Ok(ImageEnd::Missing) => image.len(),
            // A scan ends before the next image's SOI.
            Err(Damage::MarkerInScan { marker: 0xd8, offset }) => offset,
            Err(Damage::MarkerInScan { offset, .. })
                if !last && image.len() - offset < MAX_TRAILER =>
            {
                return Self::Unfinished;
            }
            Err(damage) => {
                let resume = match damage {
                    Damage::MarkerInScan { offset, .. } | Damage::SegmentCut { offset, .. } => {
                        offset + 2
                    }
                    _ => header.scan_data,
                };
                return Self::Damaged { resume, damage };
            }
        };
        // The five digits before that SOI may be the next record's length.
        let without_prefix = limit.saturating_sub(PREFIX_LEN);
        let digits = image.get(without_prefix..limit).unwrap_or_default();
        let prefixed = limit < image.len() && digits.iter().all(u8::is_ascii_digit);
        let ends = [without_prefix, limit].into_iter().skip(usize::from(!prefixed));
        let complete = |end: &usize| is_complete(image.get(..*end).unwrap_or_default(), &header);
        ends.into_iter()
            .find(complete)
            .map_or(Self::Damaged { resume: limit, damage: Damage::ScanCut }, |length| {
                Self::Complete { length, lacks_eoi: true }
            })
    }

    fn of_bad_header(image: &[u8], last: bool, damage: Damage) -> Self {
        let segments = Segments::new(image).map_while(Result::ok);
        let (newest, end) =
            segments.last().map_or((0, SOI.len()), |segment| (segment.offset, segment.end));
        let resume = match damage {
            Damage::SegmentCut { .. } if !last => return Self::Unfinished,
            // The bytes end before the next marker.
            Damage::NoScan | Damage::NotAMarker { .. }
                if !last && image.len() - end < MAX_STRAY && !has_marker(image, end) =>
            {
                return Self::Unfinished;
            }
            Damage::EmptyScan if !last && image.len() < end + 3 => return Self::Unfinished,
            Damage::SegmentCut { offset, .. }
            | Damage::SegmentTooShort { offset, .. }
            | Damage::BadValue { offset, .. } => offset + 2,
            // The length of the last segment may be wrong.
            _ => newest + 2,
        };
        Self::Damaged { resume, damage }
    }
}

/// Whether a marker that has a meaning between segments, such as EOI, is at `offset` or after it.
fn has_marker(image: &[u8], offset: usize) -> bool {
    let rest = image.get(offset..).unwrap_or_default();
    let mut codes = memchr::memchr_iter(0xff, rest).filter_map(|at| rest.get(at + 1));
    // FF 00, fill bytes, TEM and RSTn are passed.
    codes.any(|code| !matches!(code, 0x00 | 0x01 | 0xd0..=0xd7 | 0xff))
}

/// Whether an image without EOI has all blocks of its scans.
fn is_complete(image: &[u8], header: &Header) -> bool {
    let data = image.len().saturating_sub(header.scan_data);
    let blocks = usize::from(header.width) * usize::from(header.height) / 64;
    // A block has at least two codes of one bit. This keeps a large empty picture from being decoded.
    data.saturating_mul(8) >= blocks.saturating_mul(2) && scan_is_complete(image, header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// All outcomes of a search through `bytes`.
    fn search(bytes: &[u8]) -> (usize, usize) {
        let (mut complete, mut damaged, mut from) = (0, 0, 0);
        loop {
            from = match next_image(bytes, from, true) {
                NextImage::Complete { end, .. } => {
                    complete += 1;
                    end
                }
                NextImage::Damaged { start, resume, .. } => {
                    assert!(resume > start);
                    damaged += 1;
                    resume
                }
                NextImage::Unfinished { .. } | NextImage::NotFound => return (complete, damaged),
            };
        }
    }

    #[test]
    fn the_search_takes_linear_time() {
        let header = b"\xff\xd8\xff\xdb\0\x43\0";
        let cut =
            [&header[..], &[1; 64], b"\xff\xc0\0\x0b\x08\x1f\x40\x1f\x40\x01\x01\x11\0"].concat();
        let cut = [&cut[..], b"\xff\xda\0\x08\x01\x01\0\0\x3f\0", &[0x55; 700]].concat();
        let units: [(&str, &[u8]); 8] = [
            ("SOI", b"\xff\xd8"),
            ("SOI and EOI", b"\xff\xd8\xff\xd9"),
            ("SOI and fill bytes", b"\xff\xd8\xff\xff"),
            ("SOI and RST", b"\xff\xd8\xff\xd0"),
            ("SOI in segments", b"\xff\xe0\0\x04\xff\xd8"),
            ("SOI and a long segment", b"\xff\xd8\xff\xe1\xff\xff"),
            ("SOI and a cut segment", b"\xff\xd8\xff\xdb\0\x43"),
            ("scans that are cut", &cut),
        ];
        for (name, unit) in units {
            let bytes = unit.repeat(4_000_000 / unit.len());
            let start = Instant::now();
            let (complete, damaged) = search(&bytes);
            assert_eq!(complete, 0, "{name}");
            assert!(damaged > 0, "{name}");
            // Quadratic time would be minutes.
            let taken = start.elapsed();
            assert!(taken < Duration::from_secs(10), "{name}: {taken:?}");
        }
    }
}
