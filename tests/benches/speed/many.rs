// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many viewers at once: the server's CPU time for each, compared with stock gst-rtsp-server and with
//! the kernel's time for the same datagrams.

use crate::quiet;
use anyhow::{Context, Result, ensure};
use gst::prelude::*;
use gstmjpegfile::jpeg::check;
use gstmjpegfile::rtp::JpegPayloads;
use mjpeg_rtsp_load::{Load, Outcome, Transport, thread_cpu};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg};
use mjpeg_rtsp_tests::programs::{Guard, Server, program};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg, sendmsg};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{BufRead, BufReader, IoSlice};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Duration of each measurement of the growth.
const TIME: Duration = Duration::from_secs(10);

/// Servers that are compared are measured in turn, this many times; tables have the medians.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(5);

/// Frames a second.
const RATE: u32 = 20;

/// The frame is 15.8 KB in 12 packets.
const BYTES: usize = 15_700;

/// More than any measurement plays: stock gst-rtsp-server does not loop.
const FRAMES: usize = 3000;

/// Frames of a measurement without a server.
const BARE: u32 = 30_000;

/// Viewers of stock gst-rtsp-server, which starts 250 threads for them.
const STOCK: usize = 50;
const OURS: usize = 500;

struct Movie {
    _folder: Folder,
    file: PathBuf,
    matroska: PathBuf,
    image: Vec<u8>,
}

impl Movie {
    fn made() -> Result<Self> {
        let folder = Folder::new()?;
        let whole = Picture::made(384 + 100, 288);
        let image = |shift, quality: u32| {
            let quality = quality.to_string();
            cjpeg(&whole.part(shift, 384), &["-sample", "2x2", "-quality", &quality])
        };
        let mut quality = 60;
        while quality < 100 && image(0, quality)?.len() < BYTES {
            quality += 1;
        }
        let images: Vec<Vec<u8>> = (0..100).map(|it| image(it, quality)).collect::<Result<_>>()?;
        let first = images.first().context("no image")?.clone();
        let images: Vec<_> = images.into_iter().cycle().take(FRAMES).collect();
        let movie = folder.file("movie.mjpeg", &movies::movie(&images)?)?;
        let matroska = folder.path().join("movie.mkv");
        let line = format!(
            "mjpegfilesrc location={} ! matroskamux ! filesink location={}",
            movie.display(),
            matroska.display()
        );
        let pipeline = gst::parse::launch(&line)?;
        pipeline.set_state(gst::State::Playing)?;
        let bus = pipeline.bus().context("no bus")?;
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends);
        pipeline.set_state(gst::State::Null)?;
        ensure!(end.is_some_and(|end| end.type_() == gst::MessageType::Eos), "no Matroska file");
        Ok(Self { _folder: folder, file: movie, matroska, image: first })
    }
}

/// The server that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tested {
    Stock,
    Ours,
    OursWithoutOffload,
}

fn load(
    movie: &Movie,
    tested: Tested,
    live: bool,
    transport: Transport,
    sessions: usize,
    uncut: bool,
    time: Duration,
) -> Result<Outcome> {
    let load = |server, name: &str| Load {
        server,
        movie: name.to_owned(),
        transport,
        sessions,
        newcomers: 50,
        time,
        period: Duration::from_secs(1) / RATE,
        gro: uncut,
    };
    let outcome = if tested == Tested::Stock {
        let (server, address) = stock(&movie.matroska, live)?;
        load(address, "movie").run(Some(server.id()))?
    } else {
        let mut options = vec!["--loop".to_owned(), "--log".into(), "warn".into()];
        if live {
            options.push("--live".into());
        }
        if tested == Tested::OursWithoutOffload {
            options.extend(["--udp-offload".into(), "off".into()]);
        }
        options.push(movie.file.display().to_string());
        let mut server = Server::start(options, 1)?;
        let address = server.address()?.parse()?;
        let outcome = load(address, "movie.mjpeg").run(Some(server.process().id()))?;
        server.is_well()?;
        outcome
    };
    ensure!(
        outcome.received.sessions == sessions,
        "{} of {sessions} saw it",
        outcome.received.sessions
    );
    Ok(outcome)
}

