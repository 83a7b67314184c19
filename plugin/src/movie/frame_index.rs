// SPDX-License-Identifier: MIT OR Apache-2.0
//! Index of the positions of all frames of a movie. It takes 8 bytes per frame, so 5 MB for a movie
//! of 650 000 frames.

use super::{BadSpan, Step};

/// The largest number of bad spans that are listed. Further ones are only counted, so that a hostile
/// file can make neither the index large nor the log long.
pub const MAX_LISTED_BAD_SPANS: usize = 256;

/// Bits of an entry that store the length; 99 999 needs 17.
const LENGTH_BITS: u32 = 17;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;

/// Position and size of a JPEG in a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLocation {
    /// Byte offset of the JPEG, after its length field.
    pub offset: u64,
    /// Size of the JPEG in bytes.
    pub length: u32,
}

/// The frames found so far, in order.
#[derive(Debug, Default)]
pub struct FrameIndex {
    /// Offset in the upper 47 bits, length in the lower 17.
    entries: Vec<u64>,
    bad_spans: Vec<(u64, BadSpan)>,
    bad_records: u64,
    bad_bytes: u64,
}

impl FrameIndex {
    /// Creates an empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the result of one step of a [`super::RecordWalker`].
    pub fn record(&mut self, step: Step) {
        match step {
            Step::Frame { offset, length } => {
                self.entries.push((offset << LENGTH_BITS) | (u64::from(length) & LENGTH_MASK));
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
        Some(FrameLocation {
            offset: entry >> LENGTH_BITS,
            // 17 bits always fit 32.
            length: u32::try_from(entry & LENGTH_MASK).unwrap_or(0),
        })
    }

    /// The frame whose JPEG starts at a byte offset.
    pub fn frame_at_offset(&self, offset: u64) -> Option<u64> {
        let at = self.entries.binary_search_by_key(&offset, |entry| entry >> LENGTH_BITS).ok()?;
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
        let mut index = FrameIndex::new();
        let rows = [(5, 1), (6, 99_999), ((1 << 47) - 1, 131_071)];
        for (offset, length) in rows {
            index.record(Step::Frame { offset, length });
        }
        for (frame, (offset, length)) in rows.into_iter().enumerate() {
            assert_eq!(index.get(frame as u64), Some(FrameLocation { offset, length }));
        }
        assert_eq!(index.get(3), None);
        assert_eq!(index.get(u64::MAX), None);
    }

    #[test]
    fn all_bad_spans_are_counted_and_the_first_ones_listed() {
        let mut index = FrameIndex::new();
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
