// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our client half against servers as students write them.

use anyhow::{Context, Result, ensure};
use gst::prelude::*;
use mjpeg_rtsp_tests::movies;
use mjpeg_rtsp_tests::peer::lab_server::{Answers, Behaviour, LabServer, Reads, Sends};
use mjpeg_rtsp_tests::programs::{program, run};
use std::net::UdpSocket;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);
const FRAMES: usize = 40;

const PLAIN: Behaviour =
    Behaviour { reads: Reads::Textbook, answers: Answers::Lines, sends: Sends::Whole };

/// What `labrtspsrc` gives of a movie, up to its end, and what it tells on the bus.
struct Played {
    frames: Vec<Vec<u8>>,
    /// Name and text of its element messages.
    told: Vec<(String, String)>,
    stats: gst::Structure,
}

fn play(server: &LabServer, timeout_ms: u32) -> Result<Played> {
    mjpeg_rtsp_tests::init();
    let line = format!(
        "labrtspsrc name=src location=labrtsp://{}/movie.Mjpeg timeout={timeout_ms} \
         ! appsink name=out sync=false wait-on-eos=false",
        server.address()
    );
    let pipeline = gst::parse::launch(&line)?.downcast::<gst::Bin>().ok().context("no bin")?;
    let out = pipeline.by_name("out").and_then(|out| out.downcast::<gst_app::AppSink>().ok());
    let (out, bus) = (out.context("no appsink")?, pipeline.bus().context("no bus")?);
    pipeline.set_state(gst::State::Playing)?;
    let mut played =
        Played { frames: Vec::new(), told: Vec::new(), stats: gst::Structure::new_empty("none") };
    let mut error = None;
    while let Some(message) = bus.timed_pop(gst::ClockTime::from_seconds(30)) {
        match message.view() {
            gst::MessageView::Element(element) => {
                let structure = element.structure().context("no structure")?;
                let text = structure.get::<String>("text").unwrap_or_default();
                played.told.push((structure.name().to_string(), text));
            }
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(it) => {
                error = Some(it.error().to_string());
                break;
            }
            _ => {}
        }
    }
    while let Some(sample) = out.try_pull_sample(gst::ClockTime::ZERO) {
        played.frames.push(sample.buffer().context("no buffer")?.map_readable()?.to_vec());
    }
    let source = pipeline.by_name("src").context("no source")?;
    played.stats = source.property("stats");
    pipeline.set_state(gst::State::Null)?;
    match error {
        Some(error) => Err(anyhow::anyhow!(error)),
        None => Ok(played),
    }
}

#[test]
fn every_kind_of_server_is_played_byte_for_byte() -> Result<()> {
    let images = movies::images(u32::try_from(FRAMES)?, "I420")?;
    let kinds = [
        ("textbook", PLAIN),
        ("java", Behaviour { reads: Reads::Java, ..PLAIN }),
        ("seed", Behaviour { reads: Reads::Seed, ..PLAIN }),
        ("seed, strict", Behaviour { reads: Reads::SeedStrict, ..PLAIN }),
        ("blank line", Behaviour { reads: Reads::BlankLine, ..PLAIN }),
        ("second word", Behaviour { reads: Reads::SecondWord, ..PLAIN }),
        ("total frames", Behaviour { answers: Answers::TotalFrames, ..PLAIN }),
        ("wrong CSeq", Behaviour { answers: Answers::WrongCseq, ..PLAIN }),
        ("silent at PLAY", Behaviour { answers: Answers::NotPlay, ..PLAIN }),
        ("version 0", Behaviour { sends: Sends::Version0, ..PLAIN }),
        ("five digits", Behaviour { sends: Sends::Digits, ..PLAIN }),
        ("seconds", Behaviour { sends: Sends::Seconds, ..PLAIN }),
        ("fragments of one number", Behaviour { sends: Sends::SameNumber, ..PLAIN }),
        ("fragments of rising numbers", Behaviour { sends: Sends::NextNumber, ..PLAIN }),
        ("5 % loss", Behaviour { sends: Sends::Loss, ..PLAIN }),
        ("repeated", Behaviour { sends: Sends::Twice, ..PLAIN }),
        ("reordered", Behaviour { sends: Sends::Reordered, ..PLAIN }),
        ("noise", Behaviour { sends: Sends::Noise, ..PLAIN }),
    ];
    // Each waits for silence at its end, so all of them at once.
    std::thread::scope(|scope| {
        let played: Vec<_> = kinds
            .into_iter()
            .map(|(name, behaviour)| {
                let frames = images.clone();
                scope.spawn(move || -> Result<_> {
                    let server = LabServer::start(behaviour, frames)?;
                    let played = play(&server, 2500).with_context(|| name)?;
                    Ok((name, behaviour, played, server.requests()))
                })
            })
            .collect();
        for played in played {
            let (name, behaviour, played, requests) =
                played.join().map_err(|_| anyhow::anyhow!("panicked"))??;
            judge(name, behaviour, &played, &requests, &images)?;
        }
        Ok(())
    })
}

