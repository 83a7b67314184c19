// SPDX-License-Identifier: MIT OR Apache-2.0
//! Viewers over HTTP: the server's CPU time for each frame and viewer, compared with that of a thread that only
//! writes such parts to as many sockets, and with GStreamer's tcpserversink; and the frames of RTSP viewers
//! beside a thousand open streams.

use crate::quiet;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_load::{Load, Transport, Usage, thread_cpu};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::http_client::HttpClient;
use mjpeg_rtsp_tests::programs::{Guard, Server};
use mjpeg_rtsp_tests::wait_until;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Viewers, and frames a second of each.
const VIEWERS: usize = 500;
const RATE: u32 = 20;

/// The length of each frame in bytes: that of the other measurements.
const BYTES: usize = 15_700;

/// What is compared is measured in turn, this many times; tables have the medians.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(5);

/// The streams that are open while the frames of RTSP viewers are measured.
const STREAMS: usize = 1000;

/// The longest wait for something to start.
const LIMIT: Duration = Duration::from_mins(1);

struct Movie {
    folder: Folder,
    file: PathBuf,
    images: Vec<Vec<u8>>,
}

impl Movie {
    /// A movie of frames of [`BYTES`]; decoders ignore what follows an image.
    fn made() -> Result<Self> {
        let folder = Folder::new()?;
        let pad =
            |image: Vec<u8>| [&image[..], &vec![0; BYTES.saturating_sub(image.len())]].concat();
        let images: Vec<_> = movies::images(100, "I420")?.into_iter().map(pad).collect();
        let file = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
        Ok(Self { folder, file, images })
    }
}

/// Reads connections in a thread and counts their bytes.
struct Readers {
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Readers {
    fn start(mut sockets: Vec<TcpStream>) -> Result<Self> {
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        let (bytes, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (bytes.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while !stopped.load(Ordering::Relaxed) {
                let mut polled: Vec<PollFd> =
                    sockets.iter().map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)).collect();
                let _ = poll(&mut polled, PollTimeout::from(100_u8));
                let ready: Vec<bool> = polled.iter().map(|it| it.any().unwrap_or(true)).collect();
                drop(polled);
                for (socket, ready) in sockets.iter_mut().zip(ready) {
                    if !ready {
                        continue;
                    }
                    match socket.read(&mut buffer) {
                        Ok(count) => {
                            counted.fetch_add(count as u64, Ordering::Relaxed);
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            }
        });
        Ok(Self { bytes, stop, thread: Some(thread) })
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The bytes of a part besides its frame, as the server writes it.
fn header(number: usize) -> String {
    format!(
        "Content-Type: image/jpeg\r\nContent-Length: {BYTES}\r\nX-Frame-Number: {number}\r\n\
         X-Timestamp: 4.950000\r\n\r\n"
    )
}

const END_OF_PART: &[u8] = b"\r\n--frame-0123456789abcdef\r\n";

/// The number of frames in some bytes of streams.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn frames(bytes: u64) -> f64 {
    bytes as f64 / (header(50).len() + BYTES + END_OF_PART.len()) as f64
}

/// Connects to all viewers of a listener on this machine.
fn pairs(count: usize) -> Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        readers.push(TcpStream::connect(address)?);
        let (writer, _) = listener.accept()?;
        writer.set_nodelay(true)?;
        writers.push(writer);
    }
    Ok((writers, readers))
}

/// Microseconds of CPU for each part of a thread that only writes parts to sockets, each at its time.
fn wire(images: &[Vec<u8>]) -> Result<f64> {
    let (mut writers, readers) = pairs(VIEWERS)?;
    let readers = Readers::start(readers)?;
    let period = Duration::from_secs(1) / RATE;
    let (before, start) = (thread_cpu()?, Instant::now());
    let mut due = start;
    let mut parts: u32 = 0;
    while start.elapsed() < ROUND {
        for (number, image) in images.iter().enumerate() {
            let header = header(number);
            let part = [header.as_bytes(), image, END_OF_PART].map(IoSlice::new);
            let length: usize = part.iter().map(|it| it.len()).sum();
            for writer in &mut writers {
                let written = writer.write_vectored(&part)?;
                ensure!(written == length, "the readers are too slow");
                parts += 1;
            }
            due += period;
            sleep(due.saturating_duration_since(Instant::now()));
            if start.elapsed() >= ROUND {
                break;
            }
        }
    }
    let cpu = thread_cpu()?.saturating_sub(before);
    drop(readers);
    Ok(cpu.as_secs_f64() * 1e6 / f64::from(parts))
}

/// Starts the server with a movie.
fn serve(movie: &Path, live: bool) -> Result<(Server, String)> {
    let mut options = vec!["--http", "127.0.0.1:0", "--loop"];
    options.extend(live.then_some("--live"));
    let options = options.into_iter().map(std::ffi::OsStr::new).chain([movie.as_os_str()]);
    let server = Server::start(options, 1)?;
    let address = server.http_address()?;
    Ok((server, address))
}

/// Opens streams, and reads the heads of their responses.
fn open(address: &str, query: &str, count: usize) -> Result<Vec<TcpStream>> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut client = HttpClient::connect(address)?;
        client.ask(&format!("GET /mounts/movie.mjpeg/stream.mjpeg{query}"), "")?;
        ensure!(client.head()?.status() == 200, "no stream");
        sockets.push(client.socket().try_clone()?);
    }
    Ok(sockets)
}

