// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab on the projector.

use super::Site;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::programs::{Guard, program};
use std::process::Stdio;

/// Plays a movie in the lab's dialect; ends when dropped.
fn lab_client(site: &Site, frames: &str) -> Result<Guard> {
    let url = site.server.urls.first().context("no URL")?.replace("rtsp://", "labrtsp://");
    let mut client = program("mjpeg-rtsp-client")?;
    client.args(["--headless", "--frames", frames, &url]).stdin(Stdio::null());
    let child = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(Guard::new(child))
}

/// Plays a movie in standard RTSP; ends when dropped.
fn standard_client(site: &Site, frames: &str) -> Result<Guard> {
    let url = site.server.urls.first().context("no URL")?;
    let mut client = program("mjpeg-rtsp-client")?;
    client.args(["--headless", "--frames", frames, url]).stdin(Stdio::null());
    let child = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(Guard::new(child))
}

/// The page's script has run.
const READY: &str = "document.querySelector('#smaller').disabled";

const STATE: &str = "document.querySelector('.diagram .lit .name')?.textContent";

/// The first words of the requests in the list.
const REQUESTS: &str =
    "[...document.querySelectorAll('#log .request .what')].map(it => it.textContent.split(' ')[0])";

#[test]
fn a_lab_session_is_shown_as_it_speaks() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.open("/lab")?;
    site.browser.wait_for(
        "document.querySelector('#log-empty h2')?.textContent === 'Nobody has spoken yet'",
    )?;
    let mut client = lab_client(&site, "30")?;
    site.browser.wait_for(&format!("{STATE} === 'PLAYING'"))?;
    site.browser.wait_for("document.querySelector('#header .fields') !== null")?;
    let first = "Object.fromEntries([...document.querySelectorAll('.fields > div')].map(it => [it.children[0].textContent, it.children[1].textContent]))";
    let fields = site.browser.value(first)?;
    assert_eq!((&fields["V"], &fields["PT"]), (&"2".into(), &"26".into()), "{fields}");
    let text = "document.querySelector('#time-text').textContent";
    site.browser.wait_for(&format!("{text}.includes('sequence numbers')"))?;
    ensure!(client.wait(mjpeg_rtsp_tests::peer::browser::LIMIT)?.success(), "the client failed");
    site.browser.wait_for(&format!("{STATE} === 'INIT'"))?;
    site.browser.wait_for("document.querySelector('#log .end') !== null")?;
    let requests = site.browser.value(REQUESTS)?;
    let requests: Vec<String> = serde_json::from_value(requests)?;
    let essential: Vec<&str> = requests
        .iter()
        .map(String::as_str)
        .filter(|it| ["SETUP", "PLAY", "TEARDOWN"].contains(it))
        .collect();
    assert_eq!(essential, ["SETUP", "PLAY", "TEARDOWN"], "{requests:?}");
    // Each first line has a sentence.
    let silent = "[...document.querySelectorAll('#log .lines')].filter(it => it.querySelector('dd').textContent === '').length";
    assert_eq!(site.browser.value(silent)?, 0);

    // The filter, and the explanations.
    site.browser.key("/")?;
    site.browser.write("teardown")?;
    site.browser.wait_for(&format!("{REQUESTS}.join() === 'TEARDOWN'"))?;
    site.browser.value("document.activeElement.blur()")?;
    site.browser.key("e")?;
    site.browser.wait_for("!document.querySelector('#log dd').checkVisibility()")?;

    // Saved as text.
    site.browser.value(
        "(() => { window.saved = []; const made = URL.createObjectURL; \
         URL.createObjectURL = blob => { blob.text().then(text => window.saved.push(text)); return made(blob); }; })()",
    )?;
    site.browser.click("#save")?;
    site.browser.wait_for("window.saved.length === 1")?;
    let saved = site.browser.text("window.saved[0]")?;
    ensure!(
        saved.contains("    TEARDOWN a.mjpeg RTSP/1.0\n") && !saved.contains("SETUP"),
        "{saved}"
    );
    site.is_well()
}

