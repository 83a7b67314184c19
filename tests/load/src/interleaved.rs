// SPDX-License-Identifier: MIT OR Apache-2.0
//! Receives RTP interleaved in many RTSP connections (RFC 2326 section 10.12).

use crate::tally::Tally;
use anyhow::Result;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most events read by one system call.
const MAX_EVENTS: usize = 256;

struct Connection {
    stream: TcpStream,
    /// Received bytes that are not yet a whole packet or reply.
    bytes: Vec<u8>,
}

/// The connections of all viewers.
#[derive(Clone)]
pub(crate) struct Connections {
    epoll: Arc<Epoll>,
    all: Arc<Mutex<HashMap<usize, Connection>>>,
    start: Instant,
}

impl Connections {
    pub fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll: Arc::new(epoll), all: Arc::default(), start: Instant::now() })
    }

    /// Adds a viewer's connection to those that are read.
    pub fn add(&self, viewer: usize, stream: &TcpStream) -> Result<()> {
        let stream = stream.try_clone()?;
        stream.set_nonblocking(true)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, viewer as u64);
        // Locked before the socket is added, so that the receiving thread finds a connection for each
        // event.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        self.epoll.add(&stream, event)?;
        all.insert(viewer, Connection { stream, bytes: Vec::new() });
        Ok(())
    }

    /// Reads what has arrived, without waiting.
    pub fn receive(&self, tally: &Mutex<Tally>) -> Result<()> {
        let mut events = [EpollEvent::empty(); MAX_EVENTS];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
        if count == 0 {
            return Ok(());
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = vec![0; 1 << 18];
        for event in events.iter().take(count) {
            let viewer = usize::try_from(event.data())?;
            let Some(connection) = all.get_mut(&viewer) else { continue };
            let have = match connection.stream.read(&mut buffer) {
                Ok(0) => 0,
                Ok(have) => have,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => 0,
            };
            if have == 0 {
                let _ = self.epoll.delete(&connection.stream);
                all.remove(&viewer);
                continue;
            }
            connection.bytes.extend_from_slice(buffer.get(..have).unwrap_or_default());
            let at = self.start.elapsed();
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            take_packets(&mut connection.bytes, |packet| tally.add_packet(viewer, packet, at));
        }
        Ok(())
    }
}

/// Removes whole packets and replies from the start of `bytes`, and calls `visit` with each packet of
/// channel 0.
fn take_packets(bytes: &mut Vec<u8>, mut visit: impl FnMut(&[u8])) {
    let mut rest = bytes.as_slice();
    loop {
        match rest {
            &[b'$', channel, high, low, ref after @ ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some((packet, remaining)) = after.split_at_checked(length) else { break };
                if channel == 0 {
                    visit(packet);
                }
                rest = remaining;
            }
            // An incomplete packet header, or nothing.
            [b'$', ..] | [] => break,
            // A reply.
            _ => match rest.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => rest = rest.get(end + 4..).unwrap_or_default(),
                None => break,
            },
        }
    }
    let done = bytes.len() - rest.len();
    bytes.drain(..done);
}

/// Pause of the receiving thread when nothing has arrived.
pub(crate) const PAUSE: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_packets_are_taken_and_replies_are_skipped() {
        let mut bytes =
            b"$\0\0\x02abRTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n$\x01\0\x01x$\0\0\x03cd".to_vec();
        let mut got = Vec::new();
        take_packets(&mut bytes, |packet| got.push(packet.to_vec()));
        assert_eq!((got, bytes.as_slice()), (vec![b"ab".to_vec()], &b"$\0\0\x03cd"[..]));
    }
}
