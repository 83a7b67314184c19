// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that was exchanged with the server of one source: messages, RTP and RTCP packets.

use super::exchange::Exchange;
use super::packet_log::{Analysis, Order, PacketLog};
use super::play_reply::video_control;
use super::protocol_log::{Direction, ProtocolLog};
use super::{lock, packet_table, pcapng};
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Format of a file of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketFormat {
    /// A table as text.
    Text,
    /// The same as comma-separated values.
    Csv,
    /// Messages and packets, for Wireshark.
    Pcapng,
}

impl PacketFormat {
    /// The format that the ending of a file's name states.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "txt" => Some(Self::Text),
            "csv" => Some(Self::Csv),
            "pcapng" => Some(Self::Pcapng),
            _ => None,
        }
    }
}

/// The capture of one source.
#[derive(Debug)]
pub struct Capture {
    started: Instant,
    started_at: SystemTime,
    log: Mutex<ProtocolLog>,
    packets: Mutex<PacketLog>,
    /// The addresses of the connection to the server: ours and the server's.
    connection: Mutex<Option<(SocketAddr, SocketAddr)>>,
    knows_connection: AtomicBool,
    /// Where a lab server's packets come from.
    source: Mutex<Option<SocketAddr>>,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            log: Mutex::default(),
            packets: Mutex::default(),
            connection: Mutex::default(),
            knows_connection: AtomicBool::new(false),
            source: Mutex::default(),
        }
    }
}

impl Capture {
    /// Starts to record packets.
    pub(crate) fn record_packets(&self) {
        lock(&self.packets).start();
    }

    /// Starts another session.
    pub(super) fn start_session(&self) {
        self.knows_connection.store(false, Ordering::Relaxed);
        self.decide(&[]);
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// Adds a step of the exchange.
    pub(crate) fn push_exchange(&self, now: Instant, exchange: &Exchange) {
        let (sends_play, is_reply) = match exchange {
            Exchange::RtspRequest(text) | Exchange::Request(text) => {
                (text.starts_with("PLAY "), false)
            }
            Exchange::RtspReply { .. } | Exchange::Reply { .. } => (false, true),
            _ => (false, false),
        };
        let number = lock(&self.log).push(self.since_start(now), exchange);
        // The packets themselves are in the ladder.
        if !matches!(exchange, Exchange::FirstPacket { .. }) {
            lock(&self.packets).push_message(number, sends_play, is_reply);
        }
    }

    /// Sets the addresses of the session's connection: ours and the server's.
    pub(super) fn set_connection(&self, addresses: (SocketAddr, SocketAddr)) {
        *lock(&self.connection) = Some(addresses);
        self.knows_connection.store(true, Ordering::Relaxed);
    }

    /// Whether the addresses of the session's connection are known.
    pub(super) fn knows_connection(&self) -> bool {
        self.knows_connection.load(Ordering::Relaxed)
    }

    /// Sets the address that a lab server's packets come from.
    pub(super) fn set_source(&self, source: SocketAddr) {
        *lock(&self.source) = Some(source);
    }

    /// Adds an RTP packet.
    pub(crate) fn push_rtp(&self, now: Instant, analysis: Analysis, packet: &[u8]) {
        lock(&self.packets).push_rtp(self.since_start(now), analysis, packet);
    }

    /// Sets the orders of the packets that waited for the reply to PLAY.
    pub(super) fn decide(&self, orders: &[Order]) {
        lock(&self.packets).decide(orders);
    }

    /// Adds an RTCP packet.
    pub(crate) fn push_rtcp(&self, now: Instant, direction: Direction, packet: &[u8]) {
        lock(&self.packets).push_rtcp(self.since_start(now), direction, packet);
    }

    /// Calls `f` with the log of the exchange.
    pub fn with_log<R>(&self, f: impl FnOnce(&ProtocolLog) -> R) -> R {
        f(&lock(&self.log))
    }

    /// Calls `f` with the packets. Packets that arrive meanwhile wait, so `f` must be short.
    pub fn with_packets<R>(&self, f: impl FnOnce(&PacketLog) -> R) -> R {
        f(&lock(&self.packets))
    }

    /// The addresses of the last connection to the server: ours and the server's.
    pub fn connection(&self) -> Option<(SocketAddr, SocketAddr)> {
        *lock(&self.connection)
    }

    /// A copy of what has been captured. The bytes of packets are shared, not copied.
    pub fn snapshot(&self) -> Snapshot {
        let log = lock(&self.log).clone();
        let conversation = Conversation::of(&log, self.connection(), *lock(&self.source));
        Snapshot {
            packets: lock(&self.packets).clone(),
            log,
            started_at: self.started_at,
            conversation,
        }
    }
}

/// A copy of a capture, to be saved.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) log: ProtocolLog,
    pub(super) packets: PacketLog,
    pub(super) started_at: SystemTime,
    pub(super) conversation: Conversation,
}

