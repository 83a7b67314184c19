// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections: accepted here, within limits; each is a task, which waits without a thread. Its
//! first bytes decide between standard RTSP, a tunnel of it through HTTP, and the lab's dialect.

pub mod language;
pub mod limits;
pub mod outbox;
pub mod refusals;
pub mod tunnel;

use crate::config::LabMode;
use crate::lab;
use crate::rtsp;
use crate::rtsp::connection::Input;
use anyhow::{Context, Result};
use language::Language;
use limits::{Connections, Full, Open};
use refusals::Refusals;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tunnel::{HttpRequest, PostHalf, Tunnels};

/// Connections that wait for being accepted.
const BACKLOG: u32 = 1024;

/// How long what decides the language may take from its first byte on, and an HTTP request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long a reply that ends a connection may take to be sent.
const LAST_REPLY: Duration = Duration::from_secs(10);

/// How long what comes after the last reply is read, and thrown away, and the time between two
/// reads.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_PAUSE: Duration = Duration::from_millis(20);

/// How long a tunnel's GET waits for the POST, and the other way round.
const JOIN: Duration = Duration::from_secs(10);

/// After an error of accepting, such as no free descriptor.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A connection is probed when it has been idle for this long, so often, and is dead after so
/// many probes without an answer: within a minute.
const DEAD: Duration = Duration::from_secs(30);
const PROBE: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// Bytes that are read at once: requests are short, and what is sent is not read here.
const READ: usize = 4096;

/// What takes the connections.
pub(crate) struct Services {
    /// Standard RTSP.
    pub rtsp: Arc<rtsp::Service>,
    /// The lab's dialect.
    pub lab: Arc<lab::Service>,
    /// Which of them are served.
    pub mode: LabMode,
    /// The tunnels of RTSP through HTTP, if they are served.
    pub tunnels: Option<Tunnels>,
    /// All that are open.
    pub connections: Connections,
    /// What the limits refuse.
    pub refusals: Arc<Refusals>,
}

/// A listening port.
pub(crate) struct Listener {
    /// It accepts until this is aborted.
    accepts: AbortHandle,
    address: SocketAddr,
}

