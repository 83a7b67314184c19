// SPDX-License-Identifier: MIT OR Apache-2.0
//! README.md: each of its command lines runs, in their order on a fresh machine, and it names the
//! plugin's elements.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::display::{Display, Window};
use mjpeg_rtsp_tests::peer::http_client::{HttpStream, get};
use mjpeg_rtsp_tests::peer::lab_server::{Behaviour, LabServer};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Guard, Server, Terminal, run, serve_as, target_folder};
use mjpeg_rtsp_tests::wait_until;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(2);

/// Frames of `movie.mjpeg`, as README.md makes it.
const FRAMES: usize = 200;

/// How a command line is run.
#[derive(Clone, Copy)]
enum How {
    /// To its end, with exit code 0; then the folder and the output are checked.
    Ends(fn(&Folder, &Output) -> Result<()>),
    /// The same with exit code 1: a picture is lost, or a submission is wrong.
    Fails(fn(&Folder, &Output) -> Result<()>),
    /// On a display, until the movie's picture is seen there.
    Shows,
    /// On a display, until its window is there; the key q ends it.
    OpensWindow,
    /// In a terminal, until it plays there; the key q ends it.
    PlaysInTerminal,
    /// Until it serves a movie of this range; then its log is checked.
    Serves(&'static str, fn(&Server) -> Result<()>),
    /// With each line after it in the same block.
    SetsUp,
}

/// Every command line, without its comment.
const ROWS: &[(&str, How)] = &[
    ("target/release/mjpeg-rtsp-server movie.mjpeg", How::Serves("npt=0-10", |_| Ok(()))),
    ("target/release/mjpeg-rtsp-client rtsp://127.0.0.1:8554/movie.mjpeg", How::Shows),
    ("ffplay rtsp://127.0.0.1:8554/movie.mjpeg", How::Shows),
    ("gst-play-1.0 rtsp://127.0.0.1:8554/movie.mjpeg", How::Shows),
    (
        "gst-launch-1.0 rtspsrc location=rtsp://127.0.0.1:8554/movie.mjpeg latency=200 \
         ! rtpjpegdepay ! jpegdec ! videoconvert ! autovideosink",
        How::Shows,
    ),
    (
        "python3 -c 'import cv2; c = cv2.VideoCapture(\"rtsp://127.0.0.1:8554/movie.mjpeg\"); \
         print(c.read()[1].shape)'",
        How::Ends(|_, done| equal(&done.stdout, "(288, 384, 3)\n")),
    ),
    ("target/release/mjpeg-rtsp-server --live movie.mjpeg", How::Serves("npt=now-", |_| Ok(()))),
    (
        "printf '[[mount]]\\npath = \"movie.mjpeg\"\\nkind = \"live\"\\n' > server.toml",
        How::Ends(|folder, _| {
            ensure!(folder.path().join("server.toml").metadata()?.len() == 45);
            Ok(())
        }),
    ),
    (
        "target/release/mjpeg-rtsp-server --config server.toml --check-config",
        How::Ends(|_, done| has_line(&done.stdout, "kind = \"live\"")),
    ),
    ("target/release/mjpeg-rtsp-server --config server.toml", How::Serves("npt=now-", |_| Ok(()))),
    (
        "target/release/mjpeg-rtsp-server --http 8080 movie.mjpeg",
        How::Serves("npt=0-10", shows_in_browsers),
    ),
    ("target/release/mjpeg-rtsp-client 127.0.0.1 1025 25000 movie.Mjpeg", How::Shows),
    ("target/release/mjpeg-rtsp-server --explain movie.mjpeg", How::Serves("npt=0-10", explains)),
    (
        "target/release/mjpeg-rtsp-client --headless --explain labrtsp://127.0.0.1:8554/movie.mjpeg",
        How::Ends(|_, done| has_line(&done.stderr, "SETUP movie.mjpeg RTSP/1.0")),
    ),
    (
        "target/release/mjpeg-rtsp-client --headless --frames 100 --packets play.pcapng \
         rtsp://127.0.0.1:8554/movie.mjpeg",
        How::Ends(|folder, _| {
            ensure!(folder.path().join("play.pcapng").metadata()?.len() > 100_000);
            Ok(())
        }),
    ),
    (
        "tshark -r play.pcapng -d tcp.port==8554,rtsp -q -z rtp,streams",
        How::Ends(|_, done| {
            let text = String::from_utf8_lossy(&done.stdout);
            ensure!(text.contains("JPEG") && text.contains("0 (0.0%)"), "{text}");
            Ok(())
        }),
    ),
    ("target/release/mjpeg-rtsp-client", How::OpensWindow),
    ("target/release/mjpeg-rtsp-client --simple labrtsp://127.0.0.1:8554/movie.mjpeg", How::Shows),
    (
        "target/release/mjpeg-rtsp-client --terminal rtsp://127.0.0.1:8554/movie.mjpeg",
        How::PlaysInTerminal,
    ),
    (
        "target/release/mjpeg-movie info movie.mjpeg",
        How::Ends(|_, done| has_line(&done.stdout, "200 frames")),
    ),
    ("target/release/mjpeg-movie check movie.mjpeg", How::Ends(|_, done| equal(&done.stdout, ""))),
    (
        "target/release/mjpeg-movie make frames/ short.mjpeg",
        How::Ends(|folder, _| has_frames(folder, "short.mjpeg", 11..=11)),
    ),
    (
        "head -c 100000 movie.mjpeg > broken.mjpeg",
        How::Ends(|folder, _| {
            ensure!(folder.path().join("broken.mjpeg").metadata()?.len() == 100_000);
            Ok(())
        }),
    ),
    (
        "target/release/mjpeg-movie repair broken.mjpeg good.mjpeg",
        How::Fails(|folder, _| has_frames(folder, "good.mjpeg", 5..=20)),
    ),
    (
        "target/release/mjpeg-movie extract movie.mjpeg frames/ 10..20",
        How::Ends(|folder, _| {
            let files = std::fs::read_dir(folder.path().join("frames"))?.count();
            ensure!(files == 11, "{files} files");
            Ok(())
        }),
    ),
    (
        "target/release/mjpeg-rtsp-client --headless --frames 100 --json \
         rtsp://127.0.0.1:8554/movie.mjpeg",
        How::Ends(|_, done| {
            let summary: serde_json::Value = serde_json::from_slice(&done.stdout)?;
            ensure!(summary["frames"] == 100, "{summary}");
            Ok(())
        }),
    ),
    (
        "target/release/mjpeg-lab-check server --run \"target/release/mjpeg-rtsp-server --listen \
         127.0.0.1:{port} {movie}\" --movie movie.mjpeg --html report.html",
        How::Ends(|folder, done| {
            ensure!(folder.path().join("report.html").metadata()?.len() > 10_000);
            has_line(&done.stdout, " 0 failed, 0 could not run")
        }),
    ),
    (
        "target/release/mjpeg-lab-check client --run \"target/release/mjpeg-rtsp-client --terminal --no-play \
         --dialect a {host} {port} {rtp_port} {movie}\" --press=terminal --html client.html",
        How::Ends(|folder, done| {
            ensure!(folder.path().join("client.html").metadata()?.len() > 10_000);
            has_line(&done.stdout, " 0 failed, 0 could not run")
        }),
    ),
    (
        "target/release/mjpeg-lab-check class submissions/ --movie movie.mjpeg --jobs 4",
        How::Fails(|folder, done| {
            let summary = folder.path().join("lab-check-results/summary.html");
            ensure!(summary.metadata()?.len() > 1000);
            has_line(&done.stderr, "[1/1] starter: ")?;
            has_line(&done.stderr, " of 40 points; failed: rtp-version, ")
        }),
    ),
    ("export GST_PLUGIN_PATH=$PWD/target/release", How::SetsUp),
    (
        "gst-launch-1.0 mjpegfilesrc location=movie.mjpeg ! rtpjpegprep for-decoder=true ! jpegdec \
         ! videoconvert ! autovideosink",
        How::Shows,
    ),
    ("gst-play-1.0 movie.mjpeg", How::Shows),
    ("gst-play-1.0 \"mjpegfile://$PWD/movie.mjpeg?framerate=10\"", How::Shows),
    (
        "gst-launch-1.0 videotestsrc num-buffers=200 ! video/x-raw,width=384,height=288,framerate=20/1 \
         ! timeoverlay ! jpegenc ! mjpegfilemux ! filesink location=movie.mjpeg",
        How::Ends(|folder, _| has_frames(folder, "movie.mjpeg", FRAMES..=FRAMES)),
    ),
    (
        "gst-launch-1.0 videotestsrc num-buffers=100 ! jpegenc ! mjpegfilemux \
         ! filesink location=new.mjpeg",
        How::Ends(|folder, _| has_frames(folder, "new.mjpeg", 100..=100)),
    ),
    ("gst-play-1.0 labrtsp://127.0.0.1:8554/movie.mjpeg", How::Shows),
];

/// Starts of the command lines that no test can run, and the reasons.
const NOT_RUN: &[(&str, &str)] = &[
    ("scripts/run", "it installs packages and builds; CI runs it"),
    ("scripts/test", "it runs this test"),
    (
        "scripts/package",
        "it builds optimised programs; scripts/package --test runs it and what follows",
    ),
    ("sudo apt install ./target/debian/", "scripts/package --test does it in a new system"),
    ("sudo install -m 644 movie.mjpeg /var/lib/", "scripts/package --test does it in a new system"),
    ("cargo build --release", "scripts/test builds the same programs, unoptimised"),
    ("vlc ", "Debian's VLC has no RTSP"),
    ("python3 ClientLauncher.py ", "it is the textbook's, which may not be copied into a project"),
];

fn equal(output: &[u8], want: &str) -> Result<()> {
    let output = String::from_utf8_lossy(output);
    ensure!(output == want, "{output:?}, not {want:?}");
    Ok(())
}

fn has_line(output: &[u8], part: &str) -> Result<()> {
    let output = String::from_utf8_lossy(output);
    ensure!(output.lines().any(|line| line.contains(part)), "no line has {part:?}: {output}");
    Ok(())
}

fn has_frames(folder: &Folder, name: &str, want: std::ops::RangeInclusive<usize>) -> Result<()> {
    let path = folder.path().join(name);
    let line = format!("mjpegfilesrc location={} ! appsink name=out sync=false", path.display());
    let frames = movies::pull_all(&line)?.len();
    ensure!(want.contains(&frames), "{frames} frames in {name}");
    Ok(())
}

/// Whether the server has a page, and the streams and snapshots of README.md.
fn shows_in_browsers(server: &Server) -> Result<()> {
    let address = server.http_address()?;
    ensure!(get(&address, "/")?.status() == 200, "no page");
    let snapshot = get(&address, "/mounts/movie.mjpeg/snapshot.jpg")?;
    ensure!(snapshot.header("content-type") == "image/jpeg", "{}", snapshot.status_line);
    HttpStream::open(&address, "/mounts/movie.mjpeg/stream.mjpeg")?.take(2)?;
    Ok(())
}

/// Whether the server explains a lab client's request.
fn explains(server: &Server) -> Result<()> {
    let mut client = RtspClient::connect(server.address()?)?;
    client.send("SETUP movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n")?;
    server.wait_for_log("SETUP movie.mjpeg RTSP/1.0", LIMIT);
    Ok(())
}

/// A command line of README.md and the lines before it in its block.
struct CommandLine {
    line: String,
    before: Vec<String>,
}

/// The lines of README.md that are indented by four blanks or fenced, without their comments.
fn command_lines() -> Result<Vec<CommandLine>> {
    let mut lines: Vec<CommandLine> = Vec::new();
    let mut block: Vec<String> = Vec::new();
    let mut fenced = false;
    for line in readme()?.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            block.clear();
        } else if let Some(line) = line.strip_prefix("    ").or(fenced.then_some(line)) {
            let line = line.split(" #").next().unwrap_or_default().trim().to_owned();
            lines.push(CommandLine { line: line.clone(), before: block.clone() });
            block.push(line);
        } else {
            block.clear();
        }
    }
    Ok(lines)
}

