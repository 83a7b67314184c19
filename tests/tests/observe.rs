// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people see of a running server over HTTP: sessions, the exchange, metrics. Numbers are compared with
//! those of the viewers.

use crate::lab_server::LabClient;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::Folder;
use mjpeg_rtsp_tests::peer::relay::{Fate, Relay};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, headless, run, serve};
use mjpeg_rtsp_tests::wait_until;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No wait is longer.
const LIMIT: Duration = Duration::from_secs(40);

/// A server that people can see.
struct Observed {
    server: Server,
    http: String,
    _folder: Folder,
}

impl Observed {
    /// Serves `movie.mjpeg` with so many frames.
    fn start(frames: u32, options: &[&str]) -> Result<Self> {
        let options = [&["--http", "0"], options].concat();
        let (folder, server) = serve(frames, &options)?;
        server.wait_for_log("serving HTTP address=", LIMIT);
        let log = server.log()?;
        let address = log.split("serving HTTP address=").nth(1).context("no address")?;
        let http = address.split_whitespace().next().context("no address")?.to_owned();
        Ok(Self { server, http, _folder: folder })
    }

    fn url(&self) -> &str {
        &self.server.urls[0]
    }

    /// The status and the body of the reply to a request.
    fn ask(&self, method: &str, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.http)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let host = &self.http;
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").context("no head")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.to_owned()))
    }

    fn sessions(&self) -> Result<Vec<Value>> {
        let (status, body) = self.ask("GET", "/api/v1/sessions")?;
        ensure!(status == 200, "{status} {body}");
        let mut list: Value = serde_json::from_str(&body)?;
        Ok(serde_json::from_value(list["sessions"].take())?)
    }

    /// The only session, once a condition holds for it.
    fn session(&self, what: &str, ready: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        wait_until(what, LIMIT, || {
            let sessions = self.sessions().unwrap();
            match sessions.as_slice() {
                [one] if ready(one) => found = one.clone(),
                _ => {}
            }
            !found.is_null()
        });
        found
    }

    /// The value of a sample of the metrics.
    fn metric(&self, sample: &str) -> Result<Option<f64>> {
        let (status, body) = self.ask("GET", "/metrics")?;
        ensure!(status == 200, "{status} {body}");
        let line = body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?)
    }

    fn wait_for_metric(&self, sample: &str, want: f64) {
        let mut got = None;
        wait_until(&format!("{sample} {want}"), LIMIT, || {
            got = self.metric(sample).unwrap();
            got == Some(want)
        });
    }
}

/// The events of the exchange.
struct Events(BufReader<TcpStream>);

impl Events {
    fn follow(observed: &Observed, query: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(&observed.http)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let host = &observed.http;
        write!(stream, "GET /api/v1/exchange{query} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
        let mut events = Self(BufReader::new(stream));
        while !events.line()?.is_empty() {}
        Ok(events)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "the events have ended");
        Ok(line.trim_end().to_owned())
    }

    /// The name and the data of the next event.
    fn next(&mut self) -> Result<(String, Value)> {
        let (mut name, mut data) = (String::new(), Value::Null);
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("event", event)) => event.clone_into(&mut name),
                Some(("data", text)) => data = serde_json::from_str(text)?,
                _ if line.is_empty() && !name.is_empty() => return Ok((name, data)),
                _ => {}
            }
        }
    }

    /// The data of the next event with a name.
    fn next_of(&mut self, name: &str) -> Result<Value> {
        loop {
            let (found, data) = self.next()?;
            if found == name {
                return Ok(data);
            }
        }
    }
}

/// A viewer over UDP that counts by itself (RFC 3550 appendix A.3). It takes some packets for lost.
struct UdpViewer {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    client: RtspClient,
    session: String,
}

/// What a viewer has received.
#[derive(Debug, Default)]
struct Received {
    packets: u64,
    bytes: u64,
    frames: u64,
    first: Option<u16>,
    last: u16,
    ssrc: [u8; 4],
    /// The last sender report: the middle of its NTP time, when it arrived, and from where.
    report: Option<([u8; 4], Instant, SocketAddr)>,
}

