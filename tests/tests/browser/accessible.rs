// SPDX-License-Identifier: MIT OR Apache-2.0
//! Use by the keyboard, and what axe-core finds for those who cannot see the page.

use super::Site;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::peer::browser::Appearance;
use mjpeg_rtsp_tests::programs::target_folder;

/// The version that `scripts/packages test` fetches.
const AXE: &str = "axe-core-4.12.1/axe.min.js";

fn axe() -> Result<String> {
    let path = target_folder()?.parent().context("no target folder")?.join(AXE);
    let advice = || format!("{}: run scripts/packages test", path.display());
    std::fs::read_to_string(&path).with_context(advice)
}

/// The violations on the page, each with the element and the reason.
fn violations(site: &mut Site, axe: &str) -> Result<Vec<String>> {
    site.browser.value(&format!("{axe}; 0"))?;
    // While a colour changes, its contrast is that of neither colour.
    site.browser
        .wait_for("document.getAnimations().every(it => !(it instanceof CSSTransition))")?;
    let found = site.browser.value(
        "axe.run(document).then(done => done.violations.flatMap(rule => \
         rule.nodes.map(node => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`)))",
    )?;
    Ok(serde_json::from_value(found)?)
}

/// A path, and what is true when its page is complete.
const PAGES: &[(&str, &str)] = &[
    ("/", "document.querySelectorAll('#grid .picture img').length === 2"),
    ("/?folder=cam", "document.querySelectorAll('#grid .picture img').length === 1"),
    ("/?search=nothing", "document.querySelector('#wall-empty h2') !== null"),
    ("/play/a.mjpeg", "document.querySelector('#player').dataset.state === 'playing'"),
    ("/play/nosuch.mjpeg", "document.querySelector('.stage-message') !== null"),
    ("/#viewers", "document.querySelector('#viewers .session:not(.head)') !== null"),
    ("/lab", "document.querySelector('#header .fields') !== null"),
];

#[test]
fn axe_finds_no_violation() -> Result<()> {
    check(Appearance::LAPTOP)
}

#[test]
fn axe_finds_no_violation_on_a_phone() -> Result<()> {
    check(Appearance::PHONE)
}

#[test]
fn axe_finds_no_violation_in_the_dark_theme() -> Result<()> {
    check(Appearance::LAPTOP.dark())
}

#[test]
fn axe_finds_no_violation_on_a_phone_in_the_dark_theme() -> Result<()> {
    check(Appearance::PHONE.dark())
}

/// Checks all views.
fn check(appearance: Appearance) -> Result<()> {
    let axe = axe()?;
    let mut site = Site::start(&["a.mjpeg", "b.mjpeg", "cam/c.mjpeg"], &["--loop"])?;
    // A session that the lists show.
    let url = site.server.urls.first().context("no URL")?.replace("rtsp://", "labrtsp://");
    let mut client = mjpeg_rtsp_tests::programs::program("mjpeg-rtsp-client")?;
    client.args(["--headless", "--frames", "100000", &url]);
    client.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let _client =
        mjpeg_rtsp_tests::programs::Guard::new(client.stderr(std::process::Stdio::null()).spawn()?);
    site.browser.set_appearance(appearance)?;
    for (path, complete) in PAGES {
        site.browser.open("about:blank")?;
        site.open(path)?;
        site.browser.wait_for(complete).with_context(|| (*path).to_owned())?;
        assert_eq!(violations(&mut site, &axe)?, [""; 0], "{path} with {appearance:?}");
    }
    site.open("/play/a.mjpeg")?;
    for (button, complete) in [
        ("[aria-label='QR code: RTSP']", "document.querySelector('dialog .qr') !== null"),
        ("#tab-viewers", "document.querySelector('#panel-viewers .session:not(.head)') !== null"),
        ("button[title^='All keys']", "document.querySelector('dialog .keys') !== null"),
    ] {
        site.browser.wait_for(&format!("document.querySelector(\"{button}\") !== null"))?;
        site.browser.value(&format!("document.querySelector('dialog')?.close(); document.querySelector(\"{button}\").click()"))?;
        site.browser.wait_for(complete)?;
        assert_eq!(violations(&mut site, &axe)?, [""; 0], "{button} with {appearance:?}");
    }
    Ok(())
}

#[test]
fn everything_is_reached_by_the_keyboard() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg", "b.mjpeg", "c.mjpeg"], &[])?;
    site.open_wall("/", 3)?;
    let focused = "document.activeElement.id || document.activeElement.title || document.activeElement.textContent.trim()";
    let mut reached = Vec::new();
    for _ in 0..10 {
        site.browser.key("Tab")?;
        reached.push(site.browser.text(focused)?);
    }
    let want = [
        "Skip to the content",
        "mjpeg-rtsp",
        "Movies",
        "Viewers",
        "Lab",
        "theme",
        "search",
        "moving",
        "a.mjpeg",
        "b.mjpeg",
    ];
    assert_eq!(reached, want);
    // What has the focus is marked.
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(site.browser.text(outline)?, "solid");
    for (key, title) in [
        ("ArrowRight", "c.mjpeg"),
        ("Home", "a.mjpeg"),
        ("End", "c.mjpeg"),
        ("ArrowLeft", "b.mjpeg"),
    ] {
        site.browser.key(key)?;
        site.browser.wait_for(&format!("document.activeElement.title === '{title}'"))?;
    }
    site.browser.key("Enter")?;
    site.browser.wait_for("location.pathname === '/play/b.mjpeg' && document.querySelector('#player').dataset.state === 'playing'")?;
    // Everything in the player that can be used.
    let mut reached = Vec::new();
    for _ in 0..12 {
        site.browser.key("Tab")?;
        reached.push(site.browser.text(
            "document.activeElement.ariaLabel || document.activeElement.textContent.trim()",
        )?);
    }
    for name in [
        "Position",
        "Pause",
        "One frame back",
        "One frame forward",
        "Speed",
        "Repeat",
        "Full screen",
        "Keys",
        "Play elsewhere",
    ] {
        ensure!(reached.iter().any(|it| it.starts_with(name)), "{name} is not in {reached:?}");
    }
    site.is_well()
}
