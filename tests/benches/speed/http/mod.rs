// SPDX-License-Identifier: MIT OR Apache-2.0
//! Viewers over HTTP: the server's CPU time for each frame and viewer, compared with that of a thread that only
//! writes such parts to as many sockets, with GStreamer's tcpserversink and with other MJPEG servers; and the frames
//! of RTSP viewers beside a thousand open pages.

mod beside;
mod readers;
mod servers;

use crate::quiet;
use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::pipeline::TestPipeline;
use servers::{Cost, Measured, Row};
use std::path::PathBuf;
use std::time::Duration;

/// Viewers, and frames a second of each.
const VIEWERS: usize = 500;
const RATE: u32 = 20;

/// Viewers of multipartmux and tcpserversink, which accept few connections at a time: 500 take a minute.
const STOCK_VIEWERS: usize = 50;

/// The frames of the movie for GStreamer's elements, which do not loop: more than any measurement plays.
const STOCK_FRAMES: usize = 800;

/// The length of each frame in bytes: that of the other measurements.
const BYTES: usize = 15_700;

/// What is compared is measured in turn, this many times; tables have the medians.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);

/// The longest wait until all viewers of a measurement are connected, and for what they have to read.
const LIMIT: Duration = Duration::from_secs(20);

struct Movie {
    _folder: Folder,
    file: PathBuf,
    /// The folder with the frames: 000.jpg to 099.jpg.
    frames: PathBuf,
    /// The same frames again and again, for GStreamer's elements.
    matroska: PathBuf,
    images: Vec<Vec<u8>>,
}

impl Movie {
    /// The path of its mount, without the first slash.
    const NAME: &str = "movie.mjpeg";

    /// A movie of frames of [`BYTES`]; decoders ignore what follows an image.
    fn made() -> Result<Self> {
        let folder = Folder::new()?;
        let pad =
            |image: Vec<u8>| [&image[..], &vec![0; BYTES.saturating_sub(image.len())]].concat();
        let images: Vec<_> = movies::images(100, "I420")?.into_iter().map(pad).collect();
        let file = folder.file(Self::NAME, &movies::movie(&images)?)?;
        let frames = folder.path().join("frames");
        std::fs::create_dir_all(&frames)?;
        for (number, image) in images.iter().enumerate() {
            std::fs::write(frames.join(format!("{number:03}.jpg")), image)?;
        }
        let long: Vec<_> = images.iter().cloned().cycle().take(STOCK_FRAMES).collect();
        let long = folder.file("long.mjpeg", &movies::movie(&long)?)?;
        let matroska = folder.path().join("long.mkv");
        let line = format!(
            "mjpegfilesrc location={} ! matroskamux ! filesink location={}",
            long.display(),
            matroska.display()
        );
        let pipeline = TestPipeline::launch(&line)?;
        pipeline.play()?;
        pipeline.wait_for_end()?;
        Ok(Self { _folder: folder, file, frames, matroska, images })
    }

    /// The path of its stream, with a query.
    fn stream(query: &str) -> String {
        format!("/mounts/{}/stream.mjpeg{query}", Self::NAME)
    }
}

fn median(values: &[f64]) -> Result<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().context("no value")
}

pub fn run() -> Result<()> {
    quiet();
    let movie = Movie::made()?;
    costs(&movie)?;
    beside::run(&movie)
}

/// Prints the table of the CPU time for each frame and viewer.
fn costs(movie: &Movie) -> Result<()> {
    let row = |name: &str, viewers, measured| {
        let name = name.to_owned();
        Row { name, viewers, measured, costs: Vec::new() }
    };
    let mut rows = vec![
        row("the wire: a thread that only writes parts", VIEWERS, Measured::Wire),
        row("ours, on demand", VIEWERS, Measured::Ours { live: false }),
        row("ours, live", VIEWERS, Measured::Ours { live: true }),
        row("`multipartmux ! tcpserversink`, live", STOCK_VIEWERS, Measured::Stock),
    ];
    let others = servers::others()?;
    let is_left_out = others.is_empty();
    rows.extend(others);
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.measure(movie)?;
        }
    }
    println!(
        "\nParts of {BYTES} bytes and their headers, {RATE} a second; medians of {ROUNDS} rounds of {} s, in turn\n\n\
         | CPU for each frame and viewer | viewers | µs (of each round) | compared with the wire (times) | frames received \
         |\n|---|---|---|---|---|",
        ROUND.as_secs()
    );
    let bare: Vec<f64> =
        rows.first().context("no wire")?.costs.iter().map(|it| it.micros).collect();
    for Row { name, viewers, costs, .. } in &rows {
        let of = |figure: fn(&Cost) -> f64| -> Vec<f64> { costs.iter().map(figure).collect() };
        let micros = of(|cost| cost.micros);
        let ratios: Vec<f64> = micros.iter().zip(&bare).map(|(it, bare)| it / bare).collect();
        let each: Vec<String> = micros.iter().map(|it| format!("{it:.1}")).collect();
        println!(
            "| {name} | {viewers} | {:.1} ({}) | {:.2} | {:.0} % |",
            median(&micros)?,
            each.join(", "),
            median(&ratios)?,
            100.0 * median(&of(|cost| cost.received))?
        );
    }
    if is_left_out {
        println!("| another MJPEG server: left out, {} is not set | | | | |", servers::OTHERS);
    }
    Ok(())
}
