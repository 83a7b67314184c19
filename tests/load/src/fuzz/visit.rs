// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client does on one connection, from the first byte to its end.

use super::connection::{Connection, Waited};
use super::mutation;
use super::ports::Ports;
use super::random::Random;
use super::request::{self, Target};
use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;
use std::time::Duration;

/// A reply to a request without a fault comes within this time; it waits for those of others.
const REPLY: Duration = Duration::from_secs(20);

/// How long the reply to a marker is waited for after requests with faults, one of which may have
/// swallowed it.
const MARKER: Duration = Duration::from_millis(10);

/// What is waited for, at times, so that requests reach the server while it plays: packets, for so
/// long.
const FRAMES: u64 = 20;
const PLAY: Duration = Duration::from_millis(50);

/// Requests in one write.
const BURST: usize = 16;

/// Bursts of a connection.
const BURSTS: usize = 16;

/// Sequence numbers stay below the ports.
const MARKERS: u32 = 900;

/// What a connection speaks, and whether all its requests are as they should be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Standard { sound: bool },
    Lab { sound: bool },
    Tunnel { sound: bool },
    Http,
    Noise,
}

const KINDS: [(usize, Kind); 8] = [
    (22, Kind::Standard { sound: true }),
    (42, Kind::Standard { sound: false }),
    (8, Kind::Lab { sound: true }),
    (14, Kind::Lab { sound: false }),
    (2, Kind::Tunnel { sound: true }),
    (3, Kind::Tunnel { sound: false }),
    (5, Kind::Http),
    (4, Kind::Noise),
];

/// One connection's work; its results are left in it, however it ends.
pub(crate) struct Visit<'a> {
    pub server: SocketAddr,
    pub movie: &'a str,
    pub number: u64,
    pub random: Random,
    pub ports: &'a Ports,
    /// The requests that were sent.
    pub requests: u64,
    /// The longest time from the end of a connection to its being closed.
    pub slowest_end: Duration,
    /// The connections, the last of which says most about a fault.
    pub connections: Vec<Connection<'a>>,
}

impl<'a> Visit<'a> {
    /// Does all of it.
    ///
    /// # Errors
    /// If the server does what it must not.
    pub fn run(&mut self) -> Result<()> {
        match self.random.weighted(&KINDS, Kind::Noise) {
            Kind::Standard { sound: true } => self.sound_standard(),
            Kind::Standard { sound: false } => self.faulty_standard(),
            Kind::Lab { sound } => self.lab(sound),
            Kind::Tunnel { sound } => self.tunnel(sound),
            Kind::Http => self.http(),
            Kind::Noise => self.noise(),
        }
    }

