// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes an image and encodes it again as one that RFC 2435 carries: for what cannot be done
//! on coefficients. Decoding, scaling and encoding are libraries' work.

use super::check::MAX_SIDE;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, Resizer};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// High enough that encoding again is not seen: luma stays above 40 dB for camera pictures.
const QUALITY: u8 = 95;

/// The image in `size`, 4:2:2; `None` if no decoder takes it.
pub(super) fn encode_again(jpeg: &[u8], size: (u16, u16)) -> Option<Vec<u8>> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let pixels = decoder.decode().ok()?;
    let (width, height) = decoder.dimensions()?;
    let pixels = if (width, height) == (usize::from(size.0), usize::from(size.1)) {
        pixels
    } else {
        let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
        let from = ImageRef::new(width, height, &pixels, PixelType::U8x3).ok()?;
        let mut to = Image::new(u32::from(size.0), u32::from(size.1), PixelType::U8x3);
        Resizer::new().resize(&from, &mut to, None).ok()?;
        to.into_vec()
    };
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_1);
    encoder.encode(&pixels, size.0, size.1, ColorType::Rgb).ok()?;
    Some(out)
}

/// A size scaled down to what RTP/JPEG can say, with the same shape.
pub(super) fn fit(width: u16, height: u16) -> (u16, u16) {
    let (longest, most) = (u32::from(width.max(height)), u32::from(MAX_SIDE));
    if longest <= most {
        return (width, height);
    }
    let scaled = |side: u16| {
        let side = (u32::from(side) * most + longest / 2) / longest;
        u16::try_from(side.max(1)).unwrap_or(MAX_SIDE)
    };
    (scaled(width), scaled(height))
}
