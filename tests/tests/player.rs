// SPDX-License-Identifier: MIT OR Apache-2.0
//! The player: the lab's states, seeks, single frames, failures.

use crate::odd_servers::{interleaved, packets};
use anyhow::Result;
use gst::prelude::*;
use mjpeg_rtsp_client::player::engine::{Engine, Event};
use mjpeg_rtsp_client::player::{FailureKind, Options, Player, State, Transport, movies as lists};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::lab_server::{Behaviour, LabServer, Replies, Requests};
use mjpeg_rtsp_tests::peer::relay::{Fate, Relay};
use mjpeg_rtsp_tests::peer::rtsp_server::{RtspServer, SDP};
use mjpeg_rtsp_tests::programs::{Server, serve, serve_as};
use mjpeg_rtsp_tests::{wait_in_main_loop, wait_until};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// Runs the main loop until `ready`.
fn until(what: &str, ready: impl FnMut() -> bool) {
    wait_in_main_loop(what, LIMIT, ready);
}

#[test]
fn the_states_are_the_labs_and_a_movie_plays_twice() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let (_folder, mut server) = serve(40, &[])?;
    for transport in [Transport::Tcp, Transport::Udp] {
        let player =
            Player::new(&server.urls[0], &Options { transport, latency: 0, ..Options::default() })?;
        let sink = gst::ElementFactory::make("fakesink").property("sync", true).build()?;
        player.set_video_sink(&sink);
        let refused = Rc::new(RefCell::new(Vec::new()));
        let slot = refused.clone();
        player.connect_refused(move |text| slot.borrow_mut().push(text.to_owned()));
        let error = Rc::new(RefCell::new(None));
        let slot = error.clone();
        player.connect_error(move |failure| {
            slot.replace(Some(failure.text.clone()));
        });
        let ends = Rc::new(Cell::new(0));
        let count = ends.clone();
        player.connect_end_of_movie(move || count.set(count.get() + 1));
        // On a loaded machine the rest of the movie may end before a state is asked for.
        let entered = Rc::new(RefCell::new(Vec::new()));
        let slot = entered.clone();
        player.connect_state(move |player| slot.borrow_mut().push(player.state()));
        let in_state = |state: State| {
            until(state.name(), || {
                assert_eq!(*error.borrow(), None, "{transport:?}");
                entered.borrow().contains(&state)
            });
            entered.borrow_mut().clear();
        };

        player.command("teardown");
        for command in ["play", "pause"] {
            player.command(command);
        }
        assert_eq!(refused.borrow().len(), 2, "{:?}", refused.borrow());
        player.command("setup");
        assert_eq!(player.state(), State::Init, "the state changes with the server's reply");
        in_state(State::Ready);
        player.command("setup");
        player.command("pause");
        assert_eq!(refused.borrow().len(), 4, "{:?}", refused.borrow());
        player.command("play");
        in_state(State::Playing);
        until("frames", || player.statistics().frames >= 5);
        player.command("pause");
        in_state(State::Ready);
        let paused = player.statistics().frames;
        assert!(paused < 40);
        player.command("play");
        in_state(State::Playing);
        until("the end", || ends.get() == 1);
        assert_eq!(player.state(), State::Ready);
        let first = player.statistics().frames;
        assert!(first >= 40, "{first} frames");

        player.command("play");
        until("the second end", || {
            assert_eq!(*error.borrow(), None, "{transport:?}");
            ends.get() == 2
        });
        let second = player.statistics().frames - first;
        assert!(second >= 40, "{transport:?}: {second} frames of 40 the second time");
        player.command("teardown");
        assert_eq!(player.state(), State::Init);
        entered.borrow_mut().clear();
        player.command("setup");
        in_state(State::Ready);
        player.command("teardown");
    }
    server.is_well()
}

/// A player, and a hash of each picture that it has given to its sink.
fn watched(url: &str, transport: Transport) -> Result<(Player, Arc<Mutex<Vec<u64>>>)> {
    watched_with(url, &Options { transport, latency: 0, ..Options::default() })
}