/// In standard RTSP, no sentence is about the lab: what it asks for is wrong there.
#[test]
fn a_standard_session_is_explained_by_the_standards() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.open("/lab")?;
    site.browser.wait_for(READY)?;
    let mut client = standard_client(&site, "20")?;
    ensure!(client.wait(mjpeg_rtsp_tests::peer::browser::LIMIT)?.success(), "the client failed");
    site.browser.wait_for("document.querySelector('#log .end') !== null")?;
    let names = "[...document.querySelectorAll('#header .fields .name')].map(it => it.textContent)";
    let want = [
        "V",
        "P",
        "X",
        "CC",
        "M",
        "PT",
        "sequence number",
        "timestamp",
        "SSRC",
        "type-specific",
        "fragment offset",
        "type",
        "Q",
        "width",
        "height",
    ];
    assert_eq!(site.browser.value(names)?, serde_json::json!(want));
    // The list scrolls, and the page does not.
    let overflow = "document.documentElement.scrollHeight - innerHeight";
    assert_eq!(site.browser.value(overflow)?, 0);
    for part in ["#log", "#header", "#state-whose"] {
        let text = site.browser.text(&format!("document.querySelector('{part}').innerText"))?;
        let lower = text.to_lowercase();
        ensure!(!lower.contains("lab") && !lower.contains("textbook"), "{part}: {text}");
    }
    let silent = "[...document.querySelectorAll('#log .lines dd')].filter(it => it.textContent === '').length";
    assert_eq!(site.browser.value(silent)?, 0);
    site.is_well()
}

#[test]
fn the_list_can_be_paused_and_limited_to_a_session() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.open("/lab")?;
    site.browser.wait_for(READY)?;
    site.browser.key("p")?;
    site.browser.wait_for("document.querySelector('#pause').ariaPressed === 'true'")?;
    let clients = [lab_client(&site, "5")?, lab_client(&site, "5")?];
    for mut client in clients {
        ensure!(
            client.wait(mjpeg_rtsp_tests::peer::browser::LIMIT)?.success(),
            "the client failed"
        );
    }
    site.browser
        .wait_for("/Go on \\(\\d+ new\\)/.test(document.querySelector('#pause').textContent)")?;
    assert_eq!(site.browser.value("document.querySelector('#log').childElementCount")?, 0);
    site.browser.key("p")?;
    site.browser.wait_for("document.querySelectorAll('#log .end').length === 2")?;
    let tags = "new Set([...document.querySelectorAll('#log .session-tag')].map(it => it.textContent)).size";
    assert_eq!(site.browser.value(tags)?, 2);
    site.browser.value(
        "(() => { const select = document.querySelector('#session'); select.selectedIndex = 1; \
         select.dispatchEvent(new Event('change')); })()",
    )?;
    site.browser.wait_for(&format!("{tags} === 1"))?;
    site.is_well()
}

#[test]
fn the_text_grows_with_the_window_and_by_keys() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    let size = "parseFloat(getComputedStyle(document.documentElement).fontSize)";
    for (width, height, want) in [(1280, 720, 16.0), (1920, 1080, 24.0), (360, 740, 16.0)] {
        let appearance = mjpeg_rtsp_tests::peer::browser::Appearance {
            width,
            height,
            dark: false,
            still: false,
        };
        site.browser.set_appearance(appearance)?;
        site.browser.open("about:blank")?;
        site.open("/lab")?;
        site.browser.wait_for(READY)?;
        site.browser.wait_for(&format!("{size} === {want}"))?;
    }
    site.browser.key("+")?;
    site.browser.wait_for(&format!("{size} > 19"))?;
    site.browser.key("-")?;
    site.browser.wait_for(&format!("{size} === 16"))?;
    site.is_well()
}
