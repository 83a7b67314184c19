// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our client, headless, against our server.

use anyhow::Result;
use mjpeg_rtsp_tests::movies::{self, Folder, SIZE};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::programs::{
    Guard, Server, Terminal, headless, program, serve, serve_as, target_folder,
};
use mjpeg_rtsp_tests::wait_until;
use std::net::TcpListener;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn it_counts_what_it_shows_over_every_transport() -> Result<()> {
    let (_folder, mut server) = serve(40, &[])?;
    for transport in ["udp", "tcp", "http", "auto"] {
        let arguments = ["--transport", transport, "--frames", "10", &server.urls[0]];
        let (code, summary, stderr) = headless(&arguments)?;
        assert_eq!(code, Some(0), "{transport}: {stderr}");
        assert_eq!(summary["frames"], 10, "{transport}: {summary}");
        assert_eq!(summary["lost"], 0, "{transport}: {summary}");
        assert_eq!((&summary["width"], &summary["height"]), (&SIZE.0.into(), &SIZE.1.into()));
    }
    let (code, summary, stderr) = headless(&["--frames", "1000", &server.urls[0]])?;
    assert_eq!((code, &summary["frames"]), (Some(0), &40.into()), "the end comes first: {stderr}");
    server.is_well()
}

/// Receivers accept a source only after two packets, and such a frame fits one.
#[test]
fn it_shows_a_movie_of_one_small_frame() -> Result<()> {
    let image = cjpeg(&Picture::made(32, 16), &["-sample", "2x2"])?;
    assert!(image.len() < 1400, "{} bytes", image.len());
    let (_folder, mut server) = serve_as("movie.mjpeg", &[image], &[])?;
    for transport in ["udp", "tcp"] {
        for _ in 0..3 {
            let arguments = ["--transport", transport, "--timeout", "5", &server.urls[0]];
            let (code, summary, stderr) = headless(&arguments)?;
            assert_eq!((code, &summary["frames"]), (Some(0), &1.into()), "{transport}: {stderr}");
        }
    }
    server.is_well()
}

#[test]
fn it_saves_each_frame_as_png() -> Result<()> {
    let (folder, server) = serve(10, &[])?;
    let out = folder.path().join("out");
    let path = out.to_string_lossy();
    let (code, _, stderr) = headless(&["--frames", "5", "--save", &path, &server.urls[0]])?;
    assert_eq!(code, Some(0), "{stderr}");
    let mut sizes = Vec::new();
    for file in std::fs::read_dir(&out)? {
        let bytes = std::fs::read(file?.path())?;
        assert!(bytes.starts_with(b"\x89PNG"));
        sizes.push((bytes[16..20].to_vec(), bytes[20..24].to_vec()));
    }
    let side = |side: u32| side.to_be_bytes().to_vec();
    assert_eq!(sizes, vec![(side(SIZE.0), side(SIZE.1)); 5]);
    Ok(())
}

#[test]
fn failures_are_one_line_and_exit_code_1() -> Result<()> {
    let (_folder, mut server) = serve(200, &[])?;
    let closed = {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        format!("rtsp://{port}/movie.mjpeg")
    };
    let none = format!("{}.none", server.urls[0]);
    // It accepts connections and answers no request.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent = format!("rtsp://{}/movie.mjpeg", silent.local_addr()?);
    let rows = [
        (
            closed,
            "Could not open resource for reading and writing (Failed to connect. (Generic error))",
        ),
        (none, "Not found (Not Found (404))"),
        (silent, "no new frame within 1 s"),
    ];
    for (url, want) in rows {
        let (code, summary, stderr) = headless(&["--timeout", "1", &url])?;
        assert_eq!((code, &summary["frames"]), (Some(1), &0.into()), "{stderr}");
        assert_eq!(stderr, format!("ERROR {url}: {want}\n"));
    }
    server.is_well()
}

#[test]
fn a_server_that_dies_midway_is_an_error_with_the_frames_so_far() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(400, "I420")?)?)?;
    for transport in ["tcp", "udp"] {
        let mut server = Server::start([&movie], 1)?;
        let out = folder.path().join(format!("{transport}-out"));
        let mut command = program("mjpeg-rtsp-client")?;
        command.args(["--headless", "--json", "--timeout", "3", "--transport", transport]);
        let save = folder.path().join(transport);
        command.arg("--save").arg(&save).arg(&server.urls[0]);
        let child = command.stdout(std::fs::File::create(&out)?).spawn()?;
        let mut client = Guard::new(child);
        mjpeg_rtsp_tests::wait_until("frames", LIMIT, || save.join("frame-000005.png").exists());
        server.process().signal("KILL")?;
        let status = client.wait(LIMIT)?;
        let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&out)?)?;
        assert_eq!(status.code(), Some(1), "{transport}: {summary}");
        assert!(summary["frames"].as_u64() >= Some(5), "{transport}: {summary}");
    }
    Ok(())
}

/// Checks a status line.
type Check = fn(&str) -> bool;

#[test]
fn keys_control_the_player_in_the_terminal() -> Result<()> {
    let images = vec![movies::images(100, "I420")?; 4].concat();
    let (_folder, mut server) = serve_as("movie.mjpeg", &images, &[])?;
    let client = target_folder()?.join("mjpeg-rtsp-client");
    let line = format!("{} {}", client.display(), server.urls[0]);
    let mut terminal = Terminal::start(&line)?;
    let until = |terminal: &Terminal, what: &str, ready: Check| {
        wait_until(what, LIMIT, || terminal.status_line().is_ok_and(|line| ready(&line)));
    };
    until(&terminal, "playing", |line| {
        line.contains("[PLAYING]") && line.contains("/ 0:20.0") && line.contains("lost 0 (0.0 %)")
    });
    until(&terminal, "a data rate", |line| line.contains("kbit/s") && !line.contains(" 0 kbit/s"));
    assert!(terminal.shown()?.contains("no display"), "{}", terminal.shown()?);
    // A key, and a check of the status line after it.
    let steps: [(&str, Check); 7] = [
        ("\x1b[C", |line| line.contains("[PLAYING] 0:0") && line > "\x1b[K[PLAYING] 0:05"),
        (" ", |line| line.contains("[READY]")),
        (" ", |line| line.contains("[PLAYING]")),
        ("t", |line| line.contains("[INIT]")),
        ("s", |line| line.contains("[READY]")),
        ("p", |line| line.contains("[PLAYING]")),
        ("p", |line| line.contains("[PLAYING]")),
    ];
    for (key, ready) in steps {
        terminal.press(key)?;
        until(&terminal, &format!("after {key:?}"), ready);
    }
    let refused = "play needs READY, the state is PLAYING";
    wait_until(refused, LIMIT, || terminal.shown().is_ok_and(|shown| shown.contains(refused)));
    terminal.press("q")?;
    assert!(terminal.wait(LIMIT)?.success(), "{}", terminal.shown()?);
    server.is_well()
}