fn watched_with(url: &str, options: &Options) -> Result<(Player, Arc<Mutex<Vec<u64>>>)> {
    let player = Player::new(url, options)?;
    let sink = gst::ElementFactory::make("fakesink").property("sync", true).build()?;
    let pictures = Arc::new(Mutex::new(Vec::new()));
    let hashes = pictures.clone();
    player.set_video_sink(&sink);
    // After the player's own probe, which keeps the frame of a step until the server has paused.
    let pad = sink.static_pad("sink").expect("every sink has one");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(picture) = info.buffer().and_then(|buffer| buffer.map_readable().ok()) {
            let mut hasher = DefaultHasher::new();
            picture.hash(&mut hasher);
            hashes.lock().expect("no panic").push(hasher.finish());
        }
        gst::PadProbeReturn::Ok
    });
    player.connect_error(|text| panic!("{text}"));
    Ok((player, pictures))
}

/// Sets up and plays; returns whether the end of the movie was reached.
fn set_up_and_play(player: &Player) -> Rc<Cell<bool>> {
    let ended = Rc::new(Cell::new(false));
    let end = ended.clone();
    player.connect_end_of_movie(move || end.set(true));
    player.command("setup");
    until("READY", || player.state() == State::Ready);
    player.command("play");
    ended
}

#[test]
fn after_a_pause_of_a_second_no_frame_is_missing() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let (_folder, mut server) = serve(40, &[])?;
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut runs = Vec::new();
        for pause in [false, true] {
            let (player, pictures) = watched(&server.urls[0], transport)?;
            let ended = set_up_and_play(&player);
            until("PLAYING", || player.state() == State::Playing);
            if pause {
                until("ten frames", || player.statistics().frames >= 10);
                player.command("pause");
                until("READY", || player.state() == State::Ready);
                let started = Instant::now();
                until("a second", || started.elapsed() >= Duration::from_secs(1));
                assert!(pictures.lock().expect("no panic").len() < 30);
                player.command("play");
            }
            until("the end", || ended.get());
            player.command("teardown");
            runs.push(pictures.lock().expect("no panic").clone());
        }
        let different: HashSet<u64> = runs[0].iter().copied().collect();
        assert_eq!((runs[0].len(), different.len()), (40, 40), "{transport:?}");
        assert_eq!(runs[1], runs[0], "{transport:?}");
    }
    server.is_well()
}

#[test]
fn of_twenty_seeks_in_two_seconds_the_last_target_wins() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let images = vec![movies::images(100, "I420")?; 12].concat();
    let (_folder, mut server) = serve_as("movie.mjpeg", &images, &[])?;
    for transport in [Transport::Tcp, Transport::Udp] {
        let (player, _pictures) = watched(&server.urls[0], transport)?;
        set_up_and_play(&player);
        until("frames", || player.statistics().frames >= 5);
        for n in 0..20_u64 {
            // Back and forth over the minute; the last target is 41 s.
            player.seek(gst::ClockTime::from_seconds(n * 29 % 51));
            let started = Instant::now();
            // No multiple of a frame's duration: a frame that arrives while GStreamer 1.22's receiver
            // flushes counts as the first one of the new position, and the others are lost.
            until("the next key", || started.elapsed() >= Duration::from_millis(85));
        }
        let last = gst::ClockTime::from_seconds(19 * 29 % 51);
        let near = last..last + gst::ClockTime::from_seconds(4);
        until("the last target", || player.position().is_some_and(|at| near.contains(&at)));
        let frames = player.statistics().frames;
        until("frames from there", || player.statistics().frames >= frames + 10);
        assert!(player.position().is_some_and(|at| at >= last), "{transport:?}");
        player.command("teardown");
    }
    server.is_well()
}

