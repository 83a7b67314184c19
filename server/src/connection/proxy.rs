// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the header with which a proxy states the address of the viewer that it forwards (the PROXY
//! protocol of HAProxy, versions 1 and 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first bytes of version 1.
const START: &[u8] = b"PROXY ";

/// The maximum length of version 1 in bytes, with the end of its line.
const MAX_LINE: usize = 107;

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of version 2 before its addresses.
const FIXED: usize = 16;

/// The maximum length of what follows them. Proxies add some hundred bytes at most.
const MAX_REST: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// The start of a header.
    Incomplete,
    /// A header.
    Complete {
        /// The address of the viewer; `None` if the proxy has connected for itself, or forwards something
        /// other than TCP over IP.
        viewer: Option<SocketAddr>,
        /// The number of bytes of the header.
        length: usize,
    },
    /// Not a header.
    Invalid,
}

impl Header {
    /// Reads the first bytes of a connection.
    pub fn read(bytes: &[u8]) -> Self {
        if is_start(bytes, START) {
            read_line(bytes)
        } else if is_start(bytes, SIGNATURE) {
            read_binary(bytes).unwrap_or(Self::Incomplete)
        } else {
            Self::Invalid
        }
    }

    /// Whether bytes, which may be few, are a header rather than a request.
    pub fn starts(bytes: &[u8]) -> bool {
        // Empty lines may be before a request.
        bytes.starts_with(START) || (bytes.len() > 4 && is_start(bytes, SIGNATURE))
    }
}

/// Whether bytes start with others, or are too few to decide.
fn is_start(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

/// Version 1: `PROXY TCP4 10.0.0.1 10.0.0.2 56324 443` and CRLF.
fn read_line(bytes: &[u8]) -> Header {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_LINE { Header::Incomplete } else { Header::Invalid };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let viewer = match *line.split(' ').collect::<Vec<_>>() {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", "TCP4", source, destination, port, _] => {
            let ips = source.parse::<Ipv4Addr>().ok().zip(destination.parse::<Ipv4Addr>().ok());
            ips.and_then(|(ip, _)| Some(Some(SocketAddr::new(ip.into(), read_port(port)?))))
        }
        ["PROXY", "TCP6", source, destination, port, _] => {
            let ips = source.parse::<Ipv6Addr>().ok().zip(destination.parse::<Ipv6Addr>().ok());
            ips.and_then(|(ip, _)| Some(Some(SocketAddr::new(ip.into(), read_port(port)?))))
        }
        _ => None,
    };
    viewer.map_or(Header::Invalid, |viewer| complete(viewer, end + 1))
}

