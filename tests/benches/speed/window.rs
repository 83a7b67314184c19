// SPDX-License-Identifier: MIT OR Apache-2.0
//! The window under software GL: its CPU time, compared with other players' and while paused; the time
//! from a frame's sending to its showing; the time from the program's start to the first picture, compared
//! with other players'.

use crate::viewers::cpu_time;
use crate::{ms, spread};
use anyhow::{Context, Result, ensure};
use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use mjpeg_rtsp_tests::movies::{self, Folder};
use mjpeg_rtsp_tests::peer::display::{Display, Window};
use mjpeg_rtsp_tests::programs::{Guard, Server, program};
use mjpeg_rtsp_tests::{pace, wait_until};
use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SIZE: (u16, u16) = (1280, 720);
const RATE: u32 = 30;
/// Number of black or white blocks that encode a frame's number in its picture.
const BITS: u16 = 12;
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);
const ARGUMENTS: [&str; 5] = ["--size", "1280x800", "--panel", "none", "--theme"];

pub fn run() -> Result<()> {
    // Ten seconds that differ; each image is within the movie format's limit.
    let images: Vec<Vec<u8>> = (0..300).map(image).collect::<Result<_>>()?;
    let folder = Folder::new()?;
    let movie = images.iter().cloned().cycle().take(3000).collect::<Vec<_>>();
    let movie = folder.file("hd.mjpeg", &movies::movie(&movie)?)?;
    let path = movie.to_str().context("a plain path")?.to_owned();
    let mut server = Server::start(["--framerate", &RATE.to_string(), &path], 1)?;
    let display = Display::start()?;
    cost(&display, &server.urls[0])?;
    first_picture_of_each(&display, &server.urls[0])?;
    first_picture(&display, &server.urls[0])?;
    latency(&display, &images)?;
    server.is_well()
}

/// Memory of the window over ten minutes, with the statistics open.
pub fn soak() -> Result<()> {
    const MINUTES: u64 = 11;
    let images = movies::images(100, "I420")?;
    let seconds = usize::try_from(MINUTES * 60 + 30)?;
    let movie = images.into_iter().cycle().take(seconds * 20).collect::<Vec<_>>();
    let folder = Folder::new()?;
    let movie = folder.file("long.mjpeg", &movies::movie(&movie)?)?;
    let mut server = Server::start([movie], 1)?;
    let display = Display::start()?;
    let url = &server.urls[0];
    let line = ["mjpeg-rtsp-client", "--size", "1280x800", "--panel", "statistics", url];
    let player = play_with(&display, &line)?;
    println!("\nresident memory of the window, 384x288 at 20 frames/s, statistics open\n");
    println!("| minutes | KiB |\n|---|---|");
    for minute in 1..=MINUTES {
        pace(Duration::from_mins(1));
        println!("| {minute} | {} |", resident(player.id())?);
    }
    server.is_well()
}

/// Resident memory in KiB (proc(5), /proc/PID/status).
fn resident(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// An image that takes time to decode, with its number in the upper eighth.
fn image(number: u16) -> Result<Vec<u8>> {
    let (width, height) = SIZE;
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..height {
        for x in 0..width {
            if y < height / 8 {
                let bit = number >> (BITS - 1 - x * BITS / width) & 1;
                pixels.extend([if bit == 1 { 235 } else { 16 }; 3]);
            } else {
                let wave = |a: u16, b: u16| {
                    let phase =
                        f32::from(x) / f32::from(a) + f32::from(y + number * 4) / f32::from(b);
                    // From 28 to 228.
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                    let value = (128.0 + 100.0 * phase.sin()) as u8;
                    value
                };
                pixels.extend([wave(37, 91), wave(53, 29), wave(111, 17)]);
            }
        }
    }
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, 85);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&pixels, width, height, ColorType::Rgb)?;
    Ok(out)
}

fn play_with(display: &Display, line: &[&str]) -> Result<Guard> {
    let (name, arguments) = line.split_first().context("no program")?;
    let mut command = match *name {
        "mjpeg-rtsp-client" => program(name)?,
        name => Command::new(name),
    };
    display.prepare(&mut command);
    let quiet = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(Guard::new(quiet.stderr(Stdio::null()).spawn()?))
}

/// CPU of one core over [`TIME`], in percent.
fn percent(id: u32) -> Result<f64> {
    let (started, before) = (Instant::now(), cpu_time(id)?);
    pace(TIME);
    Ok((cpu_time(id)? - before) / started.elapsed().as_secs_f64() * 100.0)
}

