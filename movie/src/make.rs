// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie of anything that GStreamer decodes.

use crate::cli::Make;
use crate::repair::Output;
use crate::walk::bar;
use crate::{pictures, say};
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gstmjpegfile::jpeg::{encode_within, frame_size};
use gstmjpegfile::movie::FrameWriter;
use indicatif::ProgressBar;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often Ctrl-C and errors are looked at.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// Said one by one; what comes after them is counted.
const LISTED: u64 = 10;

struct Sheet<W: Write> {
    writer: FrameWriter<W>,
    frames: u64,
    shrunk: u64,
    limit: usize,
}

impl<W: Write> Sheet<W> {
    fn write(&mut self, jpeg: &[u8]) -> Result<()> {
        self.frames += 1;
        if jpeg.len() <= self.limit {
            return Ok(self.writer.write_frame(jpeg)?);
        }
        let Some(smaller) = encode_within(jpeg, self.limit) else {
            bail!("frame {} has {} bytes and cannot be made smaller", self.frames, jpeg.len());
        };
        self.shrunk += 1;
        if self.shrunk <= LISTED {
            say(&format!(
                "frame {}: {} bytes, encoded again at lower quality: {}",
                self.frames,
                jpeg.len(),
                smaller.len()
            ));
        }
        Ok(self.writer.write_frame(&smaller)?)
    }
}

pub fn run(arguments: &Make) -> Result<ExitCode> {
    gst::init().context("GStreamer does not start")?;
    let input = Path::new(&arguments.input);
    let output = Output::new(&arguments.out, Some(input), arguments.force)?;
    let mut sheet = Sheet {
        writer: output.writer()?,
        frames: 0,
        shrunk: 0,
        limit: arguments.max_frame_bytes as usize,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;
    if input.is_dir() {
        of_pictures(input, arguments, &mut sheet, &stop)?;
    } else {
        of_video(arguments, &mut sheet, &stop)?;
    }
    if sheet.frames == 0 {
        bail!("no picture came from {}: nothing is written", arguments.input);
    }
    if sheet.shrunk > LISTED {
        say(&format!("and {} more frames were encoded again", sheet.shrunk - LISTED));
    }
    output.keep(sheet.writer, &arguments.out)?;
    say(&format!("{}: {} frames", arguments.out.display(), sheet.frames));
    Ok(ExitCode::SUCCESS)
}

/// From raw video to JPEG, as movies are made here: jpegenc writes standard Huffman tables.
fn encoder(arguments: &Make, size: Option<(u16, u16)>) -> String {
    let size = size
        .map_or(String::new(), |(w, h)| format!(",width={w},height={h},pixel-aspect-ratio=1/1"));
    format!(
        "videoconvert ! videoscale ! video/x-raw,format=I420{size} ! jpegenc quality={} ! appsink \
         name=out sync=false max-buffers=8",
        arguments.quality
    )
}

fn of_video<W: Write>(arguments: &Make, sheet: &mut Sheet<W>, stop: &AtomicBool) -> Result<()> {
    let rate = arguments.framerate;
    let line = |source: &str| {
        format!(
            "{source} ! queue ! videorate ! video/x-raw,framerate=(fraction){rate} ! queue ! {}",
            encoder(arguments, arguments.size)
        )
    };
    let pipeline = if arguments.input == "-" {
        parse(&line("fdsrc fd=0 ! decodebin"))?
    } else {
        let pipeline =
            parse(&line("uridecodebin name=in caps=video/x-raw(ANY) expose-all-streams=false"))?;
        let uri = uri_of(&arguments.input)?;
        let source = pipeline.by_name("in").context("no source")?;
        source.set_property("uri", uri);
        pipeline
    };
    pull(&pipeline, &arguments.input, stop, |jpeg| sheet.write(jpeg))
}

fn parse(line: &str) -> Result<gst::Pipeline> {
    let bin = gst::parse::launch(line).context("a GStreamer element is missing")?;
    bin.downcast::<gst::Pipeline>().map_err(|_| anyhow::anyhow!("no pipeline"))
}

fn uri_of(input: &str) -> Result<String> {
    if input.contains("://") {
        return Ok(input.to_owned());
    }
    let path = Path::new(input).canonicalize().with_context(|| input.to_owned())?;
    Ok(gst::glib::filename_to_uri(path, None)?.into())
}

/// Hands each image on, up to the end, an error, or Ctrl-C, which ends the input.
fn pull(
    pipeline: &gst::Pipeline,
    input: &str,
    stop: &AtomicBool,
    mut image: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let out = pipeline.by_name("out").and_then(|out| out.downcast::<gst_app::AppSink>().ok());
    let (out, bus) = (out.context("no appsink")?, pipeline.bus().context("no bus")?);
    let bar = bar(0, "{pos} of {len} s");
    let done = (|| {
        pipeline.set_state(gst::State::Playing).ok();
        let mut stopped = false;
        loop {
            if let Some(sample) = out.try_pull_sample(LOOK) {
                let buffer = sample.buffer().context("no buffer")?;
                image(&buffer.map_readable()?)?;
                advance(&bar, pipeline, buffer.pts());
                // A live input's end takes its time; what has come is enough.
                if stopped {
                    return Ok(());
                }
            } else if out.is_eos() {
                return Ok(());
            }
            if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
                return Err(failure(input, &message));
            }
            if stop.load(Ordering::SeqCst) {
                if stopped {
                    return Ok(());
                }
                stopped = true;
            }
        }
    })();
    bar.finish_and_clear();
    let _ = pipeline.set_state(gst::State::Null);
    done
}

fn advance(bar: &ProgressBar, pipeline: &gst::Pipeline, time: Option<gst::ClockTime>) {
    if bar.length() == Some(0)
        && let Some(duration) = pipeline.query_duration::<gst::ClockTime>()
    {
        bar.set_length(duration.seconds().max(1));
    }
    if let Some(time) = time {
        bar.set_position(time.seconds());
    }
}

fn failure(input: &str, message: &gst::Message) -> anyhow::Error {
    let gst::MessageView::Error(error) = message.view() else {
        return anyhow::anyhow!("{input}: unknown error");
    };
    let debug = error.debug().unwrap_or_default();
    let detail = debug.lines().skip(1).last().unwrap_or_default().trim().to_owned();
    let detail = if detail.is_empty() { detail } else { format!(" ({detail})") };
    anyhow::anyhow!("{input}: {}{detail}", error.error())
}

/// Each picture by itself, so that kinds may be mixed; all at the first one's size.
fn of_pictures<W: Write>(
    folder: &Path,
    arguments: &Make,
    sheet: &mut Sheet<W>,
    stop: &AtomicBool,
) -> Result<()> {
    let files = pictures::of_folder(folder)?;
    let bar = bar(files.len() as u64, "{pos} of {len} pictures");
    let mut size = arguments.size;
    for file in files {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let line = format!("filesrc name=in ! decodebin ! {}", encoder(arguments, size));
        let pipeline = parse(&line)?;
        let source = pipeline.by_name("in").context("no source")?;
        source.set_property("location", file.display().to_string());
        let mut first = true;
        let name = file.display().to_string();
        pull(&pipeline, &name, stop, |jpeg| {
            size = size.or_else(|| frame_size(jpeg));
            if std::mem::take(&mut first) { sheet.write(jpeg) } else { Ok(()) }
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}
