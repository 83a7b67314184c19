// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writing a movie.

use super::{LengthPrefix, PrefixError, SOI};
use std::io::{self, Write};

/// Writes JPEG images as the records of a movie.
#[derive(Debug)]
pub struct FrameWriter<W> {
    out: W,
    frames: u64,
}

/// Why a frame was not written. Nothing of it is in the output, except after [`Self::Io`].
#[derive(Debug, thiserror::Error)]
pub enum WriteFrameError {
    /// Its length is none that five digits can say.
    #[error("frame {}: {source}", frame + 1)]
    Length {
        /// The frame's number, from 0.
        frame: u64,
        /// What is wrong with the length.
        source: PrefixError,
    },
    /// It does not begin with FF D8.
    #[error("frame {} is not a JPEG image: it does not begin with FF D8", frame + 1)]
    NotJpeg {
        /// The frame's number, from 0.
        frame: u64,
    },
    /// The output refused it.
    #[error("frame {}: {source}", frame + 1)]
    Io {
        /// The frame's number, from 0.
        frame: u64,
        /// What the output said.
        source: io::Error,
    },
}

impl<W: Write> FrameWriter<W> {
    /// A movie that begins at the present position of `out`.
    pub fn new(out: W) -> Self {
        Self { out, frames: 0 }
    }

    /// Appends one JPEG image as a record.
    ///
    /// # Errors
    /// A frame that the format cannot hold is refused before anything is written.
    pub fn write_frame(&mut self, jpeg: &[u8]) -> Result<(), WriteFrameError> {
        let frame = self.frames;
        let prefix = LengthPrefix::new(jpeg.len())
            .map_err(|source| WriteFrameError::Length { frame, source })?;
        if !jpeg.starts_with(&SOI) {
            return Err(WriteFrameError::NotJpeg { frame });
        }
        self.out
            .write_all(&prefix.to_bytes())
            .and_then(|()| self.out.write_all(jpeg))
            .map_err(|source| WriteFrameError::Io { frame, source })?;
        self.frames += 1;
        Ok(())
    }

    /// Frames written so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Ends the movie and gives the output back, not flushed.
    pub fn into_inner(self) -> W {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_prefix_and_jpeg() {
        let mut writer = FrameWriter::new(Vec::new());
        writer.write_frame(&[0xff, 0xd8, 1, 0xff, 0xd9]).unwrap();
        writer.write_frame(&[0xff, 0xd8, 0xff, 0xd9]).unwrap();
        assert_eq!(writer.frames(), 2);
        assert_eq!(writer.into_inner(), b"00005\xff\xd8\x01\xff\xd900004\xff\xd8\xff\xd9");
    }

    #[test]
    fn an_impossible_frame_leaves_no_byte() {
        let mut long = vec![0; 100_000];
        long[..2].copy_from_slice(&SOI);
        for (name, jpeg) in [("empty", &[][..]), ("100 000 bytes", &long), ("no JPEG", b"GIF8")] {
            let mut writer = FrameWriter::new(Vec::new());
            assert!(writer.write_frame(jpeg).is_err(), "{name}");
            assert_eq!(writer.frames(), 0, "{name}");
            assert!(writer.into_inner().is_empty(), "{name}");
        }
        let said = FrameWriter::new(Vec::new()).write_frame(&long).unwrap_err();
        assert_eq!(
            said.to_string(),
            "frame 1: a frame of 100000 bytes is over the format's limit of 99999"
        );
        long.truncate(99_999);
        FrameWriter::new(Vec::new()).write_frame(&long).unwrap();
    }
}
