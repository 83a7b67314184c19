// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole server: standard RTSP and the lab's dialect on one port, HTTP on another one.

use crate::access::{Access, SharedAccess};
use crate::arrivals::Arrivals;
use crate::catalog::{Catalog, SharedCatalog};
use crate::cli::Arguments;
use crate::config::{Config, LabMode, SharedLimits, Switch};
use crate::connection::Services;
use crate::connection::limits::OpenConnections;
use crate::connection::listener::{self, Listener};
use crate::connection::tls::SharedTls;
use crate::connection::tunnel::Tunnels;
use crate::ending::{self, Ending, EndingSender};
use crate::limit_log::LimitLog;
use crate::mount::Mount;
use crate::observe::{Observatory, Sources};
use crate::reload::{Loaded, Rescanned};
use crate::send::SendContext;
use crate::send::clock::SystemClock;
use crate::send::pacer::Pacers;
use crate::send::workers::{self, Workers};
use crate::service_manager::{self, Sockets};
use crate::test_card::TestCard;
use crate::viewers::Viewers;
use crate::watch::{ChangeSender, Watch};
use crate::{http, lab, rtsp};
use anyhow::{Context, Result};
use mjpeg_program::border::guarded;
use signal_hook::consts::SIGHUP;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The time between two checks for sessions that have timed out.
const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(1);

/// The same while there is no connection, so that an idle machine sleeps.
const IDLE_CLEAN_UP_INTERVAL: Duration = Duration::from_secs(10);

/// The shortest time between two clean-ups, even if the service manager's watchdog requires a shorter one.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// The number of clean-ups between two checks for movies without viewers, which are closed.
const CLEAN_UPS_PER_MOVIE_CHECK: u64 = 10;

/// File descriptors that are reserved for the log, the runtime and GStreamer, for opening a movie while
/// the maximum number of connections is open, and for connections that are refused.
const RESERVED_DESCRIPTORS: u64 = 64 + listener::REFUSALS as u64 + rtsp::DESCRIPTORS;

/// File descriptors per connection: its socket, and either a movie that no other connection plays or
/// the UDP socket of a lab client.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;

/// What the main thread waits for.
#[derive(Debug)]
pub enum Event {
    /// The process has received this signal.
    Signal(i32),
    /// After the first signal, all connections have ended, or the time of grace has.
    ConnectionsEnded,
    /// The configuration has been read again.
    Reloaded(Box<Result<Loaded>>),
    /// Something has changed in the folders of movies.
    FoldersChanged,
    /// The folders have been searched again, or could not be.
    Rescanned(Box<Option<Rescanned>>),
}

/// A server that accepts connections.
pub struct Server {
    pub(crate) rtsp: Arc<rtsp::Service>,
    pub(crate) lab: Arc<lab::Service>,
    /// `None` if HTTP is not served.
    pub(crate) http: Option<Arc<http::Service>>,
    pub(crate) catalog: SharedCatalog,
    pub(crate) limits: SharedLimits,
    pub(crate) access: SharedAccess,
    pub(crate) tls: SharedTls,
    limit_log: Arc<LimitLog>,
    observatory: Option<Arc<Observatory>>,
    address: SocketAddr,
    open: OpenConnections,
    ending: Arc<EndingSender>,
    /// The present configuration, and the flags that it was made with.
    pub(crate) config: Config,
    pub(crate) arguments: Arguments,
    /// The file of the test card, if it is or was served.
    pub(crate) card: Option<TestCard>,
    pub(crate) changes: ChangeSender,
    /// Reports changes in the folders of movies.
    pub(crate) watch: Watch,
    /// The new movies that are not complete yet.
    pub(crate) arrivals: Arrivals,
    /// Accepts connections until it is dropped.
    listener: Option<Listener>,
    /// Is always there until the server is dropped, which shuts the runtime down.
    runtime: Option<Runtime>,
}

