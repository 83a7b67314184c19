// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds one image after another in a file that does not say where they are.

use super::image_search::{NextImage, next_image};
use super::record_walker::read_full;
use super::{MovieBytes, SOI};
use crate::jpeg::Damage;
use std::io;

/// Bytes that are read and searched at once, unless an image is larger.
const PART: usize = 256 * 1024;

/// Result of one step of an [`ImageWalker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStep {
    /// A complete image was found.
    Image {
        /// Byte offset of the image.
        offset: u64,
        /// Size of the image in bytes.
        length: usize,
        /// All blocks are there, but EOI is missing.
        lacks_eoi: bool,
    },
    /// An SOI was found that no complete image follows.
    Damaged {
        /// Byte offset of the SOI.
        offset: u64,
        /// The first damage of the image.
        damage: Damage,
    },
    /// The search continues with the next step.
    Searching,
    /// There is no further image.
    End,
}

/// Finds the images in a file one after another, in a time that is linear in the number of bytes.
///
/// It holds 256 KiB of the file, or up to twice the size of the largest image.
#[derive(Debug)]
pub struct ImageWalker {
    /// Offset of the first byte after the part of the file that is searched.
    end: u64,
    max_image: usize,
    /// Offset of the window in the file.
    start: u64,
    window: Vec<u8>,
    /// The window must be read before the next search.
    must_read: bool,
    /// Nothing follows the window.
    is_last: bool,
    /// Position in the window at which the search continues.
    from: usize,
    /// The least size of a window.
    part: usize,
    /// Size of the next window.
    size: usize,
}

impl ImageWalker {
    /// Searches the bytes from `start` to `end`. An image of more than `max_image` bytes counts as
    /// damaged.
    pub fn new(start: u64, end: u64, max_image: usize) -> Self {
        let max_image = max_image.max(SOI.len());
        let size = PART.min(max_image);
        let (window, must_read, is_last, from) = (Vec::new(), true, false, 0);
        Self { end, max_image, start, window, must_read, is_last, from, part: size, size }
    }

    /// Offset at which the search continues.
    pub fn offset(&self) -> u64 {
        self.start + self.from as u64
    }

    /// One step: an image, a damaged one, or a bounded part of the search for the next one. All bytes
    /// of the movie must be available.
    ///
    /// # Errors
    /// The error of reading the movie.
    pub fn step<M: MovieBytes + ?Sized>(&mut self, movie: &M) -> io::Result<ImageStep> {
        if self.must_read {
            self.read(movie)?;
        }
        let found = next_image(&self.window, self.from, self.is_last);
        Ok(match found {
            NextImage::Complete { start, end, lacks_eoi } => {
                self.from = end;
                ImageStep::Image {
                    offset: self.start + start as u64,
                    length: end - start,
                    lacks_eoi,
                }
            }
            NextImage::Damaged { start, resume, damage } => {
                self.from = resume;
                ImageStep::Damaged { offset: self.start + start as u64, damage }
            }
            NextImage::Unfinished { start: 0 } if self.window.len() >= self.max_image => {
                let (offset, length) = (self.start, self.window.len());
                self.size = self.part;
                self.move_to(length);
                ImageStep::Damaged { offset, damage: Damage::TooLong { length } }
            }
            NextImage::Unfinished { start: 0 } => {
                self.size = self.size.saturating_mul(2).min(self.max_image);
                self.move_to(0);
                ImageStep::Searching
            }
            NextImage::Unfinished { start } => {
                self.move_to(start);
                ImageStep::Searching
            }
            NextImage::NotFound if self.is_last => {
                self.from = self.window.len();
                ImageStep::End
            }
            NextImage::NotFound => {
                // The last byte may be the first half of an SOI.
                self.move_to((self.window.len() - 1).max(self.from));
                ImageStep::Searching
            }
        })
    }

    /// Bytes of the file that are held.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.window.capacity()
    }

    fn read<M: MovieBytes + ?Sized>(&mut self, movie: &M) -> io::Result<()> {
        let left = self.end.min(movie.end()).saturating_sub(self.start);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        self.window.resize(self.size.min(left), 0);
        let have = read_full(movie, &mut self.window, self.start)?;
        // A file that has shrunk ends earlier.
        self.is_last = have == left || have < self.window.len();
        self.window.truncate(have);
        (self.from, self.must_read) = (0, false);
        Ok(())
    }

    /// Makes the next step read the file from a position in the window on.
    fn move_to(&mut self, position: usize) {
        self.start += position as u64;
        (self.from, self.must_read) = (0, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image of 8x8 pixels, with bytes between segments and between scan and EOI.
    fn image(between: &[u8], after_scan: &[u8]) -> Vec<u8> {
        let tables = [&b"\xff\xdb\0\x43\0"[..], &[1; 64]].concat();
        let header = b"\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0";
        let scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\x2b";
        [&SOI, &tables[..], between, header, scan, after_scan].concat()
    }

    #[test]
    fn the_size_of_the_parts_does_not_matter() {
        let eoi = b"\xff\xd9";
        let movie = [
            image(b"", eoi),
            image(b"\0stray\xff\0", eoi),
            image(b"\xff\xff", b"\xff\xfe\0\x06text\xff\xd9"),
            image(b"\xff\xe1\0\x06Exif", b""),
            image(b"", b"\xff\xe5\xff"),
            b"junk".to_vec(),
            image(b"", eoi),
            image(b"", eoi)[..90].to_vec(),
        ]
        .concat();
        let walk = |part: usize| {
            let new = ImageWalker::new(0, movie.len() as u64, 1 << 20);
            let mut walker = ImageWalker { part, size: part, ..new };
            let mut steps = Vec::new();
            loop {
                match walker.step(&movie[..]).unwrap() {
                    ImageStep::Searching => {}
                    ImageStep::End => return steps,
                    step => steps.push(step),
                }
            }
        };
        let whole = walk(1 << 20);
        let is_image = |step: &&ImageStep| matches!(step, ImageStep::Image { .. });
        assert_eq!(whole.iter().filter(is_image).count(), 5, "{whole:?}");
        for part in 2..300 {
            assert_eq!(walk(part), whole, "{part}");
        }
    }
}
