// SPDX-License-Identifier: MIT OR Apache-2.0
//! Encodes pictures as JPEG images with standard Huffman tables and 4:2:0 chroma, each within a limit
//! of bytes.

use super::decoder::{element, parse, pipeline_error};
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};

/// Qualities that are tried, after the requested one, for a picture that is too large.
const LOWER_QUALITIES: [u8; 9] = [75, 65, 55, 45, 35, 25, 15, 10, 5];

/// The lowest quality of the first picture before its size is reduced.
const LOWEST_FIRST: u8 = 45;

/// The lowest quality of later pictures before all are made again in a smaller size.
const LOWEST_LATER: u8 = 25;

/// A picture and the colour behind its transparent parts.
const LINE: &str = "appsrc name=in format=time max-buffers=1 ! videoscale ! videoconvert ! capsfilter name=size ! \
                    jpegenc name=encoder ! appsink name=out sync=false";

/// An image within the limit, or the reason why there is none.
pub enum Fitted {
    Jpeg(Vec<u8>),
    /// All pictures must be made again: the size of the encoder is smaller now.
    Restart,
}

/// What the user has chosen, and the input permits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest image, in bytes.
    pub bytes: usize,
    pub quality: u8,
    /// Width and height in pixels; `None`: those of the first picture.
    pub size: Option<(u16, u16)>,
    /// Whether the pictures can be made again from the first one.
    pub can_restart: bool,
}

pub struct Encoder {
    limits: Limits,
    pipeline: gst::Pipeline,
    input: AppSrc,
    size_filter: gst::Element,
    jpegenc: gst::Element,
    output: AppSink,
    /// The requested quality and lower ones.
    qualities: Vec<u8>,
    /// Index of the quality of the last picture.
    quality: usize,
    /// Size of the images, and the size before it was reduced.
    size: Option<(u16, u16)>,
    original: Option<(u16, u16)>,
    /// Number of the first picture that has the reduced size, from 1.
    reduced_from: u64,
    encoded: u64,
    lowered: u64,
    lowest: u8,
}

impl Encoder {
    pub fn start(limits: Limits) -> Result<Self> {
        let pipeline = parse(LINE)?;
        let named = |name: &str| element(&pipeline, name);
        let input = named("in")?.downcast::<AppSrc>();
        let output = named("out")?.downcast::<AppSink>();
        let (Ok(input), Ok(output)) = (input, output) else {
            bail!("not an appsrc and an appsink")
        };
        let (size_filter, jpegenc) = (named("size")?, named("encoder")?);
        let lower = LOWER_QUALITIES.into_iter().filter(|it| *it < limits.quality);
        let qualities = std::iter::once(limits.quality).chain(lower).collect();
        pipeline.set_state(gst::State::Playing).context("cannot start the encoder")?;
        Ok(Self {
            limits,
            pipeline,
            input,
            size_filter,
            jpegenc,
            output,
            qualities,
            quality: 0,
            size: None,
            original: None,
            reduced_from: 1,
            encoded: 0,
            lowered: 0,
            lowest: limits.quality,
        })
    }

    /// Starts again with the first picture, in the size that was found.
    pub fn restart(&mut self) {
        (self.quality, self.encoded, self.lowered) = (0, 0, 0);
        (self.lowest, self.reduced_from) = (self.limits.quality, 1);
    }

