// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control connection to a server.

use crate::clock::Deadline;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

/// The longest reply in bytes. The lab's clients read 1024.
pub const MAX_REPLY: usize = 64 * 1024;

/// A reply of three lines has ended when no byte follows for this long.
const QUIET: Duration = Duration::from_millis(50);

/// A reply of fewer lines has ended when no byte follows for this long.
const LONG_QUIET: Duration = Duration::from_millis(300);

/// The shortest wait that a socket can be asked for.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// Result of waiting for a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyBytes {
    /// Bytes, after which it was silent.
    Bytes(Vec<u8>),
    /// No byte within the limit.
    Nothing,
    /// The connection was closed, after these bytes.
    Closed(Vec<u8>),
    /// [`MAX_REPLY`] bytes and more.
    TooLong(Vec<u8>),
}

/// A control connection.
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
    last_byte_at: SystemTime,
}

impl Control {
    /// Connects.
    ///
    /// # Errors
    /// If the server does not accept within the limit.
    pub fn connect(address: SocketAddr, limit: Instant) -> io::Result<Self> {
        let left = limit.saturating_duration_since(Instant::now()).max(LEAST_WAIT);
        let stream = TcpStream::connect_timeout(&address, left)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, last_byte_at: SystemTime::now() })
    }

    /// Our address.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// When the last byte arrived.
    pub fn last_byte_at(&self) -> SystemTime {
        self.last_byte_at
    }

    /// Sends a request in one write: the lab's servers read once.
    ///
    /// # Errors
    /// If the connection is gone, or the server reads nothing within the limit.
    pub fn send(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(limit.max(LEAST_WAIT)))?;
        self.stream.write_all(bytes)
    }

    /// Waits for a reply. It has ended when nothing follows; the lab's replies have no other end. `stall` is how
    /// late this machine wakes a server that sends a reply in parts.
    pub fn read_reply(
        &mut self,
        wait: Duration,
        stall: Duration,
        deadline: Deadline,
    ) -> ReplyBytes {
        let limit = deadline.limit(wait);
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let quiet = if has_three_lines(&bytes) { QUIET } else { LONG_QUIET + stall };
            let until = if bytes.is_empty() { limit } else { limit.min(Instant::now() + quiet) };
            let left = until.saturating_duration_since(Instant::now());
            let timeout = self.stream.set_read_timeout(Some(left.max(LEAST_WAIT)));
            match timeout.and_then(|()| self.stream.read(&mut buffer)) {
                Ok(0) => return ReplyBytes::Closed(bytes),
                Ok(have) => {
                    self.last_byte_at = SystemTime::now();
                    bytes.extend_from_slice(buffer.get(..have).unwrap_or_default());
                    if bytes.len() >= MAX_REPLY {
                        bytes.truncate(MAX_REPLY);
                        return ReplyBytes::TooLong(bytes);
                    }
                    // A reply that trickles in has ended at the limit.
                    if Instant::now() >= limit {
                        return ReplyBytes::Bytes(bytes);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if Instant::now() < until {
                        continue;
                    }
                    return if bytes.is_empty() {
                        ReplyBytes::Nothing
                    } else {
                        ReplyBytes::Bytes(bytes)
                    };
                }
                Err(_) => return ReplyBytes::Closed(bytes),
            }
        }
    }
}

/// Whether bytes may be a complete reply.
fn has_three_lines(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count() >= 3
}
