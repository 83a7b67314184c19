// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie`: its output, its messages, and the files that it writes.

use anyhow::{Context, Result, ensure};
use gstmjpegfile::movie::{MAX_FRAME_LEN, PREFIX_LEN};
use mjpeg_rtsp_tests::broken::{self, Broken};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::djpeg;
use mjpeg_rtsp_tests::programs::{Guard, program, run};
use mjpeg_rtsp_tests::wait_until;
use serde_json::json;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

/// Exit code, standard output and standard error.
type Done = (Option<i32>, String, String);

fn texts(done: &Output) -> Done {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

fn movie<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Done> {
    Ok(texts(&run(program("mjpeg-movie")?.args(arguments), LIMIT)?))
}

/// A run that prints nothing on standard output.
fn silent(code: i32, error: impl Into<String>) -> Done {
    (Some(code), String::new(), error.into())
}

fn frames_of(path: &Path) -> Result<Vec<Vec<u8>>> {
    movies::pull_all(&format!(
        "mjpegfilesrc location={} ! appsink name=out sync=false",
        path.display()
    ))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What `check` prints about a broken movie at `path`.
fn checked(row: &Broken, path: &Path) -> Done {
    let (path, frames) = (path.display(), counted(row.delivered.len(), "frame"));
    let Some(wrong) = &row.wrong else {
        return silent(0, format!("{path}: {frames}, no problems\n"));
    };
    let problems = counted(wrong.lines().count(), "problem");
    let advice = match row.name {
        "nothing" => String::new(),
        "text" => format!(
            ". This is not a movie; to search it for JPEG images: mjpeg-movie repair {path} OUT"
        ),
        "plain images" => {
            ". This is not a movie: it looks like plain concatenated JPEG images without \
                           length prefixes; to convert it: mjpeg-movie repair INPUT OUTPUT.mjpeg"
                .to_owned()
        }
        _ => format!(". To salvage the good frames: mjpeg-movie repair {path} OUT"),
    };
    (Some(1), format!("{wrong}\n"), format!("{path}: {frames}, {problems}{advice}\n"))
}

/// What `repair` prints after it has written `frames` to `out`.
fn repaired(row: &Broken, frames: &[Vec<u8>], first: &[u8], out: &Path) -> Done {
    let (out, written) = (out.display(), counted(frames.len(), "frame"));
    let second = PREFIX_LEN + first.len();
    let (message, rest) = match row.name {
        "no end of image" => (String::new(), ", 1 image given the missing end marker"),
        "stray bytes in an image" => (String::new(), ", 1 image freed of stray bytes"),
        "a cut image" | "past the end" => (
            format!(
                "byte {}: image left out: the image is truncated: the end of its scan is missing\n",
                second + PREFIX_LEN
            ),
            ", 1 image left out",
        ),
        "an image that no movie holds" => (
            format!(
                "byte {second}: image of {} bytes encoded again at lower quality in {} (a frame has at \
                 most 99999)\n",
                row.saved.iter().flatten().nth(1).map_or(0, Vec::len),
                frames.get(1).map_or(0, Vec::len)
            ),
            ", 1 image encoded again at lower quality",
        ),
        _ => (String::new(), ""),
    };
    silent(0, format!("{message}{out}: {written} written{rest}\n"))
}

#[test]
fn every_problem_is_reported_and_every_good_image_is_salvaged() -> Result<()> {
    let images = movies::images(4, "I420")?;
    let folder = Folder::new()?;
    for row in broken::movies(&images)? {
        let name = row.name;
        let path = folder.file("in.mjpeg", &row.bytes)?;
        assert_eq!(movie([OsStr::new("check"), path.as_os_str()])?, checked(&row, &path), "{name}");
        let (code, out, err) = checked(&row, &path);
        let quiet = movie([OsStr::new("check"), OsStr::new("--quiet"), path.as_os_str()])?;
        assert_eq!(quiet, (code, String::new(), String::new()), "{name}: not {out:?} {err:?}");
        let out = folder.path().join("out.mjpeg");
        let done = movie([OsStr::new("repair"), path.as_os_str(), out.as_os_str()])?;
        let Some(saved) = &row.saved else {
            let error = format!(
                "mjpeg-movie: {} contains no JPEG image: {} was not written\n",
                path.display(),
                out.display()
            );
            assert_eq!(done, silent(1, error), "{name}");
            continue;
        };
        let frames = frames_of(&out)?;
        assert_eq!(done, repaired(&row, &frames, &images[0], &out), "{name}");
        assert_eq!(frames.len(), saved.len(), "{name}");
        for (got, want) in frames.iter().zip(saved) {
            // A frame that is too large was encoded again.
            assert!(got == want || want.len() > MAX_FRAME_LEN, "{name}");
        }
        let good = format!("{}: {}, no problems\n", out.display(), counted(saved.len(), "frame"));
        assert_eq!(movie([OsStr::new("check"), out.as_os_str()])?, silent(0, good), "{name}");
        assert!(std::fs::read(&path)? == row.bytes, "{name}: the input is unchanged");
        std::fs::remove_file(&out)?;
    }
    Ok(())
}

#[test]
fn output_is_complete_or_missing_and_replaces_nothing_without_force() -> Result<()> {
    let folder = Folder::new()?;
    let input = folder.file("in.mjpeg", &movies::movie(&movies::images(2, "I420")?)?)?;
    let other = folder.file("other.mjpeg", b"precious")?;
    let none = folder.file("none", b"no image here")?;
    let link = folder.path().join("link.mjpeg");
    std::os::unix::fs::symlink(&input, &link)?;
    let missing_folder = folder.path().join("missing");
    let (out, unreachable) = (folder.path().join("out.mjpeg"), missing_folder.join("out.mjpeg"));
    let is_input = "is the input and is never overwritten: name another output file";
    let exists = "exists already: name another output file, or add --force to replace it";
    let no_folder = format!(
        "cannot create a file in the folder {}: No such file or directory (os error 2)",
        missing_folder.display()
    );
    let rows = [
        (&input, &input, "--force", format!("{} {is_input}", input.display())),
        (&input, &input, "", format!("{} {is_input}", input.display())),
        (&input, &link, "", format!("{} {is_input}", link.display())),
        (&input, &other, "", format!("{} {exists}", other.display())),
        (
            &input,
            &folder.path().to_owned(),
            "--force",
            format!("{} is a folder: name an output file", folder.path().display()),
        ),
        (&input, &unreachable, "", no_folder),
        (
            &none,
            &out,
            "",
            format!("{} contains no JPEG image: {} was not written", none.display(), out.display()),
        ),
    ];
    for (from, to, option, error) in rows {
        let arguments = [OsStr::new("repair"), from.as_os_str(), to.as_os_str()];
        let options = Some(OsStr::new(option)).filter(|it| !it.is_empty());
        let done = movie(arguments.into_iter().chain(options))?;
        assert_eq!(done, silent(1, format!("mjpeg-movie: {error}\n")));
    }
    let error = format!(
        "mjpeg-movie: cannot decode {}: Could not determine type of stream\n",
        none.display()
    );
    assert_eq!(movie([OsStr::new("make"), none.as_os_str(), out.as_os_str()])?, silent(1, error));
    assert!(std::fs::read(&other)? == b"precious");
    let mut left: Vec<_> = std::fs::read_dir(folder.path())?
        .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    left.sort();
    assert_eq!(left, ["in.mjpeg", "link.mjpeg", "none", "other.mjpeg"]);
    Ok(())
}

#[test]
fn a_full_disk_is_an_error_that_is_printed_once() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(10, "I420")?;
    let good = movies::movie(&images)?;
    let input = folder.file("in.mjpeg", &good)?;
    let out = folder.path().join("out.mjpeg");
    // A limit on the size of files simulates a full disk: 10 blocks of 512 bytes.
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 10; exec "$@""#, "sh"]);
    limited.arg(program("mjpeg-movie")?.get_program());
    let done = run(limited.arg("repair").args([&input, &out]), LIMIT)?;
    let error =
        format!("mjpeg-movie: cannot write {}: File too large (os error 27)\n", out.display());
    assert_eq!(texts(&done), silent(1, error));
    assert!(!out.exists());
    let broken = folder.file("broken.mjpeg", &[&good[..], b"000"].concat())?;
    for (command, path) in [("check", broken), ("info", input)] {
        let mut child = program("mjpeg-movie")?;
        child.arg(command).arg(path).stderr(Stdio::piped());
        child.stdout(std::fs::File::options().write(true).open("/dev/full")?);
        let error = "mjpeg-movie: cannot write to standard output: No space left on device (os error \
                     28)\n";
        assert_eq!(finished(child.spawn()?)?, (Some(1), error.to_owned()), "{command}");
    }
    Ok(())
}

/// Waits for the end of a program; its exit code and standard error.
fn finished(mut child: Child) -> Result<(Option<i32>, String)> {
    let stderr = child.stderr.take();
    let status = Guard::new(child).wait(LIMIT)?;
    let mut text = String::new();
    stderr.context("no pipe to standard error")?.read_to_string(&mut text)?;
    Ok((status.code(), text))
}

#[test]
fn other_things_than_files_are_errors() -> Result<()> {
    let folder = Folder::new()?;
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    let missing = folder.path().join("missing");
    let rows = [
        (
            &pipe,
            format!(
                "{} is not a regular file: save what it delivers to a file first",
                pipe.display()
            ),
        ),
        (
            &folder.path().to_owned(),
            format!("{} is a folder: name a movie file", folder.path().display()),
        ),
        (
            &missing,
            format!("cannot open {}: No such file or directory (os error 2)", missing.display()),
        ),
    ];
    for (path, error) in rows {
        let want = silent(1, format!("mjpeg-movie: {error}\n"));
        for command in ["check", "info"] {
            assert_eq!(movie([OsStr::new(command), path.as_os_str()])?, want, "{command}");
        }
        for command in ["repair", "extract"] {
            let arguments = [OsStr::new(command), path.as_os_str(), OsStr::new("/nowhere/out")];
            assert_eq!(movie(arguments)?, want, "{command}");
        }
    }
    Ok(())
}

#[test]
fn info_describes_a_movie() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(10, "Y444")?;
    let path = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let (code, out, err) = movie([OsStr::new("info"), OsStr::new("--json"), path.as_os_str()])?;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let sizes: Vec<usize> = images.iter().map(Vec::len).collect();
    let largest = *sizes.iter().max().context("no image")?;
    let total: usize = sizes.iter().sum();
    let want = json!({
        "frames": 10,
        "bytes": total + 10 * PREFIX_LEN,
        "seconds": 0.5,
        "pictures": { "384x288 4:4:4 baseline": 10 },
        "smallest": sizes.iter().min(),
        "mean": f64::from(u32::try_from(total)?) / 10.0,
        "largest": largest,
        "largest_frame": sizes.iter().position(|size| *size == largest).context("no image")? + 1,
        "over_datagram": 0,
        "bad_bytes": 0,
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out)?, want);
    // Frames of one size, so that the histogram has one bar.
    let size = sizes[0];
    let bytes = [&movies::movie(&vec![images[0].clone(); 10])?[..], b"000"].concat();
    let path = folder.file("equal.mjpeg", &bytes)?;
    let want = format!(
        "10 frames, {} bytes, 0.50 s at 20 frames/s\n\
         384x288 4:4:4 baseline: 10 frames\n\
         frame sizes: {size} to {size} bytes, {size} on average; the largest is frame 1\n  \
         {size:>6} to {size:>6}  ########################################  10\n\
         every frame fits in one UDP datagram of the lab (65495 bytes)\n\
         bytes that belong to no frame: 3 (to list them: mjpeg-movie check)\n",
        bytes.len()
    );
    assert_eq!(movie([OsStr::new("info"), path.as_os_str()])?, (Some(0), want, String::new()));
    for (bytes, error) in [
        (&b""[..], "is empty"),
        (
            b"hello world, hello",
            "is not a movie: it contains no record (five ASCII digits and a JPEG image)",
        ),
    ] {
        let path = folder.file("other", bytes)?;
        let error = format!("mjpeg-movie: {} {error}\n", path.display());
        assert_eq!(movie([OsStr::new("info"), path.as_os_str()])?, silent(1, error));
    }
    Ok(())
}