    /// Encodes a picture within the limit: at a lower quality if it is too large, then in a smaller
    /// size. `upright` is the size of the picture in square pixels.
    pub fn fit(&mut self, picture: &gst::Sample, upright: (u16, u16)) -> Result<Fitted> {
        if self.size.is_none() {
            self.set_size(self.limits.size.unwrap_or(upright));
        }
        // The next picture may fit at a higher quality.
        let mut index = self.quality.saturating_sub(1);
        loop {
            let quality = self.qualities.get(index).copied().unwrap_or(1);
            let jpeg = self.encode(picture, quality)?;
            if jpeg.len() <= self.limits.bytes {
                self.quality = index;
                self.encoded += 1;
                if quality < self.limits.quality {
                    self.lowered += 1;
                    self.lowest = self.lowest.min(quality);
                }
                return Ok(Fitted::Jpeg(jpeg));
            }
            index += 1;
            if self.qualities.get(index).is_some_and(|it| *it >= self.lowest_quality()) {
                continue;
            }
            self.reduce_size(jpeg.len())?;
            if self.encoded > 0 && self.limits.can_restart {
                return Ok(Fitted::Restart);
            }
            index = 0;
        }
    }

    fn lowest_quality(&self) -> u8 {
        let first = self.encoded == 0;
        match self.limits {
            Limits { size: Some(_), .. } => 0,
            _ if first => LOWEST_FIRST,
            Limits { can_restart: true, .. } => LOWEST_LATER,
            Limits { can_restart: false, .. } => 0,
        }
    }

    /// Reduces the size so that an image of `length` bytes probably fits.
    fn reduce_size(&mut self, length: usize) -> Result<()> {
        let (width, height) = self.size.context("the pictures have no size")?;
        // The number of bytes grows with the number of pixels. Numbers of bytes are below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let ratio = (self.limits.bytes as f64 / length as f64).sqrt();
        let margin = if self.encoded == 0 { 0.97 } else { 0.8 };
        let factor = (ratio * margin).min(0.9);
        // Even sides suit 4:2:0; they are below the old sides, which fit a u16.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let scaled = |side: u16| (((f64::from(side) * factor / 2.0).round() as u16) * 2).max(2);
        let smaller = (scaled(width), scaled(height));
        if smaller.0 >= width && smaller.1 >= height {
            bail!(
                "a picture of {width}x{height} pixels does not fit in {} bytes",
                self.limits.bytes
            );
        }
        self.original.get_or_insert((width, height));
        self.reduced_from = self.encoded + 1;
        self.set_size(smaller);
        Ok(())
    }

    fn set_size(&mut self, (width, height): (u16, u16)) {
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("colorimetry", "1:4:0:0")
            .field("width", i32::from(width))
            .field("height", i32::from(height))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .build();
        self.size_filter.set_property("caps", caps);
        self.size = Some((width, height));
    }

    fn encode(&self, picture: &gst::Sample, quality: u8) -> Result<Vec<u8>> {
        self.jpegenc.set_property("quality", i32::from(quality));
        let pushed = self.input.push_sample(picture);
        let encoded = pushed.ok().and_then(|_| self.output.pull_sample().ok());
        let Some(sample) = encoded else {
            let bus = self.pipeline.bus().context("the pipeline has no bus")?;
            let message = bus.pop_filtered(&[gst::MessageType::Error]);
            let error = message.map(|message| pipeline_error("encode a picture", &message));
            return Err(error.unwrap_or_else(|| anyhow::anyhow!("cannot encode a picture")));
        };
        let buffer = sample.buffer().context("the sample has no buffer")?;
        Ok(buffer.map_readable()?.to_vec())
    }

    /// What was reduced to keep the limit; `None` if nothing was.
    pub fn reductions(&self) -> Option<String> {
        let mut reduced = Vec::new();
        if let (Some((from_w, from_h)), Some((w, h))) = (self.original, self.size) {
            let first = match self.reduced_from {
                1 => String::new(),
                frame => format!(" from picture {frame} on"),
            };
            reduced.push(format!("pictures scaled from {from_w}x{from_h} to {w}x{h}{first}"));
        }
        if self.lowered > 0 {
            let pictures = crate::counted(self.lowered, "picture");
            reduced.push(format!("{pictures} encoded at a quality down to {}", self.lowest));
        }
        (!reduced.is_empty()).then(|| {
            format!(
                "to fit in {} bytes: {}; to choose the size: --size",
                self.limits.bytes,
                reduced.join(", ")
            )
        })
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
