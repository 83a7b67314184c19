// SPDX-License-Identifier: MIT OR Apache-2.0
//! Accepts connections within limits. Each connection is a task, so that waiting needs no thread. Its
//! first bytes decide between standard RTSP, RTSP through an HTTP tunnel, and the lab's dialect. HTTP for
//! browsers has a port of its own.

pub mod language;
pub mod limits;
pub(crate) mod listener;
pub mod outbox;
pub(crate) mod proxy;
pub(crate) mod tls;
pub mod tunnel;
pub(crate) mod wire;

use crate::access::SharedAccess;
use crate::config::{LabMode, SharedLimits};
use crate::ending::Ending;
use crate::http;
use crate::lab;
use crate::limit_log::LimitLog;
use crate::rtsp;
use crate::rtsp::connection::Input;
use language::Language;
use limits::{ConnectionSlot, LimitReached, OpenConnections, PeerKind};
use listener::Port;
use proxy::Header;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tls::SharedTls;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tunnel::{HttpRequest, PostHalf, Tunnels};
use wire::Wire;

/// How long bytes are read and discarded after the last reply, and the pause between two reads.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_PAUSE: Duration = Duration::from_millis(20);

/// TCP keep-alive: a connection is probed after this silence, at this interval, and fails after
/// this many probes without an answer. So a host that is gone is detected within a minute.
const KEEPALIVE_SILENCE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// The number of bytes that are read at once: requests are short.
const READ_SIZE: usize = 4096;

/// The event for the limit log when a network is not served.
const NOT_SERVED: &str = "connection closed: its address is not in allow, or is in deny";

/// What connections are served with.
pub(crate) struct Services {
    /// Serves standard RTSP.
    pub rtsp: Arc<rtsp::Service>,
    /// Serves the lab's dialect.
    pub lab: Arc<lab::Service>,
    /// Serves HTTP on its own port; `None` if it is not served.
    pub http: Option<Arc<http::Service>>,
    /// Which of RTSP and the lab's dialect are served.
    pub mode: LabMode,
    /// Who may connect.
    pub access: SharedAccess,
    /// The certificate and the key for TLS.
    pub tls: SharedTls,
    /// The tunnels of RTSP through HTTP; `None` if HTTP is not served.
    pub tunnels: Option<Tunnels>,
    /// Counts the open connections.
    pub open: OpenConnections,
    /// The present limits.
    pub limits: SharedLimits,
    /// Counts the connections that are refused.
    pub limit_log: Arc<LimitLog>,
    /// The exit of the server.
    pub ending: Ending,
}

impl Services {
    /// Serves a connection until it ends. The futures of the languages are boxed, so that a silent
    /// connection needs little memory.
    async fn serve(
        &self,
        stream: TcpStream,
        (port, kind): (Port, PeerKind),
        mut peer: SocketAddr,
        mut slot: ConnectionSlot,
    ) {
        let mut first = Vec::new();
        if kind == PeerKind::Proxy {
            let read = tokio::select! {
                read = Box::pin(self.read_proxy_header(&stream, peer, &mut slot)) => read,
                () = self.ending.clone().announced() => None,
            };
            let Some(read) = read else { return };
            (peer, first) = read;
        }
        if port == Port::Http {
            let opened = tokio::select! {
                opened = self.open_http(stream, first, peer) => opened,
                () = self.ending.clone().announced() => None,
            };
            if let (Some(http), Some((wire, first))) = (&self.http, opened) {
                Box::pin(http::connection::serve(http.clone(), wire, peer, first, slot)).await;
            }
            return;
        }
        let opened = tokio::select! {
            opened = self.open(stream, first, port, peer) => opened,
            () = self.ending.clone().announced() => None,
        };
        let Some((wire, language, first)) = opened else { return };
        match language {
            Language::Rtsp if self.mode != LabMode::Only => {
                let (rtsp, input) = (self.rtsp.clone(), Input::Connection);
                Box::pin(rtsp::connection::serve(rtsp, (wire, peer), input, first, slot)).await;
            }
            Language::Rtsp => {
                self.limit_log.count("connection closed: standard RTSP, but --lab is only", peer);
            }
            Language::Lab => {
                let socket = wire.into_socket();
                Box::pin(lab::serve(self.lab.clone(), socket, peer, first, slot)).await;
            }
            Language::Http => Box::pin(self.serve_http(wire, peer, first, slot)).await,
            Language::Tls => self.limit_log.count("connection closed: TLS within TLS", peer),
        }
    }

