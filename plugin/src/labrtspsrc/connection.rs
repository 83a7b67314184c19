// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control connection: one write a request, a reply read up to a silence, never a wait
//! without a limit.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// After this without another byte, what has come is the reply.
const QUIET: Duration = Duration::from_millis(50);

/// How often a wait looks at what else has happened.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// The longest reply that is read, in bytes.
const MAX_REPLY: usize = 64 * 1024;

/// What has come for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Reply(String),
    /// Nothing within the limit, or the wait was ended.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    server: SocketAddr,
}

impl Connection {
    /// Connects to the first address of `host` that takes it.
    pub fn open(host: &str, port: u16, limit: Duration) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for server in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&server, limit) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(LOOK))?;
                    stream.set_write_timeout(Some(limit))?;
                    return Ok(Self { stream, server });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Who is at the other end.
    pub fn server(&self) -> IpAddr {
        self.server.ip().to_canonical()
    }

    /// Sends a request in one write.
    pub fn send(&mut self, request: &str) -> io::Result<()> {
        self.stream.write_all(request.as_bytes())
    }

    /// Waits for a reply, at most for `limit`, and not when `enough` says so.
    pub fn reply(&mut self, limit: Duration, enough: impl Fn() -> bool) -> Answer {
        let end = Instant::now() + limit;
        let mut held = Vec::new();
        let mut last = Instant::now();
        loop {
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) if held.is_empty() => return Answer::Closed,
                Ok(0) => break,
                Ok(count) => {
                    held.extend_from_slice(bytes.get(..count).unwrap_or_default());
                    last = Instant::now();
                    if held.len() > MAX_REPLY {
                        break;
                    }
                }
                Err(error) if is_wait(&error) => {}
                Err(_) if held.is_empty() => return Answer::Closed,
                Err(_) => break,
            }
            if !held.is_empty() && last.elapsed() >= QUIET {
                break;
            }
            if held.is_empty() && (Instant::now() >= end || enough()) {
                return Answer::Nothing;
            }
        }
        Answer::Reply(String::from_utf8_lossy(&held).into_owned())
    }

    /// What the server has sent without being asked, such as the reply to a request that nobody
    /// waits for any more.
    pub fn pending(&mut self) -> Answer {
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(1)));
        let mut byte = [0];
        let looked = self.stream.peek(&mut byte);
        let _ = self.stream.set_read_timeout(Some(LOOK));
        match looked {
            Ok(0) => Answer::Closed,
            Ok(_) => self.reply(QUIET, || false),
            Err(error) if is_wait(&error) => Answer::Nothing,
            Err(_) => Answer::Closed,
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
