// SPDX-License-Identifier: MIT OR Apache-2.0
//! What viewers notice of a reload of the configuration: lost packets, and how far the gaps between
//! frames are from their period, beside the same viewers without a reload.

use crate::quiet;
use anyhow::{Result, ensure};
use mjpeg_rtsp_load::{Load, Received, Transport};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::programs::Server;
use mjpeg_rtsp_tests::wait_until;
use std::time::Duration;

const VIEWERS: usize = 200;
const TIME: Duration = Duration::from_secs(10);
/// Time between two reloads.
const PAUSE: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(20);
const ROUNDS: usize = 3;

const WATCHED: &str = "[defaults]\nloop = true\n[[mount]]\npath = 'a.mjpeg'\n";
const OTHER: &str = "[[mount]]\npath = 'b.mjpeg'\n";

pub fn run() -> Result<()> {
    quiet();
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::images(100, "I420")?)?;
    folder.file("a.mjpeg", &movie)?;
    folder.file("b.mjpeg", &movie)?;
    println!(
        "\n{VIEWERS} viewers of a movie for {} s; each second a reload adds or removes another movie\n",
        TIME.as_secs()
    );
    println!(
        "| transport | reloads | packets | lost | gap off 50 ms, 99th percentile | largest |\n\
         |---|---|---|---|---|---|"
    );
    for transport in [Transport::Udp, Transport::Tcp] {
        for _ in 0..ROUNDS {
            for reloading in [false, true] {
                let (reloads, received) = watch(&folder, transport, reloading)?;
                println!(
                    "| {transport:?} | {reloads} | {} | {} | {:.2} ms | {:.2} ms |",
                    received.packets,
                    received.lost,
                    received.gap_error_ms,
                    received.largest_gap_error_ms
                );
            }
        }
    }
    Ok(())
}

/// Viewers watch, with or without reloads; how many reloads there were, and what the viewers received.
fn watch(folder: &Folder, transport: Transport, reloading: bool) -> Result<(u32, Received)> {
    let config = folder.file("server.toml", WATCHED.as_bytes())?;
    let mut server = Server::start(["--config".as_ref(), config.as_os_str()], 1)?;
    server.wait_for_log("limit of open files", LIMIT);
    let load = Load {
        server: server.address()?.parse()?,
        movie: "a.mjpeg".to_owned(),
        transport,
        sessions: VIEWERS,
        newcomers: 0,
        time: TIME,
        period: Duration::from_millis(50),
        gro: false,
    };
    let watching = std::thread::spawn(move || load.run(None));
    let mut reloads = 0;
    while !watching.is_finished() {
        std::thread::sleep(PAUSE);
        if reloading && !watching.is_finished() {
            let other = if reloads % 2 == 0 { OTHER } else { "" };
            folder.file("server.toml", format!("{WATCHED}{other}").as_bytes())?;
            let before = server.log()?.len();
            server.process().signal("HUP")?;
            wait_until("the reload", LIMIT, || {
                server.log().is_ok_and(|log| log[before..].contains("configuration reloaded"))
            });
            reloads += 1;
        }
    }
    let outcome = watching.join().map_err(|_| anyhow::anyhow!("a viewer's thread panicked"))??;
    ensure!(outcome.received.sessions == VIEWERS, "{} viewers", outcome.received.sessions);
    server.is_well()?;
    Ok((reloads, outcome.received))
}
