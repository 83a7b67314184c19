// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-rtsp-load`: plays a movie of a server on this machine for many viewers at once.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program prints its result")]

use anyhow::Result;
use clap::Parser;
use mjpeg_rtsp_load::{Load, Transport};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Play a movie of a server on loopback for many viewers at once, and print the result as JSON
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  mjpeg-rtsp-load 127.0.0.1:8554 movie.mjpeg --sessions 500")]
struct Arguments {
    /// Address of the server, on loopback
    server: SocketAddr,

    /// Path of the movie, without the first slash
    movie: String,

    /// How RTP is received
    #[arg(long, default_value = "udp")]
    transport: Transport,

    /// Viewers that watch at the same time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sessions: u32,

    /// Viewers that join one after the other while the others watch
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=1000))]
    newcomers: u32,

    /// Seconds during which packets are counted
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// Frames per second of the movie, as a whole number
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    framerate: u32,

    /// Receive datagrams before the server's kernel splits them (UDP generic receive offload)
    #[arg(long)]
    gro: bool,

    /// Process ID of the server, to measure its CPU time, memory and threads
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

fn run() -> Result<()> {
    let arguments = Arguments::parse();
    let load = Load {
        server: arguments.server,
        movie: arguments.movie,
        transport: arguments.transport,
        sessions: arguments.sessions as usize,
        newcomers: arguments.newcomers as usize,
        time: Duration::from_secs(arguments.seconds),
        period: Duration::from_secs(1) / arguments.framerate,
        gro: arguments.gro,
    };
    println!("{}", serde_json::to_string(&load.run(arguments.pid)?)?);
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mjpeg-rtsp-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}
