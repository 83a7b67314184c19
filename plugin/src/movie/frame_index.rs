// SPDX-License-Identifier: MIT OR Apache-2.0
//! Index of the positions of all frames of a movie. It takes 8 bytes per frame, so 5 MB for a movie
//! of 650 000 frames.

use super::{BadSpan, MovieForm, Step};

/// The largest number of bad spans that are listed. Further ones are only counted, so that a hostile
/// file can make neither the index large nor the log long.
pub const MAX_LISTED_BAD_SPANS: usize = 256;

/// Bits of an entry that store the length, in a movie of records: 99 999 needs 17. They leave 47 for the
/// offset.
const RECORD_LENGTH_BITS: u32 = 17;

/// The same in a movie without lengths, whose images may be larger. An offset of 40 bits is 1 TiB.
const IMAGE_LENGTH_BITS: u32 = 24;

/// Position and size of a JPEG in a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLocation {
    /// Byte offset of the JPEG, after its length field if it has one.
    pub offset: u64,
    /// Size of the JPEG in bytes.
    pub length: u32,
}

/// The frames found so far, in order.
#[derive(Debug)]
pub struct FrameIndex {
    /// The offset, then `length_bits` for the length.
    entries: Vec<u64>,
    length_bits: u32,
    bad_spans: Vec<(u64, BadSpan)>,
    bad_records: u64,
    bad_bytes: u64,
}

impl Default for FrameIndex {
    fn default() -> Self {
        Self::new(MovieForm::default())
    }
}

impl FrameIndex {
    /// Creates an empty index for a movie of a form.
    pub fn new(form: MovieForm) -> Self {
        let length_bits = match form {
            MovieForm::Records => RECORD_LENGTH_BITS,
            MovieForm::Images | MovieForm::Multipart => IMAGE_LENGTH_BITS,
        };
        let (entries, bad_spans) = (Vec::new(), Vec::new());
        Self { entries, length_bits, bad_spans, bad_records: 0, bad_bytes: 0 }
    }

    /// Adds the result of one step of a [`super::MovieWalker`]. A frame whose offset or length the index
    /// cannot hold is left out.
    pub fn record(&mut self, step: Step) {
        match step {
            Step::Frame { offset, length } => {
                let fits = offset.leading_zeros() >= self.length_bits
                    && u64::from(length) >> self.length_bits == 0;
                if fits {
                    self.entries.push((offset << self.length_bits) | u64::from(length));
                }
            }
            Step::Bad(span) => {
                self.bad_records += span.records;
                self.bad_bytes += span.bytes;
                if self.bad_spans.len() < MAX_LISTED_BAD_SPANS {
                    self.bad_spans.push((self.frames(), span));
                }
            }
            Step::Searching | Step::NeedMore | Step::End => {}
        }
    }

    /// The number of frames found so far.
    pub fn frames(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The position of `frame` (from 0), if it has been found.
    pub fn get(&self, frame: u64) -> Option<FrameLocation> {
        let entry = *self.entries.get(usize::try_from(frame).ok()?)?;
        let length = entry & ((1 << self.length_bits) - 1);
        Some(FrameLocation {
            offset: entry >> self.length_bits,
            // 24 bits always fit 32.
            length: u32::try_from(length).unwrap_or(0),
        })
    }

    /// The frame whose JPEG starts at a byte offset.
    pub fn frame_at_offset(&self, offset: u64) -> Option<u64> {
        let at = self.entries.binary_search_by_key(&offset, |entry| entry >> self.length_bits);
        let at = at.ok()?;
        u64::try_from(at).ok()
    }

    /// The bad spans found so far, in order, each with the number of the frame that follows it. At
    /// most [`MAX_LISTED_BAD_SPANS`] are listed.
    pub fn bad_spans(&self) -> &[(u64, BadSpan)] {
        &self.bad_spans
    }

    /// The number of bad records found, listed or not.
    pub fn bad_records(&self) -> u64 {
        self.bad_records
    }

    /// The number of bytes skipped, listed or not.
    pub fn bad_bytes(&self) -> u64 {
        self.bad_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::BadRecord;
    use super::*;

    #[test]
    fn recorded_frames_are_returned_unchanged() {
        let forms =
            [(MovieForm::Records, 47, (1 << 17) - 1), (MovieForm::Images, 40, (1 << 24) - 1)];
        for (form, offset_bits, longest) in forms {
            let mut index = FrameIndex::new(form);
            let rows = [(5, 1), (6, 99_999), ((1 << offset_bits) - 1, longest)];
            for (offset, length) in rows {
                index.record(Step::Frame { offset, length });
            }
            // What the index cannot hold.
            index.record(Step::Frame { offset: 1 << offset_bits, length: 1 });
            index.record(Step::Frame { offset: 7, length: longest + 1 });
            for (frame, (offset, length)) in rows.into_iter().enumerate() {
                let (number, location) = (frame as u64, FrameLocation { offset, length });
                assert_eq!(index.get(number), Some(location), "{form:?}");
                assert_eq!(index.frame_at_offset(offset), Some(number), "{form:?}");
            }
            assert_eq!(index.get(3), None, "{form:?}");
            assert_eq!(index.get(u64::MAX), None, "{form:?}");
        }
    }

    #[test]
    fn all_bad_spans_are_counted_and_the_first_ones_listed() {
        let mut index = FrameIndex::default();
        for offset in 0..1000 {
            index.record(Step::Bad(BadSpan {
                offset,
                bytes: 2,
                records: 1,
                first: BadRecord::Tail { bytes: 1 },
            }));
        }
        assert_eq!(index.bad_spans().len(), MAX_LISTED_BAD_SPANS);
        assert_eq!((index.bad_records(), index.bad_bytes()), (1000, 2000));
    }
}
