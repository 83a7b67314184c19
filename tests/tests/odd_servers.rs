// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our client against servers that do what rtspsrc does not expect, in the middle of a play.

use anyhow::{Context, Result, ensure};
use gstmjpegfile::jpeg::check;
use gstmjpegfile::rtp::{JpegPayloads, RtpHeader, Timestamp};
use mjpeg_rtsp_tests::movies;
use mjpeg_rtsp_tests::peer::rtsp_server::{RtspRequest, RtspServer, SDP};
use mjpeg_rtsp_tests::programs::{Guard, headless, normalized, program};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);

/// The time of a frame.
const PERIOD: Duration = Duration::from_millis(50);

/// The RTP packets of a frame. `number` is the sequence number of the first one, and becomes that of
/// the next frame.
pub(crate) fn packets(
    image: &[u8],
    ssrc: u32,
    number: &mut u16,
    ticks: u32,
) -> Result<Vec<Vec<u8>>> {
    let image = check(image).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let payloads = JpegPayloads::new(&image, 1400);
    let last = payloads.iter().len() - 1;
    let packets = payloads.iter().enumerate().map(|(at, payload)| {
        let header = RtpHeader::jpeg(*number, Timestamp::from_ticks(ticks), ssrc, at == last);
        *number = number.wrapping_add(1);
        [&header.to_bytes()[..], payload].concat()
    });
    Ok(packets.collect())
}

/// RTCP that ends a stream: an empty receiver report and BYE.
pub(crate) fn bye(ssrc: u32) -> Vec<u8> {
    let ssrc = ssrc.to_be_bytes();
    [&[0x80, 201, 0, 1][..], &ssrc, &[0x81, 203, 0, 1], &ssrc].concat()
}

/// Sends packets of channel 0, RTP, or 1, RTCP, to a client.
pub(crate) type Send = Box<dyn FnMut(u8, &[u8]) -> Result<()> + std::marker::Send>;

/// Serves one movie over TCP and UDP; `play` sends it.
fn start(
    play: impl Fn(Send) -> Result<()> + std::marker::Send + Sync + 'static,
) -> Result<RtspServer> {
    start_with(|_, _| Ok(()), play)
}

/// The same; `before` is called before each reply.
fn start_with(
    before: impl Fn(&RtspRequest, &mut TcpStream) -> std::io::Result<()>
    + std::marker::Send
    + Sync
    + 'static,
    play: impl Fn(Send) -> Result<()> + std::marker::Send + Sync + 'static,
) -> Result<RtspServer> {
    let (port, play) = (AtomicU16::new(0), Arc::new(play));
    RtspServer::start(move |request: &RtspRequest, stream: &mut TcpStream| {
        before(request, stream)?;
        let ports = request.text.split("client_port=").nth(1);
        let client_port = ports.and_then(|ports| ports.split('-').next()?.parse().ok());
        if let Some(client_port) = client_port {
            port.store(client_port, Ordering::SeqCst);
            let transport = format!(
                "Session: 1\r\nTransport: RTP/AVP;unicast;client_port={client_port}-{};\
                 server_port=6970-6971\r\n",
                client_port + 1
            );
            return stream.write_all(&request.reply("200 OK", &transport, ""));
        }
        stream.write_all(&request.answer())?;
        if request.method == "PLAY" {
            let send = match port.load(Ordering::SeqCst) {
                0 => interleaved(stream.try_clone()?),
                port => over_udp(stream.peer_addr()?, port)?,
            };
            let play = play.clone();
            std::thread::spawn(move || play(send));
        }
        Ok(())
    })
}

pub(crate) fn interleaved(mut stream: TcpStream) -> Send {
    Box::new(move |channel, packet| {
        let [high, low] = u16::try_from(packet.len())?.to_be_bytes();
        Ok(stream.write_all(&[&[b'$', channel, high, low], packet].concat())?)
    })
}

pub(crate) fn over_udp(client: SocketAddr, port: u16) -> std::io::Result<Send> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    Ok(Box::new(move |channel, packet| {
        let to = SocketAddr::new(client.ip(), port + u16::from(channel));
        socket.send_to(packet, to)?;
        Ok(())
    }))
}

