// SPDX-License-Identifier: MIT OR Apache-2.0
//! The type finder, `mjpegfileparse` and `mjpegfilemux`.

use anyhow::{Result, ensure};
use gst::prelude::*;
use mjpeg_rtsp_tests::broken::{self, Broken};
use mjpeg_rtsp_tests::movies::{self, Folder, SIZE};
use mjpeg_rtsp_tests::peer::http_server::HttpServer;
use mjpeg_rtsp_tests::pipeline::{PipelineError, TestPipeline, buffer, bytes, pts};
use mjpeg_rtsp_tests::programs::{program, run, target_folder};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

/// What a launch line delivers to its appsink `out`, up to its end or an error.
#[derive(Default)]
struct Output {
    /// Time stamp in ms and bytes.
    frames: Vec<(Option<u64>, Vec<u8>)>,
    warnings: Vec<String>,
    error: Option<String>,
}

fn launch(line: &str) -> Result<Output> {
    let mut out = Output::default();
    let pipeline = TestPipeline::launch(line)?;
    let mut play = || -> Result<()> {
        pipeline.play()?;
        while let Some(sample) = pipeline.next_sample()? {
            let pts = buffer(&sample)?.pts().map(gst::ClockTime::mseconds);
            out.frames.push((pts, bytes(&sample)?));
            ensure!(out.frames.len() < 10_000, "more frames than any movie here has");
        }
        pipeline.wait_for_end()
    };
    if let Err(error) = play() {
        out.error = Some(error.downcast::<PipelineError>()?.text);
    }
    out.warnings = pipeline.warnings();
    Ok(out)
}

/// A movie of five images with bad bytes between them.
fn damaged(images: &[Vec<u8>]) -> Result<Vec<u8>> {
    let part = |range: std::ops::Range<usize>| movies::movie(&images[range]);
    Ok([
        part(0..2)?,
        b"garbage that is no record".to_vec(),
        part(2..3)?,
        b"0000000000".to_vec(),
        part(3..5)?,
        b"00500\xff\xd8 cut".to_vec(),
    ]
    .concat())
}

#[test]
fn a_movie_is_parsed_the_same_in_pieces_of_any_size() -> Result<()> {
    let images = movies::images(30, "Y444")?;
    let folder = Folder::new()?;
    let movie = folder.file("movie", &movies::movie(&images)?)?;
    let path = movie.display();
    let lines = [
        format!("filesrc location={path}"),
        format!("filesrc location={path} blocksize=1000 ! queue"),
        format!("filesrc location={path} blocksize=7 ! queue"),
        format!("filesrc location={path} blocksize=3000000 ! queue"),
    ];
    for source in lines {
        let out = launch(&format!("{source} ! mjpegfileparse ! appsink name=out sync=false"))?;
        let want: Vec<_> =
            (0..).zip(&images).map(|(n, image)| (Some(n * 50), image.clone())).collect();
        assert!(out.frames == want, "{source}: {} frames", out.frames.len());
        assert_eq!((out.warnings.len(), out.error), (0, None), "{source}");
    }
    let rate = launch(&format!(
        "filesrc location={path} ! mjpegfileparse framerate=10/1 ! appsink name=out sync=false"
    ))?;
    assert_eq!(rate.frames[29].0, Some(2900));
    Ok(())
}

