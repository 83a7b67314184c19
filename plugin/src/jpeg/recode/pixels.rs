// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes an image to samples and encodes them again, for images that cannot be converted by their
//! coefficients: RGB, CMYK, sampling factors of thirds, other sizes. Uses the decoder of this module,
//! which refuses damaged images; library decoders panic on some of them.
//!
//! Scaling takes three steps, so that few samples are touched: the inverse transform makes `points` of
//! 8 samples along each axis, each component is scaled to the size that it has in the result, and only
//! then are colours converted.

use super::coefficients::Plane;
use super::decode::{Geometry, decode};
use super::encode::{EncodedJpeg, Frame};
use super::resample::{NATURAL, Quantizer, UnquantizedBlock, dct};
use crate::jpeg::header::{Component, Damage, Header};
use crate::jpeg::segments::marker;
use crate::jpeg::tables::STANDARD_QUANTIZATION;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use std::f64::consts::PI;
use std::fmt;
use std::sync::LazyLock;

/// Tenths of Annex K's quantization tables, from the best quality to the lowest.
const QUALITIES: [u16; 8] = [1, 2, 4, 7, 10, 15, 25, 50];

/// The same for an image that is also scaled.
const SCALED_QUALITIES: [u16; 3] = [10, 25, 50];

/// The fewest bits of a block of luma and of chroma: no DC difference and no AC coefficient.
const FEWEST_BITS: [usize; 2] = [6, 4];

/// Annex K's quantization tables, scaled by `tenths` of 1. One tenth is quality 95 of other
/// encoders: the loss is not visible, and the PSNR of luma exceeds 40 dB for camera pictures.
fn quantization(tenths: u16) -> [[u16; 64]; 2] {
    let scaled = |value| ((u16::from(value) * tenths + 5) / 10).clamp(1, 255);
    STANDARD_QUANTIZATION.map(|table| table.map(scaled))
}

/// A matrix of the transform along one axis.
type Matrix = [[f32; 8]; 8];

/// Matrix of the forward transform, indexed by sample, then by frequency.
static FORWARD: LazyLock<Matrix> = LazyLock::new(|| {
    std::array::from_fn(|sample| std::array::from_fn(|frequency| dct(frequency, sample) as f32))
});

/// Matrices of the inverse transform to 1 to 8 samples, indexed by frequency, then by sample. Higher
/// frequencies and further samples are 0.
static INVERSE: LazyLock<[Matrix; 8]> = LazyLock::new(|| {
    let value = |points: usize, frequency: usize, sample: usize| {
        if frequency >= points || sample >= points {
            return 0.0;
        }
        let scale = if frequency == 0 { 0.125_f64.sqrt() } else { 0.5 };
        let angle = (2 * sample + 1) as f64 * frequency as f64 * PI / (2 * points) as f64;
        (scale * angle.cos()) as f32
    };
    std::array::from_fn(|index| {
        std::array::from_fn(|frequency| {
            std::array::from_fn(|sample| value(index + 1, frequency, sample))
        })
    })
});

/// An image that was made smaller, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduced {
    /// From SOI to EOI.
    pub jpeg: Vec<u8>,
    /// What was done.
    pub reduction: Reduction,
}

/// How an image was made smaller, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Encoded again, with 4:2:0 chroma and at a lower quality.
    Quality,
    /// Encoded again as this many pixels across and down.
    Scaled(u16, u16),
    /// Cut off: the image cannot be decoded here.
    Cut,
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quality => f.write_str("encoded again at lower quality"),
            Self::Scaled(width, height) => write!(f, "encoded again as {width}x{height}"),
            Self::Cut => f.write_str("cut off, since it cannot be decoded"),
        }
    }
}

/// Decodes an image, fits it into `size` with its aspect ratio, and encodes it. What it does not cover
/// is black.
///
/// # Errors
/// [`Damage::ScanCut`] if blocks are missing.
pub(crate) fn encode_again(
    jpeg: &[u8],
    header: &Header,
    size: (u16, u16),
) -> Result<EncodedJpeg, Damage> {
    let planes = decode(jpeg, header)?;
    let picture = Picture::new(header, &planes, size, vertical_factor(header));
    let picture = picture.ok_or(Damage::NoSize { width: size.0, height: size.1 })?;
    let same_size = size == (header.width, header.height);
    let tenths = if same_size { 1 } else { scaled_quality(header, &planes) };
    // Coefficients of 8-bit samples always have codes.
    picture.encode(&quantization(tenths)).ok_or(Damage::ScanCut)
}

