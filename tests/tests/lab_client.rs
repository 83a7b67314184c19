// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our client and `labrtspsrc` against lab servers as students write them.

use crate::client::saved;
use crate::ports;
use anyhow::{Context, Result, ensure};
use gst::prelude::*;
use mjpeg_rtsp_client::player::{Options, Player, State};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::lab_server::{Behaviour, LabServer, Packets, Replies, Requests};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg, djpeg, images_for_jpegdec, psnr};
use mjpeg_rtsp_tests::pipeline::{TestPipeline, bytes, pts};
use mjpeg_rtsp_tests::programs::{
    Guard, Server, Terminal, headless, normalized, program, run, serve, target_folder,
};
use mjpeg_rtsp_tests::{wait_in_main_loop, wait_until};
use std::cell::{Cell, RefCell};
use std::net::UdpSocket;
use std::rc::Rc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);
const FRAMES: usize = 40;

const TEXTBOOK: Behaviour = Behaviour::TEXTBOOK;

/// What `labrtspsrc` receives of a movie, up to its end, and what it posts on the bus.
struct Played {
    frames: Vec<Vec<u8>>,
    /// As it is known at the first frame.
    duration: Option<gst::ClockTime>,
    /// Name and text of its element messages.
    messages: Vec<(String, String)>,
    stats: gst::Structure,
}

fn play(server: &LabServer, timeout_ms: u32) -> Result<Played> {
    let pipeline = TestPipeline::launch(&format!(
        "labrtspsrc name=src location=labrtsp://{}/movie.Mjpeg timeout={timeout_ms} \
         ! appsink name=out sync=false",
        server.address()
    ))?;
    pipeline.play()?;
    let first = pipeline.sample()?;
    let duration = pipeline.pipeline().query_duration::<gst::ClockTime>();
    let rest = pipeline.samples()?;
    let frames = std::iter::once(&first).chain(&rest).map(bytes).collect::<Result<_>>()?;
    pipeline.wait_for_end()?;
    let texts = |message: &gst::Message| {
        let structure = message.structure()?;
        let text = structure.get::<String>("text").unwrap_or_default();
        Some((structure.name().to_string(), text))
    };
    let messages = pipeline.messages();
    let messages = messages.iter().filter(|it| it.type_() == gst::MessageType::Element);
    let messages = messages.filter_map(texts).collect();
    let stats = pipeline.element::<gst::Element>("src")?.property("stats");
    Ok(Played { frames, duration, messages, stats })
}

