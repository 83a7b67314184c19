// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie make`: makes a movie from anything that GStreamer can decode.

pub mod background;
mod colours;
mod cut;
mod decoder;
mod encoder;
mod folder;
mod frame_times;
mod input;
mod picture;

use crate::cli::Make;
use crate::output::Output;
use crate::walk::progress_bar;
use crate::{counted, say};
use anyhow::{Context, Result, bail};
use background::with_background;
use colours::with_jfif_colours;
use decoder::{Decoded, Decoder, Encoded};
use encoder::{Encoder, Fitted, Limits};
use frame_times::FrameTimes;
use input::Input;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a pass over the input has ended.
enum Pass {
    /// Completely, or up to the end of a cut input.
    Done,
    /// A picture needs a smaller size: the next pass makes all of them in it.
    Restart,
}

struct Maker<'a> {
    arguments: &'a Make,
    output: Output,
    encoder: Encoder,
    stop: Arc<AtomicBool>,
    frames: u64,
    /// Why the end of the input is missing.
    loss: Option<String>,
    /// Pictures of a folder that cannot be read, and why.
    bad: Vec<String>,
}

pub fn run(arguments: &Make) -> Result<ExitCode> {
    gst::init().context("cannot start GStreamer")?;
    gstmjpegfile::register().context("cannot register the plugin that decodes movies")?;
    let input = Input::of(&arguments.input)?;
    let output = Output::create(&arguments.out, Path::new(&arguments.input), arguments.force)?;
    let limits = Limits {
        bytes: arguments.max_frame_bytes as usize,
        quality: arguments.quality,
        size: arguments.size,
        can_restart: input.can_restart() && output.can_restart(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))
        .context("cannot handle Ctrl-C")?;
    let encoder = Encoder::start(limits)?;
    let mut maker =
        Maker { arguments, output, encoder, stop, frames: 0, loss: None, bad: Vec::new() };
    if let Some(line) = input.skipped() {
        say(&line);
    }
    while let Pass::Restart = maker.make(&input)? {
        maker.restart()?;
    }
    maker.finish(&input)
}

