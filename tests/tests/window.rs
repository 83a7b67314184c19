// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real window on a display, driven by keys and clicks.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder, SIZE};
use mjpeg_rtsp_tests::peer::display::{Display, Screen, Window, is_near};
use mjpeg_rtsp_tests::peer::lab_server::{Behaviour, LabServer};
use mjpeg_rtsp_tests::programs::{Server, program, run, serve_as};
use mjpeg_rtsp_tests::wait_until;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// The window's size in the tests, on which all positions below depend.
const WIDTH: usize = 800;
const HEIGHT: usize = 600;
const ARGUMENTS: [&str; 4] = ["--size", "800x600", "--panel", "none"];

/// The one accent colour.
const ACCENT: [u8; 3] = [0x1a, 0x6c, 0xbe];

/// Where the lab's buttons are, from the left, and how far from the lower edge.
const BUTTONS: [(&str, usize); 4] =
    [("Setup", 30), ("Play", 120), ("Pause", 215), ("Teardown", 305)];
const FROM_BELOW: usize = 48;

/// Whether the bars are in the middle of the picture's area, as large as fits at their aspect ratio.
fn shows_the_bars(screen: &Screen) -> bool {
    // Below the address, above the three lines of controls.
    let (top, bottom) = (48, HEIGHT - 120);
    let height = bottom - top;
    let width = height * SIZE.0 as usize / SIZE.1 as usize;
    let left = (WIDTH - width) / 2;
    let y = top + height / 3;
    let bars = movies::BARS.iter().enumerate();
    let shown = bars.into_iter().all(|(number, colour)| {
        is_near(screen.at(left + width * (2 * number + 1) / 14, y), *colour)
    });
    let beside = screen.at(left / 2, y) == [0, 0, 0] && screen.at(WIDTH - left / 2, y) == [0, 0, 0];
    shown && beside
}

/// The button with the accent colour.
fn next_step(screen: &Screen) -> Option<&'static str> {
    let lit = |(_, x): &&(&str, usize)| screen.at(*x, HEIGHT - FROM_BELOW) == ACCENT;
    BUTTONS.iter().find(lit).map(|(name, _)| *name)
}

#[test]
fn keys_and_clicks_drive_a_lab_server_and_closing_tears_down() -> Result<()> {
    let server = LabServer::start(Behaviour::TEXTBOOK, movies::bars(400)?)?;
    let display = Display::start()?;
    let address = server.address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let rtp_port = crate::ports::free()?.to_string();
    let lab = ["--no-play", &host, &port, &rtp_port, "movie.Mjpeg"];
    let mut window = Window::open(&display, &[&ARGUMENTS[..], &lab].concat())?;
    let methods_are = |words: &[&str]| {
        let what = words.join(", ");
        wait_until(&what, LIMIT, || {
            let requests = server.requests();
            let got = requests.iter().filter_map(|it| it.split(' ').next());
            got.eq(words.iter().copied())
        });
    };
    let lit = |name: &'static str| {
        wait_until(name, LIMIT, || {
            display.screenshot().is_ok_and(|it| next_step(&it) == Some(name))
        });
    };

    lit("Setup");
    assert!(server.requests().is_empty(), "{:?}", server.requests());
    window.key("s")?;
    lit("Play");
    methods_are(&["SETUP"]);
    window.click(BUTTONS[1].1, HEIGHT - FROM_BELOW)?;
    methods_are(&["SETUP", "PLAY"]);
    lit("Pause");
    wait_until("the bars", LIMIT, || display.screenshot().is_ok_and(|it| shows_the_bars(&it)));
    window.key("space")?;
    methods_are(&["SETUP", "PLAY", "PAUSE"]);
    lit("Play");
    assert!(shows_the_bars(&display.screenshot()?), "the picture stays");
    window.key("p")?;
    methods_are(&["SETUP", "PLAY", "PAUSE", "PLAY"]);
    lit("Pause");

    let requests = server.requests();
    let first = requests.first().context("no request")?;
    let want = format!(
        "SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/UDP; client_port= {rtp_port}\r\n"
    );
    assert_eq!(*first, want);
    // The window closes without a question.
    window.key("q")?;
    assert!(window.process().wait(LIMIT)?.success());
    let last = server.requests().pop().context("no request")?;
    assert!(last.starts_with("TEARDOWN movie.Mjpeg RTSP/1.0\r\n"), "{last:?}");
    // Settings are saved in the XDG directories.
    let settings = std::fs::read(display.home().join("config/mjpeg-rtsp/window.json"))?;
    let settings: serde_json::Value = serde_json::from_slice(&settings)?;
    let address = settings["history"][0].as_str().context("no history")?;
    assert!(address.starts_with(&format!("labrtsp://{host}:{port}/movie.Mjpeg")), "{address}");
    assert_eq!(settings["size"], serde_json::json!([800.0, 600.0]));
    Ok(())
}

/// Takes a screenshot with the window's own option.
fn screenshot(display: &Display, name: &str, arguments: &[&str]) -> Result<(Option<i32>, Screen)> {
    let path = display.home().join(format!("{name}.png"));
    let file = path.to_str().context("a plain path")?;
    let mut command = program("mjpeg-rtsp-client")?;
    display.prepare(&mut command);
    let own = ["--screenshot", file];
    let done = run(command.args(ARGUMENTS).args(own).args(arguments), LIMIT)?;
    let stderr = String::from_utf8_lossy(&done.stderr);
    let (pixels, width) = read_png(&path).with_context(|| stderr.into_owned())?;
    ensure!(width == WIDTH && pixels.len() == WIDTH * HEIGHT * 3, "{width}");
    Ok((done.status.code(), Screen::new(pixels, width)))
}