#[test]
fn every_kind_of_server_is_played_byte_for_byte() -> Result<()> {
    let images = movies::images(u32::try_from(FRAMES)?, "I420")?;
    let kinds = [
        ("textbook", TEXTBOOK),
        ("java", Behaviour { requests: Requests::Java, ..TEXTBOOK }),
        ("course report", Behaviour { requests: Requests::CourseReport, ..TEXTBOOK }),
        ("course report, strict", Behaviour { requests: Requests::CourseReportStrict, ..TEXTBOOK }),
        ("blank line", Behaviour { requests: Requests::BlankLine, ..TEXTBOOK }),
        ("second word", Behaviour { requests: Requests::SecondWord, ..TEXTBOOK }),
        ("total frames", Behaviour { replies: Replies::TotalFrames, ..TEXTBOOK }),
        ("wrong CSeq", Behaviour { replies: Replies::WrongCseq, ..TEXTBOOK }),
        ("silent at PLAY", Behaviour { replies: Replies::NoneToPlay, ..TEXTBOOK }),
        ("version 0", Behaviour { packets: Packets::Version0, ..TEXTBOOK }),
        ("five digits", Behaviour { packets: Packets::LengthDigits, ..TEXTBOOK }),
        ("seconds", Behaviour { packets: Packets::Seconds, ..TEXTBOOK }),
        (
            "fragments of one number",
            Behaviour { packets: Packets::FragmentsOfOneNumber, ..TEXTBOOK },
        ),
        (
            "fragments of rising numbers",
            Behaviour { packets: Packets::FragmentsWithNumbers, ..TEXTBOOK },
        ),
        ("by URL", Behaviour { requests: Requests::Url, ..TEXTBOOK }),
        (
            "an error to PLAY in the wrong form",
            Behaviour {
                requests: Requests::Any,
                replies: Replies::NamedPlayError("400 Bad Request"),
                ..TEXTBOOK
            },
        ),
        ("Frames", Behaviour { replies: Replies::Frames, ..TEXTBOOK }),
        ("TotalFrame", Behaviour { replies: Replies::TotalFrame, ..TEXTBOOK }),
        ("parity", Behaviour { packets: Packets::Parity, ..TEXTBOOK }),
        ("datagrams of 4096 bytes", Behaviour { packets: Packets::Datagrams, ..TEXTBOOK }),
        ("5 % loss", Behaviour { packets: Packets::Loss, ..TEXTBOOK }),
        ("repeated", Behaviour { packets: Packets::Twice, ..TEXTBOOK }),
        ("reordered", Behaviour { packets: Packets::Reordered, ..TEXTBOOK }),
        ("noise", Behaviour { packets: Packets::Noise, ..TEXTBOOK }),
    ];
    // Each ends after a time of silence, so all run at once.
    std::thread::scope(|scope| {
        let played: Vec<_> = kinds
            .into_iter()
            .map(|(name, behaviour)| {
                let frames = images.clone();
                scope.spawn(move || -> Result<_> {
                    let server = LabServer::start(behaviour, frames)?;
                    let played = play(&server, 2500).with_context(|| name)?;
                    // The client does not wait for the reply to the last request for long.
                    wait_until("TEARDOWN", LIMIT, || {
                        server.requests().last().is_some_and(|it| it.contains("TEARDOWN"))
                    });
                    Ok((name, behaviour, played, server.requests()))
                })
            })
            .collect();
        for played in played {
            let (name, behaviour, played, requests) =
                played.join().map_err(|_| anyhow::anyhow!("panicked"))??;
            check(name, behaviour, &played, &requests, &images)?;
        }
        Ok(())
    })
}

#[test]
fn images_that_jpegdec_cannot_show_are_converted() -> Result<()> {
    let picture = Picture::made(64, 48);
    // CMYK, RGB and odd sampling factors, in our client.
    for (name, image, want) in images_for_jpegdec()? {
        let server = LabServer::start(TEXTBOOK, vec![image; 5])?;
        let url = format!("labrtsp://{}/movie.Mjpeg", server.address());
        let frames = saved(&url, &["--timeout", "2"])?;
        assert_eq!(frames.len(), 5, "{name}");
        let shown = Picture::from_png(&frames[0])?;
        let (luma, all) = (psnr(&shown.luma(), &want.luma()), psnr(&shown, &want));
        assert!(luma > 33.0 && all > 25.0, "{name}: luma {luma:.1} dB, all {all:.1} dB");
    }
    let luma = &["-grayscale"];
    for arguments in [&["-sample", "1x2,1x2,1x2"][..], &["-grayscale", "-sample", "2x2"]] {
        let image = cjpeg(&picture, arguments)?;
        let server = LabServer::start(TEXTBOOK, vec![image.clone(); 5])?;
        let played = play(&server, 2500)?;
        assert_eq!(played.frames.len(), 5, "{arguments:?}");
        for frame in &played.frames {
            assert!(gstmjpegfile::jpeg::prepare_for_jpegdec(frame).is_none(), "{arguments:?}");
            assert!(djpeg(frame, luma)? == djpeg(&image, luma)?, "{arguments:?}");
        }
    }
    Ok(())
}

