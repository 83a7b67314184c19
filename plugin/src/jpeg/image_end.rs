// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the end of an image.

use super::Damage;
use super::segments::marker;
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

/// Finds the end of the only scan of `jpeg`, whose entropy-coded data starts at `scan_data`.
///
/// # Errors
/// [`Damage::MarkerInScan`] for a marker other than RSTn and EOI.
pub fn first_image_end(jpeg: &[u8], scan_data: usize) -> Result<ImageEnd, Damage> {
    let data = jpeg.get(scan_data..).unwrap_or_default();
    for at in memchr::memchr_iter(0xff, data) {
        match data.get(at + 1) {
            // FF 00 is a stuffed FF (T.81 B.1.1.5); FF FF is a fill byte before a marker.
            Some(0x00 | 0xff | marker::RST0..=marker::RST7) => {}
            Some(&marker::EOI) => return Ok(ImageEnd::Eoi(scan_data + at + 2)),
            Some(&marker) => {
                return Err(Damage::MarkerInScan { marker, offset: scan_data + at });
            }
            None => return Ok(ImageEnd::Missing),
        }
    }
    Ok(ImageEnd::Missing)
}

/// Whether a second image follows the first one in `jpeg`: EOI directly followed by SOI. The EOI of
/// a thumbnail inside a segment is not directly followed by SOI.
pub fn holds_second_image(jpeg: &[u8]) -> bool {
    static END_AND_START: LazyLock<Finder> =
        LazyLock::new(|| Finder::new(&[0xff, marker::EOI, 0xff, marker::SOI]));
    END_AND_START.find(jpeg).is_some()
}
