// SPDX-License-Identifier: MIT OR Apache-2.0
//! One port, two languages: a connection's first bytes tell standard RTSP from the lab's dialect.
//! Standard connections are handed over to gst-rtsp-server, which never listens itself; waiting
//! for the first bytes takes no thread, since lab clients stay silent until a person acts.

use crate::config::LabMode;
use crate::connections::{Connections, Open};
use crate::lab;
use anyhow::{Context, Result};
use gst_rtsp_server::RTSPServer;
use gst_rtsp_server::prelude::*;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// Connections that wait for being accepted.
const BACKLOG: u32 = 1024;

/// How long the first line may take from its first byte on.
const FIRST_LINE: Duration = Duration::from_secs(10);

/// Between two looks at a first line that is not complete.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The longest first line that is looked at, in bytes.
const LOOK_AT: usize = 2048;

/// After an error of accepting, such as no free descriptor.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Standard,
    Lab,
    /// A TLS record, which nobody here reads.
    Tls,
}

/// Who takes the connections.
pub struct Front {
    /// Standard RTSP, and its tunnel through HTTP.
    pub rtsp: RTSPServer,
    /// The lab's dialect.
    pub lab: Arc<lab::Service>,
    /// Which of them are served.
    pub mode: LabMode,
    /// All that are open.
    pub connections: Connections,
}

thread_local! {
    /// The connection that is handed over in this thread.
    static HANDED_OVER: RefCell<Option<Open>> = const { RefCell::new(None) };
}

/// A listening port.
pub struct Listener {
    /// It accepts until this is aborted.
    accepts: AbortHandle,
    address: SocketAddr,
}

impl Listener {
    /// Listens; connections are accepted from then on.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub fn start(listen: SocketAddr, front: Front, runtime: &Handle) -> Result<Self> {
        let listener = {
            let _entered = runtime.enter();
            bind(listen).map_err(|error| {
                anyhow::anyhow!(
                    "cannot listen on {listen}: {error}; choose another port with --listen"
                )
            })?
        };
        let address = listener.local_addr().context("no address")?;
        front.rtsp.connect_client_connected(|_, client| {
            let open = Mutex::new(HANDED_OVER.take());
            client.connect_closed(move |_| {
                drop(open.lock().unwrap_or_else(PoisonError::into_inner).take());
            });
        });
        let accepts = runtime.spawn(accept(listener, Arc::new(front))).abort_handle();
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

fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, front: Arc<Front>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // From an IPv6 socket that takes IPv4 too.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let of_task = front.clone();
                let admitted = front.connections.admit(|open| {
                    tokio::spawn(async move { serve(&of_task, stream, peer, open).await })
                        .abort_handle()
                });
                if admitted.is_none() {
                    tracing::warn!(%peer, "closed: --max-connections are open, and none is silent");
                }
            }
            Err(error) => {
                tracing::error!("cannot accept a connection: {error}");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn serve(front: &Front, stream: TcpStream, peer: SocketAddr, open: Open) {
    let language = match front.mode {
        LabMode::Off => Some(Language::Standard),
        LabMode::On | LabMode::Only => first_language(&stream).await,
    };
    open.has_spoken();
    match language {
        Some(Language::Standard) if front.mode != LabMode::Only => {
            if let Err(error) = hand_over(&front.rtsp, stream, peer, open) {
                tracing::warn!(%peer, "connection not taken: {error:#}");
            }
        }
        Some(Language::Lab) => lab::serve(front.lab.clone(), stream, peer).await,
        Some(Language::Standard) => {
            tracing::warn!(%peer, "closed: standard RTSP, and --lab only is set");
        }
        Some(Language::Tls) => tracing::warn!(%peer, "closed: TLS is not served"),
        None => tracing::info!(%peer, "closed before its first line was complete"),
    }
}

/// Looks at the first bytes and leaves them where they are.
async fn first_language(stream: &TcpStream) -> Option<Language> {
    let mut head = [0; LOOK_AT];
    let mut begin = None;
    loop {
        let have = stream.peek(&mut head).await.ok().filter(|have| *have > 0)?;
        let head = head.get(..have)?;
        if let Some(language) = language_of(head) {
            return Some(language);
        }
        let begin = *begin.get_or_insert_with(Instant::now);
        if begin.elapsed() > FIRST_LINE {
            return None;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// A standard request has an absolute URI or `*`, and CRLF; HTTP is the standard's tunnel.
fn language_of(head: &[u8]) -> Option<Language> {
    if head.first() == Some(&0x16) {
        return Some(Language::Tls);
    }
    let end = head.iter().position(|byte| *byte == b'\n');
    let Some(end) = end else {
        return (head.len() >= LOOK_AT).then_some(Language::Lab);
    };
    let line = head.get(..end).unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace);
    let method = words.next().unwrap_or_default();
    if matches!(method, b"GET" | b"POST") {
        return Some(Language::Standard);
    }
    let uri = words.next().unwrap_or_default().to_ascii_lowercase();
    let absolute = uri == b"*" || uri.starts_with(b"rtsp://") || uri.starts_with(b"rtsps://");
    let standard = absolute && line.ends_with(b"\r");
    Some(if standard { Language::Standard } else { Language::Lab })
}

fn hand_over(server: &RTSPServer, stream: TcpStream, peer: SocketAddr, open: Open) -> Result<()> {
    // Interleaved packets right behind a reply would wait for its acknowledgement.
    let _ = stream.set_nodelay(true);
    let fd = OwnedFd::from(stream.into_std()?);
    let socket = gio::Socket::from_fd(fd)?;
    HANDED_OVER.set(Some(open));
    let (ip, port) = (peer.ip().to_string(), i32::from(peer.port()));
    let handed_over = server.transfer_connection(socket, &ip, port, None);
    // Not taken by a client, if it failed.
    HANDED_OVER.take();
    Ok(handed_over?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_tell_the_language() {
        let long = [b'A'; LOOK_AT];
        let rows: [(&[u8], Option<Language>); 12] = [
            (b"OPTIONS * RTSP/1.0\r\n", Some(Language::Standard)),
            (b"DESCRIBE rtsp://h/m RTSP/1.0\r\nCSeq: 1\r\n", Some(Language::Standard)),
            (b"GET /m HTTP/1.0\r\n", Some(Language::Standard)),
            (b"POST /m HTTP/1.0\r\n", Some(Language::Standard)),
            (b"SETUP movie.Mjpeg RTSP/1.0\nCSeq: 1", Some(Language::Lab)),
            (b"SETUP movie.Mjpeg RTSP/1.0\r\nCSeq: 1\r\n", Some(Language::Lab)),
            (b"SETUP rtsp://127.0.0.1/movie.Mjpeg RTSP/1.0\n", Some(Language::Lab)),
            (b"PLAY \n2", Some(Language::Lab)),
            (b"SETUP movie.Mjp", None),
            (b"\x16\x03\x01", Some(Language::Tls)),
            (b"\n", Some(Language::Lab)),
            (&long, Some(Language::Lab)),
        ];
        for (head, want) in rows {
            assert_eq!(language_of(head), want, "{}", String::from_utf8_lossy(head));
        }
    }
}