fn check(
    name: &str,
    behaviour: Behaviour,
    played: &Played,
    requests: &[String],
    images: &[Vec<u8>],
) -> Result<()> {
    let lost = |at: usize| behaviour.packets == Packets::Loss && at % 20 == 10;
    let want: Vec<&Vec<u8>> =
        images.iter().enumerate().filter(|(at, _)| !lost(*at)).map(|(_, image)| image).collect();
    let same = played.frames.iter().zip(&want).filter(|(got, want)| got == *want).count();
    ensure!(
        played.frames.len() == want.len() && same == want.len(),
        "{name}: {} frames, {same} of {} equal; {requests:?} {:?}",
        played.frames.len(),
        want.len(),
        played.stats
    );
    let number = |field: &str| played.stats.get::<u64>(field).unwrap_or(u64::MAX);
    let missing = u64::try_from(images.len() - want.len())?;
    assert_eq!(number("lost"), missing, "{name}: {:?}", played.stats);
    let repeated = if behaviour.packets == Packets::Twice { images.len() } else { 0 };
    assert_eq!(number("repeated"), u64::try_from(repeated)?, "{name}");
    // A stranger sends a packet with each frame.
    let ignored = if behaviour.packets == Packets::Noise { images.len() } else { 0 };
    assert_eq!(number("ignored"), u64::try_from(ignored)?, "{name}");
    let states_number =
        matches!(behaviour.replies, Replies::TotalFrames | Replies::Frames | Replies::TotalFrame);
    let duration = gst::ClockTime::from_mseconds(50 * u64::try_from(images.len())?);
    assert_eq!(played.duration, states_number.then_some(duration), "{name}");
    // The requests have the form that the server understands.
    let last = requests.last().context("no request")?;
    let matches = match behaviour.requests {
        Requests::CourseReport | Requests::CourseReportStrict | Requests::Any => {
            last.starts_with("TEARDOWN \n")
        }
        Requests::BlankLine => {
            last.starts_with("TEARDOWN movie.Mjpeg") && last.ends_with("\r\n\r\n")
        }
        Requests::SecondWord => last.starts_with("TEARDOWN \n "),
        Requests::Url => {
            last.starts_with("TEARDOWN rtsp://127.0.0.1:")
                && last.contains("/movie.Mjpeg RTSP/1.0\r\nCSeq: ")
        }
        _ => last.starts_with("TEARDOWN movie.Mjpeg RTSP/1.0\r\nCSeq: "),
    };
    assert!(matches, "{name}: {requests:?}");
    assert!(requests.iter().all(|request| request.len() < 256), "a server reads 256 bytes at most");
    let finding = match behaviour.packets {
        Packets::Version0 => Some("V is 0"),
        Packets::Seconds => Some("whole seconds"),
        _ => None,
    };
    if let Some(finding) = finding {
        let found = |(name, text): &(String, String)| {
            name == "labrtspsrc-finding" && text.contains(finding)
        };
        assert!(played.messages.iter().any(found), "{name}: {:?}", played.messages);
    }
    Ok(())
}

/// Time stamp and bytes of the next frame.
fn next_frame(pipeline: &TestPipeline) -> Result<(gst::ClockTime, Vec<u8>)> {
    let sample = pipeline.sample()?;
    Ok((pts(&sample)?, bytes(&sample)?))
}

