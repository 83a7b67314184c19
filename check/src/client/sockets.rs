// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel's tables of sockets say about those of the client, which runs on this machine (proc(5),
//! `/proc/net`).

use std::net::SocketAddr;

/// Whether a program has opened a UDP port.
pub fn is_open(port: u16) -> bool {
    sockets("udp").any(|it| it.local == port)
}

/// Whether the client has received bytes in a TCP connection that it has not read. `client` is its end, `ours`
/// the other one.
pub fn has_unread(client: SocketAddr, ours: SocketAddr) -> bool {
    let ports = (client.port(), ours.port());
    sockets("tcp").any(|it| (it.local, it.remote) == ports && it.unread > 0)
}

/// The sockets of a protocol, of IPv4 and IPv6.
fn sockets(protocol: &str) -> impl Iterator<Item = Socket> {
    let tables = ["", "6"].map(|version| format!("/proc/net/{protocol}{version}"));
    tables.into_iter().flat_map(|path| {
        let table = std::fs::read_to_string(path).unwrap_or_default();
        table.lines().skip(1).filter_map(Socket::parse).collect::<Vec<_>>()
    })
}

/// A socket of this machine.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    /// The local port.
    local: u16,
    /// The other end's port.
    remote: u16,
    /// The bytes that were received and not read.
    unread: u64,
}

impl Socket {
    /// The socket in a line such as `0: 0100007F:1F90 0100007F:C350 01 00000000:0000001E …`.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let mut port = || u16::from_str_radix(fields.next()?.rsplit_once(':')?.1, 16).ok();
        let (local, remote) = (port()?, port()?);
        let (_, unread) = fields.nth(1)?.split_once(':')?;
        Some(Self { local, remote, unread: u64::from_str_radix(unread, 16).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};

    #[test]
    fn lines_are_parsed() {
        let rows = [
            (
                "   0: 0100007F:1F90 0100007F:C350 01 00000000:0000001E 00:00000000 00000000 0 0 1 1",
                Some(Socket { local: 8080, remote: 50_000, unread: 30 }),
            ),
            (
                "7: 0000000000000000FFFF00000100007F:0016 00000000000000000000000000000000:0000 0A \
                 00000000:00000000 00:00000000",
                Some(Socket { local: 22, remote: 0, unread: 0 }),
            ),
            ("0: 0100007F:1F90 0100007F:C350 01", None),
            ("0: 0100007F:1F90 0100007F 01 00000000:0000001E", None),
            ("0: 0100007F:11F90 0100007F:C350 01 00000000:0000001E", None),
            ("", None),
        ];
        for (line, want) in rows {
            assert_eq!(Socket::parse(line), want, "{line:?}");
        }
    }

    #[test]
    fn a_port_is_open_until_its_socket_is_dropped() {
        let addresses: [SocketAddr; 2] =
            [(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
        for address in addresses {
            let socket = UdpSocket::bind(address).unwrap();
            let port = socket.local_addr().unwrap().port();
            assert!(is_open(port), "{address}");
            drop(socket);
            assert!(!is_open(port), "{address}");
        }
    }

    #[test]
    fn bytes_are_unread_until_they_are_read() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut ours, address) = listener.accept().unwrap();
        let unread = || has_unread(address, listener.local_addr().unwrap());
        assert!(!unread());
        ours.write_all(b"a reply").unwrap();
        assert!(unread());
        client.read_exact(&mut [0; 7]).unwrap();
        assert!(!unread());
        ours.write_all(b"another").unwrap();
        drop(client);
        assert!(!unread());
    }
}
