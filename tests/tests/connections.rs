// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's connections: limits, deadlines, tunnels, sessions that end with their connection, and
//! panics that end one connection only.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, normalized, program, run, serve};
use mjpeg_rtsp_tests::wait_until;
use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// Plays the first movie over TCP.
fn play(server: &Server) -> Result<RtspClient> {
    let mut rtsp = RtspClient::connect(server.address()?)?;
    rtsp.play(&server.urls[0], "tcp")?;
    Ok(rtsp)
}

/// Receives more packets.
fn still_plays(viewer: &mut RtspClient) -> Result<()> {
    viewer.receive_packets(10)
}

/// Whether a connection has been admitted. One over a limit gets 503.
fn is_served(client: &mut RtspClient) -> bool {
    client.request("OPTIONS *", "").is_ok_and(|reply| reply.status == 200)
}

#[test]
fn every_request_has_its_status() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let url = server.urls[0].clone();
    let long = "x".repeat(2000);
    let tcp = "Transport: RTP/AVP/TCP;interleaved=0-1\r\n";
    let udp = |rest: &str| format!("Transport: RTP/AVP;unicast{rest}\r\n");
    // Request line without the version, headers, status.
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
        let mut rtsp = RtspClient::connect(server.address()?)?;
        let reply = rtsp.request(&line, &headers)?;
        let shown = line.get(..80).unwrap_or(&line);
        assert_eq!(reply.status, status, "{shown} {headers}: {reply}");
        // The connection stays open in each case.
        assert_eq!(rtsp.request("OPTIONS *", "")?.status, 200, "{shown}");
    }
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let public = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
    assert_eq!(rtsp.request("OPTIONS *", "")?.header("Public"), Some(public));
    assert_eq!(rtsp.request(&format!("RECORD {url}"), "")?.header("Allow"), Some(public));
    let required = rtsp.request("OPTIONS *", "Require: a\tb, c<d>\r\n")?;
    assert_eq!(required.header("Unsupported"), Some("ab, cd"));
    server.is_well()
}

#[test]
fn malformed_requests_are_answered_and_endless_ones_closed() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let mut viewer = play(&server)?;
    // Name, bytes, status, whether the connection is closed then.
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
        let mut rtsp = RtspClient::connect(server.address()?)?;
        rtsp.send(&bytes)?;
        if !closed {
            assert_eq!(rtsp.receive_reply()?.status, status, "{name}");
            assert_eq!(rtsp.request("OPTIONS *", "")?.status, 200, "{name}");
            continue;
        }
        assert_eq!(rtsp.receive_reply()?.status, status, "{name}");
        rtsp.wait_until_closed().context(name)?;
    }
    still_plays(&mut viewer)?;
    server.is_well()
}

#[test]
fn http_requests_that_open_no_tunnel_are_refused() -> Result<()> {
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
        // A POST without its GET has no connection for a reply.
        (&[], "POST / HTTP/1.0\r\nx-sessioncookie: none\r\n\r\n", String::new()),
        (&["--http-tunnel", "off"], tunnel, not_found.clone()),
        (&["--lab", "only"], tunnel, not_found),
    ];
    for (options, request, want) in rows {
        let (_folder, mut server) = serve(1, options)?;
        let mut http = RtspClient::connect(server.address()?)?;
        http.send(request)?;
        assert_eq!(http.receive_to_end()?, want, "{options:?} {request}");
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn a_tunnel_takes_its_post_in_any_pieces_from_its_own_address_only() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let address = server.address()?.to_owned();
    let open = |cookie: &str| -> Result<RtspClient> {
        let mut get = RtspClient::connect(&address)?;
        get.send(format!("GET /movie.mjpeg HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\r\n"))?;
        Ok(get)
    };
    let post = |from: Ipv4Addr, cookie: &str| -> Result<RtspClient> {
        let mut post = RtspClient::connect_from(from, &address)?;
        let head = "POST /movie.mjpeg HTTP/1.0\r\nContent-Length: 32767\r\n";
        post.send(format!("{head}x-sessioncookie: {cookie}\r\n\r\n"))?;
        Ok(post)
    };
    let mut get = open("one")?;
    let accepted = get.receive_head()?;
    assert!(accepted.starts_with("HTTP/1.0 200 OK\r\n"), "{accepted}");
    // The POST must come from the address of the GET.
    let mut stranger = post(Ipv4Addr::new(127, 0, 0, 2), "one")?;
    stranger.wait_until_closed()?;
    // A second GET with the same cookie is refused.
    let mut second = open("one")?;
    assert!(second.receive_to_end()?.starts_with("HTTP/1.0 400 "));
    let mut first = post(Ipv4Addr::LOCALHOST, "one")?;
    // "OPTIONS * RTSP/1.0", "CSeq: 1", an empty line; in pieces of 5 characters.
    let options = "T1BUSU9OUyAqIFJUU1AvMS4wDQpDU2VxOiAxDQoNCg==";
    for piece in options.as_bytes().chunks(5) {
        first.send(piece)?;
    }
    assert_eq!(get.receive_reply()?.status, 200);
    // Another POST may replace the first one.
    drop(first);
    let mut next = None;
    wait_until("another POST is taken", LIMIT, || {
        let Ok(mut post) = post(Ipv4Addr::LOCALHOST, "one") else { return false };
        let taken = post.send(options).is_ok() && get.receive_reply().is_ok();
        next = Some(post);
        taken
    });
    // Text that is not base64 ends the tunnel.
    next.context("no POST")?.send("****")?;
    get.wait_until_closed()?;
    server.is_well()
}

