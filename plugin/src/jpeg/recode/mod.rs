// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts an image into one that RTP/JPEG (RFC 2435) carries by changing its DCT coefficients,
//! without decoding pixels.
//!
//! | original has | result has |
//! |---|---|
//! | other Huffman tables | those of Annex K, with the same coefficients |
//! | several scans, another order, other sampling factors of the same ratio | one scan, the same coefficients |
//! | quantization tables of 16 bits, or one for Cr only | 8-bit tables, coefficients multiplied to match |
//! | progressive coding | sequential coding, the same coefficients |
//! | 4:4:4, 4:1:1 | 4:2:2; luma the same, chroma resampled in the frequency domain |
//! | 4:4:0, 4:1:0 | 4:2:0; luma the same, chroma resampled |
//! | luma only (grey) | 4:2:0 with neutral chroma |
//! | 12 bits per sample | 8 bits, quantized again |
//!
//! All other images are refused; `pixels.rs` decodes them to pixels and encodes these again.

// This module converts between integers of different sizes everywhere; each value fits.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

pub(crate) mod bits;
mod coefficients;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod huffman;
mod layout;
pub(crate) mod pixels;
mod progressive;
mod resample;
pub(crate) mod restarts;
#[cfg(test)]
mod tests;
mod transcode;

use super::header::{Component, Damage, Header, Process};
use super::{MAX_SIDE, RtpParameters, UnsupportedByRtp};
use coefficients::Plane;
use decode::{Geometry, decode, quantization};
use encode::{EncodedJpeg, Frame};
use layout::Layout;
use resample::{Resample, resample};
use transcode::{TranscodeError, transcode};

/// A converted image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recoded {
    /// From SOI to EOI.
    pub jpeg: Vec<u8>,
    /// What RTP/JPEG sends in place of its headers.
    pub parameters: RtpParameters,
    /// What is the same as in the original.
    pub preserved: Preserved,
}

impl Recoded {
    fn new(encoded: EncodedJpeg, preserved: Preserved) -> Self {
        Self { jpeg: encoded.jpeg, parameters: encoded.parameters, preserved }
    }
}

/// What a recoded image has in common with the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preserved {
    /// All pixels.
    Everything,
    /// Luma; chroma was resampled or quantized again.
    Luma,
    /// The upper 8 of 12 bits per sample; all coefficients were quantized again.
    EightBits,
}

/// Why an image was not recoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecodeError {
    /// The image is incomplete or invalid.
    #[error("damaged: {0}")]
    Damaged(#[from] Damage),
    /// The image must be decoded to pixels and encoded again.
    #[error("cannot be recoded by its coefficients: {0}")]
    NeedsPixels(NeedsPixels),
}

/// Why coefficients are not enough to convert an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NeedsPixels {
    /// The number of bits or components, the coding process, RGB, or a size over the limit.
    #[error(transparent)]
    UnsupportedByRtp(#[from] UnsupportedByRtp),
    /// Sampling factors such as thirds.
    #[error("the sampling factors can be converted to neither 4:2:2 nor 4:2:0")]
    SamplingFactors,
    /// A coefficient for which Annex K's tables have no code.
    #[error("the standard Huffman tables have no code for a coefficient that large")]
    LargeCoefficient,
}

impl From<NeedsPixels> for RecodeError {
    fn from(why: NeedsPixels) -> Self {
        Self::NeedsPixels(why)
    }
}

/// Recodes an image, as the module's table says.
///
/// # Errors
/// See [`RecodeError`].
pub fn recode(jpeg: &[u8]) -> Result<Recoded, RecodeError> {
    let header = Header::parse(jpeg)?;
    let (width, height) = (header.width, header.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(NeedsPixels::from(UnsupportedByRtp::Size { width, height }).into());
    }
    recode_parsed(jpeg, &header)
}

