// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection to the server: bytes out, replies in, neither waiting for the other.

use super::ports::Ports;
use super::replies::Replies;
use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The server takes bytes, and closes a connection that has been ended, within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sent bytes that are kept for the report of a fault.
const KEPT: usize = 256 * 1024;

/// What a wait for replies came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// What was waited for has come.
    Done,
    /// The server has closed the connection.
    Closed,
    /// Neither in the time given.
    TimedOut,
}

/// One connection.
pub(crate) struct Connection<'a> {
    stream: TcpStream,
    ports: &'a Ports,
    pub replies: Replies,
    /// What was sent, for a report.
    pub sent: Vec<u8>,
    closed: bool,
}

impl<'a> Connection<'a> {
    /// Connects.
    pub fn open(server: SocketAddr, ports: &'a Ports) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, ports, replies: Replies::default(), sent: Vec::new(), closed: false })
    }

    /// Sends bytes, with the ports of others masked.
    ///
    /// # Errors
    /// If the server takes nothing for too long, or sends what is no reply.
    pub fn send(&mut self, mut bytes: Vec<u8>) -> Result<()> {
        let after_digit = self.sent.last().is_some_and(u8::is_ascii_digit);
        self.ports.mask_others(&mut bytes, after_digit);
        self.send_encoded(&bytes)
    }

    /// Sends bytes whose ports were masked before they were encoded.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_encoded(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.sent.len() + bytes.len() > KEPT {
            self.sent.clear();
        }
        self.sent.extend_from_slice(bytes);
        let mut end = Instant::now() + PATIENCE;
        while !bytes.is_empty() && !self.closed {
            match self.stream.write(bytes) {
                Ok(taken) => {
                    bytes = bytes.get(taken..).unwrap_or_default();
                    end = Instant::now() + PATIENCE;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.read()?;
                    if Instant::now() > end {
                        bail!("the server takes nothing for {PATIENCE:?}");
                    }
                    self.poll(PollFlags::POLLIN | PollFlags::POLLOUT, end)?;
                }
                // A server may close what it cannot read; what it has sent is still there.
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

    /// Reads what has come.
    ///
    /// # Errors
    /// If it is no reply.
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

    /// Reads until `done`.
    ///
    /// # Errors
    /// If what comes is no reply.
    pub fn wait(&mut self, limit: Duration, done: impl Fn(&Replies) -> bool) -> Result<Waited> {
        let end = Instant::now() + limit;
        loop {
            self.read()?;
            if done(&self.replies) {
                return Ok(Waited::Done);
            }
            if self.closed {
                return Ok(Waited::Closed);
            }
            if Instant::now() >= end {
                return Ok(Waited::TimedOut);
            }
            self.poll(PollFlags::POLLIN, end)?;
        }
    }

    /// Whether the server has closed it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends what is sent, and waits for the server to answer what it has read and to close; gives
    /// the time that it took.
    ///
    /// # Errors
    /// If it does not.
    pub fn finish(&mut self) -> Result<Duration> {
        let from = Instant::now();
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        if self.wait(PATIENCE, |_| false)? == Waited::TimedOut {
            bail!("the server keeps a connection {PATIENCE:?} after the client has ended it");
        }
        Ok(from.elapsed())
    }

    /// Drops the connection, with a reset in place of an orderly end.
    pub fn reset(&mut self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
