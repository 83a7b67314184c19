// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is watching.

use super::Site;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::peer::browser::LIMIT;
use mjpeg_rtsp_tests::peer::rtp_receiver::RtpReceiver;
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Guard, program};
use std::process::Stdio;
use std::time::Duration;

#[test]
fn a_viewer_is_listed_and_can_be_closed() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &["--loop"])?;
    site.open("/#viewers")?;
    let title = "document.querySelector('#viewers .empty:not([hidden]) h2')?.textContent";
    site.browser.wait_for(&format!("{title} === 'Nobody is watching'"))?;
    let url = site.server.urls.first().context("no URL")?.clone();
    let mut client = program("mjpeg-rtsp-client")?;
    client.args(["--headless", "--frames", "100000", &url]).stdin(Stdio::null());
    let mut client = Guard::new(client.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let cell =
        |label: &str| format!("document.querySelector('#viewers [data-label={label}]')?.innerText");
    site.browser.wait_for(&format!("{}?.includes('127.0.0.1:')", cell("Viewer")))?;
    site.browser.wait_for(&format!("{}?.includes('playing')", cell("Over")))?;
    site.browser.wait_for(&format!("/a.mjpeg\\s+frame \\d+/.test({})", cell("Movie")))?;
    site.browser.wait_for(&format!("/bit\\/s/.test({})", cell("Rate")))?;
    // The plot has a line.
    site.browser.wait_for(
        "document.querySelector('#viewers .plot path:last-child').getAttribute('d').includes('L')",
    )?;
    site.browser.click("#viewers .session .last button")?;
    site.browser.wait_for("document.querySelector('dialog') !== null")?;
    site.browser.click("dialog .accent")?;
    site.browser.wait_for("document.querySelector('dialog') === null")?;
    site.browser.wait_for(&format!("{title} === 'Nobody is watching'"))?;
    client.wait(LIMIT).map(drop)?;
    ensure!(site.server.log()?.contains("a.mjpeg"), "{}", site.server.log()?);
    site.is_well()
}

#[test]
fn the_player_lists_the_viewers_of_its_movie() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg", "b.mjpeg"], &[])?;
    site.play("a.mjpeg")?;
    site.browser.click("#tab-viewers")?;
    site.browser.wait_for(
        "document.querySelector('#panel-viewers [data-label=Over]')?.innerText.includes('browser')",
    )?;
    site.is_well()
}

/// What the way to the viewer and back takes.
const DELAY: Duration = Duration::from_millis(250);

/// The page states what the receiver has reported, over UDP with a loss that is known.
#[test]
fn loss_jitter_and_round_trip_are_those_of_the_receiver() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &["--loop"])?;
    let url = site.server.urls.first().context("no URL")?.clone();
    let mut receiver = RtpReceiver::new(|packet| u64::from(packet % 5 != 0))?;
    let mut client = RtspClient::connect(site.server.address()?)?;
    client.play(&url, &receiver.transport()?)?;
    receiver.receive_until(|it| {
        it.arrived >= 54 && it.arrived % 5 != 0 && it.has_sender_report(DELAY)
    })?;
    site.open("/#viewers")?;
    let cell = |label: &str| {
        format!("document.querySelector('#viewers [data-label={label}] .number').textContent")
    };
    site.browser.wait_for(&format!("{} === 'no report yet'", cell("Loss")))?;
    let report = receiver.report(DELAY)?;
    assert_eq!(u64::try_from(report.lost)?, receiver.dropped);
    let fraction = f64::from(report.fraction) / 256.0 * 100.0;
    let loss = format!("{fraction:.1} % · {} lost", report.lost);
    site.browser.wait_for(&format!("{} === '{loss}'", cell("Loss")))?;
    let shown = site.browser.text(&cell("Jitter"))?;
    let (jitter, round_trip) = shown.split_once(" · RTT ").context("no round trip")?;
    assert_eq!(jitter, format!("{:.1} ms", f64::from(report.jitter) / 90.0));
    let round_trip: f64 = round_trip.trim_end_matches(" ms").parse()?;
    assert!((249.9..5000.0).contains(&round_trip), "{round_trip}");
    site.is_well()
}