#[test]
fn a_movie_whose_sender_changes_its_ssrc_is_played_to_its_end() -> Result<()> {
    const FRAMES: u32 = 60;
    let images = movies::images(FRAMES, "I420")?;
    for transport in ["tcp", "udp"] {
        let images = images.clone();
        let server = start(move |mut send| {
            let mut number = 1000;
            for (at, image) in (0..).zip(&images) {
                // Twice, with new sequence numbers and timestamps each time.
                let ssrc = 7 + at / 20;
                number = if at % 20 == 0 { number + 20_000 } else { number };
                let ticks = at * 4500 + (at / 20) * 1_000_000_000;
                for packet in packets(image, ssrc, &mut number, ticks)? {
                    send(0, &packet)?;
                }
                if at > 20 {
                    // A late packet of the first SSRC.
                    send(0, &packets(image, 7, &mut 1, 0)?[0])?;
                }
                mjpeg_rtsp_tests::pace(PERIOD);
            }
            send(1, &bye(7))?;
            send(1, &bye(9))
        })?;
        let url = format!("rtsp://{}/movie.mjpeg", server.address());
        let (code, summary, stderr) =
            headless(&["--timeout", "5", "--transport", transport, &url])?;
        assert_eq!((code, &stderr[..]), (Some(0), ""), "{transport}");
        // A frame is lost at each change, and the jitter buffer may lose one more.
        let frames = summary["frames"].as_u64().context("frames")?;
        assert!(frames >= u64::from(FRAMES) - 6, "{transport}: {summary} {stderr}");
    }
    Ok(())
}

#[test]
fn lost_late_and_repeated_packets_are_counted_exactly() -> Result<()> {
    const FRAMES: u32 = 300;
    let images = vec![movies::images(20, "I420")?; 15].concat();
    let sent = Arc::new(Mutex::new((0, 0, 0, 0)));
    let counts = sent.clone();
    let server = start(move |mut send| {
        let mut number = 65_000;
        let mut delayed: Option<Vec<u8>> = None;
        let mut at_packet = 0_u32;
        for (at, image) in (0..).zip(&images) {
            for packet in packets(image, 7, &mut number, at * 4500)? {
                at_packet += 1;
                let mut counts = counts.lock().expect("no panic");
                let (received, lost, repeated, late) = &mut *counts;
                // The first and the last packets arrive: what was sent before and after is unknown.
                match at_packet % 100 {
                    _ if !(2..FRAMES - 2).contains(&at) => *received += 1,
                    7 | 10 | 29 | 55 | 83 => {
                        *lost += 1;
                        continue;
                    }
                    41 => {
                        delayed = Some(packet);
                        continue;
                    }
                    60 => {
                        send(0, &packet)?;
                        *received += 1;
                        *repeated += 1;
                    }
                    _ => *received += 1,
                }
                send(0, &packet)?;
                if let Some(delayed) = delayed.take() {
                    send(0, &delayed)?;
                    *received += 1;
                    *late += 1;
                }
            }
            mjpeg_rtsp_tests::pace(Duration::from_millis(10));
        }
        send(1, &bye(7))
    })?;
    let url = format!("rtsp://{}/movie.mjpeg", server.address());
    let folder = movies::Folder::new()?;
    let csv = folder.path().join("frames.csv");
    let csv = csv.to_str().context("a plain path")?;
    let (_, summary, _) =
        headless(&["--timeout", "5", "--transport", "udp", "--frames-csv", csv, &url])?;
    let (received, lost, repeated, late) = *sent.lock().expect("no panic");
    assert!(lost > 20 && repeated > 4 && late > 4, "{lost} {repeated} {late}");
    let got = ["received", "lost", "repeated", "late"].map(|name| summary[name].as_u64());
    assert_eq!(got, [received, lost, repeated, late].map(Some), "{summary}");
    // A frame is missing only if all its packets are.
    let text = std::fs::read_to_string(csv)?;
    let timestamps: std::collections::BTreeSet<u64> =
        text.lines().skip(1).filter_map(|line| line.split(',').nth(5)?.parse().ok()).collect();
    assert_eq!(timestamps.len() as u64, u64::from(FRAMES), "{text}");
    Ok(())
}