#[test]
fn slow_clients_and_clients_that_do_not_read_are_closed_after_ten_seconds() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let mut viewer = play(&server)?;
    let mut half = RtspClient::connect(server.address()?)?;
    half.send("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n")?;
    let mut line = RtspClient::connect(server.address()?)?;
    line.send("OPTIONS rtsp://h")?;
    let mut http = RtspClient::connect(server.address()?)?;
    http.send("GET / HTTP/1.0\r\n")?;
    // A lab client that never lets its request end.
    let connected = Instant::now();
    let mut lab = TcpStream::connect(server.address()?)?;
    lab.set_write_timeout(Some(LIMIT))?;
    let lab = std::thread::spawn(move || {
        use std::io::Write;
        let mut sent = lab.write_all(b"SETUP movie\n1\n");
        while sent.is_ok() && connected.elapsed() < LIMIT {
            sent = lab.write_all(b"x");
            mjpeg_rtsp_tests::pace(Duration::from_millis(10));
        }
        (sent.is_err(), connected.elapsed())
    });
    let mut alone = RtspClient::connect(server.address()?)?;
    alone.send("GET / HTTP/1.0\r\nx-sessioncookie: c\r\n\r\n")?;
    // It sends requests and reads no reply.
    let mut deaf = TcpStream::connect(server.address()?)?;
    deaf.set_write_timeout(Some(LIMIT))?;
    let requests = std::thread::spawn(move || {
        use std::io::Write;
        let requests = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(1000);
        let mut taken = 0_u64;
        // Until it is closed.
        while deaf.write_all(&requests).is_ok() {
            taken += requests.len() as u64;
        }
        taken
    });
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(9) {
        still_plays(&mut viewer)?;
        let sent = Instant::now();
        assert_eq!(RtspClient::connect(server.address()?)?.request("OPTIONS *", "")?.status, 200);
        assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
    }
    let late = half.receive_to_end()?;
    assert!(late.starts_with("RTSP/1.0 408 Request Time-out\r\n"), "{late}");
    assert!(http.receive_to_end()?.starts_with("HTTP/1.0 408 "));
    let (closed, time) = lab.join().map_err(|_| anyhow::anyhow!("panicked"))?;
    assert!(closed && time > Duration::from_secs(9), "{closed} after {time:?}");
    for mut closed in [line, alone] {
        closed.wait_until_closed()?;
    }
    let taken = requests.join().map_err(|_| anyhow::anyhow!("panicked"))?;
    // The size of the kernel's buffers, not what it could have sent in that time.
    assert!(taken < 50_000_000, "{taken}");
    still_plays(&mut viewer)?;
    server.is_well()
}

#[test]
fn a_viewer_that_never_reads_is_disconnected() -> Result<()> {
    let image = movies::images(1, "I420")?.remove(0);
    let folder = Folder::new()?;
    // More than the kernel buffers for a connection, within a second.
    let movie = folder.file("movie.mjpeg", &movies::movie(&vec![image; 400])?)?;
    let options = ["--loop".into(), "--framerate".into(), "1000".into(), movie.into_os_string()];
    let mut server = Server::start::<OsString>(options, 1)?;
    let before = server.files()?;
    let started = Instant::now();
    let deaf: Vec<RtspClient> = (0..4).map(|_| play(&server)).collect::<Result<_>>()?;
    assert!(server.files()? >= before + deaf.len());
    let mut viewer = play(&server)?;
    // The viewer and its movie remain, and a few files of the library.
    wait_until("the deaf viewers are disconnected", Duration::from_mins(1), || {
        still_plays(&mut viewer).is_ok()
            && server.log().is_ok_and(|log| {
                log.matches("closed: the client read nothing for 10 s").count() == deaf.len()
            })
    });
    assert!(started.elapsed() >= Duration::from_secs(9), "{:?}", started.elapsed());
    still_plays(&mut viewer)?;
    server.is_well()
}

