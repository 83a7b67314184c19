// SPDX-License-Identifier: MIT OR Apache-2.0
//! The limits of the configuration: each is reached by one client, which gets its status, while another
//! client plays on.

use anyhow::{Context, Result};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::Server;
use mjpeg_rtsp_tests::wait_until;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// A server of `a.mjpeg` and `b.mjpeg`, which loop, with these lines in `[limits]`, and in the mount of
/// `a.mjpeg`.
fn serve(limits: &str, mount: &str) -> Result<(Folder, Server)> {
    let folder = Folder::new()?;
    folder.file("a.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let text = format!(
        "[limits]\n{limits}\n[defaults]\nloop = true\n\
         [[mount]]\npath = 'a.mjpeg'\n{mount}\n\
         [[mount]]\npath = 'a.mjpeg'\nname = 'b.mjpeg'\n"
    );
    let config = folder.file("server.toml", text.as_bytes())?;
    let server = Server::start(["--config".as_ref(), config.as_os_str()], 2)?;
    Ok((folder, server))
}

fn connect_from(server: &Server, host: u8) -> Result<RtspClient> {
    RtspClient::connect_from(Ipv4Addr::new(127, 0, 0, host), server.address()?)
}

/// The status of PLAY for a movie from an address, and the client if it plays.
fn play(server: &Server, host: u8, movie: usize) -> Result<(u16, Option<RtspClient>)> {
    let mut client = connect_from(server, host)?;
    let url = &server.urls[movie];
    let session = client.set_up(url, "tcp")?;
    let status = client.request(&format!("PLAY {url}"), &session)?.status;
    Ok((status, (status == 200).then_some(client)))
}

/// The number of lines of the log that have a text, once there is one: another thread writes the log.
fn logged(server: &Server, text: &str) -> Result<usize> {
    server.wait_for_log(text, LIMIT);
    Ok(server.log()?.lines().filter(|line| line.contains(text)).count())
}

#[test]
fn viewers_over_a_limit_get_453_and_the_others_play_on() -> Result<()> {
    let limits = "max-viewers = 4\nmax-viewers-per-address = 2";
    let (_folder, mut server) = serve(limits, "max-viewers = 3")?;
    // Address, movie, status.
    let rows = [
        (2, 0, 200),
        (2, 0, 200),
        (2, 0, 453),
        (2, 1, 453),
        (3, 0, 200),
        (4, 0, 453),
        (4, 1, 200),
        (5, 1, 453),
        (5, 1, 453),
    ];
    let mut viewers = Vec::new();
    for (host, movie, want) in rows {
        let (status, viewer) = play(&server, host, movie)?;
        assert_eq!(status, want, "127.0.0.{host} {movie}");
        viewers.extend(viewer);
    }
    for viewer in &mut viewers {
        viewer.receive_packets(10)?;
        assert_eq!(viewer.missing, 0);
    }
    // The first of each kind is logged at once, further ones in sums.
    for kind in [
        "viewer refused: the address has max-viewers-per-address viewers (further",
        "viewer refused: the movie has max-viewers viewers (further",
        "viewer refused: the server has max-viewers viewers (further",
    ] {
        assert_eq!(logged(&server, kind)?, 1, "{kind}: {}", server.log()?);
    }
    // A lab client is a viewer too.
    let mut lab = connect_from(&server, 6)?;
    lab.send("SETUP a.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n")?;
    server.wait_for_log("request=\"SETUP a.mjpeg RTSP/1.0\" reply=\"RTSP/1.0 200 OK\"", LIMIT);
    lab.send("PLAY a.mjpeg RTSP/1.0\nCSeq: 2\n\n")?;
    let refused = "request=\"PLAY a.mjpeg RTSP/1.0\" reply=\"RTSP/1.0 453 Not Enough Bandwidth\"";
    server.wait_for_log(refused, LIMIT);
    // Once a viewer has gone, another one plays.
    drop(viewers.remove(0));
    wait_until("a viewer is admitted", LIMIT, || {
        play(&server, 7, 1).is_ok_and(|(status, _)| status == 200)
    });
    server.is_well()
}