#[test]
fn interleaved_packets_of_no_use_are_passed_over() -> Result<()> {
    const FRAMES: u32 = 40;
    let images = movies::images(FRAMES, "I420")?;
    let server = start(move |mut send| {
        let mut number = 1;
        for (at, image) in (0..).zip(&images) {
            for packet in packets(image, 7, &mut number, at * 4500)? {
                send(0, &packet)?;
            }
            // Empty, a single byte, and on a channel that was not set up.
            for (channel, packet) in [(0, &[][..]), (1, &[]), (0, &[0x80]), (1, &[0x80]), (9, &[])]
            {
                send(channel, packet)?;
            }
            mjpeg_rtsp_tests::pace(PERIOD);
        }
        send(1, &bye(7))
    })?;
    let url = format!("rtsp://{}/movie.mjpeg", server.address());
    let (code, summary, stderr) = headless(&["--timeout", "5", "--transport", "tcp", &url])?;
    assert_eq!((code, &stderr[..]), (Some(0), ""));
    assert_eq!(summary["frames"], FRAMES, "{summary}");
    Ok(())
}

/// A server that sends interim replies is played after one more connection.
#[test]
fn a_movie_after_interim_replies_is_played_to_its_end() -> Result<()> {
    const FRAMES: u32 = 40;
    let images = movies::images(FRAMES, "I420")?;
    for before in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "each"] {
        for transport in ["tcp", "udp"] {
            let images = images.clone();
            let server = start_with(
                move |request, stream| {
                    // In pieces, and twice.
                    if request.method == before || before == "each" {
                        let reply = request.reply("100 Continue", "", "");
                        let (one, two) = reply.split_at(20);
                        for part in [&reply, one, two] {
                            stream.write_all(part)?;
                            mjpeg_rtsp_tests::pace(Duration::from_millis(20));
                        }
                    }
                    Ok(())
                },
                move |mut send| {
                    let mut number = 1;
                    for (at, image) in (0..).zip(&images) {
                        for packet in packets(image, 7, &mut number, at * 4500)? {
                            send(0, &packet)?;
                        }
                        mjpeg_rtsp_tests::pace(PERIOD);
                    }
                    send(1, &bye(7))
                },
            )?;
            let url = format!("rtsp://{}/movie.mjpeg", server.address());
            let (code, summary, stderr) =
                headless(&["--timeout", "5", "--transport", transport, &url])?;
            let want = "WARN the server sends an interim reply before its reply, which GStreamer's \
                        rtspsrc does not expect: connecting again\n";
            assert_eq!((code, normalized(&stderr, &[]).trim_start()), (Some(0), want), "{before}");
            assert_eq!(summary["frames"], FRAMES, "{before}, {transport}: {summary}");
            let opened = server.methods().iter().filter(|it| *it == "DESCRIBE").count();
            assert_eq!(
                opened,
                if before == "OPTIONS" || before == "each" { 1 } else { 2 },
                "{before}"
            );
        }
    }
    Ok(())
}

/// Runs our client headless to its end. Returns its exit code, its standard error, and the most memory
/// that it occupied, in MiB.
fn run_measured(arguments: &[&str]) -> Result<(Option<i32>, String, u64)> {
    let folder = tempfile::tempdir()?;
    let err = folder.path().join("err");
    let mut client = program("mjpeg-rtsp-client")?;
    client.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    client.arg("--headless").args(arguments).stdout(Stdio::null()).stderr(File::create(&err)?);
    let mut client = Guard::new(client.spawn()?);
    let end = Instant::now() + LIMIT;
    let mut peak = 0;
    let status = loop {
        if let Some(status) = client.ended()? {
            break status;
        }
        ensure!(Instant::now() < end, "still running");
        let status = std::fs::read_to_string(format!("/proc/{}/status", client.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) >> 10);
        mjpeg_rtsp_tests::pace(Duration::from_millis(20));
    };
    Ok((status.code(), std::fs::read_to_string(err)?, peak))
}

