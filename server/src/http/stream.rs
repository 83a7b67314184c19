// SPDX-License-Identifier: MIT OR Apache-2.0
//! Streams: prepares one for a request, and sends it in the connection once hyper has sent the head of the
//! response. From then on the connection belongs to the sender, as one of RTSP does: a pacer writes each frame to
//! the socket by one system call, without a task or a copy for each viewer.

use super::Service;
use super::client::Context;
use super::frame_sink::{HttpSink, media_type, start_of_stream};
use super::parameters::StreamParameters;
use super::reply::Refusal;
use super::viewer::Viewer;
use crate::connection::linger;
use crate::connection::outbox::Outbox;
use crate::connection::wire::Wire;
use crate::mount::Mount;
use crate::observe::sessions::{
    CLOSED_BY_OPERATOR, Dialect, NewMedia, NewSession, SessionGuard, Transport,
};
use crate::send::SendContext;
use crate::send::stream::Stream;
use crate::send::timeline::Plan;
use crate::viewers::ViewerSlot;
use axum::body::Body;
use axum::response::Response;
use gstmjpegfile::movie_file::MovieFile;
use gstmjpegfile::rtp::Timestamp;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::http::Version;
use hyper::{Method, StatusCode};
use mjpeg_program::border::guarded;
use socket2::SockRef;
use std::pin::pin;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout};

/// The number of bytes that the kernel may hold for a viewer besides those that are on their way. A slow viewer
/// is behind by them.
const MAX_UNSENT: u32 = 64 * 1024;

/// A stream whose head is being sent.
pub(crate) struct PreparedStream {
    mount: Arc<Mount>,
    movie: Arc<MovieFile>,
    /// What is played; `None` for a live movie.
    plan: Option<Plan>,
    /// Which frames of a live movie are sent.
    step: u64,
    context: Context,
    /// When the request was received, and what the client calls itself.
    requested: (std::time::Instant, Option<String>),
    slot: ViewerSlot,
}

impl Service {
    /// Answers a request for the stream of a movie.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub(super) async fn stream(
        &self,
        context: Context,
        mount: Arc<Mount>,
        query: &str,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let agent = headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let requested = (std::time::Instant::now(), agent.map(Into::into));
        let parameters = StreamParameters::parse(query)?;
        let mode = *mount.mode();
        if mode.live_since.is_some() && (parameters.start.is_some() || parameters.speed.is_some()) {
            let text = "A live movie has neither start nor speed.";
            return Err(Refusal::bad_request(text));
        }
        let movie = self.open(&mount).await?;
        let first = parameters.start.map_or(0, |start| start.frame(mode.framerate));
        if first > 0 {
            self.locate(&movie, first).await?;
        }
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        let kind = HeaderValue::try_from(media_type()).map_err(|_| Refusal::internal())?;
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        // The end of the connection ends the body: simple clients cannot read chunks.
        *response.version_mut() = Version::HTTP_10;
        *response.body_mut() = Body::new(StartOfStream(Some(start_of_stream())));
        if method == Method::HEAD {
            return Ok(response);
        }
        let client = &context.client;
        let SendContext { viewers, limits, limit_log, .. } = &self.context;
        let slot = viewers.admit(&mount, client.origin, &limits.get()).map_err(|limit| {
            limit_log.count(limit.kind(), client.peer);
            let text = "There are as many viewers as there may be.";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).with(RETRY_AFTER, "5")
        })?;
        let step = parameters.step(mode.framerate);
        let plan = mode.live_since.is_none().then(|| {
            let (rate, speed) = (mode.framerate, parameters.speed.unwrap_or(1.0));
            let start = rate.start_of(first).get();
            Plan::new(rate, start, None, 1.0, speed).with_step(step)
        });
        let client = client.clone();
        client.set_stream(PreparedStream { mount, movie, plan, step, context, requested, slot });
        Ok(response)
    }

    /// Sends a stream until it ends.
    pub(super) async fn send_stream(self: &Arc<Self>, prepared: PreparedStream, wire: Wire) {
        let limits = self.context.limits.get();
        // Not every kernel has this option.
        let _ = SockRef::from(wire.socket()).set_tcp_notsent_lowat(MAX_UNSENT);
        let wire = Arc::new(wire);
        let outbox = Outbox::new(wire.clone(), limits.max_queued_bytes);
        let (mount, context) = (prepared.mount.clone(), prepared.context.clone());
        let peer = context.client.peer;
        let viewer = Viewer::new(peer, mount.clone(), context.user.clone(), outbox.clone());
        let transport = if wire.is_encrypted() { "HTTPS" } else { "HTTP" };
        let Some(mut watching) = ViewerGuard::start(self, prepared, viewer.clone()).await else {
            return;
        };
        tracing::debug!(%peer, mount = %mount.point, transport, "stream started");
        watching.reason = self.send_until_ended(&viewer, &wire).await;
        outbox.send_end();
        if outbox.waits_since().is_some() {
            let _ = timeout(limits.stall_time, outbox.flush()).await;
        }
        let is_closed = outbox.closed().is_some();
        drop(watching);
        if !is_closed {
            linger(wire.socket()).await;
        }
    }

    /// Writes what is queued for a viewer, until its stream ends. Returns why.
    async fn send_until_ended(&self, viewer: &Viewer, wire: &Wire) -> &'static str {
        let outbox = &viewer.outbox;
        let mut ending = pin!(self.ending.clone().announced());
        loop {
            if outbox.closed().is_some() {
                return "the client closed the connection";
            }
            let waits_since = outbox.waits_since();
            let stalled = waits_since
                .map(|since| Instant::from_std(since) + self.context.limits.get().stall_time);
            let stall = async {
                match stalled {
                    Some(stalled) => sleep_until(stalled).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                reason = viewer.ended() => return reason,
                () = &mut ending => return "the server exits",
                () = outbox.changed() => {}
                () = outbox.flush(), if waits_since.is_some() => {}
                // What the client sends is ignored.
                received = wire.read_some() => if received.map_or(true, |bytes| bytes.is_empty()) {
                    outbox.close();
                },
                () = stall => {
                    outbox.close();
                    self.context.limit_log.count("stream closed: nothing read for stall-time", viewer.peer);
                    return "the client read nothing for stall-time";
                }
            }
        }
    }
}