#[test]
fn bad_records_cost_no_good_frame() -> Result<()> {
    let images = movies::images(5, "I420")?;
    let folder = Folder::new()?;
    let movie = folder.file("movie", &damaged(&images)?)?;
    for options in ["", "blocksize=500 ! queue"] {
        let line = format!(
            "filesrc location={} {options} ! mjpegfileparse ! appsink name=out sync=false",
            movie.display()
        );
        let out = launch(&line)?;
        let got: Vec<_> = out.frames.into_iter().map(|(_, image)| image).collect();
        assert!(got == images, "{options}: {} frames", got.len());
        assert_eq!(out.error, None);
        for part in
            ["before frame 3: length prefix \"garba\"", "before frame 4", "states 500 bytes"]
        {
            let warned = out.warnings.iter().any(|warning| warning.contains(part));
            assert!(warned, "{options} {part}: {:?}", out.warnings);
        }
    }
    // A file without any frame is an error.
    for bytes in [&b"hello world, this is no movie at all"[..], &[b'0'; 100], &[]] {
        let file = folder.file("none", bytes)?;
        let line = format!(
            "filesrc location={} ! mjpegfileparse ! appsink name=out sync=false",
            file.display()
        );
        let out = launch(&line)?;
        assert!(out.frames.is_empty() && out.error.is_some(), "{bytes:?}");
    }
    Ok(())
}

#[test]
fn the_intact_frames_of_every_broken_movie_are_read() -> Result<()> {
    let images = movies::images(4, "I420")?;
    let folder = Folder::new()?;
    for Broken { name, bytes, delivered, .. } in broken::movies(&images)? {
        let movie = folder.file("movie", &bytes)?;
        let path = movie.display();
        for source in [
            format!("mjpegfilesrc location={path}"),
            format!("filesrc location={path} ! mjpegfileparse"),
            format!("filesrc location={path} blocksize=777 ! queue ! mjpegfileparse"),
        ] {
            let started = std::time::Instant::now();
            let out = launch(&format!("{source} ! appsink name=out sync=false"))?;
            assert!(started.elapsed() < Duration::from_secs(5), "{name}: {source}");
            let got: Vec<_> = out.frames.into_iter().map(|(_, image)| image).collect();
            assert!(got == delivered, "{name}: {source}: {} frames", got.len());
            assert_eq!(out.error.is_some(), delivered.is_empty(), "{name}: {source}");
            assert!(out.warnings.len() < 10, "{name}: {source}: the log is bounded");
        }
    }
    Ok(())
}

/// A pipeline that parses a movie of these images and has delivered the first one.
fn parsed(images: &[Vec<u8>]) -> Result<(Folder, TestPipeline)> {
    let folder = Folder::new()?;
    let movie = folder.file("movie", &movies::movie(images)?)?;
    let line = format!(
        "filesrc location={} ! mjpegfileparse ! appsink name=out sync=false max-buffers=2",
        movie.display()
    );
    let pipeline = TestPipeline::launch(&line)?;
    pipeline.play()?;
    pipeline.sample()?;
    Ok((folder, pipeline))
}

#[test]
fn seeks_in_a_parsed_movie_find_their_frame() -> Result<()> {
    let images = movies::images(100, "I420")?;
    let (_folder, pipeline) = parsed(&images)?;
    let duration = pipeline.pipeline().query_duration::<gst::ClockTime>();
    assert_eq!(duration, Some(gst::ClockTime::from_seconds(5)));
    for accurate in [gst::SeekFlags::ACCURATE, gst::SeekFlags::empty()] {
        for frame in [60_usize, 7, 99, 0, 33] {
            let time = gst::ClockTime::from_mseconds(frame as u64 * 50);
            // A seek during the change back to PLAYING after another one may bring no frame.
            pipeline.wait_for_state()?;
            pipeline.pipeline().seek_simple(gst::SeekFlags::FLUSH | accurate, time)?;
            let sample = pipeline.sample()?;
            assert_eq!(pts(&sample)?, time, "{accurate:?} {frame}");
            assert!(bytes(&sample)? == images[frame], "{accurate:?} {frame}");
        }
    }
    Ok(())
}

