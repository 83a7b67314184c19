// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player.

use super::{FRAMES, Site};
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::frame_of;
use mjpeg_rtsp_tests::peer::browser::Appearance;
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use serde_json::Value;

/// The picture's colour in its middle, the frame's number and the time that the page shows, and the state; all at
/// one moment.
const SHOWN: &str = "(() => { const canvas = document.querySelector('.stage canvas'); \
    const probe = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true }); \
    probe.drawImage(canvas, canvas.width / 2, canvas.height / 2, 1, 1, 0, 0, 1, 1); \
    return { pixel: [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3), \
      frame: document.querySelector('.frame').textContent, \
      time: document.querySelector('.seek-row output').textContent, \
      state: document.querySelector('#player').dataset.state }; })()";

/// The frame that the picture shows, and the one that the text names.
fn shown(value: &Value) -> Result<(usize, usize)> {
    let pixel: [u8; 3] = serde_json::from_value(value["pixel"].clone())?;
    let seen = frame_of(pixel).with_context(|| format!("no frame has the colour {pixel:?}"))?;
    let text = value["frame"].as_str().context("no text")?;
    let named = text.strip_prefix("frame ").context("no frame")?.parse()?;
    Ok((seen, named))
}

impl Site {
    /// Waits until a frame is on screen; checks it by the picture on the screenshot.
    fn wait_for_frame(&mut self, frame: usize) -> Result<()> {
        self.browser.wait_for(&format!(
            "document.querySelector('.frame').textContent === 'frame {frame}'"
        ))?;
        let value = self.browser.value(SHOWN)?;
        assert_eq!(shown(&value)?, (frame, frame));
        let time = format!("0:{:02}.{}", frame / 10, frame % 10);
        assert_eq!(value["time"], time.as_str());
        let (x, y) = self.browser.middle_of(".stage")?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a position on the page"
        )]
        let pixel = self.browser.screenshot()?.at(x as usize, y as usize);
        assert_eq!(frame_of(pixel), Some(frame), "{pixel:?}");
        Ok(())
    }

    fn pause(&mut self) -> Result<()> {
        self.browser.key(" ")?;
        self.browser.wait_for("document.querySelector('#player').dataset.state === 'paused'")
    }

    /// The page's position on the seek bar at which a frame is.
    fn on_bar(&mut self, frame: usize) -> Result<(f64, f64)> {
        /// Width of the knob, whose middle is at the position.
        const KNOB: f64 = 14.0;
        // The page may not know the movie's length yet.
        self.browser.wait_for("!document.querySelector('.seek input').disabled")?;
        let [left, top, width, height] = self.browser.box_of(".seek input")?;
        #[expect(clippy::cast_precision_loss, reason = "numbers below 1000")]
        let part = frame as f64 / (FRAMES - 1) as f64;
        Ok((left + KNOB / 2.0 + part * (width - KNOB), top + height / 2.0))
    }
}

#[test]
fn a_click_plays_and_the_position_is_that_of_the_picture() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg", "b.mjpeg"], &[])?;
    site.open_wall("/", 2)?;
    site.browser.click("#grid li:nth-child(2) a")?;
    site.wait_until_it_plays()?;
    assert_eq!(site.browser.text("location.pathname")?, "/play/b.mjpeg");
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let now = shown(&site.browser.value(SHOWN)?)?;
        assert_eq!(now.0, now.1, "the picture and the number differ");
        if seen.last() != Some(&now.0) {
            seen.push(now.0);
        }
    }
    ensure!(seen.is_sorted(), "{seen:?}");
    site.is_well()
}

#[test]
fn the_seek_bar_seeks_to_the_right_frame() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.play("a.mjpeg")?;
    site.pause()?;
    for frame in [90, 7, 55, 0, FRAMES - 1] {
        let position = site.on_bar(frame)?;
        site.browser.click_at(position)?;
        site.wait_for_frame(frame)?;
    }
    // The picture under the pointer.
    let position = site.on_bar(30)?;
    site.browser.point(position)?;
    site.browser
        .wait_for("document.querySelector('.seek-tip img').src.endsWith('/frames/30.jpg')")?;
    assert_eq!(
        site.browser.text("document.querySelector('.seek-tip div').textContent")?,
        "0:03.0 · frame 30"
    );
    // While it plays, it goes on from there.
    let position = site.on_bar(20)?;
    site.browser.click("button.play")?;
    site.wait_until_it_plays()?;
    site.browser.click_at(position)?;
    // Until then the last frame of the movie is shown.
    let number = format!("Number({SHOWN}.frame.split(' ')[1])");
    site.browser.wait_for(&format!(
        "{SHOWN}.state === 'playing' && {number} > 22 && {number} < {}",
        FRAMES - 1
    ))?;
    let (seen, _) = shown(&site.browser.value(SHOWN)?)?;
    ensure!((20..FRAMES).contains(&seen), "{seen}");
    site.is_well()
}

