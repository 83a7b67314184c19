// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of the picture that is shown: enlarged by the wheel, moved by dragging.

use eframe::egui::{Pos2, Rect, Vec2, pos2, vec2};

/// The largest enlargement.
const MAX: f32 = 32.0;

/// Enlargements by the key.
const STEP: f32 = 2.0;

/// Above this enlargement pixels are shown as squares.
const PIXELS_FROM: f32 = 3.0;

/// The shown part of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Zoom {
    /// Enlargement over the size that fits; at least 1.
    factor: f32,
    /// The point of the picture in the middle; both coordinates are from 0 to 1.
    centre: Pos2,
}

impl Default for Zoom {
    fn default() -> Self {
        Self { factor: 1.0, centre: pos2(0.5, 0.5) }
    }
}

impl Zoom {
    /// Enlargement over the size that fits.
    pub fn factor(&self) -> f32 {
        self.factor
    }

    /// Whether the picture is larger than what fits.
    pub fn is_active(&self) -> bool {
        self.factor > 1.0
    }

    /// Whether pixels are shown as squares, not smoothed.
    pub fn shows_pixels(&self) -> bool {
        self.factor >= PIXELS_FROM
    }

    /// Where a picture of `size` is drawn, of which `area` shows a part.
    pub fn target(&self, area: Rect, size: Vec2) -> Rect {
        let size = fitted(area, size) * self.factor;
        let middle = area.center() + (vec2(0.5, 0.5) - self.centre.to_vec2()) * size;
        Rect::from_center_size(middle, size)
    }

    /// Enlarges by `factor`; what is at `pointer` stays there.
    pub fn enlarge(&mut self, factor: f32, pointer: Pos2, area: Rect, size: Vec2) {
        let before = self.target(area, size);
        let at = (pointer - before.min) / before.size().max(Vec2::splat(1.0));
        self.factor = (self.factor * factor).clamp(1.0, MAX);
        let size_now = fitted(area, size) * self.factor;
        let from_middle = (pointer - area.center()) / size_now.max(Vec2::splat(1.0));
        self.centre = (at - from_middle).to_pos2();
        self.keep_inside(area, size);
    }

    /// Moves the picture by `delta` points.
    pub fn drag(&mut self, delta: Vec2, area: Rect, size: Vec2) {
        let shown = self.target(area, size).size().max(Vec2::splat(1.0));
        self.centre -= delta / shown;
        self.keep_inside(area, size);
    }

    /// The next enlargement by the key, around the middle; after the largest one, none.
    pub fn enlarge_by_key(&mut self) {
        self.factor = if self.factor * STEP > MAX { 1.0 } else { self.factor * STEP };
        if !self.is_active() {
            *self = Self::default();
        }
    }

    /// No edge of the picture comes inside of the area, unless the picture is smaller.
    fn keep_inside(&mut self, area: Rect, size: Vec2) {
        let size = (fitted(area, size) * self.factor).max(Vec2::splat(1.0));
        let half = (area.size() / size / 2.0).min(Vec2::splat(0.5));
        self.centre = self.centre.clamp(half.to_pos2(), (Vec2::splat(1.0) - half).to_pos2());
    }
}

/// The largest size with the aspect ratio of `size` that fits into `area`.
fn fitted(area: Rect, size: Vec2) -> Vec2 {
    let size = size.max(Vec2::splat(1.0));
    size * (area.width() / size.x).min(area.height() / size.y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area() -> Rect {
        Rect::from_min_size(pos2(10.0, 20.0), vec2(800.0, 600.0))
    }

    #[test]
    fn a_picture_keeps_its_aspect_ratio() {
        let rows = [
            (vec2(384.0, 288.0), vec2(800.0, 600.0)),
            (vec2(1280.0, 720.0), vec2(800.0, 450.0)),
            (vec2(100.0, 400.0), vec2(150.0, 600.0)),
        ];
        for (size, want) in rows {
            let got = Zoom::default().target(area(), size);
            assert!((got.size() - want).length() < 0.01, "{got}");
            assert_eq!(got.center(), area().center());
        }
    }

    #[test]
    fn what_is_under_the_pointer_stays_there() {
        let size = vec2(800.0, 600.0);
        let mut zoom = Zoom::default();
        let pointer = pos2(210.0, 170.0);
        let share = |zoom: &Zoom| {
            let target = zoom.target(area(), size);
            (pointer - target.min) / target.size()
        };
        let before = share(&zoom);
        for factor in [1.5, 2.0, 0.7] {
            zoom.enlarge(factor, pointer, area(), size);
            assert!((share(&zoom) - before).length() < 1e-4, "{zoom:?}");
        }
        zoom.enlarge(0.01, pointer, area(), size);
        assert_eq!(zoom, Zoom::default());
        zoom.enlarge(1000.0, pointer, area(), size);
        assert_eq!((zoom.factor(), zoom.shows_pixels()), (MAX, true));
    }

    #[test]
    fn the_picture_is_dragged_up_to_its_edges() {
        let size = vec2(800.0, 600.0);
        let mut zoom = Zoom::default();
        zoom.drag(vec2(50.0, 0.0), area(), size);
        assert_eq!(zoom, Zoom::default(), "it fits");
        zoom.enlarge_by_key();
        let before = zoom.target(area(), size);
        zoom.drag(vec2(50.0, -20.0), area(), size);
        let moved = zoom.target(area(), size);
        assert!((moved.min - before.min - vec2(50.0, -20.0)).length() < 0.01, "{moved}");
        zoom.drag(vec2(5000.0, 5000.0), area(), size);
        assert!((zoom.target(area(), size).min - area().min).length() < 0.01);
        for _ in 0..5 {
            zoom.enlarge_by_key();
        }
        assert_eq!(zoom, Zoom::default(), "after the largest comes none");
    }
}
