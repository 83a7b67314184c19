// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pauses, seeks and loops of viewers, and changes of the file while they play.

use anyhow::{Context, Result};
use gst::prelude::*;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::peer::{ffmpeg, retina};
use mjpeg_rtsp_tests::pipeline::{TestPipeline, bytes};
use mjpeg_rtsp_tests::programs::{Server, Terminal, serve, serve_as};
use mjpeg_rtsp_tests::wait_until;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn retina_gets_every_frame_exactly() -> Result<()> {
    let images = movies::images(40, "I420")?;
    let (folder, mut server) = serve_as("movie.mjpeg", &images, &[])?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    for transport in ["tcp", "udp"] {
        let got = retina::images(&server.urls[0], transport, 40)?;
        let got = ffmpeg::file_checksums(&folder.file(transport, &got.concat())?)?;
        assert_eq!(got, want, "{transport}");
    }
    server.is_well()
}

#[test]
fn a_loop_has_no_end_and_starts_over() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let (folder, mut server) = serve_as("movie.mjpeg", &images, &["--loop"])?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    let url = &server.urls[0];
    assert_eq!(RtspClient::connect(server.address()?)?.described_range(url)?, "npt=0-");
    let got = ffmpeg::stream_checksums_of_first(url, "tcp", 25)?;
    assert_eq!(got, [&want[..], &want, &want[..5]].concat());
    server.is_well()
}

#[test]
fn a_loop_includes_appended_frames() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(15, "I420")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images[..10])?)?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    let options = ["--loop".into(), "--log".into(), "debug".into(), movie.clone().into_os_string()];
    let mut server = Server::start::<std::ffi::OsString>(options, 1)?;
    let url = server.urls[0].clone();
    let watching = std::thread::spawn(move || ffmpeg::stream_checksums_of_first(&url, "tcp", 60));
    server.wait_for_log("method=\"PLAY\"", Duration::from_secs(20));
    let appended = movies::movie(&images[10..])?;
    OpenOptions::new().append(true).open(&movie)?.write_all(&appended)?;
    let got = watching.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    // Passes that started before the change, up to three on a busy machine, have the old length.
    let passes = |short: usize| {
        let short = want[..10].iter().cycle().take(10 * short);
        short.chain(want.iter().cycle()).take(60).cloned().collect::<Vec<_>>()
    };
    assert!((1..=3).any(|short| got == passes(short)), "{got:?}");
    server.is_well()
}

/// Three frames, `hole` zero bytes without a record, and three more frames: the index has three
/// frames until the hole has been searched.
fn movie_with_a_hole(folder: &Folder, hole: u64) -> Result<PathBuf> {
    let images = movies::images(6, "I420")?;
    let head = movies::movie(&images[..3])?;
    let path = folder.file("hole.mjpeg", &head)?;
    let file = OpenOptions::new().write(true).open(&path)?;
    file.write_all_at(&movies::movie(&images[3..])?, head.len() as u64 + hole)?;
    Ok(path)
}

#[test]
fn before_the_index_is_complete_the_range_is_open_and_a_seek_waits() -> Result<()> {
    let folder = Folder::new()?;
    let movie = movie_with_a_hole(&folder, 1 << 30)?;
    let mut server = Server::start([movie], 1)?;
    let url = server.urls[0].clone();
    let mut rtsp = RtspClient::connect(server.address()?)?;
    assert_eq!(rtsp.described_range(&url)?, "npt=0-");
    let session = rtsp.set_up(&url, "tcp")?;
    let play = rtsp.request(&format!("PLAY {url}/"), &format!("{session}Range: npt=0.2-\r\n"))?;
    assert_eq!(play.status, 200, "{play}");
    assert!(play.header("Range").is_some_and(|range| range.starts_with("npt=0.2-")), "{play:?}");
    while rtsp.packets == 0 {
        assert_eq!(rtsp.request(&format!("OPTIONS {url}"), &session)?.status, 200);
    }
    assert_eq!(RtspClient::connect(server.address()?)?.described_range(&url)?, "npt=0-0.3");
    server.is_well()
}

#[test]
fn a_source_that_waits_for_the_index_stops_at_once() -> Result<()> {
    let folder = Folder::new()?;
    // Minutes of searching.
    let movie = movie_with_a_hole(&folder, 200 << 30)?;
    let line = format!("mjpegfilesrc location={} ! appsink name=out sync=false", movie.display());
    let pipeline = TestPipeline::launch(&line)?;
    pipeline.play()?;
    for _ in 0..3 {
        pipeline.sample()?;
    }
    let started = Instant::now();
    drop(pipeline);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    Ok(())
}