fn readme() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn is_not_run(line: &str) -> bool {
    NOT_RUN.iter().any(|(start, _)| line.starts_with(start))
}

/// Runs each command line that a filter chooses.
fn each(chosen: fn(How) -> bool, mut run: impl FnMut(&str, How) -> Result<()>) -> Result<()> {
    let mut done = BTreeSet::new();
    for CommandLine { line, before } in command_lines()? {
        let Some((_, how)) = ROWS.iter().find(|(row, _)| *row == line) else { continue };
        if chosen(*how) && done.insert(line.clone()) {
            let set_up = |before: &&String| {
                ROWS.iter().any(|(row, how)| row == *before && matches!(how, How::SetsUp))
            };
            let mut script: Vec<&str> = before.iter().filter(set_up).map(String::as_str).collect();
            // Ending the process ends the command and not a shell.
            let exec = format!("exec {line}");
            script.push(&exec);
            run(&script.join("\n"), *how).with_context(|| line)?;
        }
    }
    ensure!(!done.is_empty(), "no such command line");
    Ok(())
}

/// A folder where `target/release` is the folder of the tests' programs.
fn fresh_folder() -> Result<Folder> {
    let folder = Folder::new()?;
    std::fs::create_dir(folder.path().join("target"))?;
    std::os::unix::fs::symlink(target_folder()?, folder.path().join("target/release"))?;
    Ok(folder)
}

