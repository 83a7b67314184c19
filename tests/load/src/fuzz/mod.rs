// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends well-formed, mutated and random requests on many connections at once, and checks that the
//! server answers other clients all the while. What a connection sends depends only on the seed and the
//! connection's number, so that a failure can be repeated.

mod connection;
mod mutation;
mod ports;
mod probe;
mod random;
mod replies;
mod request;
mod scenario;

pub use probe::{descriptors, probe};

use crate::process::Usage;
use anyhow::{Context, Result, anyhow, bail, ensure};
use connection::Connection;
use ports::Ports;
use probe::check_running;
use random::Random;
use scenario::Scenario;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// Sent bytes of a connection that the report of a failure shows.
const MAX_SHOWN: usize = 3000;

/// File descriptors that the server may keep open for later use.
const SPARE_DESCRIPTORS: usize = 64;

/// Longest time until the server has closed all connections: one half of a tunnel waits 10 s for the
/// other.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// A fuzz run: what is sent, and what is checked.
#[derive(Debug, Clone)]
pub struct Fuzz {
    /// The server's address, on loopback.
    pub server: SocketAddr,
    /// The movie's path, without the first slash.
    pub movie: String,
    /// Total number of requests.
    pub requests: u64,
    /// Clients that send at the same time.
    pub clients: usize,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of the first connection; to repeat a failure, the number in its report.
    pub first_connection: u64,
    /// Process ID of the server, if its process is to be checked.
    pub process: Option<u32>,
    /// Longest time until the reply to a probe.
    pub probe_limit: Duration,
    /// Longest time for all requests.
    pub time_limit: Duration,
}

/// The result of a fuzz run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Seed of all random numbers.
    pub seed: u64,
    /// Requests sent.
    pub requests: u64,
    /// Connections opened for them.
    pub connections: u64,
    /// Number of replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Interleaved packets received.
    pub packets: u64,
    /// UDP datagrams received.
    pub datagrams: u64,
    /// Probes answered.
    pub probes: u64,
    /// Longest time until the reply to a probe.
    pub slowest_probe: Duration,
    /// Longest time from when a client ended a connection until the server closed it.
    pub slowest_close: Duration,
    /// Duration of the run.
    pub time: Duration,
    /// File descriptors of the server before and after, if its process ID was given.
    pub descriptors: Option<(usize, usize)>,
    /// Usage of the server before and after, if its process ID was given.
    pub usage: Option<(Usage, Usage)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replies: u64 = self.statuses.values().sum();
        let seconds = self.time.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = self.requests as f64 / seconds;
        writeln!(f, "seed           {}", self.seed)?;
        writeln!(f, "requests       {} in {seconds:.1} s, {rate:.0} per second", self.requests)?;
        writeln!(f, "connections    {}", self.connections)?;
        writeln!(f, "replies        {replies}")?;
        for (status, count) in &self.statuses {
            writeln!(f, "  {status}          {count}")?;
        }
        writeln!(f, "packets        {} interleaved, {} datagrams", self.packets, self.datagrams)?;
        let slowest = self.slowest_probe.as_secs_f64() * 1000.0;
        writeln!(f, "probes         {}, slowest {slowest:.1} ms", self.probes)?;
        write!(f, "slowest close  {:.1} ms", self.slowest_close.as_secs_f64() * 1000.0)?;
        if let Some((before, after)) = self.descriptors {
            write!(f, "\ndescriptors    {before} before, {after} after")?;
        }
        if let Some((before, after)) = self.usage {
            write!(f, "\nthreads        {} before, {} after", before.threads, after.threads)?;
            write!(f, "\nmemory         {} KiB before, {} KiB after", before.memory, after.memory)?;
            write!(f, "\nserver CPU     {:.1} s", after.since(before).cpu)?;
        }
        Ok(())
    }
}

/// Shared by all threads of a run.
struct Shared<'a> {
    fuzz: &'a Fuzz,
    next: AtomicU64,
    sent: AtomicU64,
    stop: AtomicBool,
    /// Whether a probe has failed; any open connection may be the cause.
    probe_failed: AtomicBool,
    report: Mutex<Report>,
    failure: Mutex<Option<anyhow::Error>>,
    /// What was sent on the connection that failed, or on all that were open when a probe failed.
    sent_bytes: Mutex<Vec<String>>,
}

impl Fuzz {
    /// Sends all requests.
    ///
    /// # Errors
    /// If the server fails a check. The error describes the failure and how to repeat it.
    pub fn run(&self) -> Result<Report> {
        ensure!(
            self.server.ip().is_loopback(),
            "{} is not a loopback address: only a server on this machine may be fuzzed",
            self.server
        );
        let before = self.process.map(resources).transpose()?;
        let start = Instant::now();
        let shared = Shared {
            fuzz: self,
            next: AtomicU64::new(self.first_connection),
            sent: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            probe_failed: AtomicBool::new(false),
            report: Mutex::default(),
            failure: Mutex::default(),
            sent_bytes: Mutex::default(),
        };
        // Nothing is sent; the channel closes when all clients have ended.
        let (client_runs, clients) = channel();
        std::thread::scope(|scope| {
            let shared = &shared;
            scope.spawn(move || shared.probe_until_done(&clients, start));
            for client in 0..self.clients {
                let client_runs = client_runs.clone();
                scope.spawn(move || shared.run_client(client, client_runs));
            }
            drop(client_runs);
        });
        let mut report = shared.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.time = start.elapsed();
        report.seed = self.seed;
        let failure = shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = failure {
            let sent = shared.sent_bytes.into_inner().unwrap_or_else(PoisonError::into_inner);
            return Err(anyhow!("{failure:#}\n{}{report}", sent.concat()));
        }
        if let (Some(process), Some((descriptors, usage))) = (self.process, before) {
            let after =
                wait_until_closed(process, descriptors).with_context(|| report.to_string())?;
            report.descriptors = Some((descriptors, after.0));
            report.usage = Some((usage, after.1));
        }
        probe(self.server, self.probe_limit)?;
        Ok(report)
    }
}