#[test]
fn a_session_and_a_connection_over_their_limits_get_503() -> Result<()> {
    let (_folder, mut server) = serve("max-sessions = 1", "")?;
    let (_, mut viewer) = play(&server, 1, 0)?;
    let viewer = viewer.as_mut().context("no viewer")?;
    let mut second = connect_from(&server, 2)?;
    let set_up = format!("SETUP {}/stream=0", server.urls[0]);
    for _ in 0..2 {
        let reply = second.request(&set_up, "Transport: RTP/AVP/TCP;interleaved=0-1\r\n")?;
        assert_eq!(reply.status, 503, "{reply}");
    }
    viewer.receive_packets(10)?;
    assert_eq!(logged(&server, "SETUP refused: the server has max-sessions sessions (further")?, 1);
    server.is_well()?;

    let (_folder, mut server) = serve("max-connections = 2", "")?;
    let mut viewers = [play(&server, 1, 0)?.1, play(&server, 2, 1)?.1];
    for _ in 0..2 {
        let mut third = connect_from(&server, 3)?;
        assert_eq!(third.request("OPTIONS *", "")?.status, 503);
        third.wait_until_closed()?;
    }
    for viewer in viewers.iter_mut().flatten() {
        viewer.receive_packets(10)?;
        assert_eq!(viewer.missing, 0);
    }
    let refused = "connection refused: --max-connections are open, none is idle (further";
    assert_eq!(logged(&server, refused)?, 1);
    server.is_well()
}

#[test]
fn a_request_over_its_length_gets_400_or_413_and_is_closed() -> Result<()> {
    let (_folder, mut server) = serve("max-request-bytes = 1024", "")?;
    let (_, mut viewer) = play(&server, 1, 0)?;
    let request = |header: &str, length: usize| {
        format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n{header}{}", "x".repeat(length))
    };
    let rows = [
        ("headers that fit", format!("{}\r\n\r\n", request("X: ", 900)), 200, false),
        ("headers that do not", format!("{}\r\n\r\n", request("X: ", 1024)), 400, true),
        ("headers without an end", request("X: ", 1024), 400, true),
        ("a body that fits", request("Content-Length: 1024\r\n\r\n", 1024), 200, false),
        ("a body that does not", request("Content-Length: 1025\r\n\r\n", 0), 413, true),
    ];
    for (name, bytes, status, closed) in rows {
        let mut client = connect_from(&server, 2)?;
        client.send(bytes)?;
        assert_eq!(client.receive_reply()?.status, status, "{name}");
        if closed {
            client.wait_until_closed().context(name)?;
        } else {
            assert_eq!(client.request("OPTIONS *", "")?.status, 200, "{name}");
        }
    }
    viewer.as_mut().context("no viewer")?.receive_packets(10)?;
    server.is_well()
}

#[test]
fn the_times_of_requests_sessions_and_stalled_viewers_are_those_of_the_configuration() -> Result<()>
{
    let limits = "request-time = '1s'\nidle-time = '2s'\nstall-time = '1s'";
    let (_folder, mut server) = serve(limits, "framerate = 1000")?;
    let (_, mut viewer) = play(&server, 1, 1)?;
    let (_, deaf) = play(&server, 2, 0)?;
    let url = server.urls[1].clone();
    let started = Instant::now();
    // Half a request.
    let mut half = connect_from(&server, 3)?;
    half.send("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n")?;
    assert!(half.receive_to_end()?.starts_with("RTSP/1.0 408 Request Time-out\r\n"));
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    // A connection without a session.
    let mut idle = connect_from(&server, 4)?;
    let since = Instant::now();
    assert_eq!(idle.request("OPTIONS *", "")?.status, 200);
    idle.wait_until_closed()?;
    assert!(since.elapsed() >= Duration::from_millis(1900), "{:?}", since.elapsed());
    // A session over UDP whose viewer reports nothing. Its connection asks whether it is still there by
    // a request that does not belong to the session.
    let mut owner = connect_from(&server, 5)?;
    let reply = owner.request(
        &format!("SETUP {url}/stream=0"),
        "Transport: RTP/AVP;unicast;client_port=65000-65001\r\n",
    )?;
    assert!(reply.header("Session").is_some_and(|it| it.ends_with(";timeout=2")), "{reply}");
    server.wait_for_log("sessions timed out", LIMIT);
    let session = reply.session_line()?;
    assert_eq!(owner.request(&format!("PLAY {url}"), &session)?.status, 454);
    // A viewer that reads nothing.
    server.wait_for_log("closed: the client read nothing for 1 s", LIMIT);
    drop(deaf);
    let viewer = viewer.as_mut().context("no viewer")?;
    viewer.receive_packets(10)?;
    assert_eq!(viewer.missing, 0);
    server.is_well()
}
