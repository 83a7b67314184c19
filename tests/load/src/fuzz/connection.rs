// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection to the server: sends requests and receives replies, and neither blocks the other.

use super::ports::Ports;
use super::replies::Replies;
use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Longest time until the server reads more bytes, or closes a connection that the client has ended.
const LIMIT: Duration = Duration::from_secs(20);

/// Most sent bytes that are kept for the report of a failure.
const MAX_SENT_KEPT: usize = 256 * 1024;

/// The result of a wait for replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitResult {
    /// The expected replies have arrived.
    Done,
    /// The server has closed the connection.
    Closed,
    /// Neither happened within the time limit.
    TimedOut,
}

/// A connection to the server.
pub(crate) struct Connection<'a> {
    stream: TcpStream,
    ports: &'a Ports,
    pub replies: Replies,
    /// The last bytes that were sent, for the report of a failure.
    pub sent: Vec<u8>,
    closed: bool,
}

impl<'a> Connection<'a> {
    /// Connects to the server.
    pub fn open(server: SocketAddr, ports: &'a Ports) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&server, LIMIT)
            .with_context(|| format!("cannot connect to {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, ports, replies: Replies::default(), sent: Vec::new(), closed: false })
    }

    /// Sends bytes, after masking the port numbers of other processes in them.
    ///
    /// # Errors
    /// If the server reads nothing for too long, or sends something that is not a reply.
    pub fn send(&mut self, mut bytes: Vec<u8>) -> Result<()> {
        let after_digit = self.sent.last().is_some_and(u8::is_ascii_digit);
        self.ports.mask_others(&mut bytes, after_digit);
        self.send_encoded(&bytes)
    }

    /// Sends bytes in which ports were masked before encoding.
    ///
    /// # Errors
    /// See [`Self::send`].
    pub fn send_encoded(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.sent.len() + bytes.len() > MAX_SENT_KEPT {
            self.sent.clear();
        }
        self.sent.extend_from_slice(bytes);
        let mut end = Instant::now() + LIMIT;
        while !bytes.is_empty() && !self.closed {
            match self.stream.write(bytes) {
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    end = Instant::now() + LIMIT;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.read()?;
                    if Instant::now() > end {
                        bail!("the server read nothing for {LIMIT:?}");
                    }
                    self.poll(PollFlags::POLLIN | PollFlags::POLLOUT, end)?;
                }
                // The server may close the connection after an error; its replies can still be read.
                Err(_) => {
                    self.read()?;
                    self.closed = true;
                }
            }
        }
        Ok(())
    }

    fn poll(&self, flags: PollFlags, end: Instant) -> Result<()> {
        let left = end.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.stream.as_fd(), flags)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what has arrived, without waiting.
    ///
    /// # Errors
    /// If it is not a reply.
    pub fn read(&mut self) -> Result<()> {
        let mut bytes = [0; 16 * 1024];
        while !self.closed {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.closed = true,
                Ok(count) => self.replies.push(bytes.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => self.closed = true,
            }
        }
        Ok(())
    }

    /// Reads until `done` returns true.
    ///
    /// # Errors
    /// If the server sends something that is not a reply.
    pub fn wait(&mut self, limit: Duration, done: impl Fn(&Replies) -> bool) -> Result<WaitResult> {
        let end = Instant::now() + limit;
        loop {
            self.read()?;
            if done(&self.replies) {
                return Ok(WaitResult::Done);
            }
            if self.closed {
                return Ok(WaitResult::Closed);
            }
            if Instant::now() >= end {
                return Ok(WaitResult::TimedOut);
            }
            self.poll(PollFlags::POLLIN, end)?;
        }
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Shuts down sending and waits until the server has replied and closed the connection; returns the
    /// time that this took.
    ///
    /// # Errors
    /// If the server does not close the connection in time.
    pub fn finish(&mut self) -> Result<Duration> {
        let start = Instant::now();
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        if self.wait(LIMIT, |_| false)? == WaitResult::TimedOut {
            bail!("the server has not closed a connection {LIMIT:?} after the client ended it");
        }
        Ok(start.elapsed())
    }

    /// Makes the drop of the connection a reset (RST) instead of an orderly end.
    pub fn reset(&mut self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
