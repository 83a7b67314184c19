// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server as a program: what it prints, how it ends.

use anyhow::Result;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::raw_rtsp::RawRtsp;
use mjpeg_rtsp_tests::programs::{Server, program, run};
use std::net::TcpListener;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn it_ends_with_0_on_sigint_and_sigterm() -> Result<()> {
    for signal in ["INT", "TERM"] {
        let mut server = Server::start::<&str>([], 1)?;
        assert!(server.urls[0].ends_with("/test"), "{:?}", server.urls);
        server.process().signal(signal)?;
        let status = server.process().wait(Duration::from_secs(5))?;
        assert_eq!(status.code(), Some(0), "{signal}: {}", server.log()?);
    }
    Ok(())
}

#[test]
fn what_cannot_be_served_is_one_line_and_exit_code_1() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    let movie = movie.to_string_lossy().into_owned();
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.to_string();
    let none = folder.path().join("none").to_string_lossy().into_owned();
    let rows: Vec<(&str, Vec<&str>, i32, &str)> = vec![
        ("busy port", vec!["--listen", &port, &movie], 1, &port),
        ("missing path", vec!["--listen", "127.0.0.1:0", &none], 1, &none),
        ("device", vec!["--listen", "127.0.0.1:0", "/dev/null"], 1, "/dev/null"),
        ("two movies", vec!["--listen", "127.0.0.1:0", &movie, &movie], 1, "both"),
        ("wrong port", vec!["--listen", "99999"], 2, "--listen"),
        ("wrong rate", vec!["--framerate", "0"], 2, "--framerate"),
        ("wrong option", vec!["--nonsense"], 2, "--nonsense"),
    ];
    for (name, arguments, code, says) in rows {
        let done = run(program("mjpeg-rtsp-server")?.args(arguments), LIMIT)?;
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{name}: {said}");
        assert!(said.contains(says), "{name}: {said}");
        assert!(done.stdout.is_empty(), "{name}");
    }
    Ok(())
}

#[test]
fn the_printed_url_is_one_that_can_be_opened() -> Result<()> {
    let folder = Folder::new()?;
    let name = "a movie \u{e9} 100%.mjpeg";
    let movie = folder.file(name, &movies::movie(&movies::images(3, "I420")?)?)?;
    let rows = [
        ("0", "rtsp://127.0.0.1:"),
        ("0.0.0.0:0", "rtsp://127.0.0.1:"),
        ("[::]:0", "rtsp://127.0.0.1:"),
        ("[::1]:0", "rtsp://[::1]:"),
        ("127.0.0.1:0", "rtsp://127.0.0.1:"),
    ];
    for (listen, begins) in rows {
        let mut server = Server::start_on(listen, [&movie], 1)?;
        let url = server.urls[0].clone();
        let path = "/a%20movie%20%C3%A9%20100%25.mjpeg";
        assert!(url.starts_with(begins) && url.ends_with(path), "{listen}: {url}");
        let range = RawRtsp::connect(server.address()?)?.described_range(&url)?;
        assert_eq!(range, "npt=0-0.15", "{listen}");
        server.is_well()?;
    }
    Ok(())
}
