// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random requests, as `mjpeg-rtsp-fuzz` sends them by the million: the server answers other clients
//! meanwhile, and plays to new viewers after them.

use anyhow::{Result, ensure};
use mjpeg_rtsp_load::fuzz::Fuzz;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::retina;
use mjpeg_rtsp_tests::programs::Server;
use std::time::Duration;

#[test]
fn random_requests_neither_end_nor_delay_the_server() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(40, "I420")?)?)?;
    let mut server = Server::start(["--loop".as_ref(), movie.as_os_str()], 1)?;
    let fuzz = Fuzz {
        server: server.address()?.parse()?,
        movie: "movie.mjpeg".to_owned(),
        requests: 20_000,
        clients: 8,
        seed: 20_000,
        first_connection: 0,
        process: Some(server.process().id()),
        // Far below the time of a server that hangs, and enough on a busy machine.
        probe_limit: Duration::from_secs(10),
        time_limit: Duration::from_mins(2),
    };
    let report = fuzz.run()?;
    ensure!(report.requests >= 20_000, "{report}");
    // Each status occurs, so the requests reached the code that they are meant for.
    for status in [200, 400, 404, 454, 455, 457, 461, 501, 505, 551] {
        ensure!(report.statuses.contains_key(&status), "no {status}: {report}");
    }
    ensure!(report.packets > 0 && report.datagrams > 0, "{report}");
    for transport in ["udp", "tcp"] {
        ensure!(retina::images(&server.urls[0], transport, 10)?.len() == 10, "{transport}");
    }
    server.is_well()?;
    ensure!(!server.log()?.contains("panic"), "{}", server.log()?);
    Ok(())
}
