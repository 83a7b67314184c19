// SPDX-License-Identifier: MIT OR Apache-2.0
//! The movie format: a sequence of records, each of five ASCII digits and one JPEG image.
//!
//! ```text
//! record  = length jpeg
//! length  = 5 ASCII digits, decimal: the size of jpeg in bytes (00001 to 99999)
//! jpeg    = one complete JPEG image, from SOI (FF D8) to EOI (FF D9)
//! ```
//!
//! There is no header, no trailer and no timing; `docs/movie-format.md` defines how to read movies,
//! and which other forms are read as well.
//! This code takes slices and positioned reads. It opens no files, takes no locks and reads no
//! clocks. Frames are numbered from 0 in code, and from 1 in all messages.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod form;
mod frame_index;
mod frame_rate;
mod frame_splitter;
mod frame_writer;
mod image_search;
mod image_walker;
mod length_prefix;
mod likely_format;
mod movie_walker;
mod nanoseconds;
mod recognise;
mod record_walker;

pub use form::{HEAD_LEN, MovieForm, why_not_a_movie};
pub use frame_index::{FrameIndex, FrameLocation, MAX_LISTED_BAD_SPANS};
pub use frame_rate::{FrameRate, ParseFrameRateError};
pub use frame_splitter::{FrameSplitter, SplitItem, SplitterFrame};
pub use frame_writer::{FrameWriter, WriteFrameError};
pub(crate) use image_search::{NextImage, next_image};
pub use image_walker::{ImageStep, ImageWalker};
pub use length_prefix::{LengthPrefix, PrefixError};
pub use likely_format::LikelyFormat;
pub use movie_walker::{MAX_FILLER, MovieWalker, is_filler};
pub use nanoseconds::Nanoseconds;
pub use recognise::{Confidence, has_previews, recognise, starts_with_image};
pub(crate) use record_walker::read_until_full;
pub use record_walker::{BadRecord, BadSpan, MovieBytes, RecordWalker, Step};

/// Size of a record's length field, in bytes.
pub const PREFIX_LEN: usize = 5;

/// The largest JPEG whose length five digits can hold, in bytes.
pub const MAX_FRAME_LEN: usize = 99_999;

/// The largest image of a movie without lengths, in bytes: RTP/JPEG (RFC 2435) has fragment offsets of
/// 24 bits.
pub const MAX_IMAGE_LEN: usize = (1 << 24) - 1;

/// JPEG start of image.
pub const SOI: [u8; 2] = [0xff, 0xd8];

/// JPEG end of image.
pub const EOI: [u8; 2] = [0xff, 0xd9];
