// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes an image to pixels and encodes them again as 4:2:2, for images that cannot be converted
//! by their coefficients: RGB, CMYK, sampling factors of thirds, other sizes. Uses the decoder of
//! this module, which refuses damaged images; library decoders were seen to panic on some.

use super::coefficients::Plane;
use super::decode::{Geometry, decode};
use super::encode::{EncodedJpeg, Frame};
use super::resample::{NATURAL, dct};
use crate::jpeg::header::{Damage, Header};
use crate::jpeg::tables::STANDARD_QUANTIZATION;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, Resizer};
use std::sync::LazyLock;

/// Annex K's quantization tables, scaled by `tenths` of 1. One tenth is quality 95 of other
/// encoders: the loss is not visible, and the PSNR of luma exceeds 40 dB for camera pictures.
fn quantization(tenths: u16) -> [[u16; 64]; 2] {
    let scaled = |value| ((u16::from(value) * tenths + 5) / 10).clamp(1, 255);
    STANDARD_QUANTIZATION.map(|table| table.map(scaled))
}

/// Matrix of the transform, indexed by frequency, then by sample.
static DCT: LazyLock<[[f32; 8]; 8]> = LazyLock::new(|| {
    std::array::from_fn(|frequency| std::array::from_fn(|sample| dct(frequency, sample) as f32))
});

/// Decodes an image, scales it to `size`, and encodes it.
///
/// # Errors
/// [`Damage::ScanCut`] if blocks are missing.
pub(crate) fn encode_again(
    jpeg: &[u8],
    header: &Header,
    size: (u16, u16),
) -> Result<EncodedJpeg, Damage> {
    let planes = decode(jpeg, header)?;
    let pixels = pixels(header, &planes);
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    let pixels = if (header.width, header.height) == size {
        pixels
    } else {
        scale(&pixels, (width, height), (u32::from(size.0), u32::from(size.1)))
            .ok_or(Damage::NoSize { width: size.0, height: size.1 })?
    };
    // Coefficients of 8-bit samples always have codes.
    encode(&pixels, size, &quantization(1)).ok_or(Damage::ScanCut)
}

/// Encodes the image again at the best quality with which it has at most `limit` bytes. `None` if
/// no quality is low enough, or the image is damaged.
pub fn encode_within(jpeg: &[u8], limit: usize) -> Option<Vec<u8>> {
    let header = Header::parse(jpeg).ok()?;
    let planes = decode(jpeg, &header).ok()?;
    let pixels = pixels(&header, &planes);
    let steps = [1, 2, 4, 7, 10, 15, 25, 50, 100];
    let (mut low, mut high, mut best) = (0, steps.len(), None);
    // An image that is a little too large fits at one of the first steps. Of one that is much too
    // large, the step is searched by halves.
    let mut next = 0;
    while low < high
        && let Some(tenths) = steps.get(next)
    {
        let encoded = encode(&pixels, (header.width, header.height), &quantization(*tenths))?.jpeg;
        if encoded.len() <= limit {
            (high, best) = (next, Some(encoded));
            next = low.midpoint(high);
        } else {
            low = next + 1;
            next = if encoded.len() / 2 > limit { low.midpoint(high) } else { low };
        }
    }
    best
}

fn scale(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Option<Vec<u8>> {
    let from = ImageRef::new(from.0, from.1, pixels, PixelType::U8x3).ok()?;
    let mut out = Image::new(to.0, to.1, PixelType::U8x3);
    Resizer::new().resize(&from, &mut out, None).ok()?;
    Some(out.into_vec())
}

/// The samples of one component.
struct ComponentSamples {
    across: usize,
    bytes: Vec<u8>,
    /// The component's sampling factors, and the largest ones of all components.
    factors: (usize, usize),
    most: (usize, usize),
}

impl ComponentSamples {
    fn of(plane: &Plane, unit: f32, factors: (usize, usize), most: (usize, usize)) -> Self {
        let across = plane.across * 8;
        let mut bytes = vec![0; across * plane.down * 8];
        for row in 0..plane.down {
            for column in 0..plane.across {
                let block = inverse(plane, unit, row, column);
                let start = row * 8 * across + column * 8;
                for (line, samples) in block.iter().enumerate() {
                    let to = start + line * across;
                    for (to, sample) in bytes.iter_mut().skip(to).take(8).zip(samples) {
                        *to = sample.round_ties_even().clamp(0.0, 255.0) as u8;
                    }
                }
            }
        }
        Self { across, bytes, factors, most }
    }

    #[inline]
    fn at(&self, x: usize, y: usize) -> u8 {
        let (x, y) = (x * self.factors.0 / self.most.0, y * self.factors.1 / self.most.1);
        self.bytes.get(y * self.across + x).copied().unwrap_or(128)
    }
}

/// Transforms a block's coefficients to samples (T.81 A.3.3).
fn inverse(plane: &Plane, unit: f32, row: usize, column: usize) -> [[f32; 8]; 8] {
    let (dc, rest) = plane.block(row, column);
    let [dc_step, ..] = plane.quantization;
    let level = f32::from(dc) * f32::from(dc_step) * unit / 8.0 + 128.0;
    let mut out = [[level; 8]; 8];
    for ac in rest {
        let position = usize::from(ac.position);
        let natural = NATURAL.get(position).copied().map_or(0, usize::from);
        let step = plane.quantization.get(position).copied().unwrap_or(1);
        let value = f32::from(ac.value) * f32::from(step) * unit;
        let (Some(across), Some(down)) = (DCT.get(natural % 8), DCT.get(natural / 8)) else {
            continue;
        };
        for (line, down) in out.iter_mut().zip(down) {
            line.iter_mut().zip(across).for_each(|(sum, across)| *sum += value * down * across);
        }
    }
    out
}

/// Y, Cb and Cr of each pixel, row by row.
fn pixels(header: &Header, planes: &[Plane]) -> Vec<u8> {
    let unit = if header.precision == 12 { super::FROM_12_BITS } else { 1.0 };
    let Geometry { most, .. } = Geometry::of(header);
    let most = (most.0 as usize, most.1 as usize);
    let samples: Vec<ComponentSamples> = header
        .components()
        .iter()
        .zip(planes)
        .map(|(component, plane)| {
            let factors = (usize::from(component.horizontal), usize::from(component.vertical));
            ComponentSamples::of(plane, unit, factors, most)
        })
        .collect();
    let (width, height) = (usize::from(header.width), usize::from(header.height));
    let mut out = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            out.extend(match &samples[..] {
                [a, b, c] if header.is_rgb() => rgb_to_ycbcr([a, b, c].map(|it| it.at(x, y))),
                [a, b, c] => [a, b, c].map(|it| it.at(x, y)),
                [a, b, c, k] => inks_to_ycbcr([a, b, c].map(|it| it.at(x, y)), k.at(x, y), header),
                [grey, ..] => [grey.at(x, y), 128, 128],
                [] => [128; 3],
            });
        }
    }
    out
}

