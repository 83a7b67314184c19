// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time of the server's replies while other clients misbehave, and its CPU time and memory for
//! many clients, plays and movies. Measures the server that `MJPEG_RTSP_BENCH_SERVER` names, if set.

use crate::{ms, quiet};
use anyhow::{Context, Result, bail, ensure};
use mjpeg_rtsp_load::fuzz::{descriptors, probe};
use mjpeg_rtsp_load::{Usage, cpu, wake_ups};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::rtsp_client::RtspClient;
use mjpeg_rtsp_tests::programs::{Guard, program};
use socket2::{Domain, Socket, Type};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Names another server to measure.
pub const SERVER: &str = "MJPEG_RTSP_BENCH_SERVER";

/// Requests whose replies are timed for each kind of stranger, and the time between two.
const REQUESTS: usize = 2000;
const PACE: Duration = Duration::from_millis(2);

/// Strangers of each kind, but for half lines.
const STRANGERS: usize = 8;
const HALF_LINES: usize = 4000;

/// Half lines from one address: below the server's limit.
const FROM_ADDRESS: usize = 1000;

const ROUNDS: usize = 3;
const PLAYS: usize = 6000;
const SILENT: usize = 2000;
const MOVIES: usize = 10_000;
const IDLE: Duration = Duration::from_secs(10);

/// The longest wait until the server has closed its descriptors.
const CLOSED: Duration = Duration::from_mins(1);

/// A server to measure.
struct TestedServer {
    process: Guard,
    address: SocketAddr,
    /// Time from its start to its first URL.
    start: Duration,
}

impl TestedServer {
    fn start(paths: &[&Path]) -> Result<Self> {
        let mut command = match std::env::var_os(SERVER) {
            Some(path) => Command::new(path),
            None => program("mjpeg-rtsp-server")?,
        };
        let from = Instant::now();
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--loop", "--log", "error"].map(OsStr::new))
            .args(paths)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let process = Guard::new(child);
        let mut lines = BufReader::new(out).lines();
        let url = lines.next().context("the server prints no URL")??;
        let start = from.elapsed();
        std::thread::spawn(move || lines.all(|line| line.is_ok()));
        let address = url.split('/').nth(2).context("no address")?.parse()?;
        Ok(Self { process, address, start })
    }

    fn cpu(&self) -> Result<Duration> {
        cpu(self.process.id())
    }

    fn usage(&self) -> Result<Usage> {
        Usage::of(self.process.id())
    }

    fn descriptors(&self) -> Result<usize> {
        descriptors(self.process.id())
    }
}

pub fn run() -> Result<()> {
    quiet();
    let server = std::env::var_os(SERVER).map_or_else(|| "ours".into(), PathBuf::from);
    println!("\nserver: {}\n", server.display());
    let folder = Folder::new()?;
    let movie = folder.file("movie.mjpeg", &movies::movie(&movies::images(100, "I420")?)?)?;
    beside(&movie)?;
    let parts: [(&str, &dyn Fn() -> Result<()>); 4] = [
        ("OPTIONS at once", &|| at_once(&movie)),
        ("plays", &|| plays(&movie)),
        ("silent connections", &|| silent(&movie)),
        ("many movies", &many_movies),
    ];
    for (name, part) in parts {
        // After a failure, the other parts are measured still.
        if let Err(error) = part() {
            println!("\n{name}: the server fails: {error:#}");
        }
    }
    Ok(())
}

/// What strangers do while replies are timed.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Nobody,
    EndlessHeaders,
    Drip,
    NeverRead,
    HalfLines,
}

fn beside(movie: &Path) -> Result<()> {
    println!("{REQUESTS} OPTIONS on a connection, one each {PACE:?}\n");
    println!("| beside | median | 99th percentile | slowest | server's CPU |");
    println!("|---|---|---|---|---|");
    let rows = [
        ("nobody", Kind::Nobody),
        ("8 connections with endless headers", Kind::EndlessHeaders),
        ("8 connections that send a byte each 10 ms", Kind::Drip),
        ("8 interleaved viewers that never read", Kind::NeverRead),
        ("4000 half lines", Kind::HalfLines),
    ];
    for (name, kind) in rows {
        let server = TestedServer::start(&[movie])?;
        let measured = with_strangers(&server, kind, || time_replies(&server));
        let (mut times, cpu) = match measured {
            Ok(measured) => measured,
            Err(error) => {
                println!("| {name} | {error:#} | | | |");
                continue;
            }
        };
        times.sort_unstable();
        let at = |part: usize| times.get((times.len() - 1) * part / 100).map_or(0.0, |it| ms(*it));
        let (median, late, slowest) = (at(50), at(99), at(100));
        println!("| {name} | {median:.3} ms | {late:.3} ms | {slowest:.3} ms | {cpu:.1} % |");
    }
    Ok(())
}

