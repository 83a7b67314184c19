// SPDX-License-Identifier: MIT OR Apache-2.0
//! The front end for scripts: counts and saves frames, prints a summary, and exits.

use crate::cli::Arguments;
use crate::login;
use crate::player::{Exchange, Player, Protocol, blank_password, lock, packed_rows, save_rgb};
use crate::reconnection_text;
use crate::termination::Termination;
use anyhow::{Context, Result, ensure};
use gst::prelude::*;
use mjpeg_program::log;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Interval between checks of the limits.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The errors of the source and the player, which have the same timeout, come first: they are more specific.
const GRACE_PERIOD: Duration = Duration::from_millis(250);

/// Counts and times of the rendered frames.
#[derive(Debug, Default, Clone)]
struct RenderedFrames {
    count: u64,
    size: Option<(u32, u32)>,
    first: Option<Instant>,
    last: Option<Instant>,
    /// The session is being ended: the frames that follow are not saved. While a frame is, the sink holds
    /// the lock that its change of state needs.
    ended: bool,
    /// Why a frame was not saved.
    save_error: Option<String>,
}

/// Printed at the end, as text or JSON.
#[derive(Debug, Default, Serialize)]
struct Summary {
    frames: u64,
    /// RTP packets lost; what follows them is `null` for a source without RTP.
    lost: u64,
    received: Option<u64>,
    repeated: Option<u64>,
    late: Option<u64>,
    undecoded: u64,
    jitter_ms: Option<f64>,
    longest_gap_ms: Option<f64>,
    /// How often a lost session was opened again.
    reconnects: u64,
    width: u32,
    height: u32,
    first_frame_ms: Option<f64>,
    seconds: f64,
    bits_per_second: f64,
    /// Why it ended early, in one line.
    error: Option<String>,
}

/// Reports that a source cannot be opened, as the summary would.
pub fn report_unusable(error: &anyhow::Error, arguments: &Arguments) -> Result<()> {
    let error = Some(format!("{error:#}"));
    if arguments.json {
        Summary { error, ..Summary::default() }.print(true)?;
    }
    Ok(())
}