/// Sends bytes again and again until the client closes the connection: of 100 000 bytes at most 100 MB in
/// a second, so that the memory shows the client's limit also on a machine where it waits for its turn.
fn flood(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes)?;
        mjpeg_rtsp_tests::pace(Duration::from_millis(1));
    }
}

#[test]
fn what_a_server_sends_without_an_end_takes_a_limited_memory() -> Result<()> {
    // Name; the timeout; the longest memory in MiB; the message.
    let reply = "the server sends a reply without an end, or one of more than 8 MiB";
    let silent = "SERVER does not reply to DESCRIBE within 3 s: the server may be busy or slow \
                  (--timeout), or another program than an RTSP server may listen on this port";
    let frame = "the server sends a frame without an end, of more than 16 MiB";
    let rows = [
        ("body", "30", 250, reply),
        ("headers", "3", 250, silent),
        ("body while it plays", "30", 250, reply),
        ("fragments", "30", 300, frame),
    ];
    for (name, timeout, memory, message) in rows {
        let server = RtspServer::start(move |request, stream| match request.method.as_str() {
            "DESCRIBE" if name == "body" => {
                let headers = "Content-Type: application/sdp\r\nContent-Length: 2000000000\r\n";
                let head = request.reply("200 OK", headers, "");
                stream.write_all(&head)?;
                stream.write_all(SDP.as_bytes())?;
                flood(stream, "a=x:1\r\n".repeat(10_000).as_bytes())
            }
            "DESCRIBE" if name == "headers" => {
                stream.write_all(
                    format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n", request.cseq).as_bytes(),
                )?;
                flood(stream, "X-Header: 1\r\n".repeat(10_000).as_bytes())
            }
            "PLAY" if name == "body while it plays" => {
                stream.write_all(&request.answer())?;
                mjpeg_rtsp_tests::pace(Duration::from_millis(500));
                let head = request.reply("200 OK", "Content-Length: 2000000000\r\n", "");
                stream.write_all(&head)?;
                flood(stream, &vec![b'x'; 100_000])
            }
            "PLAY" => {
                stream.write_all(&request.answer())?;
                let image = movies::images(1, "I420").map_err(std::io::Error::other)?;
                let packets = packets(&image[0], 7, &mut 0, 0).map_err(std::io::Error::other)?;
                let mut send = interleaved(stream.try_clone()?);
                let middle = packets.get(1).cloned().unwrap_or_default();
                for number in 0_u32.. {
                    let mut packet = if number == 0 { packets[0].clone() } else { middle.clone() };
                    packet[1] = 26;
                    packet[2..4].copy_from_slice(&number.to_be_bytes()[2..]);
                    send(0, &packet).map_err(std::io::Error::other)?;
                }
                Ok(())
            }
            _ => stream.write_all(&request.answer()),
        })?;
        let url = format!("rtsp://{}/movie.mjpeg", server.address());
        let (code, stderr, peak) =
            run_measured(&["--timeout", timeout, "--transport", "tcp", &url])?;
        let message = message.replace("SERVER", &server.address().to_string());
        assert_eq!((code, stderr), (Some(1), format!("ERROR {url}: {message}\n")), "{name}");
        assert!(peak < memory, "{name}: {peak} MiB");
        let requests = server.methods();
        let asked = requests.iter().filter(|it| *it == "DESCRIBE").count();
        assert_eq!(asked, 1, "{name}: {requests:?}");
    }
    Ok(())
}

