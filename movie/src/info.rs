// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie info`: frames, duration, picture size and frame sizes of a movie.

use crate::cli::Info;
use crate::walk::{Item, Source, walk};
use crate::{counted, print_line};
use anyhow::{Result, bail};
use gstmjpegfile::jpeg::{Header, ImageEnd, Process, image_end};
use gstmjpegfile::movie::{FrameRate, HEAD_LEN, MovieForm, SOI, why_not_a_movie};
use gstmjpegfile::rtp::MAX_LAB_FRAME;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Bars of the histogram of frame sizes.
const BARS: usize = 8;

/// Characters of the longest bar.
const BAR_WIDTH: usize = 40;

#[derive(Debug, Default, Serialize)]
struct Facts {
    /// How the images are stored: records, images or multipart.
    form: &'static str,
    frames: u64,
    bytes: u64,
    seconds: f64,
    /// Frames by picture size, chroma subsampling and JPEG process.
    pictures: BTreeMap<String, u64>,
    smallest: usize,
    mean: f64,
    largest: usize,
    /// Number of the largest frame, counted from 1.
    largest_frame: u64,
    /// Frames whose first image is larger than a UDP datagram of the lab.
    over_datagram: u64,
    /// Frames that have more than one image. Players show the first one.
    several_images: u64,
    /// Bytes that belong to no frame.
    bad_bytes: u64,
    #[serde(skip)]
    sizes: Vec<u32>,
}