    /// Logs that a connection was refused, or that another one was closed for it.
    fn log_admission(&self, admitted: Result<Option<SocketAddr>, LimitReached>, peer: SocketAddr) {
        let (kind, peer) = match admitted {
            Ok(None) => return,
            Ok(Some(idle)) => ("idle connection closed for a new one", idle),
            Err(LimitReached::Server) => {
                ("connection refused: --max-connections are open, none is idle", peer)
            }
            Err(LimitReached::Address) => {
                ("connection refused: --max-connections-per-address are open, none is idle", peer)
            }
        };
        self.limit_log.count(kind, peer);
    }

    /// Reads the header of a proxy. Returns the address of the viewer, and what follows the header.
    async fn read_proxy_header(
        &self,
        stream: &TcpStream,
        proxy: SocketAddr,
        slot: &mut ConnectionSlot,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let mut bytes = read_some(stream).await.ok().filter(|bytes| !bytes.is_empty())?;
        let deadline = Instant::now() + self.limits.get().request_time;
        let (viewer, length) = loop {
            match Header::read(&bytes) {
                Header::Complete { viewer, length } => break (viewer.unwrap_or(proxy), length),
                Header::Incomplete => match timeout_at(deadline, read_some(stream)).await {
                    Ok(Ok(more)) if !more.is_empty() => bytes.extend_from_slice(&more),
                    Ok(_) => return None,
                    Err(_) => {
                        let kind =
                            "connection closed: no complete PROXY header within request-time";
                        self.limit_log.count(kind, proxy);
                        return None;
                    }
                },
                Header::Invalid => {
                    let kind = "connection closed: no PROXY header from an address in proxy-from";
                    self.limit_log.count(kind, proxy);
                    return None;
                }
            }
        };
        if !self.access.get().admits(viewer.ip()) {
            self.limit_log.count(NOT_SERVED, viewer);
            return None;
        }
        let admitted = slot.set_viewer(viewer);
        self.log_admission(admitted, viewer);
        admitted.is_ok().then(|| (viewer, bytes.split_off(length)))
    }

    /// Waits for the bytes that decide the language, and before that for the handshake of TLS, if the
    /// client starts one. Returns the connection, its language, and the bytes.
    async fn open(
        &self,
        stream: TcpStream,
        first: Vec<u8>,
        port: Port,
        peer: SocketAddr,
    ) -> Option<(Wire, Language, Vec<u8>)> {
        let wire = Wire::plain(stream);
        let (language, first) = self.first_language(&wire, first, peer).await?;
        if language == Language::Tls {
            return Box::pin(self.start_tls(wire.into_socket(), &first, peer)).await;
        }
        if port == Port::Tls {
            self.limit_log.count("connection closed: no TLS on the port for TLS", peer);
            return None;
        }
        Some((wire, language, first))
    }

    /// Waits for the first bytes of a connection on the port for HTTP, and for the handshake of TLS, if the
    /// client starts one. Returns the connection and the bytes.
    async fn open_http(
        &self,
        stream: TcpStream,
        mut first: Vec<u8>,
        peer: SocketAddr,
    ) -> Option<(Wire, Vec<u8>)> {
        // Browsers open connections that they do not use.
        if first.is_empty() {
            let read = timeout(self.limits.get().idle_time, read_some(&stream)).await;
            first = read.ok()?.ok().filter(|bytes| !bytes.is_empty())?;
        }
        if Language::of(&first) == Some(Language::Tls) {
            return Box::pin(self.accept_tls(stream, &first, peer)).await;
        }
        Some((Wire::plain(stream), first))
    }

