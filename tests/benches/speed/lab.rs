// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many lab sessions at once: the server's CPU time for a frame, compared with one bare `sendto` of
//! the same bytes; how evenly frames arrive; number of threads.

use anyhow::{Context, Result, ensure};
use gstmjpegfile::rtp::RtpHeader;
use mjpeg_rtsp_load::{cpu, thread_cpu};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::programs::Server;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(10);
const BARE: u32 = 50_000;
const RECEIVE_BUFFER: usize = 64 * 1024 * 1024;

pub fn run() -> Result<()> {
    let folder = Folder::new()?;
    let whole = Picture::made(384 + 100, 288);
    let image = |shift| cjpeg(&whole.part(shift, 384), &["-sample", "1x1", "-quality", "65"]);
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
        let rtp = receiver()?;
        let clients: Vec<TcpStream> = (0..sessions)
            .map(|_| start(&server, rtp.local_addr()?.port()))
            .collect::<Result<_>>()?;
        let id = server.process().id();
        let before = cpu(id)?;
        let outcome = receive(&rtp)?;
        let taken = cpu(id)?.saturating_sub(before).as_secs_f64();
        let threads = server.threads()?;
        drop(clients);
        ensure!(outcome.sources == sessions, "{} of {sessions} sessions", outcome.sources);
        let frame = taken / f64::from(outcome.sent);
        println!(
            "| {sessions} | {:.1} µs | {:.2} | {:.2} ms | {} of {} | {threads} |",
            frame * 1e6,
            frame / bare.as_secs_f64(),
            outcome.off * 1000.0,
            outcome.sent - outcome.received,
            outcome.sent,
        );
        server.is_well()?;
    }
    Ok(())
}

/// CPU time of the sending thread for one datagram after another to a socket that is read, as
/// fast as its reader takes them.
fn bare_sendto(bytes: usize) -> Result<Duration> {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0")?, receiver()?);
    let (frame, address) = (vec![0; bytes + 12], to.local_addr()?);
    let reader = std::thread::spawn(move || {
        let mut datagram = vec![0; 65_536];
        // An empty datagram ends it.
        while to.recv(&mut datagram).is_ok_and(|have| have > 0) {}
    });
    let before = thread_cpu()?;
    for _ in 0..BARE {
        from.send_to(&frame, address)?;
    }
    let taken = thread_cpu()?.saturating_sub(before);
    while !reader.is_finished() {
        from.send_to(&[], address)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(taken / BARE)
}

/// A socket with a receive buffer for the frames of a moment.
fn receiver() -> Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let any: SocketAddr = "127.0.0.1:0".parse()?;
    socket.bind(&any.into())?;
    Ok(socket.into())
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

struct Outcome {
    sources: usize,
    /// Counted by sequence numbers.
    sent: u32,
    received: u32,
    /// Difference between the gap of a session's frames and 50 ms, in seconds, 99th percentile.
    off: f64,
}

fn receive(rtp: &UdpSocket) -> Result<Outcome> {
    rtp.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut last: HashMap<SocketAddr, (u16, Instant)> = HashMap::new();
    let (mut sent, mut received, mut gaps) = (0, 0, Vec::new());
    let mut bytes = vec![0; 65_536];
    // Packets that arrived or were lost while sessions started do not count.
    rtp.set_nonblocking(true)?;
    while rtp.recv(&mut bytes).is_ok() {}
    rtp.set_nonblocking(false)?;
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
    Ok(Outcome { sources: last.len(), sent, received, off })
}
