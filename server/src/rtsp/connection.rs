// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection of standard RTSP: its bytes become requests, which are answered one after another,
//! and what it is sent is written as it takes it.

use super::reply::{Reply, Status};
use super::request::{Incoming, Reader, Request};
use super::service::{Connection, Service, State};
use crate::connection::limits::Open;
use crate::connection::outbox::Outbox;
use crate::connection::tunnel::{Base64, PostHalf, Tunnel};
use crate::connection::{linger, read_some, set_keepalive};
use mjpeg_program::border::{Panicked, guarded};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How long a request may take from its first byte on.
const COMPLETE: Duration = Duration::from_secs(10);

/// How long a connection may take nothing of what it is sent.
const NO_PROGRESS: Duration = Duration::from_secs(10);

/// How long a connection that has spoken may be silent without a session.
const NO_SESSION: Duration = Duration::from_mins(1);

/// Between two looks whether a connection still plays.
const LOOK: Duration = Duration::from_mins(1);

/// Bytes that the kernel holds of what has not been sent, where it can be told so. More would only
/// make a slow viewer's picture older.
const NOT_SENT: u32 = 256 * 1024;

/// Where a connection's requests come from.
pub(crate) enum Input {
    /// From the connection itself.
    Same,
    /// From the POST connections of an HTTP tunnel.
    Tunnel(Box<TunnelInput>),
}

/// A tunnel, and what comes through it.
pub(crate) struct TunnelInput {
    tunnel: Tunnel,
    /// The present POST; another one may take its place.
    post: Option<PostHalf>,
    decoder: Base64,
}

impl Input {
    /// Of a tunnel that a POST has joined.
    pub fn of_tunnel(tunnel: Tunnel, post: PostHalf) -> Self {
        let (post, decoder) = (Some(post), Base64::default());
        Self::Tunnel(Box::new(TunnelInput { tunnel, post, decoder }))
    }

    /// Waits for bytes; none at the end of the connection.
    async fn read(&mut self, socket: &TcpStream) -> io::Result<Vec<u8>> {
        let TunnelInput { tunnel, post, decoder } = match self {
            Self::Same => return read_some(socket).await,
            Self::Tunnel(tunnel) => &mut **tunnel,
        };
        loop {
            let came = match post {
                None => tokio::select! {
                    half = tunnel.posts.recv() => {
                        // The registry holds the sender for as long as the tunnel is open.
                        let Some(half) = half else { return Ok(Vec::new()) };
                        *decoder = Base64::default();
                        *post = Some(half);
                        continue;
                    }
                    // Nothing is to come on the GET connection but its end.
                    on_get = read_some(socket) => match on_get {
                        Ok(bytes) if !bytes.is_empty() => continue,
                        end => return end,
                    },
                },
                Some(half) if !half.first.is_empty() => std::mem::take(&mut half.first),
                Some(half) => tokio::select! {
                    came = read_some(&half.stream) => match came {
                        Ok(bytes) if !bytes.is_empty() => bytes,
                        // Another one may take its place.
                        _ => {
                            *post = None;
                            continue;
                        }
                    },
                    on_get = read_some(socket) => match on_get {
                        Ok(bytes) if !bytes.is_empty() => continue,
                        end => return end,
                    },
                },
            };
            let mut decoded = Vec::new();
            if decoder.decode(&came, &mut decoded).is_err() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "no base64"));
            }
            if !decoded.is_empty() {
                return Ok(decoded);
            }
        }
    }
}

/// Ends what a connection has set up when its task ends, in whatever way.
struct EndOnDrop {
    connection: Arc<Connection>,
    runtime: tokio::runtime::Handle,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let connection = self.connection.clone();
        // It may wait for locks of the library.
        self.runtime.spawn_blocking(move || {
            let _ = guarded("connection-end", || connection.end());
        });
    }
}

