// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves the dialect of RTSP that the networking course's lab uses: requests and replies in
//! `session.rs`, frames in `frame_sink.rs`, explanations for students in `explainer.rs`.

mod explainer;
mod frame_sink;
mod session;

use crate::access::SharedAccess;
use crate::access::redact::redacted;
use crate::catalog::SharedCatalog;
use crate::connection::limits::ConnectionSlot;
use crate::connection::{read_some, set_keepalive};
use crate::ending::Ending;
use crate::mount::Mount;
use crate::observe::event::{Answered, Kind, Message};
use crate::observe::sessions::{self as observe, NewSession, SessionGuard, Transport};
use crate::send::SendContext;
use crate::send::stream::Stream;
use explainer::Explainer;
use frame_sink::LabSink;
use gstmjpegfile::lab::{Dialect, Framer, Method, Pause, Request};
use mjpeg_program::border::guarded;
use session::Session;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// After this much silence, the bytes that have been received are a request, unless they lack
/// something that more lines may contain.
const SHORT_PAUSE: Duration = Duration::from_millis(25);

/// After this much silence, they are a request in any case. Longer than the time in which most hosts
/// acknowledge a segment: a client may wait for that between two lines.
pub(crate) const LONG_PAUSE: Duration = Duration::from_millis(250);

/// The time between two checks whether a session still plays. A session that does not is idle: it may
/// be closed for a new connection, but not otherwise, since its user may just not have pressed a
/// button.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// A stream, the mount of its movie, and the address of its viewer.
struct MountedStream {
    stream: Weak<Stream<LabSink>>,
    mount: Arc<Mount>,
    viewer: IpAddr,
}

/// What all sessions share.
pub struct Service {
    catalog: SharedCatalog,
    access: SharedAccess,
    context: SendContext,
    explain: bool,
    ending: Ending,
    /// The streams that may be playing.
    streams: Mutex<Vec<MountedStream>>,
}

impl Service {
    /// A service for the movies of a catalog.
    pub(crate) fn new(
        explain: bool,
        (catalog, access): (SharedCatalog, SharedAccess),
        context: SendContext,
        ending: Ending,
    ) -> Arc<Self> {
        Arc::new(Self { catalog, access, context, explain, ending, streams: Mutex::default() })
    }

    fn streams(&self) -> MutexGuard<'_, Vec<MountedStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a stream for [`Self::end_removed`].
    fn add_stream(&self, stream: &Arc<Stream<LabSink>>, mount: &Arc<Mount>, viewer: IpAddr) {
        let mut streams = self.streams();
        // Removing those that have ended takes constant time for each stream, on average.
        if streams.len() == streams.capacity() {
            streams.retain(|mounted| mounted.stream.strong_count() > 0);
        }
        let (stream, mount) = (Arc::downgrade(stream), mount.clone());
        streams.push(MountedStream { stream, mount, viewer });
    }

    /// Why a viewer of a mount must not go on; `None` if it may.
    fn end_reason(&self, mount: &Mount, viewer: IpAddr) -> Option<&'static str> {
        if mount.is_removed() {
            return Some("the movie is not served any more");
        }
        let catalog = self.catalog.get();
        let present = catalog.at(&mount.point).map_or(mount, |mount| mount);
        let may_watch = self.access.get().may_watch_in_lab(present, viewer);
        (!may_watch).then_some("the viewer may not watch the movie any more")
    }

    /// Stops the streams of movies that are not served any more, and of those that their viewers may not
    /// watch any more. Their sessions end with the next request.
    pub(crate) fn end_removed(&self) {
        let mut removed: Vec<Weak<_>> = Vec::new();
        self.streams().retain(|MountedStream { stream, mount, viewer }| {
            let ends = self.end_reason(mount, *viewer).is_some();
            if ends {
                removed.push(stream.clone());
            }
            !ends
        });
        removed.iter().filter_map(Weak::upgrade).for_each(|stream| stream.end());
    }
}