#[test]
fn a_movie_that_is_overwritten_while_it_plays_goes_on_with_its_new_frames_or_ends() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(800, "I420")?;
    let (old, new) = images.split_at(400);
    let (old, new) = (movies::movie(old)?, movies::movie(new)?);
    let want = ffmpeg::file_checksums(&folder.file("plain", &images[400..].concat())?)?;
    for options in [&["--loop"][..], &[]] {
        let path = folder.file("movie.mjpeg", &old)?;
        let arguments = options.iter().map(Into::into).chain([path.clone().into_os_string()]);
        let mut server = Server::start::<std::ffi::OsString>(arguments, 1)?;
        let url = server.urls[0].clone();
        let of_thread = url.clone();
        let watching =
            std::thread::spawn(move || ffmpeg::stream_checksums_of_first(&of_thread, "tcp", 80));
        let mut viewer = RtspClient::connect(server.address()?)?;
        viewer.play(&url, "tcp")?;
        viewer.receive_packets(20)?;
        // Other frames in the same file, which is not truncated. A pass takes 20 s.
        let file = OpenOptions::new().write(true).open(&path)?;
        file.write_all_at(&new, 0)?;
        let got = watching.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        let last = got.get(got.len().saturating_sub(20)..).unwrap_or_default();
        let at = want.iter().position(|frame| Some(frame) == last.first());
        let at = at.with_context(|| format!("{options:?}: an old frame: {}", got.len()))?;
        assert_eq!(last, &want[at..at + 20], "{options:?}");
        // Nothing but zeros: the movie ends, and new viewers are refused.
        let started = Instant::now();
        file.write_all_at(&vec![0; old.len().max(new.len())], 0)?;
        viewer.receive_until_bye(started + Duration::from_secs(5))?;
        let described = format!("DESCRIBE {url}");
        assert_eq!(RtspClient::connect(server.address()?)?.request(&described, "")?.status, 415);
        // The movie is back.
        file.set_len(0)?;
        file.write_all_at(&old, 0)?;
        wait_until("the movie to be described", LIMIT, || {
            let client = RtspClient::connect(server.address().unwrap_or_default());
            client.is_ok_and(|mut it| it.request(&described, "").is_ok_and(|it| it.status == 200))
        });
        RtspClient::connect(server.address()?)?.play(&url, "tcp")?;
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn fifty_viewers_stay_connected_while_their_file_changes() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(100, "I420")?;
    let whole = movies::movie(&images)?;
    let path = folder.file("movie.mjpeg", &whole)?;
    let mut server = Server::start([&path], 1)?;
    let url = server.urls[0].clone();
    let mut viewers = Vec::new();
    for _ in 0..50 {
        let mut rtsp = RtspClient::connect(server.address()?)?;
        let session = rtsp.play(&url, "tcp")?;
        viewers.push((rtsp, session));
    }
    OpenOptions::new().write(true).open(&path)?.set_len(whole.len() as u64 / 2)?;
    server.wait_for_log("has shrunk", LIMIT);
    for (rtsp, session) in &mut viewers {
        assert_eq!(rtsp.request(&format!("OPTIONS {url}"), session)?.status, 200);
    }
    // New viewers get the new file, and 404 when it is removed.
    let new = folder.file("new", &movies::movie(&images[..40])?)?;
    std::fs::rename(new, &path)?;
    assert_eq!(RtspClient::connect(server.address()?)?.described_range(&url)?, "npt=0-2");
    std::fs::remove_file(&path)?;
    let gone = RtspClient::connect(server.address()?)?.request(&format!("DESCRIBE {url}"), "")?;
    assert_eq!(gone.status, 404);
    drop(viewers);
    server.is_well()
}

#[test]
fn the_session_of_a_silent_client_times_out() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let url = server.urls[0].clone();
    let rtp = UdpSocket::bind("127.0.0.1:0")?;
    let udp = format!("RTP/AVP;unicast;client_port={}", rtp.local_addr()?.port());
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let session = rtsp.play(&url, &udp)?;
    rtp.set_read_timeout(Some(LIMIT))?;
    rtp.recv(&mut [0; 2000])?;
    // The client sends nothing more, by RTSP or RTCP, as if its network had failed. The session's
    // timeout is 60 s.
    server.wait_for_log("sessions timed out", Duration::from_secs(90));
    let end = Instant::now() + LIMIT;
    rtp.set_read_timeout(Some(Duration::from_millis(500)))?;
    while rtp.recv(&mut [0; 2000]).is_ok() {
        assert!(Instant::now() < end, "packets still arrive");
    }
    let mut other = RtspClient::connect(server.address()?)?;
    assert_eq!(other.request(&format!("GET_PARAMETER {url}"), &session)?.status, 454);
    drop(rtsp);
    server.is_well()
}

