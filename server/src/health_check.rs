// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks a running server whether it answers, for containers and monitoring.

use crate::config::{Config, LabMode};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The maximum time from the connection to the reply's first line.
const LIMIT: Duration = Duration::from_secs(3);

/// The maximum length of the reply's first line.
const MAX_LINE: usize = 256;

/// Why a server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The configuration does not state which port is listened on.
    #[error(
        "listen is port 0, a free one that is not known here: state the server's port (--listen)"
    )]
    NoPort,
    /// The server cannot be reached, or does not reply.
    #[error("no reply to OPTIONS from {address}")]
    NoReply {
        /// The address that was asked.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The first line of the reply is not that of a success.
    #[error("{address} replied to OPTIONS with {reply:?}; expected is status 200")]
    Reply {
        /// The address that was asked.
        address: SocketAddr,
        /// The first line of the reply.
        reply: String,
    },
}

/// Sends OPTIONS to the server that runs with a configuration on this machine.
///
/// # Errors
/// If no reply of status 200 is received in time.
pub fn check(config: &Config) -> Result<(), HealthError> {
    let address = reachable(config.server.listen);
    if address.port() == 0 {
        return Err(HealthError::NoPort);
    }
    let request = match config.server.lab {
        LabMode::Only => "OPTIONS health RTSP/1.0\nCSeq: 1\n\n",
        LabMode::On | LabMode::Off => "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    };
    let reply = first_line(address, request.as_bytes())
        .map_err(|source| HealthError::NoReply { address, source })?;
    match reply.strip_prefix("RTSP/1.0 200 ") {
        Some(_) => Ok(()),
        None => Err(HealthError::Reply { address, reply }),
    }
}

/// The address by which a server on this machine is reached that listens on `listen`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Sends a request, and receives the first line of the reply.
fn first_line(address: SocketAddr, request: &[u8]) -> io::Result<String> {
    let end = Instant::now() + LIMIT;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(request)?;
    let mut line = Vec::new();
    while line.len() < MAX_LINE && !line.contains(&b'\n') {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; MAX_LINE];
        match stream.read(&mut bytes)? {
            0 => break,
            count => line.extend(bytes.iter().take(count)),
        }
    }
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        let rows = [
            ("0.0.0.0:8554", "127.0.0.1:8554"),
            ("[::]:554", "[::1]:554"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ];
        for (listen, want) in rows {
            let listen: SocketAddr = listen.parse().unwrap();
            assert_eq!(reachable(listen).to_string(), want);
        }
    }

    /// The result of the check of a server that replies with these bytes and closes the connection.
    fn checked(reply: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).unwrap();
            assert!(bytes[..count].starts_with(b"OPTIONS * RTSP/1.0\r\n"));
            stream.write_all(reply).unwrap();
        });
        let mut config = Config::default();
        config.server.listen = address;
        let result = check(&config);
        server.join().unwrap();
        let text = result.map_or_else(|error| error.to_string(), |()| "good".to_owned());
        text.replace(&address.to_string(), "ADDRESS")
    }

    #[test]
    fn only_a_reply_of_status_200_is_good() {
        let bad = |reply: &str| {
            format!("ADDRESS replied to OPTIONS with {reply:?}; expected is status 200")
        };
        let rows: [(&[u8], String); 4] = [
            (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", "good".to_owned()),
            (b"RTSP/1.0 503 Service Unavailable\r\n\r\n", bad("RTSP/1.0 503 Service Unavailable")),
            (b"HTTP/1.1 200 OK\r\n\r\n", bad("HTTP/1.1 200 OK")),
            (b"", bad("")),
        ];
        for (reply, want) in rows {
            assert_eq!(checked(reply), want);
        }
        let mut config = Config::default();
        config.server.listen.set_port(0);
        assert!(matches!(check(&config), Err(HealthError::NoPort)));
    }
}