/// The command line of our window.
fn own<'a>(panel: &'a str, url: &'a str) -> Vec<&'a str> {
    vec!["mjpeg-rtsp-client", "--size", "1280x800", "--theme", "dark", "--panel", panel, url]
}

/// Names and command lines of other players, which receive over UDP; those that are missing are named.
fn peers(url: &str) -> Vec<(&'static str, Vec<&str>)> {
    let rows = [
        ("`gst-play-1.0`, autovideosink", vec!["gst-play-1.0", "--quiet", "--no-interactive", url]),
        ("`ffplay`", vec!["ffplay", "-loglevel", "quiet", "-rtsp_transport", "udp", url]),
        (
            "`mpv`",
            vec![
                "mpv",
                "--no-config",
                "--really-quiet",
                "--geometry=+0+0",
                "--rtsp-transport=udp",
                url,
            ],
        ),
    ];
    let is_there = |(name, line): &(&str, Vec<&str>)| {
        let there = Command::new(line[0]).arg("--version").output().is_ok();
        if !there {
            println!("\n{name} is not installed, so it is not compared");
        }
        there
    };
    rows.into_iter().filter(is_there).collect()
}

/// Whether more than half of a line of the screen shows something.
fn shows_picture(line: &[u8]) -> bool {
    let lit = |pixel: &&[u8; 3]| pixel.iter().any(|value| *value > 12);
    line.as_chunks::<3>().0.iter().filter(lit).count() * 2 > line.len() / 3
}

fn first_picture_of_each(display: &Display, url: &str) -> Result<()> {
    const STARTS: usize = 5;
    println!(
        "\nfrom a player's start to the first picture on the screen, over UDP, {STARTS} starts\n"
    );
    println!("| player | median ms (least, most) |\n|---|---|");
    let rows = [peers(url), vec![("our window", own("none", url))]].concat();
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..STARTS {
        for ((name, line), times) in rows.iter().zip(&mut times) {
            let shown = Arc::new(Mutex::new(None));
            let slot = shown.clone();
            let watcher = Watcher::lines(display, move |pixels, now| {
                if shows_picture(pixels) {
                    slot.lock().expect("no panic").get_or_insert(now);
                }
            })?;
            pace(Duration::from_millis(500));
            ensure!(
                shown.lock().expect("no panic").is_none(),
                "{name}: a picture of the last round"
            );
            let started = Instant::now();
            let player = play_with(display, line)?;
            wait_until(name, LIMIT, || shown.lock().expect("no panic").is_some());
            times.push(shown.lock().expect("no panic").context("no time")? - started);
            drop(watcher);
            drop(player);
            pace(Duration::from_millis(500));
        }
    }
    for ((name, _), mut times) in rows.iter().zip(times) {
        let (median, least, most) = spread(&mut times).context("no starts")?;
        let (median, least, most) = (ms(median), ms(least), ms(most));
        println!("| {name} | {median:.0} ({least:.0}, {most:.0}) |");
    }
    Ok(())
}

fn cost(display: &Display, url: &str) -> Result<()> {
    println!(
        "\n{RATE} frames a second of 1280x720, software GL, {ROUNDS} rounds of {} s\n",
        TIME.as_secs()
    );
    println!("| player | CPU of one core, median % (least, most) | beside gst-play-1.0 (times) |");
    println!("|---|---|---|");
    let rows: Vec<(&str, Vec<&str>)> = [
        peers(url),
        vec![
            ("our window", own("none", url)),
            ("the same with the protocol view", own("protocol", url)),
            ("the same with the statistics", own("statistics", url)),
        ],
    ]
    .concat();
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for ((_, line), times) in rows.iter().zip(&mut times) {
            let player = play_with(display, line)?;
            pace(Duration::from_secs(3));
            times.push(per_mille(percent(player.id())?));
        }
    }
    let mut peer = None;
    for ((name, _), mut times) in rows.iter().zip(times) {
        let (median, least, most) = spread(&mut times).context("no rounds")?;
        let [median, least, most] = [median, least, most].map(|it| f64::from(it) / 10.0);
        let ratio = median / *peer.get_or_insert(median);
        println!("| {name} | {median:.1} ({least:.1}, {most:.1}) | {ratio:.2} |");
    }
    let window = Window::open(display, &[&ARGUMENTS[..], &["dark", url]].concat())?;
    pace(Duration::from_secs(3));
    window.key("space")?;
    pace(Duration::from_secs(1));
    println!("\npaused: {:.2} % of a core", percent(window.id())?);
    Ok(())
}

