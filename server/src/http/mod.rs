// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves HTTP on a port of its own: a page for browsers, streams, images, the files of movies, and an API.
//!
//! - `connection.rs`, `io.rs`: hyper on a connection that the server has accepted; `client.rs`: what is known
//!   of its client.
//! - `host.rs`, `origin.rs`, `login.rs`: who may ask, for all requests.
//! - `target.rs`, `parameters.rs`, `conditional.rs`: read the parts of a request.
//! - `reply.rs`: refusals, and what all responses have.
//! - `stream.rs`, `viewer.rs`: streams; `frame_cache.rs` reads their frames, `frame_sink.rs` sends them.
//! - `images.rs`, `movie.rs`: single frames, and files.
//! - `api/`: movies and the server as JSON; `observe/`: sessions, the exchange and metrics.
//! - `assets.rs`: the files of the page.

mod api;
mod assets;
pub(crate) mod client;
mod conditional;
pub(crate) mod connection;
mod frame_cache;
mod frame_sink;
#[cfg(test)]
mod fuzz;
mod host;
mod images;
mod io;
mod login;
mod movie;
pub(crate) mod observe;
pub(crate) mod origin;
mod parameters;
pub(crate) mod reply;
mod stream;
mod target;
mod viewer;

use crate::access::SharedAccess;
use crate::access::attempts::Attempts;
use crate::catalog::SharedCatalog;
use crate::config::{Config, LabMode};
use crate::connection::limits::OpenConnections;
use crate::connection::tls::SharedTls;
use crate::ending::Ending;
use crate::send::SendContext;
use crate::send::live::LiveStreams;
use crate::send::stream::Resources;
use axum::Router;
use axum::extract::{Extension, RawQuery, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use client::Context;
use frame_cache::FrameCache;
use frame_sink::HttpSink;
use hyper::header::{HeaderMap, LOCATION};
use hyper::{Method, StatusCode, Uri};
use mjpeg_program::border::guarded;
use reply::Refusal;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};
use target::Resource;
use tokio::sync::Semaphore;

/// The number of pieces of work that may wait for a disk at a time.
pub(crate) const THREADS: usize = 4;

/// How long a thread that may wait may take to become free while the server is ready.
const READY_LIMIT: Duration = Duration::from_secs(2);

/// The addresses of the server's ports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// The port for RTSP and the lab.
    pub rtsp: SocketAddr,
    /// The port on which only TLS is served.
    pub tls: Option<SocketAddr>,
    /// The port for HTTP.
    pub http: SocketAddr,
}

/// What all HTTP connections share.
pub struct Service {
    catalog: SharedCatalog,
    access: SharedAccess,
    attempts: Attempts,
    tls: SharedTls,
    context: SendContext,
    ending: Ending,
    open: OpenConnections,
    lab: LabMode,
    addresses: OnceLock<Addresses>,
    /// When the server was started.
    started: (SystemTime, Instant),
    /// The frames that are sent, for all streams.
    frames: Arc<Resources<FrameCache>>,
    live_streams: LiveStreams<HttpSink>,
    viewers: viewer::Viewers,
    /// Limits the work that may wait for a disk.
    permits: Arc<Semaphore>,
    /// The handlers of all resources.
    router: OnceLock<Router>,
}

impl Service {
    /// A service for the movies of a catalog. `others` are the handlers of further resources, which those only may
    /// use who may see and close the sessions of others.
    pub(crate) fn new(
        config: &Config,
        (catalog, access): (SharedCatalog, SharedAccess),
        tls: SharedTls,
        context: SendContext,
        open: OpenConnections,
        ending: Ending,
        others: Router,
    ) -> Arc<Self> {
        let metrics = context.observatory.as_ref().map(|observatory| observatory.metrics.clone());
        let fetcher = FrameCache::new(u64::from(config.server.prepare_cache) * 1_000_000, metrics);
        let service = Arc::new(Self {
            catalog,
            access,
            tls,
            attempts: Attempts::default(),
            frames: Arc::new(Resources { fetcher, workers: context.workers.clone() }),
            context,
            ending,
            open,
            lab: config.server.lab,
            addresses: OnceLock::new(),
            started: (SystemTime::now(), Instant::now()),
            live_streams: LiveStreams::default(),
            viewers: viewer::Viewers::default(),
            permits: Arc::new(Semaphore::new(THREADS)),
            router: OnceLock::new(),
        });
        let _ = service.router.set(routes(&service, others));
        service
    }

    /// Sets the addresses of the server, once they are known.
    pub(crate) fn set_addresses(&self, addresses: Addresses) {
        let _ = self.addresses.set(addresses);
    }

