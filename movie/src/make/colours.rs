// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts the colours of video to those of JFIF: full-range BT.601.
//!
//! GStreamer 1.22 does not convert the range of BT.601, and darkens white when it converts BT.709.

use anyhow::{Context, Result};
use gst_video::prelude::*;
use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo};

/// The numbers with which luma and chroma of JFIF are computed. Luma of grey does not depend on chroma,
/// nor does chroma on luma.
#[derive(Debug, Clone, Copy)]
struct Conversion {
    luma_black: f32,
    luma_scale: f32,
    /// What one step of Cb and Cr adds to luma, Cb and Cr.
    from_cb: [f32; 3],
    from_cr: [f32; 3],
}

impl Conversion {
    fn new(matrix: VideoColorMatrix, full_range: bool) -> Self {
        // The weights of red and blue in luma.
        let (red, blue) = match matrix {
            VideoColorMatrix::Bt709 => (0.2126, 0.0722),
            VideoColorMatrix::Bt2020 => (0.2627, 0.0593),
            VideoColorMatrix::Smpte240m => (0.212, 0.087),
            VideoColorMatrix::Fcc => (0.3, 0.11),
            _ => (0.299, 0.114),
        };
        let (luma_black, luma_scale, chroma_scale) =
            if full_range { (0.0, 1.0, 1.0) } else { (16.0, 255.0 / 219.0, 255.0 / 224.0) };
        // Luma, Cb and Cr of JFIF for a colour that differs from grey.
        let jfif = |[r, g, b]: [f32; 3]| {
            let luma = 0.299 * r + 0.587 * g + 0.114 * b;
            [luma, (b - luma) / 1.772, (r - luma) / 1.402].map(|it| it * chroma_scale)
        };
        let green = 1.0 - red - blue;
        let (b, r) = (2.0 * (1.0 - blue), 2.0 * (1.0 - red));
        let from_cb = jfif([0.0, -blue * b / green, b]);
        let from_cr = jfif([r, -red * r / green, 0.0]);
        Self { luma_black, luma_scale, from_cb, from_cr }
    }

    /// What luma changes by, Cb and Cr.
    fn chroma(&self, cb: u8, cr: u8) -> [f32; 3] {
        let (cb, cr) = (f32::from(cb) - 128.0, f32::from(cr) - 128.0);
        let [luma, blue, red] = self.from_cb.map(|it| it * cb);
        let [luma_2, blue_2, red_2] = self.from_cr.map(|it| it * cr);
        [luma + luma_2, blue + blue_2 + 128.0, red + red_2 + 128.0]
    }

    fn luma(&self, luma: u8, change: f32) -> u8 {
        byte((f32::from(luma) - self.luma_black) * self.luma_scale + change)
    }
}

// The value is limited first.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn byte(value: f32) -> u8 {
    (value + 0.5).clamp(0.0, 255.0) as u8
}

/// The picture with JFIF's colours. RGB, and a picture that has them already, is returned as it is.
pub fn with_jfif_colours(picture: gst::Sample) -> Result<gst::Sample> {
    let caps = picture.caps().context("the sample has no caps")?;
    let info = VideoInfo::from_caps(caps)?;
    let (matrix, range) = (info.colorimetry().matrix(), info.colorimetry().range());
    let full_range = range == VideoColorRange::Range0_255;
    let is_jfif = full_range && matrix == VideoColorMatrix::Bt601;
    if info.format() != VideoFormat::I420 || is_jfif {
        return Ok(picture);
    }
    let matrix = match matrix {
        VideoColorMatrix::Unknown if info.height() > 576 => VideoColorMatrix::Bt709,
        matrix => matrix,
    };
    let conversion = Conversion::new(matrix, full_range);
    let buffer = picture.buffer().context("the sample has no buffer")?;
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
    let (width, height) = (info.width(), info.height());
    let made_info = VideoInfo::builder(VideoFormat::I420, width, height)
        .par(info.par())
        .fps(info.fps())
        .colorimetry(&"1:4:0:0".parse()?)
        .build()?;
    let mut made = gst::Buffer::with_size(made_info.size())?;
    {
        let made = made.get_mut().context("the buffer is shared")?;
        let mut out = VideoFrameRef::from_buffer_ref_writable(made, &made_info)?;
        convert(&frame, &mut out, conversion)?;
    }
    Ok(gst::Sample::builder().buffer(&made).caps(&made_info.to_caps()?).build())
}

