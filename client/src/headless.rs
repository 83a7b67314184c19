// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts, saves, exits: the face for scripts.

use crate::cli::Arguments;
use crate::player::{Exchange, Player, State, save_rgb};
use anyhow::{Context, Result};
use gst::prelude::*;
use gst_video::prelude::*;
use gstmjpegfile::labrtspsrc::SCHEME;
use mjpeg_program::log;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the limits are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How much longer than the source's own limits a lab session may take.
const LAB_SLACK: Duration = Duration::from_secs(1);

/// What is known of the rendered frames.
#[derive(Debug, Default)]
struct Seen {
    frames: u64,
    size: Option<(u32, u32)>,
    first: Option<Instant>,
    last: Option<Instant>,
    failed: Option<String>,
}

/// The summary.
#[derive(Debug, Serialize)]
struct Summary {
    frames: u64,
    lost: u64,
    width: u32,
    height: u32,
    first_frame_ms: Option<f64>,
    seconds: f64,
    bits_per_second: f64,
}

pub fn run(player: &Player, source: &str, arguments: &Arguments) -> Result<ExitCode> {
    if let Some(folder) = &arguments.save {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    player.set_video_sink(&sink(player, &seen, arguments)?);
    let main_loop = glib::MainLoop::new(None, false);
    let error = Rc::new(RefCell::new(None));
    let (quit, slot) = (main_loop.clone(), error.clone());
    player.connect_error(move |failure| {
        slot.replace(Some(failure.text.clone()));
        quit.quit();
    });
    let quit = main_loop.clone();
    player.connect_end_of_movie(move || quit.quit());
    let first = Cell::new(true);
    player.connect_state(move |player| {
        if player.state() == State::Ready && first.replace(false) {
            player.command("play");
        }
    });

    // A lab server is asked in several forms, each with its own time.
    let asked = Rc::new(Cell::new(Instant::now()));
    let (slot_asked, explain) = (asked.clone(), arguments.explain);
    player.connect_exchange(move |exchange| {
        slot_asked.set(Instant::now());
        // A standard request is shown whole by its reply.
        if explain && !matches!(exchange, Exchange::RtspRequest(_)) {
            log::say(&exchange.to_string());
        }
    });
    let begin = Instant::now();
    let (quit, slot, watched) = (main_loop.clone(), error.clone(), seen.clone());
    let (frames, seconds) = (arguments.frames, arguments.seconds.map(Duration::from_secs_f64));
    let timeout = Duration::from_secs_f64(arguments.timeout);
    // The source's own limits, which say more, come first.
    let patience = if source.starts_with(SCHEME) { timeout + LAB_SLACK } else { timeout };
    player.every(LOOK, "headless-timer", move |_| {
        let seen = lock(&watched);
        let enough = frames.is_some_and(|frames| seen.frames >= frames)
            || seconds.zip(seen.first).is_some_and(|(limit, first)| first.elapsed() >= limit);
        if let Some(text) = &seen.failed {
            slot.replace(Some(text.clone()));
        } else if seen.last.unwrap_or(begin).max(asked.get()).elapsed() > patience && !enough {
            slot.replace(Some(format!("no new frame within {} s", timeout.as_secs_f64())));
        } else if !enough {
            return glib::ControlFlow::Continue;
        }
        quit.quit();
        glib::ControlFlow::Continue
    });
    player.command("setup");
    if error.borrow().is_none() {
        main_loop.run();
    }
    let statistics = player.statistics();
    player.command("teardown");

    let seen = lock(&seen);
    let seconds =
        seen.last.zip(seen.first).map_or(0.0, |(last, first)| (last - first).as_secs_f64());
    let (width, height) = seen.size.unwrap_or_default();
    let summary = Summary {
        frames: seen.frames,
        lost: statistics.lost,
        width,
        height,
        first_frame_ms: seen.first.map(|first| (first - begin).as_secs_f64() * 1000.0),
        seconds,
        bits_per_second: rate(statistics.bytes, seconds),
    };
    summary.print(arguments.json).context("cannot write to standard output")?;
    let error = error.take().or_else(|| (seen.frames == 0).then(|| "no frame came".to_owned()));
    if let Some(text) = error {
        tracing::error!("{source}: {text}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Bits a second; 0 where nothing was measured.
fn rate(bytes: u64, seconds: f64) -> f64 {
    // Byte counts are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Summary {
    #[allow(clippy::print_stdout)] // The program's product.
    fn print(&self, json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer(&mut out, self)?;
            writeln!(out)?;
        } else {
            let first = self.first_frame_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
            writeln!(
                out,
                "{} frames of {}x{} in {:.2} s, first after {first}, {} RTP packets lost, {:.0} kbit/s",
                self.frames,
                self.width,
                self.height,
                self.seconds,
                self.lost,
                self.bits_per_second / 1000.0
            )?;
        }
        Ok(())
    }
}

/// A fakesink that keeps time; with `--save` behind a conversion to RGB.
fn sink(player: &Player, seen: &Arc<Mutex<Seen>>, arguments: &Arguments) -> Result<gst::Element> {
    let fakesink = gst::ElementFactory::make("fakesink")
        .property("sync", true)
        .property("signal-handoffs", true)
        .build()?;
    let (seen, save, limit) = (seen.clone(), arguments.save.clone(), arguments.frames);
    player.borders().on_signal(&fakesink, "handoff", "headless-handoff", move |values| {
        let buffer = values.get(1)?.get::<gst::Buffer>().ok()?;
        let caps = values.get(2)?.get::<gst::Pad>().ok()?.current_caps()?;
        let info = gst_video::VideoInfo::from_caps(&caps).ok()?;
        let mut seen = lock(&seen);
        if limit.is_some_and(|limit| seen.frames >= limit) {
            return None;
        }
        seen.frames += 1;
        seen.size = Some((info.width(), info.height()));
        let now = Instant::now();
        seen.first.get_or_insert(now);
        seen.last = Some(now);
        if let Some(folder) = &save {
            let path = folder.join(format!("frame-{:06}.png", seen.frames));
            if let Err(error) = write_png(&path, &buffer, &info) {
                seen.failed.get_or_insert(format!("cannot write {}: {error:#}", path.display()));
            }
        }
        None
    });
    if arguments.save.is_none() {
        return Ok(fakesink);
    }
    let caps = gst::Caps::builder("video/x-raw").field("format", "RGB").build();
    let convert = gst::ElementFactory::make("videoconvert").build()?;
    let filter = gst::ElementFactory::make("capsfilter").property("caps", caps).build()?;
    let bin = gst::Bin::new();
    bin.add_many([&convert, &filter, &fakesink])?;
    gst::Element::link_many([&convert, &filter, &fakesink])?;
    let target = convert.static_pad("sink").context("videoconvert has no sink pad")?;
    bin.add_pad(&gst::GhostPad::with_target(&target)?)?;
    Ok(bin.upcast())
}

fn write_png(path: &Path, buffer: &gst::Buffer, info: &gst_video::VideoInfo) -> Result<()> {
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info)
        .map_err(|_| anyhow::anyhow!("the frame cannot be read"))?;
    let row = info.width() as usize * 3;
    let stride = usize::try_from(frame.plane_stride().first().copied().unwrap_or(0))?.max(row);
    let plane = frame.plane_data(0)?;
    let rows = plane.chunks(stride).take(info.height() as usize);
    let packed: Vec<u8> = rows.flat_map(|line| line.iter().take(row)).copied().collect();
    save_rgb(path, info.width(), info.height(), &packed)?;
    Ok(())
}
