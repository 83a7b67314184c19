// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie repair`: writes the good images of a broken movie to a new movie.

use crate::cli::Repair;
use crate::output::Output;
use crate::salvage::{NextImage, next_image};
use crate::walk::{Source, progress_bar};
use crate::{counted, say};
use anyhow::{Result, bail};
use gstmjpegfile::jpeg::{encode_within, without_stray_bytes};
use gstmjpegfile::movie::{EOI, MAX_FRAME_LEN};
use std::process::ExitCode;

/// Bytes that are searched at once.
const PART: usize = 8 * 1024 * 1024;

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
        messages: 0,
    };
    let bar = progress_bar(source.length(), "{bytes}/{total_bytes} {bytes_per_sec}");
    let (mut offset, mut part) = (0, PART);
    while offset < source.length() {
        let bytes = source.bytes(offset, part)?.to_vec();
        let last = offset + bytes.len() as u64 >= source.length();
        let used = repairer.write_images(&bytes, last, part, offset)?;
        if used == 0 {
            if last {
                break;
            }
            // The image continues after this part.
            part *= 2;
            continue;
        }
        offset += used as u64;
        part = PART;
        bar.set_position(offset);
    }
    bar.finish_and_clear();
    let (input, out) = (arguments.input.display(), arguments.out.display());
    if repairer.written == 0 {
        bail!("{input} contains no JPEG image: {out} was not written");
    }
    repairer.report_rest();
    let summary = repairer.summary();
    repairer.output.finish()?;
    say(&format!("{out}: {summary}"));
    Ok(ExitCode::SUCCESS)
}

impl Repairer {
    fn report(&mut self, text: &str) {
        self.messages += 1;
        if self.messages <= MAX_LISTED {
            say(text);
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
            (self.shrunk, "encoded again at lower quality"),
        ];
        let changed = parts.iter().filter(|(count, _)| *count > 0);
        changed
            .fold(format!("{} written", counted(self.written, "frame")), |text, (count, what)| {
                format!("{text}, {} {what}", counted(*count, "image"))
            })
    }

    /// Writes the complete images in `bytes`, which start at `offset` in the file; returns how many
    /// bytes need not be searched again.
    fn write_images(
        &mut self,
        bytes: &[u8],
        last: bool,
        part: usize,
        offset: u64,
    ) -> Result<usize> {
        let mut from = 0;
        loop {
            match next_image(bytes, from) {
                // It may continue after these bytes.
                NextImage::Complete { start, end, .. }
                    if end == bytes.len() && !last && part < MAX_IMAGE =>
                {
                    return Ok(start);
                }
                NextImage::Damaged { start, .. }
                    if !last && part < MAX_IMAGE && bytes.len() - start < PART =>
                {
                    return Ok(start);
                }
                NextImage::Complete { start, end, lacks_eoi } => {
                    let mut image = bytes.get(start..end).unwrap_or_default().to_vec();
                    if lacks_eoi {
                        image.extend(EOI);
                        self.completed += 1;
                    }
                    if let Some(clean) = without_stray_bytes(&image) {
                        image = clean;
                        self.cleaned += 1;
                    }
                    self.write_image(&image, offset + start as u64)?;
                    from = end;
                }
                NextImage::Damaged { start, damage } => {
                    self.left_out += 1;
                    let at = offset + start as u64;
                    self.report(&format!("byte {at}: image left out: {damage}"));
                    from = start + 2;
                }
                NextImage::NotFound if last => return Ok(bytes.len()),
                // The last byte may be the first half of an SOI.
                NextImage::NotFound => return Ok(bytes.len().saturating_sub(1).max(from)),
            }
        }
    }

    fn write_image(&mut self, image: &[u8], at: u64) -> Result<()> {
        if image.len() <= MAX_FRAME_LEN {
            self.output.write_frame(image)?;
        } else if let Some(smaller) = encode_within(image, MAX_FRAME_LEN) {
            self.shrunk += 1;
            self.report(&format!(
                "byte {at}: image of {} bytes encoded again at lower quality in {} (a frame has at \
                 most {MAX_FRAME_LEN})",
                image.len(),
                smaller.len()
            ));
            self.output.write_frame(&smaller)?;
        } else {
            self.left_out += 1;
            self.report(&format!(
                "byte {at}: image left out: its {} bytes cannot be encoded in {MAX_FRAME_LEN}",
                image.len()
            ));
            return Ok(());
        }
        self.written += 1;
        Ok(())
    }
}