#[test]
fn gst_play_seeks_again_while_it_seeks() -> Result<()> {
    let images = vec![movies::images(100, "I420")?; 12].concat();
    let (_folder, mut server) = serve_as("movie.mjpeg", &images, &["--log", "debug"])?;
    let sinks = "--videosink=fakesink --audiosink=fakesink";
    let mut player = Terminal::start(&format!("gst-play-1.0 {sinks} {}", server.urls[0]))?;
    wait_until("the first second", LIMIT, || {
        player.shown().is_ok_and(|shown| shown.contains("0:00:01"))
    });
    // The key 0 seeks to the start. (Arrow keys do not work here: gst-play reads keys in pieces of
    // 16 bytes, and takes a piece of an arrow key's code for Escape.)
    // On a busy machine, where it ignores more keys, more are pressed until there were some seeks.
    let mut keys = 0;
    while keys < 20 || server.log()?.matches("method=\"PLAY\"").count() <= 5 {
        assert!(keys < 200, "{}", server.log()?);
        player.press("0")?;
        mjpeg_rtsp_tests::pace(Duration::from_millis(100));
        keys += 1;
    }
    // It plays on; the server's log shows below that the seeks were done. The position after the
    // last key depends on how many keys gst-play ignored while it was seeking.
    wait_until("playing on", LIMIT, || {
        player.shown().is_ok_and(|shown| shown.contains("0:00:06."))
    });
    player.press("q")?;
    let status = player.wait(LIMIT)?;
    let shown = player.shown()?;
    assert!(status.success() && !shown.contains("ERROR"), "{shown}");
    let log = server.log()?;
    let plays = log.lines().filter(|line| line.contains("method=\"PLAY\""));
    let statuses: Vec<bool> = plays.map(|line| line.ends_with("status=200")).collect();
    assert!(statuses.len() > 5 && !statuses.contains(&false), "{log}");
    server.is_well()
}

#[test]
fn gstreamer_plays_a_mount_faster_slower_and_backwards() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(60, "I420")?)?)?;
    let known = movies::pull_all(&format!(
        "mjpegfilesrc location={} ! jpegdec ! appsink name=out sync=false",
        movie.display()
    ))?;
    let mut server = Server::start([movie], 1)?;
    let none = gst::SeekFlags::empty();
    let trick = gst::SeekFlags::TRICKMODE | gst::SeekFlags::TRICKMODE_KEY_UNITS;
    let range = |range: std::ops::Range<usize>| range.collect::<Vec<_>>();
    // Rate, flags, start and stop in ms, the frames, their duration in seconds.
    let rows = [
        (2.0, none, 1000, None, range(20..60), 1.0),
        (4.0, trick, 0, None, (0..60).step_by(4).collect(), 0.75),
        (-1.0, none, 0, Some(2000), range(0..40).into_iter().rev().collect(), 2.0),
    ];
    for (rate, flags, start, stop, want, seconds) in rows {
        let line = format!(
            "rtspsrc location={} protocols=tcp latency=50 buffer-mode=slave ! rtpjpegdepay ! jpegdec \
             ! appsink name=out sync=false",
            server.urls[0]
        );
        let want: Vec<_> = want.into_iter().map(Some).collect();
        let play = || -> Result<(Vec<_>, f64)> {
            let pipeline = TestPipeline::launch(&line)?;
            pipeline.play()?;
            pipeline.sample()?;
            pipeline.wait_for_state()?;
            let (set, ms) = (gst::SeekType::Set, gst::ClockTime::from_mseconds);
            let (flags, stop) = (flags | gst::SeekFlags::FLUSH, stop.map(ms));
            let started = Instant::now();
            pipeline.pipeline().seek(rate, flags, set, ms(start), set, stop)?;
            let samples = pipeline.samples()?;
            let took = started.elapsed().as_secs_f64();
            let number = |sample: &gst::Sample| {
                let frame = bytes(sample)?;
                Ok(known.iter().position(|it| *it == frame))
            };
            Ok((samples.iter().map(number).collect::<Result<_>>()?, took))
        };
        let (mut got, mut took) = play()?;
        // The times of frames depend on their arrival. On a busy machine, that of the last frame may be after the
        // end of the segment, and the decoder clips it.
        for _ in 0..3 {
            if got != want && want.starts_with(&got) {
                (got, took) = play()?;
            }
        }
        assert_eq!(got, want, "rate {rate}");
        assert!(took > 0.7 * seconds && took < seconds + 3.0, "{rate}: {took} s");
    }
    server.is_well()
}
