// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-movie`: its output, its messages, and the files that it writes.

use anyhow::{Context, Result, ensure};
use gstmjpegfile::movie::{MAX_FRAME_LEN, PREFIX_LEN};
use mjpeg_rtsp_tests::broken::{self, Broken};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg, djpeg, images_for_jpegdec, psnr};
use mjpeg_rtsp_tests::programs::{Guard, program, run};
use mjpeg_rtsp_tests::wait_until;
use serde_json::json;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
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
    let form = row.form.map(|what| {
        format!(
            "{what}: other programs of the course lab cannot read this form; to convert it: \
             mjpeg-movie repair {path} OUT\n"
        )
    });
    let wrong: String = row.wrong.iter().map(|it| format!("{it}\n")).chain(form).collect();
    if wrong.is_empty() {
        return silent(0, format!("{path}: {frames}, no problems\n"));
    }
    let problems = counted(wrong.lines().count(), "problem");
    let advice = match row.name {
        // The problem itself names the command.
        _ if row.wrong.is_none() => String::new(),
        "nothing" => String::new(),
        "text" => format!(
            ". This is not a movie; to search it for JPEG images: mjpeg-movie repair {path} OUT"
        ),
        _ => format!(". To salvage the good frames: mjpeg-movie repair {path} OUT"),
    };
    (Some(1), wrong, format!("{path}: {frames}, {problems}{advice}\n"))
}

/// What `repair` prints after it has written `frames` to `out`.
fn repaired(row: &Broken, frames: &[Vec<u8>], first: &[u8], out: &Path) -> Done {
    let (out, written) = (out.display(), counted(frames.len(), "frame"));
    let second = PREFIX_LEN + first.len();
    let cut = "image left out: the image is truncated: the end of its scan is missing";
    let (message, rest) = match row.name {
        "plain images, the last one cut" => (
            format!("byte {}: {cut}\n", frames.iter().map(Vec::len).sum::<usize>()),
            ", 1 image left out",
        ),
        "no end of image" | "plain images, one without an end" => {
            (String::new(), ", 1 image given the missing end marker")
        }
        "stray bytes in an image" => (String::new(), ", 1 image freed of stray bytes"),
        "a cut image" | "past the end" => {
            (format!("byte {}: {cut}\n", second + PREFIX_LEN), ", 1 image left out")
        }
        "an image that no movie holds" => (
            format!(
                "byte {second}: image of {} bytes encoded again at lower quality in {} (a frame has at \
                 most 99999)\n",
                row.saved.iter().flatten().nth(1).map_or(0, Vec::len),
                frames.get(1).map_or(0, Vec::len)
            ),
            ", 1 image encoded again",
        ),
        _ => (String::new(), ""),
    };
    // What is lost is a failure, although the movie is written.
    let code = i32::from(rest.ends_with("left out"));
    silent(code, format!("{message}{out}: {written} written{rest}\n"))
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
        "form": "records",
        "frames": 10,
        "bytes": total + 10 * PREFIX_LEN,
        "seconds": 0.5,
        "pictures": { "384x288 4:4:4 baseline": 10 },
        "smallest": sizes.iter().min(),
        "mean": f64::from(u32::try_from(total)?) / 10.0,
        "largest": largest,
        "largest_frame": sizes.iter().position(|size| *size == largest).context("no image")? + 1,
        "over_datagram": 0,
        "several_images": 0,
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
            "is not a movie: it contains neither a record of five digits and a JPEG image nor a complete \
             image alone",
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
    assert_eq!(frames.len(), 40);
    assert_eq!(messages, "");
    let (frames, messages) = make(&video, &["--framerate", "10", "--size", "160x120"])?;
    assert_eq!(frames.len(), 20);
    assert_eq!(messages, "");
    let picture = djpeg(&frames[0], &[])?;
    assert_eq!((picture.width, picture.height), (160, 120));
    let (large, _) = make(&video, &["--quality", "95"])?;
    // The largest pictures do not fit.
    let limit = large.iter().map(Vec::len).max().context("no frame")? - 1;
    let option = limit.to_string();
    let options = ["--quality", "95", "--max-frame-bytes", &option];
    let (frames, messages) = make(&video, &options)?;
    assert!(frames.iter().all(|image| image.len() <= limit));
    // Each picture is shown twice.
    let lowered = large.iter().zip(&frames).filter(|(large, small)| large != small).count() / 2;
    let start = format!(
        "to fit in {limit} bytes: {} encoded at a quality down to ",
        counted(lowered, "picture")
    );
    assert!(messages.starts_with(&start), "{start} {messages}");
    assert!(messages.ends_with("; to choose the size: --size\n"), "{messages}");
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
    assert_eq!(frames, 40);
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
    mjpeg_rtsp_tests::pace(Duration::from_secs(5));
    make.signal("INT")?;
    assert!(make.wait(LIMIT)?.success());
    let frames = frames_of(&out)?.len();
    assert!(frames > 5, "{frames}");
    let mut messages = String::new();
    stderr.context("no pipe to standard error")?.read_to_string(&mut messages)?;
    assert_eq!(messages, format!("{}: {frames} frames written\n", out.display()));
    Ok(())
}

