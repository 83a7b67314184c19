// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server as a whole: both languages on one port, and what they share.

use crate::catalog::Catalog;
use crate::config::{Config, LabMode};
use crate::connection::limits::Connections;
use crate::connection::refusals::Refusals;
use crate::connection::tunnel::Tunnels;
use crate::connection::{Listener, Services};
use crate::mount::Mount;
use crate::pacer::Pacers;
use crate::workers::{self, Workers};
use crate::{lab, rtsp};
use anyhow::{Context, Result};
use mjpeg_program::border::guarded;
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Between two looks for sessions that have timed out.
const CLEAN_UP: Duration = Duration::from_secs(1);

/// Between two looks for movies that nobody watches, in looks for sessions.
const CLOSE_IDLE: u64 = 10;

/// Descriptors that are kept for what is no connection: logs, the runtime, GStreamer, and a movie
/// that is asked for when all others are taken.
const RESERVE: u64 = 64 + rtsp::DESCRIPTORS;

/// Descriptors of a connection: its socket, and a movie that nobody else watches or a lab viewer's
/// UDP socket.
const PER_CONNECTION: u64 = 2;

/// A server that accepts connections.
pub struct Server {
    rtsp: Arc<rtsp::Service>,
    catalog: Arc<Catalog>,
    refusals: Arc<Refusals>,
    address: SocketAddr,
    /// Accepts until it is dropped.
    _listener: Listener,
    /// Its threads end when it is shut down.
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens; connections are accepted from then on.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn start(config: &Config, catalog: Arc<Catalog>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(workers::THREADS + 2 * rtsp::HANDLERS)
            .thread_name("worker")
            .enable_all()
            .build()
            .context("no threads")?;
        let pacers = Arc::new(Pacers::start().context("no threads")?);
        let workers = Workers::new(runtime.handle().clone());
        let (begin, refusals) = (Instant::now(), Arc::new(Refusals::default()));
        let senders = (pacers, workers);
        let rtsp =
            rtsp::Service::new(config, catalog.clone(), senders.clone(), refusals.clone(), begin)?;
        let connections = limit_of_connections(config.max_connections);
        let services = Services {
            rtsp: rtsp.clone(),
            lab: lab::Service::new(config, catalog.clone(), senders, begin),
            mode: config.lab,
            tunnels: config.http_tunnel.then(Tunnels::default),
            connections: Connections::new(connections, config.max_connections_per_address),
            refusals: refusals.clone(),
        };
        let listener = Listener::start(config.listen, services, runtime.handle())?;
        let address = listener.address();
        let movies = catalog.mounts().len();
        tracing::info!(%address, movies, connections, "serving");
        if config.lab == LabMode::Only {
            tracing::info!("standard RTSP is not served: --lab only");
        }
        let runtime = Some(runtime);
        Ok(Self { rtsp, catalog, refusals, address, _listener: listener, runtime })
    }

    /// The URL of a mount, as a viewer on this machine would type it.
    pub fn url(&self, mount: &Mount) -> String {
        let port = self.address.port();
        let host = match self.address {
            any if any.ip().is_unspecified() => "127.0.0.1".to_owned(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            SocketAddr::V4(v4) => v4.ip().to_string(),
        };
        format!("rtsp://{host}:{port}{}", mount.encoded())
    }

    /// Serves until one of the signals comes, then ends all sessions.
    pub fn run_until(&self, signals: &mut Signals) {
        let clean_up = self.runtime.as_ref().map(|runtime| runtime.spawn(self.clean_up()));
        if signals.forever().next().is_some() {
            tracing::info!("ending all sessions");
        }
        if let Some(clean_up) = clean_up {
            clean_up.abort();
        }
        // Viewers hear of it by RTCP; their connections end with the process.
        self.rtsp.end_all();
    }

    fn clean_up(&self) -> impl Future<Output = ()> + use<> {
        let (rtsp, catalog) = (self.rtsp.clone(), self.catalog.clone());
        let refusals = self.refusals.clone();
        async move {
            let mut seconds = tokio::time::interval(CLEAN_UP);
            for second in 0_u64.. {
                seconds.tick().await;
                refusals.report();
                let (rtsp, catalog) = (rtsp.clone(), catalog.clone());
                // It may wait for locks of gst-rtsp-server.
                let cleaned = tokio::task::spawn_blocking(move || {
                    let _ = guarded("clean-up", || {
                        rtsp.clean_up();
                        if second % CLOSE_IDLE == 0 {
                            catalog.mounts().for_each(|mount| mount.close_if_idle());
                        }
                    });
                });
                let _ = cleaned.await;
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

/// At most `wanted` connections, and no more than the process has descriptors for.
fn limit_of_connections(wanted: usize) -> usize {
    // What the system allows without asking is little.
    let raised = rlimit::increase_nofile_limit(u64::MAX);
    let files = raised.unwrap_or_else(|error| {
        tracing::warn!("the limit of open files stays as it is: {error}");
        rlimit::Resource::NOFILE.get_soft().unwrap_or(1024)
    });
    let connections = files.saturating_sub(RESERVE) / PER_CONNECTION;
    let connections = usize::try_from(connections).unwrap_or(usize::MAX).max(1);
    if connections < wanted {
        tracing::warn!(
            files,
            connections,
            "fewer connections than --max-connections: the process may open too few files \
             (ulimit -n)"
        );
    }
    wanted.min(connections)
}