#[test]
fn a_reply_to_teardown_without_an_end_takes_a_limited_memory() -> Result<()> {
    let images = movies::images(4, "I420")?;
    let server = RtspServer::start(move |request, stream| match request.method.as_str() {
        "PLAY" => {
            stream.write_all(&request.answer())?;
            let (mut send, mut number) = (interleaved(stream.try_clone()?), 1);
            for (at, image) in (0..).zip(&images) {
                let packets = packets(image, 7, &mut number, at * 4500);
                for packet in packets.map_err(std::io::Error::other)? {
                    send(0, &packet).map_err(std::io::Error::other)?;
                }
            }
            Ok(())
        }
        "TEARDOWN" => {
            stream.write_all(&request.reply("200 OK", "Content-Length: 2000000000\r\n", ""))?;
            flood(stream, &vec![b'x'; 100_000])
        }
        _ => stream.write_all(&request.answer()),
    })?;
    let url = format!("rtsp://{}/movie.mjpeg", server.address());
    let (code, stderr, peak) = run_measured(&["--frames", "1", "--transport", "tcp", &url])?;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(peak < 250, "{peak} MiB");
    assert_eq!(server.methods().last().map(String::as_str), Some("TEARDOWN"));
    Ok(())
}

#[test]
fn what_a_lab_server_sends_without_an_end_takes_a_limited_memory() -> Result<()> {
    let image = movies::images(1, "I420")?.remove(0);
    // The least that is sent. The connection of an endless reply is closed after 64 KiB, during a write that is not
    // counted then.
    let rows = [
        (
            "reply",
            60_000,
            "the server sends more than 64 KiB in reply to a request: it does not speak the lab's \
             dialect",
        ),
        ("fragments", 1024 * 1024, "no new frame within 3 s"),
    ];
    for (name, least, message) in rows {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (sent, start) = (Arc::new(Mutex::new(0_u64)), image[..1000].to_vec());
        let count = sent.clone();
        std::thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                let (start, count) = (start.clone(), count.clone());
                std::thread::spawn(move || serve_lab(name, stream, peer, &start, &count));
            }
        });
        let url = format!("labrtsp://{address}/movie.Mjpeg");
        let (code, stderr, peak) = run_measured(&["--timeout", "3", &url])?;
        let sent = *sent.lock().map_err(|_| anyhow::anyhow!("panicked"))?;
        assert!(sent > least, "{name}: {sent} bytes sent: {stderr}");
        assert!(peak < 150, "{name}: {peak} MiB after {sent} bytes");
        assert_eq!((code, stderr), (Some(1), format!("ERROR {url}: {message}\n")), "{name}");
    }
    Ok(())
}

/// Answers the requests of a connection, and sends without an end.
fn serve_lab(
    name: &str,
    mut stream: TcpStream,
    peer: SocketAddr,
    start: &[u8],
    count: &Mutex<u64>,
) -> Result<()> {
    let (mut bytes, mut port) = ([0; 256], 0);
    loop {
        let have = stream.read(&mut bytes)?;
        ensure!(have > 0, "closed");
        let text = String::from_utf8_lossy(&bytes[..have]).into_owned();
        let number = |after: &str| {
            let digits = text.split(after).nth(1)?.trim_start();
            digits.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok()
        };
        port = number("client_port=").unwrap_or(port);
        let cseq = number("CSeq:").unwrap_or(0);
        write!(stream, "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 123456\r\n")?;
        let add = |bytes: usize| {
            if let Ok(mut count) = count.lock() {
                *count += bytes as u64;
            }
        };
        if name == "reply" {
            let lines = "X-Header: 1\r\n".repeat(5000);
            loop {
                stream.write_all(lines.as_bytes())?;
                add(lines.len());
            }
        }
        if text.starts_with("PLAY") {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            for number in 1_u32.. {
                // One frame, as its timestamp and missing marker say.
                let sequence_number = u16::try_from(number % 65_535 + 1)?;
                let mut header = RtpHeader::jpeg(sequence_number, Timestamp::default(), 7, false);
                header.marker = false;
                let rest = [0x55; 1000];
                let payload = if number == 1 { start } else { &rest[..] };
                socket.send_to(&[&header.to_bytes()[..], payload].concat(), (peer.ip(), port))?;
                add(1000);
                if number % 100 == 0 {
                    std::thread::yield_now();
                }
            }
        }
    }
}