/// For [`spread`], which orders whole numbers.
fn per_mille(percent: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A few hundred.
    let value = (percent * 10.0).round() as u32;
    value
}

/// Reads a frame's number from a line of the screen 250 times a second.
struct Watcher(gst::Element);

impl Watcher {
    /// Calls `report` with each number and its time.
    fn start(display: &Display, report: impl Fn(u16, Instant) + Send + 'static) -> Result<Self> {
        Self::lines(display, move |pixels, now| {
            if let Some(number) = number_of(pixels) {
                report(number, now);
            }
        })
    }

    /// Calls `report` with each line of pixels and its time.
    fn lines(display: &Display, report: impl Fn(&[u8], Instant) + Send + 'static) -> Result<Self> {
        // In the upper eighth of the picture, which is below the address.
        let line = format!(
            "ximagesrc display-name={} use-damage=false show-pointer=false startx=0 endx=1279 \
             starty=90 endy=91 ! video/x-raw,framerate=250/1 ! videoconvert ! video/x-raw,format=RGB \
             ! appsink name=out sync=false",
            display.name()
        );
        let pipeline = gst::parse::launch(&line)?;
        let bin = pipeline.downcast_ref::<gst::Bin>().context("no bin")?;
        let out = bin.by_name("out").and_downcast::<gst_app::AppSink>().context("no appsink")?;
        let take = move |sink: &gst_app::AppSink| {
            let now = Instant::now();
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let pixels = sample.buffer().and_then(|it| it.map_readable().ok());
            if let Some(pixels) = pixels {
                report(&pixels, now);
            }
            Ok(gst::FlowSuccess::Ok)
        };
        out.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(take).build());
        pipeline.set_state(gst::State::Playing)?;
        Ok(Self(pipeline))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// The number in the picture's line, if there is a picture.
fn number_of(line: &[u8]) -> Option<u16> {
    let at = |x: usize| line.get(x * 3..x * 3 + 3);
    // The picture has the height of its area, which is black at its sides.
    let height = 800.0 - 48.0 - 84.0;
    let width = height * f64::from(SIZE.0) / f64::from(SIZE.1);
    let left = (1280.0 - width) / 2.0;
    (0..BITS).try_fold(0, |number, bit| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Within the screen.
        let x = (left + width * (f64::from(bit) + 0.5) / f64::from(BITS)) as usize;
        match at(x)? {
            [red, green, blue] if red.min(green).min(blue) > &180 => Some(number << 1 | 1),
            // The black before the first picture is 0.
            [red, green, blue] if (8..70).contains(red.max(green).max(blue)) => Some(number << 1),
            _ => None,
        }
    })
}

fn first_picture(display: &Display, url: &str) -> Result<()> {
    println!("\nfrom the program's start to the first picture on the screen, 10 starts\n");
    println!("| transport | jitter buffer | median ms (least, most) |\n|---|---|---|");
    for transport in ["udp", "tcp"] {
        for latency in ["0", "200"] {
            let mut times = Vec::new();
            for _ in 0..10 {
                let shown = Arc::new(Mutex::new(None));
                let slot = shown.clone();
                let watcher = Watcher::start(display, move |_, now| {
                    slot.lock().expect("no panic").get_or_insert(now);
                })?;
                pace(Duration::from_millis(300));
                ensure!(shown.lock().expect("no panic").is_none(), "a picture of the last round");
                let started = Instant::now();
                let options = ["--latency", latency, "--transport", transport, url];
                let line = [&["mjpeg-rtsp-client"], &ARGUMENTS[..], &["dark"], &options].concat();
                let player = play_with(display, &line)?;
                wait_until("a picture", LIMIT, || shown.lock().expect("no panic").is_some());
                let time = shown.lock().expect("no panic").context("no time")?;
                times.push(time - started);
                drop(watcher);
                drop(player);
                // The window disappears from the display.
                pace(Duration::from_millis(300));
            }
            let (median, least, most) = spread(&mut times).context("no rounds")?;
            let (median, least, most) = (ms(median), ms(least), ms(most));
            println!("| {transport} | {latency} ms | {median:.0} ({least:.0}, {most:.0}) |");
        }
    }
    Ok(())
}

