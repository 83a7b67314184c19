// SPDX-License-Identifier: MIT OR Apache-2.0
//! Load generator and fuzzer for an RTSP server on this machine.
//!
//! [`Load`] plays a movie for many viewers at once, each with a loopback address of its own (127.1.0.1
//! and up), and measures packets, losses, gaps between frames, and the time until a new viewer's first
//! packet. Nothing is decoded. [`fuzz`] sends well-formed, mutated and random requests.

mod datagrams;
pub mod fuzz;
mod interleaved;
mod process;
mod session;
mod tally;

pub use process::{Usage, cpu, thread_cpu, wake_ups};
pub use session::Transport;
pub use tally::Received;

use anyhow::{Context, Result, ensure};
use datagrams::Receiver;
use interleaved::Connections;
use serde::Serialize;
use session::{Session, address};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tally::Tally;

/// Longest wait for the first packet of a newcomer.
const FIRST_PACKET_LIMIT: Duration = Duration::from_secs(5);

/// A load test: which movie, how many viewers, for how long.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server's address, on loopback.
    pub server: SocketAddr,
    /// The movie's path, without the first slash.
    pub movie: String,
    /// How RTP is received.
    pub transport: Transport,
    /// Viewers that watch at the same time.
    pub sessions: usize,
    /// Viewers that join one after the other while the others watch.
    pub newcomers: usize,
    /// How long packets are counted.
    pub time: Duration,
    /// Time between two frames of a stream.
    pub period: Duration,
    /// Receive datagrams before the server's kernel splits them (UDP_GRO), as a network card that
    /// splits them itself would.
    pub gro: bool,
}

/// The result of a load test.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// What all viewers together received.
    pub received: Received,
    /// Resources the server's process used while they watched, if its process ID was given.
    pub usage: Option<Usage>,
    /// Milliseconds from the connection of a newcomer to its first packet: median and 99th percentile.
    pub first_packet_ms: Option<(f64, f64)>,
    /// Seconds from the first connection until all viewers played.
    pub setup_seconds: f64,
}

impl Load {
    /// Opens all sessions, counts their packets, then opens those of the newcomers.
    ///
    /// # Errors
    /// If the server is not on loopback, a session cannot be set up, or a system call fails.
    pub fn run(&self, process: Option<u32>) -> Result<Outcome> {
        ensure!(
            self.server.ip().is_loopback(),
            "{} is not a loopback address: only a server on this machine may be loaded",
            self.server
        );
        // One socket receives the datagrams of all viewers: they all name its port.
        let receiver = Receiver::bind(self.gro)?;
        let port = receiver.port();
        let tally = Arc::new(Mutex::new(Tally::new(self.sessions + self.newcomers, self.period)));
        let connections = Connections::new()?;
        let stop = Arc::new(AtomicBool::new(false));
        let reading = std::thread::spawn({
            let (tally, stop) = (tally.clone(), stop.clone());
            let (receiver, connections) = (receiver, connections.clone());
            move || -> Result<()> {
                let mut receiver = receiver;
                while !stop.load(Ordering::Relaxed) {
                    receiver.receive(&tally)?;
                    connections.receive(&tally)?;
                }
                Ok(())
            }
        });
        let start = Instant::now();
        let outcome = self.watch(port, &tally, &connections, process, start);
        stop.store(true, Ordering::Relaxed);
        reading
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that receives packets panicked"))??;
        outcome
    }

    fn open(&self, viewer: usize, port: u16, connections: &Connections) -> Result<Session> {
        let session = Session::open(self, viewer, port)
            .with_context(|| format!("cannot start viewer {viewer} at {}", address(viewer)))?;
        if self.transport == Transport::Tcp {
            connections.add(viewer, session.connection())?;
        }
        Ok(session)
    }

    fn watch(
        &self,
        port: u16,
        tally: &Mutex<Tally>,
        connections: &Connections,
        process: Option<u32>,
        start: Instant,
    ) -> Result<Outcome> {
        let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = (0..self.sessions)
            .map(|viewer| self.open(viewer, port, connections))
            .collect::<Result<Vec<_>>>()?;
        let setup_seconds = start.elapsed().as_secs_f64();
        // Packets that arrive while sessions are set up are not counted.
        std::thread::sleep(Duration::from_millis(500));
        lock().start_counting();
        let before = process.map(Usage::of).transpose()?;
        let from = Instant::now();
        std::thread::sleep(self.time);
        let received = lock().stop_counting(self.sessions, from.elapsed());
        let after = process.map(Usage::of).transpose()?;
        let mut waits = Vec::new();
        for viewer in self.sessions..self.sessions + self.newcomers {
            let start = Instant::now();
            let session = self.open(viewer, port, connections)?;
            let first = loop {
                if let Some(first) = lock().first_packet_of(viewer) {
                    break first;
                }
                ensure!(
                    start.elapsed() < FIRST_PACKET_LIMIT,
                    "viewer {viewer} received no packet within {FIRST_PACKET_LIMIT:?}"
                );
                std::thread::sleep(Duration::from_micros(200));
            };
            waits.push(first.saturating_duration_since(start).as_secs_f64() * 1000.0);
            session.end();
        }
        for session in sessions {
            session.end();
        }
        waits.sort_unstable_by(f64::total_cmp);
        let percentile = |percent: usize| waits.get(waits.len() * percent / 100).copied();
        Ok(Outcome {
            received,
            usage: before.zip(after).map(|(before, after)| after.since(before)),
            first_packet_ms: percentile(50).zip(percentile(99)),
            setup_seconds,
        })
    }
}