/// Recodes an image of any size whose header has been read.
pub(super) fn recode_parsed(jpeg: &[u8], header: &Header) -> Result<Recoded, RecodeError> {
    if let Some(reason) = needs_pixels(header) {
        return Err(NeedsPixels::UnsupportedByRtp(reason).into());
    }
    let layout = Layout::of(header.components()).ok_or(NeedsPixels::SamplingFactors)?;
    let size = (header.width, header.height);
    let restart_interval = restart_interval(header, layout);
    let tables = header.components().iter().map(|component| {
        let missing = Damage::NoQuantizationTable { table: component.quantization };
        quantization(header, *component).ok_or(missing)
    });
    let tables: Vec<[u16; 64]> = tables.collect::<Result<_, _>>()?;
    if let [y, cb, cr] = &tables[..]
        && cb == cr
        && y.iter().chain(cb).all(|value| *value < 256)
        && only_huffman_tables_differ(header)
    {
        let quantization = [y, cb];
        let frame = Frame { size, vertical: layout.vertical, quantization, restart_interval };
        let encoded = transcode(jpeg, header, &frame).map_err(|failed| match failed {
            TranscodeError::Damaged => RecodeError::Damaged(Damage::ScanCut),
            TranscodeError::TooLarge => NeedsPixels::LargeCoefficient.into(),
        })?;
        return Ok(Recoded::new(encoded, Preserved::Everything));
    }

    let mut planes = decode(jpeg, header)?.into_iter();
    let mut luma = planes.next().ok_or(Damage::ScanCut)?;
    let wide = header.precision == 12;
    let luma_quantization;
    if wide {
        luma_quantization = luma.quantization.map(to_8_bits);
        let size = (luma.across, luma.down);
        luma = resample(&luma, Resample::Keep, size, luma_quantization, FROM_12_BITS);
    } else {
        let to_bytes = luma.quantization.map(smallest_divisor);
        luma_quantization = divided(&luma.quantization, &to_bytes);
        if to_bytes != [1; 64] && !luma.scale(&to_bytes) {
            return Err(NeedsPixels::LargeCoefficient.into());
        }
    }
    let frame = |chroma| Frame {
        size,
        vertical: layout.vertical,
        quantization: [&luma_quantization, chroma],
        restart_interval,
    };
    let capacity = jpeg.len() * 5 / 4 + 1024;
    let (Some(how), Some(cb), Some(cr)) = (layout.chroma, planes.next(), planes.next()) else {
        let neutral = Plane::new(1, 1, [1; 64]);
        let whole = frame(&neutral.quantization).encode(&luma, [&neutral, &neutral], capacity);
        let encoded = whole.ok_or(NeedsPixels::LargeCoefficient)?;
        let preserved = if wide { Preserved::EightBits } else { Preserved::Everything };
        return Ok(Recoded::new(encoded, preserved));
    };
    let mcus = frame(&[1; 64]).mcus();
    let (chroma, quantization, exact) = fit_chroma([cb, cr], how, mcus, wide);
    let whole = frame(&quantization).encode(&luma, chroma.each_ref(), capacity);
    let preserved = match (wide, exact) {
        (true, _) => Preserved::EightBits,
        (false, true) => Preserved::Everything,
        (false, false) => Preserved::Luma,
    };
    Ok(Recoded::new(whole.ok_or(NeedsPixels::LargeCoefficient)?, preserved))
}

/// Why the header rules out recoding, if it does.
fn needs_pixels(header: &Header) -> Option<UnsupportedByRtp> {
    if !matches!(header.precision, 8 | 12) {
        return Some(UnsupportedByRtp::Precision(header.precision));
    }
    if matches!(header.process, Process::Other(_)) {
        return Some(UnsupportedByRtp::Process(header.process));
    }
    let components = header.components().len();
    if !matches!(components, 1 | 3) {
        return Some(UnsupportedByRtp::Components(components));
    }
    (components == 3 && header.is_rgb()).then_some(UnsupportedByRtp::Rgb)
}

/// Whether an image has exactly the sampling factors of RTP's 4:2:2 or 4:2:0, and one scan of all
/// components in order.
fn only_huffman_tables_differ(header: &Header) -> bool {
    let sequential = matches!(header.process, Process::Baseline | Process::ExtendedSequential);
    let factors = |component: &Component| (component.horizontal, component.vertical);
    let [y, cb, cr] = header.components() else { return false };
    sequential
        && header.precision == 8
        && matches!([y, cb, cr].map(factors), [(2, 1 | 2), (1, 1), (1, 1)])
        && header.scan.is_of_all([y.id, cb.id, cr.id])
}