/// Why a connection ends.
enum End {
    Peer,
    Failed(io::Error),
    /// For a fault of the client's.
    Closed(&'static str),
    /// It does not read what it is sent.
    Deaf,
}

const DEAF: &str = "it took nothing of what it was sent for 10 s";

/// Serves one connection to its end. `first` is what has come of it.
pub(crate) async fn serve(
    service: Arc<Service>,
    (socket, peer): (TcpStream, SocketAddr),
    mut input: Input,
    first: Vec<u8>,
    mut open: Open,
) {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
    // Interleaved packets right after a reply would wait for its acknowledgement.
    let _ = socket.set_nodelay(true);
    set_keepalive(&socket);
    // Not every kernel has it.
    let _ = SockRef::from(&socket).set_tcp_notsent_lowat(NOT_SENT);
    let Ok(local) = socket.local_addr() else { return };
    let socket = Arc::new(socket);
    let connection = Arc::new(Connection {
        service,
        number,
        peer,
        local: local.ip().to_canonical(),
        origin: open.origin(),
        outbox: Outbox::new(socket.clone()),
        state: Mutex::new(State::default()),
    });
    tracing::debug!(connection = number, %peer, "RTSP client");
    let _end =
        EndOnDrop { connection: connection.clone(), runtime: tokio::runtime::Handle::current() };
    let end = run(&connection, &socket, &mut input, first, &mut open).await;
    match end {
        End::Peer => tracing::debug!(connection = number, "closed by the client"),
        End::Failed(error) => tracing::debug!(connection = number, "closed: {error}"),
        End::Closed(why) => connection.service.refusals.note(why, peer),
        End::Deaf => tracing::info!(connection = number, %peer, "closed: {DEAF}"),
    }
}

async fn run(
    connection: &Arc<Connection>,
    socket: &TcpStream,
    input: &mut Input,
    first: Vec<u8>,
    open: &mut Open,
) -> End {
    let outbox = connection.outbox.clone();
    let mut reader = Reader::default();
    reader.push(&first);
    drop(first);
    let mut begun = reader.has_begun().then(Instant::now);
    let mut heard = Instant::now();
    let mut handling: Option<JoinHandle<Result<(), Panicked>>> = None;
    loop {
        while handling.is_none() && !outbox.is_full() {
            match reader.next() {
                Ok(Some(incoming)) => {
                    heard = Instant::now();
                    begun = reader.has_begun().then_some(heard);
                    handling = answer(connection, incoming);
                }
                Ok(None) => break,
                Err(unreadable) => {
                    connection.send(&Reply::new(unreadable.0), None);
                    return last_words(socket, &outbox, "closed: a request that cannot be read")
                        .await;
                }
            }
        }
        if outbox.is_closed() {
            return End::Peer;
        }
        open.set_idle(handling.is_none() && !connection.is_playing());
        let waits_since = outbox.waits_since();
        let reads = handling.is_none() && !outbox.is_full();
        let limit = limit(connection, (begun, heard, waits_since), handling.is_some());
        tokio::select! {
            () = outbox.changed() => {}
            () = outbox.flush(), if waits_since.is_some() => {}
            handled = until_handled(&mut handling), if handling.is_some() => {
                handling = None;
                if handled.is_err() {
                    connection.send(&Reply::new(Status::InternalServerError), None);
                    return last_words(socket, &outbox, "closed: a request that could not be handled").await;
                }
            }
            came = input.read(socket), if reads => match came {
                Ok(bytes) if bytes.is_empty() => return End::Peer,
                Ok(bytes) => {
                    reader.push(&bytes);
                    begun = begun.or_else(|| reader.has_begun().then(Instant::now));
                }
                Err(error) => return End::Failed(error),
            },
            () = sleep_until(limit.at) => match limit.end {
                None => {}
                Some(Over::Request) => {
                    connection.send(&Reply::new(Status::RequestTimeOut), None);
                    return last_words(socket, &outbox, "closed: a request that was not complete after 10 s").await;
                }
                Some(Over::NoProgress) => {
                    return End::Deaf;
                }
                Some(Over::NoSession) => {
                    return End::Closed("closed: nothing was asked for 60 s, without a session");
                }
            },
        }
    }
}

/// Which limit a connection reaches next, if nothing happens.
#[derive(Debug, Clone, Copy)]
enum Over {
    Request,
    NoProgress,
    NoSession,
}

struct Limit {
    at: Instant,
    end: Option<Over>,
}

fn limit(
    connection: &Connection,
    (begun, heard, waits_since): (Option<Instant>, Instant, Option<std::time::Instant>),
    handles: bool,
) -> Limit {
    let mut first = Limit { at: Instant::now() + LOOK, end: None };
    let mut or = |since: Option<Instant>, after: Duration, end: Over| {
        if let Some(at) = since.map(|since| since + after)
            && at <= first.at
        {
            first = Limit { at, end: Some(end) };
        }
    };
    or(waits_since.map(Instant::from_std), NO_PROGRESS, Over::NoProgress);
    // While a request is handled or waits for replies to be read, the next one may be half read.
    if !handles && waits_since.is_none() {
        or(begun, COMPLETE, Over::Request);
        or((!connection.has_session()).then_some(heard), NO_SESSION, Over::NoSession);
    }
    first
}

/// Answers at once, or starts to answer on a thread that may wait.
fn answer(
    connection: &Arc<Connection>,
    incoming: Incoming,
) -> Option<JoinHandle<Result<(), Panicked>>> {
    let request: Request = connection.answer_at_once(incoming)?;
    let connection = connection.clone();
    let places = connection.service.handlers.clone();
    Some(tokio::spawn(async move {
        // It is never closed.
        let place = places.acquire_owned().await;
        let handled = tokio::task::spawn_blocking(move || {
            let _place = place;
            guarded("request", || connection.answer(&request))
        });
        handled.await.unwrap_or(Ok(()))
    }))
}

/// Waits for the request that is being answered.
async fn until_handled(
    handling: &mut Option<JoinHandle<Result<(), Panicked>>>,
) -> Result<(), Panicked> {
    match handling {
        // It ends without a result only if the program ends.
        Some(handling) => handling.await.unwrap_or(Ok(())),
        None => Ok(()),
    }
}

/// Writes what is queued, for a while, and closes.
async fn last_words(socket: &TcpStream, outbox: &Outbox, why: &'static str) -> End {
    if outbox.waits_since().is_some() {
        let _ = tokio::time::timeout(NO_PROGRESS, outbox.flush()).await;
    }
    linger(socket).await;
    End::Closed(why)
}
