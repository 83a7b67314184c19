// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie make`: makes a movie from anything that GStreamer can decode.

use crate::cli::Make;
use crate::output::Output;
use crate::walk::progress_bar;
use crate::{counted, pictures, say};
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gstmjpegfile::jpeg::{encode_within, frame_size};
use indicatif::ProgressBar;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often Ctrl-C and errors are checked while no image arrives.
const POLL_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// Messages about frames that were encoded again; further ones are only counted.
const MAX_LISTED: u64 = 10;

/// Writes frames, each within a limit of bytes.
struct LimitedOutput {
    output: Output,
    frames: u64,
    shrunk: u64,
    limit: usize,
}

impl LimitedOutput {
    fn write_frame(&mut self, jpeg: &[u8]) -> Result<()> {
        self.frames += 1;
        let (frame, limit, length) = (self.frames, self.limit, jpeg.len());
        if length <= limit {
            return self.output.write_frame(jpeg);
        }
        let Some(smaller) = encode_within(jpeg, limit) else {
            bail!(
                "frame {frame} has {length} bytes and cannot be encoded in {limit}: choose a smaller \
                 --size or a larger --max-frame-bytes"
            );
        };
        self.shrunk += 1;
        if self.shrunk <= MAX_LISTED {
            let smaller = smaller.len();
            say(&format!(
                "frame {frame}: {length} bytes, encoded again at lower quality in {smaller} (limit \
                 {limit})"
            ));
        }
        self.output.write_frame(&smaller)
    }
}

pub fn run(arguments: &Make) -> Result<ExitCode> {
    gst::init().context("cannot start GStreamer")?;
    gstmjpegfile::register().context("cannot register the plugin that decodes movies")?;
    let input = Path::new(&arguments.input);
    let mut output = LimitedOutput {
        output: Output::create(&arguments.out, input, arguments.force)?,
        frames: 0,
        shrunk: 0,
        limit: arguments.max_frame_bytes as usize,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))
        .context("cannot handle Ctrl-C")?;
    if input.is_dir() {
        encode_pictures(input, arguments, &mut output, &stop)?;
    } else {
        encode_video(arguments, &mut output, &stop)?;
    }
    let out = arguments.out.display();
    if output.frames == 0 {
        bail!("{} delivered no picture: {out} was not written", shown(&arguments.input));
    }
    if output.shrunk > MAX_LISTED {
        let more = counted(output.shrunk - MAX_LISTED, "more frame");
        say(&format!("{more} encoded again at lower quality"));
    }
    let frames = counted(output.frames, "frame");
    output.output.finish()?;
    say(&format!("{out}: {frames} written"));
    Ok(ExitCode::SUCCESS)
}

/// The input as messages name it.
fn shown(input: &str) -> &str {
    if input == "-" { "standard input" } else { input }
}

/// The end of each pipeline: raw video to JPEG images with standard Huffman tables, as jpegenc writes.
fn encoder(arguments: &Make, size: Option<(u16, u16)>) -> String {
    let size = size
        .map_or(String::new(), |(w, h)| format!(",width={w},height={h},pixel-aspect-ratio=1/1"));
    format!(
        "videoconvert ! videoscale ! video/x-raw,format=I420{size} ! jpegenc quality={} ! appsink \
         name=out sync=false max-buffers=8",
        arguments.quality
    )
}

fn encode_video(arguments: &Make, output: &mut LimitedOutput, stop: &AtomicBool) -> Result<()> {
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
        let source = pipeline.by_name("in").context("the pipeline has no element named in")?;
        source.set_property("uri", uri);
        pipeline
    };
    pull_images(&pipeline, shown(&arguments.input), stop, |jpeg| output.write_frame(jpeg))
}

fn parse(line: &str) -> Result<gst::Pipeline> {
    let bin = gst::parse::launch(line).context(
        "cannot create the GStreamer pipeline (are GStreamer's base and good plugins installed?)",
    )?;
    bin.downcast::<gst::Pipeline>().map_err(|_| anyhow::anyhow!("not a pipeline: {line}"))
}

fn uri_of(input: &str) -> Result<String> {
    if input.contains("://") {
        return Ok(input.to_owned());
    }
    if input.is_empty() {
        bail!("INPUT is empty: name a file, a URI or a folder");
    }
    let cannot_open = || format!("cannot open {input}");
    let path = Path::new(input).canonicalize().with_context(cannot_open)?;
    Ok(gst::glib::filename_to_uri(path, None).with_context(cannot_open)?.into())
}

/// Passes each image of the pipeline to `write`, until the end of the input, an error or Ctrl-C.
fn pull_images(
    pipeline: &gst::Pipeline,
    input: &str,
    stop: &AtomicBool,
    mut write: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let out = pipeline.by_name("out").and_then(|out| out.downcast::<gst_app::AppSink>().ok());
    let out = out.context("the pipeline has no appsink named out")?;
    let bus = pipeline.bus().context("the pipeline has no bus")?;
    let bar = progress_bar(0, "{pos} of {len} s");
    let done = (|| {
        pipeline.set_state(gst::State::Playing).ok();
        let mut stopped = false;
        loop {
            if let Some(sample) = out.try_pull_sample(POLL_INTERVAL) {
                let buffer = sample.buffer().context("the sample has no buffer")?;
                write(&buffer.map_readable()?)?;
                update_progress(&bar, pipeline, buffer.pts());
                // A live input may take long to end: the images so far are enough.
                if stopped {
                    return Ok(());
                }
            } else if out.is_eos() {
                return Ok(());
            }
            if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) {
                return Err(pipeline_error(input, &message));
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

fn update_progress(bar: &ProgressBar, pipeline: &gst::Pipeline, time: Option<gst::ClockTime>) {
    if bar.length() == Some(0)
        && let Some(duration) = pipeline.query_duration::<gst::ClockTime>()
    {
        bar.set_length(duration.seconds().max(1));
    }
    if let Some(time) = time {
        bar.set_position(time.seconds());
    }
}

fn pipeline_error(input: &str, message: &gst::Message) -> anyhow::Error {
    let gst::MessageView::Error(error) = message.view() else {
        return anyhow::anyhow!("cannot decode {input}: unknown error");
    };
    let debug = error.debug().unwrap_or_default();
    let text = error.error().to_string();
    let text = text.trim_end_matches('.');
    let detail = debug.lines().skip(1).last().unwrap_or_default().trim();
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    anyhow::anyhow!("cannot decode {input}: {text}{detail}")
}

/// Decodes each picture in a pipeline of its own, so that formats may be mixed; scales all to the size
/// of the first.
fn encode_pictures(
    folder: &Path,
    arguments: &Make,
    output: &mut LimitedOutput,
    stop: &AtomicBool,
) -> Result<()> {
    let files = pictures::list_files(folder)?;
    let bar = progress_bar(files.len() as u64, "{pos} of {len} pictures");
    let mut size = arguments.size;
    for file in files {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let line = format!("filesrc name=in ! decodebin ! {}", encoder(arguments, size));
        let pipeline = parse(&line)?;
        let source = pipeline.by_name("in").context("the pipeline has no element named in")?;
        source.set_property("location", file.display().to_string());
        let mut first = true;
        let name = file.display().to_string();
        pull_images(&pipeline, &name, stop, |jpeg| {
            size = size.or_else(|| frame_size(jpeg));
            if std::mem::take(&mut first) { output.write_frame(jpeg) } else { Ok(()) }
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}
