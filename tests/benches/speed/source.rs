// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpegfilesrc ! fakesink`, compared with GStreamer's own sources of the same frames.

use crate::{ms, spread};
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::programs::program;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// 983 MB: seconds for the slowest row.
const FRAMES: u32 = 60_000;
const DIFFERENT: u32 = 500;
const FRAME_BYTES: usize = 16 * 1024;
const ROUNDS: usize = 7;

pub fn run() -> Result<()> {
    let folder = Folder::new()?;
    let images = images()?;
    let images: Vec<Vec<u8>> = images.iter().cycle().take(FRAMES as usize).cloned().collect();
    let bytes = images.iter().map(Vec::len).sum::<usize>() / images.len();
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let plain = folder.file("plain.mjpg", &images.concat())?;
    drop(images);
    let matroska = folder.path().join("movie.mkv");
    let (movie, plain, matroska) = (text(&movie), text(&plain), text(&matroska));
    play(&format!("mjpegfilesrc location={movie} ! matroskamux ! filesink location={matroska}"))?;

    let lines = [
        format!("mjpegfilesrc location={movie} ! fakesink"),
        format!("filesrc location={movie} ! mjpegfileparse ! fakesink"),
        format!("filesrc location={plain} ! jpegparse ! fakesink"),
        format!("filesrc location={matroska} ! matroskademux ! fakesink"),
    ];
    let mut times = vec![Vec::new(); lines.len() + 1];
    for _ in 0..ROUNDS {
        for (line, times) in lines.iter().zip(&mut times) {
            times.push(play(line)?);
        }
        times[lines.len()].push(read_only(Path::new(&movie), bytes)?);
    }
    println!("\n{FRAMES} cached frames of {bytes} bytes, {ROUNDS} rounds side by side\n");
    println!("| pipeline | median ms (least, most) | frames a second | ours is faster by |");
    println!("|---|---|---|---|");
    let names = [
        "`mjpegfilesrc ! fakesink`",
        "`filesrc ! mjpegfileparse ! fakesink`",
        "`filesrc ! jpegparse ! fakesink`",
        "`filesrc ! matroskademux ! fakesink`",
        "the limit: one pread for each frame, nothing else",
    ];
    let mut ours = None;
    for (name, times) in names.iter().zip(&mut times) {
        let (median, least, most) = spread(times).context("no rounds")?;
        let ours = *ours.get_or_insert(median);
        let rate = f64::from(FRAMES) / median.as_secs_f64();
        let ratio = median.as_secs_f64() / ours.as_secs_f64();
        let (median, least, most) = (ms(median), ms(least), ms(most));
        println!("| {name} | {median:.0} ({least:.0}, {most:.0}) | {rate:.0} | {ratio:.2} |");
    }
    check(Path::new(&movie))?;
    make()
}

/// The speed of `mjpeg-movie check`.
fn check(movie: &Path) -> Result<()> {
    let bytes = std::fs::metadata(movie)?.len();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let status = program("mjpeg-movie")?.args(["check", "--quiet"]).arg(movie).status()?;
        anyhow::ensure!(status.success(), "check: {status}");
        times.push(start.elapsed());
    }
    let (median, ..) = spread(&mut times).context("no rounds")?;
    // Far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let rate = bytes as f64 / median.as_secs_f64() / 1e9;
    println!("\n`mjpeg-movie check`, the same movie, cached: {rate:.1} GB/s");
    Ok(())
}

/// `mjpeg-movie make`, compared with the same encoder and a fakesink.
fn make() -> Result<()> {
    const COUNT: u32 = 600;
    let folder = Folder::new()?;
    let raw = folder.path().join("raw.avi");
    let caps = "video/x-raw,format=I420,width=1280,height=720,framerate=20/1";
    let source = format!("videotestsrc num-buffers={COUNT} pattern=ball ! {caps}");
    play(&format!("{source} ! avimux ! filesink location={}", text(&raw)))?;
    let (mut limit, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let input = format!("filesrc location={} ! avidemux", text(&raw));
        limit.push(play(&format!("{input} ! queue ! jpegenc quality=85 ! fakesink"))?);
        let start = Instant::now();
        let out = folder.path().join("out.mjpeg");
        let mut make = program("mjpeg-movie")?;
        make.args(["make", "--force"]).arg(&raw).arg(out).stderr(std::process::Stdio::null());
        anyhow::ensure!(make.status()?.success(), "make");
        ours.push(start.elapsed());
    }
    let (limit, ..) = spread(&mut limit).context("no rounds")?;
    let (ours, ..) = spread(&mut ours).context("no rounds")?;
    println!(
        "\n`mjpeg-movie make`, {COUNT} raw frames of 1280x720: {:.0} ms, the encoder alone {:.0} ms ({:.2} times)",
        ms(ours),
        ms(limit),
        ours.as_secs_f64() / limit.as_secs_f64()
    );
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// JPEG images of a moving picture, of about [`FRAME_BYTES`] each. They differ, because jpegparse is
/// more than twice as fast on frames of one length.
fn images() -> Result<Vec<Vec<u8>>> {
    let make = |quality: u32, count: u32| {
        movies::pull_all(&format!(
            "videotestsrc num-buffers={count} pattern=zone-plate kx2=8 ky2=8 kt=7 \
             ! video/x-raw,format=I420,width=384,height=288 ! jpegenc quality={quality} \
             ! appsink name=out sync=false"
        ))
    };
    let off = |quality: u32| {
        let first = make(quality, 1).unwrap_or_default().concat();
        first.len().abs_diff(FRAME_BYTES)
    };
    let quality = (50..100).step_by(2).min_by_key(|quality| off(*quality));
    make(quality.context("no quality")?, DIFFERENT)
}

/// The time from the start of a pipeline to its end.
fn play(line: &str) -> Result<Duration> {
    let pipeline = gst::parse::launch(line)?;
    let bus = pipeline.bus().context("no bus")?;
    let start = Instant::now();
    pipeline.set_state(gst::State::Playing)?;
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &types);
    let time = start.elapsed();
    pipeline.set_state(gst::State::Null)?;
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(time),
        other => bail!("{line}: {other:?}"),
    }
}

fn read_only(movie: &Path, frame: usize) -> Result<Duration> {
    let file = File::open(movie)?;
    let mut buf = vec![0; frame];
    let start = Instant::now();
    for number in 0..u64::from(FRAMES) {
        let record = 5 + frame as u64;
        file.read_exact_at(&mut buf, number * record + 5)?;
        std::hint::black_box(&buf);
    }
    Ok(start.elapsed())
}
