// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's CPU time for ten viewers of a movie that is recoded, compared with one viewer.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::Server;
use std::time::{Duration, Instant};

/// Ten times the usual rate, so that the clock's ticks are small compared with the measured time.
const RATE: u32 = 200;
const FRAMES: u32 = 1600;
const TIME: Duration = Duration::from_secs(7);

pub fn run() -> Result<()> {
    let folder = Folder::new()?;
    let whole = Picture::made(384 + 100, 288);
    for (name, sample) in [("carried", "2x2"), ("recoded", "1x1")] {
        let image = |shift| cjpeg(&whole.part(shift, 384), &["-sample", sample, "-quality", "85"]);
        let images: Vec<Vec<u8>> = (0..100).map(image).collect::<Result<_>>()?;
        let images: Vec<_> = images.into_iter().cycle().take(FRAMES as usize).collect();
        folder.file(&format!("{name}.mjpeg"), &movies::movie(&images)?)?;
    }
    println!(
        "\n{RATE} frames a second of 384x288, {} s, TCP, server's CPU seconds\n",
        TIME.as_secs()
    );
    println!("| prepared frames kept | viewers | as in the file | 4:4:4 recoded | recoding part |");
    println!("|---|---|---|---|---|");
    for cache in ["64", "0"] {
        for viewers in [1, 10] {
            let carried = cpu(&folder, cache, "carried", viewers)?;
            let recoded = cpu(&folder, cache, "recoded", viewers)?;
            let part = recoded - carried;
            println!("| {cache} MB | {viewers} | {carried:.2} | {recoded:.2} | {part:.2} |");
        }
    }
    Ok(())
}

/// CPU seconds of a new server while `viewers` play from the start.
fn cpu(folder: &Folder, cache: &str, name: &str, viewers: usize) -> Result<f64> {
    let rate = RATE.to_string();
    let options =
        ["--prepare-cache", cache, "--framerate", &rate, &folder.path().to_string_lossy()]
            .map(ToOwned::to_owned);
    let mut server = Server::start(options, 2)?;
    let url = format!("rtsp://{}/{name}.mjpeg", server.address()?);
    let mut connections = Vec::new();
    for _ in 0..viewers {
        let mut rtsp = RtspClient::connect(server.address()?)?;
        let session = rtsp.set_up(&url, "tcp")?;
        connections.push((rtsp, session));
    }
    let before = cpu_time(server.process().id())?;
    let end = Instant::now() + TIME;
    let threads = connections.into_iter().map(|(mut rtsp, session)| {
        let line = format!("PLAY {url}/");
        std::thread::spawn(move || -> Result<u64> {
            rtsp.request(&line, &session)?;
            rtsp.receive_until(end)?;
            Ok(rtsp.packets)
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        let packets = thread.join().map_err(|_| anyhow::anyhow!("a viewer panicked"))??;
        anyhow::ensure!(packets > u64::from(RATE) * TIME.as_secs() * 5, "{packets} packets");
    }
    Ok(cpu_time(server.process().id())? - before)
}

/// CPU time of a process so far, in seconds (proc(5), /proc/PID/stat; 100 ticks a second).
pub fn cpu_time(id: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let after_name = stat.rsplit_once(')').context("no name")?.1;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field).context("short")?.parse::<u32>().context("ticks");
    Ok(f64::from(ticks(11)? + ticks(12)?) / 100.0)
}
