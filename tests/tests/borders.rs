// SPDX-License-Identifier: MIT OR Apache-2.0
//! Panics on purpose wherever C calls the client, and strings that are not UTF-8: a session ends,
//! and the program does not abort.

use anyhow::{Context, Result, ensure};
use gst::prelude::*;
use mjpeg_rtsp_client::player::engine::{Engine, Event};
use mjpeg_rtsp_client::player::{Options, Player, State, Transport, movies as lists};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::pipeline::TestPipeline;
use mjpeg_rtsp_tests::programs::{headless, program, run, serve};
use mjpeg_rtsp_tests::{wait_in_main_loop, wait_until};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

/// Names the border that panics, in builds with debug assertions.
const PANIC_AT: &str = "MJPEG_RTSP_PANIC_AT";

/// The URL of a movie for the child processes of these tests.
const SOURCE: &str = "MJPEG_RTSP_TESTS_SOURCE";

/// A border, the client's arguments with `{}` for the server's address, how often the border is
/// called in a session that it ends (0: at least once), and the exit code.
type Row = (&'static str, &'static [&'static str], usize, i32);

/// Borders that GStreamer calls.
#[rustfmt::skip]
const STREAMING: &[Row] = &[
    ("source-setup", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    // From several threads at once.
    ("element-added", &["--headless", "rtsp://{}/movie.mjpeg"], 0, 1),
    ("rtsp-manager", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("rtsp-jitterbuffer", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("rtsp-monitor", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("exchange", &["--headless", "rtsp://{}/movie.mjpeg"], 0, 1),
    ("exchange", &["--headless", "labrtsp://{}/movie.mjpeg"], 0, 1),
    ("rtcp-pad-added", &["--headless", "rtsp://{}/movie.mjpeg"], 0, 1),
    ("rtcp", &["--headless", "rtsp://{}/movie.mjpeg"], 0, 1),
    ("packets", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("packet-positions", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("frame-positions", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("packets", &["--headless", "labrtsp://{}/movie.mjpeg"], 1, 1),
    ("decoder-input", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("decoder-output", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("shown-frames", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("sink-frames", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("headless-handoff", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
];

/// Borders that GLib calls, in the player's thread.
#[rustfmt::skip]
const OWN: &[Row] = &[
    ("headless-timer", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("terminal-timer", &["--terminal", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("player-bus", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("player-bus", &["--headless", "labrtsp://{}/movie.mjpeg"], 1, 1),
    // Setup, and teardown at the end.
    ("player-command", &["--headless", "rtsp://{}/movie.mjpeg"], 2, 1),
    ("player-state", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("player-exchange", &["--headless", "--explain", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("player-exchange", &["--headless", "--explain", "labrtsp://{}/movie.mjpeg"], 1, 1),
    ("player-end-of-movie", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    ("player-property", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 1),
    // The session has ended; the program ends without a reason.
    ("player-error", &["--headless", "--timeout", "1", "rtsp://{}/none"], 1, 1),
    ("player-error", &["--terminal", "rtsp://{}/none"], 1, 1),
    // No session to end.
    ("rtsp-monitor-new", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 0),
    // Keep-alives are not seen.
    ("rtspsrc-log", &["--headless", "rtsp://{}/movie.mjpeg"], 0, 0),
    ("player-dispose", &["--headless", "rtsp://{}/movie.mjpeg"], 1, 0),
    // Messages are lost.
    ("glib-log", &["--headless", "rtsp://{}/movie.mjpeg"], 0, 0),
];

/// Number of panics at a border, and the log.
fn panics_in(done: &Output, border: &str) -> (usize, String) {
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    (log.matches(&format!("on purpose, at the border {border}\n")).count(), log)
}

#[test]
fn a_panic_in_a_streaming_thread_ends_the_session_and_not_the_program() -> Result<()> {
    panic_at(STREAMING)
}

#[test]
fn a_panic_in_the_players_thread_ends_the_session_and_not_the_program() -> Result<()> {
    panic_at(OWN)
}

fn panic_at(rows: &[Row]) -> Result<()> {
    let (_folder, mut server) = serve(10, &[])?;
    let address = server.address()?.to_owned();
    for &(border, arguments, times, code) in rows {
        let mut client = program("mjpeg-rtsp-client")?;
        client.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env(PANIC_AT, border);
        if !arguments.contains(&"--timeout") {
            // The first panic is described with the names of its functions: seconds on a busy machine.
            client.args(["--timeout", "30"]);
        }
        client.args(arguments.iter().map(|it| it.replace("{}", &address)));
        let done = run(&mut client, LIMIT)?;
        let name = format!("{border} {arguments:?}");
        let (panics, log) = panics_in(&done, border);
        assert_eq!(done.status.code(), Some(code), "{name}: {log}");
        assert!(if times == 0 { panics > 0 } else { panics == times }, "{name}: {panics} {log}");
        assert!(log.contains("border::guarded"), "{name}: no backtrace: {log}");
        let reason = log.contains(&format!("ended the session (a panic in {border})"));
        assert_eq!(reason, code == 1 && border != "player-error", "{name}: {log}");
    }
    server.is_well()
}

/// Calls a border, in a session that plays a URL.
type CallBorder = fn(&str) -> Result<()>;

/// Borders that only interactive user interfaces have.
const OF_USER_INTERFACES: [(&str, CallBorder); 7] = [
    ("player-refused", refused),
    ("player-tick", tick),
    ("pictures", engine),
    ("engine-message", engine),
    ("engine-tick", engine),
    ("engine-thread", engine),
    ("movie-list", list),
];

#[test]
fn a_panic_in_a_user_interface_is_reported_to_it() -> Result<()> {
    let (_folder, mut server) = serve(10, &[])?;
    for (border, _) in OF_USER_INTERFACES {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--exact", "borders::child", "--ignored", "--nocapture"]);
        let done = run(child.env(PANIC_AT, border).env(SOURCE, &server.urls[0]), LIMIT)?;
        let (panics, log) = panics_in(&done, border);
        let ran = String::from_utf8_lossy(&done.stdout).contains("1 passed");
        assert!(done.status.success() && ran, "{border}: {log}");
        assert_eq!(panics, 1, "{border}: {log}");
    }
    server.is_well()
}

#[test]
#[ignore = "the child process of a_panic_in_a_user_interface_is_reported_to_it"]
fn child() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let (border, source) = (std::env::var(PANIC_AT)?, std::env::var(SOURCE)?);
    let row = OF_USER_INTERFACES.iter().find(|(name, _)| *name == border);
    row.with_context(|| format!("no border {border}"))?.1(&source)
}

/// A player and the failures that it reports.
fn player(source: &str) -> Result<(Player, Rc<RefCell<Vec<String>>>)> {
    let options = Options { transport: Transport::Tcp, ..Options::default() };
    let player = Player::new(source, &options)?;
    player.set_video_sink(&gst::ElementFactory::make("fakesink").build()?);
    let failures = Rc::new(RefCell::new(Vec::new()));
    let slot = failures.clone();
    player.connect_error(move |failure| slot.borrow_mut().push(failure.text.clone()));
    Ok((player, failures))
}

fn until(what: &str, ready: impl FnMut() -> bool) {
    wait_in_main_loop(what, LIMIT, ready);
}

fn ended(border: &str) -> String {
    format!(
        "an internal error ended the session (a panic in {border}): please report it with the log"
    )
}

fn refused(source: &str) -> Result<()> {
    let (player, failures) = player(source)?;
    player.connect_refused(|_| {});
    player.command("play");
    player.command("play");
    assert_eq!(*failures.borrow(), [ended("player-refused")]);
    Ok(())
}

fn tick(source: &str) -> Result<()> {
    let (player, failures) = player(source)?;
    player.command("setup");
    until("READY", || player.state() == State::Ready);
    player.step_to(gst::ClockTime::from_mseconds(112));
    until("a failure", || !failures.borrow().is_empty());
    assert_eq!((player.state(), player.pending()), (State::Init, None));
    assert_eq!(*failures.borrow(), [ended("player-tick")]);
    Ok(())
}

fn engine(source: &str) -> Result<()> {
    let border = std::env::var(PANIC_AT)?;
    let wakes = Arc::new(AtomicUsize::new(0));
    let count = wakes.clone();
    let engine = Engine::start(move || {
        count.fetch_add(1, Ordering::Relaxed);
    })?;
    engine.open(source, Options::default(), true);
    let mut events = Vec::new();
    wait_until("a failure", LIMIT, || {
        events.extend(engine.events());
        events.iter().any(|event| matches!(event, Event::Failed(_)))
    });
    assert!(wakes.load(Ordering::Relaxed) > 0);
    assert_eq!(engine.status().state, State::Init);
    let texts = events.iter().filter_map(|event| match event {
        Event::Failed(failure) => Some(failure.text.as_str()),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), [ended(&border)]);
    Ok(())
}

fn list(source: &str) -> Result<()> {
    let (sender, list) = std::sync::mpsc::channel();
    lists::find_in_background(source, move |list| drop(sender.send(list)))?;
    assert_eq!(list.recv_timeout(LIMIT)?, [""; 0]);
    Ok(())
}

/// Replies to OPTIONS on one connection, and to any other request with a redirect.
fn redirect(listener: &TcpListener, location: &[u8]) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(LIMIT))?;
    while let Some(request) = next_request(&mut stream)? {
        let cseq = request.lines().find(|line| line.starts_with("CSeq:")).context("no CSeq")?;
        let (status, headers) = if request.starts_with("OPTIONS") {
            ("200 OK", &b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN\r\n"[..])
        } else {
            ("302 Found", location)
        };
        stream.write_all(format!("RTSP/1.0 {status}\r\n{cseq}\r\n").as_bytes())?;
        stream.write_all(&[headers, b"\r\n"].concat())?;
    }
    Ok(())
}

fn next_request(stream: &mut TcpStream) -> Result<Option<String>> {
    let mut held = Vec::new();
    let mut byte = [0];
    while !held.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            ensure!(held.is_empty(), "the client closed the connection in a request");
            return Ok(None);
        }
        held.push(byte[0]);
    }
    Ok(Some(String::from_utf8(held)?))
}

#[test]
fn a_redirect_that_is_not_utf8_is_an_error_and_not_a_crash() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // GStreamer leaves a text that is not UTF-8 out of its PROGRESS message.
    let location = format!("Location: rtsp://{address}/\x1b[2J").into_bytes();
    let location = [&location, &b"\xff\r\n"[..]].concat();
    let peer = std::thread::spawn(move || redirect(&listener, &location));
    let (code, summary, log) = headless(&[&format!("rtsp://{address}/movie.mjpeg")])?;
    assert_eq!((code, &summary["frames"]), (Some(1), &0.into()), "{log}");
    assert!(!log.contains('\x1b'), "{log:?}");
    peer.join().map_err(|_| anyhow::anyhow!("the server panicked"))?
}

#[test]
fn a_movie_whose_name_is_not_utf8_plays() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::images(3, "I420")?)?;
    let name = PathBuf::from(OsStr::from_bytes(b"m\xff.mjpeg"));
    let path = folder.path().join(name);
    std::fs::write(&path, movie)?;
    let source = gst::ElementFactory::make("mjpegfilesrc").property("location", &path).build()?;
    assert_eq!(source.property::<PathBuf>("location"), path);
    let sink = gst::ElementFactory::make("fakesink").build()?;
    let pipeline = TestPipeline::linked(&[&source, &sink])?;
    pipeline.play()?;
    pipeline.wait_for_end()?;
    assert_eq!(source.property::<u64>("frames"), 3);
    Ok(())
}
