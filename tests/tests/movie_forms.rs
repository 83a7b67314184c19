// SPDX-License-Identifier: MIT OR Apache-2.0
//! Movies without lengths, images one after another and recorded multipart streams, through each
//! program and element that reads movies.

use anyhow::{Context, Result};
use gst::prelude::*;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::ffmpeg;
use mjpeg_rtsp_tests::peer::http_server::HttpServer;
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::pipeline::{TestPipeline, bytes, pts};
use mjpeg_rtsp_tests::programs::{Server, headless, program, run};
use mjpeg_rtsp_tests::wait_until;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

/// A movie of each form without lengths: its name and its bytes.
fn forms(images: &[Vec<u8>]) -> [(&'static str, Vec<u8>); 3] {
    let part = |image: &Vec<u8>, length: &str| {
        let header = format!("--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n");
        [header.as_bytes(), image, b"\r\n"].concat()
    };
    let counted = |image: &Vec<u8>| part(image, &format!("Content-Length: {}\r\n", image.len()));
    let multipart: Vec<u8> = images.iter().flat_map(counted).collect();
    [
        ("images.mjpeg", images.concat()),
        ("multipart.mjpeg", [&multipart[..], b"--frame--\r\n"].concat()),
        ("uncounted.mjpeg", images.iter().flat_map(|image| part(image, "")).collect()),
    ]
}

/// What programs say about such a movie.
fn advice(what: &str, path: &std::path::Path) -> String {
    format!(
        "{what}: other programs of the course lab cannot read this form; to convert it: mjpeg-movie \
         repair {} OUT",
        path.display()
    )
}

#[test]
fn they_are_served_like_any_movie() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(30, "I420")?;
    let want = ffmpeg::file_checksums(&folder.file("plain", &images.concat())?)?;
    assert_eq!(want.len(), 30);
    for (name, movie) in forms(&images) {
        folder.file(name, &movie)?;
    }
    let mut server = Server::start([folder.path()], 3)?;
    for url in server.urls.clone() {
        let range = RtspClient::connect(server.address()?)?.described_range(&url)?;
        assert_eq!(range, "npt=0-1.5", "{url}");
        for transport in ["tcp", "udp"] {
            assert_eq!(ffmpeg::stream_checksums(&url, transport)?, want, "{url} {transport}");
        }
        let from = ffmpeg::stream_checksums_from(&url, "tcp", "1")?;
        assert_eq!(from, want[20..], "{url}");
        let (code, summary, stderr) = headless(&["--transport", "tcp", &url])?;
        assert_eq!((code, &summary["frames"]), (Some(0), &30.into()), "{url}: {stderr}");
        let lab = url.replace("rtsp://", "labrtsp://");
        let (code, summary, stderr) = headless(&[&lab])?;
        assert_eq!((code, &summary["frames"]), (Some(0), &30.into()), "{lab}: {stderr}");
    }
    let log = server.log()?;
    for (name, what) in [
        ("images.mjpeg", "the images have no lengths"),
        ("multipart.mjpeg", "the movie is a recorded multipart stream"),
        ("uncounted.mjpeg", "the movie is a recorded multipart stream"),
    ] {
        let advice = advice(what, &folder.path().join(name));
        assert_eq!(log.matches(&advice).count(), 1, "{advice}: {log}");
    }
    server.is_well()
}

#[test]
fn elements_seek_to_their_frames_exactly() -> Result<()> {
    let images = movies::images(100, "I420")?;
    let folder = Folder::new()?;
    for (name, movie) in forms(&images) {
        let path = folder.file(name, &movie)?;
        let path = path.display();
        for source in [
            format!("mjpegfilesrc location={path}"),
            format!("filesrc location={path} ! mjpegfileparse"),
        ] {
            let line = format!("{source} ! appsink name=out sync=false max-buffers=2");
            let pipeline = TestPipeline::launch(&line)?;
            pipeline.play()?;
            pipeline.sample()?;
            // The source's index is completed in the background.
            let duration = || pipeline.pipeline().query_duration::<gst::ClockTime>();
            wait_until("the duration", LIMIT, || duration().is_some());
            assert_eq!(duration(), Some(gst::ClockTime::from_seconds(5)), "{source}");
            for frame in [60_usize, 7, 99, 0, 33] {
                pipeline.wait_for_state()?;
                let time = gst::ClockTime::from_mseconds(frame as u64 * 50);
                let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
                pipeline.pipeline().seek_simple(flags, time)?;
                let sample = pipeline.sample()?;
                assert_eq!(pts(&sample)?, time, "{source} {frame}");
                assert!(bytes(&sample)? == images[frame], "{source} {frame}");
            }
            assert_eq!(pipeline.warnings(), [""; 0], "{source}");
        }
        // Without random access, in pieces of any size.
        for size in [7, 1000, 3_000_000] {
            let got = movies::pull_all(&format!(
                "filesrc location={path} blocksize={size} ! queue ! mjpegfileparse \
                 ! appsink name=out sync=false"
            ))?;
            assert!(got == images, "{name} {size}: {} frames", got.len());
        }
    }
    Ok(())
}