#[test]
fn a_paused_player_shows_the_frame_that_is_stepped_to() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(60, "I420")?)?)?;
    let mut server = Server::start([&movie], 1)?;
    let file = movie.to_str().expect("a plain path").to_owned();
    let rtsp = server.urls[0].clone();
    let lab = rtsp.replace("rtsp://", "labrtsp://");
    let whole = {
        let (player, pictures) = watched(&file, Transport::Auto)?;
        let ended = set_up_and_play(&player);
        until("the end", || ended.get());
        player.command("teardown");
        pictures.lock().expect("no panic").clone()
    };
    assert_eq!(whole.len(), 60);
    let rows = [
        ("file", &file, Transport::Auto, 0),
        ("tcp", &rtsp, Transport::Tcp, 0),
        ("tcp, latency", &rtsp, Transport::Tcp, 200),
        ("udp", &rtsp, Transport::Udp, 0),
        ("udp, latency", &rtsp, Transport::Udp, 200),
        ("lab", &lab, Transport::Auto, 0),
        ("lab, latency", &lab, Transport::Auto, 200),
    ];
    for (name, source, transport, latency) in rows {
        let options = Options { transport, latency, ..Options::default() };
        let (player, pictures) = watched_with(source, &options)?;
        set_up_and_play(&player);
        until("PLAYING", || player.state() == State::Playing);
        until("ten frames", || player.statistics().frames >= 10);
        player.command("pause");
        until("READY", || player.state() == State::Ready);
        for frame in [20_u64, 21, 22, 21, 5, 58, 0] {
            // A quarter of the frame's duration after its start.
            player.step_to(gst::ClockTime::from_mseconds(frame * 50 + 12));
            let want = whole[usize::try_from(frame)?];
            let end = Instant::now() + LIMIT;
            // On a busy machine, a frame may be lost over UDP, and the next one is shown.
            let mut again = Instant::now() + LIMIT / 4;
            until(&format!("{name}: frame {frame}"), || {
                let last = pictures.lock().expect("no panic").last().copied();
                let (state, pending) = (player.state(), player.pending());
                let shown = last == Some(want);
                if Instant::now() > end {
                    let last = whole.iter().position(|picture| Some(*picture) == last);
                    panic!("{name}: frame {frame}: {last:?} is shown, {state:?}, {pending:?}");
                }
                if !shown && transport == Transport::Udp && Instant::now() > again {
                    player.step_to(gst::ClockTime::from_mseconds(frame * 50 + 12));
                    again = Instant::now() + LIMIT / 4;
                }
                shown && state == State::Ready && pending.is_none()
            });
        }
        // Of many steps in quick succession, the last one is shown.
        for frame in 30_u64..40 {
            player.step_to(gst::ClockTime::from_mseconds(frame * 50 + 12));
        }
        until(&format!("{name}: the last one"), || {
            pictures.lock().expect("no panic").last() == Some(&whole[39])
                && player.state() == State::Ready
        });
        // It plays on from that frame, also where the server has sent others meanwhile.
        let before = pictures.lock().expect("no panic").len();
        player.command("play");
        // The frame on screen stays until the server has sent it again.
        let shown_since = || {
            let mut shown = pictures.lock().expect("no panic")[before..].to_vec();
            shown.dedup();
            shown
        };
        until(&format!("{name}: going on"), || shown_since().len() >= 3);
        let shown = shown_since();
        let first = shown.iter().position(|it| *it == whole[39]).unwrap_or(0);
        let frames: Vec<_> = shown.iter().map(|it| whole.iter().position(|of| of == it)).collect();
        assert!(
            whole[39..].starts_with(&shown[first..]) || whole[40..].starts_with(&shown),
            "{name}: frames {frames:?} are shown after frame 39"
        );
        player.command("pause");
        until("READY", || player.state() == State::Ready);
        // And from another position.
        player.seek(gst::ClockTime::from_mseconds(45 * 50 + 12));
        player.command("play");
        let before = pictures.lock().expect("no panic").len();
        until(&format!("{name}: playing on"), || {
            pictures
                .lock()
                .expect("no panic")
                .get(before..)
                .is_some_and(|it| it.contains(&whole[50]))
        });
        player.command("teardown");
        assert_eq!(player.state(), State::Init, "{name}");
    }
    server.is_well()
}

/// What makes a player play from a position.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Step,
    Seek,
    Reconnection,
}