/// Converts cyan, magenta, yellow and black, or YCCK, to Y, Cb and Cr. Values are inverted if there
/// is an Adobe segment, since Adobe's programs write them so.
fn inks_to_ycbcr(colours: [u8; 3], black: u8, header: &Header) -> [u8; 3] {
    // Y, Cb and Cr of YCCK stand for the complements of the inks.
    // libjpeg takes all but 0 for YCCK (`default_decompress_parms` in `jdapimin.c`).
    let ycck = header.adobe_transform.is_some_and(|transform| transform != 0);
    let colours = if ycck { ycbcr_to_rgb(colours).map(|light| 255 - light) } else { colours };
    let inverted = header.adobe_transform.is_some();
    let light = |ink: u8| u32::from(if inverted { ink } else { 255 - ink });
    // A product of two bytes divided by 255 fits a byte.
    rgb_to_ycbcr(colours.map(|colour| (light(colour) * light(black) / 255) as u8))
}

/// Converts red, green and blue to Y, Cb and Cr (JFIF 1.02).
fn rgb_to_ycbcr([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(f32::from);
    [
        0.299 * r + 0.587 * g + 0.114 * b,
        -0.168_736 * r - 0.331_264 * g + 0.5 * b + 128.0,
        0.5 * r - 0.418_688 * g - 0.081_312 * b + 128.0,
    ]
    .map(|value| (value + 0.5).clamp(0.0, 255.0) as u8)
}

/// Converts Y, Cb and Cr to red, green and blue (JFIF 1.02).
fn ycbcr_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let [y, cb, cr] = [f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0];
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
        .map(|value| (value + 0.5).clamp(0.0, 255.0) as u8)
}

/// Encodes Y, Cb and Cr of all pixels as 4:2:2.
fn encode(pixels: &[u8], size: (u16, u16), tables: &[[u16; 64]; 2]) -> Option<EncodedJpeg> {
    let (width, height) = (usize::from(size.0), usize::from(size.1));
    let [luma_table, chroma_table] = tables;
    let quantization = [luma_table, chroma_table];
    let frame = Frame { size, vertical: 1, quantization, restart_interval: 0 };
    let at = |x: usize, y: usize, component: usize| {
        let pixel = y.min(height - 1) * width + x.min(width - 1);
        f32::from(pixels.get(pixel * 3 + component).copied().unwrap_or(128))
    };
    let (across, down) = frame.mcus();
    let luma = forward((2 * across, down), luma_table, |x, y| at(x, y, 0));
    let chroma = |component: usize| {
        forward((across, down), chroma_table, |x, y| {
            f32::midpoint(at(2 * x, y, component), at(2 * x + 1, y, component))
        })
    };
    let (cb, cr) = (chroma(1), chroma(2));
    frame.encode(&luma, [&cb, &cr], pixels.len() / 4)
}

/// Transforms and quantizes samples (T.81 A.3.3 and A.3.4).
fn forward(
    (across, down): (usize, usize),
    quantization: &[u16; 64],
    sample: impl Fn(usize, usize) -> f32,
) -> Plane {
    let mut plane = Plane::new(across, down, *quantization);
    for row in 0..down {
        for column in 0..across {
            // The transform along rows, then along columns.
            let mut lines = [[0.0_f32; 8]; 8];
            for (y, line) in lines.iter_mut().enumerate() {
                let samples: [f32; 8] =
                    std::array::from_fn(|x| sample(column * 8 + x, row * 8 + y) - 128.0);
                for (to, wave) in line.iter_mut().zip(&*DCT) {
                    *to = samples.iter().zip(wave).map(|(a, b)| a * b).sum();
                }
            }
            let start = plane.len();
            let mut dc = 0;
            for ((position, natural), step) in (0_u8..).zip(NATURAL).zip(quantization) {
                let (u, v) = (usize::from(natural & 7), usize::from(natural >> 3));
                let wave = DCT.get(v).copied().unwrap_or_default();
                let column = lines.iter().map(|line| line.get(u).copied().unwrap_or_default());
                let value: f32 = column.zip(wave).map(|(a, b)| a * b).sum();
                let value = (value / f32::from(*step)).round_ties_even() as i16;
                match position {
                    0 => dc = value.clamp(-1024, 1023),
                    _ if value != 0 => plane.push(position, value.clamp(-1023, 1023)),
                    _ => {}
                }
            }
            // The loops stay inside the plane.
            let _ = plane.end_block(row, column, dc, start);
        }
    }
    plane
}