#[test]
fn our_server_states_the_duration_and_seeks_to_the_frame() -> Result<()> {
    let images = movies::images(100, "Y444")?;
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let mut server = Server::start([movie], 1)?;
    let uri = format!("labrtsp://{}/movie.mjpeg", server.address()?);
    let line = format!("labrtspsrc location={uri} ! appsink name=out sync=false");
    let pipeline = TestPipeline::launch(&line)?;
    pipeline.play()?;
    assert!(next_frame(&pipeline)?.1 == images[0]);
    let duration = pipeline.pipeline().query_duration::<gst::ClockTime>();
    assert_eq!(duration, Some(gst::ClockTime::from_seconds(5)));
    let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
    for frame in [60_u32, 7, 99, 0, 33] {
        let time = gst::ClockTime::from_mseconds(u64::from(frame) * 50);
        let result = pipeline.pipeline().seek_simple(flags, time);
        result.with_context(|| format!("{frame} {}", server.log().unwrap_or_default()))?;
        let frame_log = || format!("{frame}: {}", server.log().unwrap_or_default());
        let (pts, jpeg) = next_frame(&pipeline).with_context(frame_log)?;
        let at = images.iter().position(|image| *image == jpeg);
        assert_eq!((at, pts), (Some(frame as usize), time));
    }
    // After a pause, no frame is skipped.
    pipeline.set_state(gst::State::Paused)?;
    server.wait_for_log("PAUSE movie.mjpeg", LIMIT);
    let mut last = 33;
    pipeline.play()?;
    while last < 99 {
        let (_, jpeg) = next_frame(&pipeline)?;
        last += 1;
        assert!(jpeg == images[last], "frame {last}");
    }
    let started = std::time::Instant::now();
    assert!(pipeline.next_sample()?.is_none());
    assert!(started.elapsed() < Duration::from_secs(3), "the last frame is the end");
    drop(pipeline);
    server.wait_for_log("TEARDOWN movie.mjpeg", LIMIT);
    server.is_well()
}

/// The names and the sequence numbers of events.
type Events = Vec<(String, gst::Seqnum)>;

#[test]
fn events_are_in_order_and_those_of_a_seek_have_its_sequence_number() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(40, "Y444")?)?)?;
    let mut server = Server::start([movie], 1)?;
    let uri = format!("labrtsp://{}/movie.mjpeg", server.address()?);
    let line = format!("labrtspsrc name=src location={uri} ! appsink name=out sync=false");
    let pipeline = TestPipeline::launch(&line)?;
    let pad = pipeline.element::<gst::Element>("src")?.static_pad("src").context("no pad")?;
    let (sender, sent) = std::sync::mpsc::channel();
    let kinds = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(kinds, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &info.data {
            // The receiver lives as long as the test.
            let _ = sender.send((event.type_().name().to_string(), event.seqnum()));
        }
        gst::PadProbeReturn::Ok
    });
    let sent = || -> Events { sent.try_iter().filter(|(name, _)| name != "tag").collect() };
    pipeline.play()?;
    next_frame(&pipeline)?;
    let names: Vec<String> = sent().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["stream-start", "caps", "segment"]);
    let seek = gst::Seqnum::next();
    let to_frame_20 = gst::event::Seek::builder(
        1.0,
        gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
        gst::SeekType::Set,
        gst::ClockTime::from_seconds(1),
        gst::SeekType::None,
        gst::ClockTime::NONE,
    );
    assert!(pipeline.pipeline().send_event(to_frame_20.seqnum(seek).build()));
    while pipeline.next_sample()?.is_some() {}
    let mut events = sent();
    // A gap is sent after each silence.
    events.retain(|(name, _)| name != "caps" && name != "gap");
    let want = ["flush-start", "flush-stop", "segment", "eos"].map(|name| (name.to_owned(), seek));
    assert_eq!(events, want);
    server.is_well()
}

