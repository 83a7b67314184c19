// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that is wrong with a movie.

use crate::cli::Check;
use crate::walk::{Item, Source, walk};
use crate::{product, say};
use anyhow::Result;
use gstmjpegfile::jpeg::{Header, ImageEnd, Process, first_image_end};
use gstmjpegfile::movie::{EOI, LikelyFormat, SOI};
use std::process::ExitCode;

/// Said one by one; what comes after them is counted.
const LISTED: u64 = 1000;

#[derive(Debug, Default)]
struct Found {
    frames: u64,
    wrong: u64,
    quiet: bool,
}

impl Found {
    fn wrong(&mut self, offset: u64, what: &str) -> Result<()> {
        self.wrong += 1;
        if self.quiet || self.wrong > LISTED {
            return Ok(());
        }
        product(&format!("frame {}, byte {offset}: {what}", self.frames + 1))
    }
}

pub fn run(arguments: &Check) -> Result<ExitCode> {
    let source = Source::open(&arguments.movie)?;
    let mut found = Found { quiet: arguments.quiet, ..Found::default() };
    walk(&source, |item| {
        match item {
            Item::Frame { offset, jpeg } => {
                if let Some(what) = wrong_with(jpeg) {
                    found.wrong(offset, &what)?;
                }
                found.frames += 1;
            }
            Item::Bad(span) => {
                let what = format!("{}; {} bytes belong to no frame", span.first, span.bytes);
                found.wrong(span.offset, &what)?;
            }
        }
        Ok(())
    })?;
    if found.frames == 0 {
        let head = source.bytes(0, 64)?;
        let advice = LikelyFormat::of(&head).map(LikelyFormat::advice);
        let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
        found.wrong(0, &format!("no frame in the file{advice}"))?;
    }
    if found.wrong > LISTED && !found.quiet {
        product(&format!("and {} more", found.wrong - LISTED))?;
    }
    let path = arguments.movie.display();
    if found.wrong == 0 {
        if !found.quiet {
            say(&format!("{path}: {} frames, nothing is wrong", found.frames));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !found.quiet {
        say(&format!(
            "{path}: {} frames, wrong: {}; to save what can be saved: mjpeg-movie repair \
             {path} OUT",
            found.frames, found.wrong
        ));
    }
    Ok(ExitCode::FAILURE)
}

/// What is wrong with a record's image; its bytes are searched, not decoded.
fn wrong_with(jpeg: &[u8]) -> Option<String> {
    let header = match Header::parse(jpeg) {
        Ok(header) => header,
        Err(damage) => return Some(format!("the image is damaged: {damage}")),
    };
    if !matches!(header.process, Process::Baseline | Process::ExtendedSequential) {
        // Its scans are not followed; its end is.
        return (!jpeg.ends_with(&EOI)).then(|| "the image has no end (FF D9)".to_owned());
    }
    if header.scan.components().len() != header.components().len() {
        return None;
    }
    match first_image_end(jpeg, header.scan_data) {
        Err(damage) => Some(format!("the image is damaged: {damage}")),
        Ok(ImageEnd::Missing) => {
            Some("the image has no end (FF D9): cut, or never written".to_owned())
        }
        Ok(ImageEnd::Eoi(end)) => {
            let behind = jpeg.get(end..).unwrap_or_default();
            if behind.starts_with(&SOI) {
                Some(format!("another image follows at byte {end} of the record"))
            } else if behind.iter().any(|byte| *byte != 0) {
                Some(format!("{} bytes follow the image's end", behind.len()))
            } else {
                None
            }
        }
    }
}