fn read_port(text: &str) -> Option<u16> {
    // `parse` accepts a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Version 2; `None` until it is complete.
fn read_binary(bytes: &[u8]) -> Option<Header> {
    let [command, family, high, low] = *bytes.get(SIGNATURE.len()..FIXED)? else { return None };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > MAX_REST || !matches!(command, 0x20 | 0x21) {
        return Some(Header::Invalid);
    }
    let rest = bytes.get(FIXED..FIXED + rest)?;
    let length = FIXED + rest.len();
    let ports_at = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
    let viewer = match (command, family) {
        // The proxy itself, such as for a health check.
        (0x20, _) => Some(None),
        (_, 0x11) => rest.get(..12).and_then(|_| {
            let ip: [u8; 4] = rest.get(..4)?.try_into().ok()?;
            Some(Some(SocketAddr::new(IpAddr::from(ip), ports_at(8)?)))
        }),
        (_, 0x21) => rest.get(..36).and_then(|_| {
            let ip: [u8; 16] = rest.get(..16)?.try_into().ok()?;
            Some(Some(SocketAddr::new(IpAddr::from(ip), ports_at(32)?)))
        }),
        _ => Some(None),
    };
    Some(viewer.map_or(Header::Invalid, |viewer| complete(viewer, length)))
}

fn complete(viewer: Option<SocketAddr>, length: usize) -> Header {
    // An IPv4 address may be written as one of IPv6.
    let viewer = viewer.map(|it| SocketAddr::new(it.ip().to_canonical(), it.port()));
    Header::Complete { viewer, length }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, rest].concat()
    }

    #[test]
    fn headers_are_read_exactly() {
        let v4 = [10, 0, 0, 1, 10, 0, 0, 2, 0xdc, 0x04, 0x01, 0xbb];
        let mut v6 = [0; 36];
        (v6[0], v6[15], v6[32], v6[33]) = (0xfd, 1, 0x12, 0x34);
        let mut mapped = v6;
        mapped[..16].copy_from_slice(&Ipv4Addr::new(10, 0, 0, 9).to_ipv6_mapped().octets());
        let tlv = [&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        let complete = |viewer: &str| Some(Some(viewer.parse::<SocketAddr>().unwrap()));
        let line = |text: &str| text.as_bytes().to_vec();
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        // The viewer; `Some(None)` without one, `None` for what is not a header.
        let rows: Vec<(Vec<u8>, Option<Option<SocketAddr>>)> = vec![
            (line("PROXY TCP4 10.0.0.1 10.0.0.2 56324 443\r\n"), complete("10.0.0.1:56324")),
            (line("PROXY TCP6 fd00::1 fd00::2 1 2\r\n"), complete("[fd00::1]:1")),
            (line("PROXY TCP6 ::ffff:10.0.0.9 ::1 1 2\r\n"), complete("10.0.0.9:1")),
            (line("PROXY UNKNOWN\r\n"), Some(None)),
            (line("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Some(None)),
            (line("PROXY TCP4 10.0.0.1 10.0.0.2 56324 443\n"), None),
            (line("PROXY TCP4 fd00::1 10.0.0.2 1 2\r\n"), None),
            (line("PROXY TCP4 10.0.0.1 10.0.0.2 +1 2\r\n"), None),
            (line("PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n"), None),
            (line("PROXY TCP4 10.0.0.1  10.0.0.2 1 2\r\n"), None),
            (line("PROXY TCP4 10.0.0.01 10.0.0.2 1 2\r\n"), None),
            (line("PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n"), None),
            (line("PROXY \r\n"), None),
            (line(&long), None),
            (line("PLAY x RTSP/1.0\r\n"), None),
            (binary(0x21, 0x11, &v4), complete("10.0.0.1:56324")),
            (binary(0x21, 0x11, &tlv), complete("10.0.0.1:56324")),
            (binary(0x21, 0x21, &v6), complete("[fd00::1]:4660")),
            (binary(0x21, 0x21, &mapped), complete("10.0.0.9:4660")),
            (binary(0x20, 0x00, &[]), Some(None)),
            (binary(0x20, 0x11, &v4), Some(None)),
            (binary(0x21, 0x31, &[0; 216]), Some(None)),
            (binary(0x21, 0x11, &v4[1..]), None),
            (binary(0x21, 0x21, &v6[1..]), None),
            (binary(0x11, 0x11, &v4), None),
            (binary(0x22, 0x11, &v4), None),
            (binary(0x21, 0x11, &[0; 5000]), None),
        ];
        for (bytes, want) in rows {
            let shown = bytes.escape_ascii().to_string();
            let want = match want {
                Some(viewer) => Header::Complete { viewer, length: bytes.len() },
                None => Header::Invalid,
            };
            let with_more = [&bytes[..], b"OPTIONS"].concat();
            assert_eq!(Header::read(&with_more), want, "{shown}");
            if want != Header::Invalid {
                for length in 0..bytes.len() {
                    assert_eq!(Header::read(&bytes[..length]), Header::Incomplete, "{shown}");
                }
                assert!(Header::starts(&bytes), "{shown}");
            }
        }
        for bytes in [&b""[..], b"\r\n\r\n", b"\r\nOPTIONS", b"PLAY", b"PROX"] {
            assert!(!Header::starts(bytes), "{}", bytes.escape_ascii());
        }
    }
}
