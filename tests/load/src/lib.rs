// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many viewers at once on loopback, each at an address of its own (127.1.0.1 and up), and what
//! they see: packets, losses, gaps between frames, and how long a new one waits for its first
//! packet. Nothing is decoded. And requests of strangers: [`fuzz`].

mod datagrams;
pub mod fuzz;
mod interleaved;
mod process;
mod session;
mod tally;

pub use process::{Usage, cpu, thread_cpu};
pub use session::Transport;
pub use tally::Seen;

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

/// How long a newcomer waits for its first packet.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is watched, by whom.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server's, on loopback.
    pub server: SocketAddr,
    /// The movie's path, without the first slash.
    pub movie: String,
    /// How RTP comes.
    pub transport: Transport,
    /// How many watch.
    pub sessions: usize,
    /// Viewers that come while they watch, one after the other.
    pub newcomers: usize,
    /// How long they are watched.
    pub time: Duration,
    /// The time between a stream's frames.
    pub period: Duration,
    /// Takes datagrams that the server's kernel has not cut yet as they are (UDP_GRO), as a network
    /// card that cuts them itself would.
    pub uncut: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// What the viewers saw.
    pub seen: Seen,
    /// What the server's process took while they watched, if its number was given.
    pub usage: Option<Usage>,
    /// Milliseconds from a newcomer's connection to its first packet: median and 99th percentile.
    pub first_packet: Option<(f64, f64)>,
    /// Seconds that it took to set all sessions up.
    pub setting_up: f64,
}

impl Load {
    /// Sets the sessions up, watches them, then lets others come.
    ///
    /// # Errors
    /// If a session cannot be set up, or the system does not give what is needed.
    pub fn run(&self, process: Option<u32>) -> Result<Outcome> {
        ensure!(self.server.ip().is_loopback(), "{}: only loopback is loaded", self.server);
        // Lab clients name a port, which one socket has for all.
        let receiver = Receiver::bind(self.uncut)?;
        let port = receiver.port();
        let tally = Arc::new(Mutex::new(Tally::new(self.sessions + self.newcomers, self.period)));
        let connections = Connections::new()?;
        let ended = Arc::new(AtomicBool::new(false));
        let reading = std::thread::spawn({
            let (tally, ended) = (tally.clone(), ended.clone());
            let (receiver, connections) = (receiver, connections.clone());
            move || -> Result<()> {
                let mut receiver = receiver;
                while !ended.load(Ordering::Relaxed) {
                    receiver.receive(&tally)?;
                    connections.receive(&tally)?;
                }
                Ok(())
            }
        });
        let begin = Instant::now();
        let outcome = self.watch(port, &tally, &connections, process, begin);
        ended.store(true, Ordering::Relaxed);
        reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        outcome
    }

    fn open(&self, which: usize, port: u16, connections: &Connections) -> Result<Session> {
        let session = Session::open(self, which, port)
            .with_context(|| format!("session {which} from {}", address(which)))?;
        if self.transport == Transport::Tcp {
            connections.add(which, session.connection())?;
        }
        Ok(session)
    }

    fn watch(
        &self,
        port: u16,
        tally: &Mutex<Tally>,
        connections: &Connections,
        process: Option<u32>,
        begin: Instant,
    ) -> Result<Outcome> {
        let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = (0..self.sessions)
            .map(|which| self.open(which, port, connections))
            .collect::<Result<Vec<_>>>()?;
        let setting_up = begin.elapsed().as_secs_f64();
        // What comes while sessions are set up is not judged.
        std::thread::sleep(Duration::from_millis(500));
        lock().begin();
        let before = process.map(Usage::of).transpose()?;
        let from = Instant::now();
        std::thread::sleep(self.time);
        let seen = lock().seen(self.sessions, from.elapsed());
        let after = process.map(Usage::of).transpose()?;
        let mut waits = Vec::new();
        for which in self.sessions..self.sessions + self.newcomers {
            let begin = Instant::now();
            let session = self.open(which, port, connections)?;
            let first = loop {
                if let Some(first) = lock().first_of(which) {
                    break first;
                }
                ensure!(begin.elapsed() < PATIENCE, "no packet for a newcomer");
                std::thread::sleep(Duration::from_micros(200));
            };
            waits.push(first.saturating_duration_since(begin).as_secs_f64() * 1000.0);
            session.end();
        }
        for session in sessions {
            session.end();
        }
        waits.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| waits.get(waits.len() * part / 100).copied();
        Ok(Outcome {
            seen,
            usage: before.zip(after).map(|(before, after)| after.since(before)),
            first_packet: at(50).zip(at(99)),
            setting_up,
        })
    }
}
