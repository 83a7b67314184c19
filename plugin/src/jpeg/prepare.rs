// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts any image into one that RTP/JPEG (RFC 2435) carries, with as little loss as possible.

use super::check::{
    CheckError, CheckedJpeg, MAX_SIDE, RtpParameters, UnsupportedByRtp, check_parsed,
};
use super::header::{Component, Damage, Header, Process};
use super::recode::encode::EncodedJpeg;
use super::recode::pixels::encode_again;
use super::recode::{Preserved, RecodeError, recode_parsed};

/// How an image was converted into one that RTP/JPEG carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// Not at all: RTP/JPEG carries it as it is.
    AsIs,
    /// Recoded without loss: all pixels are the same.
    Exact,
    /// Recoded: luma is the same, chroma was resampled.
    Luma,
    /// Decoded and encoded again, or rounded from 12 bits per sample to 8.
    Lossy,
}

impl Conversion {
    /// All conversions.
    pub const ALL: [Self; 4] = [Self::AsIs, Self::Exact, Self::Luma, Self::Lossy];

    /// Name in statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as-is",
            Self::Exact => "exact",
            Self::Luma => "luma-exact",
            Self::Lossy => "lossy",
        }
    }

    /// Description for log messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::AsIs => "sent as it is in the file",
            Self::Exact => "recoded, every pixel the same",
            Self::Luma => "recoded, luma the same, chroma resampled",
            Self::Lossy => "decoded and encoded again",
        }
    }
}

/// Why an image has to be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConversionReason {
    /// RTP/JPEG cannot represent the image.
    #[error(transparent)]
    UnsupportedByRtp(#[from] UnsupportedByRtp),
    /// The stream has another picture size, which was announced to its receivers.
    #[error(
        "the picture of {}x{} pixels is fitted into the first frame's {}x{}, with black bars where \
         its aspect ratio differs",
        from.0, from.1, to.0, to.1
    )]
    OtherSize {
        /// Width and height of the image in pixels.
        from: (u16, u16),
        /// Those of the stream.
        to: (u16, u16),
    },
}

impl ConversionReason {
    /// Name of this reason in statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnsupportedByRtp(reason) => reason.kind(),
            Self::OtherSize { .. } => "other-size",
        }
    }
}

/// The image that is sent for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared<'a> {
    /// The image itself, without bytes that follow it.
    AsIs(CheckedJpeg<'a>),
    /// A converted image.
    Made {
        /// From SOI to EOI.
        jpeg: Vec<u8>,
        /// What RTP/JPEG sends in place of its headers.
        parameters: RtpParameters,
        /// How it was converted.
        conversion: Conversion,
        /// Why it was converted.
        reason: ConversionReason,
    },
}

impl Prepared<'_> {
    /// The image that is sent.
    pub fn image(&self) -> CheckedJpeg<'_> {
        match self {
            Self::AsIs(image) => *image,
            Self::Made { jpeg, parameters, .. } => CheckedJpeg::written(jpeg, *parameters),
        }
    }

    /// How the image was converted.
    pub fn conversion(&self) -> Conversion {
        match self {
            Self::AsIs(_) => Conversion::AsIs,
            Self::Made { conversion, .. } => *conversion,
        }
    }

    /// Why the image was converted; `None` if it is sent as it is.
    pub fn reason(&self) -> Option<ConversionReason> {
        match self {
            Self::AsIs(_) => None,
            Self::Made { reason, .. } => Some(*reason),
        }
    }
}

/// Why nothing can be sent for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The image is incomplete or invalid.
    #[error("damaged: {0}")]
    Damaged(#[from] Damage),
    /// The decoder does not support the image.
    #[error("cannot be decoded: {0}")]
    Undecodable(UnsupportedByRtp),
}

impl Unusable {
    /// Name of this reason in statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Damaged(damage) => damage.kind(),
            Self::Undecodable(reason) => reason.kind(),
        }
    }
}

