// SPDX-License-Identifier: MIT OR Apache-2.0
//! A free UDP port for the client.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Ports that no other program takes by chance: Linux chooses ports up to 60999 by itself, ffmpeg up to 65000.
const FIRST: u16 = 65_002;
const COUNT: u16 = 532;

/// A UDP port that is free, and that no other run of this program takes. It is reserved by the TCP port of
/// the same number, since a client must be able to open the UDP port.
#[derive(Debug)]
pub struct ReservedPort {
    /// The port.
    pub port: u16,
    _reservation: TcpListener,
}

impl ReservedPort {
    /// Takes a free port.
    ///
    /// # Errors
    /// If none is free.
    pub fn take() -> io::Result<Self> {
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for step in 0..COUNT {
            // Even ports, as RFC 3550 section 11 has it.
            let port = FIRST + (start + step) % COUNT / 2 * 2;
            // In this order: the UDP port of another run is not opened even for a moment.
            let reserved = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            let free = |_: &TcpListener| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).map(drop);
            match reserved.and_then(|it| free(&it).map(|()| it)) {
                Ok(reservation) => return Ok(Self { port, _reservation: reservation }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::sockets::is_open;

    #[test]
    fn a_reserved_port_is_free_until_it_is_opened() {
        let (first, second) = (ReservedPort::take().unwrap(), ReservedPort::take().unwrap());
        assert_ne!(first.port, second.port);
        assert!(!is_open(first.port));
        let socket = UdpSocket::bind(("0.0.0.0", first.port)).unwrap();
        assert!(is_open(first.port));
        drop(socket);
        assert!(!is_open(first.port));
    }
}