#[test]
fn the_player_and_gst_play_play_labrtsp() -> Result<()> {
    mjpeg_rtsp_tests::init();
    let (_folder, mut server) = serve(40, &[])?;
    let uri = format!("labrtsp://{}/movie.mjpeg", server.address()?);
    let player = Player::new(&uri, &Options { latency: 50, ..Options::default() })?;
    let sink = gst::ElementFactory::make("fakesink").property("sync", true).build()?;
    player.set_video_sink(&sink);
    let errors = Rc::new(RefCell::new(Vec::new()));
    let (slot, ends) = (errors.clone(), Rc::new(Cell::new(0)));
    player.connect_error(move |failure| slot.borrow_mut().push(failure.text.clone()));
    let count = ends.clone();
    player.connect_end_of_movie(move || count.set(count.get() + 1));
    let until = |what: &str, ready: &dyn Fn() -> bool| {
        wait_in_main_loop(what, LIMIT, || {
            assert!(errors.borrow().is_empty(), "{errors:?}");
            ready()
        });
    };
    for round in 1..=2 {
        player.command("setup");
        until("READY", &|| player.state() == State::Ready);
        player.command("play");
        until("PLAYING", &|| player.state() == State::Playing);
        until("10 frames", &|| player.statistics().frames > 10);
        player.command("pause");
        until("READY after PAUSE", &|| player.state() == State::Ready);
        player.command("play");
        until("the end", &|| ends.get() == 2 * round - 1);
        assert_eq!(player.statistics().lost, 0);
        // PLAY at the end starts from the first frame.
        player.command("play");
        until("the end again", &|| ends.get() == 2 * round);
        player.command("teardown");
        assert_eq!(player.state(), State::Init);
    }
    let mut gst_play = std::process::Command::new("gst-play-1.0");
    gst_play.args(["--videosink=fakesink", "--no-interactive"]).arg(&uri);
    let done = run(gst_play.env("GST_PLUGIN_PATH", target_folder()?), LIMIT)?;
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && output.contains("0:00:01.9 / 0:00:02.0"), "{output}");
    assert!(!String::from_utf8_lossy(&done.stderr).contains("WARNING"), "{done:?}");
    server.is_well()
}

#[test]
fn a_server_that_vanishes_is_an_error_and_keys_play_in_the_terminal() -> Result<()> {
    let (_folder, mut server) = serve(200, &[])?;
    let uri = format!("labrtsp://{}/movie.mjpeg", server.address()?);
    let path = program("mjpeg-rtsp-client")?.get_program().display().to_string();
    let mut terminal = Terminal::start(&format!("{path} --no-play {uri}"))?;
    let shows = |terminal: &Terminal, what: &str| {
        wait_until(what, LIMIT, || terminal.status_line().is_ok_and(|line| line.contains(what)));
    };
    shows(&terminal, "[INIT]");
    for (key, state) in [("s", "[READY]"), ("p", "[PLAYING]"), (" ", "[READY]"), ("p", "[PLAYING]")]
    {
        terminal.press(key)?;
        shows(&terminal, state);
    }
    shows(&terminal, " / 0:10.0");
    terminal.press("t")?;
    shows(&terminal, "[INIT]");
    terminal.press("q")?;
    assert!(terminal.wait(LIMIT)?.success());
    let mut terminal = Terminal::start(&format!("{path} --terminal {uri}"))?;
    shows(&terminal, "[PLAYING] 0:01");
    server.process().signal("KILL")?;
    let lost = "the connection to the server was lost";
    wait_until(lost, LIMIT, || terminal.shown().is_ok_and(|shown| shown.contains(lost)));
    shows(&terminal, "[INIT]");
    terminal.press("q")?;
    assert_eq!(terminal.wait(LIMIT)?.code(), Some(1));
    Ok(())
}

