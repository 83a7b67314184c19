// SPDX-License-Identifier: MIT OR Apache-2.0
//! RTP in many RTSP connections (RFC 2326 section 10.12), read as it comes.

use crate::tally::Tally;
use anyhow::Result;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Events taken at once.
const EVENTS: usize = 256;

struct Connection {
    stream: TcpStream,
    /// What of a packet has come.
    bytes: Vec<u8>,
}

/// The connections that are read.
#[derive(Clone)]
pub(crate) struct Connections {
    epoll: Arc<Epoll>,
    all: Arc<Mutex<HashMap<usize, Connection>>>,
    begin: Instant,
}

impl Connections {
    pub fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll: Arc::new(epoll), all: Arc::default(), begin: Instant::now() })
    }

    /// Reads a viewer's connection from now on.
    pub fn add(&self, which: usize, stream: &TcpStream) -> Result<()> {
        let stream = stream.try_clone()?;
        stream.set_nonblocking(true)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, which as u64);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        self.epoll.add(&stream, event)?;
        all.insert(which, Connection { stream, bytes: Vec::new() });
        Ok(())
    }

    /// Takes what has come.
    pub fn receive(&self, tally: &Mutex<Tally>) -> Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
        if count == 0 {
            return Ok(());
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = vec![0; 1 << 18];
        for event in events.iter().take(count) {
            let which = usize::try_from(event.data())?;
            let Some(connection) = all.get_mut(&which) else { continue };
            let have = match connection.stream.read(&mut room) {
                Ok(0) => 0,
                Ok(have) => have,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => 0,
            };
            if have == 0 {
                let _ = self.epoll.delete(&connection.stream);
                all.remove(&which);
                continue;
            }
            connection.bytes.extend_from_slice(room.get(..have).unwrap_or_default());
            let at = self.begin.elapsed();
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            take(&mut connection.bytes, |packet| tally.packet(which, packet, at));
        }
        Ok(())
    }
}

/// Takes whole packets of channel 0 out of the bytes, and passes over replies.
fn take(bytes: &mut Vec<u8>, mut packet: impl FnMut(&[u8])) {
    let mut rest = bytes.as_slice();
    loop {
        match rest {
            &[b'$', channel, high, low, ref after @ ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some((body, behind)) = after.split_at_checked(length) else { break };
                if channel == 0 {
                    packet(body);
                }
                rest = behind;
            }
            // A header that is not complete, or the end.
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

/// How long a reader that has nothing to do waits.
pub(crate) const PAUSE: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_whole_and_replies_passed_over() {
        let mut bytes =
            b"$\0\0\x02abRTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n$\x01\0\x01x$\0\0\x03cd".to_vec();
        let mut got = Vec::new();
        take(&mut bytes, |packet| got.push(packet.to_vec()));
        assert_eq!((got, bytes.as_slice()), (vec![b"ab".to_vec()], &b"$\0\0\x03cd"[..]));
    }
}
