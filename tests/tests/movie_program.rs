// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie`: what it makes, says, finds and saves.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::broken::{self, Broken};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::djpeg;
use mjpeg_rtsp_tests::programs::{Guard, program, run};
use mjpeg_rtsp_tests::wait_until;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

/// Exit code, standard output, standard error.
fn movie<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S>,
) -> Result<(Option<i32>, String, String)> {
    let done = run(program("mjpeg-movie")?.args(arguments), LIMIT)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((done.status.code(), text(&done.stdout), text(&done.stderr)))
}

fn frames_of(path: &Path) -> Result<Vec<Vec<u8>>> {
    movies::pull_all(&format!(
        "mjpegfilesrc location={} ! appsink name=out sync=false",
        path.display()
    ))
}

#[test]
fn everything_wrong_is_found_with_frame_and_byte_and_what_can_be_saved_is() -> Result<()> {
    let images = movies::images(4, "I420")?;
    let folder = Folder::new()?;
    for Broken { name, bytes, wrong, saved, .. } in broken::movies(&images)? {
        let path = folder.file("in.mjpeg", &bytes)?;
        let (code, out, _) = movie([OsStr::new("check"), path.as_os_str()])?;
        let first = out.lines().next().unwrap_or_default();
        match &wrong {
            None => assert_eq!((code, first), (Some(0), ""), "{name}"),
            Some(wrong) => {
                assert!(code == Some(1) && out.contains(wrong.as_str()), "{name}: {out}");
            }
        }
        let repaired = folder.path().join("out.mjpeg");
        let (code, _, said) = movie([
            OsStr::new("repair"),
            OsStr::new("--force"),
            path.as_os_str(),
            repaired.as_os_str(),
        ])?;
        let Some(saved) = saved else {
            assert!(code == Some(1) && said.contains("no image in"), "{name}: {said}");
            continue;
        };
        assert_eq!(code, Some(0), "{name}: {said}");
        let frames = frames_of(&repaired)?;
        assert_eq!(frames.len(), saved.len(), "{name}: {said}");
        for (got, want) in frames.iter().zip(&saved) {
            // What no movie holds was encoded again.
            assert!(got == want || want.len() > 99_999, "{name}");
        }
        assert_eq!(movie([OsStr::new("check"), repaired.as_os_str()])?.0, Some(0), "{name}");
        assert!(std::fs::read(&path)? == bytes, "{name}: the input is as it was");
        std::fs::remove_file(&repaired)?;
    }
    Ok(())
}

#[test]
fn files_are_never_overwritten_unasked_and_never_left_half() -> Result<()> {
    let folder = Folder::new()?;
    let input = folder.file("in.mjpeg", &movies::movie(&movies::images(2, "I420")?)?)?;
    let other = folder.file("other.mjpeg", b"precious")?;
    let link = folder.path().join("link.mjpeg");
    std::os::unix::fs::symlink(&input, &link)?;
    for (out, says) in
        [(&input, "is the input"), (&link, "is the input"), (&other, "is there already")]
    {
        let (code, _, said) = movie([OsStr::new("repair"), input.as_os_str(), out.as_os_str()])?;
        assert!(code == Some(1) && said.contains(says), "{said}");
        let (code, _, _) = movie([
            OsStr::new("repair"),
            OsStr::new("--force"),
            input.as_os_str(),
            input.as_os_str(),
        ])?;
        assert_eq!(code, Some(1), "not even by force");
    }
    assert!(std::fs::read(&other)? == b"precious");
    let none = folder.file("none", b"no image here")?;
    let out = folder.path().join("out.mjpeg");
    assert_eq!(movie([OsStr::new("repair"), none.as_os_str(), out.as_os_str()])?.0, Some(1));
    assert_eq!(movie([OsStr::new("make"), none.as_os_str(), out.as_os_str()])?.0, Some(1));
    let left: Vec<_> = std::fs::read_dir(folder.path())?
        .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    assert_eq!(left.len(), 4, "{left:?}");
    // What is no file does not hang.
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    for path in [&pipe, &folder.path().to_owned(), &folder.path().join("missing")] {
        for command in ["check", "info"] {
            let (code, _, said) = movie([OsStr::new(command), path.as_os_str()])?;
            assert!(code == Some(1) && said.lines().count() == 1, "{said}");
        }
    }
    Ok(())
}