#[test]
fn extract_writes_the_requested_frames() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(10, "Y444")?;
    let path = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let frames = folder.path().join("frames");
    let extract = |path: &Path, range: &str| {
        movie([OsStr::new("extract"), path.as_os_str(), frames.as_os_str(), OsStr::new(range)])
    };
    for (range, want) in [("3..5", 3..=5), ("9..", 9..=10), ("..1", 1..=1), ("7", 7..=7)] {
        let count = want.clone().count();
        let written = format!("{} written to {}\n", counted(count, "frame"), frames.display());
        assert_eq!(extract(&path, range)?, silent(0, written), "{range}");
        assert_eq!(std::fs::read_dir(&frames)?.count(), count, "{range}");
        for number in want {
            let image = std::fs::read(frames.join(format!("frame-{number:06}.jpg")))?;
            assert!(image == images[number - 1], "{range}: {number}");
        }
        std::fs::remove_dir_all(&frames)?;
    }
    let movie = path.display();
    let error = format!("mjpeg-movie: frame 11 does not exist: {movie} has 10 frames\n");
    assert_eq!(extract(&path, "11..")?, silent(1, error));
    let text = folder.file("text", b"hello world, hello")?;
    let shown = text.display();
    let error =
        format!("mjpeg-movie: {shown} contains no frame; to see why: mjpeg-movie check {shown}\n");
    assert_eq!(extract(&text, "..")?, silent(1, error));
    assert!(!frames.exists(), "no folder is created for no frame");
    Ok(())
}

