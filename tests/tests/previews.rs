// SPDX-License-Identifier: MIT OR Apache-2.0
//! The picture under the pointer on the seek bar, in the real window.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder, frame_of};
use mjpeg_rtsp_tests::peer::display::{Display, Screen, Window};
use mjpeg_rtsp_tests::programs::Server;
use mjpeg_rtsp_tests::wait_until;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// The window's size, on which all positions below depend.
const WIDTH: usize = 800;
const HEIGHT: usize = 600;

/// The height of the seek bar's middle.
const BAR: usize = HEIGHT - 96;

/// Frames of the movie, one a second.
const FRAMES: usize = 200;

/// The frame of the picture, seen in its upper part.
fn main_frame(screen: &Screen) -> Option<usize> {
    frame_of(screen.at(WIDTH / 2, 70))
}

/// The frame of the preview above a position on the seek bar. Near the window's edge it is not centred.
fn preview_frame(screen: &Screen, x: usize) -> Option<usize> {
    frame_of(screen.at(x - 30, BAR - 110))
}

/// About the frame at a position on the seek bar.
fn expected(x: usize) -> usize {
    (x - 72) * FRAMES / 642
}

fn movie(folder: &Folder) -> Result<std::path::PathBuf> {
    folder.file("colours.mjpeg", &movies::movie(&movies::coloured(FRAMES)?)?)
}

/// Points at the bar until the preview shows about the frame there, twice the same; returns it.
fn preview_at(display: &Display, window: &Window, x: usize) -> Result<usize> {
    let (mut last, mut seen, start) = (None, Vec::new(), Instant::now());
    // A tip appears when the pointer rests; it is moved once, since the window may just have come.
    window.point(x + 1, BAR)?;
    window.point(x, BAR)?;
    wait_until(&format!("the preview at {x}"), 2 * LIMIT, || {
        let Ok(screen) = display.screenshot() else { return false };
        let frames = (preview_frame(&screen, x), main_frame(&screen));
        if seen.last() != Some(&frames) {
            seen.push(frames);
        }
        assert!(start.elapsed() < LIMIT, "the preview at {x}: frames of both pictures {seen:?}");
        let frame = frames.0.filter(|frame| frame.abs_diff(expected(x)) <= 4);
        // The picture behind the preview may have such a colour.
        let is_new = frame.is_some() && frame != frames.1;
        let twice = is_new && frame == last;
        last = frame;
        twice
    });
    last.context("no preview")
}

#[test]
fn the_seek_bar_shows_the_picture_under_the_pointer() -> Result<()> {
    let folder = Folder::new()?;
    let movie = movie(&folder)?;
    let options = ["--framerate", "1", "--log", "info"];
    let arguments = || options.iter().map(std::ffi::OsStr::new).chain([movie.as_os_str()]);
    // No other program gets this port while nobody listens.
    let address = format!("127.0.0.1:{}", crate::ports::free()?);
    let mut server = Server::start_on(&address, arguments(), 1)?;
    let url = server.urls[0].clone();
    let display = Display::start()?;
    let own = ["--size", "800x600", "--panel", "none", "--reconnect", &url];
    let mut window = Window::open(&display, &own)?;
    wait_until("a second frame", LIMIT, || {
        display.screenshot().is_ok_and(|it| main_frame(&it).is_some_and(|frame| frame > 0))
    });
    for x in [700, 300, 500] {
        preview_at(&display, &window, x)?;
    }
    // A click shows what the preview has shown.
    let shown = preview_at(&display, &window, 620)?;
    window.key("space")?;
    window.click(620, BAR)?;
    wait_until("the frame of the preview", LIMIT, || {
        display.screenshot().is_ok_and(|it| main_frame(&it) == Some(shown))
    });
    window.key("space")?;
    // Away from the bar the second session ends by itself.
    window.point(WIDTH / 2, 200)?;
    server.wait_for_log("transport=\"TCP\"", LIMIT);

    // A server that is restarted is connected again, and there are previews again.
    server.process().signal("KILL")?;
    server.process().wait(LIMIT)?;
    let mut server = Server::start_on(&address, arguments(), 1)?;
    let mut before = None;
    wait_until("the movie goes on", LIMIT, || {
        let frame = display.screenshot().ok().and_then(|it| main_frame(&it));
        let first = *before.get_or_insert(frame);
        frame.is_some() && frame != first
    });
    preview_at(&display, &window, 200)?;
    window.key("q")?;
    assert!(window.process().wait(LIMIT)?.success());
    server.wait_for_log("transport=\"UDP\"", LIMIT);
    let log = server.log()?;
    let ended: Vec<_> = log.lines().filter(|line| line.contains("session ended")).collect();
    assert_eq!(ended.len(), 2, "{log}");
    let is_whole = |line: &&str| !line.contains("lost=") || line.ends_with("lost=0");
    assert!(ended.iter().all(is_whole), "{log}");
    server.is_well()
}

#[test]
fn without_a_second_viewer_there_are_no_previews_and_the_movie_plays_on() -> Result<()> {
    let folder = Folder::new()?;
    let movie = movie(&folder)?;
    let config = folder.file("server.toml", b"[limits]\nmax-viewers-per-address = 1\n")?;
    let arguments = ["--framerate", "1", "--config"].map(std::ffi::OsStr::new);
    let arguments = arguments.into_iter().chain([config.as_os_str(), movie.as_os_str()]);
    let mut server = Server::start(arguments, 1)?;
    let display = Display::start()?;
    let own = ["--size", "800x600", "--panel", "none", "--log", "debug", &server.urls[0]];
    let mut window = Window::open(&display, &own)?;
    let frame_after = |frame: usize| {
        wait_until("the next frames", LIMIT, || {
            display.screenshot().is_ok_and(|it| main_frame(&it).is_some_and(|it| it > frame))
        });
    };
    frame_after(0);
    window.point(501, BAR)?;
    window.point(500, BAR)?;
    let log = || std::fs::read_to_string(display.home().join("client.log")).unwrap_or_default();
    let refusals = || log().matches("no previews of rtsp://").count();
    wait_until("the refusal", LIMIT, || refusals() == 1);
    // A new attempt may come after a while; it is not logged again.
    frame_after(15);
    assert_eq!(refusals(), 1, "{}", log());
    window.key("q")?;
    assert!(window.process().wait(LIMIT)?.success());
    server.is_well()
}
