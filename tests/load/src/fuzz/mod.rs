// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests of strangers: well-formed ones, changed ones and noise, from many connections at once,
//! and a check that the server answers others all the while. Each connection is made from a seed and
//! its number alone, so that a fault can be repeated.

mod connection;
mod mutation;
mod ports;
mod probe;
mod random;
mod replies;
mod request;
mod visit;

pub use probe::{descriptors, probe};

use crate::process::Usage;
use anyhow::{Context, Result, anyhow, bail, ensure};
use connection::Connection;
use ports::Ports;
use probe::check_lives;
use random::Random;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use visit::Visit;

/// Between two probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// Bytes of a connection that the report of a fault shows.
const SHOWN: usize = 3000;

/// Descriptors that a server may keep for later use.
const SPARE_DESCRIPTORS: usize = 64;

/// The server closes all that strangers have left within this time: a tunnel's half waits for the
/// other one for 10 s.
const ALL_CLOSED: Duration = Duration::from_secs(30);

/// What is sent, and what is checked.
#[derive(Debug, Clone)]
pub struct Fuzz {
    /// The server, on loopback.
    pub server: SocketAddr,
    /// The movie's path, without the first slash.
    pub movie: String,
    /// Requests in all.
    pub requests: u64,
    /// Clients at once.
    pub clients: usize,
    /// What all is made from.
    pub seed: u64,
    /// The number of the first connection; a fault is repeated with its number here.
    pub first_connection: u64,
    /// The server's process, if it is to be checked.
    pub process: Option<u32>,
    /// The time in which a probe must be answered.
    pub probe_limit: Duration,
    /// The time in which all must be done.
    pub time_limit: Duration,
}

/// What became of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What all was made from.
    pub seed: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Connections that they were sent on.
    pub connections: u64,
    /// Replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Interleaved packets that were received.
    pub packets: u64,
    /// UDP datagrams that were received.
    pub datagrams: u64,
    /// Probes that were answered.
    pub probes: u64,
    /// The slowest answer to a probe.
    pub slowest_probe: Duration,
    /// The longest time from a client's end of a connection to the server's.
    pub slowest_end: Duration,
    /// The time for all of it.
    pub time: Duration,
    /// The server's descriptors before and after, if its process was given.
    pub descriptors: Option<(usize, usize)>,
    /// What the server used before and after, if its process was given.
    pub usage: Option<(Usage, Usage)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replies: u64 = self.statuses.values().sum();
        let seconds = self.time.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = self.requests as f64 / seconds;
        writeln!(f, "seed           {}", self.seed)?;
        writeln!(f, "requests       {} in {seconds:.1} s, {rate:.0} a second", self.requests)?;
        writeln!(f, "connections    {}", self.connections)?;
        writeln!(f, "replies        {replies}")?;
        for (status, count) in &self.statuses {
            writeln!(f, "  {status}          {count}")?;
        }
        writeln!(f, "packets        {} interleaved, {} datagrams", self.packets, self.datagrams)?;
        let slowest = self.slowest_probe.as_secs_f64() * 1000.0;
        writeln!(f, "probes         {}, slowest {slowest:.1} ms", self.probes)?;
        write!(f, "slowest end    {:.1} ms", self.slowest_end.as_secs_f64() * 1000.0)?;
        if let Some((before, after)) = self.descriptors {
            write!(f, "\ndescriptors    {before} before, {after} after")?;
        }
        if let Some((before, after)) = self.usage {
            write!(f, "\nthreads        {} before, {} after", before.threads, after.threads)?;
            write!(f, "\nmemory         {} KiB before, {} KiB after", before.memory, after.memory)?;
            write!(f, "\nserver's CPU   {:.1} s", after.since(before).cpu)?;
        }
        Ok(())
    }
}

/// What the clients share.
struct Shared<'a> {
    fuzz: &'a Fuzz,
    next: AtomicU64,
    sent: AtomicU64,
    stop: AtomicBool,
    /// Whether a probe has failed: any of the open connections may be the reason.
    probe_failed: AtomicBool,
    report: Mutex<Report>,
    fault: Mutex<Option<anyhow::Error>>,
    /// The connections that were open when a probe failed, and what was sent on them.
    open: Mutex<Vec<String>>,
}