/// Serves one connection until it ends. `first` are the bytes that have been received.
pub(crate) async fn serve(
    service: Arc<Service>,
    mut stream: TcpStream,
    peer: SocketAddr,
    first: Vec<u8>,
    mut slot: ConnectionSlot,
) {
    // A reply is written at once, and need not wait for more bytes.
    let _ = stream.set_nodelay(true);
    // Nothing else detects that the host of a client is gone while it plays.
    set_keepalive(&stream);
    tracing::info!(%peer, "lab client");
    let explainer = Explainer::new(service.explain, peer);
    let limits = service.context.limits.clone();
    let mut ending = pin!(service.ending.clone().announced());
    let close = Arc::new(Notify::new());
    let observed = service.context.observatory.as_ref().map(|observatory| {
        let session = observatory.begin(NewSession {
            dialect: observe::Dialect::Lab,
            transport: Transport::Udp,
            encrypted: false,
            peer,
            agent: None,
        });
        let close = close.clone();
        session.set_closer(move || close.notify_one());
        SessionGuard(session)
    });
    let mut session = Session::new(service, peer, slot.origin(), explainer.clone(), observed);
    let mut framer = Framer::default();
    let mut request_started = None;
    let mut received = Some(first);
    let mut pause = Pause::None;
    let reason = loop {
        if let Some(bytes) = received.take() {
            pause = Pause::None;
            if let Err(error) = framer.push(&bytes) {
                break format!("closed: {error}");
            }
        }
        let mut failure = None;
        while let Some(text) = framer.next_request(pause) {
            request_started = None;
            // Answering may wait for a disk.
            let reply = tokio::task::block_in_place(|| {
                guarded("lab-request", || answer(&mut session, &text, peer, &explainer))
            });
            let Ok(reply) = reply else {
                failure = Some("closed: internal error while answering a request".to_owned());
                break;
            };
            match timeout(limits.get().stall_time, stream.write_all(reply.as_bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failure = Some(format!("closed: cannot send a reply: {error}")),
                Err(_) => failure = Some("closed: the client does not read replies".to_owned()),
            }
            if failure.is_some() {
                break;
            }
        }
        if let Some(failure) = failure {
            break failure;
        }
        if framer.has_begun() {
            let start = *request_started.get_or_insert_with(Instant::now);
            if start.elapsed() > limits.get().request_time {
                break "closed: a request was not complete within request-time".to_owned();
            }
        } else {
            request_started = None;
        }
        slot.set_idle(!session.is_playing());
        let (wait, next_pause) = match (request_started, pause) {
            (None, _) => (IDLE_CHECK_INTERVAL, Pause::None),
            (Some(_), Pause::None) => (SHORT_PAUSE, Pause::Short),
            (Some(_), Pause::Short | Pause::Long) => {
                (LONG_PAUSE.saturating_sub(SHORT_PAUSE), Pause::Long)
            }
        };
        let received_some = tokio::select! {
            some = timeout(wait, read_some(&stream)) => some,
            () = &mut ending => break "the server exits".to_owned(),
            () = close.notified() => break observe::CLOSED_BY_OPERATOR.to_owned(),
        };
        match received_some {
            Ok(Ok(bytes)) if bytes.is_empty() => break "closed by the client".to_owned(),
            Ok(Ok(bytes)) => received = Some(bytes),
            Ok(Err(error)) => break format!("closed: cannot receive: {error}"),
            Err(_) => pause = next_pause,
        }
    };
    session.end(&reason);
    if let Some(observed) = &session.observed {
        observed.end(&reason);
    }
    tracing::info!(%peer, "lab client gone: {reason}");
}

/// Shows a reply to people.
fn observe_reply(session: &Session, reply: &str, request: Option<(Method, u64)>) {
    let Some(observed) = &session.observed else { return };
    let state = session.observed_state();
    observed.set_state(state);
    observed.record(Kind::Reply(Message::lab(reply), Answered::Lab(request), state));
    if let Some(observatory) = observed.observatory()
        && let Some(code) = reply.split(' ').nth(1).and_then(|code| code.parse().ok())
    {
        observatory.metrics.add_reply(observe::Dialect::Lab, code);
    }
}

/// Answers the text of one request. Logs and explains the exchange.
fn answer(session: &mut Session, text: &str, peer: SocketAddr, explainer: &Explainer) -> String {
    // Lab clients send no credentials, but other clients may be taken for one.
    let shown = redacted(text);
    tracing::debug!(%peer, text = ?shown, "lab request");
    explainer.explain_request(&shown);
    if let Some(observed) = &session.observed {
        observed.record(Kind::Request(Message::lab(text), session.observed_state()));
    }
    let request = Request::parse(text);
    let dialect = Dialect::of(text).name();
    session.dialect = dialect;
    let known = request.as_ref().ok().map(|request| (request.method, request.cseq));
    let reply = match request {
        Ok(request) => session.answer(&request),
        Err((error, form, cseq)) => Session::refuse(error, form, cseq),
    };
    explainer.explain_reply(&reply, known);
    observe_reply(session, &reply, known);
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let (request, answer) = (first_line(&shown), first_line(&reply));
    tracing::info!(%peer, dialect, ?request, reply = ?answer, "lab request answered");
    tracing::debug!(%peer, ?reply, "lab reply");
    reply
}