    /// Whether only this machine can reach the server over HTTP.
    fn is_local(&self) -> bool {
        self.addresses.get().is_none_or(|addresses| addresses.http.ip().is_loopback())
    }

    /// The handlers of all resources.
    fn router(&self) -> Router {
        self.router.get().cloned().unwrap_or_default()
    }

    /// Ends the streams of movies that are not served any more, and of those that their viewers may not watch any
    /// more.
    pub(crate) fn end_removed(&self) {
        let (catalog, access) = (self.catalog.get(), self.access.get());
        self.viewers.end_if(|viewer| {
            if viewer.mount.is_removed() {
                return Some("the movie is not served any more");
            }
            let present = catalog.at(&viewer.mount.point).unwrap_or(&viewer.mount);
            let user = viewer.user.as_ref().map(|user| user.name.as_str());
            let may_watch = access.may_watch(present, user, viewer.peer.ip());
            (!may_watch).then_some("the viewer may not watch the movie any more")
        });
    }

    /// Runs work that may wait for a disk, on a thread for that, when it is its turn. After a panic the request is
    /// refused.
    ///
    /// # Errors
    /// Those of the work.
    async fn run<T: Send + 'static>(
        &self,
        border: &'static str,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        // The semaphore is never closed.
        let permit = self.permits.clone().acquire_owned().await;
        let done = self.on_blocking_thread(move || {
            let _permit = permit;
            guarded(border, work)
        });
        done.await?.unwrap_or_else(|_| Err(Refusal::internal()))
    }

    /// Runs work on a thread that may wait.
    ///
    /// # Errors
    /// After a panic, and while the server exits.
    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::internal())
    }
}

type Shared = State<Arc<Service>>;
type Asking = Extension<Context>;

/// The handlers of all resources. Those of `others` may be used by those only who may see and close the sessions of
/// others.
fn routes(service: &Arc<Service>, others: Router) -> Router {
    let for_operators = others.layer(from_fn_with_state(service.clone(), operators_only));
    let page = |name: &'static str| {
        get(move |headers: HeaderMap| async move { assets::file(name, &headers) })
    };
    Router::new()
        .route("/", page("index.html"))
        .route("/play/{*name}", page("index.html"))
        .route("/lab", page("lab.html"))
        .route("/assets/{*file}", get(asset))
        .route("/login", get(log_in))
        .route("/healthz", get("ok\n"))
        .route("/readyz", get(ready))
        .route("/mounts/{*resource}", get(resource))
        .merge(api::routes())
        .fallback(|| async { Refusal::not_found() })
        .with_state(service.clone())
        .merge(for_operators)
}

/// Lets only those pass who may see and close the sessions of others.
async fn operators_only(
    State(service): Shared,
    Extension(context): Asking,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    service.require_operator(&context)?;
    Ok(next.run(request).await)
}

/// A file of the page.
async fn asset(uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let name = uri.path().strip_prefix("/assets/").unwrap_or_default();
    assets::asset(name, &headers)
}

/// Makes a browser or a program log in, and sends it to what it wants then.
async fn log_in(
    State(service): Shared,
    Extension(context): Asking,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let target = parameters::login_target(&query.unwrap_or_default())?;
    let access = service.access.get();
    if context.user.is_none() && !access.users.is_empty() {
        return Err(login::ask_for_login(&context.client, &access, false));
    }
    Ok((StatusCode::SEE_OTHER, [(LOCATION, target)]).into_response())
}

/// Whether the server can do work.
async fn ready(State(service): Shared) -> Result<&'static str, Refusal> {
    let work = service.on_blocking_thread(|| ());
    match tokio::time::timeout(READY_LIMIT, work).await {
        Ok(Ok(())) => Ok("ok\n"),
        _ => {
            let text = "The server is busy.";
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text))
        }
    }
}

/// Something of a movie.
async fn resource(
    State(service): Shared,
    Extension(context): Asking,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let path = uri.path().strip_prefix("/mounts/").unwrap_or_default();
    // A path that cannot be the name of a movie gets the same reply as a missing movie.
    let (name, resource) = target::parse(path).unwrap_or((String::new(), Resource::Movie));
    let mount = service.find(&context, &name)?;
    let query = query.unwrap_or_default();
    match resource {
        Resource::Stream => service.stream(context, mount, &query, &method, &headers).await,
        Resource::Snapshot => service.snapshot(&context, mount, &query).await,
        Resource::Frame(number) => service.frame(mount, number, &headers).await,
        Resource::Movie => service.movie(mount, &method, &headers).await,
    }
}
