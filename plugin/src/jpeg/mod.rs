// SPDX-License-Identifier: MIT OR Apache-2.0
//! What sending JPEG images (ITU-T T.81) over RTP needs: their headers and tables, where an image
//! ends, whether RTP/JPEG (RFC 2435) can carry it, and how to make an image that it can carry.
//!
//! All functions take slices and are safe for any bytes: nothing panics or reads past the end.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod entropy;
mod header;
mod image_end;
mod prepare;
mod recode;
mod segments;
mod tables;
mod writable;

pub use check::{
    CheckError, CheckedJpeg, MAX_SIDE, RtpParameters, UnsupportedByRtp, check, check_parsed,
};
pub use entropy::scan_is_complete;
pub use header::{
    Component, Damage, Header, HuffmanTable, MAX_PIXELS, Process, QuantizationTable, Scan,
    ScanComponent,
};
pub use image_end::{ImageEnd, first_image, first_image_end, holds_second_image, image_end};
pub use prepare::{
    Conversion, ConversionReason, Prepared, Unusable, prepare, prepare_for_jpegdec, prepared_size,
};
pub use recode::pixels::{Reduced, Reduction, encode_within, reduce_within, scale_within};
pub use recode::{NeedsPixels, Preserved, RecodeError, Recoded, recode};
pub use segments::{Segment, Segments, frame_size, without_stray_bytes};
pub use tables::{STANDARD_AC, STANDARD_DC};
pub use writable::{Unwritable, writable};

#[cfg(test)]
mod test_images;
