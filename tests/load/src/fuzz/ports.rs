// SPDX-License-Identifier: MIT OR Apache-2.0
//! The UDP ports that the server may send to. This process has bound them, and no request names
//! another port, so that the fuzzer never makes the server send packets to other programs.

use super::random::Random;
use anyhow::{Result, bail};
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;

/// Numbers that a server could read as a port to send to.
const PORTS: RangeInclusive<u64> = 1024..=65_535;

/// Range of the first port. With four digits, no part of a number that is sent in two pieces is a port
/// above 1023.
const FIRST: RangeInclusive<usize> = 2000..=9990;

/// Attempts to bind three ports in a row.
const ATTEMPTS: usize = 1000;

/// Most datagrams that are read from a socket in one call of [`Ports::drain`].
const MAX_DATAGRAMS: usize = 64;

/// Three bound ports in a row. Requests name the first or the second; the server sends RTCP to the port
/// after the one named.
pub(crate) struct Ports {
    first: u16,
    sockets: Vec<UdpSocket>,
}

impl Ports {
    /// Binds three free ports of 127.0.0.1.
    pub fn bind(random: &mut Random) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let first = FIRST.start() + random.below(FIRST.end() - FIRST.start());
            let first = u16::try_from(first)?;
            let bound: Result<Vec<_>, _> = (first..first + 3)
                .map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)))
                .collect();
            if let Ok(sockets) = bound {
                for socket in &sockets {
                    socket.set_nonblocking(true)?;
                }
                return Ok(Self { first, sockets });
            }
        }
        bail!("found no three free UDP ports in a row between 2000 and 9999 in {ATTEMPTS} attempts")
    }

    /// The port that requests name for RTP.
    pub fn rtp(&self) -> u16 {
        self.first
    }

    /// Reads and counts the datagrams that have arrived.
    pub fn drain(&self) -> u64 {
        let mut datagram = [0; 2048];
        let mut count = 0;
        for socket in &self.sockets {
            let arrived =
                (0..MAX_DATAGRAMS).take_while(|_| socket.recv(&mut datagram).is_ok()).count();
            count += arrived as u64;
        }
        count
    }

    /// Overwrites each number that could be the port of another process with zeros. `after_digit`: the
    /// last byte sent before these was a digit, so that they may continue a number.
    pub fn mask_others(&self, bytes: &mut [u8], after_digit: bool) {
        if after_digit && let Some(first) = bytes.first_mut().filter(|it| it.is_ascii_digit()) {
            *first = b'x';
        }
        for digits in bytes.split_mut(|byte| !byte.is_ascii_digit()) {
            let value = digits.iter().fold(0_u64, |value, digit| {
                value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
            });
            let ours = value == u64::from(self.first) || value == u64::from(self.first) + 1;
            if PORTS.contains(&value) && !ours {
                digits.fill(b'0');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_other_processes_are_masked() {
        let ports = Ports { first: 5000, sockets: Vec::new() };
        let rows = [
            ("client_port=5000-5001", false, "client_port=5000-5001"),
            ("client_port=5002", false, "client_port=0000"),
            ("1023 1024 65535 65536", false, "1023 0000 00000 65536"),
            ("0005000 0005002", false, "0005000 0000000"),
            ("5000x99999999999999999999999", false, "5000x99999999999999999999999"),
            ("5000", true, "x000"),
            ("x6000", true, "x0000"),
            ("", true, ""),
        ];
        for (text, after_digit, want) in rows {
            let mut bytes = text.as_bytes().to_vec();
            ports.mask_others(&mut bytes, after_digit);
            assert_eq!(String::from_utf8_lossy(&bytes), want, "{text}");
        }
    }
}