/// Starts stock gst-rtsp-server; returns its process and address.
fn stock(matroska: &Path, shared: bool) -> Result<(Guard, SocketAddr)> {
    let mut command = program("stock-rtsp-server")?;
    command.arg(matroska).arg(if shared { "shared" } else { "on-demand" });
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("no standard output")?;
    let guard = Guard::new(child);
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    Ok((guard, SocketAddr::from(([127, 0, 0, 1], line.trim().parse()?))))
}

/// Microseconds of CPU for each frame and viewer.
fn cost(outcome: &Outcome) -> Result<f64> {
    let usage = outcome.usage.context("no usage")?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let frames = outcome.received.frames as f64;
    Ok(usage.cpu / frames * 1e6)
}

/// How a thread that does nothing else sends a frame.
#[derive(Debug, Clone, Copy)]
enum SendMethod {
    /// One datagram, as in the lab; IP fragments it.
    Whole,
    /// A datagram for each packet.
    Each,
    /// One datagram, which the kernel splits into packets.
    Offload,
}

/// Microseconds of CPU of the sending thread for each frame, to a socket that is read.
fn bare_cost(image: &[u8], method: SendMethod, uncut: bool) -> Result<f64> {
    let to = UdpSocket::bind("127.0.0.1:0")?;
    setsockopt(&to, sockopt::UdpGroSegment, &uncut)?;
    setsockopt(&to, sockopt::RcvBufForce, &(64 << 20))?;
    let SocketAddr::V4(address) = to.local_addr()? else { anyhow::bail!("no IPv4") };
    let reader = std::thread::spawn(move || {
        let mut datagram = vec![0; 65_536];
        // An empty datagram ends it.
        while to.recv(&mut datagram).is_ok_and(|have| have > 0) {}
    });
    let from = UdpSocket::bind("127.0.0.1:0")?;
    let payloads = JpegPayloads::new(&check(image)?, 1400);
    let before = thread_cpu()?;
    for _ in 0..BARE {
        send(&from, address, image, &payloads, method)?;
    }
    let cpu = thread_cpu()?.saturating_sub(before);
    while !reader.is_finished() {
        from.send_to(&[], address)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(cpu.as_secs_f64() * 1e6 / f64::from(BARE))
}

fn send(
    from: &UdpSocket,
    to: SocketAddrV4,
    image: &[u8],
    payloads: &JpegPayloads,
    method: SendMethod,
) -> Result<()> {
    let (header, flags, address) = ([0; 12], MsgFlags::empty(), SockaddrIn::from(to));
    let parts: Vec<[IoSlice; 2]> =
        payloads.iter().map(|payload| [IoSlice::new(&header), IoSlice::new(payload)]).collect();
    match method {
        SendMethod::Whole => {
            let whole = [IoSlice::new(&header), IoSlice::new(image)];
            sendmsg(from.as_raw_fd(), &whole, &[], flags, Some(&address))?;
        }
        SendMethod::Offload => {
            let length = u16::try_from(12 + payloads.length())?;
            let cut = [ControlMessage::UdpGsoSegments(&length)];
            sendmsg(from.as_raw_fd(), parts.as_flattened(), &cut, flags, Some(&address))?;
        }
        SendMethod::Each => {
            let mut headers = MultiHeaders::preallocate(parts.len(), None);
            let to = vec![Some(address); parts.len()];
            sendmmsg(from.as_raw_fd(), &mut headers, &parts, &to, [], flags)?;
        }
    }
    Ok(())
}

pub fn run() -> Result<()> {
    quiet();
    let movie = Movie::made()?;
    let packets = JpegPayloads::new(&check(&movie.image)?, 1400).iter().count();
    println!("\nframes of {} bytes, {packets} packets, {RATE} a second\n", movie.image.len());
    goals(&movie)?;
    growth(&movie)
}

fn goals(movie: &Movie) -> Result<()> {
    println!(
        "medians of {ROUNDS} rounds of {} s, in turn\n\n| CPU for each frame and viewer | the wire | \
         stock, {STOCK} viewers | ours, {OURS} viewers | ours to stock | ours to the wire |",
        ROUND.as_secs()
    );
    println!("|---|---|---|---|---|---|");
    let rows = [
        ("live, UDP", true, Transport::Udp, false, Some(SendMethod::Offload)),
        (
            "live, UDP, receivers take it uncut",
            true,
            Transport::Udp,
            true,
            Some(SendMethod::Offload),
        ),
        ("on demand, UDP", false, Transport::Udp, false, Some(SendMethod::Offload)),
        ("on demand, UDP, uncut", false, Transport::Udp, true, Some(SendMethod::Offload)),
        ("on demand, TCP", false, Transport::Tcp, false, None),
        ("the lab's dialect", false, Transport::Lab, false, Some(SendMethod::Whole)),
    ];
    for (name, live, transport, uncut, method) in rows {
        let (mut bare, mut stock, mut ours) = (Vec::new(), Vec::new(), Vec::new());
        let measure = |tested, sessions| {
            let outcome = load(movie, tested, live, transport, sessions, uncut, ROUND)?;
            cost(&outcome)
        };
        for _ in 0..ROUNDS {
            if let Some(method) = method {
                bare.push(bare_cost(&movie.image, method, uncut)?);
            }
            ours.push(measure(Tested::Ours, OURS)?);
            if transport != Transport::Lab {
                stock.push(measure(Tested::Stock, STOCK)?);
            }
        }
        let micros = |of: &[f64]| median(of).map_or("–".to_owned(), |it| format!("{it:.1} µs"));
        let times = |of: &[f64]| {
            let ratios: Vec<f64> = ours.iter().zip(of).map(|(ours, it)| ours / it).collect();
            median(&ratios).map_or("–".to_owned(), |it| format!("{it:.2}"))
        };
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            micros(&bare),
            micros(&stock),
            micros(&ours),
            times(&stock),
            times(&bare)
        );
    }
    let (off, udp) = (Tested::OursWithoutOffload, Transport::Udp);
    let off = cost(&load(movie, off, false, udp, OURS, false, ROUND)?)?;
    let bare = bare_cost(&movie.image, SendMethod::Each, false)?;
    println!(
        "| on demand, UDP, `--udp-offload off` | {bare:.1} µs | – | {off:.1} µs | – | {:.2} |",
        off / bare
    );
    Ok(())
}

