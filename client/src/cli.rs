// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::player::{Dialect, Options, Transport};
use clap::Parser;
use gstmjpegfile::labrtspsrc::{Location, LocationError};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  mjpeg-rtsp-client rtsp://127.0.0.1:8554/movie.mjpeg
  mjpeg-rtsp-client 127.0.0.1 1025 25000 movie.Mjpeg
                                  a server of the networking course's lab: its host, its port,
                                  the port that RTP comes to, the movie
  mjpeg-rtsp-client --explain labrtsp://127.0.0.1:1025/movie.Mjpeg
                                  the same on a free RTP port, each message explained
  mjpeg-rtsp-client --headless --frames 100 --json rtsp://127.0.0.1:8554/test
  mjpeg-rtsp-client --headless --save frames/ --transport tcp rtsp://127.0.0.1:8554/test

Keys in the terminal: s setup, p play, space play or pause, t teardown, q quit,
left and right seek 5 s

Exit codes: 0 frames were decoded; 1 none, or the connection failed or was lost; 2 wrong usage";

const USAGE: &str = "mjpeg-rtsp-client [OPTIONS] <SOURCE>
       mjpeg-rtsp-client [OPTIONS] <HOST> <PORT> <RTP_PORT> <FILE>";

/// Plays an RTSP stream, or a movie of a lab server, by the course lab's commands.
#[derive(Debug, Parser)]
#[command(version, override_usage = USAGE, after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Arguments {
    /// URL of the stream (rtsp://…, labrtsp://HOST:PORT/FILE), or another URI or file that
    /// GStreamer plays; in the lab's form the server's host
    #[arg(value_name = "SOURCE")]
    pub source: String,

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

    /// Explain each message of a lab session and the first RTP header, line by line
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

fn dialect(text: &str) -> Result<Dialect, String> {
    Dialect::of(text).ok_or_else(|| "none of auto, j, a, c, s, s1, s2".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    // Up to what fits a Duration by far.
    (value > 0.0 && value < 1e9).then_some(value).ok_or_else(|| "not above 0".to_owned())
}

impl Arguments {
    /// What is to be played, as a URI or file.
    ///
    /// # Errors
    /// If the lab's form names no movie.
    pub fn source(&self) -> Result<String, LocationError> {
        let (Some(port), Some(file)) = (self.port, &self.file) else {
            return Ok(self.source.clone());
        };
        let location = Location::new(&self.source, port, file)?;
        Ok(Location { rtp_port: self.rtp_port, ..location }.to_string())
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

    /// Sends the log to standard error, coloured only on a terminal.
    pub fn start_log(&self) {
        tracing_subscriber::fmt()
            .with_max_level(self.log)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .without_time()
            .init();
    }
}
