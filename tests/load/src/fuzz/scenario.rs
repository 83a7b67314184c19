// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scenarios of a client: what it sends on one connection (two for a tunnel), and the replies that it
//! must receive.

use super::connection::{Connection, WaitResult};
use super::mutation;
use super::ports::Ports;
use super::random::Random;
use super::request::{self, Target};
use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;
use std::time::Duration;

/// Longest wait for the reply to a valid request; other clients delay it.
const REPLY_LIMIT: Duration = Duration::from_secs(20);

/// Longest wait for the reply to a marker after mutated requests, one of which may have made the marker
/// part of its body.
const MARKER_LIMIT: Duration = Duration::from_millis(10);

/// Packets that a client sometimes waits for, so that its next requests arrive while the server plays.
const PLAYED_PACKETS: u64 = 20;

/// Longest wait for these packets.
const PLAY_LIMIT: Duration = Duration::from_millis(50);

/// Most requests in one write.
const MAX_BURST: usize = 16;

/// Most writes on one connection.
const MAX_BURSTS: usize = 16;

/// CSeq of the first marker. All CSeq are below 1024, where numbers are never masked as ports.
const FIRST_MARKER: u32 = 900;

/// The protocol of a connection, and whether all its requests are valid.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Standard { valid: bool },
    Lab { valid: bool },
    Tunnel { valid: bool },
    Http,
    RandomBytes,
}

/// The kinds and their weights.
const KINDS: [(usize, Kind); 8] = [
    (22, Kind::Standard { valid: true }),
    (42, Kind::Standard { valid: false }),
    (8, Kind::Lab { valid: true }),
    (14, Kind::Lab { valid: false }),
    (2, Kind::Tunnel { valid: true }),
    (3, Kind::Tunnel { valid: false }),
    (5, Kind::Http),
    (4, Kind::RandomBytes),
];

/// The start of connections in other protocols: PROXY versions 1 and 2, and TLS.
const STARTS: [&[u8]; 6] = [
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\0\x01\0\x02",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\xff\xff",
    b"\x16\x03\x01\0\xc8\x01\0\0\xc4\x03\x03",
    b"\x16\x03\x01\0\x02\x01\0",
];

/// One scenario. Its results stay in it, also after an error.
pub(crate) struct Scenario<'a> {
    pub server: SocketAddr,
    pub movie: &'a str,
    pub number: u64,
    pub random: Random,
    pub ports: &'a Ports,
    /// Requests sent.
    pub requests: u64,
    /// Longest time from when the client ended a connection until the server closed it.
    pub slowest_close: Duration,
    /// The connections; a failure is reported with the bytes sent on the last one.
    pub connections: Vec<Connection<'a>>,
}

impl<'a> Scenario<'a> {
    /// Runs a scenario of a random kind.
    ///
    /// # Errors
    /// If the server fails a check.
    pub fn run(&mut self) -> Result<()> {
        match self.random.weighted(&KINDS, Kind::RandomBytes) {
            Kind::Standard { valid: true } => self.valid_standard(),
            Kind::Standard { valid: false } => self.mutated_standard(),
            Kind::Lab { valid } => self.lab(valid),
            Kind::Tunnel { valid } => self.tunnel(valid),
            Kind::Http => self.http(),
            Kind::RandomBytes => self.random_bytes(),
        }
    }