impl Snapshot {
    /// Saves it in the format that the ending of the name states; in pcapng if it states none.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        match PacketFormat::of(path) {
            Some(PacketFormat::Text) => packet_table::write_text(&mut out, &self.packets)?,
            Some(PacketFormat::Csv) => packet_table::write_csv(&mut out, &self.packets)?,
            Some(PacketFormat::Pcapng) | None => pcapng::write(&mut out, self)?,
        }
        out.flush()
    }
}

/// How the packets of the video stream are transported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketPath {
    /// In UDP datagrams: the ports of RTP and RTCP, of the client and of the server.
    Udp { client: (u16, u16), server: (u16, u16), source: Option<IpAddr> },
    /// In UDP datagrams to these ports of a group, which the client's reports are sent to as well.
    Multicast { group: IpAddr, ports: (u16, u16) },
    /// In the RTSP connection: the channels of RTP and RTCP.
    Interleaved { rtp: u8, rtcp: u8 },
}

/// The addresses of both ends, and the transport between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conversation {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub path: PacketPath,
}

impl Conversation {
    /// `source` is where a lab server's packets come from: its replies do not say.
    fn of(
        log: &ProtocolLog,
        connection: Option<(SocketAddr, SocketAddr)>,
        source: Option<SocketAddr>,
    ) -> Self {
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let (client, server) = connection.unwrap_or((unknown, unknown));
        let (client, server) = (canonical(client), canonical(server));
        let mut path = PacketPath::Udp { client: (0, 0), server: (0, 0), source: None };
        let mut control: Option<String> = None;
        for (_, entry) in log.entries() {
            match &entry.exchange {
                Exchange::RtspReply { request, reply } if request.starts_with("DESCRIBE ") => {
                    control = video_control(reply).map(str::to_owned);
                }
                Exchange::RtspReply { request, reply } if request.starts_with("SETUP ") => {
                    let uri = request.split(' ').nth(1).unwrap_or_default();
                    let is_video = control.as_deref().is_none_or(|it| uri.ends_with(it));
                    if let Some(found) = transport_of(reply).filter(|_| is_video) {
                        path = found;
                    }
                }
                // The lab's replies have no transport.
                Exchange::Request(text) if text.starts_with("SETUP ") => {
                    if let Some(port) = number_after(text, "client_port") {
                        let from = source.map_or(0, |it| it.port());
                        path = PacketPath::Udp {
                            client: (port, port),
                            server: (from, from),
                            source: source.map(|it| it.ip()),
                        };
                    }
                }
                _ => {}
            }
        }
        Self { client, server, path }
    }
}

/// An IPv4 address that a socket of both families writes as IPv6, as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The number after a name and an equals sign.
fn number_after(text: &str, name: &str) -> Option<u16> {
    let rest = text.split_once(name)?.1.trim_start().strip_prefix('=')?.trim_start();
    rest.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}

