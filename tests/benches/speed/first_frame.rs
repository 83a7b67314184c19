// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time from the start of our client's connection to the first picture that its sink renders.

use crate::{ms, spread};
use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::programs::{self, Server, program};
use std::time::Duration;

const ROUNDS: usize = 20;

pub fn run() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("carried.mjpeg", &movies::movie(&movies::images(100, "I420")?)?)?;
    folder.file("recoded.mjpeg", &movies::movie(&movies::images(100, "Y444")?)?)?;
    let mut server = Server::start([folder.path()], 2)?;
    println!("\nfirst rendered frame at the client, loopback, --latency 0, {ROUNDS} connections\n");
    println!("| movie | transport | median ms (least, most) |\n|---|---|---|");
    for url in server.urls.clone() {
        for transport in ["tcp", "udp"] {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                times.push(connect(&url, transport)?);
            }
            let (median, least, most) = spread(&mut times).context("no rounds")?;
            let name = url.rsplit('/').next().unwrap_or_default();
            let (median, least, most) = (ms(median), ms(least), ms(most));
            println!("| {name} | {transport} | {median:.0} ({least:.0}, {most:.0}) |");
        }
    }
    server.is_well()
}

fn connect(url: &str, transport: &str) -> Result<Duration> {
    let mut client = program("mjpeg-rtsp-client")?;
    client.args(["--headless", "--json", "--latency", "0", "--frames", "3"]);
    let done =
        programs::run(client.args(["--transport", transport, url]), Duration::from_secs(30))?;
    let summary: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    let ms = summary["first_frame_ms"].as_f64().with_context(|| summary.to_string())?;
    Ok(Duration::from_secs_f64(ms / 1000.0))
}