/// Adds the starter of the lab, whose server has gaps, as the only submission of a class.
fn add_submissions(folder: &Folder) -> Result<()> {
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lab/starter");
    let submission = folder.path().join("submissions/starter");
    std::fs::create_dir_all(&submission)?;
    for entry in std::fs::read_dir(&starter)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), submission.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// A shell's command that runs a script in a folder.
fn shell(script: &str, folder: &Folder) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(script).current_dir(folder.path());
    // OpenCV is there for Debian's Python only.
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("/usr/bin:{path}"));
    shell
}

/// README.md's server, at an address that is free.
fn at(server: &Server, script: &str) -> Result<String> {
    let address = server.address()?;
    let port = address.rsplit(':').next().context("no port")?;
    let script = script.replace("127.0.0.1:8554", address);
    Ok(script.replace("tcp.port==8554", &format!("tcp.port=={port}")))
}

fn serve_bars(options: &[&str]) -> Result<(Folder, Server)> {
    serve_as("movie.mjpeg", &movies::bars(u32::try_from(FRAMES)?)?, options)
}

#[test]
fn every_command_line_has_a_row_and_every_row_a_command_line() -> Result<()> {
    let lines: BTreeSet<String> = command_lines()?.into_iter().map(|it| it.line).collect();
    let run: BTreeSet<String> = lines.iter().filter(|line| !is_not_run(line)).cloned().collect();
    let rows: BTreeSet<String> = ROWS.iter().map(|(line, _)| (*line).to_owned()).collect();
    assert_eq!(run, rows);
    for (start, reason) in NOT_RUN {
        assert!(lines.iter().any(|line| line.starts_with(start)), "no line {start:?}: {reason}");
    }
    Ok(())
}

