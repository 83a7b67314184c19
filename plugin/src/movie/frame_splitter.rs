// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits a movie of records that arrives in pieces into frames.

use super::{BadSpan, MovieBytes, RecordWalker, Step};
use std::io;

/// Splits a stream of bytes into frames. Besides the bytes of the last push, it buffers at most one
/// record and one search window.
///
/// ```
/// use gstmjpegfile::movie::{FrameSplitter, SplitItem};
/// let mut splitter = FrameSplitter::new();
/// splitter.push(b"00004\xff\xd8");
/// assert!(splitter.next_item().is_none());
/// splitter.push(b"\xff\xd9");
/// assert!(matches!(splitter.next_item(), Some(SplitItem::Frame(f)) if f.jpeg.len() == 4));
/// ```
#[derive(Debug, Default)]
pub struct FrameSplitter {
    buffer: StreamBuffer,
    walker: RecordWalker,
    frames: u64,
}

/// Output of a [`FrameSplitter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SplitItem {
    /// A frame.
    Frame(SplitterFrame),
    /// Bytes that do not belong to a frame.
    Bad(BadSpan),
}

/// A frame and its position in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitterFrame {
    /// Number of the frame, from 0.
    pub number: u64,
    /// Byte offset of the JPEG in the stream, after its length field.
    pub offset: u64,
    /// The JPEG, unchanged.
    pub jpeg: Vec<u8>,
}

/// The part of the stream that is still needed.
#[derive(Debug, Default)]
struct StreamBuffer {
    /// Offset of the first byte in the stream.
    base: u64,
    bytes: Vec<u8>,
    finished: bool,
}

impl StreamBuffer {
    fn from(&self, offset: u64) -> &[u8] {
        offset
            .checked_sub(self.base)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.bytes.get(at..))
            .unwrap_or_default()
    }
}

impl MovieBytes for StreamBuffer {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.from(offset).read_at(buf, 0)
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn is_whole(&self) -> bool {
        self.finished
    }
}

impl FrameSplitter {
    /// Creates a splitter at the start of a movie.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.bytes.extend_from_slice(bytes);
    }

    /// Marks the end of the stream: the buffered bytes are the end of the movie.
    pub fn finish(&mut self) {
        self.buffer.finished = true;
    }

    /// The next frame or bad span; `None` until more bytes are pushed.
    pub fn next_item(&mut self) -> Option<SplitItem> {
        loop {
            // Reading from memory does not fail.
            let step = self.walker.step(&self.buffer).ok()?;
            let item = match step {
                Step::Frame { offset, length } => {
                    let jpeg = self.buffer.from(offset).get(..length as usize)?.to_vec();
                    let number = self.frames;
                    self.frames += 1;
                    Some(SplitItem::Frame(SplitterFrame { number, offset, jpeg }))
                }
                Step::Bad(span) => Some(SplitItem::Bad(span)),
                Step::Searching => None,
                Step::NeedMore | Step::End => {
                    self.discard_processed();
                    return None;
                }
            };
            if item.is_some() {
                return item;
            }
        }
    }

    fn discard_processed(&mut self) {
        let processed = self.walker.offset().saturating_sub(self.buffer.base);
        let count = usize::try_from(processed).unwrap_or(usize::MAX).min(self.buffer.bytes.len());
        self.buffer.bytes.drain(..count);
        self.buffer.base += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FrameWriter, MAX_FRAME_LEN};
    use super::*;
    use proptest::prelude::*;

    fn split(movie: &[u8], pieces: &[usize]) -> Vec<SplitItem> {
        let mut splitter = FrameSplitter::new();
        let mut items = Vec::new();
        let mut rest = movie;
        for piece in pieces {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            splitter.push(now);
            items.extend(std::iter::from_fn(|| splitter.next_item()));
            rest = later;
        }
        splitter.push(rest);
        items.extend(std::iter::from_fn(|| splitter.next_item()));
        splitter.finish();
        items.extend(std::iter::from_fn(|| splitter.next_item()));
        assert_eq!(splitter.buffer.bytes.len(), 0, "no bytes are left at the end");
        items
    }

    fn movie_of(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = FrameWriter::new(Vec::new());
        for frame in frames {
            writer.write_frame(frame).unwrap();
        }
        writer.into_inner()
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        [&[0xff, 0xd8][..], body, &[0xff, 0xd9]].concat()
    }

    #[test]
    fn a_cut_at_every_offset_changes_nothing() {
        let damaged = [
            movie_of(&[frame(b"one"), frame(b"two")]),
            b"garbage".to_vec(),
            movie_of(&[frame(b"three")]),
            b"0000000000".to_vec(),
            movie_of(&[frame(b"four")]),
            b"00".to_vec(),
        ]
        .concat();
        let whole = split(&damaged, &[]);
        let frames = whole.iter().filter(|item| matches!(item, SplitItem::Frame(_)));
        assert_eq!(frames.count(), 4);
        for cut in 0..=damaged.len() {
            assert_eq!(split(&damaged, &[cut]), whole, "cut at {cut}");
        }
        assert_eq!(split(&damaged, &vec![1; damaged.len()]), whole, "byte by byte");
    }

    #[test]
    fn memory_is_limited_while_garbage_arrives() {
        let mut splitter = FrameSplitter::new();
        for _ in 0..1000 {
            splitter.push(&[b'-'; 4096]);
            assert!(splitter.next_item().is_none());
            assert!(splitter.buffer.bytes.len() <= 2 * MAX_FRAME_LEN);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            pieces in prop::collection::vec(0..200_usize, 0..20),
        ) {
            let frames: Vec<_> = bodies.iter().map(|body| frame(body)).collect();
            let items = split(&movie_of(&frames), &pieces);
            let got: Vec<_> = items
                .into_iter()
                .map(|item| match item {
                    SplitItem::Frame(frame) => frame.jpeg,
                    SplitItem::Bad(span) => panic!("{span:?}"),
                })
                .collect();
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn any_bytes_in_any_pieces_give_the_same(
            bytes in prop::collection::vec(
                prop_oneof![Just(b'0'), Just(b'9'), Just(0xff), Just(0xd8), Just(0xd9), any::<u8>()],
                0..600,
            ),
            pieces in prop::collection::vec(0..100_usize, 0..20),
        ) {
            prop_assert_eq!(split(&bytes, &pieces), split(&bytes, &[]));
        }
    }
}