impl Listener {
    /// Listens; connections are accepted from then on.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn start(listen: SocketAddr, services: Services, runtime: &Handle) -> Result<Self> {
        let listener = {
            let _entered = runtime.enter();
            bind(listen).map_err(|error| {
                let advice = match error.kind() {
                    io::ErrorKind::AddrNotAvailable => {
                        "this machine does not have that address: choose another with --listen"
                    }
                    _ => "choose another port with --listen",
                };
                anyhow::anyhow!("cannot listen on {listen}: {error}; {advice}")
            })?
        };
        let address = listener.local_addr().context("no address")?;
        let accepts = runtime.spawn(accept(listener, Arc::new(services))).abort_handle();
        Ok(Self { accepts, address })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, services: Arc<Services>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // From an IPv6 socket that takes IPv4 too.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let of_task = services.clone();
                let admitted = services.connections.admit(peer.ip(), |open| {
                    tokio::spawn(async move { of_task.serve(stream, peer, open).await })
                        .abort_handle()
                });
                if let Err(full) = admitted {
                    let what = match full {
                        Full::Server => "connection closed: --max-connections are open and busy",
                        Full::Address => {
                            "connection closed: --max-connections-per-address are open and busy"
                        }
                    };
                    services.refusals.note(what, peer);
                }
            }
            Err(error) => {
                tracing::error!("cannot accept a connection: {error}");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

impl Services {
    /// Serves a connection to its end. What a language needs is allocated once it is known, so that
    /// a silent connection costs little.
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, open: Open) {
        let Some((language, first)) = self.first_language(&stream, peer).await else { return };
        match language {
            Language::Rtsp if self.mode != LabMode::Only => {
                let of_peer = (stream, peer);
                let serve =
                    rtsp::connection::serve(self.rtsp.clone(), of_peer, Input::Same, first, open);
                Box::pin(serve).await;
            }
            Language::Rtsp => {
                self.refusals.note("closed: standard RTSP, and --lab only is set", peer);
            }
            Language::Lab => {
                Box::pin(lab::serve(self.lab.clone(), stream, peer, first, open)).await;
            }
            Language::Http => Box::pin(self.serve_http(stream, peer, first, open)).await,
            Language::Tls => self.refusals.note("closed: TLS is not served", peer),
        }
    }

    /// Waits for the first bytes, for ever if none comes, and decides; gives them back.
    async fn first_language(
        &self,
        stream: &TcpStream,
        peer: SocketAddr,
    ) -> Option<(Language, Vec<u8>)> {
        let mut first = read_some(stream).await.ok().filter(|bytes| !bytes.is_empty())?;
        let end = Instant::now() + FIRST_REQUEST;
        loop {
            let language = match Language::of(&first) {
                // Nobody else is served: what is no RTSP gets RTSP's answers.
                Some(Language::Lab) if self.mode == LabMode::Off => Some(Language::Rtsp),
                decided => decided,
            };
            if let Some(language) = language {
                return Some((language, first));
            }
            match timeout_at(end, read_some(stream)).await {
                Ok(Ok(bytes)) if !bytes.is_empty() => first.extend_from_slice(&bytes),
                Ok(_) => return None,
                // What has come of a standard request gets its 408; of the lab, its silence.
                Err(_) => {
                    self.refusals.note("closed: no complete first line within 10 s", peer);
                    return None;
                }
            }
        }
    }

    async fn serve_http(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        mut first: Vec<u8>,
        open: Open,
    ) {
        let end = Instant::now() + FIRST_REQUEST;
        let (request, length) = loop {
            if let Some(request) = HttpRequest::read(&first) {
                break request;
            }
            match timeout_at(end, read_some(&stream)).await {
                Ok(Ok(bytes)) if !bytes.is_empty() => first.extend_from_slice(&bytes),
                Ok(_) => return,
                Err(_) => break (HttpRequest::Other("408 Request Timeout"), first.len()),
            }
        };
        let tunnels = self.tunnels.as_ref().filter(|_| self.mode != LabMode::Only);
        let rest = first.split_off(length.min(first.len()));
        let status = match (request, tunnels) {
            (HttpRequest::Get { cookie }, Some(tunnels)) => {
                match tunnels.open(open.origin(), cookie) {
                    Some(tunnel) => return self.serve_tunnel(tunnel, stream, peer, open).await,
                    None => "400 Bad Request",
                }
            }
            (HttpRequest::Post { cookie }, Some(tunnels)) => {
                let post = PostHalf { stream, first: rest, open };
                if !tunnels.join(cookie, post) {
                    tracing::debug!(%peer, "closed: a POST without its tunnel");
                }
                return;
            }
            (HttpRequest::Other(status), _) => status,
            (_, None) => "404 Not Found",
        };
        tracing::debug!(%peer, status, "HTTP");
        last_reply(&mut stream, &tunnel::refusal(status)).await;
    }

    async fn serve_tunnel(
        &self,
        mut tunnel: tunnel::Tunnel,
        mut stream: TcpStream,
        peer: SocketAddr,
        open: Open,
    ) {
        let accepted = timeout(LAST_REPLY, stream.write_all(tunnel::ACCEPTED.as_bytes())).await;
        if !matches!(accepted, Ok(Ok(()))) {
            return;
        }
        let joined = tokio::select! {
            post = tunnel.posts.recv() => post,
            () = until_closed(&stream) => return,
            () = sleep(JOIN) => None,
        };
        let Some(post) = joined else {
            self.refusals.note("closed: a tunnel that no POST joined within 10 s", peer);
            return;
        };
        let input = Input::of_tunnel(tunnel, post);
        rtsp::connection::serve(self.rtsp.clone(), (stream, peer), input, Vec::new(), open).await;
    }
}

/// Sends what ends a connection.
async fn last_reply(stream: &mut TcpStream, reply: &str) {
    let written = timeout(LAST_REPLY, stream.write_all(reply.as_bytes())).await;
    if matches!(written, Ok(Ok(()))) {
        linger(stream).await;
    }
}

/// Ends a connection after its last reply: closed with bytes that have not been read, it would be
/// reset, and the reply lost. What still comes is read slowly, so that sending without end gains
/// nothing, and takes its time before it can be tried again.
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

/// Waits for bytes; none at the end of the connection. Nothing is allocated while it waits.
pub(crate) async fn read_some(stream: &TcpStream) -> io::Result<Vec<u8>> {
    loop {
        stream.readable().await?;
        let mut bytes = [0; READ];
        match stream.try_read(&mut bytes) {
            Ok(count) => return Ok(bytes.get(..count).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for the end of a connection on which nothing else is to come.
async fn until_closed(stream: &TcpStream) {
    while read_some(stream).await.is_ok_and(|bytes| !bytes.is_empty()) {}
}

/// Lets the system find out that the other host has died.
pub(crate) fn set_keepalive(stream: &TcpStream) {
    let probes = TcpKeepalive::new().with_time(DEAD).with_interval(PROBE).with_retries(PROBES);
    let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
}