fn convert(
    frame: &VideoFrameRef<&gst::BufferRef>,
    out: &mut VideoFrameRef<&mut gst::BufferRef>,
    conversion: Conversion,
) -> Result<()> {
    let stride = |plane: usize| {
        let stride = frame.plane_stride().get(plane).and_then(|it| usize::try_from(*it).ok());
        stride.filter(|it| *it > 0).context("a plane has no stride")
    };
    let width = frame.width() as usize;
    let (across, down) = (width.div_ceil(2), (frame.height() as usize).div_ceil(2));
    let (luma, cb, cr) = (frame.plane_data(0)?, frame.plane_data(1)?, frame.plane_data(2)?);
    let mut changes = vec![0.0_f32; across * down];
    let (mut made_cb, mut made_cr) = (Vec::new(), Vec::new());
    let rows = cb.chunks(stride(1)?).zip(cr.chunks(stride(2)?));
    for ((cb, cr), changes) in rows.zip(changes.chunks_mut(across)) {
        for ((cb, cr), change) in cb.iter().zip(cr).zip(changes) {
            let [luma, cb, cr] = conversion.chroma(*cb, *cr);
            *change = luma;
            made_cb.push(byte(cb));
            made_cr.push(byte(cr));
        }
    }
    for (plane, made) in [(1, &made_cb), (2, &made_cr)] {
        let stride =
            usize::try_from(*out.plane_stride().get(plane as usize).context("no stride")?)?;
        let rows = out.plane_data_mut(plane)?.chunks_mut(stride);
        for (row, made) in rows.zip(made.chunks(across)) {
            row.iter_mut().zip(made).for_each(|(to, from)| *to = *from);
        }
    }
    let made_stride = usize::try_from(*out.plane_stride().first().context("no stride")?)?;
    let rows = out.plane_data_mut(0)?.chunks_mut(made_stride).zip(luma.chunks(stride(0)?));
    let changes = changes.chunks(across).flat_map(|row| [row, row]);
    for ((to, from), changes) in rows.zip(changes) {
        let changes = changes.iter().flat_map(|change| [*change, *change]);
        for ((to, from), change) in to.iter_mut().zip(from).zip(changes).take(width) {
            *to = conversion.luma(*from, change);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_video_become_those_of_jfif() {
        let rows = [
            ("white", VideoColorMatrix::Bt709, false, [235, 128, 128], [255, 128, 128]),
            ("black", VideoColorMatrix::Bt709, false, [16, 128, 128], [0, 128, 128]),
            ("red", VideoColorMatrix::Bt709, false, [63, 102, 240], [76, 85, 255]),
            ("red of 601", VideoColorMatrix::Bt601, false, [81, 90, 240], [76, 85, 255]),
            ("below black", VideoColorMatrix::Bt601, false, [0, 128, 128], [0, 128, 128]),
            ("full range", VideoColorMatrix::Bt709, true, [54, 99, 255], [76, 85, 255]),
        ];
        for (name, matrix, full_range, [y, cb, cr], want) in rows {
            let conversion = Conversion::new(matrix, full_range);
            let [change, blue, red] = conversion.chroma(cb, cr);
            let got = [conversion.luma(y, change), byte(blue), byte(red)];
            let near = got.iter().zip(want).all(|(got, want)| got.abs_diff(want) <= 1);
            assert!(near, "{name}: {got:?}, not {want:?}");
        }
    }
}
