// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::player::Transport;
use clap::Parser;
use std::io::IsTerminal;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mjpeg-rtsp-client rtsp://127.0.0.1:8554/movie.mjpeg
  mjpeg-rtsp-client --headless --frames 100 --json rtsp://127.0.0.1:8554/test
  mjpeg-rtsp-client --headless --save frames/ --transport tcp rtsp://127.0.0.1:8554/test

Keys in the terminal: s setup, p play, space play or pause, t teardown, q quit,
left and right seek 5 s

Exit codes: 0 frames were decoded; 1 none, or the connection failed or was lost; 2 wrong usage";

/// Plays an RTSP stream by the course lab's commands.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Arguments {
    /// URL of the stream (rtsp://…), or another URI or file that GStreamer plays
    #[arg(value_name = "SOURCE")]
    pub source: String,

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

    /// Start in INIT, without setup and play
    #[arg(long, conflicts_with = "headless")]
    pub no_play: bool,

    /// How much is said on standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: tracing::Level,
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    // Up to what fits a Duration by far.
    (value > 0.0 && value < 1e9).then_some(value).ok_or_else(|| "not above 0".to_owned())
}

impl Arguments {
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
