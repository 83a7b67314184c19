// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie repair`: writes the good images of a broken movie to a new movie.

use crate::check::image_problem;
use crate::cli::Repair;
use crate::output::Output;
use crate::walk::{Source, progress_bar};
use crate::{counted, say};
use anyhow::{Context, Result, bail};
use gstmjpegfile::jpeg::{frame_size, scale_within, without_stray_bytes};
use gstmjpegfile::movie::{
    EOI, ImageStep, ImageWalker, MAX_FRAME_LEN, MovieForm, MovieWalker, PREFIX_LEN, Step,
};
use std::borrow::Cow;
use std::ops::Range;
use std::process::ExitCode;

/// Longest image that is searched for; an SOI without an end within it counts as damaged.
const MAX_IMAGE: usize = 64 * 1024 * 1024;

/// Messages about single images; further ones are only counted.
const MAX_LISTED: u64 = 100;

struct Repairer {
    output: Output,
    written: u64,
    left_out: u64,
    completed: u64,
    cleaned: u64,
    shrunk: u64,
    /// The size of the image that was scaled last, and its new size, which later images of that size get too.
    scaled: Option<((u16, u16), (u16, u16))>,
    messages: u64,
}

pub fn run(arguments: &Repair) -> Result<ExitCode> {
    let source = Source::open(&arguments.input)?;
    let output = Output::create(&arguments.out, &arguments.input, arguments.force)?;
    let mut repairer = Repairer {
        output,
        written: 0,
        left_out: 0,
        completed: 0,
        cleaned: 0,
        shrunk: 0,
        scaled: None,
        messages: 0,
    };
    let bar = progress_bar(source.length(), "{bytes}/{total_bytes} {bytes_per_sec}");
    // Whatever the form, what is not a record is searched for images.
    let mut walker = MovieWalker::new(MovieForm::Records);
    // What is searched for images: records with problems and bytes of no record, up to a good record.
    let mut broken = 0..0;
    loop {
        let item = match source.step(&mut walker)? {
            Step::Frame { offset, length } => {
                let start = offset.saturating_sub(PREFIX_LEN as u64);
                let end = offset + u64::from(length);
                let is_good =
                    image_problem(&source.bytes(offset, length as usize)?, offset).is_none();
                if is_good {
                    repairer.search(&source, std::mem::replace(&mut broken, end..end))?;
                    repairer.write_image(&source.bytes(offset, length as usize)?, offset)?;
                    bar.set_position(end);
                    continue;
                }
                start..end
            }
            Step::Bad(span) => span.offset..span.offset + span.bytes,
            Step::Searching => continue,
            Step::NeedMore | Step::End => break,
        };
        broken = if broken.is_empty() { item } else { broken.start..item.end };
    }
    repairer.search(&source, broken)?;
    bar.finish_and_clear();
    let (input, out) = (arguments.input.display(), repairer.output.shown());
    if repairer.written == 0 {
        bail!("{input} contains no JPEG image: {out} was not written");
    }
    repairer.report_rest();
    let summary = repairer.summary();
    let is_whole = repairer.left_out == 0;
    repairer.output.finish()?;
    say(&format!("{out}: {summary}"));
    // A lost image is a failure, although the movie is written.
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Encodes an image in fewer bytes than a frame may have: at a lower quality, then in a smaller size.
/// Starts with the size `first`, if there is one.
fn smaller(image: &[u8], first: Option<(u16, u16)>) -> Option<Vec<u8>> {
    scale_within(image, MAX_FRAME_LEN, first).map(|smaller| smaller.jpeg)
}

/// Describes what was reduced in `smaller`, compared with `image`.
fn how_reduced(image: &[u8], smaller: &[u8]) -> String {
    match frame_size(smaller) {
        Some((width, height)) if frame_size(image) != Some((width, height)) => {
            format!("as {width}x{height} (mjpeg-movie make has --size)")
        }
        _ => "at lower quality".to_owned(),
    }
}

impl Repairer {
    /// Prints a message, which is not made if it is not printed: there may be millions.
    fn report(&mut self, text: impl FnOnce() -> String) {
        self.messages += 1;
        if self.messages <= MAX_LISTED {
            say(&text());
        }
    }

    fn report_rest(&self) {
        if self.messages > MAX_LISTED {
            say(&format!("{} not listed", counted(self.messages - MAX_LISTED, "message")));
        }
    }

    fn summary(&self) -> String {
        let parts = [
            (self.left_out, "left out"),
            (self.completed, "given the missing end marker"),
            (self.cleaned, "freed of stray bytes"),
            (self.shrunk, "encoded again"),
        ];
        let changed = parts.iter().filter(|(count, _)| *count > 0);
        changed
            .fold(format!("{} written", counted(self.written, "frame")), |text, (count, what)| {
                format!("{text}, {} {what}", counted(*count, "image"))
            })
    }

    /// Writes the complete images in a part of the file, whatever their records say.
    fn search(&mut self, source: &Source, region: Range<u64>) -> Result<()> {
        let mut walker = ImageWalker::new(region.start, region.end, MAX_IMAGE);
        loop {
            match walker.step(source).with_context(|| source.cannot_read())? {
                ImageStep::Image { offset, length, lacks_eoi } => {
                    let bytes = source.bytes(offset, length)?;
                    let mut image = Cow::from(&*bytes);
                    if lacks_eoi {
                        image.to_mut().extend(EOI);
                        self.completed += 1;
                    }
                    if let Some(clean) = without_stray_bytes(&image) {
                        image = clean.into();
                        self.cleaned += 1;
                    }
                    self.write_image(&image, offset)?;
                }
                ImageStep::Damaged { offset, damage } => {
                    self.left_out += 1;
                    self.report(|| format!("byte {offset}: image left out: {damage}"));
                }
                ImageStep::Searching => {}
                ImageStep::End => return Ok(()),
            }
        }
    }

    fn write_image(&mut self, image: &[u8], at: u64) -> Result<()> {
        let size = frame_size(image);
        let known = self.scaled.filter(|(from, _)| Some(*from) == size).map(|(_, to)| to);
        if image.len() <= MAX_FRAME_LEN {
            self.output.write_frame(image)?;
        } else if let Some(smaller) = smaller(image, known) {
            self.shrunk += 1;
            self.scaled = size.zip(frame_size(&smaller)).filter(|(from, to)| from != to);
            self.report(|| {
                format!(
                    "byte {at}: image of {} bytes encoded again {} in {} (a frame has at most \
                 {MAX_FRAME_LEN})",
                    image.len(),
                    how_reduced(image, &smaller),
                    smaller.len()
                )
            });
            self.output.write_frame(&smaller)?;
        } else {
            self.left_out += 1;
            self.report(|| {
                format!(
                    "byte {at}: image left out: its {} bytes cannot be encoded in {MAX_FRAME_LEN}",
                    image.len()
                )
            });
            return Ok(());
        }
        self.written += 1;
        Ok(())
    }
}
