// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves one connection of standard RTSP: reads its requests, has them answered one after another,
//! and writes what is queued for the client.

use super::Service;
use super::answer::Waiting;
use super::methods::{Connection, ConnectionState};
use super::observed::ObservedConnection;
use super::reply::{Reply, Status};
use super::request::{Incoming, RequestReader};
use crate::connection::limits::ConnectionSlot;
use crate::connection::outbox::{Closed, Outbox};
use crate::connection::tunnel::{Base64, PostHalf, Tunnel};
use crate::connection::wire::Wire;
use crate::connection::{linger, set_keepalive};
use crate::observe::sessions::{CLOSED_BY_OPERATOR, Dialect, NewSession, Transport};
use mjpeg_program::border::{Panicked, guarded};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The time between two checks whether a connection still plays.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// The number of bytes that the kernel accepts and has not sent yet. More would only delay the
/// picture of a slow viewer.
const MAX_UNSENT: u32 = 256 * 1024;

/// Where the requests of a connection are received.
pub(crate) enum Input {
    /// In the connection itself.
    Connection,
    /// In the POST connections of an HTTP tunnel.
    Tunnel(Box<TunnelInput>),
}

/// The requests of an HTTP tunnel.
pub(crate) struct TunnelInput {
    tunnel: Tunnel,
    /// The present POST; `None` until the client opens another one.
    post: Option<PostHalf>,
    decoder: Base64,
}

impl Input {
    /// The input of a tunnel, with its first POST.
    pub fn of_tunnel(tunnel: Tunnel, post: PostHalf) -> Self {
        let (post, decoder) = (Some(post), Base64::default());
        Self::Tunnel(Box::new(TunnelInput { tunnel, post, decoder }))
    }

    /// Waits for bytes and reads them; returns none at the end of the connection.
    async fn read(&mut self, wire: &Wire) -> io::Result<Vec<u8>> {
        match self {
            Self::Connection => wire.read_some().await,
            Self::Tunnel(tunnel) => tunnel.read(wire).await,
        }
    }
}

impl TunnelInput {
    /// Waits for bytes in the POST and decodes them; returns none at the end of the GET, whose
    /// connection is `wire`.
    async fn read(&mut self, wire: &Wire) -> io::Result<Vec<u8>> {
        let Self { tunnel, post, decoder } = self;
        loop {
            let received = match post {
                None => tokio::select! {
                    next = tunnel.posts.recv() => {
                        // The sender is kept for as long as the tunnel is open.
                        let Some(next) = next else { return Ok(Vec::new()) };
                        *decoder = Base64::default();
                        *post = Some(next);
                        continue;
                    }
                    // A client sends nothing in its GET; bytes are ignored.
                    on_get = wire.read_some() => match on_get {
                        Ok(bytes) if !bytes.is_empty() => continue,
                        end => return end,
                    },
                },
                Some(post) if !post.first.is_empty() => std::mem::take(&mut post.first),
                Some(present) => tokio::select! {
                    on_post = present.wire.read_some() => match on_post {
                        Ok(bytes) if !bytes.is_empty() => bytes,
                        // The client may open another POST.
                        _ => {
                            *post = None;
                            continue;
                        }
                    },
                    on_get = wire.read_some() => match on_get {
                        Ok(bytes) if !bytes.is_empty() => continue,
                        end => return end,
                    },
                },
            };
            let mut decoded = Vec::new();
            if decoder.decode(&received, &mut decoded).is_err() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the POST is not base64"));
            }
            if !decoded.is_empty() {
                return Ok(decoded);
            }
        }
    }
}

/// Ends the sessions of a connection when its task ends, also if the task is aborted.
struct EndSessionsOnDrop {
    connection: Arc<Connection>,
    runtime: tokio::runtime::Handle,
    /// Why the connection ends, for the log.
    reason: String,
}

