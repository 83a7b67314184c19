// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether every player of movies can show an image.

use super::check::check_parsed;
use super::{CheckError, Damage, Header, Process};

/// Why an image should not be written into a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The image is damaged or truncated.
    #[error("the image is damaged: {0}")]
    Damaged(#[from] Damage),
    /// EOI is missing.
    #[error("the image is truncated: EOI (ff d9) is missing at its end")]
    NoEnd,
    /// The image is not baseline. Many players of movies support nothing else.
    #[error(
        "the image is {0} instead of baseline; decode it and encode it again (jpegdec ! jpegenc)"
    )]
    Process(Process),
}

/// Checks whether an image should be written into a movie.
///
/// # Errors
/// See [`Unwritable`].
pub fn writable(jpeg: &[u8]) -> Result<(), Unwritable> {
    let header = Header::parse(jpeg)?;
    match check_parsed(jpeg, &header) {
        Err(CheckError::Damaged(damage)) => Err(damage.into()),
        _ if !matches!(header.process, Process::Baseline | Process::ExtendedSequential) => {
            Err(Unwritable::Process(header.process))
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
