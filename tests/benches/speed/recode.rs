// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recoding, compared with jpegtran, which is lossless too, on the same images.

use crate::{ms, spread};
use anyhow::{Context, Result};
use gstmjpegfile::jpeg;
use mjpeg_rtsp_tests::movies::Folder;
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const ROUNDS: usize = 21;

pub fn run() -> Result<()> {
    let folder = Folder::new()?;
    let picture = Picture::made(2032, 2032);
    let tiny = folder.file("tiny.jpg", &cjpeg(&Picture::made(8, 8), &[])?)?;
    println!("\none image of 2032x2032, {ROUNDS} rounds side by side, one core\n");
    println!(
        "| work | bytes | ours, median MB/s | jpegtran, median MB/s | ours is faster by (times) |"
    );
    println!("|---|---|---|---|---|");
    let rows = [
        ("optimised Huffman tables to Annex K's, 4:2:0", ["-sample", "2x2", "-optimize"]),
        ("the same, 4:2:2", ["-sample", "2x1", "-optimize"]),
        ("4:4:4 to 4:2:2", ["-sample", "1x1", "-optimize"]),
        ("progressive 4:2:0", ["-sample", "2x2", "-progressive"]),
    ];
    for (name, arguments) in rows {
        let image = cjpeg(&picture, &arguments)?;
        let path = folder.file("image.jpg", &image)?;
        let (mut ours, mut theirs, mut idle) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let started = Instant::now();
            black_box(jpeg::recode(black_box(&image))?);
            ours.push(started.elapsed());
            theirs.push(jpegtran(&path)?);
            idle.push(jpegtran(&tiny)?);
        }
        let ours = spread(&mut ours).context("no rounds")?.0;
        // Without the time to start the process.
        let start = spread(&mut idle).context("no rounds")?.0;
        let theirs = spread(&mut theirs).context("no rounds")?.0.saturating_sub(start);
        let rate = |time: Duration| megabytes(&image) / time.as_secs_f64();
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        let (ours, theirs) = (rate(ours), rate(theirs));
        println!("| {name} | {} | {ours:.0} | {theirs:.0} | {ratio:.2} |", image.len());
    }
    let image = cjpeg(&Picture::made(384, 288), &["-sample", "2x2", "-quality", "80"])?;
    println!("\nfor each frame of 384x288, {} bytes\n\n| work | time |\n|---|---|", image.len());
    let header = each(|| jpeg::Header::parse(black_box(&image)).is_ok());
    println!("| header check | {:.2} us |", ms(header) * 1000.0);
    let whole = each(|| jpeg::check(black_box(&image)).is_ok());
    let scan = whole.saturating_sub(header).as_secs_f64();
    println!(
        "| marker scan | {:.2} us, {:.1} GB/s |",
        scan * 1e6,
        megabytes(&image) / 1000.0 / scan
    );
    let arguments = ["-sample", "2x2", "-quality", "80", "-restart", "1"];
    let image = cjpeg(&Picture::made(384, 288), &arguments)?;
    let codes = each(|| jpeg::check(black_box(&image)).is_ok());
    println!("| check with restart markers, all codes | {:.2} us |", ms(codes) * 1000.0);
    scaled()
}

/// Images over RTP/JPEG's limit of size.
fn scaled() -> Result<()> {
    println!("\nimages that are scaled, median of {ROUNDS}, one core\n");
    println!("| image | bytes | sent as | ms | images a second |\n|---|---|---|---|---|");
    for (width, height) in [(2560, 1440), (3840, 2160), (4096, 2160)] {
        // A frame of a movie has at most 99 999 bytes, so large ones have a low quality.
        let arguments = ["-sample", "2x2", "-quality", "9", "-baseline"];
        let image = cjpeg(&Picture::made(width, height), &arguments)?;
        let mut times = Vec::new();
        let mut sent = (0, 0);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            sent = jpeg::prepare(black_box(&image), None)?.image().size();
            times.push(started.elapsed());
        }
        let time = spread(&mut times).context("no rounds")?.0;
        let (bytes, rate) = (image.len(), 1.0 / time.as_secs_f64());
        let (w, h) = sent;
        println!("| {width}x{height} 4:2:0 | {bytes} | {w}x{h} | {:.1} | {rate:.0} |", ms(time));
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a size in MB")]
fn megabytes(image: &[u8]) -> f64 {
    image.len() as f64 / 1e6
}

fn each(work: impl Fn() -> bool) -> Duration {
    const TIMES: u32 = 20_000;
    let started = Instant::now();
    for _ in 0..TIMES {
        assert!(black_box(work()));
    }
    started.elapsed() / TIMES
}

fn jpegtran(image: &Path) -> Result<Duration> {
    let mut command = Command::new("jpegtran");
    command.args(["-copy", "none", "-outfile", "/dev/null"]).arg(image);
    let started = Instant::now();
    anyhow::ensure!(command.status()?.success(), "jpegtran");
    Ok(started.elapsed())
}