/// The median; `None` if there are no values.
fn median(of: &[f64]) -> Option<f64> {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn growth(movie: &Movie) -> Result<()> {
    println!(
        "\n| viewers | CPU for each frame | threads | memory for each viewer | first packet, median \
         and 99th percentile | gap off {} ms, 99th percentile | packets lost |",
        1000 / RATE
    );
    println!("|---|---|---|---|---|---|---|");
    let rows = [
        ("stock on demand", Tested::Stock, false, Transport::Udp, vec![1, STOCK]),
        ("on demand, UDP", Tested::Ours, false, Transport::Udp, vec![1, 10, 100, 500, 1000, 2000]),
        ("on demand, TCP", Tested::Ours, false, Transport::Tcp, vec![1, 10, 100, 500, 1000]),
        ("live, UDP", Tested::Ours, true, Transport::Udp, vec![1, 10, 100, 500, 1000, 2000]),
        ("lab", Tested::Ours, false, Transport::Lab, vec![1, 10, 100, 500, 1000, 2000]),
    ];
    for (name, tested, live, transport, numbers) in rows {
        let mut alone = None;
        for viewers in numbers {
            let outcome = load(movie, tested, live, transport, viewers, true, TIME)?;
            let usage = outcome.usage.context("no usage")?;
            let alone = *alone.get_or_insert(usage.memory);
            let others = u64::try_from(viewers - 1)?;
            let memory = usage.memory.saturating_sub(alone).checked_div(others);
            let memory = memory.map_or_else(|| "–".to_owned(), |each| format!("{each} KiB"));
            let (median, late) = outcome.first_packet_ms.context("no newcomers")?;
            println!(
                "| {name}, {viewers} | {:.1} µs | {} | {memory} | {median:.1}, {late:.1} ms | {:.2} ms \
                 | {} of {} |",
                cost(&outcome)?,
                usage.threads,
                outcome.received.gap_error_ms,
                outcome.received.lost,
                outcome.received.packets + outcome.received.lost
            );
        }
    }
    Ok(())
}