/// Lines that show something are run by the tests below. A server continues until the next one starts.
#[test]
fn command_lines_work_in_their_order_on_a_fresh_machine() -> Result<()> {
    let folder = fresh_folder()?;
    add_submissions(&folder)?;
    let mut server: Option<Server> = None;
    each(
        |how| matches!(how, How::Ends(..) | How::Fails(..) | How::Serves(..)),
        |script, how| match (how, &mut server) {
            (How::Serves(range, check), last) => {
                // On ports that are free.
                let script = script.replace("--http 8080", "--http 0");
                let mut shell = shell(&format!("{script} --listen 127.0.0.1:0"), &folder);
                let server = last.insert(Server::spawn(&mut shell, 1)?);
                let url = server.urls[0].clone();
                ensure!(url.ends_with("/movie.mjpeg"), "{url}");
                let described = RtspClient::connect(server.address()?)?.described_range(&url)?;
                ensure!(described == range, "{described}");
                check(server)?;
                server.is_well()
            }
            (How::Ends(check) | How::Fails(check), server) => {
                let script = match server {
                    Some(server) => at(server, script)?,
                    None => script.to_owned(),
                };
                let mut shell = shell(&script, &folder);
                let done = run(shell.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY"), LIMIT)?;
                let log = String::from_utf8_lossy(&done.stderr);
                let code = i32::from(matches!(how, How::Fails(_)));
                ensure!(done.status.code() == Some(code), "{}: {log}", done.status);
                check(&folder, &done)
            }
            _ => Ok(()),
        },
    )
}

#[test]
fn command_lines_that_play_show_the_movie() -> Result<()> {
    let (_folder, mut server) = serve_bars(&["--loop"])?;
    let lab = LabServer::start(Behaviour::TEXTBOOK, movies::bars(1000)?)?;
    let lab_port = lab.address().port().to_string();
    let folder = fresh_folder()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::bars(u32::try_from(FRAMES)?)?)?)?;
    let display = Display::start()?;
    let shows = |want: bool| {
        let what = if want { "the movie's picture" } else { "a display without it" };
        wait_until(what, LIMIT, || display.screenshot().is_ok_and(|it| it.shows_bars() == want));
    };
    each(
        |how| matches!(how, How::Shows),
        |script, _| {
            let rtp_port = crate::ports::free()?.to_string();
            let script = at(&server, script)?.replace(" 1025 ", &format!(" {lab_port} "));
            let mut shell = shell(&script.replace(" 25000 ", &format!(" {rtp_port} ")), &folder);
            display.prepare(&mut shell);
            shell.env("SDL_AUDIODRIVER", "dummy").stdin(Stdio::null());
            shell.stdout(Stdio::null()).stderr(Stdio::null());
            let player = Guard::new(shell.spawn()?);
            shows(true);
            drop(player);
            shows(false);
            Ok(())
        },
    )?;
    server.is_well()
}

