// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's connections: limits, deadlines, tunnels, sessions that end with them, and panics that
//! end one of them and no other.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::raw_rtsp::RawRtsp;
use mjpeg_rtsp_tests::programs::{Server, program, run};
use mjpeg_rtsp_tests::wait_until;
use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// A server of a movie of `frames` frames, with options.
fn server(frames: u32, options: &[&str]) -> Result<(Folder, Server)> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(frames, "I420")?)?)?;
    let options = options.iter().map(OsString::from).chain([movie.into_os_string()]);
    let server = Server::start(options, 1)?;
    Ok((folder, server))
}

/// Plays a movie over TCP.
fn play(server: &Server) -> Result<RawRtsp> {
    let url = &server.urls[0];
    let mut rtsp = RawRtsp::connect(server.address()?)?;
    let session = rtsp.set_up(url, "tcp")?;
    assert_eq!(rtsp.ask(&format!("PLAY {url}/"), &session)?.status, 200);
    Ok(rtsp)
}

/// Fails unless packets still come.
fn still_plays(viewer: &mut RawRtsp) -> Result<()> {
    let before = viewer.packets;
    while viewer.packets < before + 10 {
        viewer.receive_until(Instant::now() + Duration::from_millis(20))?;
    }
    Ok(())
}

#[test]
fn every_request_has_its_status() -> Result<()> {
    let (_folder, mut server) = server(20, &["--loop"])?;
    let url = server.urls[0].clone();
    let long = "x".repeat(2000);
    let tcp = "Transport: RTP/AVP/TCP;interleaved=0-1\r\n";
    let udp = |rest: &str| format!("Transport: RTP/AVP;unicast{rest}\r\n");
    // First line less the version, headers, status.
    let rows: Vec<(String, String, u16)> = vec![
        ("OPTIONS *".into(), String::new(), 200),
        (format!("OPTIONS {url}"), String::new(), 200),
        (format!("DESCRIBE {url}"), String::new(), 200),
        (format!("DESCRIBE  {url}"), String::new(), 200),
        (format!("DESCRIBE {url}?{long}"), String::new(), 200),
        (format!("DESCRIBE {url}"), "Require: x\r\n".into(), 551),
        (format!("FOO {url}"), String::new(), 501),
        (format!("RECORD {url}"), String::new(), 405),
        (format!("ANNOUNCE {url}"), String::new(), 405),
        ("DESCRIBE *".into(), String::new(), 404),
        (format!("PLAY {url}"), String::new(), 454),
        (format!("PLAY {url}"), "Session: none\r\n".into(), 454),
        (format!("PAUSE {url}"), "Session: none\r\n".into(), 454),
        (format!("TEARDOWN {url}"), "Session: none\r\n".into(), 454),
        (format!("GET_PARAMETER {url}"), "Session: none\r\n".into(), 454),
        (format!("GET_PARAMETER {url}"), String::new(), 200),
        (format!("SETUP {url}/stream=0"), tcp.into(), 200),
        (format!("SETUP {url}"), tcp.into(), 200),
        (format!("SETUP {}/stream=0", url.replace("movie.mjpeg", "MOVIE")), tcp.into(), 200),
        (format!("SETUP {url}?x=1/stream=0"), tcp.into(), 200),
        (format!("SETUP {url}/stream=0"), String::new(), 461),
        (format!("SETUP {url}/stream=0"), udp(";client_port=40000"), 200),
        (format!("SETUP {url}/stream=0"), udp(";client_port=40000-40001"), 200),
        (format!("SETUP {url}/stream=0"), udp(""), 461),
        (format!("SETUP {url}/stream=0"), udp(";client_port=0-0"), 461),
        (format!("SETUP {url}/stream=0"), udp(";client_port=53-54"), 461),
        (format!("SETUP {url}/stream=0"), "Transport: RTP/AVP/TCP;interleaved=7-3\r\n".into(), 461),
        (format!("SETUP {url}/stream=0"), format!("Session: none\r\n{tcp}"), 454),
    ];
    for (line, headers, status) in rows {
        let mut rtsp = RawRtsp::connect(server.address()?)?;
        let reply = rtsp.ask(&line, &headers)?;
        let shown = line.get(..80).unwrap_or(&line);
        assert_eq!(reply.status, status, "{shown} {headers}: {}", reply.text);
        // Whatever it was, the connection lives on.
        assert_eq!(rtsp.ask("OPTIONS *", "")?.status, 200, "{shown}");
    }
    let mut rtsp = RawRtsp::connect(server.address()?)?;
    let public = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
    assert_eq!(rtsp.ask("OPTIONS *", "")?.header("Public"), Some(public));
    assert_eq!(rtsp.ask(&format!("RECORD {url}"), "")?.header("Allow"), Some(public));
    let required = rtsp.ask("OPTIONS *", "Require: a\tb, c<d>\r\n")?;
    assert_eq!(required.header("Unsupported"), Some("ab, cd"));
    server.is_well()
}

