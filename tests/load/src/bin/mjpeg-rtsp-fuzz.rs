// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-rtsp-fuzz`: sends well-formed, mutated and random requests to a server on this machine.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program prints its report")]

use anyhow::Result;
use clap::Parser;
use mjpeg_rtsp_load::fuzz::{Fuzz, new_seed};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Send well-formed, mutated and random requests to a server on loopback, in standard RTSP, the lab's
/// dialect and HTTP, and check that it answers other clients in time all the while
#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  mjpeg-rtsp-fuzz --server 127.0.0.1:8554 --movie movie.mjpeg --pid $(pidof mjpeg-rtsp-server)

Exit codes: 0 the server passed every check; 1 it failed one, or a system call failed; 2 wrong usage")]
struct Arguments {
    /// Address of the server, on loopback
    #[arg(long, value_name = "ADDR:PORT")]
    server: SocketAddr,

    /// Path of the movie, without the first slash
    #[arg(long, value_name = "NAME")]
    movie: String,

    /// Total number of requests
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    requests: u64,

    /// Clients that send at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    clients: u32,

    /// Seed of the random numbers that the requests are made from [default: a new one each time]
    #[arg(long)]
    seed: Option<u64>,

    /// Number of the first connection. With --clients 1, and the seed and connection number of a reported
    /// failure, the failure is repeated at once
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    connection: u64,

    /// Process ID of the server, to check that it keeps running and closes its file descriptors
    #[arg(long)]
    pid: Option<u32>,

    /// Longest time until another client's request is answered, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    probe_limit: u64,

    /// Longest time for all requests, in seconds
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
            eprintln!("mjpeg-rtsp-fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}
