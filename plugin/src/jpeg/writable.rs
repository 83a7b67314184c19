// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether an image should be written into a movie: one that every player of movies shows.

use super::{CheckError, Damage, Process, UnsupportedByRtp, check};

/// Why an image should not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// It is broken, or cut.
    #[error("the image is damaged: {0}")]
    Damaged(#[from] Damage),
    /// Its end of image is missing.
    #[error("the image is cut: its end (FF D9) is missing")]
    NoEnd,
    /// Players of movies are simple; only baseline is sure to be shown.
    #[error("the image is {0:?}, not baseline: decode it and encode it again (jpegdec ! jpegenc)")]
    Process(Process),
}

/// Checks an image that is to be written.
///
/// # Errors
/// See [`Unwritable`].
pub fn writable(jpeg: &[u8]) -> Result<(), Unwritable> {
    match check(jpeg) {
        Err(CheckError::Damaged(damage)) => Err(damage.into()),
        Err(CheckError::UnsupportedByRtp(UnsupportedByRtp::Process(process)))
            if process != Process::ExtendedSequential =>
        {
            Err(Unwritable::Process(process))
        }
        Ok(image) if image.lacks_eoi() => Err(Unwritable::NoEnd),
        Ok(_) | Err(CheckError::UnsupportedByRtp(_)) => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_baseline_images_are_written() {
        let image = |progressive| {
            let mut out = Vec::new();
            let mut encoder = jpeg_encoder::Encoder::new(&mut out, 80);
            encoder.set_progressive(progressive);
            let pixels = vec![90; 32 * 32 * 3];
            encoder.encode(&pixels, 32, 32, jpeg_encoder::ColorType::Rgb).unwrap();
            out
        };
        let (baseline, progressive) = (image(false), image(true));
        let without_end = &baseline[..baseline.len() - 2];
        let half = &baseline[..baseline.len() - 12];
        assert_eq!(writable(&baseline), Ok(()));
        assert_eq!(writable(&progressive), Err(Unwritable::Process(Process::Progressive)));
        assert_eq!(writable(without_end), Err(Unwritable::NoEnd));
        assert_eq!(writable(half), Err(Unwritable::Damaged(Damage::ScanCut)));
        assert!(matches!(writable(b"hello"), Err(Unwritable::Damaged(_))));
    }
}