#[test]
fn the_labs_command_line_plays_and_explains() -> Result<()> {
    let images = movies::images(u32::try_from(FRAMES)?, "I420")?;
    let behaviour =
        Behaviour { requests: Requests::CourseReport, packets: Packets::Version0, ..TEXTBOOK };
    let server = LabServer::start(behaviour, images)?;
    let port = server.address().port().to_string();
    let rtp = ports::free()?.to_string();
    let play =
        || headless(&["--explain", "--timeout", "2", "127.0.0.1", &port, &rtp, "movie.Mjpeg"]);
    let (mut code, mut summary, mut stderr) = play()?;
    // The client waits 500 ms for the last reply: on a busy machine, several attempts may be needed.
    for _ in 0..4 {
        if !stderr.contains("client < server: reply to TEARDOWN") {
            (code, summary, stderr) = play()?;
        }
    }
    assert_eq!((code, &summary["frames"]), (Some(0), &FRAMES.into()), "{stderr}");
    let transport = format!("client_port= {rtp}\\r\\n");
    for part in [
        "client > server: request: SETUP",
        transport.as_str(),
        "the lab asks for \"CSeq: 1\", but received \"CSeq: CSeq:\"",
        "connecting again, with the course report's lines",
        "version 0 instead of 2",
        "the lab asks for version 2",
        "client < server: reply to TEARDOWN",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    Ok(())
}

#[test]
fn each_failure_is_one_line_and_exit_code_1() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let server = |replies, packets| {
        LabServer::start(Behaviour { replies, packets, ..TEXTBOOK }, images.clone())
    };
    let taken = UdpSocket::bind("0.0.0.0:0")?;
    let port = taken.local_addr()?.port().to_string();
    let (_reserved, closed) = ports::closed()?;
    let missing = server(Replies::SetupError("404 NOT FOUND"), Packets::OnePerFrame)?;
    let failing = server(Replies::SetupError("500 CONNECTION ERROR"), Packets::OnePerFrame)?;
    let mute = server(Replies::ThreeLines, Packets::None)?;
    let missing_unanswered = server(Replies::NoneToSetup, Packets::None)?;
    let plain = server(Replies::ThreeLines, Packets::OnePerFrame)?;
    let rows = [
        (missing.address(), "0", "the server has no movie \"movie.Mjpeg\": RTSP/1.0 404 NOT FOUND"),
        (failing.address(), "0", "the server cannot send RTP: RTSP/1.0 500 CONNECTION ERROR"),
        (
            mute.address(),
            "0",
            "no RTP arrived at port PORT within 3 s: the server may not have the movie \
             \"movie.Mjpeg\" (most lab servers reply 200 then), or a firewall blocks UDP",
        ),
        (
            missing_unanswered.address(),
            "0",
            "the server does not reply to SETUP within 3 s: it may not have the movie \"movie.Mjpeg\" \
             (the textbook's server does not reply then), or it may not speak the lab's dialect",
        ),
        (
            plain.address(),
            &port,
            "cannot open RTP port PORT: another program uses it; port PORT is free",
        ),
        (
            closed,
            "0",
            "cannot connect to SERVER: Connection refused (os error 111); is the server running there?",
        ),
    ];
    std::thread::scope(|scope| {
        let all: Vec<_> = rows
            .iter()
            .map(|(address, rtp, want)| {
                scope.spawn(move || -> Result<()> {
                    let (host, server) = ("127.0.0.1", address.port().to_string());
                    let (code, summary, stderr) =
                        headless(&["--timeout", "3", host, &server, rtp, "movie.Mjpeg"])?;
                    assert_eq!((code, &summary["frames"]), (Some(1), &0.into()), "{stderr}");
                    let source = format!("labrtsp://{address}/movie.Mjpeg?rtp-port={rtp}");
                    let stderr = normalized(
                        &stderr,
                        &[(&source, "SOURCE"), (&address.to_string(), "SERVER")],
                    );
                    assert_eq!(stderr, format!("ERROR SOURCE: {want}\n"));
                    Ok(())
                })
            })
            .collect();
        for one in all {
            one.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        }
        Ok(())
    })
}

