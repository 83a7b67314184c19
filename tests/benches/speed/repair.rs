// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie repair` of movies that could take it long.

use crate::{ms, quiet, spread};
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::programs::{program, run as run_program};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(5);
const ROUNDS: usize = 3;

pub fn run() -> Result<()> {
    let cut = movies::movie(&[movies::images(1, "I420")?.remove(0)[..850].to_vec()])?;
    let large = cjpeg(&Picture::made(3840, 2160), &["-quality", "90"])?;
    // Name, bytes, exit code.
    let rows = [
        ("20 000 cut frames", cut.repeat(20_000), 1),
        ("SOI (`FF D8`) ten million times", b"\xff\xd8".repeat(10_000_000), 1),
        ("ten images of 3840x2160 without lengths, encoded again", large.repeat(10), 0),
    ];
    quiet();
    println!("\n| input | bytes | median ms (least, most) |\n|---|---|---|");
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    for (name, bytes, code) in rows {
        let path = folder.file("in.mjpeg", &bytes)?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let mut repair = program("mjpeg-movie")?;
            let started = Instant::now();
            let done = run_program(repair.args(["repair", "--force"]).args([&path, &out]), LIMIT)?;
            times.push(started.elapsed());
            ensure!(done.status.code() == Some(code), "{name}: {}", done.status);
        }
        let (median, least, most) = spread(&mut times).context("no rounds")?;
        let length = bytes.len();
        println!("| {name} | {length} | {:.0} ({:.0}, {:.0}) |", ms(median), ms(least), ms(most));
    }
    Ok(())
}
