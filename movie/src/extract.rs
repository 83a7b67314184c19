// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames as files.

use crate::cli::Extract;
use crate::say;
use crate::walk::Source;
use anyhow::{Context, Result, bail};
use gstmjpegfile::movie::{RecordWalker, Step};
use std::process::ExitCode;

pub fn run(arguments: &Extract) -> Result<ExitCode> {
    let source = Source::open(&arguments.movie)?;
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let (first, last) = arguments.frames;
    let mut walker = RecordWalker::new();
    let (mut frame, mut written) = (0, 0);
    while frame < last {
        match walker.step(&source)? {
            Step::Frame { offset, length } => {
                frame += 1;
                if frame < first {
                    continue;
                }
                let path = folder.join(format!("frame-{frame:06}.jpg"));
                let jpeg = source.bytes(offset, length as usize)?;
                std::fs::write(&path, &*jpeg).with_context(|| path.display().to_string())?;
                written += 1;
            }
            Step::Bad(_) | Step::Searching => {}
            Step::NeedMore | Step::End => break,
        }
    }
    if written == 0 {
        bail!("{} has {frame} frames, none of them is asked for", arguments.movie.display());
    }
    say(&format!("{written} frames in {}", folder.display()));
    Ok(ExitCode::SUCCESS)
}
