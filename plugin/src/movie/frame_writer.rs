// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes movies.

use super::{LengthPrefix, PrefixError, SOI};
use std::io::{self, Write};

/// Writes JPEG images as the records of a movie.
#[derive(Debug)]
pub struct FrameWriter<W> {
    out: W,
    frames: u64,
}

/// Why a frame was not written. Except after [`Self::Io`], the output does not contain any of it.
#[derive(Debug, thiserror::Error)]
pub enum WriteFrameError {
    /// Five digits cannot hold its length.
    #[error("cannot write frame {}", frame + 1)]
    Length {
        /// Number of the frame, from 0.
        frame: u64,
        /// What is wrong with the length.
        source: PrefixError,
    },
    /// The image does not start with FF D8.
    #[error("cannot write frame {}: it is not a JPEG image, which starts with FF D8", frame + 1)]
    NotJpeg {
        /// Number of the frame, from 0.
        frame: u64,
    },
    /// Writing to the output failed.
    #[error("cannot write frame {}", frame + 1)]
    Io {
        /// Number of the frame, from 0.
        frame: u64,
        /// Error of the output.
        source: io::Error,
    },
}

impl<W: Write> FrameWriter<W> {
    /// Starts a movie at the current position of `out`.
    pub fn new(out: W) -> Self {
        Self { out, frames: 0 }
    }

    /// Appends one JPEG image as a record.
    ///
    /// # Errors
    /// See [`WriteFrameError`]. A frame that the format cannot hold is refused before anything is
    /// written.
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

    /// The number of frames written so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Ends the movie and returns the output without flushing it.
    pub fn into_inner(self) -> W {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_length_prefix_and_a_jpeg() {
        let mut writer = FrameWriter::new(Vec::new());
        writer.write_frame(&[0xff, 0xd8, 1, 0xff, 0xd9]).unwrap();
        writer.write_frame(&[0xff, 0xd8, 0xff, 0xd9]).unwrap();
        assert_eq!(writer.frames(), 2);
        assert_eq!(writer.into_inner(), b"00005\xff\xd8\x01\xff\xd900004\xff\xd8\xff\xd9");
    }

    #[test]
    fn a_refused_frame_leaves_the_output_unchanged() {
        let mut long = vec![0; 100_000];
        long[..2].copy_from_slice(&SOI);
        for (name, jpeg) in [("empty", &[][..]), ("100 000 bytes", &long), ("no JPEG", b"GIF8")] {
            let mut writer = FrameWriter::new(Vec::new());
            assert!(writer.write_frame(jpeg).is_err(), "{name}");
            assert_eq!(writer.frames(), 0, "{name}");
            assert!(writer.into_inner().is_empty(), "{name}");
        }
        let error = FrameWriter::new(Vec::new()).write_frame(&long).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(error.to_string(), "cannot write frame 1");
        assert_eq!(
            source.as_deref(),
            Some("a frame of 100000 bytes exceeds the format's limit of 99999 bytes")
        );
        long.truncate(99_999);
        FrameWriter::new(Vec::new()).write_frame(&long).unwrap();
    }
}
