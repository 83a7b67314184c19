// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two players of one process with one server: each has its own session, and neither disturbs the other.

use crate::odd_servers::{bye, interleaved, packets};
use crate::positions::Frames;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_client::player::engine::{Engine, Event};
use mjpeg_rtsp_client::player::{FailureKind, Options, Player, State, Transport};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::peer::rtsp_server::RtspServer;
use mjpeg_rtsp_tests::programs::{Server, serve_as};
use mjpeg_rtsp_tests::{pace, wait_in_main_loop};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// A player, its failure, and whether its movie has ended.
struct Watched {
    player: Player,
    failure: Rc<RefCell<Option<String>>>,
    ended: Rc<Cell<bool>>,
}

fn watched(url: &str) -> Result<Watched> {
    let options = Options { transport: Transport::Tcp, latency: 0, ..Options::default() };
    let player = Player::new(url, &options)?;
    player.set_video_sink(&gst::ElementFactory::make("fakesink").property("sync", true).build()?);
    let (failure, ended) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(false)));
    let (slot, end) = (failure.clone(), ended.clone());
    player.connect_error(move |failure| {
        slot.replace(Some(failure.text.clone()));
    });
    player.connect_end_of_movie(move || end.set(true));
    Ok(Watched { player, failure, ended })
}

impl Watched {
    fn until(&self, what: &str, mut ready: impl FnMut(&Self) -> bool) {
        wait_in_main_loop(what, LIMIT, || {
            assert_eq!(*self.failure.borrow(), None, "{what}");
            ready(self)
        });
    }

    fn set_up(&self) {
        self.player.command("setup");
        self.until("READY", |it| it.player.state() == State::Ready);
    }
}

/// A reply without an end ends the session that it belongs to, and no other one.
#[test]
fn a_reply_without_an_end_ends_only_its_own_session() -> Result<()> {
    const FRAMES: u32 = 120;
    mjpeg_rtsp_tests::init();
    let images = movies::images(FRAMES, "I420")?;
    let server = RtspServer::start(move |request, stream| {
        if request.method == "DESCRIBE" && request.url.ends_with("endless") {
            let headers = "Content-Type: application/sdp\r\nContent-Length: 2000000000\r\n";
            stream.write_all(&request.reply("200 OK", headers, ""))?;
            loop {
                stream.write_all(&vec![b'x'; 100_000])?;
                pace(Duration::from_millis(1));
            }
        }
        stream.write_all(&request.answer())?;
        if request.method == "PLAY" {
            let (mut send, images) = (interleaved(stream.try_clone()?), images.clone());
            std::thread::spawn(move || -> Result<()> {
                let mut number = 1;
                for (at, image) in (0..).zip(&images) {
                    for packet in packets(image, 7, &mut number, at * 4500)? {
                        send(0, &packet)?;
                    }
                    pace(Duration::from_millis(50));
                }
                send(1, &bye(7))
            });
        }
        Ok(())
    })?;
    let url = format!("rtsp://{}", server.address());
    let movie = watched(&format!("{url}/movie"))?;
    movie.set_up();
    movie.player.command("play");
    movie.until("frames", |it| it.player.statistics().frames >= 5);

    let endless = watched(&format!("{url}/endless"))?;
    endless.player.command("setup");
    movie.until("the failure of the other", |_| endless.failure.borrow().is_some());
    let want = "the server sends a reply without an end, or one of more than 8 MiB";
    assert_eq!(endless.failure.borrow().as_deref(), Some(want));
    assert!(movie.player.statistics().frames < u64::from(FRAMES), "it ended too early to say");

    movie.until("the end", |it| it.ended.get());
    let statistics = movie.player.statistics();
    assert_eq!((statistics.frames, statistics.lost), (u64::from(FRAMES), 0));
    Ok(())
}

/// The packets of one session are not counted as replies to another one that waits.
#[test]
fn a_session_that_waits_does_not_count_the_packets_of_another() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let image = cjpeg(&Picture::made(640, 480), &["-sample", "2x2", "-quality", "90"])?;
    let images = vec![image; 300];
    let bytes = movies::movie(&images)?.len();
    ensure!(bytes > 12 << 20, "{bytes}");
    let (_folder, mut server) = serve_as("movie.mjpeg", &images, &["--framerate", "100"])?;
    let (playing, waiting) = (watched(&server.urls[0])?, watched(&server.urls[0])?);
    waiting.set_up();
    playing.set_up();
    playing.player.command("play");
    playing.until("the end", |it| {
        assert_eq!(*waiting.failure.borrow(), None);
        it.ended.get()
    });
    assert_eq!(playing.player.statistics().lost, 0);
    // It is still a session.
    waiting.player.command("play");
    waiting.until("frames", |it| it.player.statistics().frames >= 5);
    server.is_well()
}