#[test]
fn make_converts_videos_pictures_and_movies() -> Result<()> {
    let folder = Folder::new()?;
    let video = folder.path().join("video.mkv");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"]);
    ffmpeg.args(["testsrc=size=320x240:rate=10:duration=2", "-c:v", "ffv1"]).arg(&video);
    assert!(run(&mut ffmpeg, LIMIT)?.status.success());
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures)?;
    for (number, image) in (8..).zip(movies::images(3, "Y444")?) {
        std::fs::write(pictures.join(format!("p{number}.jpg")), image)?;
    }
    let out = folder.path().join("out.mjpeg");
    // Checks the frames and the last line of the messages; returns the frames and the lines before it.
    let make = |input: &Path, options: &[&str]| -> Result<(Vec<Vec<u8>>, String)> {
        let arguments =
            [OsStr::new("make"), OsStr::new("--force"), input.as_os_str(), out.as_os_str()];
        let (code, printed, messages) =
            movie(arguments.into_iter().chain(options.iter().map(OsStr::new)))?;
        ensure!((code, printed.as_str()) == (Some(0), ""), "{code:?}: {printed}{messages}");
        let frames = frames_of(&out)?;
        for image in &frames {
            ensure!(gstmjpegfile::jpeg::check(image).is_ok(), "RTP/JPEG cannot carry a frame");
        }
        let last = format!("{}: {} frames written\n", out.display(), frames.len());
        let rest = messages.strip_suffix(&last).with_context(|| messages.clone())?;
        Ok((frames, rest.to_owned()))
    };
    // 10 frames per second become 20: each frame is repeated.
    let (frames, messages) = make(&video, &[])?;
    assert!((39..=40).contains(&frames.len()), "{}", frames.len());
    assert_eq!(messages, "");
    let (frames, messages) = make(&video, &["--framerate", "10", "--size", "160x120"])?;
    assert!((19..=20).contains(&frames.len()), "{}", frames.len());
    assert_eq!(messages, "");
    let picture = djpeg(&frames[0], &[])?;
    assert_eq!((picture.width, picture.height), (160, 120));
    let (large, _) = make(&video, &["--quality", "95"])?;
    let (frames, messages) = make(&video, &["--quality", "95", "--max-frame-bytes", "8000"])?;
    assert!(frames.iter().all(|image| image.len() <= 8000));
    let shrunk = || large.iter().zip(&frames).zip(1..).filter(|((large, _), _)| large.len() > 8000);
    let lines = shrunk().take(10).map(|((large, small), number)| {
        format!(
            "frame {number}: {} bytes, encoded again at lower quality in {} (limit 8000)\n",
            large.len(),
            small.len()
        )
    });
    let more = counted(shrunk().count() - 10, "more frame");
    let want = format!("{}{more} encoded again at lower quality\n", lines.collect::<String>());
    assert_eq!(messages, want);
    let (frames, messages) = make(&pictures, &[])?;
    assert_eq!((frames.len(), messages.as_str()), (3, ""));
    let movie = folder.file("movie.mjpeg", &std::fs::read(&out)?)?;
    let (frames, messages) = make(&movie, &["--size", "160x120"])?;
    assert_eq!((frames.len(), messages.as_str()), (3, ""));
    // Standard input.
    let piped = folder.path().join("piped.mjpeg");
    let mut make = program("mjpeg-movie")?;
    make.args(["make", "-"]).arg(&piped).stdin(Stdio::from(std::fs::File::open(&video)?));
    let done = finished(make.stderr(Stdio::piped()).spawn()?)?;
    let frames = frames_of(&piped)?.len();
    assert_eq!(done, (Some(0), format!("{}: {frames} frames written\n", piped.display())));
    assert!((39..=40).contains(&frames), "{frames}");
    Ok(())
}