/// Microseconds of CPU of a process for each part that is read from sockets.
fn cost(process: u32, sockets: Vec<TcpStream>) -> Result<f64> {
    let viewers = sockets.len();
    let readers = Readers::start(sockets)?;
    sleep(Duration::from_millis(500));
    let (before, bytes, start) = (Usage::of(process)?, readers.bytes(), Instant::now());
    sleep(ROUND);
    let (after, read, time) = (Usage::of(process)?, readers.bytes() - bytes, start.elapsed());
    let frames = frames(read);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let want = viewers as f64 * f64::from(RATE) * time.as_secs_f64();
    ensure!(frames > 0.9 * want, "{frames:.0} of {want:.0} frames: the machine is too slow");
    Ok(after.since(before).cpu / frames * 1e6)
}

/// Microseconds of CPU of the server for each part and viewer.
fn ours(movie: &Path, live: bool) -> Result<f64> {
    let (mut server, address) = serve(movie, live)?;
    let sockets = open(&address, "", VIEWERS)?;
    let cost = cost(server.process().id(), sockets)?;
    server.is_well()?;
    Ok(cost)
}

/// Microseconds of CPU of gst-launch-1.0 with multipartmux and tcpserversink.
fn stock(movie: &Movie) -> Result<f64> {
    let folder = movie.folder.path().join("images");
    std::fs::create_dir_all(&folder)?;
    for (number, image) in movie.images.iter().enumerate() {
        std::fs::write(folder.join(format!("{number:03}.jpg")), image)?;
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let line = format!(
        "multifilesrc location={}/%03d.jpg loop=true stop-index=99 caps=image/jpeg,framerate={RATE}/1 \
         ! identity sync=true ! multipartmux ! tcpserversink host=127.0.0.1 port={port} sync=false",
        folder.display()
    );
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(line.split(' ').filter(|word| !word.is_empty()));
    let process = Guard::new(command.stdout(Stdio::null()).spawn()?);
    let address = format!("127.0.0.1:{port}");
    wait_until("gst-launch", LIMIT, || TcpStream::connect(&address).is_ok());
    let connect = |_| Ok(TcpStream::connect(&address)?);
    let sockets = (0..VIEWERS).map(connect).collect::<Result<Vec<_>>>()?;
    cost(process.id(), sockets)
}

fn median(values: &mut [f64]) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("no value")
}

pub fn run() -> Result<()> {
    quiet();
    let movie = Movie::made()?;
    println!(
        "\n{VIEWERS} viewers over HTTP, frames of {BYTES} bytes, {RATE} a second; medians of {ROUNDS} rounds of {} s, \
         in turn\n\n| CPU for each frame and viewer | µs | compared with the wire (times) |\n|---|---|---|",
        ROUND.as_secs()
    );
    let (mut bare, mut on_demand, mut live, mut gst) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        bare.push(wire(&movie.images)?);
        on_demand.push(ours(&movie.file, false)?);
        live.push(ours(&movie.file, true)?);
        gst.push(stock(&movie)?);
    }
    let rows = [
        ("the wire: a thread that only writes parts", bare.clone()),
        ("ours, on demand", on_demand),
        ("ours, live", live),
        ("`multipartmux ! tcpserversink`, live", gst),
    ];
    for (name, mut values) in rows {
        let mut ratios: Vec<f64> = values.iter().zip(&bare).map(|(it, bare)| it / bare).collect();
        println!("| {name} | {:.1} | {:.2} |", median(&mut values)?, median(&mut ratios)?);
    }
    beside(&movie.file)
}

/// The gaps between frames of RTSP viewers, without and beside streams over HTTP.
fn beside(movie: &Path) -> Result<()> {
    println!(
        "\n| beside 10 viewers of RTSP over UDP | gap off {} ms, 99th percentile | memory | threads |\n|---|---|---|---|",
        1000 / RATE
    );
    for (name, streams, query) in [
        ("nothing", 0, ""),
        ("1000 streams at 2 frames/s, as on the page", STREAMS, "?framerate=2"),
        ("500 streams at 20 frames/s", VIEWERS, ""),
    ] {
        let (mut server, address) = serve(movie, false)?;
        let readers = Readers::start(open(&address, query, streams)?)?;
        let load = Load {
            server: server.address()?.parse()?,
            movie: "movie.mjpeg".to_owned(),
            transport: Transport::Udp,
            sessions: 10,
            newcomers: 0,
            time: 2 * ROUND,
            period: Duration::from_secs(1) / RATE,
            gro: true,
        };
        let outcome = load.run(Some(server.process().id()))?;
        let usage = outcome.usage.context("no usage")?;
        println!(
            "| {name} | {:.2} ms | {} KiB | {} |",
            outcome.received.gap_error_ms, usage.memory, usage.threads
        );
        drop(readers);
        server.is_well()?;
    }
    Ok(())
}