/// Runs ffmpeg.
fn ffmpeg(arguments: &[&str], out: &Path) -> Result<()> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(out);
    let done = run(&mut ffmpeg, LIMIT)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Makes a movie; returns exit code and messages, and its frames.
fn made(input: &Path, out: &Path, options: &[&str]) -> Result<(Done, Vec<Vec<u8>>)> {
    let arguments = [OsStr::new("make"), OsStr::new("--force"), input.as_os_str(), out.as_os_str()];
    let done = movie(arguments.into_iter().chain(options.iter().map(OsStr::new)))?;
    let frames = if out.exists() { frames_of(out)? } else { Vec::new() };
    Ok((done, frames))
}

/// Red, green and blue of the pixel at some quarters of width and height.
fn pixel(picture: &Picture, across: u32, down: u32) -> Vec<u8> {
    let at = |side: u32, quarters: u32| (side * quarters / 4) as usize;
    let start = 3 * (at(picture.height, down) * picture.width as usize + at(picture.width, across));
    picture.samples[start..start + 3].to_vec()
}

fn near(got: &[u8], want: [u8; 3], distance: u8) -> bool {
    got.iter().zip(want).all(|(got, want)| got.abs_diff(want) <= distance)
}

#[test]
fn made_movies_have_the_colours_of_jfif() -> Result<()> {
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    // Colour of the source, what the movie shows, and by how much it may differ.
    let colours = [("white", [255; 3], 5), ("black", [0; 3], 3), ("red", [253, 0, 0], 6)];
    for (colour, want, tolerance) in colours {
        let source = format!("color={colour}:s=64x64:r=20:d=0.5");
        let png = folder.path().join("picture.png");
        ffmpeg(&["-f", "lavfi", "-i", &source, "-frames:v", "1"], &png)?;
        let mut inputs = vec![png];
        for (matrix, name) in [("bt709", "bt709"), ("smpte170m", "bt601")] {
            let filter = format!("scale=out_color_matrix={name}:out_range=tv,format=yuv420p");
            let path = folder.path().join(format!("{matrix}.mp4"));
            let encoder = ["-c:v", "libx264", "-qp", "1", "-color_range", "tv"];
            let tags = ["-colorspace", matrix, "-color_primaries", matrix, "-color_trc", matrix];
            let input = ["-f", "lavfi", "-i", &source, "-vf", &filter];
            ffmpeg(&[&input[..], &encoder, &tags].concat(), &path)?;
            inputs.push(path);
        }
        for input in inputs {
            let (done, frames) = made(&input, &out, &[])?;
            assert_eq!(done.0, Some(0), "{}: {}", input.display(), done.2);
            let got = pixel(&djpeg(&frames[0], &[])?, 2, 2);
            assert!(near(&got, want, tolerance), "{}: {got:?}, not {want:?}", input.display());
        }
    }
    Ok(())
}

