// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people see of a running server over HTTP: sessions, the exchange, metrics. Numbers are compared with
//! those of the viewers.

use crate::lab_server::LabClient;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_tests::movies::Folder;
use mjpeg_rtsp_tests::peer::rtp_receiver::RtpReceiver;
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Server, run, serve};
use mjpeg_rtsp_tests::wait_until;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No wait is longer.
const LIMIT: Duration = Duration::from_secs(40);

/// A server that people can see.
pub(crate) struct Observed {
    pub(crate) server: Server,
    pub(crate) http: String,
    _folder: Folder,
}

impl Observed {
    /// Serves `movie.mjpeg` with this many frames.
    pub(crate) fn start(frames: u32, options: &[&str]) -> Result<Self> {
        let options = [&["--http", "0"], options].concat();
        let (folder, server) = serve(frames, &options)?;
        Self::new(folder, server)
    }

    /// A server of the movies in a folder that was started with `--http 0`.
    pub(crate) fn new(folder: Folder, server: Server) -> Result<Self> {
        server.wait_for_log("serving HTTP address=", LIMIT);
        let log = server.log()?;
        let address = log.split("serving HTTP address=").nth(1).context("no address")?;
        let http = address.split_whitespace().next().context("no address")?.to_owned();
        Ok(Self { server, http, _folder: folder })
    }

