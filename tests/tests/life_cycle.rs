// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server as a service: its exit, its notifications to a service manager, and its log.

use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Guard, Server, normalized, program, run, serve, through};
use mjpeg_rtsp_tests::wait_until;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

/// A server of `movie.mjpeg`, which loops, with these lines at the start of its configuration.
fn serve_with(lines: &str, framerate: &str) -> Result<(Folder, Server)> {
    let folder = Folder::new()?;
    folder.file("movie.mjpeg", &movies::movie(&movies::images(20, "I420")?)?)?;
    let mount = "[[mount]]\npath = 'movie.mjpeg'\nloop = true";
    let text = format!("{lines}\n{mount}\nframerate = {framerate}\n");
    let config = folder.file("server.toml", text.as_bytes())?;
    let server = Server::start(["--config".as_ref(), config.as_os_str()], 1)?;
    Ok((folder, server))
}

/// A viewer over TCP that never reads, after the server has queued bytes for it.
fn deaf_viewer(server: &Server) -> Result<RtspClient> {
    let mut deaf = RtspClient::connect(server.address()?)?;
    deaf.play(&server.urls[0], "tcp")?;
    // More than the kernel buffers is sent within a second.
    mjpeg_rtsp_tests::pace(Duration::from_secs(2));
    Ok(deaf)
}

#[test]
fn a_signal_ends_all_connections_and_accepts_no_more() -> Result<()> {
    let (_folder, mut server) = serve(20, &["--loop"])?;
    let address = server.address()?.to_owned();
    let mut viewer = RtspClient::connect(&address)?;
    viewer.play(&server.urls[0], "tcp")?;
    viewer.receive_packets(10)?;
    let mut lab = RtspClient::connect(&address)?;
    lab.send("SETUP movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n")?;
    server.wait_for_log("reply=\"RTSP/1.0 200 OK\"", LIMIT);
    // One that has sent nothing, half a request, half an HTTP request.
    let mut others: Vec<RtspClient> =
        (0..3).map(|_| RtspClient::connect(&address)).collect::<Result<_>>()?;
    others[1].send("OPTIONS * RTSP/1.0\r\n")?;
    others[2].send("GET / HTTP/1.0\r\n")?;
    server.process().signal("TERM")?;
    viewer.receive_until_bye(Instant::now() + LIMIT)?;
    viewer.wait_until_closed()?;
    lab.wait_until_closed()?;
    for other in &mut others {
        other.wait_until_closed()?;
    }
    assert!(TcpStream::connect(&address).is_err(), "a new connection");
    let started = Instant::now();
    assert_eq!(server.process().wait(LIMIT)?.code(), Some(0));
    // Nobody has to wait for the time of grace.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    let log = server.log()?;
    assert!(!log.contains("within grace"), "{log}");
    let ended = log.matches("session ended: the server exits").count();
    assert_eq!(ended, 2, "{log}");
    Ok(())
}

#[test]
fn the_exit_waits_for_grace_at_most_and_a_second_signal_ends_it_at_once() -> Result<()> {
    let (_folder, mut server) = serve_with("grace = '1s'", "1000")?;
    let deaf = deaf_viewer(&server)?;
    let started = Instant::now();
    server.process().signal("TERM")?;
    assert_eq!(server.process().wait(LIMIT)?.code(), Some(0), "{}", server.log()?);
    let time = started.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&time), "{time:?}");
    assert!(server.log()?.contains("connections did not end within grace, and are closed"));
    drop(deaf);
    let text = "grace = '1h'\n[limits]\nstall-time = '1h'";
    let (_folder, mut server) = serve_with(text, "1000")?;
    let deaf = deaf_viewer(&server)?;
    server.process().signal("INT")?;
    server.wait_for_log("exiting: no new connections", LIMIT);
    assert_eq!(server.process().ended()?, None);
    server.process().signal("TERM")?;
    assert_eq!(server.process().wait(LIMIT)?.code(), Some(0));
    assert!(server.log()?.contains("second signal: exiting at once"));
    drop(deaf);
    Ok(())
}

/// The messages to a service manager until one that starts with `last`.
fn messages(socket: &UnixDatagram, last: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let length = socket.recv(&mut bytes).with_context(|| format!("{last}: {all:?}"))?;
        let message = String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned();
        let is_last = message.starts_with(last);
        all.push(message);
        if is_last {
            return Ok(all);
        }
    }
}