#[test]
fn a_frame_that_is_cut_off_is_shown_as_far_as_it_arrives() -> Result<()> {
    // Coded in a way that our server does not decode, so that it cannot make it smaller.
    let picture = Picture::made(640, 480);
    let coded = |quality: u8| {
        cjpeg(&picture, &["-arithmetic", "-sample", "1x1", "-quality", &quality.to_string()])
    };
    let images = (80..100).map(coded).collect::<Result<Vec<_>>>()?;
    let image = images.into_iter().find(|image| image.len() > 80_000).context("no image")?;
    assert!(image.len() < 99_999, "{}", image.len());
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&vec![image.clone(); 3])?)?;
    let mut server = Server::start([movie], 1)?;
    // One, since PNG files of this size take seconds in a build without optimisation.
    let url = server.urls[0].replace("rtsp://", "labrtsp://");
    let frames = saved(&url, &["--frames", "1", "--timeout", "30"])?;
    assert_eq!(frames.len(), 1);
    let want = djpeg(&image, &[])?.corner(640, 300);
    for frame in &frames {
        let shown = Picture::from_png(frame)?;
        assert_eq!((shown.width, shown.height), (640, 480));
        let shown = shown.corner(640, 300);
        let (luma, all) = (psnr(&shown.luma(), &want.luma()), psnr(&shown, &want));
        assert!(luma > 33.0 && all > 25.0, "luma {luma:.1} dB, all {all:.1} dB");
    }
    server.is_well()
}

#[test]
fn a_size_that_changes_renews_the_caps() -> Result<()> {
    let sizes = [(64, 48), (64, 48), (48, 64), (32, 16)];
    let image = |(width, height)| cjpeg(&Picture::made(width, height), &["-sample", "2x2"]);
    let images = sizes.into_iter().map(image).collect::<Result<Vec<_>>>()?;
    let server = LabServer::start(TEXTBOOK, images)?;
    let pipeline = TestPipeline::launch(&format!(
        "labrtspsrc location=labrtsp://{}/movie.Mjpeg timeout=1500 ! appsink name=out sync=false",
        server.address()
    ))?;
    pipeline.play()?;
    let size = |sample: &gst::Sample| {
        let caps = sample.caps()?.structure(0)?.to_owned();
        Some((caps.get::<i32>("width").ok()?, caps.get::<i32>("height").ok()?))
    };
    let got: Vec<_> = pipeline.samples()?.iter().filter_map(size).collect();
    assert_eq!(got, sizes.map(|(width, height)| (width.cast_signed(), height.cast_signed())));
    Ok(())
}

fn python(name: &str) -> std::process::Command {
    let mut command = std::process::Command::new("python3");
    command.arg(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peer").join(name));
    command
}

#[test]
fn the_course_reports_client_gets_the_files_frames_from_our_server() -> Result<()> {
    let images = movies::images(30, "Y444")?;
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let mut server = Server::start([movie], 1)?;
    let (host, port) = server.address()?.split_once(':').context("no port")?;
    let rtp = ports::free()?.to_string();
    let mut client = python("course_report_client.py");
    client.args([host, port, &rtp, "movie.mjpeg", "30"]).arg(folder.path());
    let done = run(&mut client, LIMIT)?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for (number, image) in (1..).zip(&images) {
        let got = std::fs::read(folder.path().join(format!("{number}.jpg")))?;
        assert!(got == *image, "frame {number}");
    }
    server.is_well()
}

#[test]
fn the_course_reports_server_plays_in_our_client() -> Result<()> {
    use std::io::BufRead;
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(30, "Y444")?)?)?;
    let mut server = python("course_report_server.py");
    let mut server = server.arg(movie).stdout(std::process::Stdio::piped()).spawn()?;
    let out = server.stdout.take().context("no standard output")?;
    let _server = Guard::new(server);
    let mut port = String::new();
    std::io::BufReader::new(out).read_line(&mut port)?;
    let (code, summary, stderr) =
        headless(&["--explain", "--timeout", "2", "127.0.0.1", port.trim(), "0", "movie.mjpeg"])?;
    assert_eq!((code, &summary["frames"], &summary["lost"]), (Some(0), &30.into(), &0.into()));
    assert!(stderr.contains("the course report's lines"), "{stderr}");
    assert!(stderr.contains("the timestamp counts whole seconds"), "{stderr}");
    Ok(())
}