/// The times of the replies, and the server's CPU in percent of a core.
fn time_replies(server: &TestedServer) -> Result<(Vec<Duration>, f64)> {
    let mut rtsp = RtspClient::connect(&server.address.to_string())?;
    let mut times = Vec::with_capacity(REQUESTS);
    let (from, before) = (Instant::now(), server.cpu()?);
    for _ in 0..REQUESTS {
        let sent = Instant::now();
        let reply = rtsp.request("OPTIONS *", "");
        let reply = reply.with_context(|| format!("no reply for {:.1?}", sent.elapsed()))?;
        ensure!(reply.status == 200, "{reply}");
        times.push(sent.elapsed());
        sleep(PACE);
    }
    let cpu = server.cpu()?.saturating_sub(before).as_secs_f64();
    Ok((times, cpu / from.elapsed().as_secs_f64() * 100.0))
}

fn with_strangers<T>(
    server: &TestedServer,
    kind: Kind,
    measure: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writes = |bytes: &'static [u8], pace| {
            let done = &done;
            scope.spawn(move || write_on(server.address, bytes, pace, done))
        };
        let mut writer = None;
        let held = match kind {
            Kind::Nobody => Vec::new(),
            Kind::EndlessHeaders => {
                writer = Some(writes(&[b'x'; 4096], Duration::ZERO));
                Vec::new()
            }
            Kind::Drip => {
                writer = Some(writes(b"x", Duration::from_millis(10)));
                Vec::new()
            }
            Kind::NeverRead => (0..STRANGERS)
                .map(|_| {
                    let mut stream = TcpStream::connect(server.address)?;
                    play(server.address, &mut stream)?;
                    Ok(stream)
                })
                .collect::<Result<_>>()?,
            Kind::HalfLines => (0..HALF_LINES)
                .map(|number| {
                    let mut stream = connect_from(server.address, 2 + number / FROM_ADDRESS)?;
                    stream.write_all(b"OPTIONS * RT")?;
                    Ok(stream)
                })
                .collect::<Result<_>>()?,
        };
        let measured = measure();
        done.store(true, Ordering::Relaxed);
        drop(held);
        if let Some(writer) = writer {
            writer.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        }
        measured
    })
}

/// Writes on eight connections in turn until `done`; opens those again that the server closes.
fn write_on(server: SocketAddr, bytes: &[u8], pace: Duration, done: &AtomicBool) -> Result<()> {
    let open = || -> Result<TcpStream> {
        let mut stream = TcpStream::connect(server)?;
        stream.write_all(b"OPTIONS * RTSP/1.0\r\nX: ")?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let mut streams = (0..STRANGERS).map(|_| open()).collect::<Result<Vec<_>>>()?;
    while !done.load(Ordering::Relaxed) {
        for stream in &mut streams {
            match stream.write(bytes) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *stream = open()?,
            }
        }
        if !pace.is_zero() {
            sleep(pace);
        }
    }
    Ok(())
}

/// Connects from another address of loopback.
fn connect_from(server: SocketAddr, host: usize) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let from = Ipv4Addr::new(127, 0, 0, u8::try_from(host)?);
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// DESCRIBE, SETUP and PLAY, interleaved; nothing is read after the reply to PLAY.
fn play(server: SocketAddr, stream: &mut TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let url = format!("rtsp://{server}/movie.mjpeg");
    request(stream, &format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"))?;
    let reply = request(
        stream,
        &format!(
            "SETUP {url}/stream=0 RTSP/1.0\r\nCSeq: 2\r\n\
             Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
        ),
    )?;
    let session = reply.lines().find_map(|line| line.strip_prefix("Session:"));
    let session = session.and_then(|it| it.split(';').next()).context("no session")?.trim();
    request(stream, &format!("PLAY {url}/ RTSP/1.0\r\nCSeq: 3\r\nSession: {session}\r\n\r\n"))?;
    Ok(())
}

/// Sends a request; reads its reply, and what may follow it.
fn request(stream: &mut TcpStream, request: &str) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes)? {
            0 => bail!("closed after {request:?}"),
            count => reply.extend_from_slice(bytes.get(..count).unwrap_or_default()),
        }
        let text = String::from_utf8_lossy(&reply);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        ensure!(head.starts_with("RTSP/1.0 200"), "{request:?} is answered {head:?}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length:"));
        if body.len() >= length.map_or(Ok(0), |length| length.trim().parse::<usize>())? {
            return Ok(head.to_owned());
        }
    }
}

fn at_once(movie: &Path) -> Result<()> {
    let server = TestedServer::start(&[movie])?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (from, before) = (Instant::now(), server.cpu()?);
        of_threads(|_| {
            let mut rtsp = RtspClient::connect(&server.address.to_string())?;
            for _ in 0..REQUESTS {
                ensure!(rtsp.request("OPTIONS *", "")?.status == 200, "OPTIONS");
            }
            Ok(())
        })?;
        let cpu = server.cpu()?.saturating_sub(before).as_secs_f64();
        let requests = f64::from(u32::try_from(STRANGERS * REQUESTS)?);
        rounds.push((requests / from.elapsed().as_secs_f64(), cpu / requests * 1e6));
    }
    rounds.sort_unstable_by(|one, two| one.0.total_cmp(&two.0));
    let (rate, cpu) = rounds.get(ROUNDS / 2).context("no rounds")?;
    println!(
        "\n{REQUESTS} OPTIONS on each of {STRANGERS} connections at once, median of {ROUNDS}\n"
    );
    println!("| requests a second | CPU for each |\n|---|---|\n| {rate:.0} | {cpu:.1} µs |");
    Ok(())
}