impl Fuzz {
    /// Sends all requests.
    ///
    /// # Errors
    /// If the server does what it must not: says what, and how to repeat it.
    pub fn run(&self) -> Result<Report> {
        ensure!(self.server.ip().is_loopback(), "{}: only loopback is allowed", self.server);
        let before = self.process.map(state_of).transpose().context("the server's process")?;
        let from = Instant::now();
        let shared = Shared {
            fuzz: self,
            next: AtomicU64::new(self.first_connection),
            sent: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            probe_failed: AtomicBool::new(false),
            report: Mutex::default(),
            fault: Mutex::default(),
            open: Mutex::default(),
        };
        // Nothing is sent; it is closed once all clients have ended.
        let (client_lives, clients) = channel();
        std::thread::scope(|scope| {
            let shared = &shared;
            scope.spawn(move || shared.probe_until_done(&clients, from));
            for client in 0..self.clients {
                let client_lives = client_lives.clone();
                scope.spawn(move || shared.visit_until_done(client, client_lives));
            }
            drop(client_lives);
        });
        let mut report = shared.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.time = from.elapsed();
        report.seed = self.seed;
        let fault = shared.fault.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = fault {
            let open = shared.open.into_inner().unwrap_or_else(PoisonError::into_inner).concat();
            return Err(fault.context(format!("{report}\n{open}seed {}", self.seed)));
        }
        if let (Some(process), Some((descriptors, usage))) = (self.process, before) {
            let after = wait_until_closed(process, descriptors)
                .with_context(|| format!("after {report}"))?;
            report.descriptors = Some((descriptors, after.0));
            report.usage = Some((usage, after.1));
        }
        probe(self.server, self.probe_limit)?;
        Ok(report)
    }
}

fn state_of(process: u32) -> Result<(usize, Usage)> {
    Ok((descriptors(process)?, Usage::of(process)?))
}

/// Waits until the server has about as many descriptors as before.
fn wait_until_closed(process: u32, before: usize) -> Result<(usize, Usage)> {
    let end = Instant::now() + ALL_CLOSED;
    loop {
        let (now, usage) = state_of(process)?;
        if now <= before + SPARE_DESCRIPTORS {
            return Ok((now, usage));
        }
        ensure!(
            Instant::now() < end,
            "the server has {now} descriptors {ALL_CLOSED:?} after the last client, {before} before"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Shared<'_> {
    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops all; the first fault counts.
    fn stop_for(&self, fault: anyhow::Error) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn visit_until_done(&self, client: usize, _client_lives: Sender<()>) {
        let mut random = Random::of_connection(self.fuzz.seed, u64::MAX - client as u64);
        let ports = match Ports::bind(&mut random) {
            Ok(ports) => ports,
            Err(error) => return self.stop_for(error),
        };
        while !self.stop.load(Ordering::Relaxed)
            && self.sent.load(Ordering::Relaxed) < self.fuzz.requests
        {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.visit(number, &ports);
        }
    }

    fn visit(&self, number: u64, ports: &Ports) {
        let mut visit = Visit {
            server: self.fuzz.server,
            movie: &self.fuzz.movie,
            number,
            random: Random::of_connection(self.fuzz.seed, number),
            ports,
            requests: 0,
            slowest_end: Duration::ZERO,
            connections: Vec::new(),
        };
        let result = visit.run();
        let datagrams = ports.drain();
        self.sent.fetch_add(visit.requests, Ordering::Relaxed);
        let mut report = self.report();
        report.requests += visit.requests;
        report.connections += visit.connections.len() as u64;
        report.datagrams += datagrams;
        report.slowest_end = report.slowest_end.max(visit.slowest_end);
        for connection in &visit.connections {
            report.packets += connection.replies.packets;
            for (status, count) in &connection.replies.statuses {
                *report.statuses.entry(*status).or_default() += count;
            }
        }
        drop(report);
        if let Err(error) = result {
            let shown = visit.connections.last().map(|it| shown(number, it)).unwrap_or_default();
            self.stop_for(error.context(format!("{shown}connection {number}")));
        }
        if self.probe_failed.load(Ordering::Relaxed) {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.extend(visit.connections.iter().map(|it| shown(number, it)));
        }
    }

    fn probe_until_done(&self, clients: &Receiver<()>, from: Instant) {
        loop {
            let done = clients.recv_timeout(PROBE_INTERVAL) == Err(RecvTimeoutError::Disconnected);
            if let Err(error) = self.check(from) {
                self.probe_failed.store(true, Ordering::Relaxed);
                self.stop_for(error);
            }
            if done {
                return;
            }
        }
    }

    fn check(&self, from: Instant) -> Result<()> {
        if let Some(process) = self.fuzz.process {
            check_lives(process)?;
        }
        let time = probe(self.fuzz.server, self.fuzz.probe_limit)?;
        let mut report = self.report();
        report.probes += 1;
        report.slowest_probe = report.slowest_probe.max(time);
        drop(report);
        if from.elapsed() > self.fuzz.time_limit && !self.stop.load(Ordering::Relaxed) {
            let sent = self.sent.load(Ordering::Relaxed);
            bail!("{sent} of {} requests in {:?}", self.fuzz.requests, self.fuzz.time_limit);
        }
        Ok(())
    }
}

/// The last bytes that were sent on a connection.
fn shown(number: u64, connection: &Connection) -> String {
    let from = connection.sent.len().saturating_sub(SHOWN);
    let bytes = connection.sent.get(from..).unwrap_or_default();
    format!("connection {number} sent, from byte {from}: \"{}\"\n", bytes.escape_ascii())
}

/// A seed for those who name none.
///
/// # Errors
/// If the system has no clock.
pub fn new_seed() -> Result<u64> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    u64::try_from(time.as_micros()).map_err(|_| anyhow!("the clock is wrong"))
}
