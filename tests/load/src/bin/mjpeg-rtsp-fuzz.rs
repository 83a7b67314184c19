// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-rtsp-fuzz`: requests of strangers to a server on this machine.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is the product")]

use anyhow::Result;
use clap::Parser;
use mjpeg_rtsp_load::fuzz::{Fuzz, new_seed};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Sends well-formed requests, changed ones and noise to a server on loopback, in standard RTSP, the
/// lab's dialect and HTTP, and checks that it answers others all the while
#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  mjpeg-rtsp-fuzz --server 127.0.0.1:8554 --movie movie.mjpeg --pid $(pidof mjpeg-rtsp-server)

Exit codes: 0 the server did all that it must; 1 it did not; 2 wrong usage")]
struct Arguments {
    /// The server
    #[arg(long, value_name = "ADDR:PORT")]
    server: SocketAddr,

    /// The movie, without the first slash
    #[arg(long, value_name = "NAME")]
    movie: String,

    /// Requests in all
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    requests: u64,

    /// Clients at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    clients: u32,

    /// What the requests are made from; without it, another one each time
    #[arg(long)]
    seed: Option<u64>,

    /// The number of the first connection: with --clients 1 and a fault's seed and number, the fault
    /// comes at once
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    connection: u64,

    /// The server's process, to check that it lives and closes what it has opened
    #[arg(long)]
    pid: Option<u32>,

    /// Milliseconds in which a request of another client must be answered
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    probe_limit: u64,

    /// Seconds in which all must be done
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

fn run() -> Result<()> {
    let arguments = Arguments::parse();
    let fuzz = Fuzz {
        server: arguments.server,
        movie: arguments.movie,
        requests: arguments.requests,
        clients: arguments.clients as usize,
        seed: arguments.seed.map_or_else(new_seed, Ok)?,
        first_connection: arguments.connection,
        process: arguments.pid,
        probe_limit: Duration::from_millis(arguments.probe_limit),
        time_limit: Duration::from_secs(arguments.seconds),
    };
    eprintln!("seed {}", fuzz.seed);
    println!("{}", fuzz.run()?);
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