#[test]
fn info_and_extract_tell_and_give_what_is_there() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(10, "Y444")?;
    let path = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let (code, out, _) = movie([OsStr::new("info"), OsStr::new("--json"), path.as_os_str()])?;
    let facts: serde_json::Value = serde_json::from_str(&out)?;
    let sizes: Vec<usize> = images.iter().map(Vec::len).collect();
    assert_eq!(code, Some(0));
    assert_eq!((&facts["frames"], &facts["seconds"]), (&10.into(), &0.5.into()));
    assert_eq!(facts["pictures"]["384x288 4:4:4 baseline"], 10);
    assert_eq!(facts["largest"], *sizes.iter().max().context("none")?);
    let (_, out, _) = movie([OsStr::new("info"), path.as_os_str()])?;
    assert!(out.contains("10 frames") && out.contains("####"), "{out}");
    let frames = folder.path().join("frames");
    for (range, want) in [("3..5", 3..=5), ("9..", 9..=10), ("..1", 1..=1), ("7", 7..=7)] {
        let (code, _, said) = movie([
            OsStr::new("extract"),
            path.as_os_str(),
            frames.as_os_str(),
            OsStr::new(range),
        ])?;
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(std::fs::read_dir(&frames)?.count(), want.clone().count(), "{range}");
        for number in want {
            let image = std::fs::read(frames.join(format!("frame-{number:06}.jpg")))?;
            assert!(image == images[number - 1], "{range}: {number}");
        }
        std::fs::remove_dir_all(&frames)?;
    }
    let none =
        movie([OsStr::new("extract"), path.as_os_str(), frames.as_os_str(), OsStr::new("11..")])?;
    assert!(none.0 == Some(1) && none.2.contains("has 10 frames"), "{}", none.2);
    Ok(())
}

#[test]
fn anything_becomes_a_movie_that_rtp_carries() -> Result<()> {
    let folder = Folder::new()?;
    let video = folder.path().join("video.mkv");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args([
        "-v",
        "error",
        "-nostdin",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x240:rate=10:duration=2",
    ]);
    assert!(run(ffmpeg.args(["-c:v", "ffv1"]).arg(&video), LIMIT)?.status.success());
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures)?;
    for (number, image) in (8..).zip(movies::images(3, "Y444")?) {
        std::fs::write(pictures.join(format!("p{number}.jpg")), image)?;
    }
    let out = folder.path().join("out.mjpeg");
    let made = |input: &Path, options: &[&str]| -> Result<(Vec<Vec<u8>>, String)> {
        let arguments =
            [OsStr::new("make"), OsStr::new("--force"), input.as_os_str(), out.as_os_str()];
        let (code, _, said) = movie(arguments.into_iter().chain(options.iter().map(OsStr::new)))?;
        anyhow::ensure!(code == Some(0), "{said}");
        for image in frames_of(&out)? {
            anyhow::ensure!(gstmjpegfile::jpeg::check(&image).is_ok(), "RTP carries it exactly");
        }
        Ok((frames_of(&out)?, said))
    };
    // Ten frames a second become twenty: each is shown twice.
    let (frames, _) = made(&video, &[])?;
    assert!((39..=40).contains(&frames.len()), "{}", frames.len());
    let (frames, _) = made(&video, &["--framerate", "10", "--size", "160x120"])?;
    assert!((19..=20).contains(&frames.len()), "{}", frames.len());
    let picture = djpeg(&frames[0], &[])?;
    assert_eq!((picture.width, picture.height), (160, 120));
    let (frames, said) = made(&video, &["--max-frame-bytes", "8000", "--quality", "95"])?;
    assert!(
        frames.iter().all(|image| image.len() <= 8000) && said.contains("encoded again"),
        "{said}"
    );
    let (frames, _) = made(&pictures, &[])?;
    assert_eq!(frames.len(), 3);
    // Standard input.
    let piped = folder.path().join("piped.mjpeg");
    let mut make = program("mjpeg-movie")?;
    make.args(["make", "-"]).arg(&piped).stdin(Stdio::from(std::fs::File::open(&video)?));
    let mut make = Guard::new(make.stderr(Stdio::null()).spawn()?);
    assert!(make.wait(LIMIT)?.success());
    assert!((39..=40).contains(&frames_of(&piped)?.len()));
    Ok(())
}

#[test]
fn ctrl_c_keeps_what_was_recorded() -> Result<()> {
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    // A source without an end, by its URI.
    let endless = folder.path().join("endless.y4m");
    assert!(Command::new("mkfifo").arg(&endless).status()?.success());
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args([
        "-v",
        "error",
        "-nostdin",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=160x120:rate=20",
    ]);
    ffmpeg.args(["-f", "yuv4mpegpipe", "-pix_fmt", "yuv420p", "-y"]).arg(&endless);
    let _ffmpeg = Guard::new(ffmpeg.spawn()?);
    let mut make = program("mjpeg-movie")?;
    make.args(["make", "-"]).arg(&out).stdin(Stdio::from(std::fs::File::open(&endless)?));
    let mut make = Guard::new(make.stderr(Stdio::null()).spawn()?);
    let temporary = || {
        let files = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).any(|it| it.is_file() && it.len() == 0)
    };
    wait_until("the recording's begin", LIMIT, temporary);
    mjpeg_rtsp_tests::pace(Duration::from_secs(2));
    make.signal("INT")?;
    assert!(make.wait(LIMIT)?.success());
    assert!(frames_of(&out)?.len() > 5);
    Ok(())
}
