// SPDX-License-Identifier: MIT OR Apache-2.0
//! A movie of 10 GB: its first frame, its index, and the memory that takes.

use crate::{ms, spread};
use anyhow::{Context, Result};
use gst::prelude::*;
use gstmjpegfile::movie_file::MovieFile;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::programs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const FRAMES: u64 = 650_000;
const FRAME_BYTES: u64 = 15_400;
/// The prefix of the argument of a process that only indexes.
pub const ALONE: &str = "only-index=";
const LIMIT: Duration = Duration::from_mins(2);
const ROUNDS: usize = 5;

pub fn run() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.path().join("huge.mjpeg");
    write(&movie)?;
    // Warms the cache.
    index(&movie)?;
    let (mut first, mut whole, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        first.push(first_frame(&movie)?);
        let (time, bytes) = index_alone(&movie)?;
        whole.push(time);
        memory.push(bytes);
    }
    println!("\n{FRAMES} frames, {:.1} GB, {ROUNDS} rounds, cached\n", size(&movie)?);
    println!("| | median (least, most) |\n|---|---|");
    for (name, times) in [("first frame at the sink", first), ("full index", whole)] {
        let (median, least, most) = spread(&mut times.clone()).context("no rounds")?;
        println!("| {name} | {:.0} ms ({:.0}, {:.0}) |", ms(median), ms(least), ms(most));
    }
    let (median, least, most) = spread(&mut memory).context("no rounds")?;
    println!("| resident memory that the open movie adds | {median} KiB ({least}, {most}) |");
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a size in GB")]
fn size(movie: &Path) -> Result<f64> {
    Ok(std::fs::metadata(movie)?.len() as f64 / 1e9)
}

/// Writes a sparse file: the length prefixes and SOI of all frames, and one complete image.
fn write(path: &Path) -> Result<()> {
    let file = File::create(path)?;
    let image = movies::images(1, "I420")?.pop().context("no image")?;
    for frame in 0..FRAMES {
        let offset = frame * (5 + FRAME_BYTES);
        file.write_all_at(format!("{FRAME_BYTES:05}").as_bytes(), offset)?;
        let bytes: &[u8] = if frame == 0 { &image } else { &[0xff, 0xd8] };
        file.write_all_at(bytes, offset + 5)?;
    }
    file.set_len(FRAMES * (5 + FRAME_BYTES))?;
    Ok(())
}

fn first_frame(movie: &Path) -> Result<Duration> {
    let line = format!("mjpegfilesrc location={} ! appsink name=out sync=false", movie.display());
    let pipeline = gst::parse::launch(&line)?.downcast::<gst::Bin>().ok().context("no bin")?;
    let out = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().context("no appsink")?;
    let start = Instant::now();
    pipeline.set_state(gst::State::Playing)?;
    out.pull_sample()?;
    let time = start.elapsed();
    pipeline.set_state(gst::State::Null)?;
    Ok(time)
}

/// Indexes in a new process, whose memory nothing else has used before.
fn index_alone(movie: &Path) -> Result<(Duration, u64)> {
    let mut child = Command::new(std::env::current_exe()?);
    let done = programs::run(child.arg(format!("{ALONE}{}", movie.display())), LIMIT)?;
    let text = String::from_utf8(done.stdout)?;
    let (us, memory) = text.trim().split_once(' ').with_context(|| text.clone())?;
    Ok((Duration::from_micros(us.parse()?), memory.parse()?))
}

/// Indexes a movie and prints time and memory, in the process of [`index_alone`].
pub fn run_alone(movie: &Path) -> Result<()> {
    let (time, memory) = index(movie)?;
    println!("{} {memory}", time.as_micros());
    Ok(())
}

/// The time to index every frame, and the resident memory that it adds, in KiB.
fn index(path: &Path) -> Result<(Duration, u64)> {
    let before = resident()?;
    let start = Instant::now();
    let movie = MovieFile::open(path)?;
    let frames = movie.wait_total(Duration::from_mins(2));
    let time = start.elapsed();
    anyhow::ensure!(frames == Some(FRAMES), "{frames:?} frames");
    Ok((time, resident()?.saturating_sub(before)))
}

fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
