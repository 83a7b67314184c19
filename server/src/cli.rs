// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line, as given.

use crate::config::{Fragments, LabMode, Oversize, UdpOffload};
use clap::{Parser, ValueEnum};
use gstmjpegfile::movie::FrameRate;
use mjpeg_program::log::{LineFormat, Log};
use std::path::PathBuf;
use tracing_subscriber::filter::Targets;

const EXAMPLES: &str = "\
Examples:
  mjpeg-rtsp-server                        a test card at rtsp://127.0.0.1:8554/test
  mjpeg-rtsp-server movie.mjpeg            rtsp://127.0.0.1:8554/movie.mjpeg
  mjpeg-rtsp-server --listen 127.0.0.1:0 --loop movies/
                                           every movie below a folder, on a free port
  mjpeg-rtsp-server --live movies/         the same movies as cameras
  mjpeg-rtsp-server --explain movie.Mjpeg  for a student's client: what it says, explained

Watch with: ffplay URL, vlc URL, gst-play-1.0 URL, mjpeg-rtsp-client URL

Exit codes: 0 ended by SIGINT or SIGTERM; 1 it could not serve; 2 wrong usage";

/// Serves length-prefixed MJPEG movies over RTSP.
///
/// Standard output gets one URL a line for each movie as soon as connections are accepted, and
/// nothing else; all else goes to standard error.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Movies, or folders of movies (.mjpeg, .mjpg, any case, subfolders too); without one, a
    /// test card is served at /test
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "[ADDR:]PORT", default_value = "0.0.0.0:8554")]
    pub listen: String,

    /// Frames a second, as a number or a fraction such as 30000/1001; movies do not tell
    #[arg(long, value_name = "RATE", default_value = "20")]
    pub framerate: FrameRate,

    /// Start movies over at their end, without end
    #[arg(long = "loop")]
    pub looping: bool,

    /// Make each movie a camera: all viewers see the same of it, it has no end, and nobody seeks;
    /// lab clients join it too
    #[arg(long)]
    pub live: bool,

    /// Whether the kernel cuts frames into datagrams (UDP segmentation offload), which costs a
    /// quarter; off is for measuring, and for networks that lose such packets
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub udp_offload: UdpOffload,

    /// Memory for frames that were prepared for RTP, in MB, shared by all viewers; 0 for none
    #[arg(long, value_name = "MB", default_value = "64")]
    pub prepare_cache: u32,

    /// Whether clients of the networking course's lab are served, on the same port
    #[arg(long, value_name = "WHO", default_value = "on")]
    pub lab: LabMode,

    /// What lab clients get for a frame over 65495 bytes, which no UDP datagram holds
    #[arg(long, value_name = "HOW", default_value = "shrink")]
    pub lab_oversize: Oversize,

    /// Cut frames into fragments, for the lab clients that want them
    #[arg(long, value_name = "FORM", default_value = "off")]
    pub lab_fragment: Fragments,

    /// Connections at once, at most half of the files that the process may open. For one more, the
    /// connection that has been idle longest is closed
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Connections at once from one address (of IPv6, one /64 network), and RTSP sessions
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: u32,

    /// Whether RTSP is served through HTTP, for players behind proxies
    #[arg(long, value_name = "WHETHER", default_value = "on")]
    pub http_tunnel: Switch,

    /// Explain each message of a lab client and the first RTP header, line by line, on standard
    /// error
    #[arg(long)]
    pub explain: bool,

    /// How much is said on standard error
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: LogLevel,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what ends the server.
    Error,
    /// And what goes wrong for a viewer or a movie.
    Warn,
    /// And what happens.
    Info,
    /// And each request.
    Debug,
    /// Everything.
    Trace,
}

impl Arguments {
    /// Sends the log to standard error.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start_log(&self) -> std::io::Result<Log> {
        let level = match self.log {
            LogLevel::Error => tracing::Level::ERROR,
            LogLevel::Warn => tracing::Level::WARN,
            LogLevel::Info => tracing::Level::INFO,
            LogLevel::Debug => tracing::Level::DEBUG,
            LogLevel::Trace => tracing::Level::TRACE,
        };
        Log::start(Targets::new().with_default(level), LineFormat::Timestamped)
    }
}