    async fn start_tls(
        &self,
        stream: TcpStream,
        first: &[u8],
        peer: SocketAddr,
    ) -> Option<(Wire, Language, Vec<u8>)> {
        let (wire, plain) = self.accept_tls(stream, first, peer).await?;
        let first = if plain.is_empty() {
            // Lab clients, which may be silent for long, have no TLS.
            let received = self.receive_first(&wire, peer);
            let Ok(first) = timeout(self.limits.get().idle_time, received).await else {
                let kind = "connection closed: nothing within idle-time after the TLS handshake";
                self.limit_log.count(kind, peer);
                return None;
            };
            first?
        } else {
            plain
        };
        match self.first_language(&wire, first, peer).await? {
            // Lab clients have no TLS. Other clients get the replies of standard RTSP.
            (Language::Lab, first) => Some((wire, Language::Rtsp, first)),
            (language, first) => Some((wire, language, first)),
        }
    }

    /// Carries out the handshake of TLS. Returns the connection, and the plain text that was received with it.
    async fn accept_tls(
        &self,
        stream: TcpStream,
        first: &[u8],
        peer: SocketAddr,
    ) -> Option<(Wire, Vec<u8>)> {
        let Some(config) = (*self.tls.get()).clone() else {
            let kind = "connection closed: TLS, but the configuration has no tls-certificate";
            self.limit_log.count(kind, peer);
            return None;
        };
        let accepted = Wire::accept_tls(stream, first, config);
        match timeout(self.limits.get().request_time, accepted).await {
            Ok(Ok(accepted)) => Some(accepted),
            Ok(Err(error)) => {
                self.limit_log.count_error("TLS handshake failed", Some(peer), &error);
                None
            }
            Err(_) => {
                let kind = "connection closed: no complete TLS handshake within request-time";
                self.limit_log.count(kind, peer);
                None
            }
        }
    }

    /// Waits without a limit for the first byte, unless `first` has been received, then for those that
    /// decide the language. Returns the language and the bytes.
    async fn first_language(
        &self,
        wire: &Wire,
        mut first: Vec<u8>,
        peer: SocketAddr,
    ) -> Option<(Language, Vec<u8>)> {
        if first.is_empty() {
            first = self.receive_first(wire, peer).await?;
        }
        let deadline = Instant::now() + self.limits.get().request_time;
        let pause = || deadline.min(Instant::now() + lab::LONG_PAUSE);
        let (mut decided, mut wait) = (Language::of(&first), pause());
        loop {
            if Header::starts(&first) {
                let kind =
                    "connection closed: PROXY header from an address that is not in proxy-from";
                self.limit_log.count(kind, peer);
                return None;
            }
            match decided {
                // Without the lab, its requests get the replies of standard RTSP.
                Some(Language::Lab) if self.mode == LabMode::Off => {
                    return Some((Language::Rtsp, first));
                }
                Some(language) => return Some((language, first)),
                None => {}
            }
            match timeout_at(wait, self.receive_first(wire, peer)).await {
                Ok(Some(bytes)) => {
                    first.extend_from_slice(&bytes);
                    (decided, wait) = (Language::of(&first), pause());
                }
                Ok(None) => return None,
                Err(_) if wait < deadline => {
                    (decided, wait) = (Language::after_silence(&first), deadline);
                }
                Err(_) => {
                    let kind = "connection closed: no complete first line within request-time";
                    self.limit_log.count(kind, peer);
                    return None;
                }
            }
        }
    }