#[test]
fn a_long_movie_is_indexed_while_it_plays() -> Result<()> {
    const FRAMES: u32 = 40_000;
    // More than are indexed before the first frame, and what is left at 16 with each frame.
    const INDEXED: u32 = 16_384;
    const PLAYED: u32 = (FRAMES - INDEXED) / 16 + 1;
    let image = |number: u32| [&[0xff, 0xd8][..], &number.to_be_bytes(), &[0xff, 0xd9]].concat();
    let images: Vec<_> = (0..FRAMES).map(image).collect();
    let (_folder, pipeline) = parsed(&images)?;
    let seek = |frame: u32| -> Result<()> {
        let time = gst::ClockTime::from_mseconds(u64::from(frame) * 50);
        pipeline.wait_for_state()?;
        pipeline.pipeline().seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, time)?;
        let sample = pipeline.sample()?;
        assert_eq!((pts(&sample)?, bytes(&sample)?), (time, image(frame)), "{frame}");
        Ok(())
    };
    seek(INDEXED - 100)?;
    seek(0)?;
    for _ in 0..PLAYED {
        pipeline.sample()?;
    }
    let duration = pipeline.pipeline().query_duration::<gst::ClockTime>();
    assert_eq!(duration, Some(gst::ClockTime::from_seconds(2000)));
    for frame in [FRAMES - 1, 20_001, 7, 39_000] {
        seek(frame)?;
    }
    Ok(())
}

#[test]
fn a_parsed_movie_is_decoded_backwards() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie", &movies::movie(&movies::images(100, "I420")?)?)?;
    let line = format!(
        "filesrc location={} ! mjpegfileparse ! jpegdec ! appsink name=out sync=false max-buffers=2",
        movie.display()
    );
    let pipeline = TestPipeline::launch(&line)?;
    pipeline.play()?;
    pipeline.sample()?;
    pipeline.wait_for_state()?;
    let (set, ms) = (gst::SeekType::Set, gst::ClockTime::from_mseconds);
    pipeline.pipeline().seek(-1.0, gst::SeekFlags::FLUSH, set, ms(0), set, ms(4000))?;
    let times = pipeline.samples()?.iter().map(pts).collect::<Result<Vec<_>>>()?;
    let want: Vec<_> = (0..80).rev().map(|frame| ms(frame * 50)).collect();
    assert_eq!(times, want);
    Ok(())
}

#[test]
fn programs_recognise_movies() -> Result<()> {
    let folder = Folder::new()?;
    // The extension is not a movie's.
    let movie = folder.file("movie.bin", &movies::movie(&movies::images(40, "Y444")?)?)?;
    let path = movie.display().to_string();
    let with_plugin = |name: &str| -> Result<Command> {
        let mut command = Command::new(name);
        command.env("GST_PLUGIN_PATH", target_folder()?);
        Ok(command)
    };
    let done = run(with_plugin("gst-discoverer-1.0")?.args(["-v", &path]), LIMIT)?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    for part in
        ["Duration: 0:00:02.0", "Width: 384", "Height: 288", "Frame rate: 20/1", "Seekable: yes"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let quiet = ["--videosink=fakesink", "--no-interactive"];
    let done = run(with_plugin("gst-play-1.0")?.args(quiet).arg(&path), LIMIT)?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains(" / 0:00:02.0") && !text.contains("FAILED"), "{text}");
    // Our client opens the path, and the file over HTTP.
    let server = HttpServer::start(folder.path())?;
    let url = format!("{}/movie.bin", server.url);
    for source in [path, url] {
        let mut client = program("mjpeg-rtsp-client")?;
        let done = run(client.args(["--headless", "--json", &source]), LIMIT)?;
        let summary: serde_json::Value = serde_json::from_slice(&done.stdout)?;
        let stderr = String::from_utf8_lossy(&done.stderr);
        assert_eq!(
            (done.status.code(), &summary["frames"]),
            (Some(0), &40.into()),
            "{source} {stderr}"
        );
        assert_eq!((&summary["width"], &summary["height"]), (&SIZE.0.into(), &SIZE.1.into()));
    }
    Ok(())
}