/// Runs eight clients at once.
fn of_threads(client: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let client = &client;
        let threads: Vec<_> =
            (0..STRANGERS).map(|number| scope.spawn(move || client(number))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a panic"))?)
    })
}

fn plays(movie: &Path) -> Result<()> {
    let server = TestedServer::start(&[movie])?;
    // The first play starts threads that keep running.
    play(server.address, &mut TcpStream::connect(server.address)?)?;
    wait_for(&server, 1 + server.descriptors()?)?;
    let (before, usage) = (server.descriptors()?, server.usage()?);
    let from = Instant::now();
    of_threads(|_| {
        for _ in 0..PLAYS / STRANGERS {
            play(server.address, &mut TcpStream::connect(server.address)?)?;
        }
        Ok(())
    })?;
    let time = from.elapsed();
    let closed = wait_for(&server, before)?;
    let (after, now) = (server.descriptors()?, server.usage()?);
    let rate = f64::from(u32::try_from(PLAYS)?) / time.as_secs_f64();
    println!("\n{PLAYS} plays over TCP, {STRANGERS} at a time, each dropped after its PLAY\n");
    println!(
        "| plays a second | CPU for each | descriptors | threads | memory | all closed after |\n\
         |---|---|---|---|---|---|\n\
         | {rate:.0} | {:.2} ms | {before}, then {after} | {}, then {} | {} KiB, then {} KiB | {:.1} s |",
        now.since(usage).cpu * 1000.0 / f64::from(u32::try_from(PLAYS)?),
        usage.threads,
        now.threads,
        usage.memory,
        now.memory,
        closed.as_secs_f64()
    );
    Ok(())
}

/// Waits until the server has no more descriptors than before, but for two that new threads may have;
/// gives the time.
fn wait_for(server: &TestedServer, before: usize) -> Result<Duration> {
    let from = Instant::now();
    while server.descriptors()? > before + 2 {
        if from.elapsed() > CLOSED {
            println!(
                "\n{} descriptors {CLOSED:?} after the last play, {before} before",
                server.descriptors()?
            );
            break;
        }
        sleep(Duration::from_millis(10));
    }
    Ok(from.elapsed())
}

fn silent(movie: &Path) -> Result<()> {
    let server = TestedServer::start(&[movie])?;
    probe(server.address, CLOSED)?;
    let before = server.usage()?.memory;
    let connections =
        (0..SILENT).map(|_| Ok(TcpStream::connect(server.address)?)).collect::<Result<Vec<_>>>()?;
    // The server replies after it has accepted the connections before.
    probe(server.address, CLOSED)?;
    let after = server.usage()?.memory;
    drop(connections);
    let each = f64::from(u32::try_from(after.saturating_sub(before))?) / 2000.0;
    println!("\n{SILENT} silent connections\n");
    println!("| memory before | memory with them | for each |\n|---|---|---|");
    println!("| {before} KiB | {after} KiB | {each:.2} KiB |");
    Ok(())
}

fn many_movies() -> Result<()> {
    let folder = Folder::new()?;
    let first = folder.file("movie-0.mjpeg", &movies::movie(&movies::images(1, "I420")?)?)?;
    for number in 1..MOVIES {
        std::fs::hard_link(&first, folder.path().join(format!("movie-{number}.mjpeg")))?;
    }
    let server = TestedServer::start(&[folder.path()])?;
    probe(server.address, CLOSED)?;
    let memory = server.usage()?.memory;
    let (before, wakes) = (server.cpu()?, wake_ups(server.process.id())?);
    sleep(IDLE);
    let idle = server.cpu()?.saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let wakes = u32::try_from(wake_ups(server.process.id())?.saturating_sub(wakes))?;
    let wakes = f64::from(wakes) / IDLE.as_secs_f64();
    let mut rtsp = RtspClient::connect(&server.address.to_string())?;
    let mut times = Vec::new();
    for number in 0..100 {
        let url = format!("rtsp://{}/MOVIE-{}.MJPEG", server.address, number * 97);
        let sent = Instant::now();
        let status = rtsp.request(&format!("DESCRIBE {url}"), "")?.status;
        ensure!(status == 200, "DESCRIBE {url}: {status}");
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let slowest = times.last().copied().unwrap_or_default();
    println!("\na folder of {MOVIES} movies\n");
    println!(
        "| accepts after | memory | idle CPU | idle wake-ups a second | DESCRIBE in another case, median | slowest |\n\
         |---|---|---|---|---|---|\n| {:.2} s | {memory} KiB | {idle:.2} % | {wakes:.1} | {:.2} ms | {:.2} ms |",
        server.start.as_secs_f64(),
        ms(median),
        ms(slowest)
    );
    Ok(())
}