/// The transport that a reply to SETUP states (RFC 2326 section 12.39).
fn transport_of(reply: &str) -> Option<PacketPath> {
    let line = reply.lines().find_map(|line| line.strip_prefix("Transport: "))?;
    let field = |name: &str| {
        line.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let pair = |name: &str| {
        let (first, second) = field(name)?.split_once('-').unwrap_or((field(name)?, ""));
        let first: u16 = first.trim().parse().ok()?;
        Some((first, second.trim().parse().unwrap_or(first.saturating_add(1))))
    };
    if let Some((rtp, rtcp)) = pair("interleaved") {
        return Some(PacketPath::Interleaved {
            rtp: u8::try_from(rtp).ok()?,
            rtcp: u8::try_from(rtcp).ok()?,
        });
    }
    if let Some(group) =
        field("destination").and_then(|it| it.parse().ok()).filter(IpAddr::is_multicast)
    {
        return Some(PacketPath::Multicast { group, ports: pair("port")? });
    }
    Some(PacketPath::Udp {
        client: pair("client_port")?,
        server: pair("server_port").unwrap_or_default(),
        source: field("source").and_then(|it| it.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_is_that_of_the_video_stream() {
        let reply = |request: &str, rest: &str| Exchange::RtspReply {
            request: format!("{request} RTSP/1.0\r\n\r\n"),
            reply: format!("RTSP/1.0 200 OK\r\n{rest}"),
        };
        let describe = reply(
            "DESCRIBE rtsp://h/m",
            "\r\nv=0\r\nm=audio 0 RTP/AVP 0\r\na=control:a\r\nm=video 0 RTP/AVP 26\r\n\
             a=control:v\r\n",
        );
        let setup = |control: &str, transport: &str| {
            reply(&format!("SETUP rtsp://h/m/{control}"), &format!("Transport: {transport}\r\n"))
        };
        let lab = "SETUP m RTSP/1.0\nCSeq: 1\nTransport: RTP/UDP; client_port= 25000\n";
        let udp = |client, server, source: Option<&str>| PacketPath::Udp {
            client,
            server,
            source: source.map(|it| it.parse().expect("an address")),
        };
        let rows = [
            ("nothing", vec![], udp((0, 0), (0, 0), None)),
            (
                "udp",
                vec![
                    describe.clone(),
                    setup("v", "RTP/AVP;unicast;client_port=5-6;server_port=7-8;source=1.2.3.4"),
                    setup("a", "RTP/AVP;unicast;client_port=15-16;server_port=17-18"),
                ],
                udp((5, 6), (7, 8), Some("1.2.3.4")),
            ),
            (
                "interleaved",
                vec![describe, setup("v", "RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=1")],
                PacketPath::Interleaved { rtp: 2, rtcp: 3 },
            ),
            (
                "multicast",
                vec![setup("v", "RTP/AVP;multicast;destination=239.1.2.3;port=6-7;ttl=1;ssrc=1")],
                PacketPath::Multicast { group: [239, 1, 2, 3].into(), ports: (6, 7) },
            ),
            (
                "one port",
                vec![setup("v", "RTP/AVP;unicast;client_port=5")],
                udp((5, 6), (0, 0), None),
            ),
            (
                "lab",
                vec![Exchange::Request(lab.to_owned())],
                udp((25_000, 25_000), (9, 9), Some("1.2.3.4")),
            ),
        ];
        for (name, exchanges, want) in rows {
            let mut log = ProtocolLog::default();
            for exchange in exchanges {
                log.push(Duration::ZERO, &exchange);
            }
            let source = "1.2.3.4:9".parse().ok();
            assert_eq!(Conversation::of(&log, None, source).path, want, "{name}");
        }
    }

    #[test]
    fn the_ending_states_the_format() {
        let rows = [
            ("a.csv", Some(PacketFormat::Csv)),
            ("a.TXT", Some(PacketFormat::Text)),
            ("b/a.pcapng", Some(PacketFormat::Pcapng)),
            ("a.pcap", None),
            ("a", None),
        ];
        for (name, want) in rows {
            assert_eq!(PacketFormat::of(Path::new(name)), want, "{name}");
        }
    }
}