/// An EXIF segment with an orientation and a thumbnail.
fn exif(orientation: u8, thumbnail: &[u8]) -> Vec<u8> {
    let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0";
    let body = [&b"Exif\0\0"[..], tiff, &[orientation, 0, 0, 0, 0, 0, 0, 0], thumbnail].concat();
    let length = u16::try_from(body.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    [&[0xff, 0xe1][..], &length, &body].concat()
}

/// An image with a segment after its SOI.
fn with_segment(jpeg: &[u8], segment: &[u8]) -> Vec<u8> {
    [&jpeg[..2], segment, &jpeg[2..]].concat()
}

#[test]
fn photographs_and_videos_become_upright() -> Result<()> {
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    let (red, green, blue, white) = ([255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]);
    let rows = (0..64_u32).flat_map(|y| (0..128_u32).map(move |x| (x < 64, y < 32)));
    let samples = rows.flat_map(|at| match at {
        (true, true) => red,
        (false, true) => green,
        (true, false) => blue,
        (false, false) => white,
    });
    let jpeg = cjpeg(
        &Picture { width: 128, height: 64, samples: samples.collect() },
        &["-quality", "95"],
    )?;
    // From the left to the right, then the second row (TIFF 6.0, tag 274).
    let orientations = [
        [red, green, blue, white],
        [green, red, white, blue],
        [white, blue, green, red],
        [blue, white, red, green],
        [red, blue, green, white],
        [blue, red, white, green],
        [white, green, blue, red],
        [green, white, red, blue],
    ];
    for (orientation, want) in (1..).zip(orientations) {
        let path = folder.file("photo.jpg", &with_segment(&jpeg, &exif(orientation, b"")))?;
        let (done, frames) = made(&path, &out, &[])?;
        assert_eq!(done, silent(0, format!("{}: 1 frame written\n", out.display())));
        let picture = djpeg(&frames[0], &[])?;
        let size = if orientation < 5 { (128, 64) } else { (64, 128) };
        assert_eq!((picture.width, picture.height), size, "{orientation}");
        for ((across, down), want) in [(1, 1), (3, 1), (1, 3), (3, 3)].into_iter().zip(want) {
            let got = pixel(&picture, across, down);
            assert!(near(&got, want, 10), "{orientation}: {got:?}, not {want:?}");
        }
    }
    let flat = folder.path().join("flat.mp4");
    let source = "testsrc=size=160x120:rate=20:duration=1";
    ffmpeg(&["-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p"], &flat)?;
    let turned = folder.path().join("turned.mp4");
    let flat = flat.display().to_string();
    let shown = ffmpeg_picture(Path::new(&flat), &folder)?;
    // ffmpeg turns a video by the same number when it plays it.
    for (rotation, size) in [(90, (120, 160)), (180, (160, 120)), (270, (120, 160))] {
        let rotate = format!("rotate={rotation}");
        ffmpeg(&["-i", &flat, "-c", "copy", "-metadata:s:v", &rotate], &turned)?;
        let (_, frames) = made(&turned, &out, &[])?;
        let picture = djpeg(&frames[0], &[])?;
        assert_eq!((frames.len(), picture.width, picture.height), (20, size.0, size.1));
        let want = ffmpeg_picture(&turned, &folder)?;
        assert!(psnr(&want, &picture) > 20.0, "{rotation}: {} dB", psnr(&want, &picture));
        assert!(psnr(&shown, &picture) < 15.0, "{rotation}: as it is");
    }
    Ok(())
}

/// The first picture of a video as ffmpeg shows it.
fn ffmpeg_picture(video: &Path, folder: &Folder) -> Result<Picture> {
    let png = folder.path().join("first.png");
    let input = video.display().to_string();
    ffmpeg(&["-i", &input, "-frames:v", "1", "-pix_fmt", "rgb24"], &png)?;
    Picture::from_png(&std::fs::read(png)?)
}

#[test]
fn a_folder_may_have_all_kinds_of_pictures_and_other_files() -> Result<()> {
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures)?;
    for name in ["1.png", "2.bmp", "3.tif", "4.webp", "5.gif", "6.jpg"] {
        let path = pictures.join(name);
        ffmpeg(&["-f", "lavfi", "-i", "testsrc=size=160x120", "-frames:v", "1"], &path)?;
    }
    // A name that is not UTF-8.
    let first = std::fs::read(pictures.join("6.jpg"))?;
    std::fs::write(pictures.join(OsStr::from_bytes(b"7\xff.jpg")), &first)?;
    std::fs::write(pictures.join("readme.txt"), "hello")?;
    std::fs::write(pictures.join("Thumbs.db"), b"\xd0\xcf\x11\xe0")?;
    let skipped = "2 files skipped: Thumbs.db, readme.txt are not pictures\n";
    let (done, frames) = made(&pictures, &out, &[])?;
    let written = format!("{skipped}{}: 7 frames written\n", out.display());
    assert_eq!(done, silent(0, written));
    let reference = djpeg(&frames[0], &[])?;
    for (number, frame) in (1..).zip(&frames) {
        let psnr = psnr(&reference, &djpeg(frame, &[])?);
        assert!(psnr > 25.0, "picture {number}: {psnr} dB");
    }
    // A picture by its name only, and one whose end is missing.
    for (name, bytes, why) in [
        ("8.png", &b"no picture"[..], "Could not determine type of stream"),
        (
            "8.jpg",
            &first[..first.len() / 2],
            "the image is truncated: the end of its scan is missing",
        ),
    ] {
        let path = pictures.join(name);
        std::fs::write(&path, bytes)?;
        std::fs::remove_file(&out)?;
        let (done, _) = made(&pictures, &out, &[])?;
        let error = format!("cannot decode {}: {why}", path.display());
        let advice = "to make the movie without the pictures that cannot be read: --skip-bad";
        assert_eq!(done, silent(1, format!("{skipped}mjpeg-movie: {error}; {advice}\n")));
        assert!(!out.exists());
        let (done, frames) = made(&pictures, &out, &["--skip-bad"])?;
        let summary = format!("{}: 7 frames written, 1 unreadable picture skipped", out.display());
        // What is lost is a failure, although the movie is written.
        assert_eq!(done, silent(1, format!("{skipped}{error}; skipped\n{summary}\n")));
        assert_eq!(frames.len(), 7);
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

#[test]
fn jpeg_images_of_every_sampling_keep_their_colours() -> Result<()> {
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures)?;
    let rows = images_for_jpegdec()?;
    for (number, (name, image, want)) in rows.iter().enumerate() {
        std::fs::write(pictures.join(format!("{number}.jpg")), image)?;
        // A movie of one kind of images.
        let input = folder.file("in.mjpeg", &movies::movie(&vec![image.clone(); 3])?)?;
        let (done, frames) = made(&input, &out, &["--quality", "95"])?;
        assert_eq!((done.0, frames.len()), (Some(0), 3), "{name}: {}", done.2);
        check_colours(name, &frames[2], want)?;
    }
    let (done, frames) = made(&pictures, &out, &["--quality", "95"])?;
    assert_eq!((done.0, frames.len()), (Some(0), rows.len()), "{}", done.2);
    for ((name, _, want), frame) in rows.iter().zip(&frames) {
        check_colours(name, frame, want)?;
    }
    Ok(())
}

/// Checks that a frame shows about the colours of a picture.
fn check_colours(name: &str, frame: &[u8], want: &Picture) -> Result<()> {
    let shown = djpeg(frame, &[])?;
    let (luma, all) = (psnr(&shown.luma(), &want.luma()), psnr(&shown, want));
    ensure!(luma > 33.0 && all > 25.0, "{name}: luma {luma:.1} dB, all {all:.1} dB");
    Ok(())
}

#[test]
fn transparent_parts_show_the_background() -> Result<()> {
    let folder = Folder::new()?;
    let (png, out) = (folder.path().join("in.png"), folder.path().join("out.mjpeg"));
    let source = "color=magenta@0.0:s=64x64,format=rgba";
    ffmpeg(&["-f", "lavfi", "-i", source, "-frames:v", "1"], &png)?;
    let rows: [(&[&str], _); 2] = [(&[], [0, 0, 0]), (&["--background", "00ff00"], [0, 255, 0])];
    for (options, want) in rows {
        let (done, frames) = made(&png, &out, options)?;
        assert_eq!(done.0, Some(0), "{}", done.2);
        let got = pixel(&djpeg(&frames[0], &[])?, 2, 2);
        assert!(near(&got, want, 3), "{got:?}, not {want:?}");
    }
    Ok(())
}

#[test]
fn pictures_that_are_too_large_are_made_to_fit() -> Result<()> {
    let folder = Folder::new()?;
    let (video, out) = (folder.path().join("in.mkv"), folder.path().join("out.mjpeg"));
    // The first picture is black: its size is reduced because of later ones.
    let source = "color=black:s=1920x1080:r=20:d=0.1[a];testsrc2=s=1920x1080:r=20:d=0.1,noise=alls=60[b];\
                  [a][b]concat";
    ffmpeg(&["-filter_complex", source, "-c:v", "ffv1", "-pix_fmt", "yuv420p"], &video)?;
    let (done, frames) = made(&video, &out, &["--max-frame-bytes", "99999"])?;
    assert_eq!((done.0, frames.len()), (Some(0), 4), "{}", done.2);
    let start = "to fit in 99999 bytes: pictures scaled from 1920x1080 to ";
    assert!(done.2.starts_with(start), "{}", done.2);
    assert!(done.2.contains("; to choose the size: --size\n"), "{}", done.2);
    assert_eq!(done.2.lines().count(), 2, "{}", done.2);
    let sizes: Vec<_> = frames.iter().map(|it| gstmjpegfile::jpeg::frame_size(it)).collect();
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    // Videos of 2560x1440 and 3840x2160, and a photograph of 12 megapixels, at the default limit.
    let photograph = folder.path().join("photograph.jpg");
    let source = "testsrc2=s=4000x3000,noise=alls=20";
    ffmpeg(&["-f", "lavfi", "-i", source, "-frames:v", "1", "-q:v", "2"], &photograph)?;
    let mut inputs = vec![(photograph, (4000, 3000))];
    for size in [(2560, 1440), (3840, 2160)] {
        let path = folder.path().join(format!("{}.mkv", size.1));
        let source = format!("testsrc2=s={}x{}:r=20:d=0.05,noise=alls=20", size.0, size.1);
        let coding = ["-c:v", "ffv1", "-pix_fmt", "yuv420p"];
        ffmpeg(&[&["-f", "lavfi", "-i", &source][..], &coding].concat(), &path)?;
        inputs.push((path, size));
    }
    for (input, (width, height)) in inputs {
        let (done, frames) = made(&input, &out, &[])?;
        assert_eq!((done.0, frames.len()), (Some(0), 1), "{}", done.2);
        let start = format!("to fit in 65495 bytes: pictures scaled from {width}x{height} to ");
        assert!(done.2.starts_with(&start) && done.2.lines().count() == 2, "{}", done.2);
        assert!(done.2.contains("; to choose the size: --size\n"), "{}", done.2);
        let size = gstmjpegfile::jpeg::frame_size(&frames[0]).context("no size")?;
        let ratio = f64::from(size.0) / f64::from(size.1) * f64::from(height) / f64::from(width);
        assert!((ratio - 1.0).abs() < 0.02 && frames[0].len() <= 65_495, "{size:?}");
    }
    Ok(())
}

#[test]
fn a_cut_video_is_a_loss() -> Result<()> {
    let folder = Folder::new()?;
    let (whole, out) = (folder.path().join("whole.mp4"), folder.path().join("out.mjpeg"));
    let source = "testsrc=size=160x120:rate=20:duration=5";
    let encoder = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "faststart"];
    ffmpeg(&[&["-f", "lavfi", "-i", source][..], &encoder].concat(), &whole)?;
    let bytes = std::fs::read(&whole)?;
    let cut = folder.file("cut.mp4", &bytes[..bytes.len() * 6 / 10])?;
    let (done, frames) = made(&cut, &out, &[])?;
    assert!((10..90).contains(&frames.len()), "{}", frames.len());
    let written = format!("{}: {} frames written", out.display(), frames.len());
    let (name, have, whole) = (cut.display(), bytes.len() * 6 / 10, bytes.len());
    let loss =
        format!("{name} is cut: it has {have} of {whole} bytes; the movie ends where it does");
    assert_eq!(done, silent(1, format!("{written}\nmjpeg-movie: {loss}\n")));
    Ok(())
}

