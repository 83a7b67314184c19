// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::player::{Dialect, Options, PacketFormat, Transport};
use clap::Parser;
use gstmjpegfile::labrtspsrc::{Location, LocationError};
use mjpeg_program::log::{LineFormat, Log};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing_subscriber::filter::Targets;

const EXAMPLES: &str = "\
Examples:
  mjpeg-rtsp-client rtsp://127.0.0.1:8554/movie.mjpeg
  mjpeg-rtsp-client --simple      open the window with three buttons, and choose a movie there
  mjpeg-rtsp-client 127.0.0.1 1025 25000 movie.Mjpeg
                                  play from a server of the networking course's lab: its host,
                                  its port, the UDP port on which to receive RTP, the movie
  mjpeg-rtsp-client --explain labrtsp://127.0.0.1:1025/movie.Mjpeg
                                  the same on a free RTP port, and explain each message
  mjpeg-rtsp-client --headless --frames 100 --json rtsp://127.0.0.1:8554/test
  mjpeg-rtsp-client --headless --save frames/ --transport tcp rtsp://127.0.0.1:8554/test
  mjpeg-rtsp-client --headless --seconds 10 --packets play.pcapng rtsp://127.0.0.1:8554/test
                                  save messages and packets for Wireshark

Without --headless or --terminal a window opens; if there is no display, the terminal is used.
Keys in the window and the terminal: s setup, p play, space play or pause, t teardown, q quit,
left and right seek 5 s. Press ? in the window to list its other keys.

Exit codes: 0: frames were decoded; 1: no frame was decoded, or the connection failed or was lost;
2: wrong usage; without a window, 128 + N after signal N, such as 130 after Ctrl-C";

const USAGE: &str = "mjpeg-rtsp-client [OPTIONS] [SOURCE]
       mjpeg-rtsp-client [OPTIONS] <HOST> <PORT> <RTP_PORT> <FILE>";

/// Plays an RTSP stream, or a movie of a lab server, with the course lab's commands
#[derive(Debug, Parser)]
#[command(version, override_usage = USAGE, after_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("no_window").args(["headless", "terminal"])))]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Arguments {
    /// URL of the stream (rtsp://…, labrtsp://HOST:PORT/FILE), or another URI or file that
    /// GStreamer plays; in the lab's form, the server's host
    #[arg(value_name = "SOURCE", required_if_eq_any([("headless", "true"), ("terminal", "true")]))]
    pub source: Option<String>,

    /// In the lab's form, the server's port
    #[arg(value_name = "PORT", requires = "file")]
    pub port: Option<u16>,

    /// In the lab's form, the UDP port on which to receive RTP, 1024 or higher; 0 takes a free one
    #[arg(value_name = "RTP_PORT", value_parser = rtp_port)]
    pub rtp_port: Option<u16>,

    /// In the lab's form, the movie
    #[arg(value_name = "FILE")]
    pub file: Option<String>,

    /// Show no window; count frames and print a summary
    #[arg(long)]
    pub headless: bool,

    /// Take keys from the terminal; GStreamer opens a window for the pictures
    #[arg(long, conflicts_with = "headless")]
    pub terminal: bool,

    /// Show three buttons in the window: Play (which also sets up), Pause, Stop
    #[arg(long, conflicts_with_all = ["headless", "terminal"])]
    pub simple: bool,

    /// Save a screenshot of the window to this PNG file, then close the window
    #[arg(long, value_name = "FILE", conflicts_with_all = ["headless", "terminal"])]
    pub screenshot: Option<PathBuf>,

    /// Take the screenshot after this many frames have been shown
    #[arg(long, value_name = "FRAMES", default_value_t = 0, requires = "screenshot")]
    pub after: u64,

    /// The window's size in points
    #[arg(long, value_name = "WxH", value_parser = size, conflicts_with_all = ["headless", "terminal"])]
    pub size: Option<[u16; 2]>,

    /// The window's colours: system, dark or light
    #[cfg(feature = "gui")]
    #[arg(long, value_name = "COLOURS", conflicts_with_all = ["headless", "terminal"])]
    pub theme: Option<crate::window::Theme>,

    /// The window's side panel: none, protocol, statistics or packets
    #[cfg(feature = "gui")]
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["headless", "terminal"])]
    pub panel: Option<crate::window::Panel>,

    /// Stop after this many frames
    #[arg(long, value_name = "N", requires = "headless", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,

    /// Stop this many seconds after the first frame
    #[arg(long, value_name = "S", requires = "headless", value_parser = seconds)]
    pub seconds: Option<f64>,

    /// Write each frame to this folder as a PNG file
    #[arg(long, value_name = "FOLDER", requires = "headless")]
    pub save: Option<PathBuf>,

    /// Write a line for each frame that arrives over RTP to this CSV file: arrival, sequence numbers, RTP
    /// timestamp, size
    #[arg(long, value_name = "FILE", requires = "headless")]
    pub frames_csv: Option<PathBuf>,

    /// At the end, save the last packets to this file, which ends with .pcapng (for Wireshark, with the
    /// messages), .csv or .txt; at most 100000 packets and, for .pcapng, 64 MiB. May be given several times
    #[arg(long, value_name = "FILE", requires = "no_window", value_parser = packets_file)]
    pub packets: Vec<PathBuf>,

    /// Print the summary as one JSON object
    #[arg(long, requires = "headless")]
    pub json: bool,

    /// Stop with an error if no frame arrives within this many seconds from the start, or from the last
    /// frame; connecting and all replies count
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pub timeout: f64,

    /// Transport of RTP; auto tries UDP, then TCP. An address such as rtsp://HOST/MOVIE?transport=multicast
    /// wins
    #[arg(long, value_name = "TRANSPORT", default_value = "auto")]
    pub transport: Transport,

    /// Trust the certificates in this PEM file, instead of the system's, of servers that are reached by
    /// rtsps://
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// Accept every certificate of a server that is reached by rtsps://
    #[arg(long, conflicts_with = "tls_ca")]
    pub insecure: bool,

    /// User of the server, if it asks for one. The password is asked for, unless --password-stdin is given
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// Take the password of --user from the first line of standard input
    #[arg(long, requires = "user")]
    pub password_stdin: bool,

    /// Play the movie again and again
    #[arg(long = "loop")]
    pub repeat: bool,

    /// Open the session again when it is lost, after 1, 2, 4, ... 30 seconds, until it plays; at its end,
    /// a live stream counts as lost
    #[arg(long)]
    pub reconnect: bool,

    /// Length of the jitter buffer in milliseconds [default: 200, or the window's setting]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub latency: Option<u32>,

    /// Form of the requests to a lab server: auto (try each form until RTP arrives), j (Java's CRLF
    /// lines), a (the textbook's), c (with a blank line), s, s1, s2 (the course report's), u
    /// (with a URL)
    #[arg(long, value_name = "FORM", default_value = "auto", value_parser = dialect)]
    pub dialect: Dialect,

    /// Explain each request and reply, and a lab session's first RTP header, line by line; in
    /// the window use the protocol view instead
    #[arg(long)]
    pub explain: bool,

    /// Start in INIT; do not set up and play
    #[arg(long, conflicts_with = "headless")]
    pub no_play: bool,

    /// Level of the log on standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: tracing::Level,
}