    fn open(&mut self) -> Result<Connection<'a>> {
        Connection::open(self.server, self.ports)
    }

    /// A request of standard RTSP, as it should be.
    fn standard(&mut self, session: Option<&str>, cseq: u32) -> request::Request {
        let target = Target { movie: self.movie, session, port: self.ports.rtp(), udp: true };
        request::standard(&mut self.random, &target, cseq)
    }

    /// Each request is answered, in order.
    fn sound_standard(&mut self) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        let mut cseq = 0;
        for _ in 0..=self.random.below(BURSTS) {
            let session = self.last().replies.session.clone();
            let mut burst = Vec::new();
            for _ in 0..=self.random.below(BURST) {
                cseq += 1;
                let request = self.standard(session.as_deref(), cseq);
                burst.extend(request.to_bytes());
                self.requests += 1;
                if self.random.chance(5) {
                    burst.extend(b"$\x01\0\x04abcd");
                }
                // What follows may name the session.
                if request.method == b"SETUP" {
                    break;
                }
            }
            self.last().send(burst)?;
            let want = u64::from(cseq);
            let waited = self.last().wait(REPLY, |replies| replies.count() >= want)?;
            self.check_answered(cseq, waited)?;
        }
        self.end_or_drop(70)
    }

    fn check_answered(&mut self, cseq: u32, waited: Waited) -> Result<()> {
        let replies = &self.last().replies;
        let have = replies.count();
        ensure!(waited != Waited::TimedOut, "{have} of {cseq} requests answered in {REPLY:?}");
        ensure!(waited != Waited::Closed, "closed after {have} of {cseq} replies");
        let in_order = replies.cseqs.iter().copied().eq(1..=cseq);
        ensure!(in_order, "replies are out of order: CSeq {:?}", replies.cseqs);
        Ok(())
    }

    /// Requests with faults between those without.
    fn faulty_standard(&mut self) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        for burst_number in 0..=self.random.below(BURSTS) {
            let burst = self.faulty_burst();
            let marked = self.random.chance(30);
            self.last().send(burst)?;
            if marked {
                let cseq = MARKERS + u32::try_from(burst_number)?;
                self.requests += 1;
                self.last().send(request::marker(cseq))?;
                self.last().wait(MARKER, |replies| replies.cseqs.contains(&cseq))?;
            } else {
                self.last().read()?;
            }
            if self.last().replies.session.is_some() && self.random.chance(5) {
                let enough = self.last().replies.packets + FRAMES;
                self.last().wait(PLAY, |replies| replies.packets >= enough)?;
            }
            if self.last().is_closed() {
                break;
            }
        }
        self.end_or_drop(50)
    }

    fn faulty_burst(&mut self) -> Vec<u8> {
        let session = self.connections.last().and_then(|it| it.replies.session.clone());
        let mut burst = Vec::new();
        let heavy = self.random.chance(60);
        for _ in 0..=self.random.below(BURST) {
            let cseq = u32::try_from(self.random.below(900)).unwrap_or(0);
            let mut request = self.standard(session.as_deref(), cseq);
            self.requests += 1;
            let faulty = self.random.chance(if heavy { 60 } else { 10 });
            if faulty {
                for _ in 0..=self.random.below(2) {
                    mutation::of_request(&mut self.random, &mut request);
                }
            }
            let mut bytes = request.to_bytes();
            if faulty && self.random.chance(20) {
                mutation::of_bytes(&mut self.random, &mut bytes);
            }
            if self.random.chance(4) {
                let packet = mutation::packet(&mut self.random);
                let at = if self.random.chance(80) { 0 } else { self.random.below(bytes.len()) };
                bytes.splice(at..at, packet);
            }
            burst.append(&mut bytes);
        }
        burst
    }

    fn lab(&mut self, sound: bool) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        let mut asked = 0_u32;
        for _ in 0..=self.random.below(BURSTS / 2) {
            let session = self.last().replies.session.clone();
            let count = self.random.below(BURST) + 1;
            let mut burst = Vec::new();
            for at in 1..=count {
                asked += 1;
                let port = self.ports.rtp();
                let (movie, session) = (self.movie, session.as_deref());
                let target = Target { movie, session, port, udp: true };
                let quiet = at == count && self.random.chance(if sound { 4 } else { 20 });
                let mut bytes = request::lab(&mut self.random, &target, asked, quiet);
                self.requests += 1;
                if !sound && self.random.chance(30) {
                    mutation::of_bytes(&mut self.random, &mut bytes);
                }
                burst.append(&mut bytes);
            }
            self.last().send(burst)?;
            if sound {
                let want = u64::from(asked);
                let waited = self.last().wait(REPLY, |replies| replies.count() >= want)?;
                let have = self.last().replies.count();
                ensure!(waited == Waited::Done, "lab: {have} of {asked} answered: {waited:?}");
            } else {
                self.last().read()?;
                if self.last().is_closed() {
                    break;
                }
            }
        }
        self.end_or_drop(60)
    }

    /// RTSP through HTTP: a GET connection for replies, a POST connection for requests.
    fn tunnel(&mut self, sound: bool) -> Result<()> {
        let cookie = format!("fuzz-{:x}-{:x}", self.number, self.random.next());
        let post = request::http(&mut self.random, "POST", Some(&cookie)).to_bytes();
        let get = request::http(&mut self.random, "GET", Some(&cookie)).to_bytes();
        let mut posts = self.open()?;
        let mut gets = self.open()?;
        gets.send_encoded(&get)?;
        self.connections.push(gets);
        self.requests += 2;
        // Without the reply the POST may come before its GET, and is closed.
        let in_order = sound || self.random.chance(80);
        if in_order {
            let waited = self.last().wait(REPLY, |replies| replies.count() > 0)?;
            ensure!(waited == Waited::Done, "the GET of a tunnel: {waited:?}");
        }
        posts.send_encoded(&post)?;
        let mut cseq = 0;
        let mut after_digit = false;
        for _ in 0..=self.random.below(BURSTS / 2) {
            let mut burst = if sound { Vec::new() } else { self.faulty_burst() };
            for _ in 0..if sound { self.random.below(BURST) + 1 } else { 0 } {
                cseq += 1;
                self.requests += 1;
                let session = self.last().replies.session.clone();
                burst.extend(self.standard(session.as_deref(), cseq).to_bytes());
            }
            self.ports.mask_others(&mut burst, after_digit);
            after_digit = burst.last().is_some_and(u8::is_ascii_digit);
            let mut text = STANDARD.encode(&burst).into_bytes();
            for _ in 0..self.random.below(4) {
                let at = self.random.below(text.len() + 1);
                text.splice(at..at, *b"\r\n");
            }
            if !sound && self.random.chance(20) {
                // No digit of a port may change: a byte that is no base64 ends the tunnel.
                let at = self.random.below(text.len() + 1);
                text.insert(at, self.random.pick(b"*-_\0\xff"));
            }
            posts.send_encoded(&text)?;
            if sound {
                let want = u64::from(cseq) + 1;
                let waited = self.last().wait(REPLY, |replies| replies.count() >= want)?;
                self.check_answered(cseq, waited)?;
            }
            self.last().read()?;
        }
        posts.read()?;
        drop(posts);
        if !in_order {
            // A GET that no POST has joined is closed after 10 s only.
            self.last().reset();
            return Ok(());
        }
        self.end_or_drop(50)
    }

    fn http(&mut self) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        let method = self.random.pick(&["GET", "POST", "HEAD", "PUT", "CONNECT"]);
        let cookie = self.random.chance(20).then_some("fuzz");
        let mut request = request::http(&mut self.random, method, cookie);
        for _ in 0..self.random.below(4) {
            mutation::of_request(&mut self.random, &mut request);
        }
        self.requests += 1;
        let bytes = request.to_bytes();
        self.last().send(bytes)?;
        if self.random.chance(50) {
            self.last().wait(MARKER, |replies| replies.count() > 0)?;
        }
        // A GET that waits for its POST is closed after 10 s only.
        self.last().reset();
        Ok(())
    }

    /// Bytes of no language, pieces of requests, and connections that are silent.
    fn noise(&mut self) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        for _ in 0..self.random.below(4) {
            let most = if self.random.chance(5) { 200_000 } else { 300 };
            let length = self.random.below(most);
            let mut bytes = match self.random.below(4) {
                0 => (0..length).map(|_| self.random.byte()).collect(),
                1 => mutation::packet(&mut self.random),
                2 => vec![self.random.pick(b"\n\r\0 AS$\x16"); length],
                _ => self.standard(None, 1).to_bytes(),
            };
            if self.random.chance(70) {
                bytes.truncate(self.random.below(bytes.len() + 1));
            }
            self.requests += 1;
            self.last().send(bytes)?;
            self.last().read()?;
        }
        self.end_or_drop(50)
    }

    /// The connection that is worked with.
    fn last(&mut self) -> &mut Connection<'a> {
        let last = self.connections.len().saturating_sub(1);
        #[allow(clippy::indexing_slicing, reason = "each kind of visit opens one first")]
        &mut self.connections[last]
    }

    /// An orderly end in so many percent of all cases; otherwise the connection is dropped, in
    /// whatever it does.
    fn end_or_drop(&mut self, percent: usize) -> Result<()> {
        if self.random.chance(percent) {
            let time = self.last().finish()?;
            self.slowest_end = self.slowest_end.max(time);
        } else if self.random.chance(50) {
            self.last().reset();
        }
        Ok(())
    }
}