#[test]
fn command_lines_with_a_window_or_a_terminal_end_by_a_key() -> Result<()> {
    let display = Display::start()?;
    let folder = fresh_folder()?;
    each(
        |how| matches!(how, How::OpensWindow),
        |script, _| {
            let mut window = Window::open_by(&display, &mut shell(script, &folder))?;
            window.key("q")?;
            ensure!(window.process().wait(LIMIT)?.success(), "exit code");
            Ok(())
        },
    )?;
    let (_folder, mut server) = serve_bars(&["--loop"])?;
    each(
        |how| matches!(how, How::PlaysInTerminal),
        |script, _| {
            let script = at(&server, script)?;
            let line = format!("cd {}\n{script}", folder.path().display());
            let mut terminal = Terminal::start(&line)?;
            // On a busy machine, not every second is seen.
            let plays = |line: String| line.contains("[PLAYING] 0:0") && !line.contains(" 0:00");
            wait_until("PLAYING, second 1 or later", LIMIT, || {
                terminal.status_line().is_ok_and(plays)
            });
            terminal.press("q")?;
            ensure!(terminal.wait(LIMIT)?.success(), "{}", terminal.shown()?);
            Ok(())
        },
    )?;
    server.is_well()
}

#[test]
fn the_tables_of_parts_name_the_plugins_elements() -> Result<()> {
    let text = readme()?;
    let parts = text.split("\n## ").find(|section| section.starts_with("Parts\n"));
    let rows = parts.context("no section Parts")?.lines().filter(|line| line.starts_with('|'));
    // Between back quotes, an element's name has letters only.
    let words = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let letters = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let named: BTreeSet<String> = words.filter(letters).map(str::to_owned).collect();
    let mut inspect = Command::new("gst-inspect-1.0");
    let done = run(inspect.arg("mjpegfile").env("GST_PLUGIN_PATH", target_folder()?), LIMIT)?;
    let text = String::from_utf8(done.stdout)?;
    // "  NAME: LONG NAME"; a type finder's name is a media type.
    let features = text.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(": "));
    let elements: BTreeSet<String> =
        features.map(|(name, _)| name).filter(|it| letters(it)).map(str::to_owned).collect();
    assert_eq!(named, elements, "{text}");
    Ok(())
}