#[test]
fn a_service_manager_hears_that_the_server_is_ready_alive_and_exiting() -> Result<()> {
    let folder = Folder::new()?;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut command = program("mjpeg-rtsp-server")?;
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000").env_remove("WATCHDOG_PID");
    // Messages wait in the socket while this process does not run, so the clock starts before the server.
    let started = Instant::now();
    let mut server = Server::spawn(command.args(["--listen", "127.0.0.1:0"]), 1)?;
    assert_eq!(messages(&socket, "READY=1")?.last().map(String::as_str), Some("READY=1"));
    // Connections are accepted by then.
    assert_eq!(RtspClient::connect(server.address()?)?.request("OPTIONS *", "")?.status, 200);
    for _ in 0..10 {
        messages(&socket, "WATCHDOG=1")?;
    }
    // One each 200 ms.
    assert!(started.elapsed() >= Duration::from_millis(1900), "{:?}", started.elapsed());
    server.process().signal("TERM")?;
    let rest = messages(&socket, "STOPPING=1")?;
    assert!(rest.iter().rev().skip(1).all(|message| message == "WATCHDOG=1"), "{rest:?}");
    assert_eq!(server.process().wait(LIMIT)?.code(), Some(0));
    Ok(())
}

/// Starts a server with a descriptor as number 3, as a service manager does.
fn activated(descriptor: OwnedFd) -> Result<Command> {
    let server = program("mjpeg-rtsp-server")?;
    let mut command = through(Command::new("sh"), &server);
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    command.args(["-c", script, "sh"]).arg(server.get_program()).stdin(Stdio::from(descriptor));
    Ok(command)
}

#[test]
fn a_socket_of_the_service_manager_is_used_instead_of_the_address() -> Result<()> {
    let (folder, _) = serve(20, &[])?;
    let movie = folder.path().join("movie.mjpeg");
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?.to_string();
    // It waits in the socket until the server accepts.
    let mut early = RtspClient::connect(&address)?;
    let mut command = activated(socket.into())?;
    // An address that cannot be used.
    command.args(["--listen", "192.0.2.1:8554"]).arg(&movie);
    let out = folder.path().join("out");
    let log = folder.path().join("log");
    command.stdout(std::fs::File::create(&out)?).stderr(std::fs::File::create(&log)?);
    let mut server = Guard::new(command.spawn()?);
    let url = format!("rtsp://{address}/movie.mjpeg");
    assert_eq!(early.described_range(&url)?, "npt=0-1");
    wait_until("the URL", LIMIT, || {
        std::fs::read_to_string(&out).is_ok_and(|it| it == format!("{url}\n"))
    });
    server.signal("TERM")?;
    assert_eq!(server.wait(LIMIT)?.code(), Some(0));
    let log = normalized(&std::fs::read_to_string(&log)?, &[(&address, "ADDRESS")]);
    let line =
        "INFO socket of the service manager used instead of listen descriptor=3 address=ADDRESS";
    assert!(log.lines().any(|it| it == line), "{log}");
    // A socket other than a listening TCP socket is refused.
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let mut command = activated(udp.into())?;
    let done = {
        let (out, err) = (folder.path().join("out2"), folder.path().join("err2"));
        command.stdout(std::fs::File::create(out)?).stderr(std::fs::File::create(&err)?);
        let mut child = Guard::new(command.spawn()?);
        (child.wait(LIMIT)?.code(), std::fs::read_to_string(err)?)
    };
    let error = normalized(&done.1, &[]);
    let start = "ERROR file descriptor 3 of the service manager (LISTEN_FDS) is not a listening TCP \
                 socket: ";
    assert!(done.0 == Some(1) && error.starts_with(start), "{done:?}");
    Ok(())
}

/// The JSON objects of a log whose message starts with a text.
fn events(server: &Server, message: &str) -> Result<Vec<serde_json::Value>> {
    let log = server.log()?;
    let mut found = Vec::new();
    for line in log.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).with_context(|| line.to_owned())?;
        for name in ["timestamp", "level"] {
            ensure!(event[name].is_string(), "{line}");
        }
        if event["message"].as_str().context("no message")?.starts_with(message) {
            found.push(event);
        }
    }
    Ok(found)
}

/// A receiver report (RFC 3550 section 6.4.2) of these lost packets of a source.
fn receiver_report(ssrc: u32, lost: i32) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
    report.extend(ssrc.to_be_bytes());
    report.push(1);
    report.extend(&lost.to_be_bytes()[1..]);
    report.resize(32, 0);
    report
}

/// The number in a parameter of a `Transport` header.
fn parameter(transport: &str, name: &str) -> Result<String> {
    let start = format!("{name}=");
    let value = transport.split(';').find_map(|it| it.trim().strip_prefix(&start));
    Ok(value.with_context(|| transport.to_owned())?.to_owned())
}