#[test]
fn the_type_finder_recognises_movies_and_no_other_files() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(5, "I420")?;
    let muxed = |name: &str, muxer: &str| -> Result<()> {
        let path = folder.path().join(name);
        let line = format!(
            "videotestsrc num-buffers=5 ! jpegenc ! {muxer} ! filesink location={}",
            path.display()
        );
        let pipeline = TestPipeline::launch(&line)?;
        pipeline.play()?;
        pipeline.wait_for_end()
    };
    muxed("movie.mp4", "qtmux")?;
    muxed("movie.mkv", "matroskamux")?;
    muxed("movie.avi", "avimux")?;
    muxed("movie.multipart", "multipartmux")?;
    folder.file("one.jpg", &images[0])?;
    // A picture with the preview that cameras store after it.
    let listed = [&images[0][..2], b"\xff\xe2\0\x08MPF\0MM", &images[0][2..]].concat();
    folder.file("previews.jpg", &[&listed[..], &images[1]].concat())?;
    folder.file("plain.mjpeg", &images.concat())?;
    // A name that says what the file is.
    folder.file("two.jpg", &images[..2].concat())?;
    folder.file("two.xyz", &images[..2].concat())?;
    folder.file("digits.txt", "12345\n".repeat(1000).as_bytes())?;
    folder.file("digits.mjpeg", "00012345670001234567".repeat(500).as_bytes())?;
    folder.file("movie.xyz", &movies::movie(&images)?)?;
    folder.file("one.xyz", &movies::movie(&images[..1])?)?;
    let rows = [
        ("movie.mp4", "video/quicktime"),
        ("movie.mkv", "video/x-matroska"),
        ("movie.avi", "video/x-msvideo"),
        ("movie.multipart", "application/x-mjpegfile"),
        ("one.jpg", "image/jpeg"),
        ("previews.jpg", "image/jpeg"),
        ("plain.mjpeg", "application/x-mjpegfile"),
        ("two.jpg", "image/jpeg"),
        ("two.xyz", "application/x-mjpegfile"),
        ("digits.txt", "text/plain"),
        ("digits.mjpeg", ""),
        ("movie.xyz", "application/x-mjpegfile"),
        ("one.xyz", "application/x-mjpegfile"),
    ];
    for (name, want) in rows {
        let mut command = Command::new("gst-typefind-1.0");
        command.env("GST_PLUGIN_PATH", target_folder()?).arg(folder.path().join(name));
        let done = run(&mut command, LIMIT)?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let ours = text.contains("application/x-mjpegfile");
        assert!(
            text.contains(want) && ours == (want == "application/x-mjpegfile"),
            "{name}: {text}"
        );
    }
    Ok(())
}

#[test]
fn what_is_written_is_read_back_byte_for_byte() -> Result<()> {
    let images = movies::images(30, "I420")?;
    let folder = Folder::new()?;
    let movie = folder.file("movie", &movies::movie(&images)?)?;
    let out = launch(&format!(
        "mjpegfilesrc location={} ! mjpegfilemux ! appsink name=out sync=false",
        movie.display()
    ))?;
    let written: Vec<u8> = out.frames.into_iter().flat_map(|(_, record)| record).collect();
    assert!(written == movies::movie(&images)?, "{} bytes", written.len());
    let again = folder.file("again", &written)?;
    let line = format!("mjpegfilesrc location={} ! appsink name=out sync=false", again.display());
    let read: Vec<_> = launch(&line)?.frames.into_iter().map(|(_, image)| image).collect();
    assert!(read == images);
    Ok(())
}

