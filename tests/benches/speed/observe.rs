// SPDX-License-Identifier: MIT OR Apache-2.0
//! What it costs that people can see the server: the time of the replies over HTTP with many sessions, and the
//! CPU time of requests and frames, beside a server without HTTP in the same run.

use crate::{ms, quiet, spread};
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_load::cpu;
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Guard, program};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

const SESSIONS: usize = 2000;
const REPLIES: usize = 50;
const ROUNDS: usize = 5;
const REQUESTS: u32 = 20_000;
const VIEWERS: u32 = 200;
const TIME: Duration = Duration::from_secs(5);

struct MeasuredServer {
    process: Guard,
    url: String,
    address: String,
}

/// A port that is free now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl MeasuredServer {
    fn start(movie: &Path, options: &[&str]) -> Result<Self> {
        let mut command = program("mjpeg-rtsp-server")?;
        command.args(["--listen", "127.0.0.1:0", "--loop", "--log", "error"]).args(options);
        let mut child = command.arg(movie).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let process = Guard::new(child);
        let mut lines = BufReader::new(out).lines();
        let url = lines.next().context("the server prints no URL")??;
        let address = url.split('/').nth(2).context("no address")?.to_owned();
        Ok(Self { process, url, address })
    }

    fn cpu(&self) -> Result<Duration> {
        cpu(self.process.id())
    }
}

/// The time of a reply, and its length.
fn get(
    stream: &mut BufReader<TcpStream>,
    http: SocketAddr,
    path: &str,
) -> Result<(Duration, usize)> {
    let start = Instant::now();
    // In one segment: the kernel would hold the second one back until the first is acknowledged.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {http}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let mut length = None;
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line)? > 0, "no reply");
        if let Some(("content-length", value)) = line.trim().to_ascii_lowercase().split_once(": ") {
            length = Some(value.parse()?);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let length = length.context("no length")?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((start.elapsed(), length))
}

pub fn run() -> Result<()> {
    quiet();
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(100, "I420")?)?)?;
    replies(&movie)?;
    requests(&movie)?;
    frames(&movie)
}

/// The time of replies while many sessions play slowly.
fn replies(movie: &Path) -> Result<()> {
    let http: SocketAddr = ([127, 0, 0, 1], free_port()?).into();
    let server = MeasuredServer::start(movie, &["--framerate", "1", "--http", &http.to_string()])?;
    let sink = UdpSocket::bind("127.0.0.1:0")?;
    let port = sink.local_addr()?.port();
    let transport = format!("RTP/AVP;unicast;client_port={port}-{}", u32::from(port) + 1);
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        let mut client = RtspClient::connect(&server.address)?;
        client.play(&server.url, &transport)?;
        clients.push(client);
    }
    println!("\n{SESSIONS} sessions play. Replies to {REPLIES} requests, one after another:\n");
    println!("| | median ms (least, most) | bytes |\n|---|---|---|");
    let mut stream = BufReader::new(TcpStream::connect(http)?);
    for path in ["/metrics", "/api/v1/sessions"] {
        let mut length = 0;
        let mut times = Vec::new();
        for _ in 0..REPLIES {
            let (time, bytes) = get(&mut stream, http, path)?;
            length = bytes;
            times.push(time);
        }
        let (median, least, most) = spread(&mut times).context("no replies")?;
        let (median, least, most) = (ms(median), ms(least), ms(most));
        println!("| `{path}` | {median:.1} ({least:.1}, {most:.1}) | {length} |");
    }
    Ok(())
}

/// Prints a row: the median of a figure in microseconds without and with HTTP.
fn row(name: &str, mut figures: [Vec<Duration>; 2]) -> Result<()> {
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let mut cells = Vec::new();
    let mut medians = Vec::new();
    for figures in &mut figures {
        let (median, least, most) = spread(figures).context("no figures")?;
        medians.push(us(median));
        cells.push(format!("{:.2} ({:.2}, {:.2})", us(median), us(least), us(most)));
    }
    let ratio = medians[1] / medians[0];
    println!("| {name} | {} | {} | {ratio:.3} |", cells[0], cells[1]);
    Ok(())
}

/// Servers without and with HTTP.
fn both(movie: &Path, options: &[&str]) -> Result<[MeasuredServer; 2]> {
    let with = [options, &["--http", "0"]].concat();
    Ok([MeasuredServer::start(movie, options)?, MeasuredServer::start(movie, &with)?])
}

/// The CPU time of a request.
fn requests(movie: &Path) -> Result<()> {
    let servers = both(movie, &[])?;
    println!(
        "\n| CPU time in µs, {ROUNDS} rounds | without HTTP | with HTTP | ratio |\n|---|---|---|---|"
    );
    for (name, request) in [("OPTIONS", "OPTIONS *"), ("DESCRIBE", "DESCRIBE")] {
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (server, figures) in servers.iter().zip(&mut figures) {
                let mut client = RtspClient::connect(&server.address)?;
                let line = match request {
                    "DESCRIBE" => format!("DESCRIBE {}", server.url),
                    other => other.to_owned(),
                };
                let before = server.cpu()?;
                for _ in 0..REQUESTS {
                    client.request(&line, "User-Agent: bench\r\n")?;
                }
                figures.push(server.cpu()?.saturating_sub(before) / REQUESTS);
            }
        }
        row(name, figures)?;
    }
    Ok(())
}

/// The CPU time of a frame and viewer.
fn frames(movie: &Path) -> Result<()> {
    let servers = both(movie, &["--framerate", "50"])?;
    let sink = UdpSocket::bind("127.0.0.1:0")?;
    let port = sink.local_addr()?.port();
    let transport = format!("RTP/AVP;unicast;client_port={port}-{}", u32::from(port) + 1);
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (server, figures) in servers.iter().zip(&mut figures) {
            let mut clients = Vec::new();
            for _ in 0..VIEWERS {
                let mut client = RtspClient::connect(&server.address)?;
                client.play(&server.url, &transport)?;
                clients.push(client);
            }
            let (before, start) = (server.cpu()?, Instant::now());
            sleep(TIME);
            let used = server.cpu()?.saturating_sub(before);
            let frames = start.elapsed().as_secs_f64() * 50.0 * f64::from(VIEWERS);
            figures.push(used.div_f64(frames));
        }
    }
    row("a frame for one of 200 viewers over UDP", figures)
}