impl UdpViewer {
    fn set_up(observed: &Observed) -> Result<Self> {
        let bind = || -> Result<UdpSocket> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            Ok(socket)
        };
        let (mut rtp, mut rtcp) = (bind()?, bind()?);
        if rtp.local_addr()?.port() > rtcp.local_addr()?.port() {
            std::mem::swap(&mut rtp, &mut rtcp);
        }
        let ports = [rtp.local_addr()?.port(), rtcp.local_addr()?.port()];
        let mut client = RtspClient::connect(observed.server.address()?)?;
        let transport = format!("RTP/AVP;unicast;client_port={}-{}", ports[0], ports[1]);
        let session = client.set_up(observed.url(), &transport)?;
        Ok(Self { rtp, rtcp, client, session })
    }

    /// Receives until the server says BYE and nothing follows.
    fn receive(&self) -> Result<Received> {
        let mut got = Received::default();
        let (end, mut bye) = (Instant::now() + LIMIT, false);
        let mut bytes = vec![0; 65_536];
        loop {
            ensure!(Instant::now() < end, "no BYE: {got:?}");
            match self.rtp.recv(&mut bytes) {
                Ok(length) => {
                    got.packets += 1;
                    got.bytes += length as u64;
                    got.frames += u64::from(bytes[1] >> 7);
                    got.last = u16::from_be_bytes([bytes[2], bytes[3]]);
                    got.first.get_or_insert(got.last);
                    got.ssrc.copy_from_slice(&bytes[8..12]);
                    continue;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            if bye {
                return Ok(got);
            }
            if let Ok((length, from)) = self.rtcp.recv_from(&mut bytes) {
                assert_eq!(bytes[1], 200);
                let time = bytes[10..14].try_into()?;
                got.report = Some((time, Instant::now(), from));
                bye = bytes[..length].windows(4).any(|four| four == [0x81, 203, 0, 1]);
            }
        }
    }

    /// Reports that `lost` packets were lost, a jitter in ticks, and when the sender report arrived.
    fn report(&self, got: &Received, lost: i32, jitter: u32) -> Result<()> {
        let (time, arrived, server) = got.report.context("no sender report")?;
        let [_, lost_high, lost_middle, lost_low] = lost.to_be_bytes();
        let delay = u32::try_from(arrived.elapsed().as_micros() * 65_536 / 1_000_000)?;
        let mut packet = vec![0x81, 201, 0, 7, 0x11, 0x22, 0x33, 0x44];
        packet.extend(got.ssrc);
        packet.extend([64, lost_high, lost_middle, lost_low]);
        packet.extend(u32::from(got.last).to_be_bytes());
        packet.extend(jitter.to_be_bytes());
        packet.extend(time);
        packet.extend(delay.to_be_bytes());
        // Compound packets have a description (RFC 3550 section 6.1).
        packet
            .extend([0x81, 202, 0, 3, 0x11, 0x22, 0x33, 0x44, 1, 4, b't', b'e', b's', b't', 0, 0]);
        self.rtcp.send_to(&packet, server)?;
        Ok(())
    }
}

#[test]
fn the_numbers_of_a_session_are_those_of_its_viewer_over_udp() -> Result<()> {
    let observed = Observed::start(15, &[])?;
    let mut viewer = UdpViewer::set_up(&observed)?;
    let ready = observed.session("ready", |it| it["state"] == "ready");
    assert_eq!((&ready["transport"], &ready["mount"]), (&json!("udp"), &json!("movie.mjpeg")));
    let play = format!("PLAY {}/", observed.url());
    let agent = format!("{}User-Agent: by hand\r\n", viewer.session);
    assert_eq!(viewer.client.request(&play, &agent)?.status, 200);
    let got = viewer.receive()?;
    let sequence = got.last.wrapping_sub(got.first.context("no packet")?);
    assert_eq!((got.frames, u64::from(sequence) + 1), (15, got.packets));
    viewer.report(&got, 2, 900)?;
    let session = observed.session("reported", |it| !it["receiver"].is_null());
    let numbers = ["frames", "packets", "bytes", "frame"].map(|name| session[name].as_u64());
    assert_eq!(numbers, [Some(15), Some(got.packets), Some(got.bytes), Some(14)]);
    assert_eq!((&session["state"], &session["agent"]), (&json!("ready"), &json!("by hand")));
    let receiver = &session["receiver"];
    assert_eq!(
        [&receiver["lost"], &receiver["fraction_lost"], &receiver["jitter_ms"]],
        [&json!(2), &json!(0.25), &json!(10.0)]
    );
    let round_trip = receiver["round_trip_ms"].as_f64().context("no round trip")?;
    assert!(round_trip < 5000.0, "{round_trip}");
    // Copies are no negative loss.
    viewer.report(&got, -3, 900)?;
    observed.session("copies", |it| it["receiver"]["lost"] == 0);
    let class = "{dialect=\"rtsp\",transport=\"udp\"}";
    let packets = f64::from(u32::try_from(got.packets)?);
    for _ in 0..2 {
        observed.wait_for_metric(&format!("mjpeg_rtsp_packets_total{class}"), packets);
        observed.wait_for_metric(&format!("mjpeg_rtsp_frames_total{class}"), 15.0);
        observed.wait_for_metric(&format!("mjpeg_rtsp_receiver_lost_packets_total{class}"), 2.0);
        observed.wait_for_metric("mjpeg_rtsp_first_packet_seconds_count", 1.0);
        observed.wait_for_metric("mjpeg_rtsp_receiver_round_trip_seconds_count", 2.0);
        observed.wait_for_metric("mjpeg_rtsp_frame_lateness_seconds_count", 15.0);
        // The same after the end.
        let teardown = format!("TEARDOWN {}/", observed.url());
        viewer.client.request(&teardown, &viewer.session)?;
    }
    observed.wait_for_metric(&format!("mjpeg_rtsp_sessions{class}"), 0.0);
    observed.server.wait_for_log("lost=0", LIMIT);
    Ok(())
}

/// ffmpeg 5.1 reports nothing over TCP.
#[test]
fn the_loss_that_a_player_reports_over_tcp_is_counted() -> Result<()> {
    let observed = Observed::start(160, &[])?;
    let server = observed.server.address()?.parse()?;
    let relay = Relay::start(server, |number| match number {
        20 | 21 | 30 => Fate::IsDropped,
        _ => Fate::Passes,
    })?;
    let url = format!("rtsp://{}/movie.mjpeg", relay.address());
    let lost = "mjpeg_rtsp_receiver_lost_packets_total{dialect=\"rtsp\",transport=\"tcp\"}";
    let (_, summary, stderr) = headless(&["--transport", "tcp", &url])?;
    assert_eq!(summary["lost"], 3, "{stderr}");
    observed.wait_for_metric(lost, 3.0);
    assert!(observed.metric("mjpeg_rtsp_receiver_reports_total")?.is_some_and(|it| it > 0.0));
    Ok(())
}

#[test]
fn no_negative_loss_is_shown() -> Result<()> {
    let observed = Observed::start(104, &[])?;
    let (code, summary, stderr) = headless(&["--transport", "tcp", observed.url()])?;
    assert_eq!((code, &summary["lost"]), (Some(0), &json!(0)), "{stderr}");
    observed.server.wait_for_log("session ended", LIMIT);
    let log = observed.server.log()?;
    let line = log.lines().find(|line| line.contains("session ended")).context("no line")?;
    assert!(line.contains("frames=104") && line.contains("lost=0"), "{line}");
    Ok(())
}

/// The texts of the lines of a message.
fn lines(data: &Value) -> Vec<&str> {
    let lines = data["lines"].as_array().unwrap();
    lines.iter().map(|line| line["text"].as_str().unwrap()).collect()
}

#[test]
fn the_exchange_of_a_player_is_seen_without_its_session() -> Result<()> {
    let observed = Observed::start(10, &[])?;
    let mut events = Events::follow(&observed, "?dialect=rtsp")?;
    let mut client = RtspClient::connect(observed.server.address()?)?;
    let session = client.play(observed.url(), "tcp")?;
    let secret = session.trim().strip_prefix("Session: ").context("no session")?;
    client.receive_until_bye(Instant::now() + LIMIT)?;
    client.request(&format!("TEARDOWN {}/", observed.url()), &session)?;
    let mut got = Vec::new();
    let (mut packets, mut frames) = (0, 0);
    loop {
        let (name, data) = events.next()?;
        assert!(!data.to_string().contains(secret), "{data}");
        assert_eq!(data["session"], "1", "{data}");
        let state = data["state"].as_str().unwrap_or_default();
        let summary = data["summary"].as_str().unwrap_or_default();
        match name.as_str() {
            "packets" => {
                packets += data["packets"].as_u64().unwrap();
                frames += data["frames"].as_u64().unwrap();
                let [from, to] =
                    ["from_sequence", "to_sequence"].map(|it| data[it].as_u64().unwrap());
                assert_eq!(to - from + 1, data["packets"].as_u64().unwrap(), "{data}");
            }
            "request" | "reply" => {
                let explained = data["lines"].as_array().unwrap().iter();
                for line in explained {
                    assert!(!line["explanation"].is_null(), "{line}");
                }
                let method = summary.split(' ').next().unwrap_or_default();
                got.push(format!("{name} {method} {state}"));
                if summary.starts_with("SETUP") {
                    assert!(lines(&data).contains(&"CSeq: 2"), "{data}");
                }
            }
            _ => got.push(format!("{name} {state}")),
        }
        if name == "end" {
            assert_eq!(data["reason"], "TEARDOWN");
            break;
        }
    }
    let want = [
        "session ",
        "request DESCRIBE init",
        "reply 200 init",
        "request SETUP init",
        "reply 200 ready",
        "request PLAY ready",
        "reply 200 playing",
        "rtp ",
        "state ready",
        "request TEARDOWN ready",
        "reply 200 init",
        "end ",
    ];
    assert_eq!(got, want);
    // Those of the last 250 ms may be missing, since the session has ended.
    assert!(packets > 0 && frames <= 10, "{packets} {frames}");
    Ok(())
}

#[test]
fn the_exchange_of_a_lab_client_is_explained() -> Result<()> {
    let observed = Observed::start(200, &[])?;
    let mut events = Events::follow(&observed, "?dialect=lab")?;
    let client = LabClient::connect(&observed.server)?;
    let port = client.port()?;
    let setup =
        format!("SETUP movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}");
    let mut client = client;
    let reply = client.request(&setup)?;
    assert!(reply.starts_with("RTSP/1.0 200 OK"), "{reply}");
    events.next_of("session")?;
    let data = events.next_of("request")?;
    assert_eq!(data["summary"], "SETUP movie.mjpeg");
    assert_eq!(data["lines"][0]["explanation"], "open movie.mjpeg: INIT to READY");
    let data = events.next_of("reply")?;
    assert_eq!((&data["summary"], &data["state"]), (&json!("200 OK"), &json!("ready")));
    let session = reply.split("Session: ").nth(1).context("no session")?.trim().to_owned();
    client.request(&format!("PLAY movie.mjpeg RTSP/1.0\nCSeq: 2\nSession: {session}"))?;
    client.packet()?;
    let data = events.next_of("rtp")?;
    assert_eq!(data["fields"][5]["value"], "26");
    let data = events.next_of("packets")?;
    assert!(data["frames"].as_u64().is_some_and(|frames| frames > 0), "{data}");
    let id = data["session"].as_str().context("no session")?.to_owned();
    // An operator closes the session.
    assert_eq!(observed.ask("POST", &format!("/api/v1/sessions/{id}/close"))?.0, 204);
    assert_eq!(events.next_of("end")?["reason"], "closed by an operator");
    assert_eq!(observed.sessions()?, [Value::Null; 0]);
    assert_eq!(observed.ask("POST", &format!("/api/v1/sessions/{id}/close"))?.0, 404);
    let gone = client.request(&format!("PAUSE movie.mjpeg RTSP/1.0\nCSeq: 3\nSession: {session}"));
    assert!(gone.is_err() || gone.is_ok_and(|reply| reply.is_empty()));
    Ok(())
}

#[test]
fn a_closed_session_gets_bye_and_then_454() -> Result<()> {
    for options in [&[][..], &["--live"][..]] {
        let observed = Observed::start(100, options)?;
        let play = || -> Result<(RtspClient, String)> {
            let mut client = RtspClient::connect(observed.server.address()?)?;
            let session = client.play(observed.url(), "tcp")?;
            client.receive_packets(3)?;
            Ok((client, session))
        };
        let (mut client, session) = play()?;
        let (mut other, _) = play()?;
        let list = observed.sessions()?;
        assert_eq!(list.len(), 2, "{list:?}");
        let id = list[0]["id"].as_str().context("no id")?;
        assert_eq!(observed.ask("POST", &format!("/api/v1/sessions/{id}/close"))?.0, 204);
        client.receive_until_bye(Instant::now() + LIMIT)?;
        let reply = client.request(&format!("PAUSE {}/", observed.url()), &session)?;
        assert_eq!(reply.status, 454);
        // The other viewer goes on.
        other.receive_packets(20)?;
        assert!(!other.bye, "{options:?}");
        observed.server.wait_for_log("session ended: closed by an operator", LIMIT);
    }
    Ok(())
}

#[test]
fn a_stream_in_a_browser_is_a_session() -> Result<()> {
    let observed = Observed::start(200, &[])?;
    let mut stream = TcpStream::connect(&observed.http)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let host = &observed.http;
    let head = format!("Host: {host}\r\nUser-Agent: browser\r\n\r\n");
    write!(stream, "GET /mounts/movie.mjpeg/stream.mjpeg HTTP/1.1\r\n{head}")?;
    let session = observed.session("frames", |it| it["frames"].as_u64() > Some(2));
    let texts = ["dialect", "transport", "mount", "state", "agent"].map(|it| session[it].as_str());
    let want = ["http", "http", "movie.mjpeg", "playing", "browser"].map(Some);
    assert_eq!(texts, want);
    let id = session["id"].as_str().context("no id")?;
    assert_eq!(observed.ask("POST", &format!("/api/v1/sessions/{id}/close"))?.0, 204);
    stream.read_to_end(&mut Vec::new())?;
    let frames = "mjpeg_rtsp_frames_total{dialect=\"http\",transport=\"http\"}";
    assert!(observed.metric(frames)?.is_some_and(|frames| frames > 2.0));
    Ok(())
}

/// Requests that no server should have to read; the exchange shows them, and the server goes on.
#[test]
fn strange_requests_are_shown() -> Result<()> {
    let observed = Observed::start(10, &[])?;
    let mut events = Events::follow(&observed, "")?;
    let password = "Authorization: Basic c2VjcmV0OnNlY3JldA==";
    let rows = [
        format!("OPTIONS rtsp://secret:secret@h/ RTSP/1.0\r\nCSeq: 1\r\n{password}\r\n\r\n"),
        format!("FLY * RTSP/1.0\r\nCSeq: 2\r\n{password}\r\n\r\n"),
        format!("PLAY * RTSP/1.0\r\n{password}\r\nno colon\r\n\r\n"),
        format!(
            "GET_PARAMETER * RTSP/1.0\r\nCSeq: 9\r\nContent-Length: 6000\r\n\r\n{}",
            "\u{1b}[2J".repeat(1500)
        ),
    ];
    let want = ["200 OK", "501 Not Implemented", "400 Bad Request", "451 Parameter Not Understood"];
    for (text, want) in rows.iter().zip(want) {
        let mut client = RtspClient::connect(observed.server.address()?)?;
        client.send(text)?;
        client.receive_reply()?;
        let request = events.next_of("request")?;
        let reply = events.next_of("reply")?;
        assert_eq!(reply["summary"], want, "{text}");
        let shown = lines(&request).join("\n");
        assert!(!shown.contains("secret") && !shown.contains("c2Vj"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        drop(client);
        events.next_of("end")?;
    }
    Ok(())
}

#[test]
fn times_are_those_of_the_clock() -> Result<()> {
    let observed = Observed::start(10, &[])?;
    let client = RtspClient::connect(observed.server.address()?)?;
    let mut client = client;
    client.request("OPTIONS *", "")?;
    let session = observed.session("there", |_| true);
    let started = session["started"].as_str().context("no time")?;
    let date = run(Command::new("date").args(["+%s", "-d", started]), LIMIT)?;
    let started: u64 = String::from_utf8(date.stdout)?.trim().parse()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    assert!(now - started < 40, "{started} {now}");
    Ok(())
}