fn judge(
    name: &str,
    behaviour: Behaviour,
    played: &Played,
    requests: &[String],
    images: &[Vec<u8>],
) -> Result<()> {
    let lost = |at: usize| behaviour.sends == Sends::Loss && at % 20 == 10;
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
    let repeated = if behaviour.sends == Sends::Twice { images.len() } else { 0 };
    assert_eq!(number("repeated"), u64::try_from(repeated)?, "{name}");
    // What the server was asked, in its form.
    let last = requests.last().context("no request")?;
    let ends = match behaviour.reads {
        Reads::Seed | Reads::SeedStrict => last.starts_with("TEARDOWN \n"),
        Reads::BlankLine => last.starts_with("TEARDOWN movie.Mjpeg") && last.ends_with("\r\n\r\n"),
        Reads::SecondWord => last.starts_with("TEARDOWN \n "),
        _ => last.starts_with("TEARDOWN movie.Mjpeg RTSP/1.0\r\nCSeq: "),
    };
    assert!(ends, "{name}: {requests:?}");
    assert!(requests.iter().all(|request| request.len() < 256), "servers read once");
    let finding = match behaviour.sends {
        Sends::Version0 => Some("V is 0"),
        Sends::Seconds => Some("whole seconds"),
        _ => None,
    };
    if let Some(finding) = finding {
        let found = |(name, text): &(String, String)| {
            name == "labrtspsrc-finding" && text.contains(finding)
        };
        assert!(played.told.iter().any(found), "{name}: {:?}", played.told);
    }
    Ok(())
}

/// The client's exit code, its summary, and what it says.
fn client(arguments: &[&str]) -> Result<(Option<i32>, serde_json::Value, String)> {
    let mut command = program("mjpeg-rtsp-client")?;
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let done = run(command.args(["--headless", "--json"]).args(arguments), LIMIT)?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let summary = serde_json::from_slice(&done.stdout).with_context(|| said.clone())?;
    Ok((done.status.code(), summary, said))
}

#[test]
fn the_labs_command_line_plays_and_explains() -> Result<()> {
    let images = movies::images(u32::try_from(FRAMES)?, "I420")?;
    let behaviour = Behaviour { reads: Reads::Seed, sends: Sends::Version0, ..PLAIN };
    let server = LabServer::start(behaviour, images)?;
    let port = server.address().port().to_string();
    let rtp = UdpSocket::bind("0.0.0.0:0")?.local_addr()?.port().to_string();
    let (code, summary, said) =
        client(&["--explain", "--timeout", "2", "127.0.0.1", &port, &rtp, "movie.Mjpeg"])?;
    assert_eq!((code, &summary["frames"]), (Some(0), &FRAMES.into()), "{said}");
    let transport = format!("client_port= {rtp}\\r\\n");
    for part in [
        "client > server: request: SETUP",
        transport.as_str(),
        "the lab asks for \"CSeq: 1\"; \"CSeq: CSeq:\" came",
        "connecting again, with the course report's lines",
        "version 0; RTP's is 2",
        "the lab asks for version 2",
        "client < server: reply to TEARDOWN",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    Ok(())
}

#[test]
fn what_fails_is_one_clear_line_and_exit_code_1() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let server =
        |answers, sends| LabServer::start(Behaviour { answers, sends, ..PLAIN }, images.clone());
    let taken = UdpSocket::bind("0.0.0.0:0")?;
    let port = taken.local_addr()?.port().to_string();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let missing = server(Answers::Error("404 NOT FOUND"), Sends::Whole)?;
    let failing = server(Answers::Error("500 CONNECTION ERROR"), Sends::Whole)?;
    let mute = server(Answers::Lines, Sends::Nothing)?;
    let plain = server(Answers::Lines, Sends::Whole)?;
    let rows = [
        ("404", missing.address(), "0", "no movie \"movie.Mjpeg\": RTSP/1.0 404 NOT FOUND"),
        ("500", failing.address(), "0", "cannot send RTP: RTSP/1.0 500 CONNECTION ERROR"),
        ("no RTP", mute.address(), "0", "no RTP came to port"),
        ("port taken", plain.address(), &port, "another program has it; port "),
        ("refused", nobody, "0", "cannot connect to 127.0.0.1"),
    ];
    std::thread::scope(|scope| {
        let all: Vec<_> = rows
            .iter()
            .map(|(name, address, rtp, want)| {
                scope.spawn(move || -> Result<()> {
                    let (host, server) = ("127.0.0.1", address.port().to_string());
                    let (code, summary, said) =
                        client(&["--timeout", "1", host, &server, rtp, "movie.Mjpeg"])?;
                    assert_eq!((code, &summary["frames"]), (Some(1), &0.into()), "{name}: {said}");
                    assert!(said.contains(want) && said.lines().count() == 1, "{name}: {said}");
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
