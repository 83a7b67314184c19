// SPDX-License-Identifier: MIT OR Apache-2.0
//! Quantized DCT coefficients of a picture, block by block. Most coefficients are zero; only the
//! others are stored.

/// An AC coefficient that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ac {
    /// Position in zigzag order, 1 to 63.
    pub position: u8,
    /// The quantized value.
    pub value: i16,
}

/// One component's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plane {
    /// Blocks in a row.
    pub across: usize,
    /// Rows of blocks.
    pub down: usize,
    /// The DC coefficient of each block, row by row.
    dc: Vec<i16>,
    /// Start and end of each block's coefficients in `ac`.
    spans: Vec<(u32, u32)>,
    ac: Vec<Ac>,
    /// The quantization table in zigzag order.
    pub quantization: [u16; 64],
}

impl Plane {
    /// Blocks whose coefficients are all zero.
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

    /// Adds a coefficient of the current block.
    #[inline]
    pub fn push(&mut self, position: u8, value: i16) {
        self.ac.push(Ac { position, value });
    }

    /// The number of AC coefficients that are stored.
    pub fn len(&self) -> usize {
        self.ac.len()
    }

    /// Ends a block whose first coefficient was pushed when [`len`](Self::len) was `start`. `None`
    /// outside the plane.
    #[inline]
    pub fn end_block(&mut self, row: usize, column: usize, dc: i16, start: usize) -> Option<()> {
        let index = row * self.across + column;
        *self.dc.get_mut(index)? = dc;
        // The number of bits of one image limits the number of coefficients.
        *self.spans.get_mut(index)? = (start as u32, self.ac.len() as u32);
        Some(())
    }

    /// The DC and AC coefficients of a block. Outside the plane: the DC coefficient of the nearest
    /// block, without AC coefficients.
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

    /// Multiplies each coefficient, for a quantization table that is divided by the same factors.
    /// False if a product is too large for a baseline image.
    pub fn scale(&mut self, factors: &[u16; 64]) -> bool {
        let [dc_factor, ..] = *factors;
        let scaled = |value: i16, factor: u16, limit: i32| {
            let product = i32::from(value) * i32::from(factor);
            i16::try_from(product).ok().filter(|_| product.abs() <= limit)
        };
        for dc in &mut self.dc {
            // T.81 table F.1: DC differences have at most 11 bits.
            let Some(product) = scaled(*dc, dc_factor, 1024) else { return false };
            *dc = product;
        }
        for ac in &mut self.ac {
            let factor = factors.get(usize::from(ac.position)).copied().unwrap_or(1);
            // T.81 table F.2: AC coefficients have at most 10 bits.
            let Some(product) = scaled(ac.value, factor, 1023) else { return false };
            ac.value = product;
        }
        true
    }
}