fn read_png(path: &Path) -> Result<(Vec<u8>, usize)> {
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let mut reader = png::Decoder::new(file).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("too large")?];
    let info = reader.next_frame(&mut pixels)?;
    Ok((pixels, info.width as usize))
}

#[test]
fn a_screenshot_shows_the_movie_and_its_state_in_both_colours() -> Result<()> {
    let (_folder, mut server) = serve_as("bars.mjpeg", &movies::bars(200)?, &[])?;
    let display = Display::start()?;
    let rtsp = server.urls[0].clone();
    let lab = rtsp.replace("rtsp://", "labrtsp://");
    for (theme, ground) in [("dark", [0x1c; 3]), ("light", [0xf6; 3])] {
        for (name, source) in [("rtsp", &rtsp), ("lab", &lab)] {
            let (code, screen) =
                screenshot(&display, name, &["--theme", theme, "--after", "10", source])?;
            assert_eq!(code, Some(0), "{name}, {theme}");
            assert!(shows_the_bars(&screen), "{name}, {theme}");
            assert_eq!(next_step(&screen), Some("Pause"), "{name}, {theme}");
            assert_eq!(screen.at(5, 24), ground, "{name}, {theme}");
        }
    }
    // A failure has a screenshot too, and another exit code.
    let missing = rtsp.replace("bars", "missing");
    let (code, screen) = screenshot(&display, "missing", &["--after", "10", &missing])?;
    assert_eq!((code, next_step(&screen)), (Some(1), Some("Setup")));
    server.is_well()
}

#[test]
fn a_click_replaces_an_rtp_port_that_is_taken() -> Result<()> {
    let (_folder, mut server) = serve_as("bars.mjpeg", &movies::bars(200)?, &["--log", "info"])?;
    let display = Display::start()?;
    let taken = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let port = taken.local_addr()?.port();
    let source = format!("{}?rtp-port={port}", server.urls[0].replace("rtsp://", "labrtsp://"));
    let mut window = Window::open(&display, &[&ARGUMENTS[..], &[&source]].concat())?;
    // The first offer has the accent colour, where the picture would be.
    let mut offer = None;
    wait_until("the offer", LIMIT, || {
        let Ok(screen) = display.screenshot() else { return false };
        offer = (60..HEIGHT - 140).find(|y| screen.at(120, *y) == ACCENT);
        offer.is_some()
    });
    window.click(120, offer.context("not found")? + 6)?;
    wait_until("the bars", LIMIT, || display.screenshot().is_ok_and(|it| shows_the_bars(&it)));
    // A signal closes the window as a user does.
    window.process().signal("TERM")?;
    assert!(window.process().wait(LIMIT)?.success());
    server.wait_for_log("TEARDOWN", LIMIT);
    server.is_well()
}

#[test]
fn received_frames_are_saved_and_recorded() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(600, "I420")?;
    let movie = folder.file("ball.mjpeg", &movies::movie(&images)?)?;
    let mut server = Server::start([movie], 1)?;
    let display = Display::start()?;
    let lab = server.urls[0].replace("rtsp://", "labrtsp://");
    let mut window = Window::open(&display, &[&ARGUMENTS[..], &[&lab]].concat())?;
    wait_until("the movie", LIMIT, || {
        display.screenshot().is_ok_and(|it| next_step(&it) == Some("Pause"))
    });
    let (png, recorded) = (display.home().join("ball"), display.home().join("ball-recorded.mjpeg"));
    window.key("ctrl+r")?;
    wait_until("frames in the file", LIMIT, || {
        std::fs::metadata(&recorded).is_ok_and(|it| it.len() > 60_000)
    });
    window.key("ctrl+r")?;
    window.key("ctrl+s")?;
    let prefix = png.to_str().context("a plain path")?.to_owned() + "-";
    let mut saved = None;
    wait_until("the picture", LIMIT, || {
        let files = std::fs::read_dir(display.home()).into_iter().flatten().flatten();
        saved = files.map(|it| it.path()).find(|it| {
            it.extension().is_some_and(|it| it == "png")
                && it.to_str().is_some_and(|it| it.starts_with(&prefix))
        });
        saved.as_ref().is_some_and(|it| read_png(it).is_ok())
    });
    let (pixels, width) = read_png(&saved.context("not found")?)?;
    assert_eq!((width, pixels.len()), (384, 384 * 288 * 3));
    window.key("q")?;
    assert!(window.process().wait(LIMIT)?.success());

    // The recorded frames are the file's own, byte for byte and in order.
    let bytes = std::fs::read(&recorded)?;
    let first = images.iter().position(|image| {
        let prefix = format!("{:05}", image.len());
        bytes.starts_with(prefix.as_bytes()) && bytes[5..].starts_with(image)
    });
    let rest = movies::movie(&images[first.context("no frame of the movie")?..])?;
    assert!(rest.starts_with(&bytes), "{} bytes", bytes.len());
    server.is_well()
}
