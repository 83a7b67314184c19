// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chooses one of RFC 2435's two layouts for an image, and how to resample its chroma for it.

use super::resample::Resample;
use crate::jpeg::header::Component;

/// The layout of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The vertical sampling factor of luma: 1 is 4:2:2, 2 is 4:2:0.
    pub vertical: u8,
    /// How to resample Cb and Cr; `None` for grey images, which have neither.
    pub chroma: Option<[Resample; 2]>,
}

impl Layout {
    /// The layout that preserves more of the chroma. `None` for factors that cannot be resampled,
    /// such as thirds, or for luma at less than full resolution.
    pub fn of(components: &[Component]) -> Option<Self> {
        let &[y, cb, cr] = match components {
            [_] => return Some(Self { vertical: 2, chroma: None }),
            three => <&[Component; 3]>::try_from(three).ok()?,
        };
        let most = |factor: fn(&Component) -> u8| components.iter().map(factor).max();
        let (across, down) = (most(|c| c.horizontal)?, most(|c| c.vertical)?);
        if (y.horizontal, y.vertical) != (across, down) {
            return None;
        }
        // The number of luma samples per chroma sample.
        let ratio = |all: u8, part: u8| all.is_multiple_of(part).then_some(all / part);
        let ratios = |c: Component| Some((ratio(across, c.horizontal)?, ratio(down, c.vertical)?));
        let ratios = [ratios(cb)?, ratios(cr)?];
        let vertical = if ratios.iter().any(|(_, down)| *down == 1) { 1 } else { 2 };
        let resample = |(across, down): (u8, u8)| match (across, down / vertical, down % vertical) {
            (2, 1, 0) => Some(Resample::Keep),
            (1, 1, 0) => Some(Resample::HalveAcross),
            (4, 1, 0) => Some(Resample::DoubleAcross),
            (2, 2, 0) => Some(Resample::DoubleDown),
            _ => None,
        };
        let [cb, cr] = ratios;
        Some(Self { vertical, chroma: Some([resample(cb)?, resample(cr)?]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_that_preserves_more_chroma_is_chosen() {
        use Resample::{DoubleAcross, DoubleDown, HalveAcross, Keep};
        // Sampling factors of Y, Cb, Cr; the vertical factor of the result, Cb and Cr.
        let rows = [
            ("4:2:2", [0x21, 0x11, 0x11], Some((1, Keep, Keep))),
            ("4:2:0", [0x22, 0x11, 0x11], Some((2, Keep, Keep))),
            ("4:2:2 as ffmpeg writes it", [0x22, 0x12, 0x12], Some((1, Keep, Keep))),
            ("4:2:0 doubled", [0x42, 0x21, 0x21], Some((2, Keep, Keep))),
            ("4:4:4", [0x11, 0x11, 0x11], Some((1, HalveAcross, HalveAcross))),
            ("4:4:4 as ffmpeg writes it", [0x12, 0x12, 0x12], Some((1, HalveAcross, HalveAcross))),
            ("4:4:0", [0x12, 0x11, 0x11], Some((2, HalveAcross, HalveAcross))),
            ("4:1:1", [0x41, 0x11, 0x11], Some((1, DoubleAcross, DoubleAcross))),
            ("4:1:0", [0x42, 0x11, 0x11], Some((2, DoubleAcross, DoubleAcross))),
            ("a quarter of the rows", [0x24, 0x11, 0x11], Some((2, DoubleDown, DoubleDown))),
            ("Cb and Cr differ", [0x21, 0x11, 0x21], Some((1, Keep, HalveAcross))),
            ("luma is not the largest", [0x11, 0x21, 0x11], None),
            ("thirds", [0x31, 0x11, 0x11], None),
            ("a quarter of both", [0x44, 0x11, 0x11], None),
            ("two thirds", [0x32, 0x22, 0x22], None),
        ];
        for (name, factors, want) in rows {
            let components = factors.map(|factor: u8| Component {
                horizontal: factor >> 4,
                vertical: factor & 15,
                ..Component::default()
            });
            let want = want.map(|(vertical, cb, cr)| Layout { vertical, chroma: Some([cb, cr]) });
            assert_eq!(Layout::of(&components), want, "{name}");
        }
        let grey = Layout { vertical: 2, chroma: None };
        assert_eq!(Layout::of(&[Component::default()]), Some(grey));
        assert_eq!(Layout::of(&[Component::default(); 4]), None);
    }
}