/// A viewer that watches a stream, until it is dropped.
struct ViewerGuard {
    service: Arc<Service>,
    viewer: Arc<Viewer>,
    stream: Arc<Stream<HttpSink>>,
    key: u64,
    reason: &'static str,
    transport: &'static str,
    runtime: Handle,
    /// What people can see of the stream.
    observed: Option<SessionGuard>,
    _slot: ViewerSlot,
}

impl ViewerGuard {
    /// Starts to send a stream to a viewer; `None` if there is no pacer.
    async fn start(
        service: &Arc<Service>,
        prepared: PreparedStream,
        viewer: Arc<Viewer>,
    ) -> Option<Self> {
        let PreparedStream { mount, movie, plan, step, context, requested, slot } = prepared;
        let transport = if context.client.encrypted { "HTTPS" } else { "HTTP" };
        let observed = service.observe(&viewer, &context, requested);
        let (key, runtime) = (service.viewers.add(viewer.clone()), Handle::current());
        let (starting, of_stream) = (service.clone(), viewer.clone());
        // Adding a viewer waits until no frame is sent to the others.
        let started = service.on_blocking_thread(move || {
            guarded("http-stream", || starting.start_stream(&mount, movie, plan, step, of_stream))
        });
        let stream = started.await.ok().and_then(Result::ok).flatten();
        let Some(stream) = stream else {
            service.viewers.remove(key);
            return None;
        };
        let service = service.clone();
        // The reason if the task is aborted.
        let reason = "closed for a new connection";
        Some(Self {
            service,
            viewer,
            stream,
            key,
            reason,
            transport,
            runtime,
            observed,
            _slot: slot,
        })
    }
}

impl Drop for ViewerGuard {
    fn drop(&mut self) {
        // Nothing is sent from now on.
        self.viewer.outbox.close();
        self.service.viewers.remove(self.key);
        let (viewer, stream) = (self.viewer.clone(), self.stream.clone());
        self.runtime.spawn_blocking(move || {
            let _ = guarded("http-stream-end", || {
                stream.with_sink(|sink| sink.remove_viewer(&viewer));
            });
        });
        let Viewer { peer, mount, counts, .. } = &*self.viewer;
        let (mount, transport, frames) = (&mount.point, self.transport, counts.frames());
        let (skipped, reason) = (self.viewer.skipped(), self.reason);
        if let Some(observed) = &self.observed {
            observed.end(reason);
        }
        tracing::info!(%peer, %mount, transport, frames, skipped, "session ended: {reason}");
    }
}

impl Service {
    /// Shows a stream to people, and lets an operator end it.
    fn observe(
        &self,
        viewer: &Arc<Viewer>,
        context: &Context,
        (requested, agent): (std::time::Instant, Option<String>),
    ) -> Option<SessionGuard> {
        let observatory = self.context.observatory.as_ref()?;
        let (dialect, transport) = (Dialect::Http, Transport::Http);
        let (encrypted, peer) = (context.client.encrypted, viewer.peer);
        let new = NewSession { dialect, transport, encrypted, peer, agent };
        let media = NewMedia {
            mount: viewer.mount.point.clone(),
            transport,
            user: context.user().map(Into::into),
            counts: viewer.counts.clone(),
        };
        let closing = Arc::downgrade(viewer);
        Some(observatory.begin_http(new, media, requested, move || {
            if let Some(viewer) = closing.upgrade() {
                viewer.end(CLOSED_BY_OPERATOR);
            }
        }))
    }

    /// Starts a stream for a viewer, or adds the viewer to that of a live movie.
    fn start_stream(
        &self,
        mount: &Mount,
        movie: Arc<MovieFile>,
        plan: Option<Plan>,
        step: u64,
        viewer: Arc<Viewer>,
    ) -> Option<Arc<Stream<HttpSink>>> {
        let (mode, pacers) = (*mount.mode(), &self.context.pacers);
        let new = |movie, pacer| {
            let sink = HttpSink::new(mode.framerate);
            Stream::new(movie, &mode, Timestamp::default(), self.frames.clone(), pacer, sink)
        };
        if let Some(plan) = plan {
            let stream = new(movie, pacers.pick()?);
            stream.with_sink(|sink| sink.add_viewer(viewer, 1));
            stream.play(plan);
            return Some(stream);
        }
        let since = mode.live_since?;
        let stream = self.live_streams.stream(mount, movie, pacers, new)?;
        stream.with_sink(|sink| sink.add_viewer(viewer, step));
        if !stream.is_playing() {
            let elapsed = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            stream.play(Plan::new(mode.framerate, elapsed, None, 1.0, 1.0));
        }
        Some(stream)
    }
}

/// The start of a body whose length is not known: the rest is sent by the sender.
struct StartOfStream(Option<bytes::Bytes>);

impl hyper::body::Body for StartOfStream {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}
