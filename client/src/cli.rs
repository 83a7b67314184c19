// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::player::{Dialect, Options, Transport};
use clap::Parser;
use gstmjpegfile::labrtspsrc::{Location, LocationError};
use mjpeg_program::log::{LineFormat, Log};
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

const EXAMPLES: &str = "\
Examples:
  mjpeg-rtsp-client rtsp://127.0.0.1:8554/movie.mjpeg
  mjpeg-rtsp-client --simple      the window with three buttons; choose a movie there
  mjpeg-rtsp-client 127.0.0.1 1025 25000 movie.Mjpeg
                                  a server of the networking course's lab: its host, its port,
                                  the port that RTP comes to, the movie
  mjpeg-rtsp-client --explain labrtsp://127.0.0.1:1025/movie.Mjpeg
                                  the same on a free RTP port, each message explained
  mjpeg-rtsp-client --headless --frames 100 --json rtsp://127.0.0.1:8554/test
  mjpeg-rtsp-client --headless --save frames/ --transport tcp rtsp://127.0.0.1:8554/test

Without --headless or --terminal a window opens; where there is no display, the terminal face.
Keys in both: s setup, p play, space play or pause, t teardown, q quit, left and right seek 5 s;
the window lists its others by ?

Exit codes: 0 frames were decoded; 1 none, or the connection failed or was lost; 2 wrong usage";

const USAGE: &str = "mjpeg-rtsp-client [OPTIONS] [SOURCE]
       mjpeg-rtsp-client [OPTIONS] <HOST> <PORT> <RTP_PORT> <FILE>";

/// Plays an RTSP stream, or a movie of a lab server, by the course lab's commands.
#[derive(Debug, Parser)]
#[command(version, override_usage = USAGE, after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Arguments {
    /// URL of the stream (rtsp://…, labrtsp://HOST:PORT/FILE), or another URI or file that
    /// GStreamer plays; in the lab's form the server's host
    #[arg(value_name = "SOURCE", required_if_eq_any([("headless", "true"), ("terminal", "true")]))]
    pub source: Option<String>,

    /// In the lab's form, the server's port
    #[arg(value_name = "PORT", requires = "file")]
    pub port: Option<u16>,

    /// In the lab's form, the UDP port that RTP comes to, 1024 or higher; 0 takes a free one
    #[arg(value_name = "RTP_PORT", value_parser = rtp_port)]
    pub rtp_port: Option<u16>,

    /// In the lab's form, the movie
    #[arg(value_name = "FILE")]
    pub file: Option<String>,

    /// Show no window; count frames and print a summary
    #[arg(long)]
    pub headless: bool,

    /// Be driven by keys in the terminal; GStreamer shows the pictures
    #[arg(long, conflicts_with = "headless")]
    pub terminal: bool,

    /// The window with three buttons: Play, Pause, Stop; setup happens by itself
    #[arg(long, conflicts_with_all = ["headless", "terminal"])]
    pub simple: bool,

    /// Save the window as PNG into this file, and close it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["headless", "terminal"])]
    pub screenshot: Option<PathBuf>,

    /// When this many frames have been shown
    #[arg(long, value_name = "FRAMES", default_value_t = 0, requires = "screenshot")]
    pub after: u64,

    /// The window's size in points
    #[arg(long, value_name = "WxH", value_parser = size, conflicts_with_all = ["headless", "terminal"])]
    pub size: Option<[u16; 2]>,

    /// The window's colours: system, dark or light
    #[cfg(feature = "gui")]
    #[arg(long, value_name = "COLOURS", conflicts_with_all = ["headless", "terminal"])]
    pub theme: Option<crate::window::Theme>,

    /// The window's side panel: none, protocol or statistics
    #[cfg(feature = "gui")]
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["headless", "terminal"])]
    pub panel: Option<crate::window::Panel>,

    /// Stop after this many frames
    #[arg(long, value_name = "N", requires = "headless", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,

    /// Stop after this many seconds of frames
    #[arg(long, value_name = "S", requires = "headless", value_parser = seconds)]
    pub seconds: Option<f64>,

    /// Write each frame as PNG into this folder
    #[arg(long, value_name = "FOLDER", requires = "headless")]
    pub save: Option<PathBuf>,

    /// Print the summary as one JSON object
    #[arg(long, requires = "headless")]
    pub json: bool,

    /// Give up when no new frame comes for this many seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pub timeout: f64,

    /// How RTP is carried; auto tries UDP, then TCP
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub transport: Transport,

    /// Jitter buffer in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub latency: u32,

    /// In which form requests to a lab server are written: auto (tried until RTP comes), j (Java's
    /// CRLF lines), a (the textbook's), c (with a blank line), s, s1, s2 (the course report's)
    #[arg(long, value_name = "FORM", default_value = "auto", value_parser = dialect)]
    pub dialect: Dialect,

    /// Explain each request and reply, and a lab session's first RTP header, line by line; in the
    /// window the protocol view does
    #[arg(long)]
    pub explain: bool,

    /// Start in INIT, without setup and play
    #[arg(long, conflicts_with = "headless")]
    pub no_play: bool,

    /// How much is said on standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: tracing::Level,
}

fn rtp_port(text: &str) -> Result<u16, String> {
    let port = gstmjpegfile::labrtspsrc::rtp_port(text);
    port.ok_or_else(|| "neither 0 (a free one) nor from 1024 to 65535".to_owned())
}

/// From 480x360, where no control is clipped.
fn size(text: &str) -> Result<[u16; 2], String> {
    let sides = text.split_once(['x', 'X']).map(|(width, height)| (width.parse(), height.parse()));
    match sides {
        Some((Ok(width), Ok(height))) if width >= 480 && height >= 360 => Ok([width, height]),
        _ => Err("not two numbers as in 1280x800, 480x360 at least".to_owned()),
    }
}

fn dialect(text: &str) -> Result<Dialect, String> {
    Dialect::of(text).ok_or_else(|| "none of auto, j, a, c, s, s1, s2".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    // Up to what fits a Duration by far.
    (value > 0.0 && value < 1e9).then_some(value).ok_or_else(|| "not above 0".to_owned())
}

impl Arguments {
    /// What is to be played, as a URI or file; the window may begin without.
    ///
    /// # Errors
    /// If the lab's form names no movie.
    pub fn source(&self) -> Result<Option<String>, LocationError> {
        let (Some(host), Some(port), Some(file)) = (&self.source, self.port, &self.file) else {
            return Ok(self.source.clone());
        };
        let location = Location::new(host, port, file)?;
        Ok(Some(Location { rtp_port: self.rtp_port, ..location }.to_string()))
    }

    /// How it is received.
    pub fn options(&self) -> Options {
        Options {
            transport: self.transport,
            latency: self.latency,
            dialect: self.dialect,
            timeout: Duration::from_secs_f64(self.timeout),
        }
    }

    /// Sends the log to standard error.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start_log(&self) -> std::io::Result<Log> {
        // What the window's libraries warn of is for their developers.
        let others = if self.log > tracing::Level::INFO { self.log } else { tracing::Level::ERROR };
        let targets = Targets::new()
            .with_default(others)
            .with_target("mjpeg_rtsp_client", self.log)
            .with_target("gstmjpegfile", self.log)
            .with_target("mjpeg_program", self.log);
        Log::start(targets, LineFormat::Plain)
    }
}
