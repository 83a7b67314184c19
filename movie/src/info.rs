// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a movie is.

use crate::cli::Info;
use crate::product;
use crate::walk::{Item, Source, walk};
use anyhow::{Result, bail};
use gstmjpegfile::jpeg::{Header, Process};
use gstmjpegfile::movie::{FrameRate, LikelyFormat};
use gstmjpegfile::rtp::MAX_LAB_FRAME;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Bars of the histogram.
const BARS: usize = 8;
const BAR: usize = 40;

#[derive(Debug, Default, Serialize)]
struct Facts {
    frames: u64,
    bytes: u64,
    seconds: f64,
    /// Frames by picture size and sampling.
    pictures: BTreeMap<String, u64>,
    smallest: usize,
    mean: f64,
    largest: usize,
    /// From 1.
    largest_frame: u64,
    over_datagram: u64,
    bad_bytes: u64,
    #[serde(skip)]
    sizes: Vec<u32>,
}

pub fn run(arguments: &Info) -> Result<ExitCode> {
    let source = Source::open(&arguments.movie)?;
    let mut facts = Facts { bytes: source.length(), smallest: usize::MAX, ..Facts::default() };
    walk(&source, |item| {
        match item {
            Item::Frame { jpeg, .. } => facts.frame(jpeg),
            Item::Bad(span) => facts.bad_bytes += span.bytes,
        }
        Ok(())
    })?;
    if facts.frames == 0 {
        let head = source.bytes(0, 64)?;
        let advice = LikelyFormat::of(&head).map_or_else(
            || "it holds no record of five digits and a JPEG".to_owned(),
            LikelyFormat::advice,
        );
        bail!("{} is not a movie: {advice}", arguments.movie.display());
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
        product(&serde_json::to_string(&facts)?)?;
    } else {
        facts.print(rate)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Facts {
    fn frame(&mut self, jpeg: &[u8]) {
        self.frames += 1;
        self.smallest = self.smallest.min(jpeg.len());
        if jpeg.len() > self.largest {
            (self.largest, self.largest_frame) = (jpeg.len(), self.frames);
        }
        self.over_datagram += u64::from(jpeg.len() > MAX_LAB_FRAME);
        self.sizes.push(u32::try_from(jpeg.len()).unwrap_or(u32::MAX));
        *self.pictures.entry(picture(jpeg)).or_default() += 1;
    }

    fn print(&self, rate: FrameRate) -> Result<()> {
        product(&format!(
            "{} frames, {} bytes, {:.2} s at {} frames/s",
            self.frames,
            self.bytes,
            self.seconds,
            rate.frames_per_second()
        ))?;
        for (picture, frames) in &self.pictures {
            product(&format!("{picture}: {frames} frames"))?;
        }
        product(&format!(
            "frame sizes: {} to {} bytes, {:.0} on average; the largest is frame {}",
            self.smallest, self.largest, self.mean, self.largest_frame
        ))?;
        self.print_histogram()?;
        let datagram = match self.over_datagram {
            0 => format!("every frame fits a UDP datagram of the lab ({MAX_LAB_FRAME} bytes)"),
            over => {
                format!("{over} frames are over a UDP datagram of the lab ({MAX_LAB_FRAME} bytes)")
            }
        };
        product(&datagram)?;
        if self.bad_bytes > 0 {
            product(&format!(
                "{} bytes belong to no frame: see mjpeg-movie check",
                self.bad_bytes
            ))?;
        }
        Ok(())
    }

    fn print_histogram(&self) -> Result<()> {
        let width = (self.largest - self.smallest) / BARS + 1;
        let mut counts = [0_usize; BARS];
        for size in &self.sizes {
            let bar = (*size as usize - self.smallest) / width;
            if let Some(count) = counts.get_mut(bar) {
                *count += 1;
            }
        }
        let most = counts.iter().copied().max().unwrap_or(1).max(1);
        for (bar, count) in counts.iter().enumerate() {
            let begin = self.smallest + bar * width;
            let length = (count * BAR).div_ceil(most);
            let end = begin + width - 1;
            product(&format!("  {begin:>6} to {end:>6}  {:BAR$}  {count}", "#".repeat(length)))?;
        }
        Ok(())
    }
}

/// Size, sampling and process of an image.
fn picture(jpeg: &[u8]) -> String {
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
