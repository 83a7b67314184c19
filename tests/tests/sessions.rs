// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions that start again: after a loss, at the movie's end, at a section's end.

use anyhow::Result;
use gst::prelude::*;
use mjpeg_rtsp_client::player::{FailureKind, Options, Player, State, Transport};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::programs::{Server, headless, program, run, serve};
use mjpeg_rtsp_tests::{wait_in_main_loop, wait_until};
use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);

/// Runs the main loop until `ready`.
fn until(what: &str, ready: impl FnMut() -> bool) {
    wait_in_main_loop(what, LIMIT, ready);
}

/// A player that has no window, and a hash of each frame that it has shown.
fn watched(source: &str, options: &Options) -> Result<(Player, Arc<Mutex<Vec<u64>>>)> {
    let player = Player::new(source, options)?;
    let sink = gst::ElementFactory::make("fakesink").property("sync", true).build()?;
    sink.set_property("signal-handoffs", true);
    player.set_video_sink(&sink);
    let shown = Arc::new(Mutex::new(Vec::new()));
    let hashes = shown.clone();
    sink.connect("handoff", false, move |values| {
        let buffer = values.get(1)?.get::<gst::Buffer>().ok()?;
        let mut hasher = DefaultHasher::new();
        buffer.map_readable().ok()?.hash(&mut hasher);
        hashes.lock().ok()?.push(hasher.finish());
        None
    });
    Ok((player, shown))
}

fn start(player: &Player) {
    player.command("setup");
    until("READY", || player.state() == State::Ready);
    player.command("play");
}

#[test]
fn a_lost_session_is_opened_again_and_goes_on() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(400, "I420")?)?)?;
    // With the lab's protocol a frame cannot be asked for in every server, so it starts anew.
    let rows = [
        ("rtsp", Transport::Tcp, true),
        ("rtsp", Transport::Udp, true),
        ("labrtsp", Transport::Auto, false),
    ];
    for (scheme, transport, goes_on) in rows {
        let name = format!("{scheme} {transport:?}");
        // No other program gets this port while nobody listens.
        let address = format!("127.0.0.1:{}", crate::ports::free()?);
        let mut server = Server::start_on(&address, [&movie], 1)?;
        let source = server.urls[0].replace("rtsp://", &format!("{scheme}://"));
        let timeout = Duration::from_secs(5);
        let options =
            Options { transport, latency: 0, timeout, reconnect: true, ..Options::default() };
        let (player, shown) = watched(&source, &options)?;
        player.connect_error(|failure| panic!("{failure}"));
        let attempts = Rc::new(RefCell::new(Vec::new()));
        let list = attempts.clone();
        player.connect_reconnecting(move |failure, attempt, wait| {
            list.borrow_mut().push((failure.kind, attempt, wait));
        });
        start(&player);
        until("a second", || shown.lock().expect("no panic").len() >= 20);
        server.process().signal("KILL")?;
        until("the end", || server.process().ended().is_ok_and(|ended| ended.is_some()));
        until("the loss", || !attempts.borrow().is_empty());
        let at = player.position();
        assert_eq!(player.state(), State::Init, "{name}");
        // Nobody listens: at least one attempt fails.
        until("an attempt", || attempts.borrow().len() >= 2);
        let server = Server::start_on(&address, [&movie], 1)?;
        until("PLAYING", || player.state() == State::Playing);
        let before = shown.lock().expect("no panic").len();
        until("a second", || shown.lock().expect("no panic").len() >= before + 20);
        assert!(!player.reconnects(), "{name}");
        let position = player.position().unwrap_or_default();
        if goes_on {
            // One second was shown, and one more by now.
            assert!(at.is_some_and(|at| position > at), "{name}: {at:?} {position}");
        }
        let seconds = Duration::from_secs;
        let (lost, first, wait) = attempts.borrow()[0];
        assert!([FailureKind::Lost, FailureKind::Silent].contains(&lost), "{name}: {lost:?}");
        assert_eq!((first, wait), (1, seconds(1)), "{name}");
        let (failed, second, wait) = attempts.borrow()[1];
        assert_eq!((failed, second, wait), (FailureKind::NoConnection, 2, seconds(2)), "{name}");
        assert_eq!(player.statistics().lost, 0, "{name}");
        player.command("teardown");
        drop(server);
    }
    Ok(())
}

#[test]
fn teardown_ends_the_attempts() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(400, "I420")?)?)?;
    // No other program gets this port while nobody listens.
    let address = format!("127.0.0.1:{}", crate::ports::free()?);
    let mut server = Server::start_on(&address, [&movie], 1)?;
    let options = Options { transport: Transport::Tcp, reconnect: true, ..Options::default() };
    let (player, shown) = watched(&server.urls[0], &options)?;
    start(&player);
    until("frames", || shown.lock().expect("no panic").len() >= 5);
    server.process().signal("KILL")?;
    until("the loss", || player.reconnects());
    player.command("teardown");
    assert!(!player.reconnects());
    let waited = std::time::Instant::now();
    until("the time of an attempt", || waited.elapsed() > Duration::from_millis(1200));
    assert_eq!((player.state(), player.pending()), (State::Init, None));
    Ok(())
}

