// SPDX-License-Identifier: MIT OR Apache-2.0
//! Quantized DCT coefficients of a picture, block by block. Most are zero, so that only the
//! others are kept.

/// A coefficient that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ac {
    /// In zigzag order, 1 to 63.
    pub position: u8,
    /// Quantized.
    pub value: i16,
}

/// One component's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plane {
    /// Blocks in a row.
    pub across: usize,
    /// Rows of blocks.
    pub down: usize,
    /// By block, row by row.
    dc: Vec<i16>,
    /// Where a block's other coefficients lie in `ac`.
    spans: Vec<(u32, u32)>,
    ac: Vec<Ac>,
    /// The quantization table in zigzag order.
    pub quantization: [u16; 64],
}

impl Plane {
    /// Blocks of no coefficient.
    pub fn new(across: usize, down: usize, quantization: [u16; 64]) -> Self {
        let blocks = across * down;
        Self {
            across,
            down,
            dc: vec![0; blocks],
            spans: vec![(0, 0); blocks],
            ac: Vec::new(),
            quantization,
        }
    }

    /// Puts a coefficient of the block that is being decoded.
    #[inline]
    pub fn push(&mut self, position: u8, value: i16) {
        self.ac.push(Ac { position, value });
    }

    /// How many coefficients there are.
    pub fn len(&self) -> usize {
        self.ac.len()
    }

    /// Ends a block whose coefficients were pushed from number `begin` on; `None` outside.
    #[inline]
    pub fn end_block(&mut self, row: usize, column: usize, dc: i16, begin: usize) -> Option<()> {
        let index = row * self.across + column;
        *self.dc.get_mut(index)? = dc;
        // Bounded by the bits of one image.
        *self.spans.get_mut(index)? = (begin as u32, self.ac.len() as u32);
        Some(())
    }

    /// A block's DC and other coefficients. Outside the plane: the nearest block's DC alone.
    #[inline]
    pub fn block(&self, row: usize, column: usize) -> (i16, &[Ac]) {
        let inside = row < self.down && column < self.across;
        let row = row.min(self.down.saturating_sub(1));
        let column = column.min(self.across.saturating_sub(1));
        let index = row * self.across + column;
        let dc = self.dc.get(index).copied().unwrap_or_default();
        let span = self.spans.get(index).copied().filter(|_| inside).unwrap_or_default();
        (dc, self.ac.get(span.0 as usize..span.1 as usize).unwrap_or_default())
    }

    /// Multiplies each coefficient, for a quantization table divided by the same factors; false
    /// if one does not fit what a baseline image can say.
    pub fn scale(&mut self, factors: &[u16; 64]) -> bool {
        let [dc_factor, ..] = *factors;
        let fit = |value: i16, factor: u16, most: i32| {
            let scaled = i32::from(value) * i32::from(factor);
            i16::try_from(scaled).ok().filter(|_| scaled.abs() <= most)
        };
        for dc in &mut self.dc {
            // T.81 table F.1: differences have up to 11 bits.
            let Some(scaled) = fit(*dc, dc_factor, 1024) else { return false };
            *dc = scaled;
        }
        for ac in &mut self.ac {
            let factor = factors.get(usize::from(ac.position)).copied().unwrap_or(1);
            // T.81 table F.2: other coefficients have up to 10 bits.
            let Some(scaled) = fit(ac.value, factor, 1023) else { return false };
            ac.value = scaled;
        }
        true
    }
}