#[test]
fn one_line_says_what_each_session_was_and_why_it_ended() -> Result<()> {
    let (_folder, mut server) = serve_with("log-format = 'json'", "20")?;
    let (address, url) = (server.address()?.to_owned(), server.urls[0].clone());
    let set_up = |client: &mut RtspClient, transport: &str| -> Result<(String, String)> {
        let header = format!("Transport: {transport}\r\n");
        let reply = client.request(&format!("SETUP {url}/stream=0"), &header)?;
        let transport = reply.header("Transport").context("no Transport")?.to_owned();
        Ok((reply.session_line()?, transport))
    };
    let ssrc = |transport: &str| {
        Ok::<_, anyhow::Error>(u32::from_str_radix(&parameter(transport, "ssrc")?, 16)?)
    };

    // Over TCP, with a report of loss, ended by TEARDOWN.
    let mut tcp = RtspClient::connect(&address)?;
    let (session, transport) = set_up(&mut tcp, "RTP/AVP/TCP;interleaved=4-5")?;
    assert_eq!(tcp.request(&format!("PLAY {url}"), &session)?.status, 200);
    tcp.receive_packets(20)?;
    tcp.send([&[b'$', 5, 0, 32][..], &receiver_report(ssrc(&transport)?, 3)].concat())?;
    assert_eq!(tcp.request(&format!("TEARDOWN {url}"), &session)?.status, 200);

    // Over UDP, with a report of copies, ended by the end of its connection.
    let (rtp, rtcp) = udp_pair()?;
    rtp.set_read_timeout(Some(LIMIT))?;
    let port = rtp.local_addr()?.port();
    let mut udp = RtspClient::connect(&address)?;
    let offer = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
    let (session, transport) = set_up(&mut udp, &offer)?;
    assert_eq!(udp.request(&format!("PLAY {url}"), &session)?.status, 200);
    let server_ports = parameter(&transport, "server_port")?;
    let server_rtcp: u16 = server_ports.split('-').nth(1).context("one port")?.parse()?;
    let mut bytes = [0; 2000];
    for _ in 0..20 {
        rtp.recv(&mut bytes)?;
    }
    // The library reads it in a thread of its own. The source of a report counts once it has sent two.
    for _ in 0..5 {
        rtcp.send_to(&receiver_report(ssrc(&transport)?, -2), ("127.0.0.1", server_rtcp))?;
        mjpeg_rtsp_tests::pace(Duration::from_millis(100));
    }
    drop(udp);

    // In the lab's dialect, ended by TEARDOWN.
    let lab_rtp = UdpSocket::bind("127.0.0.1:0")?;
    lab_rtp.set_read_timeout(Some(LIMIT))?;
    let mut lab = RtspClient::connect(&address)?;
    let lab_port = lab_rtp.local_addr()?.port();
    for (number, line) in ["SETUP", "PLAY", "TEARDOWN"].iter().enumerate() {
        lab.send(format!(
            "{line} movie.mjpeg RTSP/1.0\nCSeq: {number}\nTransport: RTP/UDP; client_port= {lab_port}\n\n"
        ))?;
        if *line == "PLAY" {
            for _ in 0..5 {
                lab_rtp.recv(&mut vec![0; 65536])?;
            }
        }
    }

    // Set up, never played, ended by another connection's exit: the server's.
    let mut silent = RtspClient::connect(&address)?;
    set_up(&mut silent, "RTP/AVP/TCP;interleaved=0-1")?;
    wait_until("three sessions have ended", LIMIT, || {
        events(&server, "session ended").is_ok_and(|it| it.len() == 3)
    });
    server.process().signal("TERM")?;
    assert_eq!(server.process().wait(LIMIT)?.code(), Some(0));

    // Transport or dialect, loss, the least number of packets, the least number of frames, reason.
    let rows = [
        ("TCP", Some(3), 20, 1, "session ended: TEARDOWN"),
        ("UDP", Some(0), 20, 1, "session ended: the client closed the connection"),
        ("textbook", None, 5, 5, "session ended: TEARDOWN"),
        ("TCP", None, 0, 0, "session ended: the server exits"),
    ];
    let mut ended = events(&server, "session ended")?;
    for (kind, lost, packets, frames, reason) in rows {
        let is_row = |event: &serde_json::Value| {
            let found = event["transport"].as_str().or(event["dialect"].as_str());
            found.is_some_and(|it| {
                it == kind || (kind == "textbook" && event["dialect"].is_string())
            }) && event["message"] == reason
        };
        let at = ended.iter().position(is_row).with_context(|| format!("{kind}: {ended:?}"))?;
        let event = ended.remove(at);
        assert_eq!(event["lost"].as_i64(), lost, "{event}");
        assert_eq!(event["mount"], "/movie.mjpeg", "{event}");
        assert!(event["peer"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")), "{event}");
        let count = |name: &str| event[name].as_u64().with_context(|| event.to_string());
        let (sent, shown) = (count("packets")?, count("frames")?);
        assert!(sent >= packets && shown >= frames && sent < 1000 && shown <= sent, "{event}");
        assert_eq!(sent == 0, packets == 0, "{event}");
    }
    assert!(ended.is_empty(), "{ended:?}");
    Ok(())
}

/// Sockets on two ports of which the second follows the first.
fn udp_pair() -> Result<(UdpSocket, UdpSocket)> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let rtp = UdpSocket::bind("127.0.0.1:0")?;
        let port = rtp.local_addr()?.port();
        match port.checked_add(1).map(|port| UdpSocket::bind(("127.0.0.1", port))) {
            Some(Ok(rtcp)) => return Ok((rtp, rtcp)),
            _ => ensure!(Instant::now() < deadline, "no two ports"),
        }
    }
}