    fn open(&mut self) -> Result<Connection<'a>> {
        Connection::open(self.server, self.ports)
    }

    /// A valid request of standard RTSP.
    fn standard(&mut self, session: Option<&str>, cseq: u32) -> request::Request {
        let target = Target { movie: self.movie, session, port: self.ports.rtp(), udp: true };
        request::standard(&mut self.random, &target, cseq)
    }

    /// Valid requests; each must be answered, in order.
    fn valid_standard(&mut self) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        let mut cseq = 0;
        for _ in 0..=self.random.below(MAX_BURSTS) {
            let session = self.last().replies.session.clone();
            let mut burst = Vec::new();
            for _ in 0..=self.random.below(MAX_BURST) {
                cseq += 1;
                let request = self.standard(session.as_deref(), cseq);
                burst.extend(request.to_bytes());
                self.requests += 1;
                if self.random.chance(5) {
                    burst.extend(b"$\x01\0\x04abcd");
                }
                // Later requests need the session from its reply.
                if request.method == b"SETUP" {
                    break;
                }
            }
            self.last().send(burst)?;
            let want = u64::from(cseq);
            let result = self.last().wait(REPLY_LIMIT, |replies| replies.count() >= want)?;
            self.check_answered(cseq, result)?;
        }
        self.end_or_drop(70)
    }

    fn check_answered(&mut self, cseq: u32, result: WaitResult) -> Result<()> {
        let replies = &self.last().replies;
        let have = replies.count();
        ensure!(
            result != WaitResult::TimedOut,
            "only {have} of {cseq} requests answered within {REPLY_LIMIT:?}"
        );
        ensure!(
            result != WaitResult::Closed,
            "the server closed the connection after {have} of {cseq} replies"
        );
        let in_order = replies.cseqs.iter().copied().eq(1..=cseq);
        ensure!(in_order, "replies are out of order: CSeq {:?}", replies.cseqs);
        Ok(())
    }

    /// Mutated requests between valid ones.
    fn mutated_standard(&mut self) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        for burst_number in 0..=self.random.below(MAX_BURSTS) {
            let burst = self.mutated_burst();
            let with_marker = self.random.chance(30);
            self.last().send(burst)?;
            if with_marker {
                let cseq = FIRST_MARKER + u32::try_from(burst_number)?;
                self.requests += 1;
                self.last().send(request::marker(cseq))?;
                self.last().wait(MARKER_LIMIT, |replies| replies.cseqs.contains(&cseq))?;
            } else {
                self.last().read()?;
            }
            if self.last().replies.session.is_some() && self.random.chance(5) {
                let enough = self.last().replies.packets + PLAYED_PACKETS;
                self.last().wait(PLAY_LIMIT, |replies| replies.packets >= enough)?;
            }
            if self.last().is_closed() {
                break;
            }
        }
        self.end_or_drop(50)
    }

    fn mutated_burst(&mut self) -> Vec<u8> {
        let session = self.connections.last().and_then(|it| it.replies.session.clone());
        let mut burst = Vec::new();
        let many_mutated = self.random.chance(60);
        for _ in 0..=self.random.below(MAX_BURST) {
            let cseq = u32::try_from(self.random.below(900)).unwrap_or(0);
            let mut request = self.standard(session.as_deref(), cseq);
            self.requests += 1;
            let mutated = self.random.chance(if many_mutated { 60 } else { 10 });
            if mutated {
                for _ in 0..=self.random.below(2) {
                    mutation::mutate_request(&mut self.random, &mut request);
                }
            }
            let mut bytes = request.to_bytes();
            if mutated && self.random.chance(20) {
                mutation::mutate_bytes(&mut self.random, &mut bytes);
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

    fn lab(&mut self, valid: bool) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        let mut cseq = 0_u32;
        for _ in 0..=self.random.below(MAX_BURSTS / 2) {
            let session = self.last().replies.session.clone();
            let count = self.random.below(MAX_BURST) + 1;
            let mut burst = Vec::new();
            for at in 1..=count {
                cseq += 1;
                let port = self.ports.rtp();
                let (movie, session) = (self.movie, session.as_deref());
                let target = Target { movie, session, port, udp: true };
                let unterminated = at == count && self.random.chance(if valid { 4 } else { 20 });
                let mut bytes = request::lab(&mut self.random, &target, cseq, unterminated);
                self.requests += 1;
                if !valid && self.random.chance(30) {
                    mutation::mutate_bytes(&mut self.random, &mut bytes);
                }
                burst.append(&mut bytes);
            }
            self.last().send(burst)?;
            if valid {
                let want = u64::from(cseq);
                let result = self.last().wait(REPLY_LIMIT, |replies| replies.count() >= want)?;
                let have = self.last().replies.count();
                ensure!(
                    result == WaitResult::Done,
                    "lab: only {have} of {cseq} requests answered: {result:?}"
                );
            } else {
                self.last().read()?;
                if self.last().is_closed() {
                    break;
                }
            }
        }
        self.end_or_drop(60)
    }

    /// RTSP tunnelled over HTTP: a GET connection for replies, a POST connection for requests.
    fn tunnel(&mut self, valid: bool) -> Result<()> {
        let cookie = format!("fuzz-{:x}-{:x}", self.number, self.random.next());
        let post = request::http(&mut self.random, "POST", Some(&cookie)).to_bytes();
        let get = request::http(&mut self.random, "GET", Some(&cookie)).to_bytes();
        let mut posts = self.open()?;
        let mut gets = self.open()?;
        gets.send_encoded(&get)?;
        self.connections.push(gets);
        self.requests += 2;
        // If the POST does not wait for the reply to GET, it may arrive first, and is closed.
        let in_order = valid || self.random.chance(80);
        if in_order {
            let result = self.last().wait(REPLY_LIMIT, |replies| replies.count() > 0)?;
            ensure!(result == WaitResult::Done, "no reply to the GET of a tunnel: {result:?}");
        }
        posts.send_encoded(&post)?;
        let mut cseq = 0;
        let mut after_digit = false;
        for _ in 0..=self.random.below(MAX_BURSTS / 2) {
            let mut burst = if valid { Vec::new() } else { self.mutated_burst() };
            for _ in 0..if valid { self.random.below(MAX_BURST) + 1 } else { 0 } {
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
            if !valid && self.random.chance(20) {
                // Only bytes outside base64, which end the tunnel: others could change a port number.
                let at = self.random.below(text.len() + 1);
                text.insert(at, self.random.pick(b"*-_\0\xff"));
            }
            posts.send_encoded(&text)?;
            if valid {
                let want = u64::from(cseq) + 1;
                let result = self.last().wait(REPLY_LIMIT, |replies| replies.count() >= want)?;
                self.check_answered(cseq, result)?;
            }
            self.last().read()?;
        }
        posts.read()?;
        drop(posts);
        if !in_order {
            // The server closes a GET without its POST only after 10 s.
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
            mutation::mutate_request(&mut self.random, &mut request);
        }
        self.requests += 1;
        let bytes = request.to_bytes();
        self.last().send(bytes)?;
        if self.random.chance(50) {
            self.last().wait(MARKER_LIMIT, |replies| replies.count() > 0)?;
        }
        // The server closes a GET that waits for its POST only after 10 s.
        self.last().reset();
        Ok(())
    }

    /// Random bytes, parts of requests, or nothing.
    fn random_bytes(&mut self) -> Result<()> {
        let connection = self.open()?;
        self.connections.push(connection);
        for _ in 0..self.random.below(4) {
            let limit = if self.random.chance(5) { 200_000 } else { 300 };
            let length = self.random.below(limit);
            let mut bytes = match self.random.below(5) {
                0 => (0..length).map(|_| self.random.byte()).collect(),
                1 => mutation::packet(&mut self.random),
                2 => vec![self.random.pick(b"\n\r\0 AS$\x16"); length],
                3 => self.random.pick(&STARTS).to_vec(),
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

    /// The connection opened last.
    fn last(&mut self) -> &mut Connection<'a> {
        let last = self.connections.len().saturating_sub(1);
        #[allow(clippy::indexing_slicing, reason = "each scenario opens one first")]
        &mut self.connections[last]
    }

    /// Ends the connection in order with a probability of `percent`; otherwise it is dropped later, and
    /// half of these times with a reset.
    fn end_or_drop(&mut self, percent: usize) -> Result<()> {
        if self.random.chance(percent) {
            let time = self.last().finish()?;
            self.slowest_close = self.slowest_close.max(time);
        } else if self.random.chance(50) {
            self.last().reset();
        }
        Ok(())
    }
}
