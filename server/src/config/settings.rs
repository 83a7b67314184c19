// SPDX-License-Identifier: MIT OR Apache-2.0
//! The settings of the server, and their defaults. `server/mjpeg-rtsp-server.toml` describes each of
//! them for users; a test compares its values with the defaults here.

use super::host::HostName;
use super::multicast::MulticastSettings;
use crate::access::networks::Network;
use crate::access::users::UserRule;
use clap::ValueEnum;
use gstmjpegfile::movie::FrameRate;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

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

/// Whether an option is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Switched on
    On,
    /// Switched off
    Off,
}

/// Where passwords may be sent by Basic authentication, which does not hide them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum BasicAuth {
    /// In all connections
    On,
    /// In encrypted connections
    #[default]
    Tls,
    /// Nowhere
    Off,
}

/// The least important messages that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Errors of the server itself
    Error,
    /// Problems of one viewer or movie too
    Warn,
    /// Other events too
    Info,
    /// Each request too
    Debug,
    /// Everything
    Trace,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line of text for each event
    Text,
    /// A JSON object in a line for each event
    Json,
}

/// How a movie is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MountKind {
    /// Each viewer has a position of its own
    OnDemand,
    /// All viewers see the same frame
    Live,
}

/// The settings of the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// Which clients are served.
    pub lab: LabMode,
    /// Whether RTSP is served through HTTP.
    pub http_tunnel: Switch,
    /// The certificates with which connections are encrypted, in PEM format; `None` without TLS.
    pub tls_certificate: Option<PathBuf>,
    /// The key of the first certificate.
    pub tls_key: Option<PathBuf>,
    /// The address and port on which only TLS is served; `None` for no such port.
    pub tls_listen: Option<SocketAddr>,
    /// Whether RTP is sent over UDP, in the clear, to clients whose RTSP is encrypted.
    pub tls_udp: Switch,
    /// The address and port for HTTP; `None` if HTTP is not served.
    pub http: Option<SocketAddr>,
    /// The names by which browsers may reach the server; any if there are none.
    pub http_hosts: Vec<HostName>,
    /// The proxies that state the addresses of viewers.
    pub proxy_from: Vec<Network>,
    /// The networks whose connections are served; all if there are none.
    pub allow: Vec<Network>,
    /// The networks whose connections are not served.
    pub deny: Vec<Network>,
    /// Where passwords may be sent by Basic.
    pub basic_auth: BasicAuth,
    /// The size of the cache of prepared frames in MB.
    pub prepare_cache: u32,
    /// Whether the exchange with lab clients is explained on standard error.
    pub explain: bool,
    /// What is logged.
    pub log: LogLevel,
    /// The format of the log.
    pub log_format: LogFormat,
    /// How long the connections may take to end when the server exits.
    pub grace: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::UNSPECIFIED, 8554).into(),
            lab: LabMode::On,
            http_tunnel: Switch::On,
            tls_certificate: None,
            tls_key: None,
            tls_listen: None,
            tls_udp: Switch::Off,
            http: None,
            http_hosts: Vec::new(),
            proxy_from: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            basic_auth: BasicAuth::Tls,
            prepare_cache: 64,
            explain: false,
            log: LogLevel::Info,
            log_format: LogFormat::Text,
            grace: Duration::from_secs(5),
        }
    }
}

impl ServerSettings {
    /// These settings with the new values of those that a reload applies.
    #[must_use]
    pub(crate) fn with_reloaded(&self, new: Self) -> Self {
        Self {
            listen: self.listen,
            lab: self.lab,
            http_tunnel: self.http_tunnel,
            tls_listen: self.tls_listen,
            http: self.http,
            prepare_cache: self.prepare_cache,
            explain: self.explain,
            log: self.log,
            log_format: self.log_format,
            ..new
        }
    }
}

/// What one client, or all of them, may use of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of open connections.
    pub max_connections: usize,
    /// The maximum number of open connections from one address, and of its RTSP sessions.
    pub max_connections_per_address: usize,
    /// The maximum number of RTSP sessions.
    pub max_sessions: usize,
    /// The maximum number of viewers, in all languages. A client is a viewer from PLAY on, until its
    /// session ends.
    pub max_viewers: usize,
    /// The maximum number of viewers from one address.
    pub max_viewers_per_address: usize,
    /// The maximum length of the first line and headers of an RTSP request, and of its body, in bytes.
    pub max_request_bytes: usize,
    /// The maximum time of a request, from its first byte to its last.
    pub request_time: Duration,
    /// How long a session, or a connection without one, may be idle.
    pub idle_time: Duration,
    /// How long a client may accept nothing of what it is sent over TCP.
    pub stall_time: Duration,
    /// The maximum number of bytes that are queued for a client over TCP, besides a part of a frame.
    pub max_queued_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_address: 2048,
            max_sessions: 4096,
            max_viewers: 4096,
            max_viewers_per_address: 2048,
            max_request_bytes: 64 * 1024,
            request_time: Duration::from_secs(10),
            idle_time: Duration::from_mins(1),
            stall_time: Duration::from_secs(10),
            max_queued_bytes: 1024 * 1024,
        }
    }
}

/// How the movies of a mount are played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSettings {
    /// Whether each viewer has a position of its own.
    pub kind: MountKind,
    /// Frames per second.
    pub framerate: FrameRate,
    /// Whether the movie starts again at its end. A live movie always does.
    pub looping: bool,
    /// Whether links out of the folder are followed.
    pub follow_links: bool,
    /// The maximum number of viewers of each movie of the mount.
    pub max_viewers: usize,
    /// The networks whose viewers may watch; all if there are none.
    pub allow: Vec<Network>,
    /// The networks whose viewers may not watch.
    pub deny: Vec<Network>,
    /// The users who may watch; none if nobody needs a password.
    pub users: Vec<UserRule>,
    /// To which groups the movie is sent, if it is live.
    pub multicast: MulticastSettings,
    /// Whether the kernel splits frames into datagrams.
    pub udp_offload: UdpOffload,
    /// How frames larger than a datagram are sent to lab clients.
    pub lab_oversize: Oversize,
    /// How frames are split into fragments for lab clients.
    pub lab_fragment: Fragments,
}

impl Default for MountSettings {
    fn default() -> Self {
        Self {
            kind: MountKind::OnDemand,
            framerate: FrameRate::DEFAULT,
            looping: false,
            follow_links: false,
            max_viewers: 4096,
            allow: Vec::new(),
            deny: Vec::new(),
            users: Vec::new(),
            multicast: MulticastSettings::default(),
            udp_offload: UdpOffload::Auto,
            lab_oversize: Oversize::Shrink,
            lab_fragment: Fragments::Off,
        }
    }
}
