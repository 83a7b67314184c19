// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is compared: the wire, the server, GStreamer's elements, and MJPEG servers of others.

use super::readers::{Readers, connect, open, repeat};
use super::{BYTES, LIMIT, Movie, RATE, ROUND};
use crate::strangers::SERVER;
use anyhow::{Context, Result, ensure};
use mjpeg_rtsp_load::{Usage, thread_cpu};
use mjpeg_rtsp_tests::programs::{Guard, Server, program};
use mjpeg_rtsp_tests::wait_until;
use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Names the MJPEG servers of others to measure: a line for each, with its name, the number of viewers, the path of
/// its stream, and a shell's command line, in which `{port}` and `{folder}` are replaced. The folder has the frames,
/// 000.jpg to 099.jpg.
pub(super) const OTHERS: &str = "MJPEG_RTSP_BENCH_MJPEG_SERVER";

/// The bytes of a part besides its frame, as the server writes it.
fn header(number: usize) -> String {
    format!(
        "Content-Type: image/jpeg\r\nContent-Length: {BYTES}\r\nX-Frame-Number: {number}\r\n\
         X-Timestamp: 4.950000\r\n\r\n"
    )
}

const END_OF_PART: &[u8] = b"\r\n--frame-0123456789abcdef\r\n";

/// The number of frames in some bytes of streams. Parts of other servers differ from ours by less than 1 %.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) fn frames(bytes: u64) -> f64 {
    bytes as f64 / (header(50).len() + BYTES + END_OF_PART.len()) as f64
}

/// What is measured.
pub(super) enum Measured {
    /// A thread that only writes parts.
    Wire,
    /// The server, with a movie on demand or live.
    Ours { live: bool },
    /// gst-launch-1.0 with multipartmux and tcpserversink.
    Stock,
    /// The server of others.
    Other { path: String, command: String },
}

/// A row of the table.
pub(super) struct Row {
    pub name: String,
    pub viewers: usize,
    pub measured: Measured,
    /// Of each round.
    pub costs: Vec<Cost>,
}

/// The result of a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Microseconds of CPU for each frame and viewer.
    pub micros: f64,
    /// The frames that were received, compared with those that were due.
    pub received: f64,
}

/// The rows for the servers of others that are to be measured.
pub(super) fn others() -> Result<Vec<Row>> {
    let lines = std::env::var(OTHERS).unwrap_or_default();
    let row = |line: &str| -> Result<Row> {
        let mut words = line.trim().splitn(4, ' ').map(ToOwned::to_owned);
        let [name, viewers, path, command] = std::array::from_fn(|_| words.next());
        let name = format!("{}, live", name.context("no name")?);
        let viewers = viewers.context("no viewers")?.parse().context("no number of viewers")?;
        let path = path.context("no path of the stream")?;
        let command = command.context("no command line")?;
        let measured = Measured::Other { path, command };
        Ok(Row { name, viewers, measured, costs: Vec::new() })
    };
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| row(line).with_context(|| format!("{OTHERS}: {line:?}"))).collect()
}

impl Row {
    /// Measures for a round.
    pub fn measure(&mut self, movie: &Movie) -> Result<()> {
        let viewers = self.viewers;
        let cost = match &self.measured {
            Measured::Wire => wire(movie, viewers),
            Measured::Ours { live } => ours(movie, *live, viewers),
            Measured::Stock => stock(movie, viewers),
            Measured::Other { path, command } => other(movie, path, command, viewers),
        };
        self.costs.push(cost.with_context(|| self.name.clone())?);
        Ok(())
    }
}

/// Sockets to write to, and their readers.
fn pairs(count: usize) -> Result<(Vec<TcpStream>, Readers)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let readers = Readers::of_streams()?;
    let writers = repeat(count, || {
        readers.add(connect(&address)?)?;
        let (writer, _) = listener.accept()?;
        writer.set_nodelay(true)?;
        writer.set_write_timeout(Some(LIMIT))?;
        Ok(writer)
    })?;
    Ok((writers, readers))
}