/// A camera on stock gst-rtsp-server, which sends numbered frames at known times.
struct Camera {
    url: String,
    sent: Arc<Mutex<HashMap<u16, Instant>>>,
    ended: Arc<AtomicBool>,
    main_loop: glib::MainLoop,
}

impl Camera {
    fn start(images: &[Vec<u8>]) -> Result<Self> {
        let sent = Arc::new(Mutex::new(HashMap::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let factory = gst_rtsp_server::RTSPMediaFactory::new();
        factory.set_launch(
            "( appsrc name=source is-live=true do-timestamp=true format=time \
               caps=image/jpeg,width=1280,height=720,framerate=30/1 ! rtpjpegpay name=pay0 pt=26 )",
        );
        let images: Arc<Vec<Vec<u8>>> = Arc::new(images.to_vec());
        let (times, end) = (sent.clone(), ended.clone());
        factory.connect_media_configure(move |_, media| {
            let source = media.element().downcast::<gst::Bin>().ok();
            let source = source.and_then(|bin| bin.by_name("source"));
            let Some(source) = source.and_downcast::<gst_app::AppSrc>() else { return };
            let (images, times, end) = (images.clone(), times.clone(), end.clone());
            std::thread::spawn(move || {
                let started = Instant::now();
                for number in 0.. {
                    let due = started + Duration::from_secs(1) * number / RATE;
                    pace(due.saturating_duration_since(Instant::now()));
                    let at = usize::try_from(number).unwrap_or(0) % images.len();
                    let Ok(short) = u16::try_from(at) else { return };
                    times.lock().expect("no panic").insert(short, Instant::now());
                    let frame = gst::Buffer::from_slice(images[at].clone());
                    if end.load(Ordering::Relaxed) || source.push_buffer(frame).is_err() {
                        return;
                    }
                }
            });
        });
        let server = gst_rtsp_server::RTSPServer::new();
        server.set_service("0");
        server.set_address("127.0.0.1");
        server.mount_points().context("no mounts")?.add_factory("/camera", factory);
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (ready, port) = std::sync::mpsc::channel();
        let run = main_loop.clone();
        std::thread::spawn(move || {
            let attached = server.attach(Some(&context));
            let _ = ready.send(server.bound_port());
            if attached.is_ok() {
                run.run();
            }
        });
        let port = port.recv()?;
        Ok(Self { url: format!("rtsp://127.0.0.1:{port}/camera"), sent, ended, main_loop })
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.main_loop.quit();
    }
}

fn latency(display: &Display, images: &[Vec<u8>]) -> Result<()> {
    println!(
        "\nfrom a frame's hand-over to a camera's payloader to the screen, {} s each\n",
        TIME.as_secs()
    );
    println!(
        "| player | transport | jitter buffer | median ms (least, most) | frames |\n|---|---|---|---|---|"
    );
    for transport in ["udp", "tcp"] {
        for buffer in ["0", "200"] {
            let camera = Camera::start(images)?;
            let shown = Arc::new(Mutex::new(HashMap::<u16, Duration>::new()));
            let (slot, sent) = (shown.clone(), camera.sent.clone());
            let options = ["--latency", buffer, "--transport", transport, &camera.url];
            let line = [&["mjpeg-rtsp-client"], &ARGUMENTS[..], &["dark"], &options].concat();
            let player = play_with(display, &line)?;
            pace(Duration::from_secs(3));
            let last = Mutex::new(None);
            let watcher = Watcher::start(display, move |number, now| {
                // When a number is on the screen for the first time after another one.
                let before = last.lock().expect("no panic").replace(number);
                let sent = sent.lock().expect("no panic").get(&number).copied();
                if let (true, Some(sent)) = (before.is_some_and(|it| it != number), sent) {
                    slot.lock()
                        .expect("no panic")
                        .insert(number, now.saturating_duration_since(sent));
                }
            })?;
            pace(TIME);
            drop(watcher);
            drop(player);
            let mut times: Vec<Duration> =
                shown.lock().expect("no panic").values().copied().collect();
            let frames = times.len();
            let (median, least, most) = spread(&mut times).context("no frame on the screen")?;
            let (median, least, most) = (ms(median), ms(least), ms(most));
            println!(
                "| our window | {transport} | {buffer} ms | {median:.0} ({least:.0}, {most:.0}) | {frames} |"
            );
        }
    }
    Ok(())
}