#[test]
fn damaged_images_are_read_unchanged_reported_and_removed_by_repair() -> Result<()> {
    let images = movies::images(2, "I420")?;
    let folder = Folder::new()?;
    for (name, bad) in broken::images(&images[0])? {
        let all = [images[0].clone(), bad, images[1].clone()];
        let movie = folder.file("movie", &movies::movie(&all)?)?;
        let path = movie.display();
        for source in [
            format!("mjpegfilesrc location={path}"),
            format!("filesrc location={path} ! mjpegfileparse"),
        ] {
            let out = launch(&format!("{source} ! appsink name=out sync=false"))?;
            let got: Vec<_> = out.frames.into_iter().map(|(_, image)| image).collect();
            assert!(got == all, "{name}: {source}");
        }
        let out = launch(&format!(
            "mjpegfilesrc location={path} ! mjpegfilemux bad-frames=drop ! appsink name=out sync=false"
        ))?;
        assert_eq!(out.frames.len(), 2, "{name}: the muxer leaves it out");
        let done = run(program("mjpeg-movie")?.arg("check").arg(&movie), LIMIT)?;
        let output = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(
            done.status.code() == Some(1) && output.starts_with("frame 2, byte "),
            "{name}: {output}"
        );
        assert_eq!(output.lines().count(), 1, "{name}: {output}");
        let repaired = folder.path().join("repaired");
        let mut repair = program("mjpeg-movie")?;
        let done = run(repair.args(["repair", "--force"]).arg(&movie).arg(&repaired), LIMIT)?;
        // An image was left out.
        assert_eq!(done.status.code(), Some(1), "{name}");
        assert!(std::fs::read(&repaired)? == movies::movie(&images)?, "{name}: repaired");
    }
    Ok(())
}

#[test]
fn only_frames_that_players_show_are_written() -> Result<()> {
    let images = movies::images(4, "I420")?;
    let folder = Folder::new()?;
    for Broken { name, bytes, delivered, .. } in broken::movies(&images)? {
        let movie = folder.file("movie", &bytes)?;
        let out = launch(&format!(
            "filesrc location={} ! mjpegfileparse ! mjpegfilemux bad-frames=drop \
             ! appsink name=out sync=false",
            movie.display()
        ))?;
        let good = delivered.iter().filter(|image| gstmjpegfile::jpeg::writable(image).is_ok());
        let want: Vec<Vec<u8>> = good.cloned().collect();
        let written: Vec<u8> = out.frames.into_iter().flat_map(|(_, record)| record).collect();
        assert!(written == movies::movie(&want)?, "{name}: {} bytes", written.len());
        // At most one image of each row is bad.
        assert!(want.len() + 1 >= delivered.len(), "{name}");
    }
    Ok(())
}

#[test]
fn frames_that_no_movie_can_hold_are_an_error_or_left_out() -> Result<()> {
    let images = movies::images(3, "I420")?;
    let large = mjpeg_rtsp_tests::peer::libjpeg::cjpeg(
        &mjpeg_rtsp_tests::peer::libjpeg::Picture::made(1600, 1200),
        &["-quality", "75"],
    )?;
    assert!(large.len() > 99_999, "{}", large.len());
    let progressive = mjpeg_rtsp_tests::peer::libjpeg::cjpeg(
        &mjpeg_rtsp_tests::peer::libjpeg::Picture::made(384, 288),
        &["-progressive"],
    )?;
    let mut cut = images[1].clone();
    cut.truncate(cut.len() / 2);
    let rows = [
        ("oversize", large, "frame 2: a frame of "),
        ("bad-frames", progressive, "frame 2: the image is progressive"),
        ("bad-frames", cut, "frame 2: the image is damaged"),
    ];
    for (property, bad, message) in rows {
        let folder = Folder::new()?;
        for (number, image) in [&images[0], &bad, &images[2]].into_iter().enumerate() {
            folder.file(&format!("{number}.jpg"), image)?;
        }
        let line = |reaction: &str| {
            format!(
                "multifilesrc location={}/%d.jpg start-index=0 stop-index=2 caps=image/jpeg \
                 ! mjpegfilemux {property}={reaction} ! appsink name=out sync=false",
                folder.path().display()
            )
        };
        let out = launch(&line("error"))?;
        let error = out.error.unwrap_or_default();
        assert!(out.frames.len() == 1 && error.starts_with(message), "{message}: {error}");
        let out = launch(&line("drop"))?;
        assert_eq!((out.frames.len(), out.error), (2, None), "{message}");
        assert!(out.warnings[0].starts_with("frame 2 dropped: "), "{:?}", out.warnings);
    }
    Ok(())
}
