// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts a colour behind the transparent parts of pictures.

use anyhow::{Context, Result};

/// Red, green and blue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

/// Names of colours, besides RRGGBB.
const NAMES: [(&str, [u8; 3]); 3] = [("black", [0; 3]), ("white", [255; 3]), ("grey", [128; 3])];

impl std::str::FromStr for Colour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, colour)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*colour));
        }
        let digits = text.strip_prefix('#').unwrap_or(text);
        let is_colour = digits.len() == 6 && digits.bytes().all(|it| it.is_ascii_hexdigit());
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| is_colour);
        let [_, colour @ ..] = value
            .ok_or("not a colour: black, white, grey, or RRGGBB in hexadecimal, such as ff8000")?
            .to_be_bytes();
        Ok(Self(colour))
    }
}

/// The picture with `colour` behind its transparent parts. A picture without any is returned as it is.
pub fn with_background(picture: gst::Sample, colour: Colour) -> Result<gst::Sample> {
    let caps = picture.caps_owned().context("the sample has no caps")?;
    if caps.structure(0).and_then(|it| it.get::<&str>("format").ok()) != Some("RGBA") {
        return Ok(picture);
    }
    let buffer = picture.buffer().context("the sample has no buffer")?;
    let map = buffer.map_readable()?;
    let (pixels, _) = map.as_chunks::<4>();
    if pixels.iter().all(|[.., alpha]| *alpha == 255) {
        drop(map);
        return Ok(picture);
    }
    let mut opaque = Vec::with_capacity(map.len());
    opaque.extend(pixels.iter().flat_map(|pixel| blend(*pixel, colour)));
    // The copied metadata describe the rows of the buffer.
    let mut made = gst::Buffer::from_mut_slice(opaque);
    if let Some(made) = made.get_mut() {
        let copied = gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META;
        buffer.copy_into(made, copied, ..).context("cannot copy a buffer's metadata")?;
    }
    Ok(gst::Sample::builder().buffer(&made).caps(&caps).build())
}

fn blend([red, green, blue, alpha]: [u8; 4], Colour(behind): Colour) -> [u8; 4] {
    let alpha = u32::from(alpha);
    let [red, green, blue] = [red, green, blue].map(u32::from);
    let [back_red, back_green, back_blue] = behind.map(u32::from);
    let mix = |front: u32, back: u32| {
        u8::try_from((front * alpha + back * (255 - alpha) + 127) / 255).unwrap_or(u8::MAX)
    };
    [mix(red, back_red), mix(green, back_green), mix(blue, back_blue), 255]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_parsed() {
        let rows = [
            ("black", [0, 0, 0]),
            ("white", [255, 255, 255]),
            ("ff8000", [255, 128, 0]),
            ("#00FF01", [0, 255, 1]),
        ];
        for (text, want) in rows {
            assert_eq!(text.parse(), Ok(Colour(want)), "{text}");
        }
        let error = "not a colour: black, white, grey, or RRGGBB in hexadecimal, such as ff8000";
        for text in ["", "red5", "fff", "+12345", "1234567"] {
            assert_eq!(text.parse::<Colour>(), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn transparent_pixels_show_the_background() {
        let behind = Colour([0, 100, 200]);
        let rows = [
            ([255, 0, 255, 0], [0, 100, 200, 255]),
            ([255, 0, 255, 255], [255, 0, 255, 255]),
            ([255, 0, 0, 51], [51, 80, 160, 255]),
        ];
        for (pixel, want) in rows {
            assert_eq!(blend(pixel, behind), want, "{pixel:?}");
        }
    }
}
