// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many lab sessions at once: what a frame costs the server beside one bare `sendto` of the same
//! bytes, how evenly frames come, and how many threads there are.

use crate::viewers::cpu_time;
use anyhow::{Context, Result, ensure};
use gstmjpegfile::rtp::RtpHeader;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::programs::Server;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(10);
const BARE: u32 = 50_000;

pub fn run() -> Result<()> {
    let folder = Folder::new()?;
    let whole = Picture::made(384 + 100, 288);
    let image = |shift| cjpeg(&whole.part(shift, 384), &["-sample", "1x1", "-quality", "80"]);
    let images: Vec<Vec<u8>> = (0..100).map(image).collect::<Result<_>>()?;
    let bytes = images.iter().map(Vec::len).sum::<usize>() / images.len();
    let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
    let bare = bare_sendto(bytes)?;
    println!("\nlab sessions of 20 frames a second, {bytes} bytes a frame, {} s\n", TIME.as_secs());
    println!("one bare sendto of a frame: {:.1} µs\n", bare.as_secs_f64() * 1e6);
    println!(
        "| sessions | CPU a frame | beside sendto (times) | gap off 50 ms, 99th percentile | frames lost | server's threads |"
    );
    println!("|---|---|---|---|---|---|");
    for sessions in [1, 100, 500] {
        let options =
            ["--loop".to_owned(), "--log".into(), "warn".into(), movie.display().to_string()];
        let mut server = Server::start(options, 1)?;
        let rtp = UdpSocket::bind("127.0.0.1:0")?;
        let clients: Vec<TcpStream> = (0..sessions)
            .map(|_| start(&server, rtp.local_addr()?.port()))
            .collect::<Result<_>>()?;
        let id = server.process().id();
        let before = cpu_time(id)?;
        let seen = receive(&rtp)?;
        let cpu = cpu_time(id)? - before;
        let threads = server.threads()?;
        drop(clients);
        ensure!(seen.sources == sessions, "{} of {sessions} sessions", seen.sources);
        let frame = cpu / f64::from(seen.sent);
        println!(
            "| {sessions} | {:.1} µs | {:.2} | {:.2} ms | {} of {} | {threads} |",
            frame * 1e6,
            frame / bare.as_secs_f64(),
            seen.off * 1000.0,
            seen.sent - seen.received,
            seen.sent,
        );
        server.is_well()?;
    }
    Ok(())
}

/// The time that sending takes, one datagram after another.
fn bare_sendto(bytes: usize) -> Result<Duration> {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let (frame, address) = (vec![0; bytes + 12], to.local_addr()?);
    let begin = Instant::now();
    for _ in 0..BARE {
        from.send_to(&frame, address)?;
    }
    Ok(begin.elapsed() / BARE)
}

/// A session that plays; the blank lines make the server answer at once.
fn start(server: &Server, port: u16) -> Result<TcpStream> {
    let mut client = TcpStream::connect(server.address()?)?;
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let setup =
        format!("SETUP movie.mjpeg RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= {port}\n\n");
    for request in [setup, "PLAY movie.mjpeg RTSP/1.0\nCSeq: 2\n\n".to_owned()] {
        client.write_all(request.as_bytes())?;
        let mut reply = [0; 256];
        let have = client.read(&mut reply)?;
        ensure!(
            reply[..have].starts_with(b"RTSP/1.0 200"),
            "{:?}",
            String::from_utf8_lossy(&reply[..have])
        );
    }
    Ok(client)
}

struct Seen {
    sources: usize,
    /// By the sequence numbers.
    sent: u32,
    received: u32,
    /// How far gaps between a session's frames are off 50 ms, in seconds, at the 99th percentile.
    off: f64,
}

fn receive(rtp: &UdpSocket) -> Result<Seen> {
    rtp.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut last: HashMap<SocketAddr, (u16, Instant)> = HashMap::new();
    let (mut sent, mut received, mut gaps) = (0, 0, Vec::new());
    let mut bytes = vec![0; 65_536];
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        let (have, from) = rtp.recv_from(&mut bytes)?;
        let now = Instant::now();
        let number = RtpHeader::parse(&bytes[..have])?.0.sequence_number;
        received += 1;
        sent += 1;
        if let Some((before, when)) = last.insert(from, (number, now)) {
            let frames = number.wrapping_sub(before);
            sent += u32::from(frames.saturating_sub(1));
            if frames == 1 {
                gaps.push((now.duration_since(when).as_secs_f64() - 0.05).abs());
            }
        }
    }
    gaps.sort_unstable_by(f64::total_cmp);
    let off = *gaps.get(gaps.len() * 99 / 100).context("no gaps")?;
    Ok(Seen { sources: last.len(), sent, received, off })
}
