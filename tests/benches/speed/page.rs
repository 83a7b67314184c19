// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time until the page shows its first picture in a browser.

use crate::quiet;
use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::browser::Browser;
use mjpeg_rtsp_tests::programs::Server;
use std::ffi::OsStr;

const LOADS: usize = 15;
const FRAMES: usize = 120;

/// Reports when the first image with the attribute `elementtiming` is painted.
const OBSERVE: &str = "new PerformanceObserver(list => { for (const it of list.getEntries()) \
     window.firstPicture ??= it.renderTime || it.loadTime; }).observe({type: 'element', buffered: true})";

pub fn run() -> Result<()> {
    println!("\n## The page in a browser\n");
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::coloured(FRAMES)?)?;
    let names = ["a.mjpeg", "b.mjpeg", "c.mjpeg"];
    for name in names {
        folder.file(name, &movie)?;
    }
    let options = ["--http", "127.0.0.1:0"].map(OsStr::new).into_iter();
    let mut server = Server::start(options.chain([folder.path().as_os_str()]), names.len())?;
    let address = format!("http://{}/", server.http_address()?);
    let mut browser = Browser::start()?;
    browser.run_first(OBSERVE)?;
    quiet();
    let mut times = Vec::new();
    for _ in 0..LOADS {
        browser.command("Network.clearBrowserCache", &serde_json::json!({}))?;
        browser.open(&address)?;
        browser.wait_for("window.firstPicture > 0")?;
        times.push(browser.value("window.firstPicture")?.as_f64().context("no time")?);
    }
    let first = times.first().copied().context("no loads")?;
    times.sort_by(f64::total_cmp);
    let (least, most) = (times.first().context("no loads")?, times.last().context("no loads")?);
    let median = times.get(times.len() / 2).context("no loads")?;
    println!("| first load, ms | median ms (least, most) |\n|---|---|");
    println!("| {first:.0} | {median:.0} ({least:.0}, {most:.0}) |");
    server.is_well()
}
