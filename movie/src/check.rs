// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie check`: lists every problem in a movie.

use crate::cli::Check;
use crate::walk::{Item, Source, walk};
use crate::{counted, print_line, say};
use anyhow::Result;
use gstmjpegfile::jpeg::{Header, ImageEnd, image_end};
use gstmjpegfile::movie::{BadRecord, BadSpan, HEAD_LEN, LikelyFormat, SOI};
use std::process::ExitCode;

/// Problems that are listed; further ones are only counted.
const MAX_LISTED: u64 = 1000;

#[derive(Debug, Default)]
struct Checker {
    frames: u64,
    problems: u64,
    quiet: bool,
    /// The movie has no lengths, which is one of the problems.
    has_other_form: bool,
}

impl Checker {
    /// Reports a problem of the next frame.
    fn report(&mut self, offset: u64, problem: &str) -> Result<()> {
        let frame = self.frames + 1;
        self.report_problem(|| format!("frame {frame}, byte {offset}: {problem}"))
    }

    fn report_problem(&mut self, text: impl FnOnce() -> String) -> Result<()> {
        self.problems += 1;
        if self.quiet || self.problems > MAX_LISTED {
            return Ok(());
        }
        print_line(&text())
    }
}

pub fn run(arguments: &Check) -> Result<ExitCode> {
    let source = Source::open(&arguments.movie)?;
    let mut checker = Checker { quiet: arguments.quiet, ..Checker::default() };
    walk(&source, |item| {
        match item {
            Item::Frame { offset, jpeg } => {
                if let Some(problem) = image_problem(jpeg, offset) {
                    checker.report(offset, &problem)?;
                }
                checker.frames += 1;
            }
            Item::Bad(span) => checker.report(span.offset, &span_problem(&span))?,
        }
        Ok(())
    })?;
    if checker.frames == 0 && checker.problems == 0 {
        checker.report(0, "the file is empty")?;
    }
    if let Some(advice) = source.form()?.advice(source.path())
        && checker.frames > 0
    {
        checker.has_other_form = true;
        checker.report_problem(|| advice)?;
    }
    let (frames, problems) = (checker.frames, checker.problems);
    if !checker.quiet {
        if problems > MAX_LISTED {
            print_line(&format!("{} not listed", counted(problems - MAX_LISTED, "problem")))?;
        }
        let path = arguments.movie.display();
        let found = match problems {
            0 => "no problems".to_owned(),
            problems => counted(problems, "problem"),
        };
        let advice = advice(&source, &checker)?;
        say(&format!("{path}: {}, {found}{advice}", counted(frames, "frame")));
    }
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What to do about the problems; empty, or starts with the end of the sentence before it.
fn advice(source: &Source, checker: &Checker) -> Result<String> {
    let path = source.path().display();
    if checker.problems == 0 || source.length() == 0 {
        return Ok(String::new());
    }
    if checker.frames > 0 {
        // The problem of a movie without lengths names the command.
        let only_form = checker.has_other_form && checker.problems == 1;
        let text = format!(". To salvage the good frames: mjpeg-movie repair {path} OUT");
        return Ok(if only_form { String::new() } else { text });
    }
    let head = source.bytes(0, HEAD_LEN)?;
    Ok(match LikelyFormat::of(&head) {
        Some(format) => format!(". This is not a movie: {}", format.advice()),
        None => format!(
            ". This is not a movie; to search it for JPEG images: mjpeg-movie repair {path} OUT"
        ),
    })
}

fn span_problem(span: &BadSpan) -> String {
    match span.first {
        // Says how many bytes there are.
        BadRecord::Tail { .. } => span.first.to_string(),
        first => format!("{first}; {} skipped", counted(span.bytes, "byte")),
    }
}

/// What is wrong with the image of a record, which starts at `offset` in the file. The image is
/// searched for markers, not decoded.
pub fn image_problem(jpeg: &[u8], offset: u64) -> Option<String> {
    let found =
        Header::parse(jpeg).and_then(|header| Ok((header.stray, image_end(jpeg, &header)?)));
    let (stray, end) = match found {
        Err(damage) => return Some(format!("the image is damaged: {damage}")),
        Ok(found) => found,
    };
    if let Some(stray) = stray {
        return Some(format!(
            "stray bytes between the segments of the image at byte {}",
            offset + stray as u64
        ));
    }
    let end = match end {
        ImageEnd::Missing => {
            return Some(
                "the image has no end marker (FF D9): it was truncated or never completed"
                    .to_owned(),
            );
        }
        ImageEnd::Eoi(end) => end,
    };
    let rest = jpeg.get(end..).unwrap_or_default();
    if rest.starts_with(&SOI) {
        Some(format!("another image follows at byte {}", offset + end as u64))
    } else if rest.iter().any(|byte| *byte != 0) {
        Some(format!("{} after the end of the image", counted(rest.len() as u64, "byte")))
    } else {
        None
    }
}