/// The size in pixels in which an image of a given size is sent: at most [`MAX_SIDE`] per side.
pub fn prepared_size(width: u16, height: u16) -> (u16, u16) {
    let (longest, limit) = (u32::from(width.max(height)), u32::from(MAX_SIDE));
    if longest <= limit {
        return (width, height);
    }
    let scaled = |side: u16| {
        let side = (u32::from(side) * limit + longest / 2) / longest;
        u16::try_from(side.max(1)).unwrap_or(MAX_SIDE)
    };
    (scaled(width), scaled(height))
}

/// Whether the decoder supports images with this property. It does not support arithmetic, lossless
/// and hierarchical coding, nor samples of other than 8 and 12 bits.
fn is_decodable(reason: &UnsupportedByRtp) -> bool {
    !matches!(reason, UnsupportedByRtp::Process(Process::Other(_)))
        && !matches!(reason, UnsupportedByRtp::Precision(bits) if *bits != 12)
}

/// Prepares an image for RTP/JPEG; fits it into `size` in pixels, if one is given: the aspect ratio
/// stays, and what the image does not cover is black.
///
/// # Errors
/// See [`Unusable`].
pub fn prepare(jpeg: &[u8], size: Option<(u16, u16)>) -> Result<Prepared<'_>, Unusable> {
    let header = Header::parse(jpeg)?;
    let own_size = (header.width, header.height);
    let to = size.unwrap_or_else(|| prepared_size(own_size.0, own_size.1));
    let unsupported = match check_parsed(jpeg, &header) {
        Ok(image) if to == own_size => return Ok(Prepared::AsIs(image)),
        Ok(_) => None,
        Err(CheckError::Damaged(damage)) => return Err(damage.into()),
        Err(CheckError::UnsupportedByRtp(reason)) => Some(reason),
    };
    if let Some(reason) = unsupported.filter(|reason| !is_decodable(reason)) {
        return Err(Unusable::Undecodable(reason));
    }
    let fitted = to != own_size && to != prepared_size(own_size.0, own_size.1);
    let reason = match unsupported {
        Some(reason) if !fitted => reason.into(),
        _ => ConversionReason::OtherSize { from: own_size, to },
    };
    if to == own_size {
        match recode_parsed(jpeg, &header) {
            Ok(recoded) => {
                let conversion = match recoded.preserved {
                    Preserved::Everything => Conversion::Exact,
                    Preserved::Luma => Conversion::Luma,
                    Preserved::EightBits => Conversion::Lossy,
                };
                let (jpeg, parameters) = (recoded.jpeg, recoded.parameters);
                return Ok(Prepared::Made { jpeg, parameters, conversion, reason });
            }
            Err(RecodeError::Damaged(damage)) => return Err(damage.into()),
            Err(RecodeError::NeedsPixels(_)) => {}
        }
    }
    let EncodedJpeg { jpeg, parameters } = encode_again(jpeg, &header, to)?;
    Ok(Prepared::Made { jpeg, parameters, conversion: Conversion::Lossy, reason })
}

/// Prepares an image that GStreamer 1.22's `jpegdec` does not show as libjpeg does, in the same size.
/// `None` if `jpegdec` shows the image, or if nothing can be made of it.
pub fn prepare_for_jpegdec(jpeg: &[u8]) -> Option<Prepared<'_>> {
    let header = Header::parse(jpeg).ok()?;
    if jpegdec_shows(&header) {
        return None;
    }
    prepare(jpeg, Some((header.width, header.height))).ok()
}

/// Whether `jpegdec` shows images with this header. It asks libjpeg for the samples of each component
/// and accepts few sampling factors; it misreads the others or ends the stream.
fn jpegdec_shows(header: &Header) -> bool {
    if header.precision != 8 {
        return false;
    }
    let factors = |component: &Component| (component.horizontal, component.vertical);
    match header.components() {
        [grey] => matches!(factors(grey), (1 | 2, 1)),
        [r, g, b] if header.is_rgb() => [r, g, b].map(factors) == [(1, 1); 3],
        [y, cb, cr] => matches!(
            [y, cb, cr].map(factors),
            [(1 | 2, 1 | 2), (1, 1), (1, 1)] | [(2, 2), (1, 2), (1, 2)]
        ),
        _ => false,
    }
}
