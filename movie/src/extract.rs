// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie extract`: writes frames to files.

use crate::cli::Extract;
use crate::walk::Source;
use crate::{counted, say};
use anyhow::{Context, Result, bail};
use gstmjpegfile::movie::Step;
use std::process::ExitCode;

pub fn run(arguments: &Extract) -> Result<ExitCode> {
    let source = Source::open(&arguments.movie)?;
    let folder = &arguments.folder;
    let (first, last) = arguments.frames;
    let mut walker = source.walker()?;
    let (mut frame, mut written) = (0, 0);
    while frame < last {
        match source.step(&mut walker)? {
            Step::Frame { offset, length } => {
                frame += 1;
                if frame < first {
                    continue;
                }
                if written == 0 {
                    std::fs::create_dir_all(folder).with_context(|| {
                        format!("cannot create the folder {}", folder.display())
                    })?;
                }
                let path = folder.join(format!("frame-{frame:06}.jpg"));
                let jpeg = source.bytes(offset, length as usize)?;
                std::fs::write(&path, &*jpeg)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                written += 1;
            }
            Step::Bad(_) | Step::Searching => {}
            Step::NeedMore | Step::End => break,
        }
    }
    let movie = arguments.movie.display();
    if frame == 0 {
        bail!("{movie} contains no frame; to see why: mjpeg-movie check {movie}");
    }
    if written == 0 {
        bail!("frame {first} does not exist: {movie} has {}", counted(frame, "frame"));
    }
    say(&format!("{} written to {}", counted(written, "frame"), folder.display()));
    Ok(ExitCode::SUCCESS)
}