#[test]
fn pictures_are_shown_for_their_time() -> Result<()> {
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    let source = "testsrc=size=160x120:rate=10:duration=3";
    // One that is shown once, and one that is repeated for ever.
    for repetitions in ["-1", "0"] {
        let gif = folder.path().join("in.gif");
        ffmpeg(&["-f", "lavfi", "-i", source, "-loop", repetitions], &gif)?;
        let (done, _) = made(&gif, &out, &[])?;
        assert_eq!(done, silent(0, format!("{}: 60 frames written\n", out.display())));
    }
    // A camera that sends a picture each 300 ms.
    let images = movies::images(20, "I420")?;
    let camera = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", camera.local_addr()?);
    let sender = std::thread::spawn(move || -> Result<Duration> {
        let (mut viewer, _) = camera.accept()?;
        let mut request = [0; 4096];
        let _ = viewer.read(&mut request)?;
        let kind = "multipart/x-mixed-replace;boundary=frame";
        write!(viewer, "HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n")?;
        let started = std::time::Instant::now();
        for image in images {
            let length = image.len();
            write!(
                viewer,
                "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
            )?;
            viewer.write_all(&image)?;
            viewer.write_all(b"\r\n")?;
            mjpeg_rtsp_tests::pace(Duration::from_millis(300));
        }
        viewer.write_all(b"--frame--\r\n")?;
        Ok(started.elapsed())
    });
    let (done, frames) = made(Path::new(&url), &out, &[])?;
    let sent = sender.join().map_err(|_| anyhow::anyhow!("the camera has panicked"))??;
    assert_eq!(done.0, Some(0), "{}", done.2);
    // 20 frames a second, and the time until the first picture was received.
    let most = usize::try_from(sent.as_millis() / 50)? + 20;
    assert!((60..=most).contains(&frames.len()), "{} in {sent:?}", frames.len());
    Ok(())
}