/// MCUs between the result's restart markers. Markers stay after the same blocks if an MCU of the
/// result ends there; otherwise there is one after each row of MCUs.
fn restart_interval(header: &Header, layout: Layout) -> u16 {
    if header.restart_interval == 0 {
        return 0;
    }
    let Geometry { most, mcus, .. } = Geometry::of(header);
    let alone = header.scan.components().len() < header.components().len();
    let (from, to) = (most, (2, u32::from(layout.vertical)));
    let row = u32::from(header.width).div_ceil(16);
    let interval = u32::from(header.restart_interval);
    let new = if alone || header.components().len() == 1 {
        row
    } else if from == to {
        interval
    } else if interval % mcus.0 == 0 && (interval / mcus.0 * from.1) % to.1 == 0 {
        // Whole rows of both.
        interval / mcus.0 * from.1 / to.1 * row
    } else if from.1 == to.1 && (interval * from.0) % to.0 == 0 && mcus.0 * from.0 == row * to.0 {
        // Runs of both in rows of the same height and length.
        interval * from.0 / to.0
    } else {
        row
    };
    // A row has at most 4096 MCUs.
    u16::try_from(new).unwrap_or(row as u16)
}

/// Cb and Cr with a common quantization table of 8 bits, resampled to the result's layout; and
/// whether that lost nothing.
fn fit_chroma(
    [mut cb, mut cr]: [Plane; 2],
    [how_cb, how_cr]: [Resample; 2],
    mcus: (usize, usize),
    wide: bool,
) -> ([Plane; 2], [u16; 64], bool) {
    let combined = |f: fn(u16, u16) -> u16| {
        let mut table = cb.quantization;
        table.iter_mut().zip(cr.quantization).for_each(|(a, b)| *a = f(*a, b));
        table
    };
    if [how_cb, how_cr] == [Resample::Keep; 2] && !wide {
        // With the tables' common divisors as the table, coefficients stay whole numbers.
        let common = combined(gcd);
        let common = divided(&common, &common.map(smallest_divisor));
        let factors = |plane: &Plane| divided(&plane.quantization, &common);
        let (cb_factors, cr_factors) = (factors(&cb), factors(&cr));
        let (mut exact_cb, mut exact_cr) = (cb.clone(), cr.clone());
        if exact_cb.scale(&cb_factors) && exact_cr.scale(&cr_factors) {
            (exact_cb.quantization, exact_cr.quantization) = (common, common);
            return ([exact_cb, exact_cr], common, true);
        }
    }
    let finest = combined(u16::min);
    let table = if wide { finest.map(to_8_bits) } else { finest.map(|value| value.min(255)) };
    let unit = if wide { FROM_12_BITS } else { 1.0 };
    for (plane, how) in [(&mut cb, how_cb), (&mut cr, how_cr)] {
        if how != Resample::Keep || plane.quantization != table || wide {
            *plane = resample(plane, how, mcus, table, unit);
        }
    }
    ([cb, cr], table, false)
}

/// Factor from samples of 12 bits to samples of 8 bits.
const FROM_12_BITS: f32 = 1.0 / 16.0;

/// Converts a value of a quantization table from samples of 12 bits to samples of 8 bits.
fn to_8_bits(value: u16) -> u16 {
    (value.saturating_add(8) / 16).clamp(1, 255)
}

/// The smallest divisor of a quantization table's value that leaves a value of 8 bits.
fn smallest_divisor(value: u16) -> u16 {
    (1..=value.max(1)).find(|by| value.is_multiple_of(*by) && value / by < 256).unwrap_or(1)
}

fn divided(values: &[u16; 64], by: &[u16; 64]) -> [u16; 64] {
    let mut out = *values;
    out.iter_mut().zip(by).for_each(|(value, by)| *value /= (*by).max(1));
    out
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}