#[test]
fn a_session_ends_with_its_connection_for_every_method() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let url = server.urls[0].clone();
    let rtp = UdpSocket::bind("127.0.0.1:0")?;
    let port = rtp.local_addr()?.port();
    for transport in ["tcp", &format!("RTP/AVP;unicast;client_port={port}")] {
        let mut owner = RtspClient::connect(server.address()?)?;
        let session = owner.set_up(&url, transport)?;
        let mut other = RtspClient::connect(server.address()?)?;
        // While its connection is open, others may use it (RFC 2326 section 1.1).
        assert_eq!(other.request(&format!("GET_PARAMETER {url}"), &session)?.status, 200);
        assert_eq!(other.request(&format!("PLAY {url}"), &session)?.status, 200, "{transport}");
        drop(owner);
        wait_until("the session ends", LIMIT, || {
            let reply = other.request(&format!("GET_PARAMETER {url}"), &session);
            reply.is_ok_and(|reply| reply.status == 454)
        });
        for method in ["PLAY", "PAUSE", "OPTIONS", "SET_PARAMETER", "TEARDOWN"] {
            let reply = other.request(&format!("{method} {url}"), &session)?;
            assert_eq!(reply.status, 454, "{transport} {method}: {reply}");
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
    let mut rtsp = RtspClient::connect(server.address()?)?;
    let session = rtsp.set_up(&a, "tcp")?;
    let setup = format!("{session}Transport: RTP/AVP/TCP;interleaved=2-3\r\n");
    assert_eq!(rtsp.request(&format!("SETUP {b}/stream=0"), &setup)?.status, 459);
    assert_eq!(rtsp.request(&format!("SETUP {a}/stream=0"), &setup)?.status, 455);
    assert_eq!(rtsp.request(&format!("PLAY {b}"), &session)?.status, 459);
    // Each URL that DESCRIBE accepts.
    for other in [
        a.replace("/a.", "/A."),
        a.replace(".mjpeg", ""),
        a.replace("/a.", "/%61."),
        format!("{a}?x=1"),
    ] {
        for method in ["DESCRIBE", "PLAY", "PAUSE"] {
            let reply = rtsp.request(&format!("{method} {other}"), &session)?;
            assert_eq!(reply.status, 200, "{method} {other}");
        }
    }
    // The only stream's URL is as good as the movie's (RFC 2326 section 14.3).
    for method in ["PLAY", "PAUSE", "PLAY", "TEARDOWN"] {
        assert_eq!(
            rtsp.request(&format!("{method} {a}/stream=0"), &session)?.status,
            200,
            "{method}"
        );
    }
    assert_eq!(rtsp.request(&format!("PLAY {a}"), &session)?.status, 454);
    server.is_well()
}

#[test]
fn connections_and_sessions_of_an_address_are_limited() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop", "--max-connections-per-address", "3"])?;
    let address = server.address()?.to_owned();
    let mut viewers: Vec<RtspClient> = (0..3).map(|_| play(&server)).collect::<Result<_>>()?;
    // All three are busy: a fourth connection is closed, and another address is served.
    RtspClient::connect(&address)?.wait_until_closed()?;
    let mut other = RtspClient::connect_from(Ipv4Addr::new(127, 0, 0, 2), &address)?;
    assert_eq!(other.request("OPTIONS *", "")?.status, 200);
    // A paused one is closed for a new one; those that play are not.
    drop(viewers.pop());
    let url = server.urls[0].clone();
    let mut idle = None;
    wait_until("a connection is accepted", LIMIT, || {
        idle = RtspClient::connect(&address).ok();
        idle.as_mut().is_some_and(is_served)
    });
    let mut idle = idle.context("no connection")?;
    let session = idle.set_up(&url, "tcp")?;
    // The same limit holds for sessions, even of one connection.
    let setup = "Transport: RTP/AVP/TCP;interleaved=0-1\r\n";
    assert_eq!(idle.request(&format!("SETUP {url}/stream=0"), setup)?.status, 503);
    assert_eq!(idle.request(&format!("PLAY {url}"), &session)?.status, 200);
    assert_eq!(idle.request(&format!("PAUSE {url}"), &session)?.status, 200);
    // It is idle a moment after its reply.
    wait_until("the paused one is closed for a new one", LIMIT, || {
        RtspClient::connect(&address).is_ok_and(|mut newest| is_served(&mut newest))
    });
    idle.wait_until_closed()?;
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
fn an_idle_lab_connection_is_closed_for_a_new_one() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop", "--max-connections", "2"])?;
    let mut viewer = play(&server)?;
    let mut lab = RtspClient::connect(server.address()?)?;
    lab.send("SETUP movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n")?;
    // Set up, and no longer silent.
    server.wait_for_log("reply=\"RTSP/1.0 200 OK\"", LIMIT);
    wait_until("the lab client is closed for a new one", LIMIT, || {
        let other = RtspClient::connect(server.address().unwrap_or_default());
        other.is_ok_and(|mut other| is_served(&mut other))
    });
    assert!(lab.receive_to_end()?.starts_with("RTSP/1.0 200 OK\nCSeq: 1\n"));
    still_plays(&mut viewer)?;
    server.is_well()
}

