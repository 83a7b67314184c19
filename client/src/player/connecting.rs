// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds out why a connection to an RTSP server failed. rtspsrc 1.22 reports "Generic error" for every cause, so
//! the player tries the connection itself once, after rtspsrc has failed.

use super::movies::{server_of, server_text};
use super::{Failure, FailureKind};
use mjpeg_program::border::guarded;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// How long to look for the cause.
const LIMIT: Duration = Duration::from_secs(1);

/// Why no RTSP request could be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the host {host} has no known address ({error}): check the spelling of its name")]
    UnknownHost { host: String, error: io::Error },
    #[error(
        "{server} refuses the connection: no server listens on this port. Start the server, or use its \
         port; common ones are 554 and 8554"
    )]
    Refused { server: String },
    #[error(
        "{server} does not answer within {} s: check the address; the host may be off, or a firewall \
         may drop the connection",
        limit.as_secs_f64()
    )]
    NoAnswer { server: String, limit: Duration },
    #[error("{server} cannot be reached ({error}): check the address and the network")]
    Unreachable { server: String, error: io::Error },
    #[error(
        "{server} accepts the connection, but does not answer with TLS: it may expect plain RTSP. Use \
         rtsp:// instead of rtsps://"
    )]
    NoTls { server: String },
    #[error(
        "the certificate of {server} is not trusted: {}. Trust it or its issuer by --tls-ca FILE, or \
         accept every certificate by --insecure",
        flaws(*errors)
    )]
    Certificate { server: String, errors: gio::TlsCertificateFlags },
    #[error(
        "{server} does not support RTSP through HTTP: use --transport auto, or the port for HTTP"
    )]
    NoTunnel { server: String },
    #[error("the connection to {server} failed, but the server accepts connections now: try again")]
    AcceptsNow { server: String },
    #[error("the address names no server: use rtsp://HOST:PORT/MOVIE")]
    NoServer,
}

/// What is wrong with a certificate.
fn flaws(errors: gio::TlsCertificateFlags) -> String {
    use gio::TlsCertificateFlags as Flags;
    const TEXTS: [(Flags, &str); 6] = [
        (Flags::UNKNOWN_CA, "it is self-signed, or its issuer is unknown"),
        (Flags::BAD_IDENTITY, "it was issued for another host name"),
        (Flags::NOT_ACTIVATED, "it is not valid yet"),
        (Flags::EXPIRED, "it has expired"),
        (Flags::REVOKED, "it has been revoked"),
        (Flags::INSECURE, "its algorithm is insecure"),
    ];
    let texts: Vec<&str> =
        TEXTS.iter().filter(|(flag, _)| errors.contains(*flag)).map(|(_, text)| *text).collect();
    if texts.is_empty() { "it cannot be checked".to_owned() } else { texts.join("; ") }
}

impl ConnectError {
    /// Looks for the cause, for at most [`LIMIT`]. `certificate` is what rtspsrc has found wrong with
    /// the server's certificate.
    pub fn find(url: &str, certificate: gio::TlsCertificateFlags) -> Self {
        let Some((host, port)) = server_of(url) else { return Self::NoServer };
        let server = server_text(url).unwrap_or_default();
        if !certificate.is_empty() {
            return Self::Certificate { server, errors: certificate };
        }
        let scheme = url.split("://").next().unwrap_or_default().to_owned();
        let (found, cause) = channel();
        // A name server may take longer than the limit.
        let probe_server = server.clone();
        let probe = move || {
            let cause = guarded("connect-probe", || probe(&host, port, probe_server, &scheme));
            let _ = found.send(cause);
        };
        let thread = std::thread::Builder::new().name("connect-probe".to_owned()).spawn(probe);
        let cause = thread.ok().and_then(|_| cause.recv_timeout(LIMIT).ok()?.ok());
        cause.unwrap_or(Self::NoAnswer { server, limit: LIMIT })
    }

    /// The cause of a silence of `limit` before the first request. The server may accept connections, but
    /// not answer to TLS or HTTP.
    pub fn of_silence(url: &str, server: String, limit: Duration) -> Self {
        let is_plain = url.starts_with("rtsp://");
        match (!is_plain).then(|| Self::find(url, gio::TlsCertificateFlags::empty())) {
            Some(cause @ (Self::NoTls { .. } | Self::NoTunnel { .. })) => cause,
            _ => Self::NoAnswer { server, limit },
        }
    }

    /// Its kind, by which a front end chooses its advice.
    fn kind(&self) -> FailureKind {
        match self {
            Self::Certificate { .. } => FailureKind::Untrusted,
            Self::UnknownHost { .. } => FailureKind::UnknownHost,
            Self::NoTls { .. } | Self::NoTunnel { .. } => FailureKind::Refused,
            _ => FailureKind::NoConnection,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::new(error.kind(), &error.to_string())
    }
}

fn probe(host: &str, port: u16, server: String, scheme: &str) -> ConnectError {
    let end = Instant::now() + LIMIT;
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return ConnectError::UnknownHost { host: host.to_owned(), error },
    };
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in addresses {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) if scheme == "rtsph" => return ConnectError::NoTunnel { server },
            Ok(_) if scheme.starts_with("rtsps") => return ConnectError::NoTls { server },
            Ok(_) => return ConnectError::AcceptsNow { server },
            Err(error) => last = error,
        }
    }
    match last.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused { server },
        io::ErrorKind::TimedOut => ConnectError::NoAnswer { server, limit: LIMIT },
        _ => ConnectError::Unreachable { server, error: last },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flaw_of_a_certificate_is_named() {
        use gio::TlsCertificateFlags as Flags;
        let rows = [
            (Flags::UNKNOWN_CA, "it is self-signed, or its issuer is unknown"),
            (
                Flags::UNKNOWN_CA | Flags::BAD_IDENTITY,
                "it is self-signed, or its issuer is unknown; it was issued for another host name",
            ),
            (Flags::EXPIRED, "it has expired"),
            (Flags::GENERIC_ERROR, "it cannot be checked"),
        ];
        for (flags, want) in rows {
            assert_eq!(flaws(flags), want, "{flags:?}");
        }
    }
}