impl Server {
    /// Accepts connections from now on, on the sockets of a service manager or on the address of the
    /// configuration.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn start(
        arguments: Arguments,
        config: Config,
        sockets: Sockets,
        events: &Sender<Event>,
    ) -> Result<Self> {
        // Before the search, so that no change is missed.
        let changes = ChangeSender::new(events.clone());
        let watch = Watch::start(&config.folders(), &changes);
        let loaded = Loaded::new(config, &Catalog::default(), &Arrivals::default(), None)?;
        let Loaded { config, catalog, card, tls } = loaded;
        let movies = catalog.mounts().len();
        let catalog = SharedCatalog::new(catalog);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(workers::THREADS + 2 * rtsp::HANDLERS + http::THREADS)
            .thread_name("worker")
            .enable_all()
            .build()
            .context("cannot start the worker threads")?;
        let observatory = config.server.http.map(|_| Observatory::new());
        let metrics = observatory.as_ref().map(|observatory| &observatory.metrics);
        let pacers = Pacers::start(&SystemClock, metrics);
        let pacers = pacers.context("cannot start the pacer threads")?;
        let limit_log = Arc::new(LimitLog::default());
        let mut limits = config.limits.clone();
        let open_files = raise_open_files();
        limits.max_connections = max_connections(limits.max_connections);
        let connections = limits.max_connections;
        let limits = SharedLimits::new(limits);
        let context = SendContext {
            pacers: Arc::new(pacers),
            workers: Workers::new(runtime.handle().clone()),
            limits: limits.clone(),
            viewers: Viewers::default(),
            limit_log: limit_log.clone(),
            observatory: observatory.clone(),
        };
        let (ending_sender, ending) = ending::channel();
        let tls = SharedTls::new(tls);
        let access = SharedAccess::new(Access::new(&config));
        let shared = || (catalog.clone(), access.clone());
        let rtsp = rtsp::Service::new(&config, shared(), context.clone(), ending.clone())?;
        let lab =
            lab::Service::new(config.server.explain, shared(), context.clone(), ending.clone());
        let open = OpenConnections::new(limits.clone());
        let http = config.server.http.map(|_| {
            let (shared, tls, open) = (shared(), tls.clone(), open.clone());
            let others = observe_routes(&context, open.clone(), catalog.clone(), ending.clone());
            http::Service::new(&config, shared, tls, context, open, ending.clone(), others)
        });
        let services = Services {
            rtsp: rtsp.clone(),
            lab: lab.clone(),
            http: http.clone(),
            mode: config.server.lab,
            access: access.clone(),
            tls: tls.clone(),
            tunnels: (config.server.http_tunnel == Switch::On).then(Tunnels::default),
            open: open.clone(),
            limits: limits.clone(),
            limit_log: limit_log.clone(),
            ending,
        };
        let (sockets, listen) = (sockets.into_listeners(), &config.server);
        let listener = Listener::start(sockets, listen, &Arc::new(services), runtime.handle())?;
        let address = listener.address();
        if let Some(address) = listener.tls_address() {
            tracing::info!(%address, "serving TLS");
        }
        if let (Some(http), Some(address)) = (&http, listener.http_address()) {
            let (rtsp, tls) = (listener.address(), listener.tls_address());
            http.set_addresses(http::Addresses { rtsp, tls, http: address });
            tracing::info!(%address, "serving HTTP");
        }
        tracing::info!(%address, movies, max_connections = connections, "serving");
        open_files.log();
        if config.server.lab == LabMode::Only {
            tracing::info!("standard RTSP is not served, because --lab is only");
        }
        Ok(Self {
            rtsp,
            lab,
            http,
            catalog,
            limits,
            access,
            tls,
            limit_log,
            observatory,
            address,
            open,
            ending: Arc::new(ending_sender),
            config,
            arguments,
            card,
            changes,
            watch,
            arrivals: Arrivals::default(),
            listener: Some(listener),
            runtime: Some(runtime),
        })
    }

    /// The URLs of all mounts for viewers on this machine.
    pub fn urls(&self) -> Vec<String> {
        self.catalog.get().mounts().map(|mount| self.url(mount)).collect()
    }

    /// The URL of a mount for viewers on this machine.
    fn url(&self, mount: &Mount) -> String {
        let port = self.address.port();
        let host = match self.address {
            any if any.ip().is_unspecified() => "127.0.0.1".to_owned(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            SocketAddr::V4(v4) => v4.ip().to_string(),
        };
        format!("rtsp://{host}:{port}{}", mount.encoded())
    }

    /// Serves until the exit. The first signal ends all sessions and connections within the time of
    /// grace, a second one exits at once.
    pub fn run(mut self, events: &Receiver<Event>, sender: &Sender<Event>) {
        let clean_up = self.runtime.as_ref().map(|runtime| runtime.spawn(self.clean_up()));
        let mut exiting = false;
        // A search for movies is under way; what must be done after it.
        let (mut busy, mut reload, mut rescan) = (false, false, false);
        for event in events {
            match event {
                Event::Signal(SIGHUP) | Event::Reloaded(_) | Event::Rescanned(_) if exiting => {}
                Event::Signal(SIGHUP) if self.config.file.is_some() => reload = true,
                Event::FoldersChanged => rescan = true,
                Event::Reloaded(loaded) => {
                    self.finish_reload(*loaded);
                    busy = false;
                }
                Event::Rescanned(rescanned) => {
                    self.finish_rescan(*rescanned);
                    busy = false;
                }
                Event::Signal(_) if !exiting => {
                    exiting = true;
                    self.start_exit(sender.clone());
                }
                Event::Signal(_) => {
                    tracing::warn!("second signal: exiting at once");
                    break;
                }
                Event::ConnectionsEnded => break,
            }
            if busy || exiting {
                continue;
            }
            if std::mem::take(&mut reload) {
                self.start_reload(sender.clone());
                busy = true;
            } else if std::mem::take(&mut rescan) && !self.config.mounts.is_empty() {
                self.start_rescan(sender.clone());
                busy = true;
            }
        }
        if let Some(clean_up) = clean_up {
            clean_up.abort();
        }
        self.limit_log.report_rest();
    }

    /// Runs work on a thread that may wait. A panic ends only the work.
    pub(crate) fn spawn_blocking(
        &self,
        border: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn_blocking(move || guarded(border, work));
        }
    }

    /// Closes the port, sends BYE to all viewers, and waits, in a task, until the connections have ended.
    fn start_exit(&mut self, events: Sender<Event>) {
        tracing::info!("exiting: no new connections, BYE to all viewers");
        service_manager::stopping();
        let listener = self.listener.take();
        let (rtsp, open, ending) = (self.rtsp.clone(), self.open.clone(), self.ending.clone());
        let grace = self.config.server.grace;
        let exit = async move {
            if let Some(listener) = listener {
                listener.close().await;
            }
            // On another thread, since it waits until no frame is being sent.
            let end_all = tokio::task::spawn_blocking(move || guarded("exit", || rtsp.end_all()));
            let wait = async {
                let _ = end_all.await;
                ending.announce();
                open.wait_until_empty().await;
            };
            if tokio::time::timeout(grace, wait).await.is_err() {
                tracing::warn!("connections did not end within grace, and are closed");
            }
            let _ = events.send(Event::ConnectionsEnded);
        };
        if let Some(runtime) = &self.runtime {
            runtime.spawn(exit);
        }
    }

    /// Cleans up regularly. The future never completes.
    fn clean_up(&self) -> impl Future<Output = ()> + use<> {
        let (rtsp, catalog) = (self.rtsp.clone(), self.catalog.clone());
        let (limit_log, open) = (self.limit_log.clone(), self.open.clone());
        let observatory = self.observatory.clone();
        async move {
            // Twice within the time of the watchdog, but not more often than needed.
            let watchdog = service_manager::watchdog_time();
            let longest = watchdog.map_or(Duration::MAX, |time| (time / 2).max(MIN_INTERVAL));
            for number in 0_u64.. {
                let is_idle = open.is_empty();
                let time = if is_idle { IDLE_CLEAN_UP_INTERVAL } else { CLEAN_UP_INTERVAL };
                tokio::time::sleep(time.min(longest)).await;
                limit_log.report();
                if let Some(observatory) = &observatory {
                    observatory.sample();
                }
                let (rtsp, catalog) = (rtsp.clone(), catalog.clone());
                // On another thread, since it may wait for locks of gst-rtsp-server.
                let cleaned_up = tokio::task::spawn_blocking(move || {
                    let _ = guarded("clean-up", || {
                        rtsp.clean_up();
                        if is_idle || number % CLEAN_UPS_PER_MOVIE_CHECK == 0 {
                            catalog.get().mounts().for_each(|mount| mount.close_if_idle());
                        }
                    });
                });
                let _ = cleaned_up.await;
                // The asynchronous workers and those that may wait have just done something.
                if watchdog.is_some() {
                    service_manager::alive();
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The handlers of what people can see of the server.
fn observe_routes(
    context: &SendContext,
    open: OpenConnections,
    catalog: SharedCatalog,
    ending: Ending,
) -> axum::Router {
    let Some(observatory) = &context.observatory else { return axum::Router::new() };
    let (viewers, limit_log) = (context.viewers.clone(), context.limit_log.clone());
    observatory.set_sources(Sources { open, viewers, limit_log, catalog });
    http::observe::observe_routes(observatory.clone(), ending)
}

/// The limit of open files before and after [`raise_open_files`].
#[derive(Debug, Clone, Copy)]
struct OpenFiles {
    before: u64,
    files: u64,
}

impl OpenFiles {
    fn log(self) {
        let Self { before, files } = self;
        if files > before {
            tracing::info!(before, files, "limit of open files raised");
        } else {
            tracing::info!(files, "limit of open files");
        }
    }
}

/// Raises the limit of open files from its value at the start to the highest that is allowed.
fn raise_open_files() -> OpenFiles {
    let before = rlimit::Resource::NOFILE.get_soft().unwrap_or(1024);
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!("cannot raise the limit of open files: {error}");
        before
    });
    OpenFiles { before, files }
}

/// The maximum number of connections: `requested`, or fewer if the process may open too few files.
pub(crate) fn max_connections(requested: usize) -> usize {
    let files = rlimit::Resource::NOFILE.get_soft().unwrap_or(1024);
    let connections = files.saturating_sub(RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION;
    let connections = usize::try_from(connections).unwrap_or(usize::MAX).max(1);
    if connections < requested {
        tracing::warn!(
            files,
            connections,
            "fewer connections than --max-connections are accepted, because the process may open \
             too few files: raise the limit (ulimit -n)"
        );
    }
    requested.min(connections)
}