#[test]
fn a_position_is_reached_although_the_first_frame_comes_long_after_the_reply_to_play() -> Result<()>
{
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    // A minute, of which the last quarter is longer away than the test waits.
    let images = vec![movies::images(100, "I420")?; 12].concat();
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    // No other program gets this port while nobody listens.
    let address = format!("127.0.0.1:{}", crate::ports::free()?);
    let mut server = Server::start_on(&address, [&movie], 1)?;
    let from = gst::ClockTime::from_seconds(45);
    let target = from + gst::ClockTime::from_mseconds(12);
    let starts = [Start::Step, Start::Seek, Start::Reconnection];
    let dialects = [
        ("rtsp", Transport::Tcp, &starts[..]),
        ("rtsp", Transport::Udp, &starts),
        // A lost session in the lab's dialect starts anew.
        ("labrtsp", Transport::Auto, &starts[..2]),
    ];
    for (scheme, transport, starts) in dialects {
        for &start in starts {
            let what = format!("{scheme}, {transport:?}, {start:?}");
            let held = Arc::new(AtomicBool::new(start != Start::Reconnection));
            let holds = held.clone();
            let relay = Relay::start(address.parse()?, move |_| {
                wait_until("release", 3 * LIMIT, || !holds.load(Ordering::Relaxed));
                Fate::Passes
            })?;
            let url = format!("{scheme}://{}/movie.mjpeg", relay.address());
            let options = Options { transport, latency: 0, reconnect: true, ..Options::default() };
            let (player, pictures) = watched_with(&url, &options)?;
            player.command("setup");
            until("READY", || player.state() == State::Ready);
            if start == Start::Step {
                player.step_to(target);
            } else {
                player.seek(target);
                player.command("play");
            }
            let shown = || pictures.lock().expect("no panic").len();
            if start == Start::Reconnection {
                until(&what, || shown() > 0 && player.position() >= Some(target));
                held.store(true, Ordering::Relaxed);
                server.process().signal("KILL")?;
                server.process().wait(LIMIT)?;
                until("INIT", || player.state() == State::Init);
                server = Server::start_on(&address, [&movie], 1)?;
            }
            let before = shown();
            until("PLAY", || player.state() == State::Playing);
            let played = Instant::now();
            until("several attempts", || played.elapsed() >= Duration::from_millis(700));
            assert_eq!(shown(), before, "{what}");
            held.store(false, Ordering::Relaxed);
            until(&what, || {
                let at = player.position().filter(|_| shown() > before);
                let is_paused = player.state() == State::Ready && player.pending().is_none();
                if start == Start::Step { is_paused && at == Some(from) } else { at >= Some(from) }
            });
            player.command("teardown");
        }
    }
    server.is_well()
}

/// An engine that plays `source`, after five frames.
fn playing(source: &str, options: Options) -> Result<Engine> {
    let engine = Engine::start(|| {})?;
    engine.open(source, options, true);
    wait_until(source, LIMIT, || engine.status().statistics.frames >= 5);
    Ok(engine)
}

#[test]
fn silence_is_reported_while_it_lasts_and_a_lost_server_by_its_kind() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let folder = Folder::new()?;
    let images = vec![movies::images(100, "I420")?; 6].concat();
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let rows: [(&str, Transport); 3] =
        [("rtsp", Transport::Udp), ("rtsp", Transport::Tcp), ("labrtsp", Transport::Auto)];
    for (scheme, transport) in rows {
        let mut server = Server::start([&movie], 1)?;
        let source = server.urls[0].replace("rtsp", scheme);
        let timeout = Duration::from_secs(10);
        let engine = playing(&source, Options { transport, timeout, ..Options::default() })?;
        let status = engine.status();
        assert_eq!((status.state, status.silent), (State::Playing, false), "{source}");
        assert!(status.last_packet.is_some() && status.statistics.playout_delay > 0, "{source}");
        assert!(engine.with_log(|log| log.entries().len()) >= 4, "{source}");
        server.process().signal("STOP")?;
        wait_until("silence", LIMIT, || engine.status().silent);
        server.process().signal("CONT")?;
        wait_until("packets again", LIMIT, || !engine.status().silent);
        wait_until("samples", LIMIT, || engine.with_history(|it| it.samples().len() > 4));
        server.process().signal("KILL")?;
        let mut kind = None;
        wait_until("a failure", LIMIT, || {
            kind = engine.events().find_map(|event| match event {
                Event::Failed(failure) => Some(failure.kind),
                _ => None,
            });
            kind.is_some()
        });
        assert_eq!(kind, Some(FailureKind::Lost), "{source}");
        assert_eq!(engine.status().state, State::Init);
    }
    Ok(())
}