fn rtp_port(text: &str) -> Result<u16, String> {
    let port = gstmjpegfile::labrtspsrc::rtp_port(text);
    port.ok_or_else(|| "must be 0 (a free port) or from 1024 to 65535".to_owned())
}

/// Parses a window size. In a window smaller than 480x360 controls are clipped.
fn size(text: &str) -> Result<[u16; 2], String> {
    let sides = text.split_once(['x', 'X']).map(|(width, height)| (width.parse(), height.parse()));
    match sides {
        Some((Ok(width), Ok(height))) if width >= 480 && height >= 360 => Ok([width, height]),
        _ => Err("must be WIDTHxHEIGHT, at least 480x360, as in 1280x800".to_owned()),
    }
}

fn packets_file(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let known = PacketFormat::of(path).map(|_| path.to_owned());
    known.ok_or_else(|| "the name must end with .pcapng, .csv or .txt".to_owned())
}

fn dialect(text: &str) -> Result<Dialect, String> {
    Dialect::of(text).ok_or_else(|| "must be one of auto, j, a, c, s, s1, s2, u".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    // The upper limit is far below what a Duration holds.
    let value = text.parse().ok().filter(|value| *value > 0.0 && *value < 1e9);
    value.ok_or_else(|| "must be a number of seconds above 0 and below 1000000000".to_owned())
}

impl Arguments {
    /// The source to play, as a URI or file; the window can start without one.
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

    /// How to receive the source.
    pub fn options(&self) -> Options {
        Options {
            transport: self.transport,
            latency: self.latency.unwrap_or(Options::default().latency),
            dialect: self.dialect,
            timeout: Duration::from_secs_f64(self.timeout),
            tls_ca: self.tls_ca.clone(),
            insecure: self.insecure,
            reconnect: self.reconnect,
            repeat: self.repeat,
        }
    }

    /// What the window shows first, and how.
    #[cfg(feature = "gui")]
    pub fn startup(&self, source: Option<String>) -> crate::window::Startup {
        crate::window::Startup {
            source,
            options: self.options(),
            transport: Some(self.transport).filter(|it| *it != Transport::Auto),
            latency: self.latency,
            reconnect: self.reconnect,
            repeat: self.repeat,
            no_play: self.no_play,
            simple: self.simple,
            theme: self.theme,
            panel: self.panel,
            size: self.size,
            screenshot: self.screenshot.clone().map(|path| (path, self.after)),
            user: self.user.clone(),
        }
    }

    /// Starts the log, which goes to standard error.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start_log(&self) -> std::io::Result<Log> {
        // Warnings of the window's libraries are for their developers.
        let others = if self.log > tracing::Level::INFO { self.log } else { tracing::Level::ERROR };
        let targets = Targets::new()
            .with_default(others)
            .with_target("mjpeg_rtsp_client", self.log)
            .with_target("gstmjpegfile", self.log)
            .with_target("mjpeg_program", self.log);
        Log::start(targets, LineFormat::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_with_the_range() {
        const SECONDS: &str = "must be a number of seconds above 0 and below 1000000000";
        let rows = [
            ("zero seconds", seconds("0").err(), Some(SECONDS)),
            ("a thousand million seconds", seconds("1e9").err(), Some(SECONDS)),
            ("no number", seconds("x").err(), Some(SECONDS)),
            ("half a second", seconds("0.5").err(), None),
            (
                "a small window",
                size("479x360").err(),
                Some("must be WIDTHxHEIGHT, at least 480x360, as in 1280x800"),
            ),
            ("the smallest window", size("480x360").err(), None),
            (
                "a reserved port",
                rtp_port("1023").err(),
                Some("must be 0 (a free port) or from 1024 to 65535"),
            ),
            ("any free port", rtp_port("0").err(), None),
            ("a table", packets_file("a/b.csv").err(), None),
            (
                "another format",
                packets_file("a.pcap").err(),
                Some("the name must end with .pcapng, .csv or .txt"),
            ),
        ];
        for (name, got, want) in rows {
            assert_eq!(got.as_deref(), want, "{name}");
        }
    }
}
