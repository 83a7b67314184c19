// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control connection: a request is one write, a reply ends with a silence, and each wait has a
//! limit.

use super::wakeup::WakeUp;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A reply has ended when no byte follows for this long.
const QUIET: Duration = Duration::from_millis(50);

/// The longest time from the first byte of a reply to its last one.
const REPLY_TIME: Duration = Duration::from_secs(2);

/// The longest reply that is read, in bytes.
const MAX_REPLY: usize = 64 * 1024;

/// What a wait for a reply brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Reply(String),
    /// No byte before the limit.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    server: SocketAddr,
    /// The server has closed it.
    closed: bool,
}

impl Connection {
    /// Connects to the first address of `host` that accepts.
    pub fn open(host: &str, port: u16, limit: Duration) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for server in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&server, limit) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_write_timeout(Some(limit))?;
                    return Ok(Self { stream, server, closed: false });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Address of the server.
    pub fn server(&self) -> IpAddr {
        self.server.ip().to_canonical()
    }

    /// The socket to wait for, unless the server has closed it.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        (!self.closed).then(|| self.stream.as_fd())
    }

    /// Sends a request in one write.
    pub fn send(&mut self, request: &str) -> io::Result<()> {
        self.stream.write_all(request.as_bytes())
    }

    /// Waits for a reply whose first byte arrives before `limit`. `limit` is called again after each
    /// wake-up, since what caused the wake-up may have changed it.
    pub fn reply(&mut self, wake_up: &WakeUp, limit: impl Fn() -> Instant) -> Answer {
        let mut received = Vec::new();
        let mut last_end = None;
        let mut end = limit();
        while !self.closed {
            match wake_up.wait(self.socket(), Some(end)) {
                Ok(true) => {
                    let mut bytes = [0; 4096];
                    match self.stream.read(&mut bytes) {
                        Ok(0) => self.closed = true,
                        Ok(count) => {
                            received.extend_from_slice(bytes.get(..count).unwrap_or_default());
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(_) => self.closed = true,
                    }
                    let now = Instant::now();
                    end = (now + QUIET).min(*last_end.get_or_insert(now + REPLY_TIME));
                }
                Ok(false) if Instant::now() >= end => break,
                Ok(false) if received.is_empty() => end = limit(),
                Ok(false) => {}
                Err(_) => self.closed = true,
            }
            if received.len() > MAX_REPLY {
                break;
            }
        }
        if !received.is_empty() {
            Answer::Reply(String::from_utf8_lossy(&received).into_owned())
        } else if self.closed {
            Answer::Closed
        } else {
            Answer::Nothing
        }
    }

    /// What the server has sent without a request that waits for it.
    pub fn pending(&mut self, wake_up: &WakeUp) -> Answer {
        let now = Instant::now();
        self.reply(wake_up, || now)
    }
}
