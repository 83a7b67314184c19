// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resamples chroma to half or twice the resolution along one axis, in the frequency domain.
//!
//! Inverse transform, averaging (or repeating) samples, and forward transform are linear. So along
//! one axis they are one 8x8 matrix for each source block, and the other axis does not change. Only
//! coefficients that are not zero take time.

use super::coefficients::Plane;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// How to resample a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resample {
    /// Not at all.
    Keep,
    /// Two samples of a row become their mean.
    HalveAcross,
    /// Each sample of a row becomes two.
    DoubleAcross,
    /// Each sample of a column becomes two.
    DoubleDown,
}

/// A matrix by columns: what one coefficient adds to the eight coefficients of the result.
type Matrix = [[f32; 8]; 8];

/// The matrices of the left (or upper) and of the right (or lower) block: of the two source blocks
/// when halving, of the two result blocks when doubling.
struct Matrices {
    halve: [Matrix; 2],
    double: [Matrix; 2],
}

static MATRICES: LazyLock<Matrices> = LazyLock::new(|| {
    // The share of sample `from` of a source block in sample `to` of the result.
    let halve = |right: usize| {
        move |to: usize, from: usize| {
            if to == from / 2 + 4 * right { 0.5 } else { 0.0 }
        }
    };
    let double = |right: usize| {
        move |to: usize, from: usize| {
            if from == to / 2 + 4 * right { 1.0 } else { 0.0 }
        }
    };
    Matrices {
        halve: [matrix(halve(0)), matrix(halve(1))],
        double: [matrix(double(0)), matrix(double(1))],
    }
});

/// Coefficient of the orthonormal DCT of eight samples (T.81 A.3.3 applies it along both axes).
pub(crate) fn dct(frequency: usize, sample: usize) -> f64 {
    let scale = if frequency == 0 { 0.125_f64.sqrt() } else { 0.5 };
    let angle = |n: usize| (2 * sample + 1) as f64 * n as f64 * PI / 16.0;
    scale * angle(frequency).cos()
}

/// Inverse transform, resampling by the shares `part`, and forward transform as one matrix.
fn matrix(part: impl Fn(usize, usize) -> f64) -> Matrix {
    std::array::from_fn(|source| {
        std::array::from_fn(|result| {
            let mut sum = 0.0;
            for to in 0..8 {
                for from in 0..8 {
                    sum += dct(result, to) * part(to, from) * dct(source, from);
                }
            }
            // Coefficients have 11 bits; f32 has 24.
            sum as f32
        })
    })
}

/// The position in a block, counted row by row, of each coefficient in zigzag order (T.81 figure
/// A.6).
#[rustfmt::skip]
pub(crate) const NATURAL: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Resamples a plane to `across` by `down` blocks, multiplies each value by `unit`, and quantizes it
/// with `quantization`.
pub(crate) fn resample(
    plane: &Plane,
    how: Resample,
    (across, down): (usize, usize),
    quantization: [u16; 64],
    unit: f32,
) -> Plane {
    let mut out = Plane::new(across, down, quantization);
    let quantizer = Quantizer::new(&quantization, unit, how == Resample::DoubleDown);
    let [left, right] = &MATRICES.halve;
    let [first, second] = &MATRICES.double;
    for row in 0..down {
        for column in 0..across {
            let mut sum = UnquantizedBlock::default();
            match how {
                Resample::Keep => sum.keep(plane, (row, column)),
                Resample::HalveAcross => {
                    sum.add_across(plane, (row, 2 * column), left);
                    sum.add_across(plane, (row, 2 * column + 1), right);
                }
                Resample::DoubleAcross => {
                    let matrix = if column % 2 == 0 { first } else { second };
                    sum.add_across(plane, (row, column / 2), matrix);
                }
                Resample::DoubleDown => {
                    let matrix = if row % 2 == 0 { first } else { second };
                    sum.add_down(plane, (row / 2, column), matrix);
                }
            }
            sum.quantize(&mut out, row, column, &quantizer);
        }
    }
    out
}

/// The position in zigzag order of each coefficient of a block, counted row by row.
static ZIGZAG: LazyLock<[u8; 64]> = LazyLock::new(|| {
    let mut positions = [0; 64];
    for (position, natural) in (0..).zip(NATURAL) {
        if let Some(slot) = positions.get_mut(usize::from(natural)) {
            *slot = position;
        }
    }
    positions
});

/// A quantization table in the order of an [`UnquantizedBlock`]: for each line, the factors of its
/// coefficients and their positions in zigzag order.
pub(super) struct Quantizer {
    lines: [([f32; 8], [u8; 8]); 8],
}