#[test]
fn keys_do_what_they_do_in_the_window() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg", "b.mjpeg"], &[])?;
    site.play("a.mjpeg")?;
    site.pause()?;
    let go_to = |site: &mut Site, text: &str| -> Result<()> {
        site.browser.key("g")?;
        site.browser.wait_for("document.activeElement.id === 'go-to'")?;
        site.browser.write(text)?;
        site.browser.key("Enter")
    };
    go_to(&mut site, "40")?;
    site.wait_for_frame(40)?;
    go_to(&mut site, "0:06.5")?;
    site.wait_for_frame(65)?;
    for (key, frame) in [
        (".", 66),
        (".", 67),
        (",", 66),
        ("ArrowLeft", 16),
        ("ArrowRight", 66),
        ("ArrowRight", 116),
        ("ArrowRight", 119),
        (",", 118),
    ] {
        site.browser.key(key)?;
        site.wait_for_frame(frame)?;
    }
    // Faster, to the end and again.
    site.browser.key("+")?;
    site.browser.key("+")?;
    assert_eq!(site.browser.text("document.querySelector('.buttons select').value")?, "4");
    site.browser.key("p")?;
    site.browser.wait_for("document.querySelector('#player').dataset.state === 'ended'")?;
    site.wait_for_frame(119)?;
    site.browser.key("l")?;
    site.browser.key("p")?;
    site.wait_until_it_plays()?;
    site.browser.wait_for(&format!("Number({SHOWN}.frame.split(' ')[1]) > 100"))?;
    site.browser.wait_for(&format!("Number({SHOWN}.frame.split(' ')[1]) < 50"))?;
    // The next movie, the list of keys, and back to the wall.
    site.browser.key("PageDown")?;
    site.browser.wait_for("location.pathname === '/play/b.mjpeg'")?;
    site.wait_until_it_plays()?;
    site.browser.key("?")?;
    site.browser.wait_for("document.querySelector('dialog h2')?.textContent === 'Keys'")?;
    site.browser.key("Escape")?;
    site.browser.wait_for("document.querySelector('dialog') === null")?;
    site.browser.key("Escape")?;
    site.browser
        .wait_for("location.pathname === '/' && !document.querySelector('#wall').hidden")?;
    site.is_well()
}

/// A player that is paused at the end of a section, from one frame to another.
fn with_section(ends: [usize; 2]) -> Result<Site> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.play("a.mjpeg")?;
    site.pause()?;
    for frame in ends {
        let position = site.on_bar(frame)?;
        site.browser.click_at(position)?;
        site.wait_for_frame(frame)?;
        site.browser.key("a")?;
    }
    Ok(site)
}

#[test]
fn a_section_is_repeated() -> Result<()> {
    let mut site = with_section([50, 58])?;
    site.browser.key("p")?;
    let mut turns = 0;
    let mut before = 0;
    while turns < 2 {
        let (seen, _) = shown(&site.browser.value(SHOWN)?)?;
        ensure!((50..=58).contains(&seen), "{seen}");
        turns += usize::from(seen < before);
        before = seen;
    }
    site.is_well()
}

#[test]
fn a_slow_browser_shows_no_frame_outside_a_section_and_its_last_one() -> Result<()> {
    let mut site = with_section([50, 58])?;
    // Draws about every fourth frame, and notes each that is shown from then on.
    let slow = "(() => { const decode = createImageBitmap; \
        window.createImageBitmap = (...image) => new Promise((done) => \
            setTimeout(() => done(decode(...image)), 350)); \
        window.seen = []; \
        new MutationObserver(() => seen.push(document.querySelector('.frame').textContent)).observe( \
            document.querySelector('.frame'), { childList: true, characterData: true, subtree: true }); })()";
    site.browser.value(slow)?;
    site.browser.key("p")?;
    site.browser.wait_for("seen.filter((it, at) => at > 0 && seen[at - 1] > it).length > 1")?;
    let seen: Vec<String> = serde_json::from_value(site.browser.value("seen")?)?;
    let number = |text: &String| text.strip_prefix("frame ").and_then(|it| it.parse::<u64>().ok());
    let seen: Vec<u64> =
        seen.iter().map(|it| number(it).context("no frame")).collect::<Result<_>>()?;
    ensure!(seen.iter().all(|it| (50..=58).contains(it)), "{seen:?}");
    // Before each jump to the start, its last frame was shown.
    let jumps = seen.windows(2).filter(|pair| pair[1] < pair[0]);
    let lasts: Vec<u64> = jumps.map(|pair| pair[0]).collect();
    ensure!(lasts.iter().all(|it| *it == 58), "{seen:?}");
    site.is_well()
}

