// SPDX-License-Identifier: MIT OR Apache-2.0
//! Listens, and accepts connections within limits.

use super::language::Language;
use super::limits::PeerKind;
use super::wire::Wire;
use super::{NOT_SERVED, Services, read_some, send_last_reply};
use crate::config::ServerSettings;
use crate::http;
use crate::rtsp;
use anyhow::{Context, Result};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The number of connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// The number of connections that are refused at a time with a reply. Further ones are closed at once.
pub(crate) const REFUSALS: usize = 32;

/// How long a connection that is refused may take to send its first request.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

/// The pause after a connection could not be accepted, such as when no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is served on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// All languages, and TLS if there is a certificate.
    All,
    /// Only TLS.
    Tls,
    /// Only HTTP, and TLS if there is a certificate.
    Http,
}

/// Listening sockets. Dropping it closes them.
pub(crate) struct Listener {
    accept_tasks: Vec<JoinHandle<()>>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    http_address: Option<SocketAddr>,
}

impl Listener {
    /// Accepts connections on the sockets of a service manager, or, if there are none, on an address; and
    /// on the ports for TLS and HTTP.
    ///
    /// # Errors
    /// If an address cannot be listened on.
    pub fn start(
        sockets: Vec<std::net::TcpListener>,
        settings: &ServerSettings,
        services: &Arc<Services>,
        runtime: &Handle,
    ) -> Result<Self> {
        let _entered = runtime.enter();
        let adopted = sockets.into_iter().map(adopt).collect::<io::Result<Vec<_>>>();
        let mut listeners = adopted.context("cannot use a socket of the service manager")?;
        if listeners.is_empty() {
            listeners.push(bind(settings.listen, "--listen")?);
        }
        let address = listeners.first().map(TcpListener::local_addr).transpose()?;
        let address = address.context("the listening socket has no address")?;
        let mut ports: Vec<_> = listeners.into_iter().map(|it| (it, Port::All)).collect();
        let mut tls_address = None;
        if let Some(listen) = settings.tls_listen {
            let listener = bind(listen, "tls-listen")?;
            tls_address = Some(listener.local_addr()?);
            ports.push((listener, Port::Tls));
        }
        let mut http_address = None;
        if let Some(listen) = settings.http {
            let listener = bind(listen, "--http")?;
            http_address = Some(listener.local_addr()?);
            ports.push((listener, Port::Http));
        }
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let accept = |(listener, port)| accept(listener, port, services.clone(), refusals.clone());
        let tasks = ports.into_iter().map(|it| runtime.spawn(accept(it)));
        Ok(Self { accept_tasks: tasks.collect(), address, tls_address, http_address })
    }

    /// Closes the sockets, and waits until they are closed: nobody can connect afterwards.
    pub async fn close(mut self) {
        for task in std::mem::take(&mut self.accept_tasks) {
            task.abort();
            let _ = task.await;
        }
    }

    /// The address and the port on which only TLS is served.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// The address and the port on which HTTP is served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// The address and the port of the first socket. The system has chosen the port if port 0 was asked
    /// for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accept_tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A listening socket of a service manager, for the runtime.
fn adopt(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Listens on an address, which was given by `option`.
fn bind(listen: SocketAddr, option: &str) -> Result<TcpListener> {
    let listener = || {
        let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        socket.listen(BACKLOG)
    };
    listener().map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "cannot listen on {listen}: {error}; this machine does not have that address: choose \
             another with {option}"
        ),
        _ => {
            anyhow::anyhow!("cannot listen on {listen}: {error}; choose another port with {option}")
        }
    })
}

async fn accept(
    listener: TcpListener,
    port: Port,
    services: Arc<Services>,
    refusals: Arc<Semaphore>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An IPv6 socket accepts IPv4 connections too.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let access = services.access.get();
                let kind =
                    if access.is_proxy(peer.ip()) { PeerKind::Proxy } else { PeerKind::Viewer };
                if kind == PeerKind::Viewer && !access.admits(peer.ip()) {
                    // Closes without a reply: networks that are not served learn nothing.
                    services.limit_log.count(NOT_SERVED, peer);
                    continue;
                }
                let (services_of_task, mut stream) = (services.clone(), Some(stream));
                let admitted = services.open.admit(peer, kind, |slot| {
                    let stream = stream.take();
                    tokio::spawn(async move {
                        if let Some(stream) = stream {
                            services_of_task.serve(stream, (port, kind), peer, slot).await;
                        }
                    })
                    .abort_handle()
                });
                if let Some(stream) = stream
                    && let Ok(permit) = refusals.clone().try_acquire_owned()
                {
                    tokio::spawn(async move {
                        refuse(stream, port).await;
                        drop(permit);
                    });
                }
                services.log_admission(admitted, peer);
            }
            Err(error) => {
                services.limit_log.count_error("cannot accept connections", None, &error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the first request of a connection that is refused because of a limit, if it is one of RTSP or
/// HTTP, and closes the connection. The lab's dialect has no status for that.
async fn refuse(stream: TcpStream, port: Port) {
    let Ok(Ok(first)) = timeout(REFUSAL_LIMIT, read_some(&stream)).await else { return };
    let reply = match Language::of(&first) {
        Some(Language::Rtsp) if port != Port::Http => rtsp::connection::refusal(&first),
        Some(Language::Http) if port == Port::Http => http::connection::REFUSAL.to_vec(),
        _ => return,
    };
    send_last_reply(&Wire::plain(stream), &reply, REFUSAL_LIMIT).await;
}