pub fn run(player: &Player, source: &str, arguments: &Arguments) -> Result<ExitCode> {
    if let Some(folder) = &arguments.save {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let rendered = Arc::new(Mutex::new(RenderedFrames::default()));
    start_logs(player, source, arguments)?;
    player.set_video_sink(&sink(player, &rendered, arguments)?);
    let main_loop = glib::MainLoop::new(None, false);
    let error = Rc::new(RefCell::new(None));
    let (quit, slot, named) = (main_loop.clone(), error.clone(), source.to_owned());
    player.connect_error(move |failure| {
        slot.replace(Some(login::text(failure, &named)));
        quit.quit();
    });
    let reconnects = count_reconnects(player);
    let quit = main_loop.clone();
    player.connect_end_of_movie(move || quit.quit());
    player.play_when_first_ready();
    if arguments.explain {
        explain(player);
    }
    let termination = Rc::new(Termination::new()?);
    let start = Instant::now();
    let (quit, slot, watched) = (main_loop.clone(), error.clone(), rendered.clone());
    let ends = termination.clone();
    let (frames, seconds) = (arguments.frames, arguments.seconds.map(Duration::from_secs_f64));
    let timeout = Duration::from_secs_f64(arguments.timeout);
    let reconnect = arguments.reconnect;
    player.every(CHECK_INTERVAL, "headless-timer", move |player| {
        let rendered = lock(&watched).clone();
        let enough = frames.is_some_and(|frames| rendered.count >= frames)
            || seconds.zip(rendered.first).is_some_and(|(limit, first)| first.elapsed() >= limit);
        let last = rendered.last.unwrap_or(start);
        if ends.is_requested() {
            // Not an error: the summary and TEARDOWN follow.
        } else if let Some(text) = rendered.save_error {
            slot.replace(Some(text));
        } else if last.elapsed() > timeout + GRACE_PERIOD
            && !enough
            && !(reconnect && rendered.count > 0)
        {
            slot.replace(Some(player.silence(timeout).text));
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
    let longest_gap = player.longest_gap();
    lock(&rendered).ended = true;
    player.command("teardown");
    let saved = finish_logs(player, arguments);

    let rendered = lock(&rendered).clone();
    let seconds =
        rendered.last.zip(rendered.first).map_or(0.0, |(last, first)| (last - first).as_secs_f64());
    let (width, height) = rendered.size.unwrap_or_default();
    let error =
        error.take().or_else(|| (rendered.count == 0).then(|| "no frame was received".to_owned()));
    // A signal is not an error: it may come before the first frame.
    let error = error.filter(|_| !termination.is_requested());
    let error = error.or_else(|| saved.err().map(|error| format!("{error:#}")));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let has_packets = player.protocol() != Protocol::None;
    let summary = Summary {
        frames: rendered.count,
        lost: statistics.lost,
        received: has_packets.then_some(statistics.received),
        repeated: has_packets.then_some(statistics.repeated),
        late: has_packets.then_some(statistics.late),
        undecoded: statistics.undecoded,
        jitter_ms: has_packets.then(|| milliseconds(Duration::from_nanos(statistics.jitter))),
        longest_gap_ms: has_packets.then(|| milliseconds(longest_gap)),
        reconnects: reconnects.get(),
        width,
        height,
        first_frame_ms: rendered.first.map(|first| (first - start).as_secs_f64() * 1000.0),
        seconds,
        bits_per_second: bit_rate(statistics.bytes, seconds),
        error: error.clone(),
    };
    summary.print(arguments.json).context("cannot write to standard output")?;
    if let Some(code) = termination.exit_code() {
        return Ok(code);
    }
    if let Some(text) = error {
        tracing::error!("{}: {text}", blank_password(source));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says when a lost session is opened again, and counts the losses.
fn count_reconnects(player: &Player) -> Rc<Cell<u64>> {
    let reconnects = Rc::new(Cell::new(0));
    let count = reconnects.clone();
    player.connect_reconnecting(move |failure, attempt, wait| {
        if attempt == 1 {
            count.set(count.get() + 1);
        }
        log::say(&reconnection_text(failure, attempt, wait));
    });
    reconnects
}

/// Explains each step of the exchange.
fn explain(player: &Player) {
    player.connect_exchange(|exchange| {
        // The reply to a standard request shows the complete request.
        if !matches!(exchange, Exchange::RtspRequest(_)) {
            log::say(&exchange.to_string());
        }
    });
}

/// Starts to log frames and to record packets, if the arguments say so.
fn start_logs(player: &Player, source: &str, arguments: &Arguments) -> Result<()> {
    let has_packets = player.protocol() != Protocol::None;
    let source = blank_password(source);
    if let Some(path) = &arguments.frames_csv {
        ensure!(has_packets, "--frames-csv describes packets, but {source} is not played over RTP");
        player.start_frame_log(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    ensure!(
        has_packets || arguments.packets.is_empty(),
        "--packets saves packets, but {source} is not played over RTP"
    );
    player.start_capture(&arguments.packets)
}

/// Ends the log of frames, and saves the packets.
fn finish_logs(player: &Player, arguments: &Arguments) -> Result<()> {
    let logged = player.finish_frame_log();
    let saved = player.save_packets(&arguments.packets);
    if let Some(path) = &arguments.frames_csv {
        logged.with_context(|| format!("cannot write {}", path.display()))?;
    }
    saved
}

/// Average in bits per second; 0 if `seconds` is 0.
fn bit_rate(bytes: u64, seconds: f64) -> f64 {
    // Byte counts are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 }
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
            let noun = if self.frames == 1 { "frame" } else { "frames" };
            let packets = if self.lost == 1 { "packet" } else { "packets" };
            writeln!(
                out,
                "{} {noun} of {}x{} in {:.2} s, first after {first}, {} RTP {packets} lost, {:.0} kbit/s",
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

/// Makes a fakesink that renders frames at their times. With `--save` a conversion to RGB comes
/// before it.
fn sink(
    player: &Player,
    rendered: &Arc<Mutex<RenderedFrames>>,
    arguments: &Arguments,
) -> Result<gst::Element> {
    let fakesink = gst::ElementFactory::make("fakesink")
        .property("sync", true)
        .property("signal-handoffs", true)
        .build()?;
    let (rendered, save, limit) = (rendered.clone(), arguments.save.clone(), arguments.frames);
    player.borders().on_signal(&fakesink, "handoff", "headless-handoff", move |values| {
        let buffer = values.get(1)?.get::<gst::Buffer>().ok()?;
        let caps = values.get(2)?.get::<gst::Pad>().ok()?.current_caps()?;
        let info = gst_video::VideoInfo::from_caps(&caps).ok()?;
        let (number, ended) = {
            let rendered = lock(&rendered);
            (rendered.count + 1, rendered.ended)
        };
        if ended || limit.is_some_and(|limit| number > limit) {
            return None;
        }
        let now = Instant::now();
        let saved = save.as_ref().map_or(Ok(()), |folder| {
            let path = folder.join(format!("frame-{number:06}.png"));
            write_png(&path, &buffer, &info)
                .with_context(|| format!("cannot write {}", path.display()))
        });
        // A frame is counted when it has been saved: the count ends the session.
        let mut rendered = lock(&rendered);
        rendered.count = number;
        rendered.size = Some((info.width(), info.height()));
        rendered.first.get_or_insert(now);
        rendered.last = Some(now);
        if let Err(error) = saved {
            rendered.save_error.get_or_insert(format!("{error:#}"));
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
        .map_err(|_| anyhow::anyhow!("the frame's memory cannot be mapped"))?;
    let rgb: Vec<u8> = packed_rows(&frame, frame.plane_data(0)?, 3).flatten().copied().collect();
    save_rgb(path, info.width(), info.height(), &rgb)?;
    Ok(())
}