#[test]
fn faulty_bytes_are_answered_and_what_has_no_end_is_closed() -> Result<()> {
    let (_folder, mut server) = server(20, &["--loop"])?;
    let mut viewer = play(&server)?;
    // Bytes, status, whether the connection is closed then.
    let head = |lines: usize| [b"OPTIONS * RTSP/1.0\r\n", &b"X: y\r\n".repeat(lines)[..]].concat();
    let rows: Vec<(&str, Vec<u8>, u16, bool)> = vec![
        ("version 1.1", b"OPTIONS * RTSP/1.1\r\nCSeq: 1\r\n\r\n".to_vec(), 505, false),
        ("no version", b"OPTIONS *\r\nCSeq: 1\r\n\r\n".to_vec(), 400, false),
        ("no CSeq", b"OPTIONS * RTSP/1.0\r\n\r\n".to_vec(), 400, false),
        ("text as CSeq", b"OPTIONS * RTSP/1.0\r\nCSeq: x\r\n\r\n".to_vec(), 400, false),
        ("byte 0xff", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: \xff\r\n\r\n".to_vec(), 400, false),
        ("empty lines", b"\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec(), 200, false),
        ("64 KiB of headers", [&head(11_000)[..], b"\r\n"].concat(), 400, true),
        ("headers without end", head(20_000), 400, true),
        (
            "a body of 4 GB",
            b"OPTIONS * RTSP/1.0\r\nContent-Length: 4000000000\r\n\r\n".to_vec(),
            413,
            true,
        ),
    ];
    for (name, bytes, status, closed) in rows {
        let mut rtsp = RawRtsp::connect(server.address()?)?;
        rtsp.send(&bytes)?;
        if !closed {
            assert_eq!(rtsp.reply()?.status, status, "{name}");
            assert_eq!(rtsp.ask("OPTIONS *", "")?.status, 200, "{name}");
            continue;
        }
        assert_eq!(rtsp.reply()?.status, status, "{name}");
        assert!(rtsp.is_closed()?, "{name}");
    }
    still_plays(&mut viewer)?;
    server.is_well()
}

#[test]
fn http_that_is_no_tunnel_is_refused_and_closed() -> Result<()> {
    let refusal = |status: &str, allow: &str| {
        format!("HTTP/1.0 {status}\r\n{allow}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let not_found = refusal("404 Not Found", "");
    let tunnel = "GET / HTTP/1.0\r\nx-sessioncookie: c\r\n\r\n";
    let rows: [(&[&str], &str, String); 6] = [
        (&[], "GET / HTTP/1.1\r\nHost: h\r\n\r\n", not_found.clone()),
        (&[], "POST / HTTP/1.1\r\nHost: h\r\n\r\nbody", not_found.clone()),
        (
            &[],
            "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
            refusal("405 Method Not Allowed", "Allow: GET, POST\r\n"),
        ),
        // A POST without its GET has nothing that answers it.
        (&[], "POST / HTTP/1.0\r\nx-sessioncookie: none\r\n\r\n", String::new()),
        (&["--http-tunnel", "off"], tunnel, not_found.clone()),
        (&["--lab", "only"], tunnel, not_found),
    ];
    for (options, request, want) in rows {
        let (_folder, mut server) = server(1, options)?;
        let mut http = RawRtsp::connect(server.address()?)?;
        http.send(request)?;
        assert_eq!(http.rest()?, want, "{options:?} {request}");
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn a_tunnel_is_joined_in_any_pieces_from_its_own_address_only() -> Result<()> {
    let (_folder, mut server) = server(20, &["--loop"])?;
    let address = server.address()?.to_owned();
    let open = |cookie: &str| -> Result<RawRtsp> {
        let mut get = RawRtsp::connect(&address)?;
        get.send(format!("GET /movie.mjpeg HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\r\n"))?;
        Ok(get)
    };
    let post = |from: Ipv4Addr, cookie: &str| -> Result<RawRtsp> {
        let mut post = RawRtsp::connect_from(from, &address)?;
        let head = "POST /movie.mjpeg HTTP/1.0\r\nContent-Length: 32767\r\n";
        post.send(format!("{head}x-sessioncookie: {cookie}\r\n\r\n"))?;
        Ok(post)
    };
    let mut get = open("one")?;
    let accepted = get.http_head()?;
    assert!(accepted.starts_with("HTTP/1.0 200 OK\r\n"), "{accepted}");
    // A cookie that is known does not help a stranger.
    let mut stranger = post(Ipv4Addr::new(127, 0, 0, 2), "one")?;
    assert!(stranger.is_closed()?);
    // Nor does a second GET take the first one's place.
    let mut second = open("one")?;
    assert!(second.rest()?.starts_with("HTTP/1.0 400 "));
    let mut first = post(Ipv4Addr::LOCALHOST, "one")?;
    // "OPTIONS * RTSP/1.0", "CSeq: 1", an empty line; in pieces of 5 characters.
    let options = "T1BUSU9OUyAqIFJUU1AvMS4wDQpDU2VxOiAxDQoNCg==";
    for piece in options.as_bytes().chunks(5) {
        first.send(piece)?;
    }
    assert_eq!(get.reply()?.status, 200);
    // Another POST may take the first one's place.
    drop(first);
    let mut next = None;
    wait_until("another POST is taken", LIMIT, || {
        let Ok(mut post) = post(Ipv4Addr::LOCALHOST, "one") else { return false };
        let taken = post.send(options).is_ok() && get.reply().is_ok();
        next = Some(post);
        taken
    });
    // What is no base64 ends it, and nobody else.
    next.context("no POST")?.send("****")?;
    assert!(get.is_closed()?);
    server.is_well()
}

#[test]
fn what_is_slow_or_deaf_is_closed_after_ten_seconds_and_disturbs_nobody() -> Result<()> {
    let (_folder, mut server) = server(20, &["--loop"])?;
    let mut viewer = play(&server)?;
    let mut half = RawRtsp::connect(server.address()?)?;
    half.send("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n")?;
    let mut line = RawRtsp::connect(server.address()?)?;
    line.send("OPTIONS rtsp://h")?;
    let mut http = RawRtsp::connect(server.address()?)?;
    http.send("GET / HTTP/1.0\r\n")?;
    let mut lab = RawRtsp::connect(server.address()?)?;
    lab.send("SETUP \n")?;
    let mut alone = RawRtsp::connect(server.address()?)?;
    alone.send("GET / HTTP/1.0\r\nx-sessioncookie: c\r\n\r\n")?;
    // It asks and asks, and reads no reply.
    let mut deaf = TcpStream::connect(server.address()?)?;
    deaf.set_write_timeout(Some(LIMIT))?;
    let asks = std::thread::spawn(move || {
        use std::io::Write;
        let requests = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(1000);
        let mut taken = 0_u64;
        // Until it is closed.
        while deaf.write_all(&requests).is_ok() {
            taken += requests.len() as u64;
        }
        taken
    });
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(9) {
        still_plays(&mut viewer)?;
        let asked = Instant::now();
        assert_eq!(RawRtsp::connect(server.address()?)?.ask("OPTIONS *", "")?.status, 200);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
    let late = half.rest()?;
    assert!(late.starts_with("RTSP/1.0 408 Request Time-out\r\n"), "{late}");
    assert!(http.rest()?.starts_with("HTTP/1.0 408 "));
    assert!(line.is_closed()? && lab.is_closed()? && alone.is_closed()?);
    let taken = asks.join().map_err(|_| anyhow::anyhow!("panicked"))?;
    // What the kernel holds, and not what it could have sent in that time.
    assert!(taken < 50_000_000, "{taken}");
    still_plays(&mut viewer)?;
    server.is_well()
}

#[test]
fn a_viewer_that_never_reads_is_cut() -> Result<()> {
    let image = movies::images(1, "I420")?.remove(0);
    let folder = Folder::new()?;
    // More than the kernel holds for a connection, within a second.
    let movie = folder.file("movie.mjpeg", &movies::movie(&vec![image; 400])?)?;
    let options = ["--loop".into(), "--framerate".into(), "1000".into(), movie.into_os_string()];
    let mut server = Server::start::<OsString>(options, 1)?;
    let before = server.files()?;
    let deaf: Vec<RawRtsp> = (0..4).map(|_| play(&server)).collect::<Result<_>>()?;
    assert!(server.files()? >= before + deaf.len());
    let mut viewer = play(&server)?;
    let begin = Instant::now();
    // The viewer and its movie are left, and a few files of the library's.
    wait_until("the deaf viewers are cut", Duration::from_mins(1), || {
        still_plays(&mut viewer).is_ok()
            && server.log().is_ok_and(|log| {
                log.matches("closed: the client read nothing for 10 s").count() == deaf.len()
            })
    });
    assert!(begin.elapsed() >= Duration::from_secs(9), "{:?}", begin.elapsed());
    still_plays(&mut viewer)?;
    server.is_well()
}

#[test]
fn a_session_ends_with_its_connection_for_every_method() -> Result<()> {
    let (_folder, mut server) = server(20, &["--loop"])?;
    let url = server.urls[0].clone();
    let rtp = UdpSocket::bind("127.0.0.1:0")?;
    let port = rtp.local_addr()?.port();
    for transport in ["tcp", &format!("RTP/AVP;unicast;client_port={port}")] {
        let mut owner = RawRtsp::connect(server.address()?)?;
        let session = owner.set_up(&url, transport)?;
        let mut other = RawRtsp::connect(server.address()?)?;
        // While its connection is open, others may use it (RFC 2326 section 1.1).
        assert_eq!(other.ask(&format!("GET_PARAMETER {url}"), &session)?.status, 200);
        assert_eq!(other.ask(&format!("PLAY {url}"), &session)?.status, 200, "{transport}");
        drop(owner);
        wait_until("the session ends", LIMIT, || {
            let reply = other.ask(&format!("GET_PARAMETER {url}"), &session);
            reply.is_ok_and(|reply| reply.status == 454)
        });
        for method in ["PLAY", "PAUSE", "OPTIONS", "SET_PARAMETER", "TEARDOWN"] {
            let reply = other.ask(&format!("{method} {url}"), &session)?;
            assert_eq!(reply.status, 454, "{transport} {method}: {}", reply.text);
        }
    }
    server.is_well()
}

#[test]
fn a_session_plays_one_movie() -> Result<()> {
    let folder = Folder::new()?;
    let movie = movies::movie(&movies::images(20, "I420")?)?;
    for name in ["a.mjpeg", "b.mjpeg"] {
        folder.file(name, &movie)?;
    }
    let mut server = Server::start([folder.path()], 2)?;
    let (a, b) = (server.urls[0].clone(), server.urls[1].clone());
    let mut rtsp = RawRtsp::connect(server.address()?)?;
    let session = rtsp.set_up(&a, "tcp")?;
    let setup = format!("{session}Transport: RTP/AVP/TCP;interleaved=2-3\r\n");
    assert_eq!(rtsp.ask(&format!("SETUP {b}/stream=0"), &setup)?.status, 459);
    assert_eq!(rtsp.ask(&format!("SETUP {a}/stream=0"), &setup)?.status, 455);
    assert_eq!(rtsp.ask(&format!("PLAY {b}"), &session)?.status, 459);
    // The only stream's URL is as good as the movie's (RFC 2326 section 14.3).
    for method in ["PLAY", "PAUSE", "PLAY", "TEARDOWN"] {
        assert_eq!(rtsp.ask(&format!("{method} {a}/stream=0"), &session)?.status, 200, "{method}");
    }
    assert_eq!(rtsp.ask(&format!("PLAY {a}"), &session)?.status, 454);
    server.is_well()
}

#[test]
fn an_address_has_limits_of_its_own() -> Result<()> {
    let (_folder, mut server) = server(20, &["--loop", "--max-connections-per-address", "3"])?;
    let address = server.address()?.to_owned();
    let mut viewers: Vec<RawRtsp> = (0..3).map(|_| play(&server)).collect::<Result<_>>()?;
    // All three are busy: a fourth is closed, and another address is served.
    assert!(RawRtsp::connect(&address)?.is_closed()?);
    let mut other = RawRtsp::connect_from(Ipv4Addr::new(127, 0, 0, 2), &address)?;
    assert_eq!(other.ask("OPTIONS *", "")?.status, 200);
    // One that pauses may make room, those that play do not.
    drop(viewers.pop());
    let url = server.urls[0].clone();
    let mut idle = None;
    wait_until("there is room", LIMIT, || {
        idle = RawRtsp::connect(&address).ok();
        idle.as_mut().is_some_and(|idle| idle.ask("OPTIONS *", "").is_ok())
    });
    let mut idle = idle.context("no connection")?;
    let session = idle.set_up(&url, "tcp")?;
    // Sessions have the same limit, also those of one connection.
    let setup = "Transport: RTP/AVP/TCP;interleaved=0-1\r\n";
    assert_eq!(idle.ask(&format!("SETUP {url}/stream=0"), setup)?.status, 503);
    assert_eq!(idle.ask(&format!("PLAY {url}"), &session)?.status, 200);
    assert_eq!(idle.ask(&format!("PAUSE {url}"), &session)?.status, 200);
    // It is idle a moment after its reply.
    wait_until("the paused one makes room", LIMIT, || {
        let newest = RawRtsp::connect(&address);
        newest.and_then(|mut newest| newest.ask("OPTIONS *", "")).is_ok()
    });
    assert!(idle.is_closed()?);
    for viewer in &mut viewers {
        still_plays(viewer)?;
    }
    // The first refusal is logged, the others in sums.
    let log = server.log()?;
    assert_eq!(
        log.matches("--max-connections-per-address are open, none is idle").count(),
        1,
        "{log}"
    );
    server.is_well()
}

#[test]
fn a_lab_session_that_is_not_playing_makes_room() -> Result<()> {
    let (_folder, mut server) = server(20, &["--loop", "--max-connections", "2"])?;
    let mut viewer = play(&server)?;
    let mut lab = RawRtsp::connect(server.address()?)?;
    lab.send("SETUP movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n")?;
    // Set up, and not silent any more.
    server.wait_for_log("reply=\"RTSP/1.0 200 OK\"", LIMIT);
    wait_until("the lab client makes room", LIMIT, || {
        let other = RawRtsp::connect(server.address().unwrap_or_default());
        other.and_then(|mut other| other.ask("OPTIONS *", "")).is_ok()
    });
    assert!(lab.rest()?.starts_with("RTSP/1.0 200 OK\nCSeq: 1\n"));
    still_plays(&mut viewer)?;
    server.is_well()
}

#[test]
fn few_descriptors_are_few_connections_and_no_end() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    // 160 less the reserve are 36 connections.
    let mut server = Server::start_limited(160, [OsString::from("--loop"), movie.into()], 1)?;
    let mut viewers = vec![play(&server)?];
    let crowd: Vec<TcpStream> =
        (0..300).map(|_| Ok(TcpStream::connect(server.address()?)?)).collect::<Result<_>>()?;
    // The silent ones make room for those that watch.
    for _ in 0..5 {
        viewers.push(play(&server)?);
    }
    for viewer in &mut viewers {
        still_plays(viewer)?;
    }
    drop(crowd);
    assert!(server.log()?.contains("fewer connections than --max-connections"));
    server.is_well()
}

#[test]
fn a_panic_at_a_border_ends_what_it_belongs_to_and_nothing_else() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    for border in ["request", "connection-end", "clean-up", "lab-request"] {
        let options = [OsString::from("--loop"), movie.clone().into()];
        let mut server = Server::start_with_panic(border, options, 1)?;
        let url = server.urls[0].clone();
        let mut rtsp = RawRtsp::connect(server.address()?)?;
        match border {
            "request" => {
                rtsp.send(format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"))?;
                assert_eq!(rtsp.reply()?.status, 500);
                assert!(rtsp.is_closed()?);
            }
            "lab-request" => {
                rtsp.send("SETUP movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n")?;
                assert!(rtsp.is_closed()?);
            }
            "connection-end" => drop(play(&server)?),
            // Each second, by itself.
            _ => {}
        }
        server.wait_for_log(&format!("stopped a panic at the border {border}"), LIMIT);
        let log = server.log()?;
        assert!(log.contains("on purpose, at the border") && log.contains("border.rs"), "{log}");
        let mut other = RawRtsp::connect(server.address()?)?;
        assert_eq!(other.ask("OPTIONS *", "")?.status, 200, "{border}");
        server.is_well()?;
    }
    // Without the library's answers, or its media, there is nothing to serve.
    for border in ["library-answer", "media"] {
        let mut command = program("mjpeg-rtsp-server")?;
        command.args(["--listen", "127.0.0.1:0"]).arg(&movie);
        let done = run(command.env("MJPEG_RTSP_PANIC_AT", border), LIMIT)?;
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{border}: {said}");
        assert!(said.contains("gst-rtsp-server does not work"), "{border}: {said}");
    }
    Ok(())
}

#[test]
fn a_panic_of_a_pacer_or_a_worker_ends_its_stream_alone() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(20, "Y444")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    for border in ["pacer", "worker"] {
        let options = [OsString::from("--loop"), movie.clone().into()];
        let mut server = Server::start_with_panic(border, options, 1)?;
        let mut viewers = [play(&server)?, play(&server)?];
        server.wait_for_log(&format!("stopped a panic at the border {border}"), LIMIT);
        for viewer in &mut viewers {
            // The session is still there; its stream has said BYE.
            assert_eq!(viewer.ask("OPTIONS *", "")?.status, 200, "{border}");
        }
        server.is_well()?;
    }
    Ok(())
}
