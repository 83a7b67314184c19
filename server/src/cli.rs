// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arguments of the command line, not checked yet.

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
                                           all movies in a folder, on a free port
  mjpeg-rtsp-server --live movies/         the same movies as live streams
  mjpeg-rtsp-server --explain movie.Mjpeg  explains what a student's client sends

Watch with: ffplay URL, vlc URL, gst-play-1.0 URL, mjpeg-rtsp-client URL

Exit codes: 0 ended by SIGINT or SIGTERM; 1 cannot serve; 2 wrong usage";

/// Serves length-prefixed MJPEG movies over RTSP.
///
/// Prints the URL of each movie on standard output, one per line, once connections are accepted.
/// Everything else is printed on standard error.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Movies, or folders of movies (*.mjpeg and *.mjpg in any case, also in subfolders). Without a
    /// path, a test card is served at /test
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Address and port to listen on; port 0 chooses a free one
    #[arg(long, value_name = "[ADDR:]PORT", default_value = "0.0.0.0:8554")]
    pub listen: String,

    /// Frames per second, as a number or a fraction such as 30000/1001; movies do not contain it
    #[arg(long, value_name = "RATE", default_value = "20")]
    pub framerate: FrameRate,

    /// Start each movie again at its end
    #[arg(long = "loop")]
    pub looping: bool,

    /// Play each movie as a live stream that starts with the server and never ends: all viewers see
    /// the same frame at the same time, and cannot seek or change the speed. A lab client gets a
    /// stream of its own that starts at the live position at each PLAY; the reply to its seek and
    /// speed requests is 455
    #[arg(long)]
    pub live: bool,

    /// Let the kernel split frames into datagrams (UDP segmentation offload), which needs about a
    /// quarter of the CPU time. Switch it off for measurements, and for networks that lose such
    /// packets
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub udp_offload: UdpOffload,

    /// Size in MB of the cache of frames that are prepared for RTP, which all viewers share; 0 for no
    /// cache
    #[arg(long, value_name = "MB", default_value = "64")]
    pub prepare_cache: u32,

    /// Serve the clients of the networking course's lab, on the same port
    #[arg(long, value_name = "WHETHER", default_value = "on")]
    pub lab: LabMode,

    /// How to send frames over 65495 bytes, which are larger than a UDP datagram can be, to lab
    /// clients
    #[arg(long, value_name = "HOW", default_value = "shrink")]
    pub lab_oversize: Oversize,

    /// Split frames into fragments, for lab clients that need it
    #[arg(long, value_name = "HOW", default_value = "off")]
    pub lab_fragment: Fragments,

    /// Maximum number of open connections; at most half of the number of files that the process may
    /// open. At the limit, the connection that has been idle longest is closed for a new one
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Maximum number of open connections from one address, and of RTSP sessions (IPv6: from one /64
    /// network)
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: u32,

    /// Serve RTSP through HTTP too, for players behind proxies
    #[arg(long, value_name = "WHETHER", default_value = "on")]
    pub http_tunnel: Switch,

    /// Explain each request and reply of lab clients, and the first RTP header, line by line, on
    /// standard error
    #[arg(long)]
    pub explain: bool,

    /// The least important messages that are logged on standard error
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: LogLevel,
}

/// Whether an option is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Switched on
    On,
    /// Switched off
    Off,
}

/// The least important messages that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Errors of the server itself
    Error,
    /// Problems of one viewer or movie too
    Warn,
    /// Other events too
    Info,
    /// Each request too
    Debug,
    /// Everything
    Trace,
}

impl Arguments {
    /// Starts to log on standard error.
    ///
    /// # Errors
    /// If the system cannot start another thread.
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