#[test]
fn output_goes_to_files_links_and_standard_output_only() -> Result<()> {
    let folder = Folder::new()?;
    let good = movies::movie(&movies::images(2, "I420")?)?;
    let input = folder.file("in.mjpeg", &good)?;
    let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    for special in [&pipe, Path::new("/dev/null")] {
        let arguments = [OsStr::new("repair"), OsStr::new("--force"), input.as_os_str()];
        let done = movie(arguments.into_iter().chain([special.as_os_str()]))?;
        let advice = "name an output file, or - for standard output";
        let error = format!("{} is not a regular file: {advice}", special.display());
        assert_eq!(done, silent(1, format!("mjpeg-movie: {error}\n")));
    }
    assert!(std::fs::metadata(&pipe)?.file_type().is_fifo());
    assert!(std::fs::metadata("/dev/null")?.file_type().is_char_device());
    // A link to a file that does not exist yet, then to one that does; and the umask.
    let target = folder.path().join("target.mjpeg");
    std::os::unix::fs::symlink("target.mjpeg", &link)?;
    for option in ["--", "--force"] {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"umask 077; exec "$@""#, "sh"]);
        shell.arg(program("mjpeg-movie")?.get_program()).args(["repair", option]);
        let done = texts(&run(shell.args([&input, &link]), LIMIT)?);
        assert_eq!(done, silent(0, format!("{}: 2 frames written\n", link.display())));
        assert!(std::fs::symlink_metadata(&link)?.is_symlink());
        assert!(std::fs::read(&target)? == good);
        assert_eq!(std::fs::metadata(&target)?.permissions().mode() & 0o777, 0o600);
    }
    let output = run(program("mjpeg-movie")?.arg("repair").arg(&input).arg("-"), LIMIT)?;
    assert!(output.stdout == good);
    assert_eq!(texts(&output).2, "standard output: 2 frames written\n");
    // A name that is not UTF-8.
    let odd = folder.path().join(OsStr::from_bytes(b"odd\xff.mjpeg"));
    std::fs::write(&odd, &good)?;
    let output = run(program("mjpeg-movie")?.arg("make").arg(&odd).arg("-"), LIMIT)?;
    assert_eq!(texts(&output).2, "standard output: 2 frames written\n");
    assert!(!Path::new("-").exists());
    Ok(())
}