/// Tenths of Annex K's tables for an image that is scaled: half of the steps that it has itself. Finer
/// ones would encode its errors.
fn scaled_quality(header: &Header, planes: &[Plane]) -> u16 {
    let [standard, _] = STANDARD_QUANTIZATION;
    let standard: u32 = standard.iter().map(|value| u32::from(*value)).sum();
    let own =
        planes.first().map_or(0, |luma| luma.quantization.iter().copied().map(u32::from).sum());
    let own = if header.precision == 12 { own / 16 } else { own };
    (own * 5 / standard.max(1)).clamp(1, 10) as u16
}

/// Encodes the image again, with 4:2:0 chroma, at the best quality with which it has at most `limit`
/// bytes. If no quality is low enough, it is scaled, too. `None` if the image is damaged or not
/// supported, or `limit` is too small for any image.
pub fn encode_within(jpeg: &[u8], limit: usize) -> Option<Reduced> {
    scale_within(jpeg, limit, None)
}

/// As [`encode_within`]. `first` is the size to start with, if an image like this one has needed it.
pub fn scale_within(jpeg: &[u8], limit: usize, first: Option<(u16, u16)>) -> Option<Reduced> {
    let header = Header::parse(jpeg).ok()?;
    let planes = decode(jpeg, &header).ok()?;
    let whole = (header.width, header.height);
    let mut size = first.unwrap_or(whole);
    loop {
        let is_whole = size == whole;
        if fewest_bytes(size) <= limit {
            let picture = Picture::new(&header, &planes, size, 2)?;
            let qualities = if is_whole { &QUALITIES[..] } else { &SCALED_QUALITIES[..] };
            if let Some(jpeg) = best_within(&picture, qualities, limit) {
                let scaled = Reduction::Scaled(size.0, size.1);
                let reduction = if is_whole { Reduction::Quality } else { scaled };
                return Some(Reduced { jpeg, reduction });
            }
        }
        if size == (1, 1) {
            return None;
        }
        let smaller = |side: u16| (side - side.div_ceil(4)).max(1);
        size = (smaller(size.0), smaller(size.1));
    }
}

