// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every file in `pipelines/` runs, with the result that its first comment states.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::programs::{Guard, Server, has_played, run, target_folder};
use mjpeg_rtsp_tests::wait_until;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The shell command line of a pipeline file, without comments.
fn line(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Runs a pipeline file in a folder, with a movie of 20 frames.
fn launch(name: &str, folder: &Folder) -> Result<()> {
    folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(line(name)?).current_dir(folder.path());
    let done = run(shell.env("GST_PLUGIN_PATH", target_folder()?), Duration::from_mins(1))?;
    let log = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(done.status.success(), "{name}: {} {log}", done.status);
    Ok(())
}

fn decoded_frames(file: &Path) -> Result<usize> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-count_frames", "-select_streams", "v:0"]);
    probe.args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"]).arg(file);
    let done = run(&mut probe, Duration::from_secs(30))?;
    let text = String::from_utf8(done.stdout)?;
    text.trim().trim_end_matches(',').parse().with_context(|| text.clone())
}

#[test]
fn decode_to_png_writes_every_frame() -> Result<()> {
    let folder = Folder::new()?;
    launch("decode-to-png.launch", &folder)?;
    launch("parse.launch", &folder)?;
    for number in 0..20 {
        for name in ["frame", "parsed"] {
            let file = folder.path().join(format!("{name}-{number:05}.png"));
            assert_eq!(decoded_frames(&file)?, 1, "{}", file.display());
        }
    }
    Ok(())
}

#[test]
fn write_makes_a_movie() -> Result<()> {
    let folder = Folder::new()?;
    launch("write.launch", &folder)?;
    let written = folder.path().join("written.mjpeg");
    let line = format!("mjpegfilesrc location={} ! appsink name=out", written.display());
    assert_eq!(movies::pull_all(&line)?.len(), 40);
    Ok(())
}

#[test]
fn containers_hold_every_frame() -> Result<()> {
    for (name, file) in [("to-matroska.launch", "movie.mkv"), ("to-avi.launch", "movie.avi")] {
        let folder = Folder::new()?;
        launch(name, &folder)?;
        assert_eq!(decoded_frames(&folder.path().join(file))?, 20, "{name}");
    }
    Ok(())
}

#[test]
fn every_pipeline_file_is_run_by_a_test() -> Result<()> {
    let tested = [
        "README.md",
        "decode-to-png.launch",
        "parse.launch",
        "play-lab.launch",
        "play-server.launch",
        "receive-lab.launch",
        "receive-rtp.launch",
        "send-lab.launch",
        "send-rtp.launch",
        "serve-multipart.launch",
        "show.launch",
        "to-avi.launch",
        "to-matroska.launch",
        "write.launch",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines");
    let mut names: Vec<_> =
        std::fs::read_dir(folder)?.map(|file| Ok(file?.file_name())).collect::<Result<_>>()?;
    names.sort();
    assert_eq!(names, tested, "a pipeline without a test, or a test without its pipeline");
    Ok(())
}

#[test]
fn show_plays_to_the_end_in_a_window() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let mut xvfb = Command::new("xvfb-run");
    xvfb.args(["-a", "sh", "-ec", &line("show.launch")?]).current_dir(folder.path());
    let done = run(xvfb.env("GST_PLUGIN_PATH", target_folder()?), Duration::from_mins(1))?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// A shell that runs a pipeline file in a folder, with another port.
fn shell(name: &str, folder: &Folder, port: (&str, u16)) -> Result<Command> {
    let text = line(name)?.replace(port.0, &port.1.to_string());
    // exec, so that killing the process kills the pipeline and not a shell.
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(format!("exec {text}")).current_dir(folder.path());
    shell.env("GST_PLUGIN_PATH", target_folder()?);
    Ok(shell)
}

/// Starts a pipeline file, which runs until it is dropped.
fn start(name: &str, folder: &Folder, port: (&str, u16)) -> Result<Guard> {
    Ok(Guard::new(shell(name, folder, port)?.spawn()?))
}

#[test]
fn rtp_that_is_sent_is_received() -> Result<()> {
    let rows = [
        ("receive-rtp.launch", "send-rtp.launch", "5004", "received-00019.png"),
        ("receive-lab.launch", "send-lab.launch", "25000", "lab-00019.png"),
    ];
    for (receive, send, usual, last) in rows {
        let folder = Folder::new()?;
        folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "Y444")?)?)?;
        let port = crate::ports::free()?;
        let _receiver = start(receive, &folder, (usual, port))?;
        wait_until("the receiver's socket", Duration::from_secs(20), || {
            UdpSocket::bind(("0.0.0.0", port)).is_err()
        });
        let mut sender = start(send, &folder, (usual, port))?;
        assert!(sender.wait(Duration::from_secs(20))?.success(), "{send}");
        let last = folder.path().join(last);
        let whole = || last.exists() && decoded_frames(&last).is_ok_and(|frames| frames == 1);
        wait_until("the last frame", Duration::from_secs(20), whole);
    }
    Ok(())
}

#[test]
fn the_servers_mount_is_played_to_its_end() -> Result<()> {
    for (name, last) in
        [("play-server.launch", "mount-00019.png"), ("play-lab.launch", "student-00019.png")]
    {
        let folder = Folder::new()?;
        let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
        let server = Server::start([movie], 1)?;
        let port = server.address()?.rsplit(':').next().context("no port")?.parse()?;
        let done = run(&mut shell(name, &folder, ("8554", port))?, Duration::from_secs(30))?;
        assert!(has_played(&done), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(decoded_frames(&folder.path().join(last))?, 1, "{name}");
    }
    Ok(())
}

#[test]
fn multipart_over_tcp_is_decoded_by_ffmpeg() -> Result<()> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let port = crate::ports::free()?;
    let _sender = start("serve-multipart.launch", &folder, ("8080", port))?;
    wait_until("the sender's port", Duration::from_secs(20), || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let mut ffmpeg = Command::new("ffmpeg");
    let url = format!("tcp://127.0.0.1:{port}");
    ffmpeg.args(["-v", "error", "-nostdin", "-f", "mpjpeg", "-i", &url]);
    ffmpeg.args(["-frames:v", "25", "-f", "framemd5", "-"]);
    let done = run(&mut ffmpeg, Duration::from_secs(30))?;
    let text = String::from_utf8(done.stdout)?;
    let frames = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(frames, 25, "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