pub fn run(arguments: &Info) -> Result<ExitCode> {
    let source = Source::open(&arguments.movie)?;
    let form = match source.form()? {
        MovieForm::Records => "records",
        MovieForm::Images => "images",
        MovieForm::Multipart => "multipart",
    };
    let (bytes, smallest) = (source.length(), usize::MAX);
    let mut facts = Facts { form, bytes, smallest, ..Facts::default() };
    walk(&source, |item| {
        match item {
            Item::Frame { jpeg, .. } => facts.add_frame(jpeg),
            Item::Bad(span) => facts.bad_bytes += span.bytes,
        }
        Ok(())
    })?;
    if facts.frames == 0 {
        if facts.bytes == 0 {
            bail!("{} is empty", arguments.movie.display());
        }
        let why = why_not_a_movie(&source.bytes(0, HEAD_LEN)?);
        bail!("{} is not a movie: {why}", arguments.movie.display());
    }
    let rate = arguments.framerate;
    // Numbers of frames and bytes are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    {
        let frames = facts.frames as f64;
        facts.seconds = frames / rate.frames_per_second();
        facts.mean = facts.sizes.iter().map(|size| f64::from(*size)).sum::<f64>() / frames;
    }
    if arguments.json {
        print_line(&serde_json::to_string(&facts)?)?;
    } else {
        facts.print(rate)?;
        if let Some(advice) = source.form()?.advice(source.path()) {
            print_line(&advice)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Facts {
    fn add_frame(&mut self, jpeg: &[u8]) {
        self.frames += 1;
        self.smallest = self.smallest.min(jpeg.len());
        if jpeg.len() > self.largest {
            (self.largest, self.largest_frame) = (jpeg.len(), self.frames);
        }
        let end = Header::parse(jpeg).and_then(|header| image_end(jpeg, &header));
        let first = match end {
            Ok(ImageEnd::Eoi(end)) => end,
            Ok(ImageEnd::Missing) | Err(_) => jpeg.len(),
        };
        let several = jpeg.get(first..).unwrap_or_default().starts_with(&SOI);
        self.several_images += u64::from(several);
        let shown = if several { first } else { jpeg.len() };
        self.over_datagram += u64::from(shown > MAX_LAB_FRAME);
        self.sizes.push(u32::try_from(jpeg.len()).unwrap_or(u32::MAX));
        *self.pictures.entry(describe_picture(jpeg)).or_default() += 1;
    }

    fn print(&self, rate: FrameRate) -> Result<()> {
        print_line(&format!(
            "{}, {} bytes, {:.2} s at {} frames/s",
            counted(self.frames, "frame"),
            self.bytes,
            self.seconds,
            rate.frames_per_second()
        ))?;
        for (picture, frames) in &self.pictures {
            print_line(&format!("{picture}: {}", counted(*frames, "frame")))?;
        }
        print_line(&format!(
            "frame sizes: {} to {} bytes, {:.0} on average; the largest is frame {}",
            self.smallest, self.largest, self.mean, self.largest_frame
        ))?;
        for line in histogram(&self.sizes) {
            print_line(&line)?;
        }
        let datagram = match self.over_datagram {
            0 => format!("every frame fits in one UDP datagram of the lab ({MAX_LAB_FRAME} bytes)"),
            over => format!(
                "{} too large for one UDP datagram of the lab ({MAX_LAB_FRAME} bytes)",
                counted(over, "frame")
            ),
        };
        print_line(&datagram)?;
        if self.several_images > 0 {
            print_line(&format!(
                "{} with several images under one length; players show the first one (to make each a \
                 frame: mjpeg-movie repair)",
                counted(self.several_images, "frame")
            ))?;
        }
        if self.bad_bytes > 0 {
            print_line(&format!(
                "bytes that belong to no frame: {} (to list them: mjpeg-movie check)",
                self.bad_bytes
            ))?;
        }
        Ok(())
    }
}

/// The histogram's lines, from the smallest frame to the largest.
fn histogram(sizes: &[u32]) -> Vec<String> {
    let smallest = sizes.iter().copied().min().unwrap_or_default() as usize;
    let largest = sizes.iter().copied().max().unwrap_or_default() as usize;
    let width = (largest - smallest) / BARS + 1;
    let mut counts = [0_usize; BARS];
    for size in sizes {
        let bar = (*size as usize - smallest) / width;
        if let Some(count) = counts.get_mut(bar) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let line = |(low, count): (usize, &usize)| {
        let high = (low + width - 1).min(largest);
        let bar = "#".repeat((count * BAR_WIDTH).div_ceil(most));
        format!("  {low:>6} to {high:>6}  {bar:BAR_WIDTH$}  {count}")
    };
    (smallest..=largest).step_by(width).zip(&counts).map(line).collect()
}

/// Size, chroma subsampling and JPEG process of an image, as text.
fn describe_picture(jpeg: &[u8]) -> String {
    let Ok(header) = Header::parse(jpeg) else { return "damaged".to_owned() };
    let factors: Vec<(u8, u8)> = header
        .components()
        .iter()
        .map(|component| (component.horizontal, component.vertical))
        .collect();
    let sampling = match factors[..] {
        [_] => "grey".to_owned(),
        [(2, 2), (1, 1), (1, 1)] => "4:2:0".to_owned(),
        [(2, 1), (1, 1), (1, 1)] | [(2, 2), (1, 2), (1, 2)] => "4:2:2".to_owned(),
        [(4, 1), (1, 1), (1, 1)] => "4:1:1".to_owned(),
        [(1, 2), (1, 1), (1, 1)] => "4:4:0".to_owned(),
        [a, b, c] if a == b && b == c => "4:4:4".to_owned(),
        _ => {
            let each: Vec<String> = factors.iter().map(|(h, v)| format!("{h}x{v}")).collect();
            each.join(",")
        }
    };
    let process = match header.process {
        Process::Baseline => "baseline".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    format!("{}x{} {sampling} {process}", header.width, header.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_covers_exactly_the_sizes() {
        let full = "#".repeat(BAR_WIDTH);
        assert_eq!(histogram(&[7, 7, 7]), [format!("       7 to      7  {full}  3")]);
        let (half, none) = ("#".repeat(BAR_WIDTH / 2), "");
        let want = [
            format!("     100 to    101  {full}  2"),
            format!("     102 to    103  {half:BAR_WIDTH$}  1"),
            format!("     104 to    105  {none:BAR_WIDTH$}  0"),
            format!("     106 to    107  {none:BAR_WIDTH$}  0"),
            format!("     108 to    108  {half:BAR_WIDTH$}  1"),
        ];
        assert_eq!(histogram(&[108, 100, 101, 103]), want);
    }
}