impl Quantizer {
    pub fn new(quantization: &[u16; 64], unit: f32, transposed: bool) -> Self {
        let position = |line: usize, at: usize| {
            let natural = if transposed { at * 8 + line } else { line * 8 + at };
            ZIGZAG.get(natural).copied().unwrap_or_default()
        };
        let factor = |position: u8| {
            unit / quantization.get(usize::from(position)).copied().map_or(1.0, f32::from)
        };
        let lines = std::array::from_fn(|line| {
            let positions: [u8; 8] = std::array::from_fn(|at| position(line, at));
            (positions.map(factor), positions)
        });
        Self { lines }
    }
}

/// A block of coefficients before quantization.
#[derive(Default)]
pub(super) struct UnquantizedBlock {
    /// The rows of the block, or its columns.
    lines: [[f32; 8]; 8],
    /// Bit n is set if line n is not zero.
    used: u8,
}

impl UnquantizedBlock {
    /// The rows of the block, to be filled.
    pub fn lines_mut(&mut self) -> &mut [[f32; 8]; 8] {
        self.used = 0xff;
        &mut self.lines
    }

    /// Calls `f` with the horizontal and vertical frequency and the value of each coefficient.
    #[inline]
    fn each(plane: &Plane, (row, column): (usize, usize), mut f: impl FnMut(usize, usize, f32)) {
        let (dc, rest) = plane.block(row, column);
        let [dc_step, ..] = plane.quantization;
        f(0, 0, f32::from(dc) * f32::from(dc_step));
        for ac in rest {
            let position = usize::from(ac.position & 63);
            let step = plane.quantization.get(position).copied().unwrap_or(1);
            let natural = NATURAL.get(position).copied().unwrap_or(0);
            let value = f32::from(ac.value) * f32::from(step);
            f(usize::from(natural & 7), usize::from(natural >> 3), value);
        }
    }

    fn keep(&mut self, plane: &Plane, at: (usize, usize)) {
        Self::each(plane, at, |u, v, value| {
            if let Some(slot) = self.lines.get_mut(v).and_then(|line| line.get_mut(u)) {
                *slot = value;
                self.used |= 1 << v;
            }
        });
    }

    /// Adds a block with the matrix applied to its rows.
    fn add_across(&mut self, plane: &Plane, at: (usize, usize), matrix: &Matrix) {
        Self::each(plane, at, |u, v, value| self.add(v, value, matrix.get(u)));
    }

    /// Adds a block with the matrix applied to its columns, which are the lines in this case.
    fn add_down(&mut self, plane: &Plane, at: (usize, usize), matrix: &Matrix) {
        Self::each(plane, at, |u, v, value| self.add(u, value, matrix.get(v)));
    }

    #[inline]
    fn add(&mut self, line: usize, value: f32, part: Option<&[f32; 8]>) {
        if let (Some(sum), Some(part)) = (self.lines.get_mut(line), part) {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += value * part);
            self.used |= 1 << line;
        }
    }

    pub fn quantize(&self, out: &mut Plane, row: usize, column: usize, quantizer: &Quantizer) {
        /// Adding and subtracting this number rounds to the nearest whole number.
        const ROUND: f32 = 12_582_912.0;
        // The values in zigzag order; bit n is set if value n is not zero.
        let (mut values, mut nonzero) = ([0_i16; 64], 0_u64);
        for (line, (sums, (factors, positions))) in
            self.lines.iter().zip(&quantizer.lines).enumerate()
        {
            if self.used & (1 << line) == 0 {
                continue;
            }
            let mut quantized = [0.0; 8];
            for (to, (sum, factor)) in quantized.iter_mut().zip(sums.iter().zip(factors)) {
                *to = sum * factor + ROUND - ROUND;
            }
            for (value, position) in
                quantized.iter().zip(positions).filter(|(value, _)| **value != 0.0)
            {
                // T.81 tables F.1 and F.2: AC values have at most 10 bits; DC values of 8-bit samples
                // have one value more.
                let least = if *position == 0 { -1024.0 } else { -1023.0 };
                if let Some(slot) = values.get_mut(usize::from(*position & 63)) {
                    *slot = value.clamp(least, 1023.0) as i16;
                    nonzero |= 1 << (*position & 63);
                }
            }
        }
        let start = out.len();
        let [dc, ..] = values;
        nonzero &= !1;
        while nonzero != 0 {
            let position = nonzero.trailing_zeros();
            out.push(position as u8, values.get(position as usize).copied().unwrap_or_default());
            nonzero &= nonzero - 1;
        }
        // The loops of the caller stay inside the plane.
        let _ = out.end_block(row, column, dc, start);
    }
}