#[test]
fn a_command_without_a_reply_fails_in_the_window_as_well() -> Result<()> {
    mjpeg_rtsp_tests::init();
    // Connections are established by the system and never accepted.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let engine = Engine::start(|| {})?;
    let timeout = Duration::from_secs(1);
    let source = format!("rtsp://{}/movie.mjpeg", silent.local_addr()?);
    engine.open(&source, Options { timeout, ..Options::default() }, true);
    let mut kind = None;
    wait_until("a failure", Duration::from_secs(10), || {
        kind = engine.events().find_map(|event| match event {
            Event::Failed(failure) => Some(failure.kind),
            _ => None,
        });
        kind.is_some()
    });
    assert_eq!(kind, Some(FailureKind::NoReply));
    Ok(())
}

#[test]
fn each_failure_has_its_kind() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let (_folder, mut server) = serve(20, &[])?;
    let address = server.address()?.to_owned();
    let taken = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let port = taken.local_addr()?.port();
    let (_reserved, closed) = crate::ports::closed()?;
    let failing = Behaviour {
        requests: Requests::Java,
        replies: Replies::SetupError("500 CONNECTION ERROR"),
        ..Behaviour::TEXTBOOK
    };
    let failing = LabServer::start(failing, movies::images(2, "I420")?)?;
    let rows = [
        (format!("rtsp://{address}/missing"), FailureKind::NotFound),
        (format!("labrtsp://{address}/missing"), FailureKind::NotFound),
        (format!("rtsp://{closed}/movie.mjpeg"), FailureKind::NoConnection),
        (format!("labrtsp://{closed}/movie.mjpeg"), FailureKind::NoConnection),
        (format!("labrtsp://{}/movie.mjpeg", failing.address()), FailureKind::Refused),
        ("/no/such/movie.mjpeg".to_owned(), FailureKind::NotFound),
        ("rtsp://no-such-host.invalid/movie.mjpeg".to_owned(), FailureKind::UnknownHost),
        ("labrtsp://no-such-host.invalid:1/movie.mjpeg".to_owned(), FailureKind::UnknownHost),
    ];
    let engine = Engine::start(|| {})?;
    let fails = |source: &str, want: &dyn Fn(FailureKind) -> bool| {
        engine.open(source, Options::default(), true);
        wait_until(source, LIMIT, || {
            engine.events().any(|event| match event {
                Event::Failed(failure) => {
                    let status = engine.status();
                    assert_eq!((status.state, status.pending), (State::Init, None), "{source}");
                    assert!(want(failure.kind), "{source}: {failure:?}");
                    assert!(!failure.text.contains('\n'), "{failure:?}");
                    true
                }
                _ => false,
            })
        });
    };
    for (source, kind) in &rows {
        fails(source, &|it| it == *kind);
    }
    // After a failure, SETUP fails again and does not wait for ever.
    engine.command(mjpeg_rtsp_client::player::Command::Setup);
    wait_until("the same again", LIMIT, || {
        engine.events().any(|event| matches!(event, Event::Failed(_)))
    });
    fails(&format!("labrtsp://{address}/movie.mjpeg?rtp-port={port}"), &|it| match it {
        FailureKind::PortTaken { free } => free.is_some_and(|free| free != port),
        _ => false,
    });
    server.is_well()
}

#[test]
fn frames_that_cannot_be_decoded_are_counted_and_the_others_shown() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let mut images = movies::images(60, "I420")?;
    for image in images.iter_mut().skip(9).step_by(10) {
        // A number of components that no decoder accepts.
        let sof = image.windows(2).position(|it| it == [0xff, 0xc0]).expect("it is baseline");
        image[sof + 9] = 0;
    }
    let behaviour = Behaviour { requests: Requests::Java, ..Behaviour::TEXTBOOK };
    let server = LabServer::start(behaviour, images)?;
    let source = format!("labrtsp://{}/movie.mjpeg", server.address());
    let engine = playing(&source, Options::default())?;
    wait_until("damaged frames", LIMIT, || engine.status().statistics.undecoded >= 3);
    wait_until("the other frames", LIMIT, || engine.status().statistics.frames >= 45);
    let statistics = engine.status().statistics;
    assert!(statistics.undecoded <= 6 && statistics.frames <= 54, "{statistics:?}");
    Ok(())
}