/// Waits in the test's thread until `ready` gives a value.
fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        ensure!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        pace(Duration::from_millis(5));
    }
}

/// The failures of an engine since the last call.
fn failures(engine: &Engine) -> Vec<String> {
    let failed = |event| match event {
        Event::Failed(failure) => Some(failure.text),
        _ => None,
    };
    engine.events().filter_map(failed).collect()
}

/// A second session, as that of the previews, shows the frames that it is asked for, while the first one
/// plays on without a loss.
#[test]
fn a_second_session_shows_frames_while_the_first_one_plays() -> Result<()> {
    const FRAMES: u32 = 400;
    const FRAME: Duration = Duration::from_millis(50);
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let images = movies::images(FRAMES, "I420")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let frames = Frames::of(&images, &folder)?;
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut server = Server::start([&movie], 1)?;
        let url = &server.urls[0];
        let first = Engine::start(|| {})?;
        first.open(url, Options { transport, ..Options::default() }, true);
        wait_for("frames", || Ok((first.status().statistics.frames >= 5).then_some(())))?;
        let second = Engine::start(|| {})?;
        let options = Options { transport: Transport::Tcp, latency: 0, ..Options::default() };
        second.set_up_unrecorded(url, options);
        wait_for("READY", || Ok((second.status().state == State::Ready).then_some(())))?;

        let position = || {
            let (_, picture) = first.picture().get().context("no picture")?;
            let frame = frames.number(&picture)?;
            anyhow::Ok(FRAME * frame)
        };
        let (start, started) = (position()?, Instant::now());
        for at in [300, 17, 250, 251, 0, 399, 120, 60] {
            second.seek(FRAME * at + FRAME / 4);
            wait_for(&format!("frame {at}"), || {
                assert_eq!(failures(&second), [""; 0]);
                let Some((_, picture)) = second.picture().get() else { return Ok(None) };
                Ok((frames.number(&picture)? == at).then_some(()))
            })?;
        }
        // The picture is shown before the player pauses again.
        wait_for("READY", || Ok((second.status().state == State::Ready).then_some(())))?;
        assert!(second.capture().with_packets(|packets| packets.records().len() == 0));
        // The first one goes on as time does: within the time of a picture that waits to be seen.
        wait_for("the first one goes on as time does", || {
            let (now, passed) = (position()?, started.elapsed());
            let off = now.saturating_sub(start).abs_diff(passed);
            Ok((off < Duration::from_millis(400)).then_some(()))
        })?;
        let status = first.status();
        assert_eq!((status.statistics.lost, status.state), (0, State::Playing), "{transport:?}");
        assert_eq!(failures(&first), [""; 0]);

        // The first one goes on also when the second is gone.
        drop(second);
        let before = position()?;
        wait_for("more", || Ok((position()? > before).then_some(())))?;
        assert_eq!((failures(&first), first.status().statistics.lost), (Vec::new(), 0));
        server.is_well()?;
    }
    Ok(())
}

/// A server that accepts no second viewer refuses the second session, and the first one plays on.
#[test]
fn a_refused_second_session_does_not_disturb_the_first() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(200, "I420")?)?)?;
    let config = folder.file("server.toml", b"[limits]\nmax-viewers-per-address = 1\n")?;
    let mut server =
        Server::start(["--config".as_ref(), config.as_os_str(), movie.as_os_str()], 1)?;
    let first = Engine::start(|| {})?;
    first.open(&server.urls[0], Options::default(), true);
    wait_for("frames", || Ok((first.status().statistics.frames >= 5).then_some(())))?;
    let second = Engine::start(|| {})?;
    second.set_up_unrecorded(&server.urls[0], Options::default());
    wait_for("READY", || Ok((second.status().state == State::Ready).then_some(())))?;
    second.seek(Duration::from_secs(5));
    let failure = wait_for("the refusal", || {
        Ok(second.events().find_map(|event| match event {
            Event::Failed(failure) => Some(failure),
            _ => None,
        }))
    })?;
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    let before = first.status().statistics.frames;
    wait_for("more", || Ok((first.status().statistics.frames > before + 10).then_some(())))?;
    assert_eq!((failures(&first), first.status().statistics.lost), (Vec::new(), 0));
    server.is_well()
}