#[test]
fn images_of_any_size_are_frames() -> Result<()> {
    // More than a record can hold, and more than a connection's queue holds besides.
    let (large, huge) = (Picture::made(1600, 1200), Picture::made(2040, 2040));
    let images = [
        cjpeg(&large, &["-quality", "75"])?,
        cjpeg(&huge, &["-sample", "2x2", "-quality", "100"])?,
    ];
    assert!(images[0].len() > 99_999 && images[1].len() > 1 << 20, "{}", images[1].len());
    let images = [&images[..], &images, &images].concat();
    let folder = Folder::new()?;
    let path = folder.file("movie.mjpeg", &images.concat())?;
    for source in [
        format!("mjpegfilesrc location={}", path.display()),
        format!("filesrc location={} ! mjpegfileparse", path.display()),
        format!("filesrc location={} ! queue ! mjpegfileparse", path.display()),
    ] {
        let got = movies::pull_all(&format!("{source} ! appsink name=out sync=false"))?;
        assert!(got == images, "{source}: {} frames", got.len());
    }
    // One size, since RTP/JPEG shows all frames in the first one's.
    let path = folder.file("huge.mjpeg", &images[1].repeat(6))?;
    let mut server = Server::start([path.as_os_str()], 1)?;
    let got = ffmpeg::stream_checksums(&server.urls[0], "tcp")?;
    assert_eq!(got, ffmpeg::file_checksums(&path)?);
    server.is_well()
}

#[test]
fn mjpeg_movie_reads_them() -> Result<()> {
    let images = movies::images(10, "I420")?;
    let folder = Folder::new()?;
    let (out, frames) = (folder.path().join("out.mjpeg"), folder.path().join("frames"));
    for (name, movie) in forms(&images) {
        let path = folder.file(name, &movie)?;
        let mut info = program("mjpeg-movie")?;
        let done = run(info.args(["info", "--json"]).arg(&path), LIMIT)?;
        let facts: serde_json::Value = serde_json::from_slice(&done.stdout)?;
        let form = if name == "images.mjpeg" { "images" } else { "multipart" };
        assert_eq!(
            (&facts["form"], &facts["frames"], &facts["bad_bytes"]),
            (&form.into(), &10.into(), &0.into()),
            "{name}"
        );
        let mut info = program("mjpeg-movie")?;
        let text = String::from_utf8(run(info.arg("info").arg(&path), LIMIT)?.stdout)?;
        let what = if form == "images" {
            "the images have no lengths"
        } else {
            "the movie is a recorded multipart stream"
        };
        assert_eq!(text.lines().last(), Some(&*advice(what, &path)), "{name}");
        let mut extract = program("mjpeg-movie")?;
        run(extract.arg("extract").args([&path, &frames]).arg("3..4"), LIMIT)?;
        for number in [3, 4] {
            let image = std::fs::read(frames.join(format!("frame-{number:06}.jpg")))?;
            assert!(image == images[number - 1], "{name} {number}");
        }
        let mut make = program("mjpeg-movie")?;
        let done = run(make.args(["make", "--force"]).args([&path, &out]), LIMIT)?;
        let written = format!("{}: 10 frames written\n", out.display());
        assert_eq!(String::from_utf8_lossy(&done.stderr), written, "{name}");
        let mut repair = program("mjpeg-movie")?;
        run(repair.args(["repair", "--force"]).args([&path, &out]), LIMIT)?;
        assert!(std::fs::read(&out)? == movies::movie(&images)?, "{name}");
    }
    Ok(())
}

#[test]
fn our_client_plays_files_and_http_at_the_frame_rate() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(40, "I420")?;
    let server = HttpServer::start(folder.path())?;
    for (name, movie) in forms(&images) {
        let path = folder.file(name, &movie)?;
        let url = format!("{}/{name}", server.url);
        for source in [path.to_str().context("no text")?, &url] {
            let (code, summary, stderr) = headless(&[source])?;
            assert_eq!((code, &summary["frames"]), (Some(0), &40.into()), "{source}: {stderr}");
            let seconds = summary["seconds"].as_f64().context("seconds")?;
            assert!(seconds > 1.9, "{source}: the last frame {seconds} s after the first one");
        }
    }
    // A picture stays one.
    folder.file("picture.jpg", &images[0])?;
    let (code, summary, stderr) = headless(&[&format!("{}/picture.jpg", server.url)])?;
    assert_eq!((code, &summary["frames"]), (Some(0), &1.into()), "{stderr}");
    Ok(())
}