/// The image at the first of these qualities, best first, with which it has at most `limit` bytes.
fn best_within(picture: &Picture, qualities: &[u16], limit: usize) -> Option<Vec<u8>> {
    let (mut low, mut high, mut best) = (0, qualities.len(), None);
    // An image that is a little too large fits at one of the first qualities. Of one that is much too
    // large, the quality is searched by halves.
    let mut next = 0;
    while low < high
        && let Some(tenths) = qualities.get(next)
    {
        let encoded = picture.encode(&quantization(*tenths))?.jpeg;
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

/// As [`encode_within`]; an image that cannot be decoded is cut off, since a decoder may show the part
/// before.
pub fn reduce_within(jpeg: &[u8], limit: usize) -> Reduced {
    encode_within(jpeg, limit).unwrap_or_else(|| {
        let kept = jpeg.len().min(limit.saturating_sub(2));
        let mut jpeg = jpeg.get(..kept).unwrap_or_default().to_vec();
        jpeg.extend([0xff, marker::EOI]);
        Reduced { jpeg, reduction: Reduction::Cut }
    })
}

/// No 4:2:0 image of this size has fewer bytes.
fn fewest_bytes((width, height): (u16, u16)) -> usize {
    let mcus = usize::from(width.div_ceil(16)) * usize::from(height.div_ceil(16));
    let [luma, chroma] = FEWEST_BITS;
    mcus * (4 * luma + 2 * chroma) / 8
}

/// The vertical sampling factor of luma that preserves the chroma of an image.
fn vertical_factor(header: &Header) -> u8 {
    let most = header.components().iter().map(|it| it.vertical).max().unwrap_or(1);
    let is_halved = match header.components() {
        [_] => true,
        [_, cb, cr] => !header.is_rgb() && 2 * cb.vertical.max(cr.vertical) <= most,
        _ => false,
    };
    if is_halved { 2 } else { 1 }
}

/// A part of a picture in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Region {
    /// The middle part of a picture of size `to` that a picture of size `from` fills, with its aspect
    /// ratio. A bar of one line would be due to rounding, so there is none.
    fn fitted(from: (u16, u16), to: (u16, u16)) -> Self {
        let [from, to] = [from, to].map(|it| (usize::from(it.0), usize::from(it.1)));
        // The side that is not limited, rounded.
        let side = |limited: (usize, usize), other: (usize, usize)| {
            let side = (other.0 * limited.1 + limited.0 / 2) / limited.0.max(1);
            if side + 1 >= other.1 { other.1 } else { side.max(1) }
        };
        let (width, height) = if from.0 * to.1 >= from.1 * to.0 {
            (to.0, side((from.0, to.0), (from.1, to.1)))
        } else {
            (side((from.1, to.1), (from.0, to.0)), to.1)
        };
        // Even, so that chroma samples are not shared with the bars.
        let offset = |outer: usize, inner: usize| (outer - inner) / 4 * 2;
        Self { left: offset(to.0, width), top: offset(to.1, height), width, height }
    }

    /// The region in samples, of which one stands for `across` times `down` pixels.
    fn divided(self, across: usize, down: usize) -> Self {
        Self {
            left: self.left / across,
            top: self.top / down,
            width: self.width.div_ceil(across),
            height: self.height.div_ceil(down),
        }
    }
}

/// The samples of one component, row by row, of whole blocks.
struct Samples {
    /// Samples in a row of `bytes`.
    stride: usize,
    bytes: Vec<u8>,
    /// The part at the upper left that is shown.
    width: usize,
    height: usize,
}

impl Samples {
    /// The samples of a component, scaled to at least `to`, or all of them.
    fn new(header: &Header, component: Component, plane: &Plane, to: (usize, usize)) -> Self {
        let unit = if header.precision == 12 { super::FROM_12_BITS } else { 1.0 };
        let most = Geometry::of(header).most;
        let shown = |side: u16, factor: u8, most: u32| {
            (usize::from(side) * usize::from(factor)).div_ceil(most as usize)
        };
        let width = shown(header.width, component.horizontal, most.0);
        let height = shown(header.height, component.vertical, most.1);
        let enough = |points: &usize| width * points >= 8 * to.0 && height * points >= 8 * to.1;
        let points = (1..8).find(enough).unwrap_or(8);
        let (width, height) = ((width * points).div_ceil(8), (height * points).div_ceil(8));
        let stride = plane.across * points;
        let mut bytes = vec![0; stride * plane.down * points];
        let identity = [[0.0; 8]; 8];
        let matrix = INVERSE.get(points - 1).unwrap_or(&identity);
        for (row, lines) in bytes.chunks_exact_mut((stride * points).max(1)).enumerate() {
            for column in 0..plane.across {
                let block = inverse(plane, unit, (row, column), matrix);
                for (line, samples) in lines.chunks_exact_mut(stride).zip(&block) {
                    let start = column * points;
                    if let (Some(to), Some(from)) =
                        (line.get_mut(start..start + points), samples.get(..points))
                    {
                        to.copy_from_slice(from);
                    }
                }
            }
        }
        Self { stride, bytes, width, height }
    }

    /// The samples that are shown, scaled.
    fn scaled(self, to: (usize, usize)) -> Option<Vec<u8>> {
        let Self { stride, bytes, width, height } = self;
        if (width, height) == to {
            let rows: Vec<&[u8]> = bytes
                .chunks_exact(stride)
                .take(height)
                .filter_map(|row| row.get(..width))
                .collect();
            return Some(rows.concat());
        }
        let side = |side: usize| u32::try_from(side).ok();
        let rows = bytes.len() / stride.max(1);
        let from = ImageRef::new(side(stride)?, side(rows)?, &bytes, PixelType::U8).ok()?;
        let mut out = Image::new(side(to.0)?, side(to.1)?, PixelType::U8);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
            .crop(0.0, 0.0, width as f64, height as f64);
        Resizer::new().resize(&from, &mut out, &options).ok()?;
        Some(out.into_vec())
    }
}

/// Transforms a block's coefficients to samples (T.81 A.3.3), as many along each axis as `matrix` has.
fn inverse(plane: &Plane, unit: f32, at: (usize, usize), matrix: &Matrix) -> [[u8; 8]; 8] {
    let (dc, rest) = plane.block(at.0, at.1);
    let [dc_step, ..] = plane.quantization;
    let level = f32::from(dc) * f32::from(dc_step) * unit / 8.0 + 128.0;
    if rest.is_empty() {
        return [to_bytes([level; 8]); 8];
    }
    // The transform along rows, then along columns.
    let (mut lines, mut used) = ([[0.0_f32; 8]; 8], 0_u8);
    for ac in rest {
        let position = usize::from(ac.position & 63);
        let natural = NATURAL.get(position).copied().unwrap_or_default();
        let (u, v) = (usize::from(natural & 7), usize::from(natural >> 3));
        let step = plane.quantization.get(position).copied().unwrap_or(1);
        let value = f32::from(ac.value) * f32::from(step) * unit;
        if let (Some(line), Some(across)) = (lines.get_mut(v), matrix.get(u)) {
            line.iter_mut().zip(across).for_each(|(sum, across)| *sum += value * across);
            used |= 1 << v;
        }
    }
    let mut out = [[level; 8]; 8];
    for (v, (line, down)) in lines.iter().zip(matrix).enumerate() {
        if used & (1 << v) != 0 {
            for (out, down) in out.iter_mut().zip(down) {
                out.iter_mut().zip(line).for_each(|(sum, value)| *sum += value * down);
            }
        }
    }
    out.map(to_bytes)
}

/// Rounds samples.
#[inline]
fn to_bytes(samples: [f32; 8]) -> [u8; 8] {
    /// Adding this number leaves the nearest whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    samples.map(|sample| (sample.clamp(0.0, 255.0) + ROUND).to_bits() as u8)
}

/// A picture whose planes of Y, Cb and Cr have the sizes that they have in the image: whole blocks.
struct Picture {
    size: (u16, u16),
    /// The vertical sampling factor of luma.
    vertical: u8,
    luma: Vec<u8>,
    /// `None` for grey pictures.
    chroma: Option<[Vec<u8>; 2]>,
}

impl Picture {
    /// The picture of an image, fitted into `size`.
    fn new(header: &Header, planes: &[Plane], size: (u16, u16), vertical: u8) -> Option<Self> {
        let region = Region::fitted((header.width, header.height), size);
        let small = region.divided(2, usize::from(vertical));
        let (full, half) = ((region.width, region.height), (small.width, small.height));
        let scaled = |index: usize, to: (usize, usize)| {
            let component = *header.components().get(index)?;
            Samples::new(header, component, planes.get(index)?, to).scaled(to)
        };
        let (luma, chroma) = match header.components().len() {
            1 | 2 => (scaled(0, full)?, None),
            3 if !header.is_rgb() => (scaled(0, full)?, Some([scaled(1, half)?, scaled(2, half)?])),
            count => {
                let colours: [Vec<u8>; 3] = [scaled(0, full)?, scaled(1, full)?, scaled(2, full)?];
                let black = if count == 4 { Some(scaled(3, full)?) } else { None };
                let [luma, cb, cr] = to_ycbcr(header, colours, black.as_deref());
                let halved = |bytes: Vec<u8>| {
                    let samples = Samples { stride: full.0, bytes, width: full.0, height: full.1 };
                    samples.scaled(half)
                };
                (luma, Some([halved(cb)?, halved(cr)?]))
            }
        };
        let frame = Frame { size, vertical, quantization: [&[1; 64]; 2], restart_interval: 0 };
        let (across, down) = frame.mcus();
        let down_luma = down * usize::from(vertical);
        let luma_size = (usize::from(size.0), usize::from(size.1));
        let chroma_size = (luma_size.0.div_ceil(2), luma_size.1.div_ceil(usize::from(vertical)));
        let placed = |samples: Vec<u8>| place(&samples, small, chroma_size, (across, down), 128);
        Some(Self {
            size,
            vertical,
            luma: place(&luma, region, luma_size, (2 * across, down_luma), 0),
            chroma: chroma.map(|planes| planes.map(placed)),
        })
    }

    fn encode(&self, tables: &[[u16; 64]; 2]) -> Option<EncodedJpeg> {
        let [luma_table, chroma_table] = tables;
        let quantization = [luma_table, chroma_table];
        let (size, vertical) = (self.size, self.vertical);
        let frame = Frame { size, vertical, quantization, restart_interval: 0 };
        let (across, down) = frame.mcus();
        let luma = forward(&self.luma, (2 * across, down * usize::from(vertical)), luma_table);
        let capacity = self.luma.len() / 8;
        let Some([cb, cr]) = &self.chroma else {
            let neutral = Plane::new(1, 1, *chroma_table);
            return frame.encode(&luma, [&neutral, &neutral], capacity);
        };
        let [cb, cr] = [cb, cr].map(|samples| forward(samples, (across, down), chroma_table));
        frame.encode(&luma, [&cb, &cr], capacity)
    }
}

/// A plane of whole blocks with `samples` in a region of it. `background` fills the rest; at the right
/// and lower edge of the picture its last samples are repeated, since the padding is not shown.
fn place(
    samples: &[u8],
    region: Region,
    size: (usize, usize),
    (across, down): (usize, usize),
    background: u8,
) -> Vec<u8> {
    let stride = across * 8;
    let Region { left, top, width, height } = region;
    let (right, bottom) = ((left + width).min(stride), (top + height).min(down * 8));
    let mut out = vec![background; stride * down * 8];
    let rows = out.chunks_exact_mut(stride.max(1)).skip(top);
    for (to, from) in rows.zip(samples.chunks_exact(width.max(1))) {
        if let (Some(to), Some(from)) = (to.get_mut(left..right), from.get(..right - left)) {
            to.copy_from_slice(from);
        }
        if let (true, Some(last)) = (right >= size.0, from.last())
            && let Some(rest) = to.get_mut(right..)
        {
            rest.fill(*last);
        }
    }
    if bottom >= size.1 {
        let last = (bottom.saturating_sub(1)) * stride;
        for row in bottom..down * 8 {
            out.copy_within(last..last + stride, row * stride);
        }
    }
    out
}

/// Y, Cb and Cr of each pixel of an image in other colours.
fn to_ycbcr(header: &Header, colours: [Vec<u8>; 3], black: Option<&[u8]>) -> [Vec<u8>; 3] {
    let [mut first, mut second, mut third] = colours;
    let pixels = first.iter_mut().zip(&mut second).zip(&mut third);
    let mut black = black.unwrap_or_default().iter();
    for ((a, b), c) in pixels {
        let pixel = [*a, *b, *c];
        [*a, *b, *c] = match black.next() {
            Some(black) => inks_to_ycbcr(pixel, *black, header),
            None => rgb_to_ycbcr(pixel),
        };
    }
    [first, second, third]
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

/// Transforms and quantizes the samples of whole blocks (T.81 A.3.3 and A.3.4).
fn forward(samples: &[u8], (across, down): (usize, usize), quantization: &[u16; 64]) -> Plane {
    let mut plane = Plane::new(across, down, *quantization);
    let quantizer = Quantizer::new(quantization, 1.0, false);
    let matrix = &*FORWARD;
    let stride = (across * 8).max(1);
    for (row, lines) in samples.chunks_exact(stride * 8).enumerate() {
        for column in 0..across {
            // The transform along rows, then along columns.
            let mut transformed = [[0.0_f32; 8]; 8];
            for (to, line) in transformed.iter_mut().zip(lines.chunks_exact(stride)) {
                let samples = line.as_chunks::<8>().0.get(column).copied().unwrap_or_default();
                for (sample, waves) in samples.iter().zip(matrix) {
                    let sample = f32::from(*sample) - 128.0;
                    to.iter_mut().zip(waves).for_each(|(sum, wave)| *sum += sample * wave);
                }
            }
            let mut block = UnquantizedBlock::default();
            for (line, waves) in transformed.iter().zip(matrix) {
                for (sums, wave) in block.lines_mut().iter_mut().zip(waves) {
                    sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += value * wave);
                }
            }
            block.quantize(&mut plane, row, column, &quantizer);
        }
    }
    plane
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_keeps_its_aspect_ratio_in_another_size() {
        let region = |left, top, width, height| Region { left, top, width, height };
        let rows = [
            ("same", (192, 144), (192, 144), region(0, 0, 192, 144)),
            ("same ratio", (384, 288), (192, 144), region(0, 0, 192, 144)),
            ("wide into tall", (200, 100), (100, 200), region(0, 74, 100, 50)),
            ("tall into wide", (100, 200), (200, 100), region(74, 0, 50, 100)),
            ("rounded", (2560, 1440), (2040, 1148), region(0, 0, 2040, 1148)),
            ("a line", (1, 60_000), (64, 48), region(30, 0, 1, 48)),
        ];
        for (name, from, to, want) in rows {
            assert_eq!(Region::fitted(from, to), want, "{name}");
        }
    }

    #[test]
    fn fewer_samples_are_the_means_of_more() {
        // One block with a slope across.
        let mut plane = Plane::new(1, 1, [1; 64]);
        plane.push(1, -200);
        plane.end_block(0, 0, 80, 0).unwrap();
        let all = inverse(&plane, 1.0, (0, 0), &INVERSE[7]);
        for (points, most) in [(4_usize, 2), (2, 4), (1, 1)] {
            let few = inverse(&plane, 1.0, (0, 0), &INVERSE[points - 1]);
            for (index, got) in few[0][..points].iter().enumerate() {
                let each = 8 / points;
                let sum: usize =
                    all[0][index * each..][..each].iter().map(|it| usize::from(*it)).sum();
                assert!(usize::from(*got).abs_diff(sum / each) <= most, "{points}, {index}");
            }
        }
    }
}