    pub(crate) fn url(&self) -> &str {
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

    /// The status of the reply to a request whose body is not text, and the length of the reply.
    fn ask_bytes(&self, request: &str) -> Result<(u16, usize)> {
        let mut stream = TcpStream::connect(&self.http)?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(stream, "{request} HTTP/1.0\r\nHost: {}\r\n\r\n", self.http)?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        let head = String::from_utf8_lossy(reply.get(..12).context("no head")?).into_owned();
        Ok((head.split(' ').nth(1).context("no status")?.parse()?, reply.len()))
    }

    fn sessions(&self) -> Result<Vec<Value>> {
        let (status, body) = self.ask("GET", "/api/v1/sessions")?;
        ensure!(status == 200, "{status} {body}");
        let mut list: Value = serde_json::from_str(&body)?;
        Ok(serde_json::from_value(list["sessions"].take())?)
    }

    /// The only session, once a condition is true for it.
    pub(crate) fn session(&self, what: &str, ready: impl Fn(&Value) -> bool) -> Value {
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
    pub(crate) fn metric(&self, sample: &str) -> Result<Option<f64>> {
        let (status, body) = self.ask("GET", "/metrics")?;
        ensure!(status == 200, "{status} {body}");
        let line = body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?)
    }

    pub(crate) fn wait_for_metric(&self, sample: &str, want: f64) {
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

/// However a session ends, the events about its packets add up to what it has sent.
#[test]
fn the_packets_of_each_session_are_reported_to_its_end() -> Result<()> {
    let observed = Observed::start(60, &[])?;
    let mut events = Events::follow(&observed, "")?;
    let address = observed.server.address()?;
    // The connection is closed in the middle of the play.
    let mut client = RtspClient::connect(address)?;
    client.play(observed.url(), "tcp")?;
    client.receive_packets(9)?;
    drop(client);
    // TEARDOWN in the middle, over UDP.
    let mut receiver = RtpReceiver::new(|_| 1)?;
    let mut client = RtspClient::connect(address)?;
    let session = client.play(observed.url(), &receiver.transport()?)?;
    receiver.receive_until(|it| it.frames >= 7)?;
    client.request(&format!("TEARDOWN {}/", observed.url()), &session)?;
    // An operator ends it.
    let mut client = RtspClient::connect(address)?;
    client.play(observed.url(), "tcp")?;
    client.receive_packets(9)?;
    let session = observed.session("the third one", |it| it["id"] == "3");
    let close = format!("/api/v1/sessions/{}/close", session["id"].as_str().context("no id")?);
    assert_eq!(observed.ask("POST", &close)?.0, 204);
    // The lab: to the end of the movie's half, then another one, as a second SETUP is.
    let mut client = LabClient::connect(&observed.server)?;
    for number in [1, 3] {
        let port = client.port()?;
        let setup = format!(
            "SETUP movie.mjpeg RTSP/1.0\nCSeq: {number}\nTransport: RTP/UDP; client_port= {port}"
        );
        let reply = client.request(&setup)?;
        let session = reply.split("Session: ").nth(1).context("no session")?.trim().to_owned();
        let play = format!("PLAY movie.mjpeg RTSP/1.0\nCSeq: {}\nSession: {session}", number + 1);
        client.request(&play)?;
        client.packet()?;
        client.packet()?;
        let teardown = format!("TEARDOWN movie.mjpeg RTSP/1.0\nCSeq: 5\nSession: {session}");
        client.request(&teardown)?;
    }
    drop(client);
    // A stream over HTTP to its end.
    let path = "GET /mounts/movie.mjpeg/stream.mjpeg?start=frame:50";
    let (status, _) = observed.ask_bytes(path)?;
    assert_eq!(status, 200);
    let mut sums: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    let mut classes = BTreeMap::new();
    let mut ended = 0;
    while ended < 5 {
        let (name, data) = events.next()?;
        let id = data["session"].as_str().context("no session")?.to_owned();
        match name.as_str() {
            "session" => {
                let dialect = data["dialect"].as_str().context("no dialect")?;
                let transport = match (dialect, id.as_str()) {
                    ("http", _) => "http",
                    ("lab", _) | (_, "2") => "udp",
                    _ => "tcp",
                };
                classes.insert(id, (dialect.to_owned(), transport));
            }
            "packets" => {
                let sum = sums.entry(id).or_default();
                for (sum, name) in sum.iter_mut().zip(["frames", "packets", "bytes"]) {
                    *sum += data[name].as_u64().context("no number")?;
                }
            }
            "end" => ended += 1,
            _ => {}
        }
    }
    assert_eq!(classes.len(), 5, "{classes:?}");
    let mut by_class: BTreeMap<_, [u64; 3]> = BTreeMap::new();
    for (id, class) in &classes {
        let sum = sums.get(id).with_context(|| format!("session {id} has sent nothing"))?;
        let total = by_class.entry(class).or_default();
        total.iter_mut().zip(sum).for_each(|(total, number)| *total += number);
    }
    for ((dialect, transport), sum) in by_class {
        let labels = format!("{{dialect=\"{dialect}\",transport=\"{transport}\"}}");
        for (number, name) in sum.into_iter().zip(["frames", "packets", "bytes"]) {
            let sample = format!("mjpeg_rtsp_{name}_total{labels}");
            let want = f64::from(u32::try_from(number)?);
            assert_eq!(observed.metric(&sample)?, Some(want), "{sample}");
        }
    }
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
    let (mut packets, mut frames) = (0_u32, 0);
    loop {
        let (name, data) = events.next()?;
        assert!(!data.to_string().contains(secret), "{data}");
        assert_eq!(data["session"], "1", "{data}");
        let state = data["state"].as_str().unwrap_or_default();
        let summary = data["summary"].as_str().unwrap_or_default();
        match name.as_str() {
            "packets" => {
                packets += u32::try_from(data["packets"].as_u64().unwrap())?;
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
        // What the lab asks for is wrong here.
        let text = data.to_string().to_lowercase();
        assert!(!text.contains("lab") && !text.contains("textbook"), "{data}");
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
    // All that the session has sent.
    assert_eq!(frames, 10);
    let sent = "mjpeg_rtsp_packets_total{dialect=\"rtsp\",transport=\"tcp\"}";
    assert_eq!(observed.metric(sent)?, Some(f64::from(packets)));
    let log = format!("frames=10 packets={packets}\n");
    observed.server.wait_for_log(&log, LIMIT);
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
fn a_session_that_is_closed_while_play_is_answered_gets_bye_or_454() -> Result<()> {
    for options in [&[][..], &["--live"][..]] {
        let observed = Observed::start(100, options)?;
        let mut refused = 0;
        for round in 0..150_u64 {
            let mut client = RtspClient::connect(observed.server.address()?)?;
            let session = client.set_up(observed.url(), "tcp")?;
            let list = observed.sessions()?;
            let own = list.iter().find(|it| it["user"].is_null() && it["state"] == "ready");
            let id = own.context("no session")?["id"].as_str().context("no id")?.to_owned();
            std::thread::scope(|scope| -> Result<()> {
                let close = || observed.ask("POST", &format!("/api/v1/sessions/{id}/close"));
                let closed = scope.spawn(close);
                // Before, during and after the other request.
                std::thread::sleep(Duration::from_micros(round % 50 * 40));
                let reply = client.request(&format!("PLAY {}/", observed.url()), &session)?;
                match reply.status {
                    200 => client.receive_until_bye(Instant::now() + Duration::from_secs(10))?,
                    status => {
                        assert_eq!(status, 454, "round {round}");
                        refused += 1;
                    }
                }
                assert_eq!(closed.join().expect("a reply")?.0, 204, "round {round}");
                Ok(())
            })
            .with_context(|| format!("{options:?}, round {round}, {refused} refused"))?;
        }
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