#[test]
fn repair_keeps_what_check_accepts() -> Result<()> {
    let folder = Folder::new()?;
    let out = folder.path().join("out.mjpeg");
    let picture = Picture::made(160, 120);
    let thumbnail = cjpeg(&picture.part(0, 80), &["-quality", "50"])?;
    let progressive = cjpeg(&picture, &["-progressive"])?;
    let photo = with_segment(&progressive, &exif(1, &thumbnail));
    let padded = [&photo[..], &[0; 7]].concat();
    let bytes = movies::movie(&[photo.clone(), padded.clone(), photo.clone()])?;
    let path = folder.file("in.mjpeg", &bytes)?;
    let good = format!("{}: 3 frames, no problems\n", path.display());
    assert_eq!(movie([OsStr::new("check"), path.as_os_str()])?, silent(0, good));
    let written = format!("{}: 3 frames written\n", out.display());
    let repair = [OsStr::new("repair"), path.as_os_str(), out.as_os_str()];
    assert_eq!(movie(repair)?, silent(0, written));
    assert!(std::fs::read(&out)? == bytes);
    std::fs::remove_file(&out)?;
    // The same in a damaged movie, and without lengths.
    for bytes in [[&b"xyz"[..], &bytes].concat(), [&photo[..], &photo, &photo].concat()] {
        let path = folder.file("in.mjpeg", &bytes)?;
        let done = movie([OsStr::new("repair"), path.as_os_str(), out.as_os_str()])?;
        assert_eq!(done.0, Some(0), "{}", done.2);
        let frames = frames_of(&out)?;
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|frame| *frame == photo || *frame == padded));
        std::fs::remove_file(&out)?;
    }
    Ok(())
}

