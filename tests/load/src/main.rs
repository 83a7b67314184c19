// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-rtsp-load`: many viewers of a server on this machine.
#![allow(clippy::print_stdout, reason = "the outcome is the product")]

use anyhow::Result;
use clap::Parser;
use mjpeg_rtsp_load::{Load, Transport};
use std::net::SocketAddr;
use std::time::Duration;

/// Watches a movie of a server on loopback many times at once, and prints as JSON what was seen
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  mjpeg-rtsp-load 127.0.0.1:8554 movie.mjpeg --sessions 500")]
struct Arguments {
    /// The server
    server: SocketAddr,

    /// The movie, without the first slash
    movie: String,

    /// How RTP comes
    #[arg(long, default_value = "udp")]
    transport: Transport,

    /// Viewers at once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sessions: u32,

    /// Viewers that come while they watch, one after the other
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=1000))]
    newcomers: u32,

    /// Seconds that they watch
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// Frames a second of the movie, as a whole number
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    framerate: u32,

    /// Take datagrams that the server's kernel has not cut yet as they are
    #[arg(long)]
    uncut: bool,

    /// The server's process, for what it takes of the machine
    #[arg(long, value_name = "PID")]
    process: Option<u32>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let load = Load {
        server: arguments.server,
        movie: arguments.movie,
        transport: arguments.transport,
        sessions: arguments.sessions as usize,
        newcomers: arguments.newcomers as usize,
        time: Duration::from_secs(arguments.seconds),
        period: Duration::from_secs(1) / arguments.framerate,
        uncut: arguments.uncut,
    };
    println!("{}", serde_json::to_string(&load.run(arguments.process)?)?);
    Ok(())
}
