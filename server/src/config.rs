// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of the server, from the checked arguments of the command line.

use crate::catalog::Catalog;
use crate::cli::{Arguments, Switch};
use anyhow::Result;
use clap::ValueEnum;
use gstmjpegfile::movie::FrameRate;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Which clients are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LabMode {
    /// Lab clients and standard players, on the same port
    On,
    /// Standard players only
    Off,
    /// Lab clients only
    Only,
}

/// How frames that are larger than a UDP datagram can be are sent to lab clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Oversize {
    /// Encoded again so that they fit: at lower quality, then as fewer pixels
    Shrink,
    /// Not at all: they are dropped
    Drop,
}

/// How frames are split into fragments for lab clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fragments {
    /// Not at all: each frame is one packet, as most clients expect
    Off,
    /// All fragments of a frame have the same sequence number
    SameSeq,
    /// Each fragment has the next sequence number
    NextSeq,
}

/// Whether the kernel splits frames into datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UdpOffload {
    /// If the kernel and the network card support it
    Auto,
    /// Never: the server sends each datagram separately
    Off,
}

/// What the server serves and where.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Config {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// Frames per second of all movies.
    pub framerate: FrameRate,
    /// Whether movies start again at their end.
    pub looping: bool,
    /// Whether movies are live streams, which loop.
    pub live: bool,
    /// Whether the kernel splits frames into datagrams.
    pub udp_offload: UdpOffload,
    /// The size of the cache of prepared frames in bytes.
    pub prepare_cache: u64,
    /// Which clients are served.
    pub lab: LabMode,
    /// How frames larger than a datagram are sent to lab clients.
    pub lab_oversize: Oversize,
    /// How frames are split into fragments for lab clients.
    pub lab_fragment: Fragments,
    /// The maximum number of open connections.
    pub max_connections: usize,
    /// The maximum number of open connections from one address, and of RTSP sessions.
    pub max_connections_per_address: usize,
    /// Whether RTSP is served through HTTP.
    pub http_tunnel: bool,
    /// Whether the exchange with lab clients is explained on standard error.
    pub explain: bool,
    /// The movies; `None` for the test card.
    pub catalog: Option<Catalog>,
}

impl Config {
    /// Checks the arguments and finds the movies. Exits the process with code 2 on wrong usage.
    ///
    /// # Errors
    /// If a path cannot be served.
    pub fn resolve(arguments: &Arguments) -> Result<Self> {
        let listen = parse_listen(&arguments.listen).unwrap_or_else(|| {
            usage(&format!(
                "invalid value '{}' for --listen: it must be [ADDR:]PORT, such as 8554, 127.0.0.1:8554 or [::1]:8554",
                arguments.listen
            ))
        });
        let catalog = match &arguments.paths[..] {
            [] => None,
            paths => Some(Catalog::scan(paths)?),
        };
        let prepare_cache = u64::from(arguments.prepare_cache) * 1_000_000;
        Ok(Self {
            listen,
            framerate: arguments.framerate,
            looping: arguments.looping || arguments.live,
            live: arguments.live,
            udp_offload: arguments.udp_offload,
            prepare_cache,
            lab: arguments.lab,
            lab_oversize: arguments.lab_oversize,
            lab_fragment: arguments.lab_fragment,
            max_connections: arguments.max_connections as usize,
            max_connections_per_address: arguments.max_connections_per_address as usize,
            http_tunnel: arguments.http_tunnel == Switch::On,
            explain: arguments.explain,
            catalog,
        })
    }
}

fn usage(message: &str) -> ! {
    use clap::CommandFactory;
    Arguments::command().error(clap::error::ErrorKind::ValueValidation, message).exit()
}

fn parse_listen(text: &str) -> Option<SocketAddr> {
    let wildcard = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    text.parse().ok().or_else(|| Some(SocketAddr::new(wildcard, text.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listen_address_is_a_port_or_an_address_and_a_port() {
        let valid = [
            ("8554", "0.0.0.0:8554"),
            ("0", "0.0.0.0:0"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:8554", "[::1]:8554"),
        ];
        for (text, want) in valid {
            assert_eq!(parse_listen(text), want.parse().ok(), "{text}");
        }
        for text in ["65536", "localhost", ""] {
            assert_eq!(parse_listen(text), None, "{text}");
        }
    }
}