impl Drop for EndSessionsOnDrop {
    fn drop(&mut self) {
        let (connection, reason) = (self.connection.clone(), std::mem::take(&mut self.reason));
        // On another thread, since it may wait for locks of gst-rtsp-server.
        self.runtime.spawn_blocking(move || {
            let _ = guarded("connection-end", || connection.end(&reason));
        });
    }
}

/// Why a connection ends.
enum CloseReason {
    /// The client has closed it.
    Client,
    /// Reading from it has failed.
    Failed(io::Error),
    /// A limit is exceeded or a request cannot be served: the kind for the limit log.
    Refused(&'static str),
    /// The client has read nothing for [`crate::config::Limits::stall_time`].
    NoProgress,
    /// The server exits.
    Ending,
    /// An operator has closed it.
    Operator,
}

/// Serves one connection until it ends. `first` are the bytes that have been received.
pub(crate) async fn serve(
    service: Arc<Service>,
    (wire, peer): (Wire, SocketAddr),
    mut input: Input,
    first: Vec<u8>,
    mut slot: ConnectionSlot,
) {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
    // Otherwise the packets after a reply would wait until the reply is acknowledged.
    let socket = wire.socket();
    let _ = socket.set_nodelay(true);
    set_keepalive(socket);
    // Not every kernel has this option.
    let _ = SockRef::from(socket).set_tcp_notsent_lowat(MAX_UNSENT);
    let Ok(local) = socket.local_addr() else { return };
    let limits = service.limits.get();
    let wire = Arc::new(wire);
    let tunnelled = matches!(input, Input::Tunnel(_));
    let observed = service.observatory.clone().map(|observatory| {
        let transport = if tunnelled { Transport::Tunnel } else { Transport::Tcp };
        let encrypted = wire.is_encrypted();
        let dialect = Dialect::Rtsp;
        let new = NewSession { dialect, transport, encrypted, peer, agent: None };
        ObservedConnection::new(observatory, new)
    });
    let connection = Arc::new(Connection {
        service,
        number,
        peer,
        local: local.ip().to_canonical(),
        origin: slot.origin(),
        tunnelled,
        encrypted: wire.is_encrypted(),
        outbox: Outbox::new(wire.clone(), limits.max_queued_bytes),
        state: Mutex::new(ConnectionState::default()),
        login: Mutex::default(),
        observed,
        closing: OnceLock::new(),
    });
    tracing::debug!(connection = number, %peer, "RTSP client");
    let runtime = tokio::runtime::Handle::current();
    // The reason if the task is aborted.
    let reason = "closed for a new connection".to_owned();
    let mut end = EndSessionsOnDrop { connection: connection.clone(), runtime, reason };
    end.reason = match run(&connection, &wire, &mut input, first, &mut slot).await {
        CloseReason::Client => "the client closed the connection".to_owned(),
        CloseReason::Failed(error) => {
            if error.kind() == io::ErrorKind::InvalidData {
                let kind = "connection closed: what was received is not valid";
                connection.service.limit_log.count_error(kind, Some(peer), &error);
            }
            format!("cannot receive: {error}")
        }
        CloseReason::Ending => "the server exits".to_owned(),
        CloseReason::Operator => CLOSED_BY_OPERATOR.to_owned(),
        CloseReason::Refused(kind) => {
            connection.service.limit_log.count(kind, peer);
            kind.to_owned()
        }
        CloseReason::NoProgress => {
            let seconds = connection.service.limits.get().stall_time.as_secs();
            let reason = format!("the client read nothing for {seconds} s");
            tracing::info!(connection = number, %peer, "closed: {reason}");
            reason
        }
    };
    tracing::debug!(connection = number, "connection ended: {}", end.reason);
}

async fn run(
    connection: &Arc<Connection>,
    wire: &Wire,
    input: &mut Input,
    first: Vec<u8>,
    slot: &mut ConnectionSlot,
) -> CloseReason {
    let outbox = connection.outbox.clone();
    let mut reader = RequestReader::new(connection.service.limits.get().max_request_bytes);
    if connection.observed.is_some() {
        reader = reader.keeping_texts();
    }
    reader.push(&first);
    drop(first);
    let mut request_started = reader.has_partial_request().then(Instant::now);
    let mut last_request = Instant::now();
    let mut answering: Option<JoinHandle<Result<(), Panicked>>> = None;
    let mut ending = pin!(connection.service.ending.clone().announced());
    loop {
        while answering.is_none() && !outbox.is_full() {
            if let Some(kind) = connection.closing.get() {
                let reason = CloseReason::Refused(kind);
                return send_rest_and_close(connection, wire, reason).await;
            }
            match reader.next() {
                Ok(Some(incoming)) => {
                    last_request = Instant::now();
                    request_started = reader.has_partial_request().then_some(last_request);
                    connection.show(&incoming, &mut reader);
                    answering = answer(connection, incoming);
                }
                Ok(None) => break,
                Err(unreadable) => {
                    if let Some(observed) = &connection.observed {
                        observed.received_unreadable(&reader.take_text());
                    }
                    connection.send(&Reply::new(unreadable.0), None);
                    let kind = "connection closed: a request cannot be read or is too long";
                    let reason = CloseReason::Refused(kind);
                    return send_rest_and_close(connection, wire, reason).await;
                }
            }
        }
        match outbox.closed() {
            None => {}
            Some(Closed::Ended) => return CloseReason::Client,
            Some(Closed::Overfull) => {
                return CloseReason::Refused(
                    "connection closed: over max-queued-bytes of reports are queued",
                );
            }
        }
        slot.set_idle(answering.is_none() && !connection.is_playing());
        let waits_since = outbox.waits_since();
        let may_read = answering.is_none() && !outbox.is_full();
        let since = Since { request_started, last_request, waits: waits_since };
        let deadline = next_deadline(connection, &since, answering.is_some());
        tokio::select! {
            () = &mut ending => {
                return send_rest_and_close(connection, wire, CloseReason::Ending).await;
            }
            () = connection.close_requested() => {
                return send_rest_and_close(connection, wire, CloseReason::Operator).await;
            }
            () = outbox.changed() => {}
            () = outbox.flush(), if waits_since.is_some() => {}
            answered = until_answered(&mut answering), if answering.is_some() => {
                answering = None;
                if answered.is_err() {
                    connection.send(&Reply::new(Status::InternalServerError), None);
                    let kind = "connection closed: internal error while answering a request";
                    let reason = CloseReason::Refused(kind);
                    return send_rest_and_close(connection, wire, reason).await;
                }
            }
            received = input.read(wire), if may_read => match received {
                Ok(bytes) if bytes.is_empty() => return CloseReason::Client,
                Ok(bytes) => {
                    reader.push(&bytes);
                    request_started = request_started
                        .or_else(|| reader.has_partial_request().then(Instant::now));
                }
                Err(error) => {
                    outbox.send_alert();
                    return CloseReason::Failed(error);
                }
            },
            () = sleep_until(deadline.at) => match deadline.limit {
                None => {}
                Some(TimeLimit::Request) => {
                    connection.send(&Reply::new(Status::RequestTimeOut), None);
                    let kind = "connection closed: a request was not complete within request-time";
                    let reason = CloseReason::Refused(kind);
                    return send_rest_and_close(connection, wire, reason).await;
                }
                Some(TimeLimit::NoProgress) => return CloseReason::NoProgress,
                Some(TimeLimit::NoSession) => {
                    let kind = "connection closed: no request within idle-time, and no session";
                    return CloseReason::Refused(kind);
                }
            },
        }
    }
}

impl Connection {
    /// Waits until an operator closes the connection.
    async fn close_requested(&self) {
        match &self.observed {
            Some(observed) => observed.close_requested().await,
            None => std::future::pending().await,
        }
    }