fn resources(process: u32) -> Result<(usize, Usage)> {
    Ok((descriptors(process)?, Usage::of(process)?))
}

/// Waits until the server has about as many file descriptors as before.
fn wait_until_closed(process: u32, before: usize) -> Result<(usize, Usage)> {
    let end = Instant::now() + CLOSE_LIMIT;
    loop {
        let (now, usage) = resources(process)?;
        if now <= before + SPARE_DESCRIPTORS {
            return Ok((now, usage));
        }
        ensure!(
            Instant::now() < end,
            "the server has {now} file descriptors {CLOSE_LIMIT:?} after the last client, and had {before} \
             before the first"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Shared<'_> {
    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops all threads; the first failure is reported.
    fn stop_with(&self, failure: anyhow::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn run_client(&self, client: usize, _client_runs: Sender<()>) {
        let mut random = Random::of_connection(self.fuzz.seed, u64::MAX - client as u64);
        let ports = match Ports::bind(&mut random) {
            Ok(ports) => ports,
            Err(error) => return self.stop_with(error),
        };
        while !self.stop.load(Ordering::Relaxed)
            && self.sent.load(Ordering::Relaxed) < self.fuzz.requests
        {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.run_scenario(number, &ports);
        }
    }

    fn run_scenario(&self, number: u64, ports: &Ports) {
        let mut scenario = Scenario {
            server: self.fuzz.server,
            movie: &self.fuzz.movie,
            number,
            random: Random::of_connection(self.fuzz.seed, number),
            ports,
            requests: 0,
            slowest_close: Duration::ZERO,
            connections: Vec::new(),
        };
        let result = scenario.run();
        let datagrams = ports.drain();
        self.sent.fetch_add(scenario.requests, Ordering::Relaxed);
        let mut report = self.report();
        report.requests += scenario.requests;
        report.connections += scenario.connections.len() as u64;
        report.datagrams += datagrams;
        report.slowest_close = report.slowest_close.max(scenario.slowest_close);
        for connection in &scenario.connections {
            report.packets += connection.replies.packets;
            for (status, count) in &connection.replies.statuses {
                *report.statuses.entry(*status).or_default() += count;
            }
        }
        drop(report);
        let all = scenario.connections.len();
        let shown = match (self.probe_failed.load(Ordering::Relaxed), &result) {
            (true, _) => all,
            (false, Err(_)) => 1,
            (false, Ok(())) => 0,
        };
        let last = scenario.connections.iter().skip(all.saturating_sub(shown));
        self.sent_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(last.map(|connection| describe(number, connection)));
        if let Err(error) = result {
            self.stop_with(error.context(format!("connection {number}")));
        }
    }

    fn probe_until_done(&self, clients: &Receiver<()>, start: Instant) {
        loop {
            let done = clients.recv_timeout(PROBE_INTERVAL) == Err(RecvTimeoutError::Disconnected);
            if let Err(error) = self.check(start) {
                self.probe_failed.store(true, Ordering::Relaxed);
                self.stop_with(error);
            }
            if done {
                return;
            }
        }
    }

    fn check(&self, start: Instant) -> Result<()> {
        if let Some(process) = self.fuzz.process {
            check_running(process)?;
        }
        let time = probe(self.fuzz.server, self.fuzz.probe_limit)?;
        let mut report = self.report();
        report.probes += 1;
        report.slowest_probe = report.slowest_probe.max(time);
        drop(report);
        if start.elapsed() > self.fuzz.time_limit && !self.stop.load(Ordering::Relaxed) {
            let sent = self.sent.load(Ordering::Relaxed);
            bail!(
                "only {sent} of {} requests were sent within the time limit of {:?}",
                self.fuzz.requests,
                self.fuzz.time_limit
            );
        }
        Ok(())
    }
}

/// The number of a connection and the last bytes sent on it.
fn describe(number: u64, connection: &Connection) -> String {
    let first = connection.sent.len().saturating_sub(MAX_SHOWN);
    let bytes = connection.sent.get(first..).unwrap_or_default();
    format!("connection {number} sent, from byte {first}: \"{}\"\n", bytes.escape_ascii())
}

/// A seed from the system clock.
///
/// # Errors
/// If the clock shows a time before 1970 or too far in the future.
pub fn new_seed() -> Result<u64> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    u64::try_from(time.as_micros()).map_err(|_| anyhow!("the system clock is wrong"))
}