#[test]
fn a_live_movie_has_no_seek_bar() -> Result<()> {
    let mut site = Site::start(&["cam.mjpeg"], &["--live"])?;
    site.play("cam.mjpeg")?;
    let shows = "['.seek-row', '.step', '.stage .badge'].map(it => document.querySelector(it).checkVisibility()).join()";
    assert_eq!(site.browser.text(shows)?, "false,false,true");
    let frame = "Number(document.querySelector('.frame').textContent.split(' ')[1])";
    let first = site.browser.value(frame)?.as_f64().context("no frame")?;
    // Keys that seek do nothing.
    site.browser.key("ArrowLeft")?;
    site.browser.key(",")?;
    site.browser.wait_for(&format!("{frame} > {first} + 5"))?;
    site.pause()?;
    site.browser.key(" ")?;
    site.wait_until_it_plays()?;
    site.is_well()
}

#[test]
fn a_missing_movie_and_a_lost_server_are_reported() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.open("/play/nosuch.mjpeg")?;
    let title = "document.querySelector('.stage-message h2')?.textContent";
    site.browser.wait_for(&format!("{title} === 'There is no such movie'"))?;
    site.browser.click(".stage-message button")?;
    site.browser.wait_for("document.querySelectorAll('#grid .picture img').length === 1")?;
    site.browser.click("#grid a")?;
    site.wait_until_it_plays()?;
    site.server.process().signal("KILL")?;
    site.browser.wait_for(&format!("{title} === 'Playing has stopped'"))?;
    Ok(())
}

#[test]
fn phones_have_no_horizontal_scroll_bar() -> Result<()> {
    let long = "a-very-long-name-without-any-blank-that-cannot-be-broken-anywhere-at-all.mjpeg";
    let mut site = Site::start(&["a.mjpeg", long], &["--loop"])?;
    // The list of viewers has a row.
    let url = site.server.urls.iter().find(|url| url.contains(long)).context("no URL")?;
    let mut viewer = RtspClient::connect(site.server.address()?)?;
    viewer.play(url, "tcp")?;
    for appearance in [Appearance::PHONE, Appearance::PHONE.dark()] {
        site.browser.set_appearance(appearance)?;
        for path in ["/", "/?search=nothing", "/#viewers", "/lab", &format!("/play/{long}")] {
            site.open("about:blank").ok();
            site.open(path)?;
            site.browser.wait_for("document.readyState === 'complete' && document.querySelector('h1')?.textContent !== ''")?;
            if path == "/#viewers" {
                let row = "document.querySelector('#viewers .session:not(.head)') !== null";
                site.browser.wait_for(row)?;
            }
            let widths =
                site.browser.value("[document.documentElement.scrollWidth, innerWidth]")?;
            assert_eq!(widths, serde_json::json!([360, 360]), "{path}");
        }
    }
    site.is_well()
}

#[test]
fn the_theme_is_the_systems_or_the_chosen_one() -> Result<()> {
    const DARK: [u8; 3] = [0x1c; 3];
    const LIGHT: [u8; 3] = [0xf6; 3];
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    let ground = |site: &mut Site| -> Result<[u8; 3]> { Ok(site.browser.screenshot()?.at(4, 700)) };
    for (appearance, want) in [(Appearance::LAPTOP, LIGHT), (Appearance::LAPTOP.dark(), DARK)] {
        site.browser.set_appearance(appearance)?;
        for path in ["/", "/lab"] {
            site.open(path)?;
            site.browser.wait_for("document.readyState === 'complete'")?;
            assert_eq!(ground(&mut site)?, want, "{path}");
        }
    }
    // System, dark, light; kept for other pages.
    site.browser.click("#theme")?;
    site.browser.click("#theme")?;
    site.open_wall("/", 1)?;
    assert_eq!(ground(&mut site)?, LIGHT);
    site.is_well()
}