    /// Shows a request to people.
    fn show(&self, incoming: &Incoming, reader: &mut RequestReader) {
        let Some(observed) = &self.observed else { return };
        let request = match incoming {
            Incoming::Request(request) => Some(request),
            Incoming::Faulty(..) => None,
            Incoming::Packet(..) | Incoming::Reply => return,
        };
        let session = request.and_then(|request| self.service.sessions.get(request.session()?));
        observed.received(request, &reader.take_text(), session.as_deref());
    }
}

/// The limit that ends a connection at a deadline.
#[derive(Debug, Clone, Copy)]
enum TimeLimit {
    Request,
    NoProgress,
    NoSession,
}

/// When the time limits of a connection started.
struct Since {
    /// The first byte of a request that is not complete.
    request_started: Option<Instant>,
    last_request: Instant,
    /// Since when the client has accepted no byte.
    waits: Option<std::time::Instant>,
}

/// When a connection must be checked again.
struct Deadline {
    at: Instant,
    /// The limit that is reached then.
    limit: Option<TimeLimit>,
}

fn next_deadline(connection: &Connection, since: &Since, answering: bool) -> Deadline {
    let mut next = Deadline { at: Instant::now() + IDLE_CHECK_INTERVAL, limit: None };
    let mut add = |since: Option<Instant>, time: Duration, limit: TimeLimit| {
        if let Some(at) = since.map(|since| since + time)
            && at <= next.at
        {
            next = Deadline { at, limit: Some(limit) };
        }
    };
    let limits = connection.service.limits.get();
    add(since.waits.map(Instant::from_std), limits.stall_time, TimeLimit::NoProgress);
    // While a request is answered or replies are queued, the next request is not read.
    if !answering && since.waits.is_none() {
        add(since.request_started, limits.request_time, TimeLimit::Request);
        let silent_since = (!connection.has_session()).then_some(since.last_request);
        add(silent_since, limits.idle_time, TimeLimit::NoSession);
    }
    next
}

/// Answers a request at once, or starts to answer it on a thread that may wait.
fn answer(
    connection: &Arc<Connection>,
    incoming: Incoming,
) -> Option<JoinHandle<Result<(), Panicked>>> {
    let waiting: Waiting = connection.answer_at_once(incoming)?;
    let connection = connection.clone();
    let permits = connection.service.handler_permits.clone();
    Some(tokio::spawn(async move {
        // The semaphore is never closed.
        let permit = permits.acquire_owned().await;
        let answered = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            guarded("request", || connection.answer(&waiting))
        });
        answered.await.unwrap_or(Ok(()))
    }))
}

/// Waits until the request is answered.
async fn until_answered(
    answering: &mut Option<JoinHandle<Result<(), Panicked>>>,
) -> Result<(), Panicked> {
    match answering {
        // There is no result only if the program exits.
        Some(answering) => answering.await.unwrap_or(Ok(())),
        None => Ok(()),
    }
}

/// The reply to the first bytes of a connection that is refused because of a limit.
pub(crate) fn refusal(first: &[u8]) -> Vec<u8> {
    let mut reader = RequestReader::default();
    reader.push(first);
    let cseq = match reader.next() {
        Ok(Some(Incoming::Request(request))) => Some(request.cseq),
        _ => None,
    };
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    Reply::new(Status::ServiceUnavailable).to_bytes(cseq, &date)
}

/// Sends what is queued, within a time limit, and closes the connection.
async fn send_rest_and_close(
    connection: &Connection,
    wire: &Wire,
    reason: CloseReason,
) -> CloseReason {
    connection.outbox.send_end();
    if connection.outbox.waits_since().is_some() {
        let limit = connection.service.limits.get().stall_time;
        let _ = tokio::time::timeout(limit, connection.outbox.flush()).await;
    }
    linger(wire.socket()).await;
    reason
}
