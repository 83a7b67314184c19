// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control connection: a request is one write, a reply ends with a silence, and each wait has a
//! limit.

use super::wakeup::WakeUp;
use crate::border;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// A reply has ended when no byte follows for this long.
const QUIET: Duration = Duration::from_millis(50);

/// The longest time from the first byte of a reply to its last one.
const REPLY_TIME: Duration = Duration::from_secs(2);

/// The longest reply that is read, in bytes.
pub(super) const MAX_REPLY: usize = 64 * 1024;

/// Result of waiting for a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReplyOutcome {
    Reply(String),
    /// No byte before the limit.
    Nothing,
    /// The server has closed the connection.
    Closed,
    /// More than [`MAX_REPLY`] bytes, which are discarded.
    TooLong,
}

/// Shortest wait for a connection.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The host's name has no known address.
    Name(io::Error),
    Connect(io::Error),
}

/// The addresses of a host. A name server may take longer than `limit`: its answer is not waited for.
fn addresses(host: &str, port: u16, limit: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (found, addresses) = sync_channel(1);
    let host = host.to_owned();
    let find = move || {
        let addresses = border::caught(|| {
            (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
        });
        let _ = found.send(addresses);
    };
    std::thread::Builder::new().name("labrtspsrc-dns".to_owned()).spawn(find)?;
    match addresses.recv_timeout(limit) {
        Ok(Some(addresses)) => addresses,
        _ => Err(io::Error::new(io::ErrorKind::TimedOut, "the name server does not answer")),
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    server: SocketAddr,
    /// The server has closed it.
    closed: bool,
}

impl Connection {
    /// Connects to the first address of `host` that accepts, within `limit`.
    pub fn open(host: &str, port: u16, limit: Duration) -> Result<Self, ConnectError> {
        let end = Instant::now() + limit;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for server in addresses(host, port, limit).map_err(ConnectError::Name)? {
            let left = end.saturating_duration_since(Instant::now()).max(LEAST_WAIT);
            match Self::open_address(server, left) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(ConnectError::Connect(last))
    }

    fn open_address(server: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, limit)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { stream, server, closed: false })
    }

    /// Address of the server.
    pub fn server(&self) -> IpAddr {
        self.server.ip().to_canonical()
    }

    /// The addresses of both ends: ours and the server's.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.stream.local_addr()?, self.stream.peer_addr()?))
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
    pub fn reply(&mut self, wake_up: &WakeUp, limit: impl Fn() -> Instant) -> ReplyOutcome {
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
                return ReplyOutcome::TooLong;
            }
        }
        if !received.is_empty() {
            ReplyOutcome::Reply(String::from_utf8_lossy(&received).into_owned())
        } else if self.closed {
            ReplyOutcome::Closed
        } else {
            ReplyOutcome::Nothing
        }
    }

    /// What the server has sent without a request that waits for it.
    pub fn pending(&mut self, wake_up: &WakeUp) -> ReplyOutcome {
        let now = Instant::now();
        self.reply(wake_up, || now)
    }
}
