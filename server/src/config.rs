// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line, checked and resolved into one value.

use crate::catalog::Catalog;
use crate::cli::{Arguments, Switch};
use anyhow::{Context, Result};
use clap::ValueEnum;
use gstmjpegfile::movie::FrameRate;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Who is served the lab's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LabMode {
    /// Lab clients and standard players, on the same port.
    On,
    /// Standard players only.
    Off,
    /// Lab clients only.
    Only,
}

/// What is done with a frame that no UDP datagram holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Oversize {
    /// It is encoded again at lower quality.
    Shrink,
    /// It is dropped.
    Drop,
}

/// How frames are cut for lab clients that want fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fragments {
    /// Not at all: one frame, one packet, which suits most clients.
    Off,
    /// All fragments of a frame have one sequence number.
    SameSeq,
    /// Each fragment has the next sequence number.
    NextSeq,
}

/// Whether the kernel cuts a frame into its datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UdpOffload {
    /// Where it can.
    Auto,
    /// Never: each datagram is handed over by itself.
    Off,
}

/// What the server serves and where.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Frames a second of every movie.
    pub framerate: FrameRate,
    /// Whether movies start over.
    pub looping: bool,
    /// Whether all viewers of a movie see the same of it, which starts over without end.
    pub live: bool,
    /// Whether the kernel cuts a frame into its datagrams.
    pub udp_offload: UdpOffload,
    /// Bytes of prepared frames that are kept for all viewers.
    pub prepare_cache: u64,
    /// Who is served the lab's dialect.
    pub lab: LabMode,
    /// What lab clients get for a frame that no datagram holds.
    pub lab_oversize: Oversize,
    /// Whether lab clients get fragments.
    pub lab_fragment: Fragments,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections, and RTSP sessions, at once from one address.
    pub max_connections_per_address: usize,
    /// Whether RTSP is served through HTTP.
    pub http_tunnel: bool,
    /// Whether the exchange with lab clients is explained on standard error.
    pub explain: bool,
    /// The movies; `None` means the test card.
    pub catalog: Option<Catalog>,
}

impl Config {
    /// Checks the arguments and looks for the movies. Wrong usage ends the process with 2.
    ///
    /// # Errors
    /// If a path cannot be served.
    pub fn resolve(arguments: &Arguments) -> Result<Self> {
        let listen = parse_listen(&arguments.listen).unwrap_or_else(|| {
            usage(&format!(
                "--listen {}: not [ADDR:]PORT, such as 8554, 127.0.0.1:8554 or [::1]:8554",
                arguments.listen
            ))
        });
        let catalog = match &arguments.paths[..] {
            [] => None,
            paths => Some(Catalog::scan(paths).context("cannot serve")?),
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
    fn listen_is_a_port_or_an_address_and_a_port() {
        let rows = [
            ("8554", Some("0.0.0.0:8554")),
            ("0", Some("0.0.0.0:0")),
            ("127.0.0.1:80", Some("127.0.0.1:80")),
            ("[::1]:8554", Some("[::1]:8554")),
            ("65536", None),
            ("localhost", None),
            ("", None),
        ];
        for (text, want) in rows {
            let got = parse_listen(text).map(|address| address.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