#[test]
fn a_servers_movies_are_listed_over_rtsp_and_the_labs_dialect() -> Result<()> {
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::images(2, "I420")?)?;
    folder.file("b c.mjpeg", &movie)?;
    folder.file("a.mjpeg", &movie)?;
    let mut server = Server::start([folder.path()], 2)?;
    let address = server.address()?.to_owned();
    let source = format!("rtsp://{address}/x");
    let want = ["a.mjpeg", "b%20c.mjpeg"].map(|it| format!("rtsp://{address}/{it}"));
    // A list that does not come within a second is empty.
    wait_until("the list", LIMIT, || lists::addresses(&source) == want);
    let lab = lists::addresses(&format!("labrtsp://{address}/x"));
    // Blanks separate the words of the lab's requests, so they cannot name a movie with a blank.
    assert_eq!(lab, [format!("labrtsp://{address}/a.mjpeg")]);
    // A server that does not reply within a second has no list.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    assert_eq!(lists::addresses(&format!("rtsp://{}/x", silent.local_addr()?)), [""; 0]);
    server.is_well()
}

/// A server that has not indexed the movie yet states no length at first.
#[test]
fn a_length_that_the_server_does_not_know_at_first_is_asked_for_again() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let image = movies::images(1, "I420")?.remove(0);
    let (described, played) = (Mutex::new(0), Arc::new(Mutex::new(Vec::new())));
    let (plays, plays_on) = (played.clone(), Arc::new(AtomicU32::new(0)));
    let server = RtspServer::start(move |request, stream| {
        let name = "Server: mjpeg-rtsp-server/0.1.0\r\n";
        if request.method == "DESCRIBE" {
            let mut described = described.lock().expect("no panic");
            *described += 1;
            // The second answer is as the first.
            let range = if *described < 3 { "0-" } else { "0-20" };
            let sdp = SDP.replace("m=video", &format!("a=range:npt={range}\r\nm=video"));
            let headers = format!("{name}Content-Type: application/sdp\r\n");
            return stream.write_all(&request.reply("200 OK", &headers, &sdp));
        }
        // PAUSE ends what the last PLAY started.
        let number_of_play = plays_on.fetch_add(1, Ordering::SeqCst) + 1;
        stream.write_all(&request.answer())?;
        if request.method == "PLAY" {
            let plays_on = plays_on.clone();
            let range = request.text.lines().find(|line| line.starts_with("Range: "));
            plays.lock().expect("no panic").extend(range.map(ToOwned::to_owned));
            let mut send = interleaved(stream.try_clone()?);
            let image = image.clone();
            std::thread::spawn(move || -> Result<()> {
                let mut number = 1;
                for at in 0.. {
                    if plays_on.load(Ordering::SeqCst) != number_of_play {
                        break;
                    }
                    for packet in packets(&image, 7, &mut number, at * 4500)? {
                        send(0, &packet)?;
                    }
                    mjpeg_rtsp_tests::pace(Duration::from_millis(50));
                }
                Ok(())
            });
        }
        Ok(())
    })?;
    let source = format!("rtsp://{}/movie.mjpeg", server.address());
    let engine = playing(&source, Options { transport: Transport::Tcp, ..Options::default() })?;
    let status = engine.status();
    assert_eq!((status.duration, status.seekable), (None, Some(false)));
    let length = Some(Duration::from_secs(20));
    wait_until("the length", LIMIT, || engine.status().duration == length);
    wait_until("seekable", LIMIT, || engine.status().seekable == Some(true));
    engine.seek(Duration::from_secs(10));
    wait_until("PLAY from there", LIMIT, || {
        let plays = played.lock().expect("no panic");
        plays.last().is_some_and(|range| range.starts_with("Range: npt=10"))
    });
    assert!(!engine.events().any(|event| matches!(event, Event::Failed(_))));
    assert_eq!(engine.status().state, State::Playing);
    Ok(())
}