#[test]
fn few_file_descriptors_limit_connections_and_the_server_goes_on() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    // 160 less the reserve are 20 connections.
    let mut server = Server::start_limited(160, [OsString::from("--loop"), movie.into()], 1)?;
    let mut viewers = vec![play(&server)?];
    let crowd: Vec<TcpStream> =
        (0..300).map(|_| Ok(TcpStream::connect(server.address()?)?)).collect::<Result<_>>()?;
    // The silent ones are closed for those that play.
    for _ in 0..5 {
        viewers.push(play(&server)?);
    }
    for viewer in &mut viewers {
        still_plays(viewer)?;
    }
    drop(crowd);
    let limited = "WARN fewer connections than --max-connections are accepted, because the process \
                   may open too few files: raise the limit (ulimit -n) files=160 connections=20";
    let log = normalized(&server.log()?, &[]);
    assert!(log.lines().any(|line| line == limited), "{log}");
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
        let mut rtsp = RtspClient::connect(server.address()?)?;
        match border {
            "request" => {
                rtsp.send(format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"))?;
                assert_eq!(rtsp.receive_reply()?.status, 500);
                rtsp.wait_until_closed()?;
            }
            "lab-request" => {
                rtsp.send("SETUP movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n")?;
                rtsp.wait_until_closed()?;
            }
            "connection-end" => drop(play(&server)?),
            // It runs each second.
            _ => {}
        }
        server.wait_for_log(&format!("stopped a panic at the border {border}"), LIMIT);
        let log = server.log()?;
        assert!(log.contains("on purpose, at the border") && log.contains("border.rs"), "{log}");
        let mut other = RtspClient::connect(server.address()?)?;
        assert_eq!(other.request("OPTIONS *", "")?.status, 200, "{border}");
        server.is_well()?;
    }
    // Without the library's replies or its media, the server does not start.
    let rows = [
        ("library-answer", "ERROR gst-rtsp-server does not work: it does not reply to SETUP"),
        ("media", "ERROR gst-rtsp-server does not work: it replies 400 to SETUP"),
    ];
    for (border, want) in rows {
        let mut command = program("mjpeg-rtsp-server")?;
        command.args(["--listen", "127.0.0.1:0"]).arg(&movie);
        let done = run(command.env("MJPEG_RTSP_PANIC_AT", border), LIMIT)?;
        let log = normalized(&String::from_utf8_lossy(&done.stderr), &[]);
        assert_eq!(done.status.code(), Some(1), "{border}: {log}");
        assert_eq!(log.lines().last(), Some(want), "{border}: {log}");
    }
    Ok(())
}

#[test]
fn a_panic_of_a_pacer_or_a_worker_ends_only_its_stream() -> Result<()> {
    let folder = Folder::new()?;
    let images = movies::images(20, "Y444")?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    for border in ["pacer", "worker"] {
        let options = [OsString::from("--loop"), movie.clone().into()];
        let mut server = Server::start_with_panic(border, options, 1)?;
        let mut viewers = [play(&server)?, play(&server)?];
        server.wait_for_log(&format!("stopped a panic at the border {border}"), LIMIT);
        for viewer in &mut viewers {
            // The session exists still; its stream has ended with BYE.
            assert_eq!(viewer.request("OPTIONS *", "")?.status, 200, "{border}");
        }
        server.is_well()?;
    }
    Ok(())
}