#[test]
fn control_characters_of_a_client_are_escaped_in_both_formats() -> Result<()> {
    for format in ["text", "json"] {
        let (_folder, mut server) = serve(1, &["--log", "debug", "--log-format", format])?;
        let mut lab = RtspClient::connect(server.address()?)?;
        lab.send(
            "SETUP a\u{9b}2J.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 40000\n\n",
        )?;
        server.wait_for_log("404 Not Found", LIMIT);
        let mut lab = RtspClient::connect(server.address()?)?;
        lab.send("SETUP a\x1b[2J\x07.mjpeg RTSP/1.0\nCSeq: 1\n\n")?;
        server.wait_for_log("contains byte 1b, which is not text", LIMIT);
        let mut rtsp = RtspClient::connect(server.address()?)?;
        rtsp.request("DESCRIBE rtsp://h/\x1b[2J\x07", "")?;
        server.wait_for_log("DESCRIBE", LIMIT);
        let log = server.log()?;
        let raw = log.chars().find(|it| it.is_control() && *it != '\n');
        assert_eq!(raw, None, "{log}");
        server.is_well()?;
    }
    Ok(())
}

#[test]
fn the_limit_of_open_files_is_logged_at_the_start() -> Result<()> {
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    let server = program("mjpeg-rtsp-server")?;
    // The soft and the hard limit.
    for (limits, line) in [
        ("--nofile=500:1000", "INFO limit of open files raised before=500 files=1000"),
        ("--nofile=1000:1000", "INFO limit of open files files=1000"),
    ] {
        let mut command = through(Command::new("prlimit"), &server);
        command.arg(limits).arg(server.get_program()).args(["--listen", "127.0.0.1:0"]).arg(&movie);
        let server = Server::spawn(&mut command, 1)?;
        // The log is written by another thread.
        server.wait_for_log("limit of open files", LIMIT);
        let log = normalized(&server.log()?, &[]);
        assert!(log.lines().any(|it| it == line), "{log}");
    }
    Ok(())
}

#[test]
fn the_health_check_asks_the_server_in_its_language() -> Result<()> {
    let check = |listen: &str, lab: &str| -> Result<(Option<i32>, String)> {
        let mut command = program("mjpeg-rtsp-server")?;
        let done = run(command.args(["--listen", listen, "--lab", lab, "--health-check"]), LIMIT)?;
        Ok((
            done.status.code(),
            normalized(&String::from_utf8(done.stderr)?, &[(listen, "ADDRESS")]),
        ))
    };
    for lab in ["on", "off", "only"] {
        let (_folder, mut server) = serve(1, &["--lab", lab])?;
        let address = server.address()?.to_owned();
        assert_eq!(check(&address, lab)?, (Some(0), String::new()), "{lab}");
        // A port alone is one on all addresses.
        let port = address.rsplit(':').next().context("no port")?;
        assert_eq!(check(port, lab)?, (Some(0), String::new()), "{lab}");
        server.is_well()?;
        let (_reserved, closed) = crate::ports::closed()?;
        let error = "ERROR no reply to OPTIONS from ADDRESS: Connection refused (os error 111)\n";
        assert_eq!(check(&closed.to_string(), lab)?, (Some(1), error.to_owned()), "{lab}");
    }
    // In normalized output each port is PORT.
    let error = "ERROR listen is port PORT, a free one that is not known here: state the server's port \
                 (--listen)\n";
    assert_eq!(check("127.0.0.1:0", "on")?, (Some(1), error.to_owned()));
    Ok(())
}
