// SPDX-License-Identifier: MIT OR Apache-2.0
//! JPEG images as far as carrying them needs it: headers, tables, where an image ends, and
//! whether RFC 2435 can carry it. ITU-T T.81 is the JPEG standard.
//!
//! Everything takes a slice and never leaves it, whatever the bytes say.

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

pub use check::{CheckError, CheckedJpeg, MAX_SIDE, RtpParameters, UnsupportedByRtp, check};
pub use entropy::scan_is_complete;
pub use header::{
    Component, Damage, Header, HuffmanTable, MAX_PIXELS, Process, QuantizationTable, Scan,
    ScanComponent,
};
pub use image_end::{ImageEnd, first_image_end, holds_second_image};
pub use prepare::{Conversion, ConversionReason, Prepared, Unusable, prepare, prepared_size};
pub use recode::pixels::encode_within;
pub use recode::{NeedsPixels, Preserved, RecodeError, Recoded, recode};
pub use segments::{Segment, Segments, frame_size};
pub use tables::{STANDARD_AC, STANDARD_DC};
pub use writable::{Unwritable, writable};

#[cfg(test)]
mod test_images;
