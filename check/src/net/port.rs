// SPDX-License-Identifier: MIT OR Apache-2.0
//! Free ports for programs that are graded.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, socket};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};

/// The ports of servers. No other program takes one by chance: Linux chooses ports up to 60999 by itself, ffmpeg UDP
/// ports up to 65000.
const TCP_PORTS: RangeInclusive<u16> = 61_000..=64_999;

/// The ports of clients, of which only the even ones are used (RFC 3550 section 11).
const UDP_PORTS: RangeInclusive<u16> = 65_002..=65_533;

/// A port that is free, and that no other run of this program takes. Until it is dropped, it is reserved by a name of
/// the same network namespace (abstract socket, unix(7)): the program that is graded must be able to open the port.
#[derive(Debug)]
pub struct ReservedPort {
    /// The port.
    pub port: u16,
    _reservation: UnixListener,
}

impl ReservedPort {
    /// Takes a free UDP port for a client.
    ///
    /// # Errors
    /// If none is free.
    pub fn udp() -> io::Result<Self> {
        let open = |port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).map(drop);
        Self::take("udp", UDP_PORTS.step_by(2), open)
    }

    /// Takes a free TCP port for a server.
    ///
    /// # Errors
    /// If none is free, or `host` is not an address of this machine.
    pub fn tcp(host: &str) -> io::Result<Self> {
        let address = (host, 0).to_socket_addrs()?.next();
        let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Self::take("tcp", TCP_PORTS, |port| open_tcp(SocketAddr::new(address.ip(), port)))
    }

    /// Takes the first of some ports that is not reserved and can be opened.
    fn take(
        protocol: &str,
        ports: impl Iterator<Item = u16>,
        open: impl Fn(u16) -> io::Result<()>,
    ) -> io::Result<Self> {
        let ports: Vec<u16> = ports.collect();
        // Runs that start together start at different ports; the last port of the run before may not be free yet.
        let start = usize::try_from(std::process::id()).unwrap_or(0) % ports.len().max(1);
        let (before, from) = ports.split_at_checked(start).unwrap_or_default();
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for &port in from.iter().chain(before) {
            // In this order: the port of another run is not opened even for a moment.
            match reserve(protocol, port).and_then(|it| open(port).map(|()| it)) {
                Ok(reservation) => return Ok(Self { port, _reservation: reservation }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

fn reserve(protocol: &str, port: u16) -> io::Result<UnixListener> {
    let name = format!("mjpeg-lab-check/{protocol}/{port}");
    UnixListener::bind_addr(&UnixAddr::from_abstract_name(name)?)
}

/// Opens a TCP port for a moment. The standard library's listener would set `SO_REUSEADDR` and take a port whose last
/// connections are not over yet (TIME_WAIT): the lab's server, which does not set it, cannot.
fn open_tcp(address: SocketAddr) -> io::Result<()> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let opened = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    Ok(bind(opened.as_raw_fd(), &SockaddrStorage::from(address))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn reserved_ports_are_free_and_taken_once() {
        let udp = [ReservedPort::udp().unwrap(), ReservedPort::udp().unwrap()];
        assert_ne!(udp[0].port, udp[1].port);
        let tcp = ["127.0.0.1", "0.0.0.0"].map(|host| ReservedPort::tcp(host).unwrap());
        assert_ne!(tcp[0].port, tcp[1].port);
        for ReservedPort { port, .. } in udp {
            assert!(UDP_PORTS.contains(&port) && port % 2 == 0, "{port}");
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        }
        for ReservedPort { port, .. } in tcp {
            assert!(TCP_PORTS.contains(&port), "{port}");
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        }
        // 192.0.2.0/24 is for documentation (RFC 5737).
        let error = ReservedPort::tcp("192.0.2.1").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn a_port_with_old_connections_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        // The server closes first: its end is in TIME_WAIT.
        let client = TcpStream::connect(address).unwrap();
        drop(listener.accept().unwrap());
        drop(client);
        drop(listener);
        assert_eq!(open_tcp(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        TcpListener::bind(address).unwrap();
    }
}