#[test]
fn ctrl_c_keeps_the_recorded_frames() -> Result<()> {
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    // A source that never ends.
    let endless = folder.path().join("endless.y4m");
    assert!(Command::new("mkfifo").arg(&endless).status()?.success());
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i"]);
    ffmpeg.args([
        "testsrc=size=160x120:rate=20",
        "-f",
        "yuv4mpegpipe",
        "-pix_fmt",
        "yuv420p",
        "-y",
    ]);
    let _ffmpeg = Guard::new(ffmpeg.arg(&endless).spawn()?);
    let mut make = program("mjpeg-movie")?;
    make.args(["make", "-"]).arg(&out).stdin(Stdio::from(std::fs::File::open(&endless)?));
    let mut make = make.stderr(Stdio::piped()).spawn()?;
    let stderr = make.stderr.take();
    let mut make = Guard::new(make);
    let temporary = || {
        let files = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).any(|it| it.is_file() && it.len() == 0)
    };
    wait_until("the start of the recording", LIMIT, temporary);
    mjpeg_rtsp_tests::pace(Duration::from_secs(2));
    make.signal("INT")?;
    assert!(make.wait(LIMIT)?.success());
    let frames = frames_of(&out)?.len();
    assert!(frames > 5, "{frames}");
    let mut messages = String::new();
    stderr.context("no pipe to standard error")?.read_to_string(&mut messages)?;
    assert_eq!(messages, format!("{}: {frames} frames written\n", out.display()));
    Ok(())
}