#[test]
fn images_of_any_size_are_repaired() -> Result<()> {
    let folder = Folder::new()?;
    let image = cjpeg(&Picture::made(3840, 2160), &["-quality", "90"])?;
    assert!(image.len() > 3 * MAX_FRAME_LEN, "{}", image.len());
    let path = folder.file("in.mjpeg", &image)?;
    let out = folder.path().join("out.mjpeg");
    let mut repair = program("mjpeg-movie")?;
    // A minute in a build without optimisation.
    let done = run(repair.arg("repair").args([&path, &out]), Duration::from_mins(3))?;
    let messages = texts(&done).2;
    assert_eq!(done.status.code(), Some(0), "{messages}");
    let start = format!("byte 0: image of {} bytes encoded again ", image.len());
    assert!(messages.starts_with(&start), "{messages}");
    let frames = frames_of(&out)?;
    assert!(frames.len() == 1 && frames[0].len() <= MAX_FRAME_LEN);
    let (width, height) = gstmjpegfile::jpeg::frame_size(&frames[0]).context("no size")?;
    assert!(u32::from(width) * 9 == u32::from(height) * 16 && width >= 960, "{width}x{height}");
    Ok(())
}

#[test]
fn repair_takes_linear_time() -> Result<()> {
    let folder = Folder::new()?;
    let image = movies::images(1, "I420")?.remove(0);
    let cut = movies::movie(&[image[..850].to_vec()])?;
    for bytes in [cut.repeat(20_000), b"\xff\xd8".repeat(2_000_000)] {
        let path = folder.file("in.mjpeg", &bytes)?;
        let mut repair = program("mjpeg-movie")?;
        let out = folder.path().join("out.mjpeg");
        // Seconds in a build without optimisation; minutes if the time were quadratic.
        let done = run(repair.arg("repair").args([&path, &out]), Duration::from_secs(20))?;
        assert_eq!(done.status.code(), Some(1));
    }
    Ok(())
}

#[test]
fn info_counts_frames_with_several_images() -> Result<()> {
    let folder = Folder::new()?;
    let image = cjpeg(&Picture::made(800, 600), &["-quality", "60"])?;
    assert!((33_000..65_495).contains(&image.len()), "{}", image.len());
    let path = folder.file("in.mjpeg", &movies::movie(&[image.clone(), image.repeat(2)])?)?;
    let (code, out, _) = movie([OsStr::new("info"), path.as_os_str()])?;
    let want = "every frame fits in one UDP datagram of the lab (65495 bytes)\n\
                1 frame with several images under one length; players show the first one (to make each \
                a frame: mjpeg-movie repair)\n";
    assert_eq!(code, Some(0));
    assert!(out.ends_with(want), "{out}");
    Ok(())
}