    /// Waits for bytes that decide the language; `None` at the end of the connection. A TLS record that is
    /// damaged is answered with an alert.
    async fn receive_first(&self, wire: &Wire, peer: SocketAddr) -> Option<Vec<u8>> {
        match wire.read_some().await {
            Ok(bytes) => Some(bytes).filter(|bytes| !bytes.is_empty()),
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    let kind = "connection closed: what was received is not valid";
                    self.limit_log.count_error(kind, Some(peer), &error);
                    // Writes the alert, which TLS has to send.
                    let _ = timeout(self.limits.get().stall_time, wire.write_all(&[])).await;
                }
                None
            }
        }
    }

    async fn serve_http(
        &self,
        wire: Wire,
        peer: SocketAddr,
        mut first: Vec<u8>,
        slot: ConnectionSlot,
    ) {
        let deadline = Instant::now() + self.limits.get().request_time;
        let (request, length) = loop {
            if let Some(request) = HttpRequest::read(&first) {
                break request;
            }
            let received = tokio::select! {
                received = timeout_at(deadline, wire.read_some()) => received,
                () = self.ending.clone().announced() => return,
            };
            match received {
                Ok(Ok(bytes)) if !bytes.is_empty() => first.extend_from_slice(&bytes),
                Ok(_) => return,
                Err(_) => {
                    let kind = "connection closed: no complete HTTP request within request-time";
                    self.limit_log.count(kind, peer);
                    break (HttpRequest::Other("408 Request Timeout"), first.len());
                }
            }
        };
        let tunnels = self.tunnels.as_ref().filter(|_| self.mode != LabMode::Only);
        let rest = first.split_off(length.min(first.len()));
        let status = match (request, tunnels) {
            (HttpRequest::Get { cookie }, Some(tunnels)) => {
                match tunnels.open(slot.origin(), cookie) {
                    Some(tunnel) => return self.serve_tunnel(tunnel, wire, peer, slot).await,
                    None => "400 Bad Request",
                }
            }
            (HttpRequest::Post { cookie }, Some(tunnels)) => {
                let post = PostHalf { wire, first: rest, slot };
                if let Err(error) = tunnels.join(cookie, post) {
                    self.limit_log.count_error("HTTP POST closed", Some(peer), &error);
                }
                return;
            }
            (HttpRequest::TooLong, _) => {
                self.limit_log.count("HTTP request refused: over 16 KiB", peer);
                "431 Request Header Fields Too Large"
            }
            (HttpRequest::Other(status), _) => status,
            (_, None) => "404 Not Found",
        };
        tracing::debug!(%peer, status, "HTTP request refused");
        let limit = self.limits.get().stall_time;
        send_last_reply(&wire, tunnel::refusal(status).as_bytes(), limit).await;
    }

    async fn serve_tunnel(
        &self,
        mut tunnel: tunnel::Tunnel,
        wire: Wire,
        peer: SocketAddr,
        slot: ConnectionSlot,
    ) {
        let limits = self.limits.get();
        let reply = wire.write_all(tunnel::ACCEPTED.as_bytes());
        if !matches!(timeout(limits.stall_time, reply).await, Ok(Ok(()))) {
            return;
        }
        let post = tokio::select! {
            post = tunnel.posts.recv() => post,
            () = until_closed(&wire) => return,
            () = self.ending.clone().announced() => return,
            () = sleep(limits.request_time) => None,
        };
        let Some(post) = post else {
            self.limit_log.count("HTTP tunnel closed: no POST within request-time", peer);
            return;
        };
        let input = Input::of_tunnel(tunnel, post);
        rtsp::connection::serve(self.rtsp.clone(), (wire, peer), input, Vec::new(), slot).await;
    }
}

/// Sends the last reply of a connection within a time limit, and closes the connection.
pub(crate) async fn send_last_reply(wire: &Wire, reply: &[u8], limit: Duration) {
    let written = timeout(limit, wire.write_last(reply)).await;
    if matches!(written, Ok(Ok(()))) {
        linger(wire.socket()).await;
    }
}

/// Closes a connection after its last reply. Bytes that the client still sends are read and
/// discarded for a while: a connection that is closed with unread bytes is reset, and the reply would
/// be lost. They are read slowly, so that a client that sends without end is slowed down too.
pub(crate) async fn linger(stream: &TcpStream) {
    if SockRef::from(stream).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let _ = timeout(LINGER, async {
        while let Ok(bytes) = read_some(stream).await
            && !bytes.is_empty()
        {
            sleep(LINGER_PAUSE).await;
        }
    })
    .await;
}

/// Waits for bytes and reads them; returns none at the end of the connection. Allocates nothing
/// while it waits.
pub(crate) async fn read_some(stream: &TcpStream) -> io::Result<Vec<u8>> {
    loop {
        stream.readable().await?;
        let mut bytes = [0; READ_SIZE];
        match stream.try_read(&mut bytes) {
            Ok(count) => return Ok(bytes.get(..count).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for the end of a connection, and discards what the client sends.
async fn until_closed(wire: &Wire) {
    while wire.read_some().await.is_ok_and(|bytes| !bytes.is_empty()) {}
}

/// Switches TCP keep-alive on, so that the system detects that the other host is gone.
pub(crate) fn set_keepalive(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_SILENCE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}