impl Maker<'_> {
    fn make(&mut self, input: &Input) -> Result<Pass> {
        match input {
            Input::Stdin => self.make_video(&Encoded::StandardInput, input),
            Input::Uri(uri) => self.make_video(&Encoded::Uri(uri), input),
            Input::File { uri, is_gif: true, .. } => self.make_video(&Encoded::Gif(uri), input),
            Input::File { uri, .. } => self.make_video(&Encoded::File(uri), input),
            Input::Pictures { files, .. } => self.make_pictures(files),
        }
    }

    fn restart(&mut self) -> Result<()> {
        self.output.restart()?;
        self.encoder.restart();
        self.frames = 0;
        self.loss = None;
        self.bad.clear();
        Ok(())
    }

    fn finish(self, input: &Input) -> Result<ExitCode> {
        let (out, name) = (self.output.shown(), input.to_string());
        if self.frames == 0 {
            bail!("{name} delivered no picture: {out} was not written");
        }
        self.bad.iter().for_each(|bad| say(&format!("{bad}; skipped")));
        if let Some(reductions) = self.encoder.reductions() {
            say(&reductions);
        }
        self.output.finish()?;
        let skipped = match self.bad.len() as u64 {
            0 => String::new(),
            bad => format!(", {} skipped", counted(bad, "unreadable picture")),
        };
        say(&format!("{out}: {} written{skipped}", counted(self.frames, "frame")));
        let stopped = self.stop.load(Ordering::SeqCst);
        let loss = self.loss.or_else(|| input.cut().filter(|_| !stopped));
        if let Some(loss) = &loss {
            say(&format!("mjpeg-movie: {loss}"));
        }
        let is_complete = loss.is_none() && self.bad.is_empty();
        Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn make_video(&mut self, encoded: &Encoded, input: &Input) -> Result<Pass> {
        let stop = self.stop.clone();
        let decoder = Decoder::start(encoded, &input.to_string(), &stop)?;
        let bar = progress_bar(0, "{pos} of {len} s");
        let mut times = FrameTimes::new(self.arguments.framerate);
        let mut newest: Option<gst::Sample> = None;
        // When the newest picture starts and ends. avdec_gif gives all pictures the first one's time.
        let mut previous: (u64, Option<u64>) = (0, None);
        loop {
            match decoder.next() {
                Decoded::Picture(picture) => {
                    let time =
                        running_time(&picture).filter(|it| *it > previous.0 || newest.is_none());
                    let time = time.or(previous.1);
                    previous.0 = time.unwrap_or(previous.0);
                    previous.1 = time.and_then(|it| it.checked_add(duration_of(&picture)?));
                    if newest.is_none()
                        && let Some(seconds) = decoder.duration()
                    {
                        bar.set_length(seconds.max(1));
                    }
                    bar.set_position(time.unwrap_or_default() / 1_000_000_000);
                    let count = times.next_picture(time);
                    if let Some(before) = newest.replace(picture)
                        && let Pass::Restart = self.write(before, count)?
                    {
                        return Ok(Pass::Restart);
                    }
                }
                Decoded::Failed(error) if newest.is_none() => return Err(error),
                Decoded::Failed(error) => {
                    self.loss = Some(format!(
                        "{error}; the movie ends after the pictures before this error"
                    ));
                    break;
                }
                Decoded::End | Decoded::Stopped => break,
            }
            // A live input may take long to end: the pictures so far are enough.
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
        }
        bar.finish_and_clear();
        let Some(last) = newest else { return Ok(Pass::Done) };
        let count = times.end(duration_of(&last));
        self.write(last, count)
    }

    /// Decodes each picture in a pipeline of its own, so that formats may be mixed; scales all to the
    /// size of the first.
    fn make_pictures(&mut self, files: &[PathBuf]) -> Result<Pass> {
        let bar = progress_bar(files.len() as u64, "{pos} of {len} pictures");
        for file in files {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            match picture::read(file, &self.stop) {
                Ok(Some(picture)) => {
                    if let Pass::Restart = self.write(picture, 1)? {
                        return Ok(Pass::Restart);
                    }
                }
                Ok(None) => break,
                Err(error) if self.arguments.skip_bad => self.bad.push(crate::with_causes(&error)),
                Err(error) if files.len() == 1 => return Err(error),
                Err(error) => bail!(
                    "{}; to make the movie without the pictures that cannot be read: --skip-bad",
                    crate::with_causes(&error)
                ),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Pass::Done)
    }

    /// Writes a picture as `count` frames.
    fn write(&mut self, picture: gst::Sample, count: u64) -> Result<Pass> {
        if count == 0 {
            return Ok(Pass::Done);
        }
        let picture = with_background(with_jfif_colours(picture)?, self.arguments.background)?;
        let size = size_in_square_pixels(&picture)?;
        let jpeg = match self.encoder.fit(&picture, size)? {
            Fitted::Jpeg(jpeg) => jpeg,
            Fitted::Restart => return Ok(Pass::Restart),
        };
        for _ in 0..count {
            self.output.write_frame(&jpeg)?;
            self.frames += 1;
        }
        Ok(Pass::Done)
    }
}

fn duration_of(picture: &gst::Sample) -> Option<u64> {
    picture.buffer()?.duration().map(gst::ClockTime::nseconds)
}

fn running_time(picture: &gst::Sample) -> Option<u64> {
    let time = picture.buffer()?.pts()?;
    let segment = picture.segment().and_then(|it| it.downcast_ref::<gst::ClockTime>());
    let time = segment.and_then(|it| it.to_running_time(time)).unwrap_or(time);
    Some(time.nseconds())
}

/// Width and height of a picture as it is shown, in square pixels.
fn size_in_square_pixels(picture: &gst::Sample) -> Result<(u16, u16)> {
    let caps = picture.caps().and_then(|caps| caps.structure(0)).context("no caps")?;
    let (width, height) = (caps.get::<i32>("width")?, caps.get::<i32>("height")?);
    let ratio = caps.get::<gst::Fraction>("pixel-aspect-ratio");
    let (wide, high) = ratio.map_or((1, 1), |it| (it.numer(), it.denom()));
    let (width, height, wide, high) =
        (i64::from(width), i64::from(height), i64::from(wide), i64::from(high));
    let (width, height) = match (wide, high) {
        (1.., 1..) if wide > high => (width * wide / high, height),
        (1.., 1..) => (width, height * high / wide),
        _ => (width, height),
    };
    let side = |side: i64| {
        let side = u16::try_from(side).ok().filter(|it| (1..=65_500).contains(it));
        side.with_context(|| format!("JPEG images cannot have {width}x{height} pixels"))
    };
    Ok((side(width)?, side(height)?))
}