#[test]
fn a_script_sees_how_often_the_session_was_lost() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(400, "I420")?)?)?;
    // No other program gets this port while nobody listens.
    let address = format!("127.0.0.1:{}", crate::ports::free()?);
    let debug = [&movie, Path::new("--log"), Path::new("debug")];
    let mut server = Server::start_on(&address, debug, 1)?;
    let url = server.urls[0].clone();
    let client = std::thread::spawn(move || {
        let mut client = program("mjpeg-rtsp-client")?;
        client.args(["--headless", "--json", "--reconnect", "--transport", "tcp"]);
        run(client.args(["--frames", "60", "--timeout", "10", &url]), LIMIT)
    });
    server.wait_for_log("method=\"PLAY\"", LIMIT);
    server.process().signal("KILL")?;
    wait_until("the end", LIMIT, || server.process().ended().is_ok_and(|ended| ended.is_some()));
    let _server = Server::start_on(&address, [&movie], 1)?;
    let done = client.join().expect("no panic")?;
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{log}");
    let summary: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    let got = [&summary["frames"], &summary["reconnects"], &summary["lost"]]
        .map(serde_json::Value::as_u64);
    assert_eq!(got, [Some(60), Some(1), Some(0)], "{summary} {log}");
    let said = "the connection to the server was lost: trying again in 1 s (attempt 1)\n";
    assert!(log.starts_with(said), "{log}");
    Ok(())
}

#[test]
fn a_repeated_movie_starts_again_with_its_first_frame() -> Result<()> {
    let (folder, mut server) = serve(10, &[])?;
    let file = folder.path().join("movie.mjpeg").to_string_lossy().into_owned();
    let (rtsp, lab) = (server.urls[0].clone(), server.urls[0].replace("rtsp://", "labrtsp://"));
    let rows = [(&file, "auto"), (&rtsp, "tcp"), (&rtsp, "udp"), (&lab, "auto")];
    for (source, transport) in rows {
        let pictures = |options: &[&str]| -> Result<Vec<Vec<u8>>> {
            let out = Folder::new()?;
            let path = out.path().to_string_lossy().into_owned();
            let arguments = [options, &["--transport", transport, "--save", &path, source]];
            let (code, _, stderr) = headless(&arguments.concat())?;
            assert_eq!(code, Some(0), "{source} {transport}: {stderr}");
            let mut names: Vec<_> =
                std::fs::read_dir(out.path())?.flatten().map(|it| it.path()).collect();
            names.sort();
            names.iter().map(|name| Ok(std::fs::read(name)?)).collect()
        };
        let once = pictures(&[])?;
        assert_eq!(once.len(), 10, "{source} {transport}");
        let want: Vec<Vec<u8>> = once.iter().cycle().take(25).cloned().collect();
        assert!(pictures(&["--loop", "--frames", "25"])? == want, "{source} {transport}");
    }
    server.is_well()
}

#[test]
fn a_section_is_played_again_and_again() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let (folder, mut server) = serve(60, &[])?;
    let file = folder.path().join("movie.mjpeg").to_string_lossy().into_owned();
    let (rtsp, lab) = (server.urls[0].clone(), server.urls[0].replace("rtsp://", "labrtsp://"));
    let rows = [
        (&file, Transport::Auto),
        (&rtsp, Transport::Tcp),
        (&rtsp, Transport::Udp),
        (&lab, Transport::Auto),
    ];
    // Frames 10 to 14 at 20 frames a second.
    let section = (Duration::from_millis(500), Duration::from_millis(700));
    for (source, transport) in rows {
        let name = format!("{source} {transport:?}");
        let options = Options { transport, latency: 0, ..Options::default() };
        let (player, shown) = watched(source, &options)?;
        player.connect_error(|failure| panic!("{failure}"));
        start(&player);
        until("the whole section", || shown.lock().expect("no panic").len() >= 16);
        let whole = shown.lock().expect("no panic").clone();
        player.set_section(Some(section));
        until("three more rounds", || {
            let shown = shown.lock().expect("no panic");
            shown.iter().filter(|it| **it == whole[10]).count() >= 4
        });
        let frames: Vec<Option<usize>> = {
            let shown = shown.lock().expect("no panic");
            shown.iter().map(|it| whole.iter().position(|one| one == it)).collect()
        };
        // From the first return on only frames of the section are shown, each once in a round.
        let back = frames.windows(2).position(|it| it[1] == Some(10) && it[0] != Some(9));
        // The last frame may be shown again until the first one has arrived.
        let mut rounds = frames[back.map_or(0, |at| at + 1)..].to_vec();
        rounds.dedup();
        for (at, frame) in rounds.iter().enumerate() {
            assert!(matches!(frame, Some(10..=14)), "{name}: {at} {frames:?}");
        }
        for round in rounds.split(|it| *it == Some(10)).skip(1).take(2) {
            assert_eq!(round, [11, 12, 13, 14].map(Some), "{name}: {frames:?}");
        }
        player.set_section(None);
        until("what follows", || {
            let shown = shown.lock().expect("no panic");
            shown.last().is_some_and(|it| !whole[..15].contains(it))
        });
        player.command("teardown");
    }
    server.is_well()
}