/// A thread that writes each part to all sockets at its time.
fn wire(movie: &Movie, viewers: usize) -> Result<Cost> {
    let (mut writers, readers) = pairs(viewers)?;
    let period = Duration::from_secs(1) / RATE;
    let (before, start) = (thread_cpu()?, Instant::now());
    let mut due = start;
    let mut parts: u32 = 0;
    for (number, image) in movie.images.iter().enumerate().cycle() {
        if start.elapsed() >= ROUND {
            break;
        }
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
    }
    let (cpu, time) = (thread_cpu()?.saturating_sub(before), start.elapsed());
    readers.finish()?;
    Ok(Cost {
        micros: cpu.as_secs_f64() * 1e6 / f64::from(parts),
        received: f64::from(parts) / due_frames(viewers, time),
    })
}

/// The frames that all viewers together should receive in a time.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn due_frames(viewers: usize, time: Duration) -> f64 {
    viewers as f64 * f64::from(RATE) * time.as_secs_f64()
}

/// The CPU time of a process for each frame that is read.
fn cost(process: u32, readers: Readers) -> Result<Cost> {
    let viewers = readers.len();
    sleep(Duration::from_millis(500));
    let (before, bytes, start) = (Usage::of(process)?, readers.counted(), Instant::now());
    sleep(ROUND);
    let (after, read) = (Usage::of(process)?, readers.counted() - bytes);
    let (frames, due) = (frames(read), due_frames(viewers, start.elapsed()));
    readers.finish()?;
    ensure!(read > 0, "no frames");
    Ok(Cost { micros: after.since(before).cpu / frames * 1e6, received: frames / due })
}

/// Starts the server, or that which `MJPEG_RTSP_BENCH_SERVER` names, with a movie.
pub(super) fn serve(movie: &Movie, live: bool) -> Result<(Server, String)> {
    let mut command = match std::env::var_os(SERVER) {
        Some(path) => Command::new(path),
        None => program("mjpeg-rtsp-server")?,
    };
    command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--loop"]);
    command.args(live.then_some("--live")).arg(&movie.file);
    let server = Server::spawn(&mut command, 1)?;
    let address = server.http_address()?;
    Ok((server, address))
}

fn ours(movie: &Movie, live: bool, viewers: usize) -> Result<Cost> {
    let (mut server, address) = serve(movie, live)?;
    let readers = open(&address, &Movie::stream(""), viewers)?;
    let cost = cost(server.process().id(), readers)?;
    server.is_well()?;
    Ok(cost)
}

/// A port that is free now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Starts a server, and waits until it accepts connections.
fn start(command: &mut Command, address: &str) -> Result<Guard> {
    let process = Guard::new(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let limit = Duration::from_secs(10);
    wait_until("a server that accepts connections", limit, || TcpStream::connect(address).is_ok());
    Ok(process)
}

fn stock(movie: &Movie, viewers: usize) -> Result<Cost> {
    let port = free_port()?;
    let line = format!(
        "filesrc location={} ! matroskademux ! multipartmux ! tcpserversink host=127.0.0.1 port={port} sync=true",
        movie.matroska.display()
    );
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(line.split(' '));
    let address = format!("127.0.0.1:{port}");
    let process = start(&mut command, &address)?;
    let readers = Readers::of_streams()?;
    repeat(viewers, || {
        readers.add(connect(&address)?)?;
        // A full listen queue makes the next connection wait for a second.
        sleep(Duration::from_millis(10));
        Ok(())
    })?;
    cost(process.id(), readers)
}

fn other(movie: &Movie, path: &str, command: &str, viewers: usize) -> Result<Cost> {
    let port = free_port()?;
    let line = command.replace("{port}", &port.to_string());
    let line = line.replace("{folder}", &movie.frames.display().to_string());
    let mut command = Command::new("sh");
    // The shell becomes the server, whose process is measured.
    command.arg("-c").arg(format!("exec {line}"));
    let address = format!("127.0.0.1:{port}");
    let process = start(&mut command, &address)?;
    let readers = open(&address, path, viewers)?;
    cost(process.id(), readers)
}
